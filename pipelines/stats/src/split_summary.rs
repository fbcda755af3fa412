//! The mean of a measure over several train/test splits of one data set, with an interval.
//!
//! Splits of one data set share most of their training scenes, so their results are not independent and a plain t
//! interval is too narrow. This is the corrected resampled t-test of Nadeau and Bengio (Machine Learning 52, 2003): the
//! variance of the mean of J splits is (1/J + test/train) times the sample variance, with J - 1 degrees of freedom.

use crate::student_t::{two_sided_p, two_sided_quantile};

/// The nominal coverage of the intervals.
const LEVEL: f64 = 0.95;

/// A measure over several splits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitSummary {
    /// The number of splits.
    pub n: usize,
    /// The mean over the splits.
    pub mean: f64,
    /// The sample standard deviation between the splits; `None` with fewer than two splits.
    pub deviation: Option<f64>,
    /// The 95% interval of the mean (low, high), by the corrected t; `None` with fewer than two splits.
    pub interval: Option<(f64, f64)>,
    /// The two-sided p-value of a mean of 0, by the corrected t; `None` with fewer than two splits, and if all values
    /// are 0.
    pub p: Option<f64>,
}

impl SplitSummary {
    /// Returns the interval cut to the measure's range (least, most), which the interval of a few splits may exceed.
    pub fn interval_within(&self, (least, most): (f64, f64)) -> Option<(f64, f64)> {
        self.interval.map(|(low, high)| (low.max(least), high.min(most)))
    }
}

/// Summarises `values`, one for each split. `test_to_train` is the number of test scenes divided by the number of
/// training scenes. `None` without values.
///
/// # Panics
/// If a value is NaN.
///
/// # Examples
/// ```
/// // Four splits of 80% training and 20% test scenes.
/// let summary = dqa_stats::split_summary(&[0.90, 0.92, 0.88, 0.91], 0.25).unwrap();
/// assert!((summary.mean - 0.9025).abs() < 1e-12);
/// let (low, high) = summary.interval.unwrap();
/// assert!(low < 0.87 && high > 0.93);
/// ```
pub fn split_summary(values: &[f64], test_to_train: f64) -> Option<SplitSummary> {
    assert!(values.iter().all(|value| !value.is_nan()), "a value is NaN");
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    if n == 1 {
        return Some(SplitSummary { n, mean, deviation: None, interval: None, p: None });
    }
    let degrees_of_freedom = (n - 1) as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / degrees_of_freedom;
    let error = ((1.0 / n as f64 + test_to_train) * variance).sqrt();
    let half_width = two_sided_quantile(LEVEL, degrees_of_freedom) * error;
    let p = match (mean == 0.0, error == 0.0) {
        (true, true) => None,
        (false, true) => Some(0.0),
        _ => Some(two_sided_p((mean / error).abs(), degrees_of_freedom)),
    };
    let interval = Some((mean - half_width, mean + half_width));
    Some(SplitSummary { n, mean, deviation: Some(variance.sqrt()), interval, p })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn overlapping_splits_have_a_wider_interval() {
        let values = [0.9, 0.92, 0.88, 0.91];
        let [plain, corrected] = [0.0, 0.25].map(|ratio| split_summary(&values, ratio).unwrap());
        assert!((plain.mean - 0.9025).abs() < 1e-12 && plain.mean == corrected.mean);
        let half_width = |summary: &SplitSummary| summary.interval.unwrap().1 - summary.mean;
        // t(3) = 3.182446, s = 0.0170783; sqrt(1/4) and sqrt(1/4 + 1/4)
        assert!((half_width(&plain) - 0.027175).abs() < 1e-5, "{}", half_width(&plain));
        assert!((half_width(&corrected) / half_width(&plain) - 2f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn few_splits_leave_out_what_is_undefined() {
        assert_eq!(split_summary(&[], 0.25), None);
        let one = split_summary(&[0.5], 0.25).unwrap();
        assert_eq!((one.mean, one.deviation, one.p), (0.5, None, None));
        let same = split_summary(&[0.0, 0.0], 0.25).unwrap();
        assert_eq!((same.deviation, same.p), (Some(0.0), None));
    }

    proptest! {
        #[test]
        fn p_and_interval_agree(values in proptest::collection::vec(-1.0..1.0f64, 2..12), ratio in 0.0..1.0f64) {
            let summary = split_summary(&values, ratio).unwrap();
            let (low, high) = summary.interval.unwrap();
            prop_assume!(summary.deviation.unwrap() > 1e-6);
            let excludes_zero = low > 0.0 || high < 0.0;
            let p = summary.p.unwrap();
            prop_assert!((0.0..=1.0).contains(&p));
            prop_assert!(excludes_zero == (p < 0.05) || (p - 0.05).abs() < 1e-9);
        }
    }
}
