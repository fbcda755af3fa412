//! A number, how sure it is, and why an interval is missing where it is. Every interval of the statistics is one of these.

use super::student::two_sided_quantile;

/// With fewer scenes there is no interval: four or fewer values do not say how far the next ones lie.
pub const SCENES_MIN: usize = 5;

/// How an interval was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalMethod {
    /// Student's t with the standard error of the jackknife over scenes.
    JackknifeT,
    /// The same, where what a scene moves the measure by is taken to first order: for tables whose measure is too much work
    /// to be taken again without each scene.
    LinearisedJackknifeT,
    /// The same over groups of scenes, which are left out together: for measures that are much work each time.
    GroupJackknifeT,
    /// Student's t with the standard error of a mean of independent values.
    StudentT,
    /// Student's t with the standard errors of several data sets together, which count as fixed.
    CombinedT,
    /// Student's t and percentiles over random halves of the scenes.
    HalfSamples,
    /// Wilson's interval of a share, with the number of pairs that would be as sure if all were independent.
    Wilson,
    /// Percentiles of the measure of scenes that were drawn.
    Bootstrap,
    /// The same, where what a scene moves the measure by is taken to first order.
    LinearisedBootstrap,
}

impl IntervalMethod {
    /// As tables have it.
    pub fn as_str(self) -> &'static str {
        match self {
            IntervalMethod::JackknifeT => "jackknife_t",
            IntervalMethod::LinearisedJackknifeT => "linearised_jackknife_t",
            IntervalMethod::GroupJackknifeT => "group_jackknife_t",
            IntervalMethod::StudentT => "student_t",
            IntervalMethod::CombinedT => "combined_t",
            IntervalMethod::HalfSamples => "half_samples",
            IntervalMethod::Wilson => "wilson",
            IntervalMethod::Bootstrap => "bootstrap",
            IntervalMethod::LinearisedBootstrap => "linearised_bootstrap",
        }
    }
}

/// Why a number has no interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoInterval {
    /// Fewer than [`SCENES_MIN`] scenes.
    TooFewScenes,
    /// The measure is not defined without one of the scenes, or in most draws.
    Undefined,
    /// The measure is at the end of its scale, with all scenes or without one of them: how far it is from there is not known.
    Perfect,
    /// The measure is the same whichever scene is left out.
    Constant,
    /// A mean over data sets, one of which has no interval.
    MissingInDataset,
}

impl NoInterval {
    /// As tables have it.
    pub fn as_str(self) -> &'static str {
        match self {
            NoInterval::TooFewScenes => "too_few_scenes",
            NoInterval::Undefined => "undefined_without_a_scene",
            NoInterval::Perfect => "perfect",
            NoInterval::Constant => "constant",
            NoInterval::MissingInDataset => "missing_in_a_dataset",
        }
    }
}

/// The values that are not ruled out at the level that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The least of them.
    pub low: f64,
    /// The greatest of them.
    pub high: f64,
    /// The standard error, in the measure's own unit.
    pub error: f64,
    /// Degrees of freedom of the standard error: scenes less 1 for the jackknife.
    pub freedom: f64,
    /// Of a bootstrap: the standard error of `low` and of `high` by the number of draws, whichever is greater. None: no chance
    /// is in the interval.
    pub monte_carlo_error: Option<f64>,
    /// How it was made.
    pub method: IntervalMethod,
}

/// A number and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Of all rows.
    pub value: f64,
    /// Or why there is none.
    pub interval: Result<Interval, NoInterval>,
}

/// On which scale an estimate is nearly normal: its interval is symmetric there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The measure's own: means.
    Plain,
    /// Fisher's z, the inverse hyperbolic tangent: correlations.
    Fisher,
    /// The logarithm: RMSE and what else is positive.
    Logarithm,
}

impl Scale {
    /// The value on this scale; not finite at the measure's ends.
    pub fn of(self, value: f64) -> f64 {
        match self {
            Scale::Plain => value,
            Scale::Fisher => value.atanh(),
            Scale::Logarithm => value.ln(),
        }
    }

    /// The measure's value.
    pub fn back(self, scaled: f64) -> f64 {
        match self {
            Scale::Plain => scaled,
            Scale::Fisher => scaled.tanh(),
            Scale::Logarithm => scaled.exp(),
        }
    }

    /// By how much the measure moves where the scaled value moves by one, at the measure's `value`.
    pub fn unit(self, value: f64) -> f64 {
        match self {
            Scale::Plain => 1.0,
            Scale::Fisher => 1.0 - value * value,
            Scale::Logarithm => value,
        }
    }
}

/// A standard error and its degrees of freedom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StandardError {
    /// In the unit of the scale that it is used on.
    pub error: f64,
    /// Scenes less 1, mostly.
    pub freedom: f64,
}

impl Interval {
    /// Student's interval of `value`, symmetric on `scale`, where its standard error is `of`.
    pub fn student(value: f64, of: StandardError, scale: Scale, level: f64, method: IntervalMethod) -> Interval {
        let reach = two_sided_quantile(level, of.freedom) * of.error;
        let middle = scale.of(value);
        Interval {
            low: scale.back(middle - reach),
            high: scale.back(middle + reach),
            error: of.error * scale.unit(value),
            freedom: of.freedom,
            monte_carlo_error: None,
            method,
        }
    }

    /// Wilson's interval of the share `value`, whose standard error is `of`: with as many independent trials as would have that
    /// error, and Student's t for the normal quantile (Korn and Graubard 1998). A share of 0 or 1 has no standard error of
    /// its own and counts `trials_at_end`.
    pub fn wilson(value: f64, of: StandardError, level: f64, trials_at_end: f64) -> Interval {
        let at_end = value <= 0.0 || value >= 1.0;
        let trials = if at_end { trials_at_end } else { value * (1.0 - value) / (of.error * of.error) };
        let t2 = two_sided_quantile(level, of.freedom).powi(2);
        let middle = (value + t2 / (2.0 * trials)) / (1.0 + t2 / trials);
        let spread = value * (1.0 - value) / trials + t2 / (4.0 * trials * trials);
        let reach = (t2 * spread).sqrt() / (1.0 + t2 / trials);
        Interval {
            low: (middle - reach).max(0.0),
            high: (middle + reach).min(1.0),
            error: of.error,
            freedom: of.freedom,
            monte_carlo_error: None,
            method: IntervalMethod::Wilson,
        }
    }
}

/// The mean of independent `values`, one for each scene, with Student's interval.
pub fn mean_estimate(values: &[f64], level: f64) -> Option<Estimate> {
    let n = values.len() as f64;
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < SCENES_MIN {
        return Some(Estimate { value: mean, interval: Err(NoInterval::TooFewScenes) });
    }
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    if variance <= 0.0 {
        return Some(Estimate { value: mean, interval: Err(NoInterval::Constant) });
    }
    let of = StandardError { error: (variance / n).sqrt(), freedom: n - 1.0 };
    let interval = Interval::student(mean, of, Scale::Plain, level, IntervalMethod::StudentT);
    Some(Estimate { value: mean, interval: Ok(interval) })
}

/// Of a weighted sum of independent estimates (weight, standard error, degrees of freedom): its standard error, with the degrees
/// of freedom of Satterthwaite (1946).
pub fn combined(parts: impl Iterator<Item = (f64, StandardError)> + Clone) -> StandardError {
    let variance = |(weight, of): (f64, StandardError)| (weight * of.error).powi(2);
    let sum: f64 = parts.clone().map(variance).sum();
    let squares: f64 = parts.map(|part| variance(part).powi(2) / part.1.freedom).sum();
    StandardError { error: sum.sqrt(), freedom: if squares > 0.0 { sum * sum / squares } else { 1.0 } }
}

/// The sum of (weight, estimate) of several data sets' correlations, whose weights sum to 1, with Student's interval on Fisher's
/// scale.
pub fn weighted_correlation(parts: &[(f64, Estimate)], level: f64) -> Estimate {
    let (value, of) = weighted(parts);
    let interval = of.and_then(|of| {
        let scale = Scale::Fisher;
        if value.abs() >= 1.0 {
            return Err(NoInterval::Perfect);
        }
        let of = StandardError { error: of.error / scale.unit(value), ..of };
        Ok(Interval::student(value, of, scale, level, IntervalMethod::CombinedT))
    });
    Estimate { value, interval }
}

/// The same of shares, with Wilson's interval; `scenes` are those of all data sets.
pub fn weighted_share(parts: &[(f64, Estimate)], level: f64, scenes: u64) -> Estimate {
    let (value, of) = weighted(parts);
    Estimate { value, interval: of.map(|of| Interval::wilson(value, of, level, scenes as f64)) }
}

fn weighted(parts: &[(f64, Estimate)]) -> (f64, Result<StandardError, NoInterval>) {
    let value = parts.iter().map(|(weight, estimate)| weight * estimate.value).sum();
    let error = |(weight, estimate): &(f64, Estimate)| {
        let interval = estimate.interval.map_err(|_| NoInterval::MissingInDataset)?;
        Ok((*weight, StandardError { error: interval.error, freedom: interval.freedom }))
    };
    let of = parts.iter().map(error).collect::<Result<Vec<_>, _>>().and_then(|errors| {
        let of = combined(errors.into_iter());
        if of.error > 0.0 { Ok(of) } else { Err(NoInterval::Constant) }
    });
    (value, of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_students_interval() {
        // scipy.stats.ttest_1samp([.2, .5, .4, .9, .6, .1], 0).confidence_interval(.95)
        let estimate = mean_estimate(&[0.2, 0.5, 0.4, 0.9, 0.6, 0.1], 0.95).unwrap();
        let interval = estimate.interval.unwrap();
        assert!((interval.low - 0.14766052446039535).abs() < 1e-9, "{interval:?}");
        assert!((interval.high - 0.7523394755396047).abs() < 1e-9, "{interval:?}");
        assert_eq!(mean_estimate(&[0.1, 0.2, 0.3, 0.4], 0.95).unwrap().interval, Err(NoInterval::TooFewScenes));
        assert_eq!(mean_estimate(&[0.5; 9], 0.95).unwrap().interval, Err(NoInterval::Constant));
        assert_eq!(mean_estimate(&[], 0.95), None);
    }

    #[test]
    fn wilson_of_independent_trials_is_the_textbooks() {
        // scipy.stats.binomtest(7, 10).proportion_ci(method="wilson"): with z, so with very many degrees of freedom.
        let of = StandardError { error: (0.7_f64 * 0.3 / 10.0).sqrt(), freedom: 1e9 };
        let interval = Interval::wilson(0.7, of, 0.95, 10.0);
        assert!((interval.low - 0.3967781).abs() < 1e-6 && (interval.high - 0.8922087).abs() < 1e-6, "{interval:?}");
        let all = Interval::wilson(1.0, StandardError { error: 0.0, freedom: 1e9 }, 0.95, 10.0);
        assert!((all.low - 0.7224672).abs() < 1e-6 && all.high > 1.0 - 1e-12, "{all:?}");
    }

    #[test]
    fn equal_parts_have_their_degrees_of_freedom_together() {
        let part = (0.5, StandardError { error: 0.2, freedom: 4.0 });
        let both = combined([part, part].into_iter());
        assert!((both.error - 0.2 / 2.0_f64.sqrt()).abs() < 1e-12 && (both.freedom - 8.0).abs() < 1e-12);
    }
}
