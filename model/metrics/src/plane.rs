//! A matrix of doubles: gray levels, filter responses, maps of quality.

/// Doubles in rows: `(height, width)`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plane {
    pub(crate) values: Vec<f64>,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Plane {
    pub(crate) fn new(values: Vec<f64>, width: usize, height: usize) -> Self {
        assert_eq!(values.len(), width * height, "a plane of {width}x{height}");
        Self { values, width, height }
    }

    /// Returns the levels as doubles.
    pub(crate) fn from_levels(levels: &[u8], width: usize) -> Self {
        Self::new(levels.iter().map(|level| f64::from(*level)).collect(), width, levels.len() / width)
    }

    pub(crate) fn row(&self, y: usize) -> &[f64] {
        &self.values[y * self.width..][..self.width]
    }
}

/// Number of partial sums: two registers of AVX-512, four of AVX2.
const LANES: usize = 16;

/// Sums in an order that does not depend on the instruction set: value `i` goes to the partial sum `i % LANES`, and the
/// partial sums are added from the first to the last.
#[inline(always)]
pub(crate) fn sum(values: &[f64]) -> f64 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut partial = [0.0; LANES];
    for chunk in chunks {
        for (sum, value) in partial.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    for (sum, value) in partial.iter_mut().zip(rest) {
        *sum += value;
    }
    partial.into_iter().fold(0.0, |total, sum| total + sum)
}
