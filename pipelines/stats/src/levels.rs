//! A column's values as levels: 0 for the least, the same for equal values. All that rank measures need, made by one sort.

use rayon::slice::ParallelSliceMut;

/// From here a sort is spread over threads; below, starting them costs more than the sort.
const PARALLEL_ROWS_MIN: usize = 1 << 15;

/// Numbers below this many times the rows are sorted by counting them.
const DENSE_MAX: usize = 2;

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
        let len = numbers.iter().max().map_or(0, |&most| most as usize + 1);
        if len <= numbers.len().saturating_mul(DENSE_MAX) {
            return Levels::by_counting(numbers, len);
        }
        Levels::by_key(numbers.iter().map(|&number| u64::from(number)))
    }

    /// Sorts numbers below `len` without comparing them.
    fn by_counting(numbers: &[u32], len: usize) -> Levels {
        assert!(u32::try_from(numbers.len()).is_ok(), "rows are numbered by 32 bits");
        let mut count_of = vec![0_u32; len];
        numbers.iter().for_each(|&number| count_of[number as usize] += 1);
        let (mut code_of, mut counts) = (vec![0_u32; len], Vec::new());
        for (code, &count) in code_of.iter_mut().zip(&count_of) {
            *code = counts.len() as u32;
            if count > 0 {
                counts.push(count);
            }
        }
        let codes = numbers.iter().map(|&number| code_of[number as usize]).collect();
        let mut levels = Levels { codes, counts, order: vec![0; numbers.len()] };
        let mut next = levels.starts();
        for (row, &code) in levels.codes.iter().enumerate() {
            let place = &mut next[code as usize];
            levels.order[*place as usize] = row as u32;
            *place += 1;
        }
        levels
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
    fn numbers_have_the_same_levels_by_counting_and_by_sorting() {
        let dense = [4, 0, 4, 7, 2, 2, 0, 4];
        let counted = Levels::of_numbers(&dense);
        let sorted = Levels::of_numbers(&dense.map(|number| number * 1_000_000));
        assert_eq!(counted.codes, [2, 0, 2, 3, 1, 1, 0, 2]);
        assert_eq!((&counted.codes, &counted.counts, &counted.order), (&sorted.codes, &sorted.counts, &sorted.order));
        assert_eq!(Levels::of_numbers(&[]).rows(), 0);
    }

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
