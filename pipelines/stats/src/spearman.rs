//! Spearman's rank correlation (SRCC): Pearson's correlation of ranks, where equal values share the mean of their
//! ranks. Twice a rank less its mean is an integer, so sums are exact and the coefficient does not depend on the order
//! of rows.

use crate::dense_ranks::DenseRanks;

/// Returns Spearman's rank correlation coefficient of `x` and `y`, from -1 to 1 (Spearman 1904). Ties share the mean of
/// their ranks, as in SciPy's `spearmanr`. `None` if there are fewer than two rows or a side is constant.
///
/// # Panics
/// If a value is NaN or the lengths differ.
///
/// # Examples
/// ```
/// let score = [0.1, 0.4, 0.3, 0.9];
/// let mos = [1.0, 2.0, 3.0, 4.0];
/// assert_eq!(dqa_stats::srcc(&score, &mos), Some(0.8));
/// assert_eq!(dqa_stats::srcc(&score, &[5.0; 4]), None);
/// ```
pub fn srcc(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "columns have unequal lengths");
    coefficient(&DenseRanks::from_values(x), &DenseRanks::from_values(y))
}

pub(crate) fn coefficient(x: &DenseRanks, y: &DenseRanks) -> Option<f64> {
    let midranks_x = centred_midranks(x.counts.iter().copied());
    let midranks_y = centred_midranks(y.counts.iter().copied());
    let rows = x.ranks.iter().zip(&y.ranks);
    let products = rows.map(|(&x, &y)| i128::from(midranks_x[x as usize]) * i128::from(midranks_y[y as usize]));
    srcc_from_sums(
        products.sum(),
        sum_of_squares(&midranks_x, x.counts.iter().copied()),
        sum_of_squares(&midranks_y, y.counts.iter().copied()),
    )
}

/// Returns, for each dense rank, twice the rank that its rows share less the mean of that over all rows.
fn centred_midranks(counts: impl Iterator<Item = u32> + Clone) -> Vec<i64> {
    let total: i64 = counts.clone().map(i64::from).sum();
    let mut before = 0;
    let midrank = |count: u32| {
        let midrank = 2 * before + i64::from(count) - total;
        before += i64::from(count);
        midrank
    };
    counts.map(midrank).collect()
}

fn sum_of_squares(midranks: &[i64], counts: impl Iterator<Item = u32>) -> i128 {
    midranks
        .iter()
        .zip(counts)
        .map(|(&midrank, count)| i128::from(midrank) * i128::from(midrank) * i128::from(count))
        .sum()
}

/// Returns SRCC from sums over rows of ranks less their mean: the sum of the products and the sum of squares of each
/// side. All three may be scaled by one common factor. For callers that add up rows which are not in one place. `None`
/// if a side is constant.
pub fn srcc_from_sums(products: i128, squares_x: i128, squares_y: i128) -> Option<f64> {
    let scale = (squares_x as f64 * squares_y as f64).sqrt();
    (scale > 0.0).then(|| (products as f64 / scale).clamp(-1.0, 1.0))
}

/// Buffers that replicates share.
#[derive(Default)]
pub(crate) struct SpearmanScratch {
    weights_x: Vec<u32>,
    weights_y: Vec<u32>,
}

/// Returns SRCC of a table in which each row occurs `weights` times.
pub(crate) fn weighted_coefficient(
    x: &DenseRanks,
    y: &DenseRanks,
    weights: &[u32],
    scratch: &mut SpearmanScratch,
) -> Option<f64> {
    let SpearmanScratch { weights_x, weights_y } = scratch;
    for (rank_weights, dense) in [(&mut *weights_x, x), (&mut *weights_y, y)] {
        rank_weights.clear();
        rank_weights.resize(dense.counts.len(), 0);
        for (&rank, &weight) in dense.ranks.iter().zip(weights) {
            rank_weights[rank as usize] += weight;
        }
    }
    let midranks_x = centred_midranks(weights_x.iter().copied());
    let midranks_y = centred_midranks(weights_y.iter().copied());
    let rows = x.ranks.iter().zip(&y.ranks).zip(weights);
    let product = |((&x, &y), &weight): ((&u32, &u32), &u32)| {
        i128::from(midranks_x[x as usize]) * i128::from(midranks_y[y as usize] * i64::from(weight))
    };
    let products = rows.map(product).sum();
    srcc_from_sums(
        products,
        sum_of_squares(&midranks_x, weights_x.iter().copied()),
        sum_of_squares(&midranks_y, weights_y.iter().copied()),
    )
}

/// Returns SRCC and the influence of each row on it: the derivative by the row's weight, times the number of rows. The
/// influences sum to zero.
///
/// With f and g the shares of rows below a row, less a half, the coefficient is E[f g] / sqrt(E[f f] E[g g]); a row
/// counts in each mean both by its own f and g and by moving those of the rows above it.
pub(crate) fn influence(x: &DenseRanks, y: &DenseRanks) -> Option<(f64, Vec<f64>)> {
    let value = coefficient(x, y)?;
    let (f, g) = (shares_below(x), shares_below(y));
    let moved_fg = mean_above(x, |row| g[y.ranks[row] as usize]);
    let moved_ff = mean_above(x, |row| f[x.ranks[row] as usize]);
    let moved_gf = mean_above(y, |row| f[x.ranks[row] as usize]);
    let moved_gg = mean_above(y, |row| g[y.ranks[row] as usize]);
    let (ff, gg) = (mean_square(x, &f), mean_square(y, &g));
    let scale = (ff * gg).sqrt();
    let row_influence = |(&a, &b): (&u32, &u32)| {
        let (a, b) = (a as usize, b as usize);
        let product = f[a] * g[b] + moved_fg[a] + moved_gf[b];
        let squares = (f[a] * f[a] + 2.0 * moved_ff[a]) / ff + (g[b] * g[b] + 2.0 * moved_gg[b]) / gg;
        product / scale - value / 2.0 * squares
    };
    Some((value, x.ranks.iter().zip(&y.ranks).map(row_influence).collect()))
}

/// Returns, for each dense rank, the share of rows below it, ties counting half, less a half.
fn shares_below(dense: &DenseRanks) -> Vec<f64> {
    let twice = 2.0 * dense.rows() as f64;
    centred_midranks(dense.counts.iter().copied()).into_iter().map(|midrank| midrank as f64 / twice).collect()
}

fn mean_square(dense: &DenseRanks, shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().zip(&dense.counts).map(|(share, &count)| share * share * f64::from(count)).sum();
    sum / dense.rows() as f64
}

/// Returns, for each dense rank, the sum of `value` over the rows above it, ties counting half, divided by the number
/// of all rows.
fn mean_above(dense: &DenseRanks, value: impl Fn(usize) -> f64) -> Vec<f64> {
    let n = dense.rows() as f64;
    let mut sums = vec![0.0; dense.counts.len()];
    for (row, &rank) in dense.ranks.iter().enumerate() {
        sums[rank as usize] += value(row);
    }
    let mut above = 0.0;
    for sum in sums.iter_mut().rev() {
        let own = *sum;
        *sum = (above + own / 2.0) / n;
        above += own;
    }
    sums
}
