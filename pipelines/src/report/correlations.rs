//! Correlations of scores with labels on one data set: for all pictures, each algorithm and each group of scenes, and
//! by the protocol that the data set's authors use. Pure.

use dqa_stats::{
    self as stats, Columns, Estimate, ExbeddeCounts, ExbeddeMeasures, FitStatus, LogisticFit, SortedColumns,
};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::dataset_scores::DatasetScores;
use super::options::{LEVEL, ReportOptions};
use super::row_context::RowContext;
use crate::run::ReportIntervals;
use crate::tables::correlations::CorrelationRow;

/// The exBeDDE protocol, as named in a data set's definition and in the table.
pub const EXBEDDE: &str = "exbedde";

/// The VQEG protocol, which fits as published code does: the usual start and one descent.
pub const VQEG: &str = "vqeg";

/// A group of a data set's rows.
#[derive(Clone, Copy, Debug)]
enum Group<'a> {
    All,
    Algorithm(usize),
    Scenes(&'a str, u32),
}

/// The rows of a group that have both a score and a label, and the numbers of the others.
#[derive(Default)]
struct LabelledScores {
    score: Vec<f64>,
    mos: Vec<f64>,
    scene: Vec<u32>,
    /// Indices into [`DatasetScores::algorithms`].
    algorithm: Vec<u32>,
    scene_group: Vec<u32>,
    failed: u64,
    unlabelled: u64,
}

impl LabelledScores {
    fn from_group(rows: &DatasetScores, group: Group<'_>) -> LabelledScores {
        let mut labelled = LabelledScores::default();
        for (algorithm, (_, range)) in rows.algorithms.iter().enumerate() {
            if !matches!(group, Group::Algorithm(other) if other != algorithm) {
                range.clone().for_each(|row| labelled.add(rows, row, algorithm, group));
            }
        }
        labelled
    }

    fn add(&mut self, rows: &DatasetScores, row: usize, algorithm: usize, group: Group<'_>) {
        if matches!(group, Group::Scenes(_, other) if other != rows.group[row]) {
            return;
        }
        if rows.score[row].is_nan() {
            self.failed += 1;
        } else if rows.mos[row].is_nan() {
            self.unlabelled += 1;
        } else {
            self.score.push(rows.score[row]);
            self.mos.push(rows.mos[row]);
            self.scene.push(rows.scene[row]);
            self.algorithm.push(algorithm as u32);
            self.scene_group.push(rows.group[row]);
        }
    }

    fn columns(&self) -> Columns<'_> {
        Columns { score: &self.score, mos: &self.mos, scene: &self.scene }
    }

    fn algorithm_count(&self) -> u64 {
        let mut algorithms = self.algorithm.clone();
        algorithms.sort_unstable();
        algorithms.dedup();
        algorithms.len() as u64
    }

    /// Returns a table row without measures.
    fn new_row(&self, context: &RowContext<'_>, protocol: &str) -> CorrelationRow {
        let n = self.score.len() as u64;
        CorrelationRow {
            run: context.run.to_string(),
            fingerprint: context.metric.fingerprint.clone(),
            metric: Some(context.metric.name.to_string()),
            direction: Some(context.metric.direction.to_string()),
            dataset: Some(context.dataset.to_string()),
            protocol: protocol.to_owned(),
            group_kind: "all".to_owned(),
            pictures: n + self.failed + self.unlabelled,
            failed: self.failed,
            unlabelled: self.unlabelled,
            left_out: Some(0),
            n,
            ..CorrelationRow::default()
        }
    }
}

/// The correlations of one data set.
#[derive(Default)]
pub(super) struct Agreement {
    /// The table's rows. Empty if no picture has both a score and a label.
    pub(super) table: Vec<CorrelationRow>,
    /// The measures of all pictures, for the means over data sets.
    pub(super) overall: Option<DatasetAgreement>,
}

/// The row of all pictures of a data set, with the estimates that enter the means over data sets.
pub(super) struct DatasetAgreement {
    row: CorrelationRow,
    estimates: [Option<Estimate>; Measure::ALL.len()],
}

/// The measures whose means over data sets are reported.
#[derive(Clone, Copy, PartialEq)]
enum Measure {
    Srcc,
    Krcc,
    Plcc,
    PlccLogistic4,
    PlccLogistic5,
    PairwiseAccuracy,
    AlgorithmSrcc,
}

impl Measure {
    const ALL: [Measure; 7] = [
        Measure::Srcc,
        Measure::Krcc,
        Measure::Plcc,
        Measure::PlccLogistic4,
        Measure::PlccLogistic5,
        Measure::PairwiseAccuracy,
        Measure::AlgorithmSrcc,
    ];

    /// Writes the estimate into the measure's columns.
    #[rustfmt::skip]
    fn set(self, row: &mut CorrelationRow, estimate: Option<Estimate>) {
        let cells = estimate_cells(estimate);
        match self {
            Measure::Srcc => (row.srcc, row.srcc_low, row.srcc_high, row.srcc_interval) = cells,
            Measure::Krcc => (row.krcc, row.krcc_low, row.krcc_high, row.krcc_interval) = cells,
            Measure::Plcc => (row.plcc, row.plcc_low, row.plcc_high, row.plcc_interval) = cells,
            Measure::PlccLogistic4 => {
                (row.plcc_logistic4, row.plcc_logistic4_low, row.plcc_logistic4_high, row.plcc_logistic4_interval) = cells;
            }
            Measure::PlccLogistic5 => {
                (row.plcc_logistic5, row.plcc_logistic5_low, row.plcc_logistic5_high, row.plcc_logistic5_interval) = cells;
            }
            Measure::PairwiseAccuracy => {
                (row.pairwise_accuracy, row.pairwise_accuracy_low, row.pairwise_accuracy_high,
                 row.pairwise_accuracy_interval) = cells;
            }
            Measure::AlgorithmSrcc => {
                (row.algorithm_srcc, row.algorithm_srcc_low, row.algorithm_srcc_high, row.algorithm_srcc_interval) = cells;
            }
        }
    }
}

pub(super) fn compute(
    rows: &DatasetScores,
    context: &RowContext<'_>,
    protocol: Option<&str>,
    options: &ReportOptions,
) -> Agreement {
    let all = LabelledScores::from_group(rows, Group::All);
    if all.score.is_empty() {
        return Agreement::default();
    }
    let table = all.columns().sorted();
    let overall = pooled((&all, &table), rows, (context, Group::All), options);
    let by_protocols = || {
        let by_protocol = protocol.filter(|protocol| *protocol == EXBEDDE).map(|_| exbedde(&all, rows, context));
        vqeg((&all, &table), context, &overall.row)
            .into_iter()
            .chain(by_protocol.into_iter().flatten())
            .collect::<Vec<_>>()
    };
    let algorithms = (0..rows.algorithms.len()).map(Group::Algorithm);
    let names = rows.groups.sorted();
    let scenes = names.iter().map(|(name, number)| Group::Scenes(name, *number));
    let groups: Vec<Group> = algorithms.chain(scenes).collect();
    let group_row = |group: &Group<'_>| {
        let labelled = LabelledScores::from_group(rows, *group);
        pooled((&labelled, &labelled.columns().sorted()), rows, (context, *group), options).row
    };
    let (group_rows, by_protocols) = rayon::join(|| groups.par_iter().map(group_row).collect::<Vec<_>>(), by_protocols);
    let mut table = vec![overall.row.clone()];
    table.extend(group_rows);
    table.extend(by_protocols);
    Agreement { table, overall: Some(overall) }
}

/// Returns the row of all pictures, or None if no picture has both a score and a label.
pub(super) fn pooled_row(
    rows: &DatasetScores,
    context: &RowContext<'_>,
    options: &ReportOptions,
) -> Option<CorrelationRow> {
    let all = LabelledScores::from_group(rows, Group::All);
    (!all.score.is_empty()).then(|| pooled((&all, &all.columns().sorted()), rows, (context, Group::All), options).row)
}

/// Computes a group's row from all of its pictures together. `table` has the columns of `labelled`.
fn pooled(
    (labelled, table): (&LabelledScores, &SortedColumns<'_>),
    rows: &DatasetScores,
    (context, group): (&RowContext<'_>, Group<'_>),
    options: &ReportOptions,
) -> DatasetAgreement {
    let intervals = stats::estimate_agreement(table, &options.resampling());
    let [four, five] = stats::estimate_logistic_fits(table, LEVEL);
    let (group_kind, group_name) = match group {
        Group::All => ("all", None),
        Group::Algorithm(algorithm) => ("algorithm", Some(rows.algorithms[algorithm].0.to_string())),
        Group::Scenes(name, _) => ("scene_group", Some(name.to_owned())),
    };
    let is_bootstrap = options.intervals == ReportIntervals::Bootstrap;
    let mut row = CorrelationRow {
        group_kind: group_kind.to_owned(),
        group_name,
        scenes: intervals.scenes,
        algorithms: Some(labelled.algorithm_count()),
        logistic4_status: Some(four.fit.status.as_str().to_owned()),
        logistic5_status: Some(five.fit.status.as_str().to_owned()),
        level: Some(LEVEL),
        replicates: is_bootstrap.then_some(options.replicates),
        seed: is_bootstrap.then_some(options.seed),
        ..labelled.new_row(context, "pooled")
    };
    let interval = intervals.srcc.and_then(|srcc| srcc.interval.ok());
    row.rank_interval_method = interval.map(|interval| interval.method.as_str().to_owned());
    let estimates = [
        intervals.srcc,
        intervals.krcc,
        intervals.plcc,
        four.plcc,
        five.plcc,
        intervals.pairwise_accuracy,
        stats::algorithm_srcc(table, &labelled.algorithm, LEVEL),
    ];
    Measure::ALL.into_iter().zip(estimates).for_each(|(measure, estimate)| measure.set(&mut row, estimate));
    (row.rmse, row.rmse_low, row.rmse_high, row.rmse_interval) = estimate_cells(intervals.rmse);
    (row.rmse_logistic4, row.rmse_logistic4_low, row.rmse_logistic4_high, row.rmse_logistic4_interval) =
        estimate_cells(four.rmse);
    (row.rmse_logistic5, row.rmse_logistic5_low, row.rmse_logistic5_high, row.rmse_logistic5_interval) =
        estimate_cells(five.rmse);
    row.srcc_monte_carlo_error = monte_carlo_error(intervals.srcc);
    row.krcc_monte_carlo_error = monte_carlo_error(intervals.krcc);
    row.plcc_monte_carlo_error = monte_carlo_error(intervals.plcc);
    row.rmse_monte_carlo_error = monte_carlo_error(intervals.rmse);
    row.pairwise_accuracy_monte_carlo_error = monte_carlo_error(intervals.pairwise_accuracy);
    DatasetAgreement { row, estimates }
}

/// Returns the row with the fits of all pictures as published code computes them, or None if there are too few pictures
/// for either fit.
fn vqeg(
    (labelled, table): (&LabelledScores, &SortedColumns<'_>),
    context: &RowContext<'_>,
    pooled: &CorrelationRow,
) -> Option<CorrelationRow> {
    let [four, five] = stats::fit_logistics_vqeg(table);
    let status = |fit: &LogisticFit| Some(fit.status.as_str().to_owned());
    (four.plcc.is_some() || five.plcc.is_some()).then(|| CorrelationRow {
        scenes: pooled.scenes,
        algorithms: pooled.algorithms,
        logistic4_status: status(&four),
        logistic5_status: status(&five),
        plcc_logistic4: four.plcc,
        rmse_logistic4: four.rmse,
        plcc_logistic5: five.plcc,
        rmse_logistic5: five.rmse,
        ..labelled.new_row(context, VQEG)
    })
}

/// Returns the value of an estimate and the bounds of its interval.
pub(super) fn estimate_columns(estimate: Option<Estimate>) -> (Option<f64>, Option<f64>, Option<f64>) {
    let (value, low, high, _) = estimate_cells(estimate);
    (value, low, high)
}

/// Value, lower bound, upper bound, and the method of the interval or the reason why it is missing.
type EstimateCells = (Option<f64>, Option<f64>, Option<f64>, Option<String>);

fn estimate_cells(estimate: Option<Estimate>) -> EstimateCells {
    let Some(Estimate { value, interval }) = estimate else { return EstimateCells::default() };
    match interval {
        Ok(interval) => {
            (Some(value), Some(interval.low), Some(interval.high), Some(interval.method.as_str().to_owned()))
        }
        Err(reason) => (Some(value), None, None, Some(reason.as_str().to_owned())),
    }
}

fn monte_carlo_error(estimate: Option<Estimate>) -> Option<f64> {
    estimate?.interval.ok()?.monte_carlo_error
}

/// Returns the rows of the exBeDDE protocol: one for each city, then their mean. Its PLCC and RMSE are computed after a
/// fit, so they are stored in the columns of the 5-parameter fit. The status is not converged if the fit of any
/// picture's outputs did not converge. `n` and `scenes` count what the means are computed from.
fn exbedde(labelled: &LabelledScores, rows: &DatasetScores, context: &RowContext<'_>) -> Vec<CorrelationRow> {
    let result = stats::exbedde(&labelled.columns(), &labelled.scene_group, LEVEL);
    let names = rows.groups.sorted();
    let mut table = Vec::new();
    for city in &result.cities {
        let name = names.iter().find(|(_, number)| *number == city.city).map(|(name, _)| (*name).to_owned());
        let in_city = LabelledScores::from_group(rows, Group::Scenes("", city.city));
        let row = CorrelationRow {
            group_kind: "scene_group".to_owned(),
            group_name: name,
            ..in_city.new_row(context, EXBEDDE)
        };
        table.push(with_exbedde_measures(row, &city.counts, city.measures));
    }
    table.push(with_exbedde_measures(labelled.new_row(context, EXBEDDE), &result.counts, result.mean));
    table
}

fn with_exbedde_measures(
    mut row: CorrelationRow,
    counts: &ExbeddeCounts,
    measures: Option<ExbeddeMeasures>,
) -> CorrelationRow {
    row.left_out = Some(row.n - counts.pictures);
    row.n = counts.pictures;
    row.scenes = counts.scenes;
    row.scenes_too_small = Some(counts.too_small);
    row.scenes_constant = Some(counts.constant);
    let Some([srcc, krcc, plcc, rmse]) = measures else { return row };
    Measure::Srcc.set(&mut row, Some(srcc));
    Measure::Krcc.set(&mut row, Some(krcc));
    Measure::PlccLogistic5.set(&mut row, Some(plcc));
    (row.rmse_logistic5, row.rmse_logistic5_low, row.rmse_logistic5_high, row.rmse_logistic5_interval) =
        estimate_cells(Some(rmse));
    let status = if counts.not_converged == 0 { FitStatus::Converged } else { FitStatus::NotConverged };
    row.logistic5_status = Some(status.as_str().to_owned());
    row.level = Some(LEVEL);
    row
}

/// Returns the rows of means over data sets: one with equal weights, one weighted by the numbers of pictures. The data
/// sets are fixed, not a sample: an interval covers the mean over exactly these data sets.
pub(super) fn means_over_datasets(datasets: &[DatasetAgreement]) -> Vec<CorrelationRow> {
    if datasets.len() < 2 {
        return Vec::new();
    }
    let mean = |protocol: &str, weight: fn(&CorrelationRow) -> f64| {
        let count = |field: fn(&CorrelationRow) -> u64| datasets.iter().map(|dataset| field(&dataset.row)).sum();
        let mut row = CorrelationRow {
            run: datasets[0].row.run.clone(),
            fingerprint: datasets[0].row.fingerprint.clone(),
            metric: datasets[0].row.metric.clone(),
            direction: datasets[0].row.direction.clone(),
            protocol: protocol.to_owned(),
            group_kind: "all".to_owned(),
            pictures: count(|row| row.pictures),
            failed: count(|row| row.failed),
            unlabelled: count(|row| row.unlabelled),
            left_out: Some(0),
            n: count(|row| row.n),
            scenes: count(|row| row.scenes),
            level: Some(LEVEL),
            ..CorrelationRow::default()
        };
        let total: f64 = datasets.iter().map(|dataset| weight(&dataset.row)).sum();
        let weights: Vec<f64> = datasets.iter().map(|dataset| weight(&dataset.row) / total).collect();
        for (index, measure) in Measure::ALL.into_iter().enumerate() {
            // A measure that is undefined on one data set has no mean. Leaving that data set out would flatter the
            // result.
            let estimates: Option<Vec<Estimate>> = datasets.iter().map(|dataset| dataset.estimates[index]).collect();
            let parts = estimates.map(|estimates| weights.iter().copied().zip(estimates).collect::<Vec<_>>());
            let estimate = parts.map(|parts| match measure {
                Measure::PairwiseAccuracy => stats::weighted_share(&parts, LEVEL, row.scenes),
                _ => stats::weighted_correlation(&parts, LEVEL),
            });
            measure.set(&mut row, estimate);
        }
        row
    };
    vec![mean("mean_of_datasets", |_| 1.0), mean("mean_by_pictures", |row| row.n as f64)]
}
