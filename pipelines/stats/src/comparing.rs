//! Two algorithms: the difference of their adjusted scores with its interval, sizes of the effect that have no unit, what so many
//! scenes can show at all, and whether the two are equivalent. Pure.

use serde::{Deserialize, Serialize};

use super::estimate::{Estimate, StandardError};
use super::student::{quantile, two_sided_quantile};
use super::wilcoxon::{SignedRank, signed_rank};

/// The power that the minimum detectable difference is found with.
pub const POWER: f64 = 0.8;

/// How differences are tested, and corrected for the number of pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Flipped signs of scenes' deviations, the largest difference of all pairs, step-down. All pairs are measured by one
    /// variance.
    #[default]
    MaxDifference,
    /// The same with Student's t of each pair.
    MaxT,
    /// Wilcoxon's signed ranks of each pair's common scenes, Holm's correction.
    Wilcoxon,
}

impl Test {
    /// As tables and options have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Test::MaxDifference => "max_difference",
            Test::MaxT => "max_t",
            Test::Wilcoxon => "wilcoxon",
        }
    }
}

/// Two algorithms.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The one with the higher adjusted score.
    pub first: usize,
    /// The other.
    pub second: usize,
    /// Scenes that both have a score of.
    pub scenes: u64,
    /// Adjusted score of the first less that of the second; the interval is this pair's alone.
    pub difference: Estimate,
    /// Kerby's (2014) matched-pairs rank-biserial correlation of the common scenes; None without one.
    pub rank_biserial: Option<f64>,
    /// Share of the common scenes in which the first has the higher score, equal ones counting half; None without one.
    pub superiority: Option<f64>,
    /// Two-sided, of this pair alone.
    pub p: f64,
    /// Corrected for the testable pairs; None where this is none.
    pub p_corrected: Option<f64>,
    /// The smallest `p` that so many common scenes can give.
    pub p_smallest: f64,
    /// The difference that is found with a power of [`POWER`]; None where the pair is not testable.
    pub detectable: Option<f64>,
    /// That the difference is outside of the margin that was asked for.
    pub equivalence: Option<Equivalence>,
    /// Whether `p_smallest` could be significant after the correction.
    pub testable: bool,
    /// Whether the corrected p is below 1 less the level.
    pub significant: bool,
}

/// Two one-sided t tests (Schuirmann 1987).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Equivalence {
    /// The difference that does not matter.
    pub margin: f64,
    /// The larger of both tests' p.
    pub p: f64,
    /// Corrected for all pairs that have one (Holm).
    pub p_corrected: f64,
}

/// What the common scenes of two algorithms say without the fit.
#[derive(Clone, Debug)]
pub(super) struct Paired {
    /// Scenes that both have a score of.
    pub(super) scenes: u64,
    /// Of first less second.
    pub(super) signed: SignedRank,
    /// Share of scenes in which the first is better.
    pub(super) superiority: f64,
}

/// Of scenes' scores, NaN where there is none.
pub(super) fn paired(first: &[f64], second: &[f64]) -> Paired {
    let both = || first.iter().zip(second).filter(|(a, b)| !a.is_nan() && !b.is_nan());
    let size = both().fold(0.0_f64, |size, (a, b)| size.max(a.abs()).max(b.abs()));
    let differences: Vec<f64> = both().map(|(a, b)| a - b).collect();
    let better = |difference: &f64| match difference {
        difference if difference.abs() <= 1e-12 * size => 0.5,
        difference if *difference > 0.0 => 1.0,
        _ => 0.0,
    };
    Paired {
        scenes: differences.len() as u64,
        signed: signed_rank(&differences, size),
        superiority: differences.iter().map(better).sum::<f64>() / differences.len() as f64,
    }
}

/// That a difference is outside of `margin`: the larger of two one-sided p.
pub(super) fn equivalence_p(difference: f64, of: StandardError, margin: f64) -> f64 {
    let distance = margin - difference.abs();
    super::student::cdf(-distance / of.error, of.freedom)
}

/// The difference that a test of level `alpha` finds with [`POWER`].
pub(super) fn detectable(of: StandardError, alpha: f64) -> f64 {
    (two_sided_quantile(1.0 - alpha, of.freedom) + power_quantile(of.freedom)) * of.error
}

/// Standard errors by which a true difference must exceed the critical one.
pub(super) fn power_quantile(freedom: f64) -> f64 {
    quantile(POWER, freedom)
}

/// Holm's method: the least p is taken times the number of them, the next times one less, and none falls below one before it.
pub(super) fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut before, mut corrected) = (0.0, vec![0.0; p.len()]);
    for (place, &pair) in order.iter().enumerate() {
        before = (p[pair] * (order.len() - place) as f64).min(1.0).max(before);
        corrected[pair] = before;
    }
    corrected
}

/// Which tests can be significant, by their smallest p: the largest set of which each member's, times the set's size, is below
/// `alpha` (Tarone 1990). The others can be left out of the correction, for they could not be rejected whatever they say.
pub(super) fn testable(smallest: &[f64], alpha: f64) -> Vec<bool> {
    let can = |count: usize| smallest.iter().filter(|p| **p * (count as f64) < alpha).count();
    let count = (1..=smallest.len()).find(|&count| can(count) <= count).unwrap_or(1);
    smallest.iter().map(|p| p * (count as f64) < alpha).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holms_p_never_falls() {
        // As R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") has it.
        for (corrected, wanted) in holm(&[0.01, 0.04, 0.03, 0.005]).iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((corrected - wanted).abs() < 1e-15);
        }
    }

    #[test]
    fn what_cannot_be_significant_leaves_the_correction() {
        // 28 pairs of Wilcoxon's test: 11 common scenes are needed if all have as many, fewer beside pairs that have few.
        let p = |scenes: i32| 0.5_f64.powi(scenes - 1);
        assert_eq!(testable(&[p(10); 28], 0.05), [false; 28]);
        assert_eq!(testable(&[p(11); 28], 0.05), [true; 28]);
        assert_eq!(testable(&[p(5), p(6), p(5)], 0.05), [false, true, false]);
        let mut mixed = vec![p(5); 25];
        mixed.extend([p(8); 3]);
        assert_eq!(testable(&mixed, 0.05).iter().filter(|is| **is).count(), 3);
        assert_eq!(testable(&[], 0.05), [false; 0]);
    }

    #[test]
    fn two_one_sided_tests_are_scipys() {
        let d: [f64; 8] = [0.01, -0.02, 0.03, 0.0, 0.015, -0.01, 0.02, 0.005];
        let mean = d.iter().sum::<f64>() / 8.0;
        let variance = d.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 7.0;
        let of = StandardError { error: (variance / 8.0).sqrt(), freedom: 7.0 };
        // max(ttest_1samp(d, -.02, alternative="greater").pvalue, ttest_1samp(d, .02, alternative="less").pvalue)
        assert!(
            (equivalence_p(mean, of, 0.02) - 0.023719244890105563).abs() < 1e-9,
            "{}",
            equivalence_p(mean, of, 0.02)
        );
        assert!(equivalence_p(mean, of, 0.005) > 0.5);
    }
}
