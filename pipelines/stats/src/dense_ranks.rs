//! Dense ranks of a column: 0 for the least value, the same rank for equal values. One sort yields all that rank
//! measures need, and groups the rows of a column of ids (scenes, algorithms).

use rayon::slice::ParallelSliceMut;

/// Columns of at least this many rows are sorted by several threads; below, starting threads costs more than the sort.
const PARALLEL_ROWS_MIN: usize = 1 << 15;

/// Returns the rank of each value: 1 for the least, and the mean of their ranks for equal values.
///
/// # Panics
/// If a value is NaN.
///
/// # Examples
/// ```
/// assert_eq!(dqa_stats::midranks(&[0.5, 0.1, 0.5, 0.9]), [2.5, 1.0, 2.5, 4.0]);
/// ```
pub fn midranks(values: &[f64]) -> Vec<f64> {
    let dense = DenseRanks::from_values(values);
    let midrank = |(start, count): (u32, &u32)| f64::from(start) + (f64::from(*count) + 1.0) / 2.0;
    let midranks: Vec<f64> = dense.group_starts().into_iter().zip(&dense.counts).map(midrank).collect();
    dense.ranks.iter().map(|&rank| midranks[rank as usize]).collect()
}

/// Ids below this multiple of the number of rows are sorted by counting.
const DENSE_MAX: usize = 2;

/// The dense ranks of a column and the rows in their order.
pub(crate) struct DenseRanks {
    /// The rank of each row.
    pub(crate) ranks: Vec<u32>,
    /// The number of rows of each rank.
    pub(crate) counts: Vec<u32>,
    /// The rows in ascending order of rank; rows of equal rank are in ascending order of row number.
    pub(crate) order: Vec<u32>,
}

impl DenseRanks {
    /// Ranks values, of which none may be NaN. 0 and -0 are equal.
    pub(crate) fn from_values(values: &[f64]) -> DenseRanks {
        DenseRanks::from_keys(values.iter().map(|&value| sort_key(value)))
    }

    /// Ranks ids: the rows of one id form a group.
    pub(crate) fn from_ids(ids: &[u32]) -> DenseRanks {
        let len = ids.iter().max().map_or(0, |&most| most as usize + 1);
        if len <= ids.len().saturating_mul(DENSE_MAX) {
            return DenseRanks::by_counting(ids, len);
        }
        DenseRanks::from_keys(ids.iter().map(|&id| u64::from(id)))
    }

    /// Sorts ids below `len` without comparing them.
    fn by_counting(ids: &[u32], len: usize) -> DenseRanks {
        assert!(u32::try_from(ids.len()).is_ok(), "row numbers have 32 bits");
        let mut count_by_id = vec![0_u32; len];
        ids.iter().for_each(|&id| count_by_id[id as usize] += 1);
        let (mut rank_by_id, mut counts) = (vec![0_u32; len], Vec::new());
        for (rank, &count) in rank_by_id.iter_mut().zip(&count_by_id) {
            *rank = counts.len() as u32;
            if count > 0 {
                counts.push(count);
            }
        }
        let ranks = ids.iter().map(|&id| rank_by_id[id as usize]).collect();
        let mut dense = DenseRanks { ranks, counts, order: vec![0; ids.len()] };
        let mut next = dense.group_starts();
        for (row, &rank) in dense.ranks.iter().enumerate() {
            let position = &mut next[rank as usize];
            dense.order[*position as usize] = row as u32;
            *position += 1;
        }
        dense
    }

    fn from_keys(keys: impl ExactSizeIterator<Item = u64>) -> DenseRanks {
        assert!(u32::try_from(keys.len()).is_ok(), "row numbers have 32 bits");
        // The row number is part of the sort key: otherwise the order of ties would depend on the threads.
        let mut keyed: Vec<(u64, u32)> = keys.zip(0..).collect();
        if keyed.len() < PARALLEL_ROWS_MIN {
            keyed.sort_unstable();
        } else {
            keyed.par_sort_unstable();
        }
        let mut dense = DenseRanks { ranks: vec![0; keyed.len()], counts: Vec::new(), order: Vec::new() };
        for group in keyed.chunk_by(|a, b| a.0 == b.0) {
            let rank = dense.counts.len() as u32;
            dense.counts.push(group.len() as u32);
            for &(_, row) in group {
                dense.ranks[row as usize] = rank;
            }
        }
        dense.order = keyed.into_iter().map(|(_, row)| row).collect();
        dense
    }

    pub(crate) fn rows(&self) -> usize {
        self.ranks.len()
    }

    /// Returns the position in `order` at which the rows of each rank begin.
    pub(crate) fn group_starts(&self) -> Vec<u32> {
        self.counts.iter().scan(0, |start, count| Some(std::mem::replace(start, *start + count))).collect()
    }

    /// Returns the rows of each rank, in ascending order of rank.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &[u32]> {
        let mut rest = self.order.as_slice();
        self.counts.iter().map(move |&count| {
            let (group, after) = rest.split_at(count as usize);
            rest = after;
            group
        })
    }

    /// Returns the number of pairs of rows with equal rank.
    pub(crate) fn tied_pairs(&self) -> u64 {
        self.counts.iter().map(|&count| pair_count(count.into())).sum()
    }
}

/// Returns the number of pairs that `rows` rows form.
pub(crate) fn pair_count(rows: u64) -> u64 {
    rows * rows.saturating_sub(1) / 2
}

/// Returns an integer that sorts as the value does; 0 and -0 have the same one.
fn sort_key(value: f64) -> u64 {
    assert!(!value.is_nan(), "a value is NaN");
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_same_ranks_by_counting_and_by_sorting() {
        let dense = [4, 0, 4, 7, 2, 2, 0, 4];
        let counted = DenseRanks::from_ids(&dense);
        let sorted = DenseRanks::from_ids(&dense.map(|id| id * 1_000_000));
        assert_eq!(counted.ranks, [2, 0, 2, 3, 1, 1, 0, 2]);
        assert_eq!((&counted.ranks, &counted.counts, &counted.order), (&sorted.ranks, &sorted.counts, &sorted.order));
        assert_eq!(DenseRanks::from_ids(&[]).rows(), 0);
    }

    #[test]
    fn equal_values_share_a_rank_and_rows_are_ordered_by_rank() {
        let dense = DenseRanks::from_values(&[3.0, -0.0, f64::INFINITY, 0.0, -7.5, 3.0]);
        assert_eq!(dense.ranks, [2, 1, 3, 1, 0, 2]);
        assert_eq!(dense.counts, [1, 2, 2, 1]);
        assert_eq!(dense.order, [4, 1, 3, 0, 5, 2]);
        assert_eq!(dense.group_starts(), [0, 1, 3, 5]);
        assert_eq!(dense.tied_pairs(), 2);
        assert_eq!(dense.groups().collect::<Vec<_>>(), [&[4_u32][..], &[1, 3], &[0, 5], &[2]]);
    }
}
