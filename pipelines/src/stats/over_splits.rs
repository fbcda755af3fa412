//! A measure over several splits of one data set: its mean, and how sure that is.
//!
//! Splits drawn from one data set share most of their training scenes, so their results are not independent and a plain t
//! interval is too narrow. The variance is corrected as by Nadeau and Bengio (Machine Learning 52, 2003): of the mean of J
//! splits it is (1/J + test/train) times the sample variance, with J - 1 degrees of freedom.

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
    let reach = quantile(LEVEL, freedom) * error;
    let p = match (mean == 0.0, error == 0.0) {
        (true, true) => None,
        (false, true) => Some(0.0),
        _ => Some(outside((mean / error).abs(), freedom)),
    };
    let interval = Some((mean - reach, mean + reach));
    Some(OverSplits { n, mean, deviation: Some(variance.sqrt()), interval, p })
}

/// The chance that |t| is above `t` under Student's distribution.
fn outside(t: f64, freedom: f64) -> f64 {
    incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5)
}

/// The t that |t| is below with the chance `level`.
fn quantile(level: f64, freedom: f64) -> f64 {
    // One degree of freedom has the longest tails: 12.7 at 0.95.
    let (mut low, mut high) = (0.0, 1e3);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if outside(middle, freedom) > 1.0 - level { low = middle } else { high = middle }
    }
    low
}

/// The regularised incomplete beta function I_x(a, b), by Lentz's continued fraction.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges quickly on this side.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let gamma = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b);
    let front = (gamma + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    let step = |term: f64, value: f64| {
        let value = 1.0 + term * value;
        if value.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { value }
    };
    let (mut c, mut d) = (1.0, 1.0 / step(-(a + b) * x / (a + 1.0), 1.0));
    let mut sum = d;
    for m in 1..300 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        for term in [even, odd] {
            d = 1.0 / step(term, d);
            c = step(term, 1.0 / c);
            sum *= d * c;
        }
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn students_distribution_is_scipys() {
        // scipy.stats.t.ppf(0.975, n), 2 * scipy.stats.t.sf(t, n)
        for (freedom, want) in [(1.0, 12.706204736), (2.0, 4.302652730), (9.0, 2.262157163), (99.0, 1.984216952)] {
            assert!((quantile(0.95, freedom) / want - 1.0).abs() < 1e-9, "{freedom}");
        }
        for (t, freedom, want) in [
            (0.0, 4.0, 1.0),
            (0.5, 3.0, 0.651447964848151),
            (2.0, 9.0, 0.07655282377070101),
            (6.0, 2.0, 0.02667147321542477),
        ] {
            assert!((outside(t, freedom) - want).abs() < 1e-10, "{t} {freedom}");
        }
    }

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
