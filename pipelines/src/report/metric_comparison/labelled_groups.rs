//! The metrics beside each other by their agreement with the labels, for each group of a data set's pictures. Pure.

use dqa_stats::{Measure, compact_letter_display};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::DatasetMetrics;
use super::paired_metrics::{MetricPair, Protocol, compare_all};
use crate::report::compare::join_pictures::JoinedPictures;
use crate::report::compare::{self, Group};
use crate::report::correlations::{self, EXBEDDE};
use crate::report::leaderboard::NOT_TESTABLE;
use crate::report::options::LEVEL;
use crate::tables::correlations::CorrelationRow;
use crate::tables::metric_differences::MetricDifferenceRow;
use crate::tables::metrics::MetricRow;

type Rows = (Vec<MetricRow>, Vec<MetricDifferenceRow>);

/// Returns the rows of all groups that have labels. There are none if no picture has a label.
pub(super) fn compute(joined: &JoinedPictures, metrics: &DatasetMetrics) -> Rows {
    let seen: Vec<_> = metrics.seen.iter().collect();
    let groups = compare::groups(joined, &seen);
    let mut work: Vec<GroupComparison<'_>> =
        groups.iter().map(|group| GroupComparison { group, protocol: Protocol::Pooled, metrics }).collect();
    if metrics.dataset.protocol.as_deref() == Some(EXBEDDE) {
        let by_protocol = groups.iter().filter(|group| matches!(group.kind, "all" | "scene_group"));
        work.extend(by_protocol.map(|group| GroupComparison { group, protocol: Protocol::Exbedde, metrics }));
    }
    let rows: Vec<Rows> = work.par_iter().map(|group| group.rows(joined)).collect();
    let (tables, differences): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    (tables.concat(), differences.concat())
}

struct GroupComparison<'a> {
    group: &'a Group,
    protocol: Protocol,
    metrics: &'a DatasetMetrics,
}

/// The metrics in the order of one measure.
struct MeasureOrder {
    measure: Measure,
    /// Indices of the metrics for which the measure is defined, best first.
    ranked: Vec<usize>,
    /// The letters of each of them.
    letters: Vec<String>,
    pairs: Vec<MetricPair>,
}

impl GroupComparison<'_> {
    fn rows(&self, joined: &JoinedPictures) -> Rows {
        let own: Vec<Option<&CorrelationRow>> =
            self.metrics.correlations.iter().map(|rows| rows.iter().find(|row| self.is_own(row))).collect();
        let pairs = compare_all(joined, &self.group.rows, self.protocol);
        let orders: Vec<MeasureOrder> = Measure::ALL
            .into_iter()
            .zip(pairs)
            .map(|(measure, pairs)| MeasureOrder::new(measure, &self.values(&own, measure), pairs))
            .collect();
        let mut order = orders[0].ranked.clone();
        order.extend((0..own.len()).filter(|metric| !orders[0].ranked.contains(metric)));
        let row = |metric: usize| own[metric].map(|own| self.metric_row(metric, own, &orders));
        let differences = orders.iter().flat_map(|order| self.difference_rows(order)).collect();
        (order.into_iter().filter_map(row).collect(), differences)
    }

    fn protocol_name(&self) -> &'static str {
        match self.protocol {
            Protocol::Pooled => "pooled",
            Protocol::Exbedde => EXBEDDE,
        }
    }

    fn is_own(&self, row: &CorrelationRow) -> bool {
        row.protocol == self.protocol_name() && row.group_kind == self.group.kind && row.group_name == self.group.name
    }

    fn values(&self, own: &[Option<&CorrelationRow>], measure: Measure) -> Vec<Option<f64>> {
        let value = |row: &CorrelationRow| match (measure, self.protocol) {
            (Measure::Srcc, _) => row.srcc,
            (Measure::Krcc, _) => row.krcc,
            (Measure::Plcc, Protocol::Pooled) => row.plcc,
            (Measure::Plcc, Protocol::Exbedde) => row.plcc_logistic5,
        };
        own.iter().map(|row| row.and_then(value)).collect()
    }

    #[rustfmt::skip]
    fn metric_row(&self, metric: usize, own: &CorrelationRow, orders: &[MeasureOrder]) -> MetricRow {
        let column = &self.metrics.columns[metric];
        let mut row = MetricRow {
            run: self.metrics.run.to_string(),
            dataset: self.metrics.dataset.name.to_string(),
            protocol: self.protocol_name().to_owned(),
            group_kind: self.group.kind.to_owned(),
            group_name: self.group.name.clone(),
            metric: column.label.clone(),
            metric_run: column.record.name.to_string(),
            fingerprint: column.metric.fingerprint.clone(),
            direction: column.metric.direction.to_string(),
            level: LEVEL,
            ..MetricRow::default()
        };
        copy_measures(&mut row, own);
        if self.protocol == Protocol::Exbedde {
            (row.plcc, row.plcc_low, row.plcc_high, row.plcc_interval) =
                (own.plcc_logistic5, own.plcc_logistic5_low, own.plcc_logistic5_high, own.plcc_logistic5_interval.clone());
        }
        for order in orders {
            let standing = order.standing(metric);
            match order.measure {
                Measure::Srcc => {
                    (row.srcc_rank, row.srcc_group) = (standing.rank, standing.group);
                    (row.srcc_difference, row.srcc_difference_low, row.srcc_difference_high) = standing.difference;
                    (row.srcc_p, row.srcc_p_corrected) = standing.p;
                }
                Measure::Krcc => {
                    (row.krcc_rank, row.krcc_group) = (standing.rank, standing.group);
                    (row.krcc_difference, row.krcc_difference_low, row.krcc_difference_high) = standing.difference;
                    (row.krcc_p, row.krcc_p_corrected) = standing.p;
                }
                Measure::Plcc => {
                    (row.plcc_rank, row.plcc_group) = (standing.rank, standing.group);
                    (row.plcc_difference, row.plcc_difference_low, row.plcc_difference_high) = standing.difference;
                    (row.plcc_p, row.plcc_p_corrected) = standing.p;
                }
            }
        }
        row
    }

    fn difference_rows(&self, order: &MeasureOrder) -> Vec<MetricDifferenceRow> {
        let label = |metric: usize| self.metrics.columns[metric].label.clone();
        let row = |pair: &MetricPair| {
            let is_first_better = order.position(pair.first) <= order.position(pair.second);
            let (a, b) = if is_first_better { (pair.first, pair.second) } else { (pair.second, pair.first) };
            let ((difference, difference_low, difference_high), [value_a, value_b]) =
                (order.less(a, b, pair), if is_first_better { pair.values } else { [pair.values[1], pair.values[0]] });
            MetricDifferenceRow {
                run: self.metrics.run.to_string(),
                dataset: self.metrics.dataset.name.to_string(),
                protocol: self.protocol_name().to_owned(),
                group_kind: self.group.kind.to_owned(),
                group_name: self.group.name.clone(),
                measure: order.measure.as_str().to_owned(),
                metric_a: label(a),
                metric_b: label(b),
                n: pair.n,
                scenes: pair.scenes,
                excluded: self.group.rows.len() as u64 - pair.n,
                value_a,
                value_b,
                difference,
                difference_low,
                difference_high,
                difference_interval: pair.difference.map(|estimate| match estimate.interval {
                    Ok(interval) => interval.method.as_str().to_owned(),
                    Err(reason) => reason.as_str().to_owned(),
                }),
                p: pair.p,
                p_corrected: pair.p_corrected,
                significant: pair.is_significant(),
                level: LEVEL,
            }
        };
        order.pairs.iter().map(row).collect()
    }
}

/// Copies the counts and measures of a metric's own report.
#[rustfmt::skip]
fn copy_measures(row: &mut MetricRow, own: &CorrelationRow) {
    (row.pictures, row.failed, row.unlabelled, row.n, row.scenes) =
        (own.pictures, own.failed, own.unlabelled, own.n, own.scenes);
    (row.srcc, row.srcc_low, row.srcc_high, row.srcc_interval) =
        (own.srcc, own.srcc_low, own.srcc_high, own.srcc_interval.clone());
    (row.krcc, row.krcc_low, row.krcc_high, row.krcc_interval) =
        (own.krcc, own.krcc_low, own.krcc_high, own.krcc_interval.clone());
    (row.plcc, row.plcc_low, row.plcc_high, row.plcc_interval) =
        (own.plcc, own.plcc_low, own.plcc_high, own.plcc_interval.clone());
    (row.plcc_logistic5, row.plcc_logistic5_low, row.plcc_logistic5_high) =
        (own.plcc_logistic5, own.plcc_logistic5_low, own.plcc_logistic5_high);
    (row.rmse_logistic5, row.rmse_logistic5_low, row.rmse_logistic5_high) =
        (own.rmse_logistic5, own.rmse_logistic5_low, own.rmse_logistic5_high);
    row.logistic5_status.clone_from(&own.logistic5_status);
    (row.rmse, row.rmse_low, row.rmse_high) = (own.rmse, own.rmse_low, own.rmse_high);
    (row.pairwise_accuracy, row.pairwise_accuracy_low, row.pairwise_accuracy_high) =
        (own.pairwise_accuracy, own.pairwise_accuracy_low, own.pairwise_accuracy_high);
}

/// A metric's place by one measure.
#[derive(Default)]
struct MetricStanding {
    rank: Option<u32>,
    group: Option<String>,
    /// The metric's value less that of the best, with the bounds of the interval.
    difference: (Option<f64>, Option<f64>, Option<f64>),
    /// Uncorrected and corrected.
    p: (Option<f64>, Option<f64>),
}

impl MeasureOrder {
    fn new(measure: Measure, values: &[Option<f64>], pairs: Vec<MetricPair>) -> MeasureOrder {
        let mut known: Vec<(usize, f64)> =
            values.iter().enumerate().filter_map(|(metric, value)| Some((metric, (*value)?))).collect();
        known.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let ranked: Vec<usize> = known.into_iter().map(|(metric, _)| metric).collect();
        let both_ranked = |pair: &&MetricPair| ranked.contains(&pair.first) && ranked.contains(&pair.second);
        let significant = pairs.iter().filter(|pair| pair.is_significant()).filter(both_ranked);
        let significant: Vec<(usize, usize)> = significant.map(|pair| (pair.first, pair.second)).collect();
        let letters = compact_letter_display(&ranked, &significant);
        MeasureOrder { measure, ranked, letters, pairs }
    }

    /// Returns the metric's position, best first. Metrics without a value come last.
    fn position(&self, metric: usize) -> usize {
        self.ranked.iter().position(|&other| other == metric).unwrap_or(self.ranked.len())
    }

    fn standing(&self, metric: usize) -> MetricStanding {
        let Some(position) = self.ranked.iter().position(|&other| other == metric) else {
            return MetricStanding::default();
        };
        let has = |pair: &&MetricPair, metric: usize| pair.first == metric || pair.second == metric;
        let is_testable = self.pairs.iter().any(|pair| has(&pair, metric) && pair.p.is_some());
        let group = if is_testable { self.letters[position].clone() } else { NOT_TESTABLE.to_owned() };
        let best = self.ranked[0];
        let to_best = self.pairs.iter().find(|pair| metric != best && has(pair, metric) && has(pair, best));
        MetricStanding {
            rank: Some(position as u32 + 1),
            group: Some(group),
            difference: to_best.map_or((None, None, None), |pair| self.less(metric, best, pair)),
            p: to_best.map_or((None, None), |pair| (pair.p, pair.p_corrected)),
        }
    }

    /// Returns the value of `a` less that of `b`, the metrics of `pair`, with the bounds of the interval.
    fn less(&self, a: usize, b: usize, pair: &MetricPair) -> (Option<f64>, Option<f64>, Option<f64>) {
        let (value, low, high) = correlations::estimate_columns(pair.difference);
        if (a, b) == (pair.second, pair.first) {
            return (value, low, high);
        }
        let negative = |value: Option<f64>| value.map(|value| 0.0 - value);
        (negative(value), negative(high), negative(low))
    }
}
