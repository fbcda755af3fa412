//! Spearman's rank correlation: Pearson's, of ranks, where equal values share the mean of their ranks. Twice a rank less
//! its mean is an integer, so sums are exact and the coefficient is the same for any order of rows.

use super::levels::Levels;

/// Spearman's rank correlation.
///
/// # Panics
/// Where a value is NaN or the lengths differ.
pub fn srcc(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "columns of one table");
    of(&Levels::of(x), &Levels::of(y))
}

pub(super) fn of(x: &Levels, y: &Levels) -> Option<f64> {
    let (rank_x, rank_y) = (ranks(x.counts.iter().copied()), ranks(y.counts.iter().copied()));
    let rows = x.codes.iter().zip(&y.codes);
    let products = rows.map(|(&x, &y)| i128::from(rank_x[x as usize]) * i128::from(rank_y[y as usize]));
    of_sums(products.sum(), squares(&rank_x, x.counts.iter().copied()), squares(&rank_y, y.counts.iter().copied()))
}

/// Of each level: twice its rows' shared rank, less the mean of that.
fn ranks(counts: impl Iterator<Item = u32> + Clone) -> Vec<i64> {
    let total: i64 = counts.clone().map(i64::from).sum();
    let mut before = 0;
    let rank = |count: u32| {
        let rank = 2 * before + i64::from(count) - total;
        before += i64::from(count);
        rank
    };
    counts.map(rank).collect()
}

fn squares(ranks: &[i64], counts: impl Iterator<Item = u32>) -> i128 {
    ranks.iter().zip(counts).map(|(&rank, count)| i128::from(rank) * i128::from(rank) * i128::from(count)).sum()
}

/// Returns SRCC from sums over rows of ranks less their mean: of the products and of each side's squares, all by one factor.
/// None if a side is constant.
pub fn of_sums(products: i128, squares_x: i128, squares_y: i128) -> Option<f64> {
    let scale = (squares_x as f64 * squares_y as f64).sqrt();
    (scale > 0.0).then(|| (products as f64 / scale).clamp(-1.0, 1.0))
}

/// Memory that replicates use again.
#[derive(Default)]
pub(super) struct Scratch {
    weights_x: Vec<u32>,
    weights_y: Vec<u32>,
}

/// SRCC of a table in which each row is there `weights` times.
pub(super) fn weighted(x: &Levels, y: &Levels, weights: &[u32], scratch: &mut Scratch) -> Option<f64> {
    let Scratch { weights_x, weights_y } = scratch;
    for (weights_of, levels) in [(&mut *weights_x, x), (&mut *weights_y, y)] {
        weights_of.clear();
        weights_of.resize(levels.counts.len(), 0);
        for (&code, &weight) in levels.codes.iter().zip(weights) {
            weights_of[code as usize] += weight;
        }
    }
    let (rank_x, rank_y) = (ranks(weights_x.iter().copied()), ranks(weights_y.iter().copied()));
    let rows = x.codes.iter().zip(&y.codes).zip(weights);
    let product = |((&x, &y), &weight): ((&u32, &u32), &u32)| {
        i128::from(rank_x[x as usize]) * i128::from(rank_y[y as usize] * i64::from(weight))
    };
    let products = rows.map(product).sum();
    of_sums(products, squares(&rank_x, weights_x.iter().copied()), squares(&rank_y, weights_y.iter().copied()))
}

/// SRCC and how much each row moves it: its derivative by the row's weight, times the number of rows. They sum to zero.
///
/// With f and g a row's shares of rows below it, less a half, the coefficient is E[f g] / sqrt(E[f f] E[g g]); a row
/// counts in each mean both by its own f and g and by moving those of the rows above it.
pub(super) fn influence(x: &Levels, y: &Levels) -> Option<(f64, Vec<f64>)> {
    let value = of(x, y)?;
    let (f, g) = (shares(x), shares(y));
    let (moved_fg, moved_ff) = (moved(x, |row| g[y.codes[row] as usize]), moved(x, |row| f[x.codes[row] as usize]));
    let (moved_gf, moved_gg) = (moved(y, |row| f[x.codes[row] as usize]), moved(y, |row| g[y.codes[row] as usize]));
    let (ff, gg) = (mean_square(x, &f), mean_square(y, &g));
    let scale = (ff * gg).sqrt();
    let of = |(&a, &b): (&u32, &u32)| {
        let (a, b) = (a as usize, b as usize);
        let product = f[a] * g[b] + moved_fg[a] + moved_gf[b];
        let squares = (f[a] * f[a] + 2.0 * moved_ff[a]) / ff + (g[b] * g[b] + 2.0 * moved_gg[b]) / gg;
        product / scale - value / 2.0 * squares
    };
    Some((value, x.codes.iter().zip(&y.codes).map(of).collect()))
}

/// Of each level: the share of rows below it, ties by half, less a half.
fn shares(levels: &Levels) -> Vec<f64> {
    let twice = 2.0 * levels.rows() as f64;
    ranks(levels.counts.iter().copied()).into_iter().map(|rank| rank as f64 / twice).collect()
}

fn mean_square(levels: &Levels, shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().zip(&levels.counts).map(|(share, &count)| share * share * f64::from(count)).sum();
    sum / levels.rows() as f64
}

/// Of each level: the sum of `value` over the rows above it, ties by half, over the number of all rows.
fn moved(levels: &Levels, value: impl Fn(usize) -> f64) -> Vec<f64> {
    let n = levels.rows() as f64;
    let mut sums = vec![0.0; levels.counts.len()];
    for (row, &code) in levels.codes.iter().enumerate() {
        sums[code as usize] += value(row);
    }
    let mut above = 0.0;
    for sum in sums.iter_mut().rev() {
        let own = *sum;
        *sum = (above + own / 2.0) / n;
        above += own;
    }
    sums
}
