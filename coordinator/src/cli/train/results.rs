//! Results of a training: the measures of each split, and over all splits their mean, its interval and their deviation.

use std::fmt::Write;

use dqa_pipelines::count_text::counted;
use dqa_pipelines::train::{Measures, Select, Setup, Splits, TrialRecord};
use dqa_service::program::{OutputError, OutputFormat};
use dqa_stats::{SplitSummary, split_summary};
use serde::Serialize;

use crate::cli::output::{json_text, print_text};

/// The trials of one setup.
pub(super) struct Results<'a> {
    pub(super) setup: &'a Setup,
    pub(super) splits: &'a Splits,
    pub(super) records: &'a [TrialRecord],
    /// Number of pictures that were left out of the data set.
    pub(super) skipped: usize,
}

/// A row of JSON and CSV: a split, or over the splits `mean`, `deviation`, `interval_low` or `interval_high`.
#[derive(Serialize)]
struct ResultRow<'a> {
    row: String,
    trial: Option<&'a str>,
    select: String,
    optimistic: bool,
    epoch: Option<u32>,
    pictures: Option<usize>,
    train_srcc: Option<f64>,
    srcc: Option<f64>,
    plcc: Option<f64>,
    krcc: Option<f64>,
    rmse: Option<f64>,
    skipped: usize,
}

/// The measures that are shown, in their order.
type Values = [Option<f64>; 5];

/// The smallest and the largest possible value of each measure.
const BOUNDS: [(f64, f64); 5] = [(-1.0, 1.0), (-1.0, 1.0), (-1.0, 1.0), (-1.0, 1.0), (0.0, 1.0)];

impl Results<'_> {
    pub(super) fn show(&self, format: OutputFormat) -> Result<(), OutputError> {
        let text = match format {
            OutputFormat::Table => self.text(),
            OutputFormat::Json => self.rows().iter().map(|row| json_text(row) + "\n").collect(),
            OutputFormat::Csv => self.csv(),
        };
        print_text(&text)
    }

    fn values(record: &TrialRecord) -> Values {
        let Some(kept) = &record.kept else { return [None; 5] };
        let Measures { srcc, plcc, krcc, rmse, .. } = kept.test.unwrap_or_default();
        [kept.train.srcc, srcc, plcc, krcc, rmse]
    }

    /// Summarizes each measure that every split has over the splits.
    fn split_summary(&self) -> [Option<SplitSummary>; 5] {
        let splits = self.records.iter().filter_map(|record| self.splits.splits.get(record.split - 1));
        let shares: Vec<f64> = splits.map(|split| split.test.len() as f64 / split.train.len() as f64).collect();
        let share = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        std::array::from_fn(|measure| {
            let values: Option<Vec<f64>> = self.records.iter().map(|record| Self::values(record)[measure]).collect();
            split_summary(&values?, share)
        })
    }

    fn summary(&self) -> Vec<(&'static str, Values)> {
        if self.records.len() < 2 {
            return Vec::new();
        }
        let measures = self.split_summary();
        let values = |value: &dyn Fn(&SplitSummary) -> Option<f64>| -> Values {
            std::array::from_fn(|measure| measures[measure].as_ref().and_then(value))
        };
        let interval: [_; 5] =
            std::array::from_fn(|m| measures[m].as_ref().and_then(|over| over.interval_within(BOUNDS[m])));
        vec![
            ("mean", values(&|over| Some(over.mean))),
            ("deviation", values(&|over| over.deviation)),
            ("interval_low", interval.map(|ends| ends.map(|(low, _)| low))),
            ("interval_high", interval.map(|ends| ends.map(|(_, high)| high))),
        ]
    }

    fn rows(&self) -> Vec<ResultRow<'_>> {
        let row = |name: String, [train_srcc, srcc, plcc, krcc, rmse]: Values| ResultRow {
            row: name,
            trial: None,
            select: self.setup.select.to_string(),
            optimistic: self.setup.select == Select::BestOnTest,
            epoch: None,
            pictures: None,
            train_srcc,
            srcc,
            plcc,
            krcc,
            rmse,
            skipped: self.skipped,
        };
        let splits = self.records.iter().map(|record| ResultRow {
            trial: Some(&record.name),
            epoch: record.kept.as_ref().map(|kept| kept.epoch),
            pictures: record.kept.as_ref().and_then(|kept| kept.test).map(|test| test.n),
            ..row(record.split.to_string(), Self::values(record))
        });
        splits.chain(self.summary().into_iter().map(|(name, values)| row(name.to_owned(), values))).collect()
    }

    fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in self.rows() {
            writer.serialize(row).expect("writing rows of one type to memory cannot fail");
        }
        let bytes = writer.into_inner().expect("flushing to memory cannot fail");
        String::from_utf8(bytes).expect("rows are UTF-8")
    }

    fn text(&self) -> String {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        let is_tested = self.records.iter().any(|record| record.pictures[2] > 0);
        let scenes = if is_tested { "Held-out scenes" } else { "Trained on all scenes" };
        let mut text = format!(
            "{scenes} of {}: {} learned, {}\n",
            self.splits.dataset,
            self.setup.tune,
            self.setup.select.described()
        );
        let mut line = |cells: [&str; 8], last: &str| {
            let [split, epoch, rest @ ..] = cells;
            let rest: String = rest.iter().map(|cell| format!("  {cell:>8}")).collect();
            let line = format!("  {split:<13}  {epoch:>5}{rest}  {last}");
            writeln!(text, "{}", line.trim_end()).expect("writing to a String cannot fail");
        };
        line(["split", "epoch", "pictures", "SRCC", "PLCC", "KRCC", "RMSE", "train"], "trial");
        for row in self.rows() {
            let name = if row.trial.is_some() { row.row.clone() } else { row.row.replace('_', " ") };
            let count = |count: Option<usize>| count.map_or(String::new(), |count| count.to_string());
            let epoch = count(row.epoch.map(|epoch| epoch as usize));
            let cells = [row.srcc, row.plcc, row.krcc, row.rmse, row.train_srcc].map(number);
            line(
                [&name, &epoch, &count(row.pictures), &cells[0], &cells[1], &cells[2], &cells[3], &cells[4]],
                row.trial.unwrap_or_default(),
            );
        }
        if !is_tested {
            text += "No scene was left to test on: how well the result scores unseen scenes is not known.\n";
        }
        text += "train: SRCC of the kept epoch's own windows. RMSE: of scores and labels, both 0 to 1.\n";
        if self.records.len() > 1 {
            text += "interval: 95 % for the mean over splits, Student's t corrected for splits that share scenes \
                (Nadeau and Bengio\n2003).\n";
        }
        if self.skipped > 0 {
            let were = if self.skipped == 1 { "was" } else { "were" };
            let pictures = counted(self.skipped, "picture");
            writeln!(text, "{pictures} {were} left out: no label, or not to be read.")
                .expect("writing to a String cannot fail");
        }
        text
    }
}
