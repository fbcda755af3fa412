//! `dqa-coord submit`: data sets of dehazed pictures in, scores, correlations and a leaderboard out.

mod remote;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::ArgGroup;
use clap::builder::BoolishValueParser;
use dqa_pipelines::dataset::{self, Check, Definition};
use dqa_pipelines::names::RunName;
use dqa_pipelines::plan::SHARD_WINDOWS_MAX;
use dqa_pipelines::registry;
use dqa_pipelines::run::{RunRecord, RunState};
use dqa_pipelines::status::RunStatus;
use dqa_pipelines::store::Store;
use dqa_pipelines::trained_on::TrainedOn;
use dqa_worker::cli::{Loaded, ModelArgs};
use dqa_worker::program::{ExitStatus, command_line, host, note, with_hint};
use dqa_worker::shard::ShardScorer;

use super::StoreArgs;
use super::detach;
use super::named::{self, RedefineArgs};
use super::progress::Progress;
use super::remote::RemoteArgs;
use super::report::ReportArgs;
use super::told_to_end::Signal;
use crate::engine::Local;
use crate::run::{self, Asked, Claim, PrepareError, Requested, Roots, Watch, Work};

/// Whoever ends a command does not wait long for its last words.
const SAY_WITHIN: Duration = Duration::from_secs(5);

/// How often progress is looked at: what a person sees as at once.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Scores data sets and reports on them.
#[derive(clap::Args)]
#[command(group = ArgGroup::new("sentences").required(true).args(["prompts", "handcrafted"]))]
pub(super) struct Args {
    /// The algorithms whose pictures are scored, joined by commas; or all. Folders of hazy inputs and references beside the
    /// algorithms' are scored where they are named: `all,hazy`.
    #[arg(long, env = "DQA_ALGOS", value_delimiter = ',', default_value = "all", value_name = "NAMES")]
    algos: Vec<String>,

    /// The data sets: names from configs/datasets, definitions (TOML), or folders; joined by commas. NAME=PATH gives one
    /// another name than its own.
    #[arg(long, env = "DQA_DATASETS", value_delimiter = ',', required = true, value_name = "NAMES")]
    datasets: Vec<String>,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    store: StoreArgs,

    /// The run's name [default: made of the data sets' names and a digest of what was asked for].
    #[arg(long, env = "DQA_NAME", value_name = "RUN")]
    name: Option<RunName>,

    /// What the results say of the model, wherever they are shown: an untrained one, a trial.
    #[arg(long, env = "DQA_REMARK", value_name = "TEXT")]
    remark: Option<String>,

    /// Score the hazy inputs too: a row of the leaderboard, and each algorithm's gain over it.
    #[arg(long, env = "DQA_WITH_HAZY", value_parser = BoolishValueParser::new())]
    with_hazy: bool,

    #[command(flatten)]
    redefine: RedefineArgs,

    /// Score what is there of a matrix that is not complete.
    #[arg(long, env = "DQA_ALLOW_MISSING", value_parser = BoolishValueParser::new())]
    allow_missing: bool,

    /// Score pictures again that failed in an earlier run.
    #[arg(long, env = "DQA_RETRY_FAILED", value_parser = BoolishValueParser::new())]
    retry_failed: bool,

    /// Most windows of a shard, the unit that is scored, kept and lost.
    #[arg(long, env = "DQA_SHARD_WINDOWS", default_value_t = SHARD_WINDOWS_MAX, value_parser = clap::value_parser!(u64).range(1..))]
    shard_windows: u64,

    /// Of a coordinator's runs those of a higher priority go first.
    #[arg(long, env = "DQA_PRIORITY", default_value_t = 0, allow_negative_numbers = true, value_name = "N")]
    priority: i32,

    #[command(flatten)]
    report: ReportArgs,

    #[command(flatten)]
    remote: RemoteArgs,

    /// Wait until the run is planned, then go on in the background and write what would be shown to a file in the store's
    /// folder. A coordinator's run goes on there.
    #[arg(long)]
    detach: bool,

    /// Say what would be scored, and stop.
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// The algorithms that are named; none: all.
    fn algorithms(&self) -> Vec<String> {
        if self.algos == ["all"] { Vec::new() } else { self.algos.clone() }
    }
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    if let Some(client) = args.remote.client()? {
        return remote::submit(args, client).await;
    }
    if args.detach && !detach::is_in_background() {
        return detach::detach(&args.store).await;
    }
    let definitions = definitions(&args.datasets)?;
    let store = args.store.create().await?;
    let requested_names: Vec<registry::Requested> = definitions.iter().map(registry::Requested::new).collect();
    registry::check(&store, &requested_names, args.redefine.names()).await.map_err(named::advised)?;
    let Loaded { scorer, settings, device, trained_on } = args.model.load()?;
    let requested = Requested {
        definitions,
        algorithms: args.algorithms(),
        with_hazy: args.with_hazy,
        model: args.model.model.clone(),
        prompts: args.model.prompts.as_ref().map(|path| path.display().to_string()),
        views: args.model.views.to_string(),
        dtype: args.model.dtype.to_string(),
        fingerprint: scorer.fingerprint().to_string(),
        device: device.clone(),
        shard_windows: args.shard_windows,
        limits: args.model.limits.limits(),
        remark: args.remark.clone(),
    };
    let asked = Asked {
        definitions: requested.definitions.clone(),
        algorithms: requested.algorithms.clone(),
        with_hazy: args.with_hazy,
        allow_missing: args.allow_missing,
        retry_failed: args.retry_failed,
        shard_windows: args.shard_windows,
        views: *scorer.views(),
        limits: requested.limits,
        fingerprint: requested.fingerprint.clone(),
        roots: Roots::anywhere(),
    };
    let mut work = run::prepare(&store, &asked, &mut Notes).await.map_err(advised)?;
    let mut record = record(args, &store, &requested, (&work, &trained_on)).await?;
    show_plan(&record, &work);
    let loaded_names = work.registered(&requested_names);
    warn_of_leaks(&record.spec.training_leaks());
    if args.dry_run {
        registry::check(&store, &loaded_names, args.redefine.names()).await.map_err(named::advised)?;
        return Ok(ExitStatus::All);
    }
    let used_by = format!("run {}", record.name);
    registry::register(&store, &loaded_names, args.redefine.names(), &used_by).await.map_err(named::advised)?;
    if record.state == RunState::Complete {
        // It is the run that was used last.
        record.write(&store).await?;
        detach::tell_planned(&record.name);
    } else {
        let claim = Claim::take(&store, &record.name).await.map_err(|error| match error.hint() {
            Some(hint) => with_hint(error.into(), hint),
            None => error.into(),
        })?;
        record.write(&store).await?;
        detach::tell_planned(&record.name);
        let scorer = Arc::new(ShardScorer::new(scorer, settings, device));
        let name = record.name.clone();
        let to_the_end = async {
            score(&store, &work, args.retry_failed, scorer, &run::facts(&record)).await?;
            Ok(run::commit(&store, &mut work, record).await?)
        };
        let ended = tokio::select! {
            ended = to_the_end => ended.map(Ok),
            signal = Signal::received() => signal.map(Err),
        };
        claim.release().await;
        record = match ended? {
            Ok(record) => record,
            Err(signal) => {
                say_interrupted(&store, &name, signal).await;
                return Ok(signal.done());
            }
        };
    }
    args.report.make_and_show(&store, &record).await?;
    Ok(if record.counts.failed == 0 { ExitStatus::All } else { ExitStatus::SomeFailed })
}

/// Says that the run was interrupted, how far it is, and what goes on with it. A store that does not answer is not waited for.
async fn say_interrupted(store: &Store, run: &RunName, signal: Signal) {
    let status = async { anyhow::Ok(RunStatus::read(store, RunRecord::read(store, run).await?).await?) };
    match tokio::time::timeout(SAY_WITHIN, status).await {
        Ok(Ok(status)) => {
            note(format_args!("{signal}: run {run} is {}: {}", status.state, status.progress.extent()));
            if let Some(advice) = status.advice() {
                note(format_args!("hint: {advice}"));
            }
        }
        _ => note(format_args!("{signal}: run {run} is interrupted; the same command goes on with what was scored")),
    }
}

fn definitions(texts: &[String]) -> anyhow::Result<Vec<Definition>> {
    let find = |text: &String| dataset::find(text, Path::new("")).map_err(anyhow::Error::from);
    let mut definitions: Vec<Definition> = texts.iter().map(find).collect::<Result<_, _>>()?;
    // One request is one run, in whichever order it names the data sets.
    definitions.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some([first, second]) = definitions.array_windows().find(|[first, second]| first.name == second.name) {
        let (name, roots) = (&first.name, (&first.root, &second.root));
        let error = anyhow!("data set `{name}` is asked for twice: of {} and of {}", roots.0, roots.1);
        return Err(with_hint(
            error,
            format!("NAME=PATH gives one of them another name, as `--datasets {name}-2=PATH`"),
        ));
    }
    Ok(definitions)
}

/// Tells people how planning goes.
struct Notes;

impl Watch for Notes {
    fn headers_left(&mut self, dataset: &str, left: usize) {
        note(format_args!("data set {dataset}: {left} headers to read"));
    }

    fn faults(&mut self, check: &Check) {
        note(format_args!("{check}"));
    }

    fn remark(&mut self, dataset: &str, line: &str) {
        note(format_args!("data set {dataset}: {line}"));
    }
}

fn advised(error: PrepareError) -> anyhow::Error {
    match error.hint() {
        Some(hint) => with_hint(error.into(), hint),
        None => error.into(),
    }
}

/// The run's record as it is before its shards are scored. A run of the same name goes on under it.
async fn record(
    args: &Args,
    store: &Store,
    requested: &Requested,
    (work, trained_on): (&Work, &TrainedOn),
) -> anyhow::Result<RunRecord> {
    let (name, earlier) = requested.find(store, args.name.as_ref(), Some(work)).await?;
    let record = requested.record(name, earlier.as_ref(), provenance());
    let mut record = record.map_err(|error| with_hint(error.into(), run::OtherRun::HINT))?;
    run::record_plan(&mut record, work, trained_on);
    for line in earlier.iter().flat_map(|earlier| run::dropped(earlier, work)) {
        note(format_args!("{line}"));
    }
    let is_answered = earlier.as_ref().is_some_and(|earlier| run::is_answered_by(&record, earlier));
    let is_done = is_answered && work.missing().next().is_none();
    record.state = if is_done { RunState::Complete } else { RunState::Running };
    if let Some(earlier) = earlier.as_ref().filter(|_| is_done) {
        // It stays what it is, whoever asked for it: only that it was used is new.
        record.counted = earlier.counted.clone();
        record.request = earlier.request.clone();
        record.provenance = earlier.provenance.clone();
    }
    if let Some(earlier) = earlier.filter(|earlier| earlier.request.is_some() && earlier.state.is_active()) {
        note(format_args!(
            "run {} was asked of a coordinator and is {} there; this process scores it too, and nothing is counted twice",
            earlier.name, earlier.state
        ));
    }
    Ok(record)
}

fn provenance() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("dqa".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("host".to_owned(), host()),
        ("command".to_owned(), command_line()),
    ])
}

fn show_plan(record: &RunRecord, work: &Work) {
    let missing = work.missing().count();
    let windows: u64 = work.missing().map(|part| part.cut.windows).sum();
    note(format_args!(
        "run {}: {} pictures, {} windows in {} shards; {missing} shards to score, {windows} windows at most",
        record.name,
        record.counts.pictures,
        record.counts.windows,
        work.parts.len()
    ));
    if missing == 0 {
        note(format_args!("nothing to score: every part is in the store"));
    }
}

/// Says that scenes were seen in training: their scores agree with labels better than those of scenes that were not.
fn warn_of_leaks(leaks: &[String]) {
    for leak in leaks {
        note(format_args!("warning: {leak}"));
    }
}

/// Scores what is missing, part by part.
async fn score(
    store: &Store,
    work: &Work,
    retry_failed: bool,
    scorer: Arc<ShardScorer>,
    facts: &[(String, String)],
) -> anyhow::Result<()> {
    if work.missing().next().is_none() {
        return Ok(());
    }
    let mut progress = Progress::new(work.missing().map(|part| part.cut.windows).sum(), scorer.progress());
    let engine = Local::new(scorer);
    for mut shard in work.shards(store, retry_failed) {
        shard.facts = facts.to_vec();
        let mut look = tokio::time::interval(LOOK_EVERY);
        let scored = engine.score(&shard);
        tokio::pin!(scored);
        let outcome = loop {
            tokio::select! {
                outcome = &mut scored => break outcome,
                _ = look.tick() => progress.look(),
            }
        };
        let outcome = outcome
            .with_context(|| format!("cannot score part {}", shard.key()))
            .map_err(|error| with_hint(error, "the same command goes on from here: what was scored is kept"))?;
        progress.shard_done(shard.windows, &outcome);
    }
    progress.finish();
    Ok(())
}
