//! Pearson's correlation (PLCC) and the root mean squared error (RMSE).

/// Returns Pearson's linear correlation coefficient of `x` and `y`, from -1 to 1. It stays accurate where values are
/// large compared with their differences, such as 10⁹ + 0.001. `None` if there are fewer than two rows or a side is
/// constant.
///
/// # Panics
/// If a value is NaN or the lengths differ.
///
/// # Examples
/// ```
/// let plcc = dqa_stats::plcc(&[0.1, 0.2, 0.4], &[1.0, 2.0, 4.0]).unwrap();
/// assert!((plcc - 1.0).abs() < 1e-12);
/// ```
pub fn plcc(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "columns have unequal lengths");
    let (scale_x, scale_y) = (ColumnScale::from_values(x), ColumnScale::from_values(y));
    let mut moments = Moments::default();
    for (&x, &y) in x.iter().zip(y) {
        moments.add_row(scale_x.to_unit(x), scale_y.to_unit(y));
    }
    moments.plcc()
}

/// Returns the root of the mean squared difference of `x` and `y`, in the unit of the columns, which should be the same
/// for both. `None` without rows.
///
/// # Panics
/// If the lengths differ.
///
/// # Examples
/// ```
/// assert_eq!(dqa_stats::rmse(&[1.0, 2.0], &[4.0, 6.0]), Some((25.0_f64 / 2.0).sqrt()));
/// ```
pub fn rmse(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "columns have unequal lengths");
    let sum: f64 = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum();
    (!x.is_empty()).then(|| (sum / x.len() as f64).sqrt())
}

/// The affine map of a column's values to values around 0 within -1 to 1, so that squares neither overflow nor vanish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColumnScale {
    /// A value of the column: differences from it are exact where values are near to each other.
    first: f64,
    /// The mean difference from `first`.
    pub(crate) mean: f64,
    /// The largest distance from the mean; 1 for a constant column.
    pub(crate) scale: f64,
}

impl ColumnScale {
    pub(crate) fn from_values(values: &[f64]) -> ColumnScale {
        assert!(!values.iter().any(|value| value.is_nan()), "a value is NaN");
        let first = values.first().copied().unwrap_or(0.0);
        let mean = values.iter().map(|value| value - first).sum::<f64>() / values.len().max(1) as f64;
        let largest = values.iter().map(|value| (value - first - mean).abs()).fold(0.0, f64::max);
        ColumnScale { first, mean, scale: if largest > 0.0 { largest } else { 1.0 } }
    }

    pub(crate) fn to_unit(self, value: f64) -> f64 {
        (value - self.first - self.mean) / self.scale
    }

    /// Returns the value that maps to 0.
    pub(crate) fn centre(&self) -> f64 {
        self.first + self.mean
    }
}

/// Weighted sums over the rows of two columns, from which PLCC follows. Each column may be in a unit of its own; for
/// accuracy, values should lie around 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// Sum of the weights.
    pub n: f64,
    /// Sum of x.
    pub x: f64,
    /// Sum of y.
    pub y: f64,
    /// Sum of x squared.
    pub xx: f64,
    /// Sum of y squared.
    pub yy: f64,
    /// Sum of the products of x and y.
    pub xy: f64,
}

/// A side is constant if subtracting the mean leaves less than this share of its sum of squares: the rest is rounding.
const CONSTANT_SHARE: f64 = 1e-13;

impl Moments {
    pub(crate) fn add_row(&mut self, x: f64, y: f64) {
        self.add_weighted(&Moments { n: 1.0, x, y, xx: x * x, yy: y * y, xy: x * y }, 1.0);
    }

    pub(crate) fn add_weighted(&mut self, other: &Moments, weight: f64) {
        self.n += weight * other.n;
        self.x += weight * other.x;
        self.y += weight * other.y;
        self.xx += weight * other.xx;
        self.yy += weight * other.yy;
        self.xy += weight * other.xy;
    }

    /// Returns Pearson's correlation; `None` if a side is constant.
    pub fn plcc(&self) -> Option<f64> {
        let centred = |squares: f64, sum: f64| {
            let rest = squares - sum * sum / self.n;
            (rest > CONSTANT_SHARE * squares).then_some(rest)
        };
        let scale = centred(self.xx, self.x)?.sqrt() * centred(self.yy, self.y)?.sqrt();
        Some(((self.xy - self.x * self.y / self.n) / scale).clamp(-1.0, 1.0))
    }
}
