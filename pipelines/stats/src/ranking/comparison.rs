//! The comparison of two algorithms: the difference of their adjusted scores with its interval, unit-free effect sizes,
//! the smallest difference that the scenes can detect, and equivalence.

use serde::{Deserialize, Serialize};

use super::wilcoxon::{SignedRank, signed_rank};
use crate::estimate::{Estimate, StandardError};
use crate::student_t::{cdf, quantile, two_sided_quantile};

/// The power of the minimum detectable difference.
pub const POWER: f64 = 0.8;

/// How differences are tested, and how p-values are corrected for the number of pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignificanceTest {
    /// Random flips of the signs of the scenes' deviations, with the largest difference of all pairs and step-down
    /// correction (Westfall and Young 1993). All pairs have one pooled variance.
    #[default]
    MaxDifference,
    /// As [`MaxDifference`](Self::MaxDifference), with Student's t of each pair as the statistic.
    MaxT,
    /// Wilcoxon's signed ranks of the common scenes of each pair, with Holm's correction.
    Wilcoxon,
}

impl SignificanceTest {
    /// Returns the test's name in tables and options.
    pub fn as_str(self) -> &'static str {
        match self {
            SignificanceTest::MaxDifference => "max_difference",
            SignificanceTest::MaxT => "max_t",
            SignificanceTest::Wilcoxon => "wilcoxon",
        }
    }
}

/// The comparison of two algorithms.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The algorithm with the higher adjusted score.
    pub first: usize,
    /// The other algorithm.
    pub second: usize,
    /// The number of scenes of which both have a score.
    pub scenes: u64,
    /// The adjusted score of the first algorithm less that of the second. The interval holds for this pair alone,
    /// without a correction for the number of pairs.
    pub difference: Estimate,
    /// The matched-pairs rank-biserial correlation of the common scenes, from -1 to 1 (Kerby 2014); `None` without
    /// common scenes.
    pub rank_biserial: Option<f64>,
    /// The share of the common scenes in which the first algorithm has the higher score, equal scores counting half;
    /// `None` without common scenes.
    pub probability_of_superiority: Option<f64>,
    /// The two-sided p-value of this pair alone.
    pub p: f64,
    /// The p-value corrected for all testable pairs; `None` if this pair is not testable.
    pub p_corrected: Option<f64>,
    /// The smallest p-value that the number of common scenes allows.
    pub p_smallest: f64,
    /// The difference that the test detects with a power of [`POWER`]; `None` if the pair is not testable.
    pub minimum_detectable_difference: Option<f64>,
    /// The equivalence test, if it was requested and the pair has an interval.
    pub equivalence: Option<Equivalence>,
    /// Whether `p_smallest` can be significant after the correction.
    pub testable: bool,
    /// Whether the corrected p-value is below 1 less the level.
    pub significant: bool,
}

/// Two one-sided t-tests of equivalence (Schuirmann 1987). A small p-value shows that the difference lies within the
/// margin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Equivalence {
    /// The largest difference that counts as equivalent, in the unit of the scores.
    pub margin: f64,
    /// The larger p-value of both tests.
    pub p: f64,
    /// The p-value corrected for all pairs that have one (Holm).
    pub p_corrected: f64,
}

/// Statistics of the common scenes of two algorithms, which do not depend on the additive model.
#[derive(Clone, Debug)]
pub(super) struct CommonScenes {
    /// The number of scenes of which both have a score.
    pub(super) scenes: u64,
    /// The signed ranks of the first algorithm's scores less the second's.
    pub(super) signed_rank: SignedRank,
    /// The share of scenes in which the first algorithm is better.
    pub(super) superiority: f64,
}

/// Compares two algorithms' scores of the scenes, in which a missing score is NaN.
pub(super) fn compare_common_scenes(first: &[f64], second: &[f64]) -> CommonScenes {
    let both = || first.iter().zip(second).filter(|(a, b)| !a.is_nan() && !b.is_nan());
    let value_max = both().fold(0.0_f64, |most, (a, b)| most.max(a.abs()).max(b.abs()));
    let differences: Vec<f64> = both().map(|(a, b)| a - b).collect();
    let better = |difference: &f64| match difference {
        difference if difference.abs() <= 1e-12 * value_max => 0.5,
        difference if *difference > 0.0 => 1.0,
        _ => 0.0,
    };
    CommonScenes {
        scenes: differences.len() as u64,
        signed_rank: signed_rank(&differences, value_max),
        superiority: differences.iter().map(better).sum::<f64>() / differences.len() as f64,
    }
}

/// Returns the p-value of a difference beyond `margin`: the larger of two one-sided p-values.
pub(super) fn equivalence_p(difference: f64, standard_error: StandardError, margin: f64) -> f64 {
    let distance = margin - difference.abs();
    cdf(-distance / standard_error.error, standard_error.degrees_of_freedom)
}

/// Returns the difference that a t-test with significance level `alpha` detects with [`POWER`].
pub(super) fn detectable_difference(standard_error: StandardError, alpha: f64) -> f64 {
    let StandardError { error, degrees_of_freedom } = standard_error;
    (two_sided_quantile(1.0 - alpha, degrees_of_freedom) + power_quantile(degrees_of_freedom)) * error
}

/// Returns by how many standard errors a true difference must exceed the critical one to be detected with [`POWER`].
pub(super) fn power_quantile(degrees_of_freedom: f64) -> f64 {
    quantile(POWER, degrees_of_freedom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_one_sided_tests_are_scipys() {
        let d: [f64; 8] = [0.01, -0.02, 0.03, 0.0, 0.015, -0.01, 0.02, 0.005];
        let mean = d.iter().sum::<f64>() / 8.0;
        let variance = d.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 7.0;
        let standard_error = StandardError { error: (variance / 8.0).sqrt(), degrees_of_freedom: 7.0 };
        // max(ttest_1samp(d, -.02, alternative="greater").pvalue, ttest_1samp(d, .02, alternative="less").pvalue)
        let p = equivalence_p(mean, standard_error, 0.02);
        assert!((p - 0.023719244890105563).abs() < 1e-9, "{p}");
        assert!(equivalence_p(mean, standard_error, 0.005) > 0.5);
    }
}
