//! How well the scores of a data set agree with its labels: in all, for each algorithm, for each group of scenes; and by
//! the protocol that the data set's authors report by. Pure.

use rayon::iter::{IntoParallelRefIterator, ParallelExtend, ParallelIterator};

use super::load::Rows;
use super::{Head, LEVEL, ReportIntervals, ReportOptions};
use crate::stats::{self, Columns, Estimate, ExbeddeMeasures, Fit, FitStatus};
use crate::tables::correlations::CorrelationRow;

/// The name of exBeDDE's protocol, in a data set's definition and in the table.
pub const EXBEDDE: &str = "exbedde";

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

/// The table's rows of one data set; none where no row with a score has a label.
pub(super) fn of(rows: &Rows, head: &Head<'_>, protocol: Option<&str>, options: &ReportOptions) -> Vec<CorrelationRow> {
    let all = Labelled::of(rows, Group::All);
    if all.score.is_empty() {
        return Vec::new();
    }
    let mut table = vec![pooled(&all, rows, (head, Group::All), options)];
    let by_protocol = protocol.filter(|protocol| *protocol == EXBEDDE).map(|_| exbedde(&all, rows, head));
    drop(all);
    let algorithms = (0..rows.algorithms.len()).map(Group::Algorithm);
    let names = rows.groups.sorted();
    let scenes = names.iter().map(|(name, number)| Group::Scenes(name, *number));
    let groups: Vec<Group> = algorithms.chain(scenes).collect();
    table.par_extend(groups.par_iter().map(|group| {
        let labelled = Labelled::of(rows, *group);
        pooled(&labelled, rows, (head, *group), options)
    }));
    table.extend(by_protocol.into_iter().flatten());
    table
}

/// The row of all pictures; None where none has both score and label.
pub(super) fn of_all(rows: &Rows, head: &Head<'_>, options: &ReportOptions) -> Option<CorrelationRow> {
    let all = Labelled::of(rows, Group::All);
    (!all.score.is_empty()).then(|| pooled(&all, rows, (head, Group::All), options))
}

/// A group's row: its pictures taken together.
fn pooled(
    labelled: &Labelled,
    rows: &Rows,
    (head, group): (&Head<'_>, Group<'_>),
    options: &ReportOptions,
) -> CorrelationRow {
    let columns = labelled.columns();
    let intervals = stats::intervals(&columns, &options.resampling());
    let [four, five] = stats::fits(columns.score, columns.mos);
    let scores = stats::mean_by(&labelled.algorithm, columns.score);
    let labels = stats::mean_by(&labelled.algorithm, columns.mos);
    let means = |of: &[(u32, f64)]| of.iter().map(|(_, mean)| *mean).collect::<Vec<_>>();
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
        algorithms: Some(scores.len() as u64),
        algorithm_srcc: stats::srcc(&means(&scores), &means(&labels)),
        level: Some(LEVEL),
        replicates: is_bootstrap.then_some(options.replicates),
        seed: is_bootstrap.then_some(options.seed),
        ..labelled.row(head, "pooled")
    };
    let interval = intervals.srcc.and_then(|srcc| srcc.interval.ok());
    row.rank_interval_method = interval.map(|interval| interval.method.as_str().to_owned());
    (row.srcc, row.srcc_low, row.srcc_high, row.srcc_interval) = cells(intervals.srcc);
    (row.krcc, row.krcc_low, row.krcc_high, row.krcc_interval) = cells(intervals.krcc);
    (row.plcc, row.plcc_low, row.plcc_high, row.plcc_interval) = cells(intervals.plcc);
    (row.rmse, row.rmse_low, row.rmse_high, row.rmse_interval) = cells(intervals.rmse);
    let accuracy = cells(intervals.pairwise_accuracy);
    (row.pairwise_accuracy, row.pairwise_accuracy_low, row.pairwise_accuracy_high, row.pairwise_accuracy_interval) =
        accuracy;
    row.srcc_monte_carlo_error = monte_carlo_error(intervals.srcc);
    row.krcc_monte_carlo_error = monte_carlo_error(intervals.krcc);
    row.plcc_monte_carlo_error = monte_carlo_error(intervals.plcc);
    row.rmse_monte_carlo_error = monte_carlo_error(intervals.rmse);
    row.pairwise_accuracy_monte_carlo_error = monte_carlo_error(intervals.pairwise_accuracy);
    (row.plcc_logistic4, row.rmse_logistic4, row.logistic4_status) = fitted(&four);
    (row.plcc_logistic5, row.rmse_logistic5, row.logistic5_status) = fitted(&five);
    row
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

fn fitted(fit: &Fit) -> (Option<f64>, Option<f64>, Option<String>) {
    (fit.plcc, fit.rmse, Some(fit.status.as_str().to_owned()))
}

/// exBeDDE's protocol: a row for each city, then their mean. Its PLCC and RMSE are after a fit, so they stand where those
/// of the 5-parameter fit do; it has not converged where that of one picture's outputs has not. `scenes` are those that the
/// means are of.
fn exbedde(labelled: &Labelled, rows: &Rows, head: &Head<'_>) -> Vec<CorrelationRow> {
    let result = stats::exbedde(&labelled.columns(), &labelled.scene_group);
    let names = rows.groups.sorted();
    let mut cities = Vec::new();
    for city in &result.cities {
        let name = names.iter().find(|(_, number)| *number == city.city).map(|(name, _)| (*name).to_owned());
        let in_city = Labelled::of(rows, Group::Scenes("", city.city));
        let row = CorrelationRow {
            group_kind: "scene_group".to_owned(),
            group_name: name,
            scenes: city.scenes,
            ..in_city.row(head, EXBEDDE)
        };
        cities.push(with_measures(row, city.measures));
    }
    let status = if result.not_converged == 0 { FitStatus::Converged } else { FitStatus::NotConverged };
    let all = CorrelationRow {
        scenes: result.scenes,
        logistic5_status: result.mean.map(|_| status.as_str().to_owned()),
        ..labelled.row(head, EXBEDDE)
    };
    cities.push(result.mean.map_or(all.clone(), |measures| with_measures(all, measures)));
    cities
}

fn with_measures(row: CorrelationRow, measures: ExbeddeMeasures) -> CorrelationRow {
    CorrelationRow {
        srcc: Some(measures.srcc),
        krcc: Some(measures.krcc),
        plcc_logistic5: Some(measures.plcc),
        rmse_logistic5: Some(measures.rmse),
        ..row
    }
}

/// The means over data sets: each counting the same, and each by its pictures. `table` has the rows of all of them.
pub(super) fn means(table: &[CorrelationRow]) -> Vec<CorrelationRow> {
    let datasets: Vec<&CorrelationRow> =
        table.iter().filter(|row| row.protocol == "pooled" && row.group_kind == "all").collect();
    if datasets.len() < 2 {
        return Vec::new();
    }
    let mean = |protocol: &str, weight: fn(&CorrelationRow) -> f64| {
        let total: f64 = datasets.iter().map(|row| weight(row)).sum();
        // One that is not defined on a data set has no mean: leaving that data set out would flatter.
        let mean = |of: fn(&CorrelationRow) -> Option<f64>| {
            datasets.iter().map(|row| Some(of(row)? * weight(row))).sum::<Option<f64>>().map(|sum| sum / total)
        };
        let count = |of: fn(&CorrelationRow) -> u64| datasets.iter().map(|row| of(row)).sum();
        CorrelationRow {
            run: datasets[0].run.clone(),
            fingerprint: datasets[0].fingerprint.clone(),
            protocol: protocol.to_owned(),
            group_kind: "all".to_owned(),
            pictures: count(|row| row.pictures),
            failed: count(|row| row.failed),
            unlabelled: count(|row| row.unlabelled),
            n: count(|row| row.n),
            scenes: count(|row| row.scenes),
            srcc: mean(|row| row.srcc),
            krcc: mean(|row| row.krcc),
            plcc: mean(|row| row.plcc),
            plcc_logistic4: mean(|row| row.plcc_logistic4),
            plcc_logistic5: mean(|row| row.plcc_logistic5),
            pairwise_accuracy: mean(|row| row.pairwise_accuracy),
            algorithm_srcc: mean(|row| row.algorithm_srcc),
            ..CorrelationRow::default()
        }
    };
    vec![mean("mean_of_datasets", |_| 1.0), mean("mean_by_pictures", |row| row.n as f64)]
}
