//! Kendall's tau-b: pairs of rows that both columns order alike, less those that they order otherwise. Counts are exact
//! integers, so the coefficient is the same for any order of rows.

use std::iter::repeat_n;

use rayon::join;

use super::levels::{Levels, pairs};

/// Below this many items sorting by insertion is quicker than merging.
const INSERTION_MAX: usize = 24;

/// From here the halves of a merge sort are worth two threads.
const PARALLEL_ITEMS_MIN: usize = 1 << 15;

/// Kendall's rank correlation tau-b, in n log n.
///
/// # Panics
/// Where a value is NaN or the lengths differ.
pub fn krcc(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "columns of one table");
    PairCounts::of(&Levels::of(x), &Levels::of(y)).tau_b()
}

/// How pairs of rows lie in two columns. Pairs that are tied in both are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PairCounts {
    pub(super) concordant: u64,
    pub(super) discordant: u64,
    /// In x and not in y.
    pub(super) tied_x: u64,
    /// In y and not in x.
    pub(super) tied_y: u64,
}

impl PairCounts {
    /// By Knight's method: with rows in the order of x, a discordant pair is one that sorting by y turns round.
    pub(super) fn of(x: &Levels, y: &Levels) -> PairCounts {
        let rows = rows_by_both(x, y);
        let tied_both = runs(x, y, &rows).map(|run| pairs(run.len() as u64)).sum::<u64>();
        let mut codes: Vec<u32> = rows.iter().map(|&row| y.codes[row as usize]).collect();
        let mut spare = rows;
        let in_order = sort_counting(&mut codes, &mut spare, &|code| *code, &|_, _| ());
        let all = pairs(x.rows() as u64);
        let discordant = all - in_order;
        let (tied_x, tied_y) = (x.tied_pairs() - tied_both, y.tied_pairs() - tied_both);
        let concordant = in_order - tied_x - tied_y - tied_both;
        PairCounts { concordant, discordant, tied_x, tied_y }
    }

    pub(super) fn tau_b(&self) -> Option<f64> {
        let ordered = self.concordant + self.discordant;
        let (untied_x, untied_y) = (ordered + self.tied_y, ordered + self.tied_x);
        tau(self.concordant as i64 - self.discordant as i64, untied_x, untied_y)
    }
}

pub(super) fn tau(sum: i64, untied_x: u64, untied_y: u64) -> Option<f64> {
    let scale = (untied_x as f64 * untied_y as f64).sqrt();
    (scale > 0.0).then(|| (sum as f64 / scale).clamp(-1.0, 1.0))
}

/// Rows in the order of x, and of y where x is tied.
fn rows_by_both(x: &Levels, y: &Levels) -> Vec<u32> {
    let mut next = x.starts();
    let mut rows = vec![0; x.rows()];
    for &row in &y.order {
        let place = &mut next[x.codes[row as usize] as usize];
        rows[*place as usize] = row;
        *place += 1;
    }
    rows
}

/// Runs of rows that are tied in both.
fn runs<'a>(x: &'a Levels, y: &'a Levels, rows: &'a [u32]) -> impl Iterator<Item = &'a [u32]> {
    let both = |row: u32| (x.codes[row as usize], y.codes[row as usize]);
    rows.chunk_by(move |&a, &b| both(a) == both(b))
}

/// Sorts by `key`, keeping the order of equals, and tells each item how many of those before it are not above it. Returns
/// the sum of what was told. `spare` is as long as `items`.
fn sort_counting<T, K, F>(items: &mut [T], spare: &mut [T], key: &K, tell: &F) -> u64
where
    T: Copy + Send,
    K: Fn(&T) -> u32 + Sync,
    F: Fn(&mut T, u32) + Sync,
{
    if items.len() <= INSERTION_MAX {
        return insert_counting(items, key, tell);
    }
    let middle = items.len() / 2;
    let (left, right) = items.split_at_mut(middle);
    let (spare_left, spare_right) = spare.split_at_mut(middle);
    let (a, b) = if left.len() < PARALLEL_ITEMS_MIN {
        (sort_counting(left, spare_left, key, tell), sort_counting(right, spare_right, key, tell))
    } else {
        join(|| sort_counting(left, spare_left, key, tell), || sort_counting(right, spare_right, key, tell))
    };
    spare_left.copy_from_slice(left);
    a + b + merge_counting(items, spare_left, key, tell)
}

fn insert_counting<T: Copy>(items: &mut [T], key: &impl Fn(&T) -> u32, tell: &impl Fn(&mut T, u32)) -> u64 {
    let mut told = 0;
    for end in 1..items.len() {
        let mut item = items[end];
        let mut place = end;
        while place > 0 && key(&items[place - 1]) > key(&item) {
            items[place] = items[place - 1];
            place -= 1;
        }
        tell(&mut item, place as u32);
        told += place as u64;
        items[place] = item;
    }
    told
}

/// `items` holds room for `left` and then the right half; what is written never overtakes what is read.
fn merge_counting<T: Copy>(items: &mut [T], left: &[T], key: &impl Fn(&T) -> u32, tell: &impl Fn(&mut T, u32)) -> u64 {
    let (mut taken, mut right, mut told) = (0, left.len(), 0);
    // Which side is next is a coin's toss: both are prepared and one is chosen, so that no branch is mispredicted.
    while taken < left.len() && right < items.len() {
        let mut item = items[right];
        tell(&mut item, taken as u32);
        let from_left = key(&left[taken]) <= key(&item);
        told += if from_left { 0 } else { taken as u64 };
        items[right - left.len() + taken] = if from_left { left[taken] } else { item };
        taken += usize::from(from_left);
        right += usize::from(!from_left);
    }
    for item in &mut items[right..] {
        tell(item, taken as u32);
        told += taken as u64;
    }
    let rest = left.len() - taken;
    items[right - rest..right].copy_from_slice(&left[taken..]);
    told
}

/// Of each row: the rows that lie to it as in a concordant pair, less those as in a discordant one.
pub(super) fn concordance(x: &Levels, y: &Levels) -> Vec<i64> {
    #[derive(Clone, Copy)]
    struct Item {
        y: u32,
        place: u32,
        not_above: u32,
    }
    let rows = rows_by_both(x, y);
    let item = |(place, &row): (u32, &u32)| Item { y: y.codes[row as usize], place, not_above: 0 };
    let mut items: Vec<Item> = (0..).zip(&rows).map(item).collect();
    let mut spare = items.clone();
    sort_counting(&mut items, &mut spare, &|item| item.y, &|item, more| item.not_above += more);
    drop(spare);
    let mut run_of: Vec<(u32, u32)> = Vec::with_capacity(rows.len());
    for run in runs(x, y, &rows) {
        run_of.extend(repeat_n((run_of.len() as u32, run.len() as u32), run.len()));
    }
    let starts = x.starts();
    let mut sums = vec![0; rows.len()];
    let mut y_below = 0;
    for level in items.chunk_by(|a, b| a.y == b.y) {
        let y_above = rows.len() as i64 - y_below - level.len() as i64;
        for (y_equal_before, item) in (0..).zip(level) {
            let place = item.place as usize;
            let row = rows[place] as usize;
            let x_level = x.codes[row] as usize;
            let (x_below, x_equal) = (i64::from(starts[x_level]), i64::from(x.counts[x_level]));
            let (run_start, both_equal) = (i64::from(run_of[place].0), i64::from(run_of[place].1));
            // Rows by where they lie in x and in y: `below_equal` is below in x and equal in y.
            let equal_below = run_start - x_below;
            let below_equal = y_equal_before - (i64::from(item.place) - run_start);
            let below_below = i64::from(item.not_above) - y_equal_before - equal_below;
            let below_above = x_below - below_below - below_equal;
            let above_below = y_below - below_below - equal_below;
            let equal_above = x_equal - equal_below - both_equal;
            let above_above = y_above - below_above - equal_above;
            sums[row] = below_below + above_above - below_above - above_below;
        }
        y_below += level.len() as i64;
    }
    sums
}

/// How much each row moves tau-b: its derivative by the row's weight, times the number of rows. They sum to zero.
pub(super) fn influence(x: &Levels, y: &Levels) -> Option<(f64, Vec<f64>)> {
    let sums = concordance(x, y);
    let all = pairs(x.rows() as u64);
    let (untied_x, untied_y) = (all - x.tied_pairs(), all - y.tied_pairs());
    let tau = tau(sums.iter().sum::<i64>() / 2, untied_x, untied_y)?;
    let n = x.rows() as f64;
    // Shares of ordered pairs, a row with itself among them.
    let (a, b) = (2.0 * untied_x as f64 / (n * n), 2.0 * untied_y as f64 / (n * n));
    let scale = (a * b).sqrt();
    let untied = |levels: &Levels, row: usize| 1.0 - f64::from(levels.counts[levels.codes[row] as usize]) / n;
    let of = |row: usize| {
        let sum = sums[row] as f64 / n;
        2.0 * sum / scale - tau * (untied(x, row) / a + untied(y, row) / b)
    };
    Some((tau, (0..x.rows()).map(of).collect()))
}

/// Memory that replicates use again.
#[derive(Default)]
pub(super) struct Scratch {
    /// A Fenwick tree: weight seen, by level of y.
    tree: Vec<i64>,
    /// Weight seen of each level of y.
    seen: Vec<i64>,
}

/// Tau-b of a table in which each row is there `weights` times.
pub(super) fn weighted(x: &Levels, y: &Levels, weights: &[u32], scratch: &mut Scratch) -> Option<f64> {
    let Scratch { tree, seen } = scratch;
    for counts in [&mut *tree, &mut *seen] {
        counts.clear();
        counts.resize(y.counts.len(), 0);
    }
    let (mut sum, mut total, mut squares_x) = (0, 0, 0);
    for group in x.groups() {
        let mut of_group = 0;
        for &row in group {
            let weight = i64::from(weights[row as usize]);
            if weight > 0 {
                let level = y.codes[row as usize] as usize;
                let below = weight_below(tree, level);
                let above = total - below - seen[level];
                sum += weight * (below - above);
                of_group += weight;
            }
        }
        for &row in group {
            let weight = i64::from(weights[row as usize]);
            if weight > 0 {
                let level = y.codes[row as usize] as usize;
                seen[level] += weight;
                add(tree, level, weight);
            }
        }
        total += of_group;
        squares_x += of_group * of_group;
    }
    let squares_y: i64 = seen.iter().map(|weight| weight * weight).sum();
    let untied = |squares: i64| ((total * total - squares) / 2) as u64;
    tau(sum, untied(squares_x), untied(squares_y))
}

/// Weight of the levels below `level`.
fn weight_below(tree: &[i64], level: usize) -> i64 {
    let (mut end, mut sum) = (level, 0);
    while end > 0 {
        sum += tree[end - 1];
        end &= end - 1;
    }
    sum
}

fn add(tree: &mut [i64], level: usize, weight: i64) {
    let mut end = level + 1;
    while end <= tree.len() {
        tree[end - 1] += weight;
        end += end & end.wrapping_neg();
    }
}
