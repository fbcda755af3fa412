//! A measure over several splits of one data set: its mean, and how sure that is.
//!
//! Splits drawn from one data set share most of their training scenes, so their results are not independent and a plain t
//! interval is too narrow. The variance is corrected as by Nadeau and Bengio (Machine Learning 52, 2003): of the mean of J
//! splits it is (1/J + test/train) times the sample variance, with J - 1 degrees of freedom.

use super::student::{two_sided_p, two_sided_quantile};

/// The level of the intervals.
const LEVEL: f64 = 0.95;

/// A measure over splits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverSplits {
    /// Splits.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Sample standard deviation between them; None under two splits.
    pub deviation: Option<f64>,
    /// Of the mean: 95%, by the corrected t; None under two splits.
    pub interval: Option<(f64, f64)>,
    /// That the mean is 0, two-sided, by the corrected t; None under two splits, and where all values are 0.
    pub p: Option<f64>,
}

impl OverSplits {
    /// The interval within the measure's own ends: few splits know little, but no more than those is possible.
    pub fn interval_within(&self, (least, most): (f64, f64)) -> Option<(f64, f64)> {
        self.interval.map(|(low, high)| (low.max(least), high.min(most)))
    }
}

/// The mean of `values`, one for each split, whose tests have `test_to_train` times the scenes of their training. None
/// without values.
///
/// # Panics
/// Where a value is NaN.
pub fn over_splits(values: &[f64], test_to_train: f64) -> Option<OverSplits> {
    assert!(values.iter().all(|value| !value.is_nan()), "a split without the measure is left out");
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    if n == 1 {
        return Some(OverSplits { n, mean, deviation: None, interval: None, p: None });
    }
    let freedom = (n - 1) as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / freedom;
    let error = ((1.0 / n as f64 + test_to_train) * variance).sqrt();
    let reach = two_sided_quantile(LEVEL, freedom) * error;
    let p = match (mean == 0.0, error == 0.0) {
        (true, true) => None,
        (false, true) => Some(0.0),
        _ => Some(two_sided_p((mean / error).abs(), freedom)),
    };
    let interval = Some((mean - reach, mean + reach));
    Some(OverSplits { n, mean, deviation: Some(variance.sqrt()), interval, p })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn overlapping_splits_are_less_sure() {
        let values = [0.9, 0.92, 0.88, 0.91];
        let [plain, corrected] = [0.0, 0.25].map(|ratio| over_splits(&values, ratio).unwrap());
        assert!((plain.mean - 0.9025).abs() < 1e-12 && plain.mean == corrected.mean);
        let reach = |of: &OverSplits| of.interval.unwrap().1 - of.mean;
        // t(3) = 3.182446, s = 0.0170783; sqrt(1/4) and sqrt(1/4 + 1/4)
        assert!((reach(&plain) - 0.027175).abs() < 1e-5, "{}", reach(&plain));
        assert!((reach(&corrected) / reach(&plain) - 2f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn few_splits_say_no_more_than_they_can() {
        assert_eq!(over_splits(&[], 0.25), None);
        let one = over_splits(&[0.5], 0.25).unwrap();
        assert_eq!((one.mean, one.deviation, one.p), (0.5, None, None));
        let same = over_splits(&[0.0, 0.0], 0.25).unwrap();
        assert_eq!((same.deviation, same.p), (Some(0.0), None));
    }

    proptest! {
        #[test]
        fn p_and_interval_agree(values in proptest::collection::vec(-1.0..1.0f64, 2..12), ratio in 0.0..1.0f64) {
            let over = over_splits(&values, ratio).unwrap();
            let (low, high) = over.interval.unwrap();
            prop_assume!(over.deviation.unwrap() > 1e-6);
            let excludes_zero = low > 0.0 || high < 0.0;
            let p = over.p.unwrap();
            prop_assert!((0.0..=1.0).contains(&p));
            prop_assert!(excludes_zero == (p < 0.05) || (p - 0.05).abs() < 1e-9);
        }
    }
}
