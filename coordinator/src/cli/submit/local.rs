//! `submit` without a coordinator: plans the run, scores its missing shards in this process and makes its reports.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Context;
use dqa_engine::shard::ShardScorer;
use dqa_metrics::Parameters;
use dqa_model::Scorer;
use dqa_pipelines::count_text::counted;
use dqa_pipelines::dataset::{CheckReport, Definition, unused_labels};
use dqa_pipelines::metric::{self, MetricSelection};
use dqa_pipelines::names::RunName;
use dqa_pipelines::registry;
use dqa_pipelines::run::{RecordWriter, RunRecord, RunState};
use dqa_pipelines::status::RunStatus;
use dqa_pipelines::store::Store;
use dqa_pipelines::trained_on::TrainedOn;
use dqa_service::metric_args::{ParameterArgs, ParameterFile};
use dqa_service::model_args::{LoadedModel, ModelArgs};
use dqa_service::program::{
    ExitStatus, StopSignal, command_line, end_line, end_on_signal, note, with_hint, with_own_hint,
};

use super::args::Args;
use super::datasets::{find_definitions, warn_of_training_leaks};
use crate::cli::detach::notify_planned;
use crate::cli::progress::ScoringBar;
use crate::cli::redefine_args::RedefineArgs;
use crate::local_engine::LocalEngine;
use crate::run::{
    self, Claim, PlanObserver, PlanRequest, PlannedShard, Roots, RunMismatch, RunPlan, Submission, dropped_rows,
    is_satisfied_by, part_metadata, provenance, record_plan,
};

/// A user who stops a command waits at most this long for its last lines.
const LAST_STATUS_WITHIN: Duration = Duration::from_secs(5);

/// How often the scored rows of a shard are kept before it is done. A shard of 2,048 windows takes minutes on a CPU, and a
/// user who stops a command should not lose more than seconds.
const KEEP_INTERVAL: Duration = Duration::from_secs(10);

/// How often the progress is refreshed: a person sees 200 ms as immediate.
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);

/// What a run scores and how: the flags of `submit`, or what a study of metrics asks for.
pub(in crate::cli) struct LocalRun<'a> {
    pub(in crate::cli) datasets: &'a [String],
    /// Algorithms by name; none stands for all.
    pub(in crate::cli) algorithms: Vec<String>,
    pub(in crate::cli) metrics: MetricSelection,
    pub(in crate::cli) parameters: &'a ParameterArgs,
    pub(in crate::cli) model: &'a ModelArgs,
    pub(in crate::cli) name: Option<&'a RunName>,
    pub(in crate::cli) remark: Option<&'a str>,
    pub(in crate::cli) redefine: &'a RedefineArgs,
    pub(in crate::cli) with_hazy: bool,
    pub(in crate::cli) allow_missing: bool,
    pub(in crate::cli) retry_failed: bool,
    pub(in crate::cli) shard_windows: u64,
    pub(in crate::cli) dry_run: bool,
}

/// How far a local run came.
pub(in crate::cli) enum LocalRunEnd {
    /// It was only planned (`--dry-run`).
    Planned,
    /// A signal stopped it. What was scored is kept.
    Stopped(StopSignal),
    /// It is complete.
    Complete(Box<RunRecord>),
}

/// Runs the submission to its reports.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let run = LocalRun {
        datasets: &args.datasets,
        algorithms: args.algorithms(),
        metrics: args.metrics.selection()?,
        parameters: &args.metrics.parameters,
        model: &args.model,
        name: args.name.as_ref(),
        remark: args.remark.as_deref(),
        redefine: &args.redefine,
        with_hazy: args.with_hazy,
        allow_missing: args.allow_missing,
        retry_failed: args.retry_failed,
        shard_windows: args.shard_windows,
        dry_run: args.dry_run,
    };
    let store = args.store.create().await?;
    let record = match score(&run, &store).await? {
        LocalRunEnd::Planned => return Ok(ExitStatus::All),
        LocalRunEnd::Stopped(signal) => return Ok(signal.exit_status()),
        LocalRunEnd::Complete(record) => record,
    };
    let _end = end_on_signal(|| vec!["every picture has its row, and the same command makes the report".to_owned()])?;
    args.report.make_and_show(&store, &record).await?;
    Ok(if record.counts.failed == 0 { ExitStatus::All } else { ExitStatus::SomeFailed })
}

/// Plans a run and scores what the store lacks of it.
pub(in crate::cli) async fn score(args: &LocalRun<'_>, store: &Store) -> anyhow::Result<LocalRunEnd> {
    let end = end_on_signal(|| vec!["the run was not planned yet: the same command begins again".to_owned()])?;
    let definitions = find_definitions(args.datasets)?;
    let registrations: Vec<registry::RequestedDataset> =
        definitions.iter().map(registry::RequestedDataset::new).collect();
    registry::check(store, &registrations, &args.redefine.names).await.map_err(with_own_hint)?;
    let parameters = args.parameters.read()?;
    let LoadedModel { scorer, settings, device, trained_on } =
        if args.metrics.clip_dqa { args.model.load()? } else { args.model.without_model()? };
    let submission = submission(args, definitions, parameters.as_ref(), (scorer.as_deref(), &device));
    let views = scorer.as_ref().map(|scorer| *scorer.views()).unwrap_or_default();
    let request = PlanRequest {
        allow_missing: args.allow_missing,
        retry_failed: args.retry_failed,
        ..submission.plan_request(views, Roots::unrestricted())
    };
    let plan = run::prepare(store, &request, &mut PlanNotes).await.map_err(with_own_hint)?;
    let record = make_record(args, store, &submission, (&plan, &trained_on)).await?;
    note_plan(&record, &plan);
    for data in plan.datasets.iter().map(|measured| &measured.dataset) {
        if let Some(labels) = unused_labels(data).await {
            note(format_args!(
                "data set {}: the labels in {labels} are not used; `dqa-coord dataset init` writes a definition that has them",
                data.name
            ));
        }
    }
    warn_of_training_leaks(&record.spec.training_leaks());
    let registrations = plan.registrations(&registrations);
    if args.dry_run {
        registry::check(store, &registrations, &args.redefine.names).await.map_err(with_own_hint)?;
        return Ok(LocalRunEnd::Planned);
    }
    let used_by = format!("run {}", record.name);
    let registered = registry::register(store, &registrations, &args.redefine.names, &used_by).await;
    registered.map_err(with_own_hint)?;
    let record = if record.state == RunState::Complete {
        // Written again because it is now the run that was used last.
        record.write(store).await?;
        notify_planned(&record.name);
        record
    } else {
        if let Some(ParameterFile { json, .. }) = &parameters {
            metric::write_parameters(store, json).await?;
        }
        let scorer = Arc::new(ShardScorer::new(scorer, settings, device).keeping_rows(KEEP_INTERVAL));
        drop(end);
        match score_and_commit(args, store, (plan, record), scorer).await? {
            Ok(record) => record,
            Err(signal) => return Ok(LocalRunEnd::Stopped(signal)),
        }
    };
    Ok(LocalRunEnd::Complete(Box::new(record)))
}

/// Returns the submission that the flags describe, with the model if a metric needs it, and the device.
fn submission(
    args: &LocalRun,
    definitions: Vec<Definition>,
    parameters: Option<&ParameterFile>,
    (scorer, device): (Option<&Scorer>, &str),
) -> Submission {
    let fingerprint = scorer.map(|scorer| scorer.fingerprint().to_string());
    let published = Parameters::default();
    let specs = args.metrics.specs(fingerprint.as_deref(), parameters.map_or(&published, |file| &file.parameters));
    let of_model = |text: String| if scorer.is_some() { text } else { String::new() };
    Submission {
        definitions,
        algorithms: args.algorithms.clone(),
        with_hazy: args.with_hazy,
        metrics: specs,
        leaves_out_metrics: args.metrics.leaves_out,
        metric_parameters: parameters.map(|file| blake3::hash(&file.json).to_hex().to_string()),
        model: of_model(args.model.model.clone()),
        prompts: args.model.learned_prompts().filter(|_| scorer.is_some()).map(|path| path.display().to_string()),
        views: of_model(args.model.views.to_string()),
        dtype: of_model(args.model.dtype.to_string()),
        fingerprint: fingerprint.unwrap_or_default(),
        device: device.to_owned(),
        shard_windows: args.shard_windows,
        limits: args.model.limits.limits(),
        remark: args.remark.map(str::to_owned),
    }
}

/// Makes the run's record as it is before its shards are scored. Resumes a run of the same name.
async fn make_record(
    args: &LocalRun<'_>,
    store: &Store,
    submission: &Submission,
    (plan, trained_on): (&RunPlan, &TrainedOn),
) -> anyhow::Result<RunRecord> {
    let (name, earlier) = submission.find(store, args.name, Some(plan)).await?;
    let mut provenance = provenance();
    provenance.insert("command".to_owned(), command_line());
    let record = submission.new_record(name, earlier.as_ref(), provenance);
    let mut record = record.map_err(|error| with_hint(error.into(), RunMismatch::HINT))?;
    record_plan(&mut record, plan, trained_on);
    let Some(earlier) = earlier else {
        record.state = RunState::Running;
        return Ok(record);
    };
    for line in dropped_rows(&earlier, plan) {
        note(format_args!("{line}"));
    }
    if is_satisfied_by(&record, &earlier) && plan.missing().next().is_none() {
        // The run stays as it is, whoever submitted it; only its time of use is new.
        record.state = RunState::Complete;
        record.counted = earlier.counted.clone();
        record.parts_digest = earlier.parts_digest.clone();
        record.request = earlier.request.clone();
        record.provenance = earlier.provenance.clone();
    } else {
        record.state = RunState::Running;
    }
    if earlier.request.is_some() && earlier.state.is_active() {
        note(format_args!(
            "run {} was submitted to a coordinator and is {} there; this process scores it too, and nothing is \
             counted twice",
            earlier.name, earlier.state
        ));
    }
    Ok(record)
}

/// Claims the run, scores its missing shards and completes its record, or returns the signal that stopped it.
async fn score_and_commit(
    args: &LocalRun<'_>,
    store: &Store,
    (mut plan, record): (RunPlan, RunRecord),
    scorer: Arc<ShardScorer>,
) -> anyhow::Result<Result<RunRecord, StopSignal>> {
    let claim = Claim::acquire(store, &record.name).await.map_err(with_own_hint)?;
    record.write(store).await?;
    if plan.drop_vanished_parts(store).await? {
        note(format_args!("parts were removed by another run meanwhile: they are scored again"));
    }
    notify_planned(&record.name);
    let (name, metrics, counters) = (record.name.clone(), record.spec.metrics.len(), scorer.progress());
    let work = async {
        score_shards(store, &plan, args.retry_failed, scorer, &record).await?;
        anyhow::Ok(run::commit(store, &mut plan, record, RecordWriter::Command).await?)
    };
    let ended = tokio::select! {
        record = work => record.map(Ok),
        signal = StopSignal::wait() => signal.map(Err),
    };
    claim.release().await;
    let ended = ended?;
    if let Err(signal) = &ended {
        end_line();
        note_interrupted(store, (&name, metrics), *signal, counters.kept.load(Relaxed)).await;
    }
    Ok(ended)
}

/// Notes that the run was interrupted, what is kept of it, and how to go on. Does not wait long for the store. `kept` is
/// the number of rows of the unfinished shard that are in the store.
async fn note_interrupted(store: &Store, (run, metrics): (&RunName, usize), signal: StopSignal, kept: u64) {
    let status = async { anyhow::Ok(RunStatus::read(store, RunRecord::find_by_prefix(store, run).await?).await?) };
    match tokio::time::timeout(LAST_STATUS_WITHIN, status).await {
        Ok(Ok(RunStatus { progress, state, .. })) => {
            let rows = if metrics > 1 { "scores" } else { "pictures" };
            let (done, all) = (progress.pictures_done() + kept, progress.pictures);
            note(format_args!("{signal}: run {run} is {state}, {done} of {all} {rows} are kept"));
        }
        _ => note(format_args!("{signal}: run {run} is interrupted; what was scored is kept")),
    }
    note(format_args!("hint: the same command goes on from there"));
}

/// Notes the progress of planning on standard error.
struct PlanNotes;

impl PlanObserver for PlanNotes {
    fn headers_left(&mut self, dataset: &str, left: usize) {
        note(format_args!("data set {dataset}: {left} headers to read"));
    }

    fn faults(&mut self, check: &CheckReport) {
        note(format_args!("{check}"));
    }

    fn remark(&mut self, dataset: &str, line: &str) {
        note(format_args!("data set {dataset}: {line}"));
    }
}

fn note_plan(record: &RunRecord, plan: &RunPlan) {
    let missing = plan.missing().count();
    let windows: u64 = plan.missing().map(|shard| plan.missing_windows(shard)).sum();
    let pictures: u64 = plan.shards.iter().map(PlannedShard::rows).sum();
    let metrics = match record.spec.metrics.as_slice() {
        [] => String::new(),
        [metric] => format!(" by {}", metric.name),
        metrics => format!(" by {} metrics", metrics.len()),
    };
    let planned = format!(
        "run {}: {}{metrics}, {} in {}",
        record.name,
        counted(pictures, "picture"),
        counted(record.counts.windows, "window"),
        counted(plan.shards.len(), "shard"),
    );
    match missing {
        0 => note(format_args!("{planned}")),
        _ if missing == plan.shards.len() => note(format_args!("{planned}, all to score")),
        _ => note(format_args!("{planned}; {missing} to score, at most {}", counted(windows, "window"))),
    }
    if missing == 0 {
        note(format_args!("nothing to score: every part is in the store"));
    }
}

/// Scores the missing shards, one after the other.
async fn score_shards(
    store: &Store,
    plan: &RunPlan,
    retry_failed: bool,
    scorer: Arc<ShardScorer>,
    record: &RunRecord,
) -> anyhow::Result<()> {
    if plan.missing().next().is_none() {
        return Ok(());
    }
    let windows = plan.missing().map(|shard| plan.missing_windows(shard)).sum();
    let mut progress = ScoringBar::new(windows, scorer.progress(), record.spec.metrics.len());
    let metadata = part_metadata(record);
    let engine = LocalEngine::new(scorer);
    for mut shard in plan.shards(store, retry_failed) {
        shard.facts.clone_from(&metadata);
        let mut refresh = tokio::time::interval(REFRESH_INTERVAL);
        let scoring = engine.score(&shard);
        tokio::pin!(scoring);
        let outcome = loop {
            tokio::select! {
                outcome = &mut scoring => break outcome,
                _ = refresh.tick() => progress.refresh(),
            }
        };
        let outcome = outcome
            .with_context(|| format!("cannot score shard {}", shard.name()))
            .map_err(|error| with_hint(error, "the same command goes on from here: what was scored is kept"))?;
        progress.shard_done(shard.windows, &outcome);
    }
    progress.finish();
    Ok(())
}
