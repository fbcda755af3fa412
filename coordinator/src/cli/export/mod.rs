//! `dqa-coord export`: writes the tables of a run as files that others read: a data set for the Hugging Face hub, CSV, or records
//! of Every Eval Ever. `site` writes pages.

mod every_eval_ever;
mod hf_card;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use dqa_pipelines::report::{self, ReportOptions, check_complete};
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::store::Store;
use dqa_query::output::{self, QueryFormat};
use dqa_query::{Selection, open_session, query_mixing};
use dqa_service::program::{ExitStatus, note, with_hint, with_own_hint};

use super::args::StoreArgs;
use super::local_only;
use super::run_selector::RunSelector;

/// The tables that are exported, in the order in which they are listed.
const TABLES: [&str; 4] = ["scores", "leaderboard", "correlations", "comparisons"];

/// Writes the tables of a run as files for others.
#[derive(clap::Args)]
#[command(arg = local_only::coordinator_flag_of_store_reader())]
pub(super) struct Args {
    /// Folder to write: a new or an empty one.
    #[arg(value_name = "OUT")]
    out: PathBuf,

    #[command(flatten)]
    run: RunSelector,

    #[command(flatten)]
    store: StoreArgs,

    /// What is written. hf-dataset: Parquet with a card for the Hugging Face hub. csv: a file for each table.
    /// every-eval-ever: a JSON record for each algorithm, by version 0.2.1 of that schema.
    #[arg(long, env = "DQA_EXPORT_FORMAT", value_enum)]
    format: ExportFormat,

    /// Organisation that publishes the results, for every-eval-ever.
    #[arg(long, env = "DQA_ORGANIZATION", value_name = "NAME", default_value = "unknown")]
    organization: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// Parquet with a card.
    HfDataset,
    /// CSV.
    Csv,
    /// JSON records.
    EveryEvalEver,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let store = args.store.open().await?;
    let record = args.run.find_record(&store).await?;
    check_complete(&record).map_err(with_own_hint)?;
    create_folder(&args.out)?;
    let files = match args.format {
        ExportFormat::HfDataset => {
            write_file(&args.out.join("README.md"), hf_card::card(&record, &TABLES).as_bytes())?;
            1 + write_tables(&store, &record, &args.out, QueryFormat::Parquet).await?
        }
        ExportFormat::Csv => write_tables(&store, &record, &args.out, QueryFormat::Csv).await?,
        ExportFormat::EveryEvalEver => {
            let options = ReportOptions::from_run(&record);
            let report = report::compute_leaderboards(&store, &record, &options).await.map_err(with_own_hint)?;
            every_eval_ever::write(&report, &args.organization, &args.out)?
        }
    };
    let json = serde_json::to_vec_pretty(&record).context("the record has text for keys")?;
    write_file(&args.out.join("run.json"), &json)?;
    note(format_args!("run {}: {} files in {}", record.name, files + 1, args.out.display()));
    Ok(ExitStatus::All)
}

fn create_folder(folder: &Path) -> anyhow::Result<()> {
    let is_used = folder.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if is_used {
        let error = anyhow!("{} is not empty", folder.display());
        return Err(with_hint(error, "give a new folder: files of another export would stay among those of this one"));
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// Writes a file for each table, and returns their number.
async fn write_tables(store: &Store, record: &RunRecord, folder: &Path, format: QueryFormat) -> anyhow::Result<usize> {
    let session = open_session(store, &Selection::run(record.name.clone())).await.map_err(with_own_hint)?;
    let extension = if format == QueryFormat::Parquet { "parquet" } else { "csv" };
    for table in TABLES {
        let path = folder.join(format!("{table}.{extension}"));
        let frame = query_mixing(&session, &format!("SELECT * FROM {table}")).await.map_err(with_own_hint)?;
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        output::write(frame, format, BufWriter::new(file))
            .await
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(TABLES.len())
}

fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
