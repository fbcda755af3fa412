//! Wilcoxon's signed-rank test: do the differences of pairs lie around zero? Differences of zero are left out.

use super::levels::Levels;

/// Up to this many differences the distribution is counted out, ties and all; above, the normal one is near enough.
const EXACT_MAX: usize = 50;

/// What the test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SignedRank {
    /// Two-sided.
    pub(super) p: f64,
    /// Ranks of positive differences less those of negative ones, over all ranks: -1 to 1.
    pub(super) effect: f64,
}

pub(super) fn signed_rank(differences: &[f64]) -> SignedRank {
    let differences: Vec<f64> = differences.iter().copied().filter(|&difference| difference != 0.0).collect();
    let sizes: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
    let levels = Levels::of(&sizes);
    // Twice the rank, which is whole where ties share a rank's mean.
    let ranks: Vec<u64> = (levels.starts().into_iter().zip(&levels.counts))
        .map(|(before, &count)| 2 * u64::from(before) + u64::from(count) + 1)
        .collect();
    let rank = |row: usize| ranks[levels.codes[row] as usize];
    let all: u64 = (0..sizes.len()).map(rank).sum();
    if all == 0 {
        return SignedRank { p: 1.0, effect: 0.0 };
    }
    let positive: u64 = (0..sizes.len()).filter(|&row| differences[row] > 0.0).map(rank).sum();
    let p = if sizes.len() <= EXACT_MAX {
        exact(&(0..sizes.len()).map(rank).collect::<Vec<_>>(), positive.min(all - positive))
    } else {
        let squares: f64 = (0..sizes.len()).map(|row| (rank(row) as f64).powi(2)).sum();
        let z = (positive as f64 - all as f64 / 2.0) / (squares / 4.0).sqrt();
        libm::erfc(z.abs() / std::f64::consts::SQRT_2)
    };
    SignedRank { p, effect: (2.0 * positive as f64 - all as f64) / all as f64 }
}

/// The share of all choices of signs in which the lesser of both sums is at most `least`.
fn exact(ranks: &[u64], least: u64) -> f64 {
    let all: u64 = ranks.iter().sum();
    let mut shares = vec![0.0; all as usize + 1];
    shares[0] = 1.0;
    for &rank in ranks {
        for sum in (0..shares.len()).rev() {
            let with = if sum as u64 >= rank { shares[sum - rank as usize] } else { 0.0 };
            shares[sum] = (shares[sum] + with) / 2.0;
        }
    }
    let tail: f64 = shares[..=least as usize].iter().sum();
    (2.0 * tail).min(1.0)
}
