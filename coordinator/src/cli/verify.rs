//! `dqa-coord verify`: checks a result that others may have made. The parts are compared with their digests and with the
//! digest in the run's record, every table of the report is computed again from the rows, and a random sample of the rows
//! is computed again from the pictures.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::builder::BoolishValueParser;
use dqa_engine::shard::ShardScorer;
use dqa_model::{Arithmetic, Views};
use dqa_pipelines::metric::{self, MetricSpec};
use dqa_pipelines::names::RunName;
use dqa_pipelines::report::{StoredTable, StoredTableState, verify_tables};
use dqa_pipelines::result_page::hanging;
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::run_sample::sample_rows;
use dqa_pipelines::store::Store;
use dqa_pipelines::{causes, parts};
use dqa_service::model_args::{LimitArgs, LoadedModel, MachineArgs, ModelArgs};
use dqa_service::program::{ExitStatus, OutputFormat, end_on_signal, note, with_hint, with_own_hint};
use serde::Serialize;

use super::args::StoreArgs;
use super::output::{print_rows, print_text};
use super::progress::StepProgress;
use super::run_selector::note_chosen_run;
use crate::local_engine::LocalEngine;
use crate::run::{PlanObserver, RescoredRow, is_computed, prepare, replan_request, rescore};

/// Of 459 rows, one at least is altered with a probability of 99% if 1% of all rows are.
const SAMPLE: u32 = 459;

/// Checks a run: its parts, the tables of its report, and a random sample of its rows. Ends with 1 if something differs.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Store with the run; the same as --store.
    #[arg(id = "store_address", value_name = "STORE")]
    address: Option<String>,

    #[command(flatten)]
    store: StoreArgs,

    /// Run, or the beginning of its name [default: the run that was used last].
    #[arg(long, env = "DQA_RUN", value_name = "RUN")]
    run: Option<RunName>,

    /// Rows that are computed again from their pictures, by each metric alike; 0 for none.
    #[arg(long, env = "DQA_SAMPLE", default_value_t = SAMPLE, value_name = "N")]
    sample: u32,

    /// Seed of the sample [default: another one each time, which is printed].
    #[arg(long, env = "DQA_SAMPLE_SEED", value_name = "N")]
    seed: Option<u64>,

    /// The model, if it is not where the run's record says.
    #[arg(long, env = "DQA_MODEL", value_name = "MODEL")]
    model: Option<String>,

    /// The prompts, if they are not where the run's record says.
    #[arg(long, env = "DQA_PROMPTS", value_name = "FILE")]
    prompts: Option<PathBuf>,

    /// The device that the model runs on: cpu, or cuda:N.
    #[arg(long, env = "DQA_DEVICE", default_value = "cpu")]
    device: String,

    #[command(flatten)]
    machine: MachineArgs,

    /// Take hf: models from the hub's cache only, as HF_HUB_OFFLINE=1 does.
    #[arg(long, env = "DQA_OFFLINE", value_parser = BoolishValueParser::new())]
    offline: bool,

    /// Format of the results.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

/// Something that was checked and differs.
#[derive(Default, Serialize)]
struct Difference {
    /// `parts`, `table` or `row`.
    check: &'static str,
    /// The part, the table, or the address of the row's picture.
    subject: String,
    detail: String,
}

/// Checks the run.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let _end = end_on_signal(|| vec!["a check keeps nothing: the same command begins again".to_owned()])?;
    let mut store_args = args.store.clone();
    if let Some(address) = &args.address {
        store_args.url.clone_from(address);
    }
    let store = store_args.open().await?;
    let record = match &args.run {
        Some(name) => RunRecord::find_by_prefix(&store, name).await,
        None => RunRecord::last_used(&store).await,
    };
    let record = record.map_err(with_own_hint)?;
    note_chosen_run(args.run.as_ref(), record.name.as_str());
    let mut differences = verify_parts(&store, &record).await?;
    let mut lines = vec![format!("parts   {} of run {}", record.parts.len(), record.name)];
    if differences.is_empty() {
        let tables = verify_tables(&store, &record).await.map_err(with_own_hint)?;
        lines.push(format!("tables  {} computed again from the rows", tables.len()));
        differences.extend(tables.iter().filter_map(table_difference));
    } else {
        lines.push("tables  not computed again, because the parts are not whole".to_owned());
    }
    lines.push(match verify_rows(args, &store, &record).await? {
        Some((rows, seed)) => {
            let line = sample_line(&rows, seed, record.counts.pictures);
            differences.extend(rows.iter().filter_map(row_difference));
            line
        }
        None => "rows    none computed again".to_owned(),
    });
    print(&lines, &differences, args.format)?;
    Ok(if differences.is_empty() { ExitStatus::All } else { ExitStatus::SomeFailed })
}

/// Compares the parts with their digests, and all of them with the digest in the run's record.
async fn verify_parts(store: &Store, record: &RunRecord) -> anyhow::Result<Vec<Difference>> {
    let states = parts::inspect_all(store, record.parts.iter().map(|part| (part.key.clone(), part.rows))).await?;
    let of_part = |(part, state): (&dqa_pipelines::run::PartRef, parts::PartState)| {
        let detail = match state {
            parts::PartState::Complete(_) => return None,
            parts::PartState::Missing => "it does not exist".to_owned(),
            parts::PartState::Damaged(why) => why,
        };
        Some(Difference { check: "parts", subject: part.key.clone(), detail })
    };
    let mut differences: Vec<Difference> = record.parts.iter().zip(states).filter_map(of_part).collect();
    if differences.is_empty() && record.parts_digest.is_some() {
        let found = parts::find_digest_of_all(store, &record.parts).await?;
        if found != record.parts_digest {
            let detail = "its parts are not those that it was completed with".to_owned();
            differences.push(Difference { check: "parts", subject: record.name.to_string(), detail });
        }
    }
    Ok(differences)
}

fn table_difference(table: &StoredTable) -> Option<Difference> {
    let detail = match &table.state {
        StoredTableState::Same => return None,
        StoredTableState::Missing => "it is not in the store".to_owned(),
        StoredTableState::Unreadable(why) => format!("it cannot be read: {why}"),
        StoredTableState::OtherParts => "it says that it was computed from other parts".to_owned(),
        StoredTableState::Differs(how) => how.clone(),
    };
    Some(Difference { check: "table", subject: table.key.clone(), detail })
}

fn row_difference(rescored: &RescoredRow) -> Option<Difference> {
    let RescoredRow { sampled, difference } = rescored;
    let metric = sampled.part.metric.as_ref().map_or(metric::CLIP_DQA, |metric| metric.as_str());
    let detail = format!("{metric}: {}", difference.as_ref()?);
    Some(Difference { check: "row", subject: sampled.row.uri.clone(), detail })
}

/// Returns the line about the sample: its size, its seed, and what it shows.
fn sample_line(rows: &[RescoredRow], seed: u64, of: u64) -> String {
    let differing = rows.iter().filter(|row| row.difference.is_some()).count();
    let mut line = format!("rows    {} of {of} computed again from their pictures (--seed {seed})", rows.len());
    if differing == 0 && !rows.is_empty() && (rows.len() as u64) < of {
        // (1 - share)^n = 1% is the probability that none of n rows is altered.
        let share = 100.0 * (1.0 - 0.01_f64.powf(1.0 / rows.len() as f64));
        line += &format!("; if {share:.1}% of all rows were altered, one of them would differ with 99% probability");
    }
    line
}

/// Draws rows and computes them again. None if there are none to compute.
async fn verify_rows(
    args: &Args,
    store: &Store,
    record: &RunRecord,
) -> anyhow::Result<Option<(Vec<RescoredRow>, u64)>> {
    if args.sample == 0 {
        return Ok(None);
    }
    if !is_computed(record) {
        note(format_args!("the run's scores were imported: they cannot be computed again"));
        return Ok(None);
    }
    let seed = args.seed.unwrap_or_else(|| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), "sample"));
    let sample = sample_rows(store, &record.parts, args.sample as usize, seed).await?;
    let arithmetic = arithmetic(record)?;
    let LoadedModel { scorer, settings, device, .. } = load_model(args, record, arithmetic)?;
    let mut plan = prepare(store, &replan_request(record)?, &mut Quiet).await.map_err(with_own_hint)?;
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let scratch = Store::open(&folder.path().to_string_lossy(), Path::new(""))?;
    if let Some(digest) = &record.spec.metric_parameters {
        metric::write_parameters(&scratch, &store.get(&metric::parameters_key(digest)).await?).await?;
    }
    let engine = LocalEngine::new(Arc::new(ShardScorer::new(scorer, settings, device)));
    let mut progress = StepProgress::new(sample.len() as u64, "rows");
    let rows = rescore(&mut plan, sample, (&engine, &scratch), arithmetic, |rows| progress.add(rows)).await;
    progress.finish();
    Ok(Some((rows?, seed)))
}

fn arithmetic(record: &RunRecord) -> anyhow::Result<Arithmetic> {
    match record.spec.dtype.as_str() {
        "" => Ok(Arithmetic::F32),
        dtype => dtype.parse().map_err(|why: String| anyhow!("the run's arithmetic: {why}")),
    }
}

/// Loads the run's model, and checks that it is the one that the run was scored with.
fn load_model(args: &Args, record: &RunRecord, dtype: Arithmetic) -> anyhow::Result<LoadedModel> {
    let spec = &record.spec;
    let has_model = record.metrics().iter().any(MetricSpec::is_clip_dqa);
    let views = Some(spec.views.as_str()).filter(|views| !views.is_empty()).map(str::parse::<Views>).transpose();
    let prompts = spec.prompts.as_ref().map(|prompts| args.prompts.clone().unwrap_or_else(|| prompts.into()));
    let limits = spec.limits;
    let model = ModelArgs {
        model: args.model.clone().unwrap_or_else(|| spec.model.clone()),
        handcrafted: prompts.is_none(),
        prompts,
        views: views.map_err(|error| anyhow!("the run's views: {}", causes(&error)))?.unwrap_or_default(),
        device: args.device.clone(),
        dtype,
        batch: None,
        machine: args.machine.clone(),
        limits: LimitArgs { pixels_max: limits.pixels_max, side_max: limits.side_max, bytes_max: limits.bytes_max },
        offline: args.offline,
    };
    if !has_model {
        return model.without_model();
    }
    let loaded = model.load()?;
    let fingerprint = loaded.scorer.as_ref().map(|scorer| scorer.fingerprint().to_string());
    if fingerprint.as_ref() != Some(&record.fingerprint) {
        let error = anyhow!(
            "the model has the fingerprint {}, and the run was scored with {}",
            fingerprint.unwrap_or_default(),
            record.fingerprint
        );
        return Err(with_hint(error, "--model and --prompts name the files that the run was scored with"));
    }
    Ok(loaded)
}

fn print(lines: &[String], differences: &[Difference], format: OutputFormat) -> anyhow::Result<()> {
    if format != OutputFormat::Table {
        lines.iter().for_each(|line| note(format_args!("{line}")));
        return print_rows(differences, format);
    }
    let mut text: String = lines.iter().map(|line| wrapped(line)).collect();
    for Difference { check, subject, detail } in differences {
        text += &format!("differs: {check} {subject}: {detail}\n");
    }
    text += &match differences.len() {
        0 => "nothing differs\n".to_owned(),
        count => format!("{count} differ\n"),
    };
    Ok(print_text(&text)?)
}

/// Returns a line whose text goes on below its beginning.
fn wrapped(line: &str) -> String {
    let value = line.split_once("  ").map_or(line, |(_, value)| value.trim_start());
    hanging(&line[..line.len() - value.len()], value)
}

/// Planning tells nothing that matters here: rows whose pictures are gone differ.
struct Quiet;

impl PlanObserver for Quiet {
    fn headers_left(&mut self, dataset: &str, left: usize) {
        note(format_args!("data set {dataset}: {left} headers to read"));
    }

    fn faults(&mut self, _: &dqa_pipelines::dataset::CheckReport) {}

    fn remark(&mut self, _: &str, _: &str) {}
}
