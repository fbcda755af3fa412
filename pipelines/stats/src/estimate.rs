//! Estimates with confidence intervals, and the reason where an interval is missing. All intervals of this crate have
//! these types.

use crate::student_t::two_sided_quantile;

/// The fewest scenes that yield an interval: four or fewer values say too little about how far apart further ones lie.
pub const SCENES_MIN: usize = 5;

/// How an interval was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalMethod {
    /// Student's t with the standard error of the jackknife over scenes.
    JackknifeT,
    /// As [`JackknifeT`](Self::JackknifeT), with the effect of each scene on the measure taken to first order: for
    /// tables so large that computing the measure again without each scene takes too long.
    LinearisedJackknifeT,
    /// As [`JackknifeT`](Self::JackknifeT), over groups of scenes that are left out together: for measures that take
    /// long to compute.
    GroupJackknifeT,
    /// Student's t with the standard error of a mean of independent values.
    StudentT,
    /// Student's t with the combined standard errors of several data sets, which count as fixed.
    CombinedT,
    /// Student's t and percentiles over random halves of the scenes.
    HalfSamples,
    /// Wilson's interval of a proportion, with the effective sample size: the number of independent pairs that would
    /// have the same standard error.
    Wilson,
    /// Percentiles of the measure over bootstrap samples of the scenes.
    Bootstrap,
    /// As [`Bootstrap`](Self::Bootstrap), with the effect of each scene on the measure taken to first order.
    LinearisedBootstrap,
}

impl IntervalMethod {
    /// Returns the method's name in tables.
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

/// Why an estimate has no interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoInterval {
    /// There are fewer than [`SCENES_MIN`] scenes.
    TooFewScenes,
    /// The measure is undefined without one of the scenes, or in most bootstrap samples.
    Undefined,
    /// The measure is at the end of its scale, with all scenes or without one of them, so its distance from there is
    /// unknown.
    Perfect,
    /// The measure is the same whichever scene is left out.
    Constant,
    /// The estimate is a mean over data sets, one of which has no interval.
    MissingInDataset,
}

impl NoInterval {
    /// Returns the reason's name in tables.
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

/// A two-sided confidence interval, at the level that the caller asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The standard error of the estimate, in the measure's own unit.
    pub standard_error: f64,
    /// The degrees of freedom of the standard error: for the jackknife, the number of scenes less 1.
    pub degrees_of_freedom: f64,
    /// For a bootstrap, the larger of the standard errors of `low` and `high` that come from the number of draws.
    /// `None` for methods without randomness.
    pub monte_carlo_error: Option<f64>,
    /// How the interval was computed.
    pub method: IntervalMethod,
}

/// A number with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The measure over all rows.
    pub value: f64,
    /// The interval, or why it is missing.
    pub interval: Result<Interval, NoInterval>,
}

/// The scale on which an estimate is nearly normal, so that its interval is symmetric there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The measure's own scale: for means.
    Plain,
    /// Fisher's z, the inverse hyperbolic tangent: for correlations.
    Fisher,
    /// The natural logarithm: for RMSE and other positive measures.
    Logarithm,
}

impl Scale {
    /// Maps a measure's value to this scale. The result is not finite at the ends of the measure's range.
    pub fn transform(self, value: f64) -> f64 {
        match self {
            Scale::Plain => value,
            Scale::Fisher => value.atanh(),
            Scale::Logarithm => value.ln(),
        }
    }

    /// Maps a value on this scale back to the measure.
    pub fn inverse(self, scaled: f64) -> f64 {
        match self {
            Scale::Plain => scaled,
            Scale::Fisher => scaled.tanh(),
            Scale::Logarithm => scaled.exp(),
        }
    }

    /// Returns the derivative of [`inverse`](Self::inverse) at the measure's `value`: by how much the measure changes
    /// per unit on this scale.
    pub fn inverse_derivative(self, value: f64) -> f64 {
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
    /// The standard error, in the unit of the scale on which it is used.
    pub error: f64,
    /// The degrees of freedom, usually the number of scenes less 1.
    pub degrees_of_freedom: f64,
}

impl Interval {
    /// Returns Student's t interval around `value`, symmetric on `scale`. `standard_error` is on that scale; `level` is
    /// the nominal coverage, such as 0.95.
    pub fn student(
        value: f64,
        standard_error: StandardError,
        scale: Scale,
        level: f64,
        method: IntervalMethod,
    ) -> Interval {
        let StandardError { error, degrees_of_freedom } = standard_error;
        let half_width = two_sided_quantile(level, degrees_of_freedom) * error;
        let centre = scale.transform(value);
        Interval {
            low: scale.inverse(centre - half_width),
            high: scale.inverse(centre + half_width),
            standard_error: error * scale.inverse_derivative(value),
            degrees_of_freedom,
            monte_carlo_error: None,
            method,
        }
    }

    /// Returns Wilson's interval (1927) around the proportion `value`, from 0 to 1, with as many independent trials as
    /// would have the given standard error, and Student's t in place of the normal quantile (Korn and Graubard 1998). A
    /// proportion of 0 or 1 has no standard error of its own and counts as `trials_at_end` trials.
    pub fn wilson(value: f64, standard_error: StandardError, level: f64, trials_at_end: f64) -> Interval {
        let StandardError { error, degrees_of_freedom } = standard_error;
        let at_end = value <= 0.0 || value >= 1.0;
        let trials = if at_end { trials_at_end } else { value * (1.0 - value) / (error * error) };
        let t2 = two_sided_quantile(level, degrees_of_freedom).powi(2);
        let centre = (value + t2 / (2.0 * trials)) / (1.0 + t2 / trials);
        let spread = value * (1.0 - value) / trials + t2 / (4.0 * trials * trials);
        let half_width = (t2 * spread).sqrt() / (1.0 + t2 / trials);
        Interval {
            low: (centre - half_width).max(0.0),
            high: (centre + half_width).min(1.0),
            standard_error: error,
            degrees_of_freedom,
            monte_carlo_error: None,
            method: IntervalMethod::Wilson,
        }
    }
}

/// Returns the mean of independent `values`, one for each scene, with Student's interval at `level`. `None` without
/// values.
///
/// # Examples
/// ```
/// let mean = dqa_stats::mean_estimate(&[0.2, 0.5, 0.4, 0.9, 0.6, 0.1], 0.95).unwrap();
/// assert!((mean.value - 0.45).abs() < 1e-12);
/// assert!(mean.interval.unwrap().low < 0.15);
/// ```
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
    let standard_error = StandardError { error: (variance / n).sqrt(), degrees_of_freedom: n - 1.0 };
    let interval = Interval::student(mean, standard_error, Scale::Plain, level, IntervalMethod::StudentT);
    Some(Estimate { value: mean, interval: Ok(interval) })
}

/// Returns the standard error of a weighted sum of independent estimates, given as (weight, standard error), with the
/// degrees of freedom of Satterthwaite (1946).
pub fn combine_standard_errors(parts: impl Iterator<Item = (f64, StandardError)> + Clone) -> StandardError {
    let variance = |(weight, part): (f64, StandardError)| (weight * part.error).powi(2);
    let sum: f64 = parts.clone().map(variance).sum();
    let squares: f64 = parts.map(|part| variance(part).powi(2) / part.1.degrees_of_freedom).sum();
    StandardError { error: sum.sqrt(), degrees_of_freedom: if squares > 0.0 { sum * sum / squares } else { 1.0 } }
}

/// Returns the weighted sum of the correlations of several data sets, given as (weight, estimate) with weights that sum
/// to 1, with Student's interval on Fisher's scale. The data sets count as fixed.
pub fn weighted_correlation(parts: &[(f64, Estimate)], level: f64) -> Estimate {
    let (value, standard_error) = weighted_sum(parts);
    let interval = standard_error.and_then(|standard_error| {
        let scale = Scale::Fisher;
        if value.abs() >= 1.0 {
            return Err(NoInterval::Perfect);
        }
        let error = standard_error.error / scale.inverse_derivative(value);
        let standard_error = StandardError { error, ..standard_error };
        Ok(Interval::student(value, standard_error, scale, level, IntervalMethod::CombinedT))
    });
    Estimate { value, interval }
}

/// Returns the weighted sum of the proportions of several data sets, given as (weight, estimate) with weights that sum
/// to 1, with Wilson's interval. `scenes` is the number of scenes of all data sets together.
pub fn weighted_share(parts: &[(f64, Estimate)], level: f64, scenes: u64) -> Estimate {
    let (value, standard_error) = weighted_sum(parts);
    let interval = standard_error.map(|error| Interval::wilson(value, error, level, scenes as f64));
    Estimate { value, interval }
}

fn weighted_sum(parts: &[(f64, Estimate)]) -> (f64, Result<StandardError, NoInterval>) {
    let value = parts.iter().map(|(weight, estimate)| weight * estimate.value).sum();
    let part_error = |(weight, estimate): &(f64, Estimate)| {
        let interval = estimate.interval.map_err(|_| NoInterval::MissingInDataset)?;
        let Interval { standard_error: error, degrees_of_freedom, .. } = interval;
        Ok((*weight, StandardError { error, degrees_of_freedom }))
    };
    let standard_error = parts.iter().map(part_error).collect::<Result<Vec<_>, _>>().and_then(|errors| {
        let combined = combine_standard_errors(errors.into_iter());
        if combined.error > 0.0 { Ok(combined) } else { Err(NoInterval::Constant) }
    });
    (value, standard_error)
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
        let standard_error = StandardError { error: (0.7_f64 * 0.3 / 10.0).sqrt(), degrees_of_freedom: 1e9 };
        let interval = Interval::wilson(0.7, standard_error, 0.95, 10.0);
        assert!((interval.low - 0.3967781).abs() < 1e-6 && (interval.high - 0.8922087).abs() < 1e-6, "{interval:?}");
        let all = Interval::wilson(1.0, StandardError { error: 0.0, degrees_of_freedom: 1e9 }, 0.95, 10.0);
        assert!((all.low - 0.7224672).abs() < 1e-6 && all.high > 1.0 - 1e-12, "{all:?}");
    }

    #[test]
    fn equal_parts_have_their_degrees_of_freedom_together() {
        let part = (0.5, StandardError { error: 0.2, degrees_of_freedom: 4.0 });
        let both = combine_standard_errors([part, part].into_iter());
        assert!((both.error - 0.2 / 2.0_f64.sqrt()).abs() < 1e-12 && (both.degrees_of_freedom - 8.0).abs() < 1e-12);
    }
}
