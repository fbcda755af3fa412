//! Measures of agreement with their intervals, and the reasons why an interval is missing, in words.

use dqa_pipelines::tables::correlations::CorrelationRow;
use dqa_pipelines::tables::metrics::MetricRow;
use maud::{Markup, html};

use crate::chart::intervals::Interval;
use crate::number::{Digits, counted};

/// A measure of agreement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) value: Option<f64>,
    pub(crate) low: Option<f64>,
    pub(crate) high: Option<f64>,
    /// How the interval was made, or why there is none.
    pub(crate) interval: Option<String>,
}

impl Measure {
    /// Returns SRCC of a row.
    pub(crate) fn srcc(row: &CorrelationRow) -> Measure {
        Measure {
            name: "SRCC",
            title: "Spearman's rank correlation",
            value: row.srcc,
            low: row.srcc_low,
            high: row.srcc_high,
            interval: row.srcc_interval.clone(),
        }
    }

    /// Returns SRCC of a metric beside others.
    pub(crate) fn srcc_of_metric(row: &MetricRow) -> Measure {
        Measure {
            name: "SRCC",
            title: "Spearman's rank correlation",
            value: row.srcc,
            low: row.srcc_low,
            high: row.srcc_high,
            interval: row.srcc_interval.clone(),
        }
    }

    /// Returns the value with its interval, for a bar.
    pub(crate) fn interval(&self) -> Option<Interval> {
        Interval::new(self.value, self.low, self.high)
    }
}

macro_rules! measure {
    ($row:expr, $value:ident, $low:ident, $high:ident, $interval:ident, $name:literal, $title:literal) => {
        Measure {
            name: $name,
            title: $title,
            value: $row.$value,
            low: $row.$low,
            high: $row.$high,
            interval: $row.$interval.clone(),
        }
    };
}

/// Returns all measures of a row of correlations.
pub(crate) fn all_measures(row: &CorrelationRow) -> Vec<Measure> {
    vec![
        Measure::srcc(row),
        measure!(row, krcc, krcc_low, krcc_high, krcc_interval, "KRCC", "Kendall's tau-b"),
        measure!(row, plcc, plcc_low, plcc_high, plcc_interval, "PLCC", "Pearson's correlation, without a fit"),
        measure!(
            row,
            plcc_logistic4,
            plcc_logistic4_low,
            plcc_logistic4_high,
            plcc_logistic4_interval,
            "PLCC, 4 parameters",
            "Pearson's correlation after the logistic fit of 4 parameters"
        ),
        measure!(
            row,
            plcc_logistic5,
            plcc_logistic5_low,
            plcc_logistic5_high,
            plcc_logistic5_interval,
            "PLCC, 5 parameters",
            "Pearson's correlation after the logistic fit of 5 parameters"
        ),
        measure!(
            row,
            rmse_logistic5,
            rmse_logistic5_low,
            rmse_logistic5_high,
            rmse_logistic5_interval,
            "RMSE, 5 parameters",
            "Root mean squared error after the logistic fit of 5 parameters, in the labels' units; low is good"
        ),
        measure!(
            row,
            pairwise_accuracy,
            pairwise_accuracy_low,
            pairwise_accuracy_high,
            pairwise_accuracy_interval,
            "Pairs",
            "Share of pairs of pictures of one scene that the score orders as the labels do"
        ),
        measure!(
            row,
            algorithm_srcc,
            algorithm_srcc_low,
            algorithm_srcc_high,
            algorithm_srcc_interval,
            "SRCC of algorithms",
            "Spearman's correlation of the algorithms' mean scores with their mean labels"
        ),
    ]
}

/// Returns a measure as a sentence: `SRCC 0.781, 95% interval 0.706 to 0.839, n = 480`.
pub(crate) fn sentence(measure: &Measure, n: u64) -> Markup {
    html! {
        @match measure.value {
            None => {
                (measure.name) " is not defined here: scores or labels are all equal, or there are fewer than two."
            }
            Some(_) => {
                (measure.name) " " strong { (Digits::THREE.show(measure.value)) }
                @if measure.low.is_some() {
                    ", 95% interval " (Digits::THREE.show_interval(measure.low, measure.high))
                } @else if let Some(reason) = &measure.interval { ", without an interval: " (no_interval(reason)) }
                ", " (counted(n, "picture"))
            }
        }
    }
}

/// Returns a group of pictures in words: `all`, the algorithm's name, `held out`, `scene group NH-HAZE`.
pub(crate) fn group_label(kind: &str, name: Option<&str>) -> String {
    match (kind, name) {
        ("algorithm", Some(name)) => name.to_owned(),
        (kind, None) => kind.replace('_', " "),
        (kind, Some(name)) => format!("{} {name}", kind.replace('_', " ")),
    }
}

/// Returns how a logistic fit ended, in brackets; nothing if it converged.
pub(crate) fn fit_remark(status: Option<&str>) -> &'static str {
    match status {
        Some("not_converged") => " (the fit did not converge)",
        Some("too_few_rows") => " (not fitted: fewer than 10 pictures for each parameter)",
        Some("constant") => " (not fitted: scores or labels are all equal)",
        _ => "",
    }
}

/// Returns why an interval is missing, in words. The name of a method is returned as it is.
pub(crate) fn no_interval(reason: &str) -> String {
    match reason {
        "too_few_scenes" => "there are fewer than 5 scenes",
        "perfect" => "the agreement is perfect",
        "undefined_without_a_scene" => "the measure is not defined when one of the scenes is left out",
        "constant" => "all values are equal",
        "missing_in_a_dataset" => "one of the data sets has none",
        other => return other.replace('_', " "),
    }
    .to_owned()
}
