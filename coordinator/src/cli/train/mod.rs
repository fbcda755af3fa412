//! `dqa-coord train`: trains prompts, or a whole model, on people's scores of a data set's pictures.

mod progress;
#[cfg(feature = "cluster")]
mod remote;
mod results;
mod setup;
mod written;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::builder::BoolishValueParser;
use dqa_engine::train::{BaseModel, TrainError, TrialRunner};
use dqa_pipelines::count_text::counted;
use dqa_pipelines::dataset::{self, DataSet};
use dqa_pipelines::store::Store;
use dqa_pipelines::train::{SceneNames, Select, Setup, Splits, SplitsOptions, Trial, TrialRecord, trial_key};
use dqa_service::program::help::headings;
use dqa_service::program::{ExitStatus, note, with_hint};
use tokio::runtime::Handle;

use super::args::StoreArgs;
use super::cluster_training_args::ClusterTrainingArgs;
use super::kept_trainings::KeptTrainings;
use super::redefine_args::RedefineArgs;
use super::resource_args::TrainingResourceArgs;
use super::result_format::ResultFormatArgs;
use super::training_data::{self, SKIP_HINT};
#[cfg(not(feature = "cluster"))]
use super::without_cluster_feature as remote;
use progress::TrainingProgress;
use results::Results;
use setup::SetupArgs;

/// Trains prompts, or a model, on a data set's labels.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Data set with labels: a name of `dataset list`, a definition (TOML), a manifest or a folder. NAME=PATH gives it
    /// another name.
    #[arg(long, env = "DQA_DATASET", value_name = "NAME")]
    dataset: String,

    #[command(flatten)]
    redefine: RedefineArgs,

    /// CLIP model to start from: a folder or a file in any form that `submit` takes, hf:OWNER/NAME or
    /// hf:OWNER/NAME@REVISION; or new:CONFIG.json for new weights.
    #[arg(long, env = "DQA_MODEL", value_name = "MODEL")]
    model: String,

    /// Prompts to start from: safetensors, the authors' PyTorch checkpoint, or dqa:small [default: new prompts].
    #[arg(long, env = "DQA_PROMPTS", value_name = "FILE", conflicts_with_all = ["no_prompts", "text_len", "text_depth", "visual_len", "visual_depth", "init", "words"])]
    prompts: Option<PathBuf>,

    /// Train on these splits only: numbers from 1 joined by commas, or all.
    #[arg(long, alias = "split", env = "DQA_ONLY_SPLITS", help_heading = headings::SPLITS, value_delimiter = ',', default_value = "all", value_name = "N")]
    only_splits: Vec<String>,

    /// File of splits, as the store has them below splits/ [default: new splits, drawn with the three flags that
    /// follow].
    #[arg(long, alias = "splits", env = "DQA_SPLITS_FILE", help_heading = headings::SPLITS, value_name = "FILE", conflicts_with_all = ["new_splits", "split_seed", "test_share"])]
    splits_file: Option<PathBuf>,

    /// Number of new splits to draw.
    #[arg(long, alias = "split-count", env = "DQA_NEW_SPLITS", help_heading = headings::SPLITS, value_name = "N", default_value_t = SplitsOptions::default().count)]
    new_splits: u32,

    /// Seed of the splits.
    #[arg(long, env = "DQA_SPLIT_SEED", help_heading = headings::SPLITS, value_name = "N", default_value_t = SplitsOptions::default().seed)]
    split_seed: u64,

    /// Share of the scenes to test on; 0 trains on all of them.
    #[arg(long, env = "DQA_TEST_SHARE", help_heading = headings::SPLITS, value_name = "SHARE", default_value_t = SplitsOptions::default().test_share)]
    test_share: f64,

    /// Train prompts on all scenes, to score other data with them. Nothing is left to test on.
    #[arg(long = "final", env = "DQA_FINAL", help_heading = headings::SPLITS, value_parser = BoolishValueParser::new(), conflicts_with_all = ["only_splits", "splits_file", "new_splits", "split_seed", "test_share"])]
    is_final: bool,

    #[command(flatten)]
    store: StoreArgs,

    /// Folder for the result: prompts.safetensors, or with --tune all a model; with several splits, in folders split-N.
    #[arg(long, env = "DQA_OUT", value_name = "DIR")]
    out: Option<PathBuf>,

    /// Leave out pictures that are missing, unreadable or without a label, and say how many.
    #[arg(long, env = "DQA_SKIP_UNREADABLE", value_parser = BoolishValueParser::new())]
    skip_unreadable: bool,

    #[command(flatten)]
    setup: SetupArgs,

    #[command(flatten)]
    resources: TrainingResourceArgs,

    #[command(flatten)]
    result: ResultFormatArgs,

    #[command(flatten)]
    cluster: ClusterTrainingArgs,

    /// Show what would be trained, and stop.
    #[arg(long)]
    dry_run: bool,
}

/// The files of a trial that `--out` copies.
const RESULT_FILES: [&str; 4] = ["trial.json", "prompts.safetensors", "config.json", "model.safetensors"];

/// Trains on each of the splits and shows the results.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    if let Some(client) = args.cluster.coordinator.client()? {
        return remote::run(args, client).await;
    }
    let kept = KeptTrainings::default();
    let _end = kept.end_on_signal()?;
    let mut setup = args.setup.read()?;
    if args.is_final {
        check_final(&setup)?;
    }
    let definition = dataset::find_definition(&args.dataset, Path::new(""))?;
    let loaded = dataset::load(&definition).await;
    let mut data = loaded.with_context(|| format!("cannot load data set `{}`", definition.name))?;
    let store = args.store.create().await?;
    args.redefine.register(&store, [(&definition, &data)], "a training", true).await?;
    let runner = open_runner(args, &setup)?;
    setup = runner.base().resolve(&setup);
    let skipped = if args.skip_unreadable {
        training_data::remove_unusable(&mut data, &setup, (!args.dry_run).then_some(&runner))?
    } else {
        training_data::require_complete(&data)?;
        0
    };
    let splits = select_splits(args, &data)?;
    let trials = plan_trials(args, &data, &splits, (&runner, &setup))?;
    note_plan(&data, &splits, &trials, &runner)?;
    if args.dry_run {
        return Ok(ExitStatus::All);
    }
    args.redefine.register(&store, [(&definition, &data)], "a training", false).await?;
    splits.write_if_missing(&store).await?;
    let mut records = Vec::new();
    kept.set_trainings(trials.len());
    let mut progress = TrainingProgress::new(&trials, kept);
    for trial in &trials {
        let record = tokio::task::block_in_place(|| train(&runner, trial, &store, &mut progress))?;
        progress.finish_trial();
        copy_out(args, &store, &record, trials.len()).await?;
        records.push(record);
    }
    progress.finish();
    Results { setup: &setup, splits: &splits, records: &records, skipped }.show(args.result.form())?;
    written::note(args, &store, &records).await?;
    Ok(ExitStatus::All)
}

fn open_runner(args: &Args, setup: &Setup) -> anyhow::Result<TrialRunner> {
    let resources = args.resources.open()?;
    let base_model = BaseModel::open(&args.model, args.prompts.as_deref(), setup.seed, args.resources.offline);
    Ok(TrialRunner::new(base_model.with_context(|| format!("cannot open the model {}", args.model))?, resources))
}

/// Checks that a training on all scenes learns prompts alone, and that no test is to choose the epoch.
fn check_final(setup: &Setup) -> anyhow::Result<()> {
    if setup.tune.changes_weights() {
        let error = anyhow!("--final trains prompts, and --tune {} trains a model", setup.tune);
        return Err(with_hint(error, "--new-splits 1 --test-share 0 trains a model on all scenes"));
    }
    if setup.select == Select::BestOnTest {
        let error = anyhow!("--final leaves no scene to test on, and --select best-on-test needs one");
        return Err(with_hint(error, "--select last, or --select best-on-validation"));
    }
    Ok(())
}

/// Reads or makes the splits, and checks that they are of the data set's scenes with labels.
fn select_splits(args: &Args, data: &DataSet) -> anyhow::Result<Splits> {
    let scenes = SceneNames::new(data);
    let splits = match &args.splits_file {
        None => Splits::draw(&data.name, scenes.labelled(), &splits_options(args))?,
        Some(file) => training_data::read_splits(file)?.with_scene_names(&scenes)?,
    };
    splits.check_scenes(&data.name, scenes.labelled())?;
    Ok(splits)
}

/// Returns how new splits are drawn.
fn splits_options(args: &Args) -> SplitsOptions {
    if args.is_final {
        return SplitsOptions { count: 1, test_share: 0.0, ..SplitsOptions::default() };
    }
    SplitsOptions { count: args.new_splits, test_share: args.test_share, seed: args.split_seed }
}

/// Returns the numbers of the splits to train on. Empty for all.
fn only_splits(args: &Args) -> anyhow::Result<BTreeSet<usize>> {
    if args.only_splits == ["all"] {
        return Ok(BTreeSet::new());
    }
    let number = |text: &String| {
        text.parse().with_context(|| format!("--only-splits: expected the number of a split, found `{text}`"))
    };
    args.only_splits.iter().map(number).collect()
}

/// Plans the trials of the selected splits.
fn plan_trials(
    args: &Args,
    data: &DataSet,
    splits: &Splits,
    (runner, setup): (&TrialRunner, &Setup),
) -> anyhow::Result<Vec<Trial>> {
    let mut numbers = only_splits(args)?;
    if numbers.is_empty() {
        numbers = (1..=splits.splits.len()).collect();
    }
    let plan = |number| {
        Trial::plan(data, (splits, number), runner.base().model(), setup)
            .map_err(|error| training_data::with_trial_hint(error, "--label-range 0,100"))
    };
    numbers.into_iter().map(plan).collect()
}

fn note_plan(data: &DataSet, splits: &Splits, trials: &[Trial], runner: &TrialRunner) -> anyhow::Result<()> {
    let Some(trial) = trials.first() else { return Ok(()) };
    note_data(data, splits, trial, trials.len());
    let setup = &trial.setup;
    note(format_args!(
        "learns: {}, {} numbers of {}{}",
        setup.tune,
        runner.learnable(setup)?,
        trial.model.name,
        trial.model.prompts.as_ref().map_or(String::new(), |prompts| format!(" with {}", prompts.name))
    ));
    note(format_args!(
        "{} of {} of {}, Adam {} {}, {}, seed {}; keeps the {}",
        counted(setup.epochs, "epoch"),
        counted(trial.steps_per_epoch(), "step"),
        counted(setup.batch_size, "picture"),
        setup.lr,
        setup.schedule,
        setup.views,
        setup.seed,
        setup.select.described()
    ));
    for trial in trials {
        let validation = match trial.validation.len() {
            0 => String::new(),
            pictures => format!(", {pictures} validate"),
        };
        let (train, test) = (trial.train.len(), trial.test.len());
        let test = if test == 0 { "nothing tests".to_owned() } else { format!("{test} test") };
        note(format_args!("split {}: {train} pictures train{validation}, {test}  {}", trial.split, trial.name()));
    }
    Ok(())
}

fn note_data(data: &DataSet, splits: &Splits, trial: &Trial, trials: usize) {
    let [low, high] = trial.label_range;
    let scenes = SceneNames::new(data).labelled().clone();
    note(format_args!(
        "data set {}: {} of {} by {}, labels {low} to {high}",
        data.name,
        counted(data.pictures.len(), "picture"),
        counted(scenes.len(), "scene"),
        counted(data.algorithms().len(), "algorithm")
    ));
    let used: BTreeSet<&str> =
        splits.splits.iter().flat_map(|split| split.train.iter().chain(&split.test)).map(String::as_str).collect();
    let unused = if used.len() < scenes.len() {
        match scenes.len() - used.len() {
            1 => "; 1 scene of the data set is in none".to_owned(),
            unused => format!("; {} of the data set are in none", counted(unused, "scene")),
        }
    } else {
        String::new()
    };
    note(format_args!("splits {}: {trials} of {} are trained on{unused}", splits.key(), splits.splits.len()));
}

fn train(
    runner: &TrialRunner,
    trial: &Trial,
    store: &Store,
    progress: &mut TrainingProgress,
) -> anyhow::Result<TrialRecord> {
    progress.start_trial(trial);
    let trained = runner.run(trial, store, &Handle::current(), &mut |event| progress.on_event(event));
    trained.map_err(|error| {
        let hint = match &error {
            TrainError::Unreadable { .. } => SKIP_HINT,
            TrainError::Diverged { .. } | TrainError::NoScore { .. } => "try a lower --lr, or --warmup-epochs",
            TrainError::Checkpoint { .. } => "remove it to train from the beginning",
            _ => "the same command goes on from the last whole epoch",
        };
        with_hint(anyhow::Error::from(error).context(format!("cannot train split {}", trial.split)), hint)
    })
}

/// Returns the folder of a trial's results below that of `--out`.
fn out_folder(out: &Path, record: &TrialRecord, trials: usize) -> PathBuf {
    if trials == 1 { out.to_owned() } else { out.join(format!("split-{}", record.split)) }
}

/// Copies a trial's results from the store to the folder of `--out`.
async fn copy_out(args: &Args, store: &Store, record: &TrialRecord, trials: usize) -> anyhow::Result<()> {
    let Some(out) = &args.out else { return Ok(()) };
    let folder = out_folder(out, record, trials);
    let cannot_write = |path: &Path| format!("cannot write {}", path.display());
    std::fs::create_dir_all(&folder).with_context(|| cannot_write(&folder))?;
    for file in RESULT_FILES {
        let path = folder.join(file);
        match store.get(&trial_key(&record.name, file)).await {
            Ok(bytes) => std::fs::write(&path, bytes).with_context(|| cannot_write(&path))?,
            Err(error) if error.is_not_found() => remove_stale(&path)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Removes a file that the trial did not train: one of an earlier training must not be taken for its result.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
