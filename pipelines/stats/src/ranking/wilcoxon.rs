//! Wilcoxon's signed-rank test: whether paired differences lie around zero. Differences of zero are left out.
//! Differences that are equal but for rounding are ties, such as 0.3 - 0.2 and 0.2 - 0.1.

/// Up to this many differences the exact distribution is computed, with ties; above, the normal approximation is
/// accurate enough.
const EXACT_MAX: usize = 50;

/// Differences that differ by less than this share of the values are ties: means of a dozen numbers have an error of
/// several units in the last place, 2e-16.
const TOLERANCE: f64 = 1e-12;

/// The statistics of the test.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SignedRank {
    /// The ranks of positive differences less those of negative ones, divided by the sum of all ranks: from -1 to 1.
    pub(super) effect: f64,
    /// The standard deviation of `effect` if each sign is random.
    pub(super) effect_deviation: f64,
    /// Twice the sum of the ranks of positive differences, which is an integer although ties share the mean of their
    /// ranks.
    positive: u64,
    /// Twice the sum of all ranks.
    all: u64,
    /// Twice each rank; empty above [`EXACT_MAX`].
    ranks: Vec<u64>,
}

impl SignedRank {
    /// Returns the two-sided p-value.
    pub(super) fn p(&self) -> f64 {
        if self.all == 0 {
            1.0
        } else if self.ranks.is_empty() {
            libm::erfc((self.effect / self.effect_deviation).abs() / std::f64::consts::SQRT_2)
        } else {
            exact_p(&self.ranks, self.positive.min(self.all - self.positive))
        }
    }
}

/// Ranks differences of values of which none exceeds `value_max` in absolute value.
pub(super) fn signed_rank(differences: &[f64], value_max: f64) -> SignedRank {
    let tolerance = TOLERANCE * value_max;
    let mut sorted: Vec<f64> = differences.iter().copied().filter(|difference| difference.abs() > tolerance).collect();
    sorted.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    let (mut positive, mut all, mut squares, mut before) = (0, 0, 0.0, 0);
    let mut ranks = Vec::new();
    for tied in sorted.chunk_by(|a, b| b.abs() - a.abs() <= tolerance) {
        let count = tied.len() as u64;
        let rank = 2 * before + count + 1;
        positive += rank * tied.iter().filter(|difference| **difference > 0.0).count() as u64;
        all += rank * count;
        squares += count as f64 * (rank as f64).powi(2);
        before += count;
        if sorted.len() <= EXACT_MAX {
            ranks.extend(std::iter::repeat_n(rank, tied.len()));
        }
    }
    if all == 0 {
        return SignedRank { effect: 0.0, effect_deviation: 0.0, positive, all, ranks };
    }
    let effect = (2.0 * positive as f64 - all as f64) / all as f64;
    SignedRank { effect, effect_deviation: squares.sqrt() / all as f64, positive, all, ranks }
}

/// Returns the share of all assignments of signs in which the lesser of both rank sums is at most `least`.
fn exact_p(ranks: &[u64], least: u64) -> f64 {
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
    fn p_is_scipys_by_the_exact_and_the_normal_distribution() {
        let few = [1.2, -0.4, 0.7, 2.2, -0.1, 0.9, 0.35, -1.1, 3.0, 0.6];
        assert!((signed_rank(&few, 5.0).p() - 0.10546875).abs() < 1e-12);
        let many: Vec<f64> = (0..120).map(|i| f64::from(i * 37 % 41 - 18) / 10.0).collect();
        assert!((signed_rank(&many, 5.0).p() - 0.04050296623630192).abs() < 1e-12);
    }

    #[test]
    fn ties_are_enumerated_over_all_signs() {
        let differences = [1.0, 1.0, -1.0, 2.0, 2.0, 2.0, -3.0, 3.0, 0.0, 4.0];
        let test = signed_rank(&differences, 5.0);
        // Of the 512 assignments of signs, 38 have a sum as low or lower, and 38 one as high or higher.
        assert_eq!(test.p(), 76.0 / 512.0);
        // Ranks 2, 2, 2, 5, 5, 5, 7.5, 7.5, 9, of which one 2 and one 7.5 are negative.
        assert_eq!(test.effect, 26.0 / 45.0);
    }

    /// The decimals have ties; their differences in binary floating point do not.
    #[test]
    fn differences_that_differ_by_rounding_are_ties() {
        let (a, b) = ([0.3, 0.2, 0.9, 0.7, 0.5, 0.1, 0.6], [0.2, 0.1, 0.8, 0.8, 0.4, 0.1 + 1e-17, 0.4]);
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let decimal = [1.0, 1.0, 1.0, -1.0, 1.0, 0.0, 2.0];
        assert_ne!(differences[0], differences[1]);
        assert_eq!(signed_rank(&differences, 0.9), signed_rank(&decimal, 9.0));
    }

    #[test]
    fn without_differences_p_is_one() {
        let test = signed_rank(&[0.0, 0.0], 5.0);
        assert_eq!((test.p(), test.effect, test.effect_deviation), (1.0, 0.0, 0.0));
        assert_eq!(signed_rank(&[], 0.0).p(), 1.0);
        let test = signed_rank(&[1.0, 2.0, 3.0], 5.0);
        assert_eq!((test.p(), test.effect), (0.25, 1.0));
        // Over the 8 assignments of signs, the effect's squares are 1, 4/9, 1/9 and 0, twice each.
        assert!((test.effect_deviation.powi(2) - 14.0 / 36.0).abs() < 1e-15);
    }
}
