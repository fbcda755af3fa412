//! How well the scores of a data set agree with its labels: in all, for each algorithm, for each group of scenes; and by
//! the protocol that the data set's authors report by. Pure.

use dqa_stats::{self as stats, Columns, Estimate, ExbeddeCounts, ExbeddeMeasures, Fit, FitStatus, SortedColumns};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::load::Rows;
use super::{Head, LEVEL, ReportIntervals, ReportOptions};
use crate::tables::correlations::CorrelationRow;

/// The name of exBeDDE's protocol, in a data set's definition and in the table.
pub const EXBEDDE: &str = "exbedde";

/// The name of the protocol that fits as published code does: VQEG's start, one descent.
pub const VQEG: &str = "vqeg";

/// Which of a data set's rows.
#[derive(Clone, Copy, Debug)]
enum Group<'a> {
    All,
    Algorithm(usize),
    Scenes(&'a str, u32),
}

/// The rows of a group that have both score and label, and how many have not.
#[derive(Default)]
struct Labelled {
    score: Vec<f64>,
    mos: Vec<f64>,
    scene: Vec<u32>,
    /// By its place in [`Rows::algorithms`].
    algorithm: Vec<u32>,
    scene_group: Vec<u32>,
    failed: u64,
    unlabelled: u64,
}

impl Labelled {
    fn of(rows: &Rows, group: Group<'_>) -> Labelled {
        let mut labelled = Labelled::default();
        for (algorithm, (_, range)) in rows.algorithms.iter().enumerate() {
            if !matches!(group, Group::Algorithm(other) if other != algorithm) {
                range.clone().for_each(|row| labelled.add(rows, row, algorithm, group));
            }
        }
        labelled
    }

    fn add(&mut self, rows: &Rows, row: usize, algorithm: usize, group: Group<'_>) {
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

    /// How many algorithms its rows are of.
    fn algorithms(&self) -> u64 {
        let mut algorithms = self.algorithm.clone();
        algorithms.sort_unstable();
        algorithms.dedup();
        algorithms.len() as u64
    }

    /// A row of the table without measures.
    fn row(&self, head: &Head<'_>, protocol: &str) -> CorrelationRow {
        let n = self.score.len() as u64;
        CorrelationRow {
            run: head.run.to_string(),
            fingerprint: head.fingerprint.to_owned(),
            dataset: Some(head.dataset.to_string()),
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

/// What is said of one data set.
#[derive(Default)]
pub(super) struct Agreement {
    /// The table's rows; none where no row with a score has a label.
    pub(super) table: Vec<CorrelationRow>,
    /// The whole data set's measures, for the means over data sets.
    pub(super) overall: Option<Overall>,
}

/// A data set's row of all pictures, with the estimates that means over data sets are of.
pub(super) struct Overall {
    row: CorrelationRow,
    estimates: [Option<Estimate>; Measure::ALL.len()],
}

/// The measures of which there are means over data sets.
#[derive(Clone, Copy, PartialEq)]
enum Measure {
    Srcc,
    Krcc,
    Plcc,
    PlccLogistic4,
    PlccLogistic5,
    Pairs,
    AlgorithmSrcc,
}

impl Measure {
    const ALL: [Measure; 7] = [
        Measure::Srcc,
        Measure::Krcc,
        Measure::Plcc,
        Measure::PlccLogistic4,
        Measure::PlccLogistic5,
        Measure::Pairs,
        Measure::AlgorithmSrcc,
    ];

    /// Puts the estimate where it stands in the table.
    #[rustfmt::skip]
    fn put(self, row: &mut CorrelationRow, estimate: Option<Estimate>) {
        let cells = cells(estimate);
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
            Measure::Pairs => {
                (row.pairwise_accuracy, row.pairwise_accuracy_low, row.pairwise_accuracy_high,
                 row.pairwise_accuracy_interval) = cells;
            }
            Measure::AlgorithmSrcc => {
                (row.algorithm_srcc, row.algorithm_srcc_low, row.algorithm_srcc_high, row.algorithm_srcc_interval) = cells;
            }
        }
    }
}

pub(super) fn of(rows: &Rows, head: &Head<'_>, protocol: Option<&str>, options: &ReportOptions) -> Agreement {
    let all = Labelled::of(rows, Group::All);
    if all.score.is_empty() {
        return Agreement::default();
    }
    let table = all.columns().sorted();
    let overall = pooled((&all, &table), rows, (head, Group::All), options);
    let by_protocols = || {
        let by_protocol = protocol.filter(|protocol| *protocol == EXBEDDE).map(|_| exbedde(&all, rows, head));
        vqeg((&all, &table), head, &overall.row)
            .into_iter()
            .chain(by_protocol.into_iter().flatten())
            .collect::<Vec<_>>()
    };
    let algorithms = (0..rows.algorithms.len()).map(Group::Algorithm);
    let names = rows.groups.sorted();
    let scenes = names.iter().map(|(name, number)| Group::Scenes(name, *number));
    let groups: Vec<Group> = algorithms.chain(scenes).collect();
    let of_group = |group: &Group<'_>| {
        let labelled = Labelled::of(rows, *group);
        pooled((&labelled, &labelled.columns().sorted()), rows, (head, *group), options).row
    };
    let (of_groups, by_protocols) = rayon::join(|| groups.par_iter().map(of_group).collect::<Vec<_>>(), by_protocols);
    let mut table = vec![overall.row.clone()];
    table.extend(of_groups);
    table.extend(by_protocols);
    Agreement { table, overall: Some(overall) }
}

/// The row of all pictures; None where none has both score and label.
pub(super) fn of_all(rows: &Rows, head: &Head<'_>, options: &ReportOptions) -> Option<CorrelationRow> {
    let all = Labelled::of(rows, Group::All);
    (!all.score.is_empty()).then(|| pooled((&all, &all.columns().sorted()), rows, (head, Group::All), options).row)
}

/// Computes a group's row: its pictures taken together. `table` has the columns of `labelled`.
fn pooled(
    (labelled, table): (&Labelled, &SortedColumns<'_>),
    rows: &Rows,
    (head, group): (&Head<'_>, Group<'_>),
    options: &ReportOptions,
) -> Overall {
    let intervals = stats::intervals(table, &options.resampling());
    let [four, five] = stats::fit_estimates(table, LEVEL);
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
        algorithms: Some(labelled.algorithms()),
        logistic4_status: Some(four.fit.status.as_str().to_owned()),
        logistic5_status: Some(five.fit.status.as_str().to_owned()),
        level: Some(LEVEL),
        replicates: is_bootstrap.then_some(options.replicates),
        seed: is_bootstrap.then_some(options.seed),
        ..labelled.row(head, "pooled")
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
    Measure::ALL.into_iter().zip(estimates).for_each(|(measure, estimate)| measure.put(&mut row, estimate));
    (row.rmse, row.rmse_low, row.rmse_high, row.rmse_interval) = cells(intervals.rmse);
    (row.rmse_logistic4, row.rmse_logistic4_low, row.rmse_logistic4_high, row.rmse_logistic4_interval) =
        cells(four.rmse);
    (row.rmse_logistic5, row.rmse_logistic5_low, row.rmse_logistic5_high, row.rmse_logistic5_interval) =
        cells(five.rmse);
    row.srcc_monte_carlo_error = monte_carlo_error(intervals.srcc);
    row.krcc_monte_carlo_error = monte_carlo_error(intervals.krcc);
    row.plcc_monte_carlo_error = monte_carlo_error(intervals.plcc);
    row.rmse_monte_carlo_error = monte_carlo_error(intervals.rmse);
    row.pairwise_accuracy_monte_carlo_error = monte_carlo_error(intervals.pairwise_accuracy);
    Overall { row, estimates }
}

/// The whole data set's fits as published code makes them; None where it has too few pictures for either.
fn vqeg(
    (labelled, table): (&Labelled, &SortedColumns<'_>),
    head: &Head<'_>,
    pooled: &CorrelationRow,
) -> Option<CorrelationRow> {
    let [four, five] = stats::fits_vqeg(table);
    let status = |fit: &Fit| Some(fit.status.as_str().to_owned());
    (four.plcc.is_some() || five.plcc.is_some()).then(|| CorrelationRow {
        scenes: pooled.scenes,
        algorithms: pooled.algorithms,
        logistic4_status: status(&four),
        logistic5_status: status(&five),
        plcc_logistic4: four.plcc,
        rmse_logistic4: four.rmse,
        plcc_logistic5: five.plcc,
        rmse_logistic5: five.rmse,
        ..labelled.row(head, VQEG)
    })
}

/// An estimate as three columns.
pub(super) fn spread(estimate: Option<Estimate>) -> (Option<f64>, Option<f64>, Option<f64>) {
    let (value, low, high, _) = cells(estimate);
    (value, low, high)
}

/// Value, ends of the interval, and how that was made or why there is none.
type Cells = (Option<f64>, Option<f64>, Option<f64>, Option<String>);

fn cells(estimate: Option<Estimate>) -> Cells {
    let Some(Estimate { value, interval }) = estimate else { return Cells::default() };
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

/// exBeDDE's protocol: a row for each city, then their mean. Its PLCC and RMSE are after a fit, so they stand where those
/// of the 5-parameter fit do; it has not converged where that of one picture's outputs has not. `n` and `scenes` are those that
/// the means are of.
fn exbedde(labelled: &Labelled, rows: &Rows, head: &Head<'_>) -> Vec<CorrelationRow> {
    let result = stats::exbedde(&labelled.columns(), &labelled.scene_group, LEVEL);
    let names = rows.groups.sorted();
    let mut table = Vec::new();
    for city in &result.cities {
        let name = names.iter().find(|(_, number)| *number == city.city).map(|(name, _)| (*name).to_owned());
        let in_city = Labelled::of(rows, Group::Scenes("", city.city));
        let row =
            CorrelationRow { group_kind: "scene_group".to_owned(), group_name: name, ..in_city.row(head, EXBEDDE) };
        table.push(with_measures(row, &city.counts, city.measures));
    }
    table.push(with_measures(labelled.row(head, EXBEDDE), &result.counts, result.mean));
    table
}

fn with_measures(mut row: CorrelationRow, counts: &ExbeddeCounts, measures: Option<ExbeddeMeasures>) -> CorrelationRow {
    row.left_out = Some(row.n - counts.pictures);
    row.n = counts.pictures;
    row.scenes = counts.scenes;
    row.scenes_too_small = Some(counts.too_small);
    row.scenes_constant = Some(counts.constant);
    let Some([srcc, krcc, plcc, rmse]) = measures else { return row };
    Measure::Srcc.put(&mut row, Some(srcc));
    Measure::Krcc.put(&mut row, Some(krcc));
    Measure::PlccLogistic5.put(&mut row, Some(plcc));
    (row.rmse_logistic5, row.rmse_logistic5_low, row.rmse_logistic5_high, row.rmse_logistic5_interval) =
        cells(Some(rmse));
    let status = if counts.not_converged == 0 { FitStatus::Converged } else { FitStatus::NotConverged };
    row.logistic5_status = Some(status.as_str().to_owned());
    row.level = Some(LEVEL);
    row
}

/// The means over data sets: each counting the same, and each by its pictures. The data sets count as fixed: an interval says how
/// sure the mean over just these is, and nothing of others.
pub(super) fn means(datasets: &[Overall]) -> Vec<CorrelationRow> {
    if datasets.len() < 2 {
        return Vec::new();
    }
    let mean = |protocol: &str, weight: fn(&CorrelationRow) -> f64| {
        let count = |of: fn(&CorrelationRow) -> u64| datasets.iter().map(|dataset| of(&dataset.row)).sum();
        let mut row = CorrelationRow {
            run: datasets[0].row.run.clone(),
            fingerprint: datasets[0].row.fingerprint.clone(),
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
        for (place, measure) in Measure::ALL.into_iter().enumerate() {
            // One that is not defined on a data set has no mean: leaving that data set out would flatter.
            let estimates: Option<Vec<Estimate>> = datasets.iter().map(|dataset| dataset.estimates[place]).collect();
            let parts = estimates.map(|estimates| weights.iter().copied().zip(estimates).collect::<Vec<_>>());
            let estimate = parts.map(|parts| match measure {
                Measure::Pairs => stats::weighted_share(&parts, LEVEL, row.scenes),
                _ => stats::weighted_correlation(&parts, LEVEL),
            });
            measure.put(&mut row, estimate);
        }
        row
    };
    vec![mean("mean_of_datasets", |_| 1.0), mean("mean_by_pictures", |row| row.n as f64)]
}
