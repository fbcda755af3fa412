//! Kendall's tau-b (KRCC): concordant pairs of rows less discordant ones, divided by a scale that allows for ties.
//! Counts are exact integers, so the coefficient does not depend on the order of rows.

use std::iter::repeat_n;

use rayon::join;

use crate::dense_ranks::{DenseRanks, pair_count};

/// Up to this many items insertion sort is quicker than merging.
const INSERTION_MAX: usize = 24;

/// The halves of a merge sort run on two threads from this many items on.
const PARALLEL_ITEMS_MIN: usize = 1 << 15;

/// Returns Kendall's rank correlation coefficient tau-b of `x` and `y`, from -1 to 1 (Kendall 1945), in n log n steps
/// by Knight's method (1966). `None` if there are fewer than two rows or a side is constant.
///
/// # Panics
/// If a value is NaN or the lengths differ.
///
/// # Examples
/// ```
/// // Five of the six pairs are concordant, one is discordant.
/// let krcc = dqa_stats::krcc(&[0.1, 0.4, 0.3, 0.9], &[1.0, 2.0, 3.0, 4.0]).unwrap();
/// assert!((krcc - 4.0 / 6.0).abs() < 1e-12);
/// ```
pub fn krcc(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "columns have unequal lengths");
    PairCounts::count(&DenseRanks::from_values(x), &DenseRanks::from_values(y)).tau_b()
}

/// Pairs of rows by how two columns order them. Pairs that are tied in both columns are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PairCounts {
    pub(crate) concordant: u64,
    pub(crate) discordant: u64,
    /// Tied in x and not in y.
    pub(crate) tied_x: u64,
    /// Tied in y and not in x.
    pub(crate) tied_y: u64,
}

impl PairCounts {
    /// Counts by Knight's method: with rows in the order of x, a discordant pair is one that sorting by y reverses.
    pub(crate) fn count(x: &DenseRanks, y: &DenseRanks) -> PairCounts {
        let rows = sort_rows(x, y);
        let tied_both = runs_tied_in_both(x, y, &rows).map(|run| pair_count(run.len() as u64)).sum::<u64>();
        let mut ranks: Vec<u32> = rows.iter().map(|&row| y.ranks[row as usize]).collect();
        let mut spare = rows;
        let not_discordant = sort_counting(&mut ranks, &mut spare, &|rank| *rank, &|_, _| ());
        let all = pair_count(x.rows() as u64);
        let discordant = all - not_discordant;
        let (tied_x, tied_y) = (x.tied_pairs() - tied_both, y.tied_pairs() - tied_both);
        let concordant = not_discordant - tied_x - tied_y - tied_both;
        PairCounts { concordant, discordant, tied_x, tied_y }
    }

    pub(crate) fn tau_b(&self) -> Option<f64> {
        let ordered = self.concordant + self.discordant;
        let (untied_x, untied_y) = (ordered + self.tied_y, ordered + self.tied_x);
        tau_b(self.concordant as i64 - self.discordant as i64, untied_x, untied_y)
    }
}

/// Returns tau-b from the number of concordant pairs less discordant ones and the pairs that each side does not tie.
pub(crate) fn tau_b(concordance: i64, untied_x: u64, untied_y: u64) -> Option<f64> {
    let scale = (untied_x as f64 * untied_y as f64).sqrt();
    (scale > 0.0).then(|| (concordance as f64 / scale).clamp(-1.0, 1.0))
}

/// Returns the rows in the order of x, and in the order of y where x is tied.
fn sort_rows(x: &DenseRanks, y: &DenseRanks) -> Vec<u32> {
    let mut next = x.group_starts();
    let mut rows = vec![0; x.rows()];
    for &row in &y.order {
        let position = &mut next[x.ranks[row as usize] as usize];
        rows[*position as usize] = row;
        *position += 1;
    }
    rows
}

/// Returns the runs of rows that are tied in both columns.
fn runs_tied_in_both<'a>(x: &'a DenseRanks, y: &'a DenseRanks, rows: &'a [u32]) -> impl Iterator<Item = &'a [u32]> {
    let both = |row: u32| (x.ranks[row as usize], y.ranks[row as usize]);
    rows.chunk_by(move |&a, &b| both(a) == both(b))
}

/// Sorts stably by `key`. Calls `report` for each item with the number of items before it whose key is not larger (in
/// total, over several calls for one item), and returns the sum of these numbers. `spare` is as long as `items`.
fn sort_counting<T, K, F>(items: &mut [T], spare: &mut [T], key: &K, report: &F) -> u64
where
    T: Copy + Send,
    K: Fn(&T) -> u32 + Sync,
    F: Fn(&mut T, u32) + Sync,
{
    if items.len() <= INSERTION_MAX {
        return insert_counting(items, key, report);
    }
    let middle = items.len() / 2;
    let (left, right) = items.split_at_mut(middle);
    let (spare_left, spare_right) = spare.split_at_mut(middle);
    let (a, b) = if left.len() < PARALLEL_ITEMS_MIN {
        (sort_counting(left, spare_left, key, report), sort_counting(right, spare_right, key, report))
    } else {
        join(|| sort_counting(left, spare_left, key, report), || sort_counting(right, spare_right, key, report))
    };
    spare_left.copy_from_slice(left);
    a + b + merge_counting(items, spare_left, key, report)
}

fn insert_counting<T: Copy>(items: &mut [T], key: &impl Fn(&T) -> u32, report: &impl Fn(&mut T, u32)) -> u64 {
    let mut total = 0;
    for end in 1..items.len() {
        let mut item = items[end];
        let mut position = end;
        while position > 0 && key(&items[position - 1]) > key(&item) {
            items[position] = items[position - 1];
            position -= 1;
        }
        report(&mut item, position as u32);
        total += position as u64;
        items[position] = item;
    }
    total
}

/// Merges `left` and the right half of `items` into `items`, whose left half is free; the write position never
/// overtakes the read position.
fn merge_counting<T: Copy>(
    items: &mut [T],
    left: &[T],
    key: &impl Fn(&T) -> u32,
    report: &impl Fn(&mut T, u32),
) -> u64 {
    let (mut taken, mut right, mut total) = (0, left.len(), 0);
    // Which side is next cannot be predicted: both are prepared and one is selected, so that no branch is mispredicted.
    while taken < left.len() && right < items.len() {
        let mut item = items[right];
        report(&mut item, taken as u32);
        let from_left = key(&left[taken]) <= key(&item);
        total += if from_left { 0 } else { taken as u64 };
        items[right - left.len() + taken] = if from_left { left[taken] } else { item };
        taken += usize::from(from_left);
        right += usize::from(!from_left);
    }
    for item in &mut items[right..] {
        report(item, taken as u32);
        total += taken as u64;
    }
    let rest = left.len() - taken;
    items[right - rest..right].copy_from_slice(&left[taken..]);
    total
}

/// Returns, for each row, the number of rows with which it forms a concordant pair less the number with which it forms
/// a discordant one.
pub(crate) fn row_concordance(x: &DenseRanks, y: &DenseRanks) -> Vec<i64> {
    #[derive(Clone, Copy)]
    struct Item {
        y: u32,
        position: u32,
        not_above: u32,
    }
    let rows = sort_rows(x, y);
    let item = |(position, &row): (u32, &u32)| Item { y: y.ranks[row as usize], position, not_above: 0 };
    let mut items: Vec<Item> = (0..).zip(&rows).map(item).collect();
    let mut spare = items.clone();
    sort_counting(&mut items, &mut spare, &|item| item.y, &|item, more| item.not_above += more);
    drop(spare);
    // The start and the length of each position's run of rows that are tied in both columns.
    let mut tied_runs: Vec<(u32, u32)> = Vec::with_capacity(rows.len());
    for run in runs_tied_in_both(x, y, &rows) {
        tied_runs.extend(repeat_n((tied_runs.len() as u32, run.len() as u32), run.len()));
    }
    let starts = x.group_starts();
    let mut sums = vec![0; rows.len()];
    let mut y_below = 0;
    for tied_in_y in items.chunk_by(|a, b| a.y == b.y) {
        let y_above = rows.len() as i64 - y_below - tied_in_y.len() as i64;
        for (y_equal_before, item) in (0..).zip(tied_in_y) {
            let position = item.position as usize;
            let row = rows[position] as usize;
            let x_rank = x.ranks[row] as usize;
            let (x_below, x_equal) = (i64::from(starts[x_rank]), i64::from(x.counts[x_rank]));
            let (run_start, both_equal) = (i64::from(tied_runs[position].0), i64::from(tied_runs[position].1));
            // Numbers of rows by their order in x and in y: `below_equal` counts rows below in x and equal in y.
            let equal_below = run_start - x_below;
            let below_equal = y_equal_before - (i64::from(item.position) - run_start);
            let below_below = i64::from(item.not_above) - y_equal_before - equal_below;
            let below_above = x_below - below_below - below_equal;
            let above_below = y_below - below_below - equal_below;
            let equal_above = x_equal - equal_below - both_equal;
            let above_above = y_above - below_above - equal_above;
            sums[row] = below_below + above_above - below_above - above_below;
        }
        y_below += tied_in_y.len() as i64;
    }
    sums
}

/// Returns tau-b and the influence of each row on it: the derivative by the row's weight, times the number of rows. The
/// influences sum to zero.
pub(crate) fn influence(x: &DenseRanks, y: &DenseRanks) -> Option<(f64, Vec<f64>)> {
    let sums = row_concordance(x, y);
    let all = pair_count(x.rows() as u64);
    let (untied_x, untied_y) = (all - x.tied_pairs(), all - y.tied_pairs());
    let tau = tau_b(sums.iter().sum::<i64>() / 2, untied_x, untied_y)?;
    let n = x.rows() as f64;
    // Shares of ordered pairs, where a row also forms a pair with itself.
    let (a, b) = (2.0 * untied_x as f64 / (n * n), 2.0 * untied_y as f64 / (n * n));
    let scale = (a * b).sqrt();
    let untied = |dense: &DenseRanks, row: usize| 1.0 - f64::from(dense.counts[dense.ranks[row] as usize]) / n;
    let row_influence = |row: usize| {
        let sum = sums[row] as f64 / n;
        2.0 * sum / scale - tau * (untied(x, row) / a + untied(y, row) / b)
    };
    Some((tau, (0..x.rows()).map(row_influence).collect()))
}

/// Buffers that replicates share.
#[derive(Default)]
pub(crate) struct KendallScratch {
    /// A Fenwick tree: the weight seen so far, by rank in y.
    tree: Vec<i64>,
    /// The weight seen so far of each rank in y.
    seen: Vec<i64>,
}

/// Returns tau-b of a table in which each row occurs `weights` times.
pub(crate) fn weighted_coefficient(
    x: &DenseRanks,
    y: &DenseRanks,
    weights: &[u32],
    scratch: &mut KendallScratch,
) -> Option<f64> {
    let KendallScratch { tree, seen } = scratch;
    for counts in [&mut *tree, &mut *seen] {
        counts.clear();
        counts.resize(y.counts.len(), 0);
    }
    let (mut concordance, mut total, mut squares_x) = (0, 0, 0);
    for group in x.groups() {
        let mut group_weight = 0;
        for &row in group {
            let weight = i64::from(weights[row as usize]);
            if weight > 0 {
                let rank = y.ranks[row as usize] as usize;
                let below = fenwick_sum_below(tree, rank);
                let above = total - below - seen[rank];
                concordance += weight * (below - above);
                group_weight += weight;
            }
        }
        for &row in group {
            let weight = i64::from(weights[row as usize]);
            if weight > 0 {
                let rank = y.ranks[row as usize] as usize;
                seen[rank] += weight;
                fenwick_add(tree, rank, weight);
            }
        }
        total += group_weight;
        squares_x += group_weight * group_weight;
    }
    let squares_y: i64 = seen.iter().map(|weight| weight * weight).sum();
    let untied = |squares: i64| ((total * total - squares) / 2) as u64;
    tau_b(concordance, untied(squares_x), untied(squares_y))
}

/// Returns the weight of the ranks below `rank`.
fn fenwick_sum_below(tree: &[i64], rank: usize) -> i64 {
    let (mut end, mut sum) = (rank, 0);
    while end > 0 {
        sum += tree[end - 1];
        end &= end - 1;
    }
    sum
}

fn fenwick_add(tree: &mut [i64], rank: usize, weight: i64) {
    let mut end = rank + 1;
    while end <= tree.len() {
        tree[end - 1] += weight;
        end += end & end.wrapping_neg();
    }
}
