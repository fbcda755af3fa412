//! A column's values as levels: 0 for the least, the same for equal values. All that rank measures need, made by one sort.

use rayon::slice::ParallelSliceMut;

/// From here a sort is spread over threads; below, starting them costs more than the sort.
const PARALLEL_ROWS_MIN: usize = 1 << 15;

/// A column's order.
pub(super) struct Levels {
    /// Of each row.
    pub(super) codes: Vec<u32>,
    /// Rows of each level.
    pub(super) counts: Vec<u32>,
    /// Rows by level, and by number within one.
    pub(super) order: Vec<u32>,
}

impl Levels {
    pub(super) fn of(values: &[f64]) -> Levels {
        Levels::by_key(values.iter().map(|&value| ordered(value)))
    }

    pub(super) fn of_numbers(numbers: &[u32]) -> Levels {
        Levels::by_key(numbers.iter().map(|&number| u64::from(number)))
    }

    fn by_key(keys: impl ExactSizeIterator<Item = u64>) -> Levels {
        assert!(u32::try_from(keys.len()).is_ok(), "rows are numbered by 32 bits");
        // The row is part of what is sorted by: ties would otherwise lie in an order that depends on the threads.
        let mut keyed: Vec<(u64, u32)> = keys.zip(0..).collect();
        if keyed.len() < PARALLEL_ROWS_MIN {
            keyed.sort_unstable();
        } else {
            keyed.par_sort_unstable();
        }
        let mut levels = Levels { codes: vec![0; keyed.len()], counts: Vec::new(), order: Vec::new() };
        for group in keyed.chunk_by(|a, b| a.0 == b.0) {
            let code = levels.counts.len() as u32;
            levels.counts.push(group.len() as u32);
            for &(_, row) in group {
                levels.codes[row as usize] = code;
            }
        }
        levels.order = keyed.into_iter().map(|(_, row)| row).collect();
        levels
    }

    pub(super) fn rows(&self) -> usize {
        self.codes.len()
    }

    /// Where each level's rows begin in the order.
    pub(super) fn starts(&self) -> Vec<u32> {
        self.counts.iter().scan(0, |start, count| Some(std::mem::replace(start, *start + count))).collect()
    }

    /// The rows of each level, in the order of levels.
    pub(super) fn groups(&self) -> impl Iterator<Item = &[u32]> {
        let mut rest = self.order.as_slice();
        self.counts.iter().map(move |&count| {
            let (group, after) = rest.split_at(count as usize);
            rest = after;
            group
        })
    }

    /// Pairs of rows within levels.
    pub(super) fn tied_pairs(&self) -> u64 {
        self.counts.iter().map(|&count| pairs(count.into())).sum()
    }
}

/// Pairs among `rows`.
pub(super) fn pairs(rows: u64) -> u64 {
    rows * rows.saturating_sub(1) / 2
}

/// Bits whose order is that of the values; 0 and -0 are one.
fn ordered(value: f64) -> u64 {
    assert!(!value.is_nan(), "a value is NaN");
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_level_and_rows_lie_by_level() {
        let levels = Levels::of(&[3.0, -0.0, f64::INFINITY, 0.0, -7.5, 3.0]);
        assert_eq!(levels.codes, [2, 1, 3, 1, 0, 2]);
        assert_eq!(levels.counts, [1, 2, 2, 1]);
        assert_eq!(levels.order, [4, 1, 3, 0, 5, 2]);
        assert_eq!(levels.starts(), [0, 1, 3, 5]);
        assert_eq!(levels.tied_pairs(), 2);
        assert_eq!(levels.groups().collect::<Vec<_>>(), [&[4_u32][..], &[1, 3], &[0, 5], &[2]]);
    }
}
