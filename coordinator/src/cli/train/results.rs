//! Results of a training: the measures of each split, and over all splits their mean, its interval and their deviation.

use dqa_pipelines::count_text::counted;
use dqa_pipelines::result_page::{Column, ResultPage, ResultTable, TableStyle};
use dqa_pipelines::train::{Measures, Select, Setup, Splits, TrialRecord};
use dqa_service::program::OutputError;
use dqa_stats::{SplitSummary, split_summary};
use serde::Serialize;

use crate::cli::output::{json_text, print_text};
use crate::cli::result_format::ResultForm;

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
    pub(super) fn show(&self, form: ResultForm) -> Result<(), OutputError> {
        let text = match form {
            ResultForm::Tables(style) => self.text(style),
            ResultForm::Json => self.rows().iter().map(|row| json_text(row) + "\n").collect(),
            ResultForm::Csv => self.csv(),
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

    fn text(&self, style: TableStyle) -> String {
        let is_tested = self.records.iter().any(|record| record.pictures[2] > 0);
        let scenes = if is_tested { "Held-out scenes" } else { "Trained on all scenes" };
        let dataset = &self.splits.dataset;
        let title = format!("{scenes} of {dataset}: {} learned, {}", self.setup.tune, self.setup.select.described());
        let mut page = ResultPage::new(style);
        page.table(&ResultTable::new(title, self.columns()));
        if !is_tested {
            page.note("No scene was left to test on: how well the result scores unseen scenes is not known.");
        }
        if self.records.len() > 1 {
            page.note(
                "The interval is that of the mean over splits, at 95%: Student's t, corrected for splits that share scenes (Nadeau \
                 and Bengio 2003).",
            );
        }
        if self.skipped > 0 {
            let were = if self.skipped == 1 { "was" } else { "were" };
            page.note(&format!("{} {were} left out: no label, or not to be read.", counted(self.skipped, "picture")));
        }
        page.finish()
    }

    fn columns(&self) -> Vec<Column> {
        let rows = self.rows();
        let cells = |cell: &dyn Fn(&ResultRow<'_>) -> String| rows.iter().map(cell).collect::<Vec<String>>();
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        vec![
            Column::left("split", cells(&|row| row.row.replace('_', " "))),
            Column::right("epoch", cells(&|row| row.epoch.map_or(String::new(), |epoch| epoch.to_string()))),
            Column::right("pictures", cells(&|row| row.pictures.map_or(String::new(), |count| count.to_string()))),
            Column::right("SRCC", cells(&|row| number(row.srcc))),
            Column::right("PLCC", cells(&|row| number(row.plcc))),
            Column::right("KRCC", cells(&|row| number(row.krcc))),
            Column::right("RMSE", cells(&|row| number(row.rmse))).meaning("of scores and labels, both 0 to 1"),
            Column::right("train", cells(&|row| number(row.train_srcc)))
                .meaning("SRCC of the kept epoch's own windows"),
            Column::left("trial", cells(&|row| row.trial.unwrap_or_default().to_owned())).left_out(1),
        ]
    }
}
