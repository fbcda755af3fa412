//! `dqa-coord trainings`: lists the trainings of a store, one for each split that was trained on.

use std::collections::BTreeMap;

use dqa_pipelines::names::DatasetName;
use dqa_pipelines::store::Store;
use dqa_pipelines::text_table::Alignment::{Left, Right};
use dqa_pipelines::text_table::{format_number, format_rows};
use dqa_pipelines::train::{Splits, TrialRecord, trial_key};
use dqa_service::program::{ExitStatus, OutputFormat, note};
use serde::Serialize;

use super::args::StoreArgs;
use super::output::{print_rows, print_text};

/// Digits of a training's digest in the table: enough to tell the trainings of a store apart.
const DIGEST_DIGITS_SHOWN: usize = 8;

/// Lists the trainings of a store, oldest first: those of `train` and those of studies.
#[derive(clap::Args)]
#[command(arg = super::local_only::coordinator_flag_of_store_reader())]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    /// Only the trainings on this data set.
    #[arg(long, env = "DQA_DATASET", value_name = "NAME")]
    dataset: Option<DatasetName>,

    /// Format of the list.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

/// A training. The fields are the keys of the JSON form and the columns of CSV.
#[derive(Default, Serialize)]
struct TrainingRow {
    training: String,
    /// `complete`, or `unfinished`: it is running, or was stopped and goes on when its command is repeated.
    state: &'static str,
    dataset: String,
    /// The split's number, from 1.
    split: usize,
    /// The number of splits that were made together. None if their file is gone.
    splits: Option<usize>,
    model: String,
    /// What was trained: `text`, `visual`, `prompts`, `vision` or `all`.
    tune: String,
    epochs: u32,
    /// The epoch that was kept.
    epoch: Option<u32>,
    /// Pictures of the test. 0 if all scenes were trained on.
    test_pictures: usize,
    srcc: Option<f64>,
    plcc: Option<f64>,
    krcc: Option<f64>,
    rmse: Option<f64>,
    updated: String,
    /// The folder with the prompts or the model: a key in the store.
    folder: String,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let store = args.store.open().await?;
    let mut records = TrialRecord::all(&store).await?;
    records.retain(|record| args.dataset.as_ref().is_none_or(|dataset| *dataset == record.dataset));
    let rows = rows(&store, &records).await?;
    match args.format {
        OutputFormat::Table if rows.is_empty() => note(format_args!("the store {} has no trainings", args.store.url)),
        OutputFormat::Table => {
            print_text(&table(&rows))?;
            let store = args.store.url.trim_end_matches('/');
            note(format_args!(
                "hint: a training's prompts are in {store}/trials/NAME*/prompts.safetensors, for `--prompts` of submit"
            ));
        }
        format => print_rows(&rows, format)?,
    }
    Ok(ExitStatus::All)
}

async fn rows(store: &Store, records: &[TrialRecord]) -> anyhow::Result<Vec<TrainingRow>> {
    let mut counts = BTreeMap::new();
    let mut rows = Vec::new();
    for record in records {
        let key = Splits::key_of(&record.dataset, &record.splits);
        if !counts.contains_key(&key) {
            let count = match store.get(&key).await {
                Err(error) if error.is_not_found() => None,
                bytes => Some(Splits::parse(&bytes?, &key)?.splits.len()),
            };
            counts.insert(key.clone(), count);
        }
        rows.push(row(record, counts[&key]));
    }
    Ok(rows)
}

fn row(record: &TrialRecord, splits: Option<usize>) -> TrainingRow {
    let test = record.kept.as_ref().and_then(|kept| kept.test).unwrap_or_default();
    TrainingRow {
        training: record.name.clone(),
        state: if record.is_complete() { "complete" } else { "unfinished" },
        dataset: record.dataset.to_string(),
        split: record.split,
        splits,
        model: record.model.name.clone(),
        tune: record.setup.tune.to_string(),
        epochs: record.setup.epochs,
        epoch: record.kept.as_ref().map(|kept| kept.epoch),
        test_pictures: record.pictures[2],
        srcc: test.srcc,
        plcc: test.plcc,
        krcc: test.krcc,
        rmse: test.rmse,
        updated: format!("{:.0}", record.updated),
        folder: trial_key(&record.name, "").trim_end_matches('/').to_owned(),
    }
}

fn table(rows: &[TrainingRow]) -> String {
    let header = ["training", "data set", "split", "trained", "model", "state", "SRCC"];
    let cells = rows.iter().map(|row| {
        let split = row.splits.map_or(row.split.to_string(), |splits| format!("{} of {splits}", row.split));
        let srcc = if row.test_pictures == 0 { "no test".to_owned() } else { format_number(row.srcc) };
        let state = row.state.to_owned();
        vec![short_name(&row.training), row.dataset.clone(), split, row.tune.clone(), row.model.clone(), state, srcc]
    });
    let table: Vec<Vec<String>> = std::iter::once(header.map(str::to_owned).to_vec()).chain(cells).collect();
    format_rows(&table, &[Left, Left, Left, Left, Left, Left, Right])
}

/// Returns the beginning of a training's name, up to some digits of its digest.
fn short_name(training: &str) -> String {
    match training.rsplit_once('-') {
        Some((beginning, digest)) => format!("{beginning}-{}", &digest[..digest.len().min(DIGEST_DIGITS_SHOWN)]),
        None => training.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_for_a_narrow_terminal() {
        let row = |state, split, test_pictures, srcc| TrainingRow {
            training: format!("demo-{split}-0123456789abcdef0123456789abcdef"),
            state,
            dataset: "demo".to_owned(),
            split,
            splits: (split > 1).then_some(10),
            model: "dqa:small".to_owned(),
            tune: "prompts".to_owned(),
            test_pictures,
            srcc,
            ..TrainingRow::default()
        };
        let rows =
            [row("complete", 10, 96, Some(0.78123)), row("unfinished", 2, 96, None), row("complete", 1, 0, None)];
        let lines = [
            "  training          data set  split     trained  model      state          SRCC",
            "  demo-10-01234567  demo      10 of 10  prompts  dqa:small  complete     0.7812",
            "  demo-2-01234567   demo      2 of 10   prompts  dqa:small  unfinished        -",
            "  demo-1-01234567   demo      1         prompts  dqa:small  complete    no test",
        ];
        assert_eq!(table(&rows).lines().collect::<Vec<_>>(), lines);
        assert!(lines.iter().all(|line| line.len() <= 80));
    }
}
