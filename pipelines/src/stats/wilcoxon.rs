//! Wilcoxon's signed-rank test: do the differences of pairs lie around zero? Differences of zero are left out. Differences that
//! are equal but for rounding are equal: 0.3 - 0.2 and 0.2 - 0.1 are ties.

use super::levels::Levels;

/// Up to this many differences the distribution is counted out, ties and all; above, the normal one is near enough.
const EXACT_MAX: usize = 50;

/// Of the values: means of some dozen numbers are off by some units of the last digit, 2e-16.
const TOLERANCE: f64 = 1e-12;

/// What the test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SignedRank {
    /// Two-sided.
    pub(super) p: f64,
    /// Ranks of positive differences less those of negative ones, over all ranks: -1 to 1.
    pub(super) effect: f64,
    /// Standard deviation of `effect` were every sign a coin's.
    pub(super) effect_deviation: f64,
}

/// Tests differences of values of which none is larger in absolute value than `size`.
pub(super) fn signed_rank(differences: &[f64], size: f64) -> SignedRank {
    let tolerance = TOLERANCE * size;
    let differences: Vec<f64> = differences.iter().copied().filter(|difference| difference.abs() > tolerance).collect();
    let sizes = tied(&differences, tolerance);
    let levels = Levels::of(&sizes);
    // Twice the rank, which is whole where ties share a rank's mean.
    let ranks: Vec<u64> = (levels.starts().into_iter().zip(&levels.counts))
        .map(|(before, &count)| 2 * u64::from(before) + u64::from(count) + 1)
        .collect();
    let rank = |row: usize| ranks[levels.codes[row] as usize];
    let all: u64 = (0..sizes.len()).map(rank).sum();
    if all == 0 {
        return SignedRank { p: 1.0, effect: 0.0, effect_deviation: 0.0 };
    }
    let positive: u64 = (0..sizes.len()).filter(|&row| differences[row] > 0.0).map(rank).sum();
    let squares: f64 = (0..sizes.len()).map(|row| (rank(row) as f64).powi(2)).sum();
    let p = if sizes.len() <= EXACT_MAX {
        exact(&(0..sizes.len()).map(rank).collect::<Vec<_>>(), positive.min(all - positive))
    } else {
        let z = (positive as f64 - all as f64 / 2.0) / (squares / 4.0).sqrt();
        libm::erfc(z.abs() / std::f64::consts::SQRT_2)
    };
    let effect = (2.0 * positive as f64 - all as f64) / all as f64;
    SignedRank { p, effect, effect_deviation: squares.sqrt() / all as f64 }
}

/// Absolute values; those that are nearer to the next smaller one than the tolerance are made equal to it.
fn tied(differences: &[f64], tolerance: f64) -> Vec<f64> {
    let mut sizes: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_unstable_by(|&a, &b| sizes[a].total_cmp(&sizes[b]));
    let (mut before, mut level) = (f64::NEG_INFINITY, 0.0);
    for row in order {
        if sizes[row] - before > tolerance {
            level = sizes[row];
        }
        before = sizes[row];
        sizes[row] = level;
    }
    sizes
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_is_scipys_counted_out_and_by_the_normal_distribution() {
        let few = [1.2, -0.4, 0.7, 2.2, -0.1, 0.9, 0.35, -1.1, 3.0, 0.6];
        assert!((signed_rank(&few, 5.0).p - 0.10546875).abs() < 1e-12);
        let many: Vec<f64> = (0..120).map(|i| f64::from(i * 37 % 41 - 18) / 10.0).collect();
        assert!((signed_rank(&many, 5.0).p - 0.04050296623630192).abs() < 1e-12);
    }

    #[test]
    fn ties_are_counted_out_over_all_signs() {
        let differences = [1.0, 1.0, -1.0, 2.0, 2.0, 2.0, -3.0, 3.0, 0.0, 4.0];
        let test = signed_rank(&differences, 5.0);
        // 38 of the 512 choices of signs have a sum as low or lower, and as many as high.
        assert_eq!(test.p, 76.0 / 512.0);
        // Ranks 2, 2, 2, 5, 5, 5, 7.5, 7.5, 9, of which one 2 and one 7.5 are negative.
        assert_eq!(test.effect, 26.0 / 45.0);
    }

    /// exact.py of the review: the decimals that were meant have ties, their differences in binary have none.
    #[test]
    fn ties_that_rounding_broke_are_ties() {
        let (a, b) = ([0.3, 0.2, 0.9, 0.7, 0.5, 0.1, 0.6], [0.2, 0.1, 0.8, 0.8, 0.4, 0.1 + 1e-17, 0.4]);
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let meant = [1.0, 1.0, 1.0, -1.0, 1.0, 0.0, 2.0];
        assert_ne!(differences[0], differences[1]);
        assert_eq!(signed_rank(&differences, 0.9), signed_rank(&meant, 9.0));
    }

    #[test]
    fn no_difference_is_no_evidence() {
        assert_eq!(signed_rank(&[0.0, 0.0], 5.0), SignedRank { p: 1.0, effect: 0.0, effect_deviation: 0.0 });
        assert_eq!(signed_rank(&[], 0.0).p, 1.0);
        let test = signed_rank(&[1.0, 2.0, 3.0], 5.0);
        assert_eq!((test.p, test.effect), (0.25, 1.0));
        // Over the 8 choices of signs the effect's squares are twice 1, 4/9, 1/9 and 0.
        assert!((test.effect_deviation.powi(2) - 14.0 / 36.0).abs() < 1e-15);
    }
}
