//! `dqa-coord train`: trains prompts, or a whole model, on people's scores of a data set's pictures.

mod progress;
mod results;
mod setup;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::builder::BoolishValueParser;
use dqa_engine::train::{BaseModel, TrainError, TrialRunner};
use dqa_pipelines::dataset::{self, DataSet};
use dqa_pipelines::store::Store;
use dqa_pipelines::train::{SceneNames, Setup, Splits, SplitsOptions, Trial, TrialRecord, trial_key};
use dqa_service::program::{ExitStatus, OutputFormat, note, with_hint};
use tokio::runtime::Handle;

use super::args::StoreArgs;
use super::redefine_args::RedefineArgs;
use super::resource_args::TrainingResourceArgs;
use super::training_data::{self, SKIP_HINT};
use progress::TrainingProgress;
use results::Results;
use setup::SetupArgs;

/// Trains prompts, or a model, on a data set's labels.
#[derive(clap::Args)]
#[command(arg = super::local_only::coordinator_flag())]
pub(super) struct Args {
    /// Data set with labels: a name from configs/datasets, a definition (TOML), or a folder. NAME=PATH gives it another
    /// name than its own.
    #[arg(long, env = "DQA_DATASET", value_name = "NAME")]
    dataset: String,

    #[command(flatten)]
    redefine: RedefineArgs,

    /// CLIP model to start from: a folder or a file in any form that `submit` takes, hf:OWNER/NAME or
    /// hf:OWNER/NAME@REVISION; or new:CONFIG.json for new weights.
    #[arg(long, env = "DQA_MODEL", value_name = "MODEL")]
    model: String,

    /// Prompts to start from: safetensors, or the authors' PyTorch checkpoint [default: new prompts].
    #[arg(long, env = "DQA_PROMPTS", value_name = "FILE", conflicts_with_all = ["no_prompts", "text_len", "text_depth", "visual_len", "visual_depth", "init", "words"])]
    prompts: Option<PathBuf>,

    /// Splits to train on: numbers from 1 joined by commas, or all.
    #[arg(long, env = "DQA_SPLIT", value_delimiter = ',', default_value = "all", value_name = "N")]
    split: Vec<String>,

    /// File of splits, as the store has them below splits/ [default: new splits, made with the three flags that
    /// follow].
    #[arg(long, env = "DQA_SPLITS", value_name = "FILE", conflicts_with_all = ["split_count", "split_seed", "test_share"])]
    splits: Option<PathBuf>,

    /// Number of splits to make.
    #[arg(long, env = "DQA_SPLIT_COUNT", value_name = "N", default_value_t = SplitsOptions::default().count)]
    split_count: u32,

    /// Seed of the splits.
    #[arg(long, env = "DQA_SPLIT_SEED", value_name = "N", default_value_t = SplitsOptions::default().seed)]
    split_seed: u64,

    /// Share of the scenes to test on; 0 trains on all of them.
    #[arg(long, env = "DQA_TEST_SHARE", value_name = "SHARE", default_value_t = SplitsOptions::default().test_share)]
    test_share: f64,

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

    #[command(flatten, next_help_heading = "Machine")]
    resources: TrainingResourceArgs,

    /// Format of the results.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,

    /// Show what would be trained, and stop.
    #[arg(long)]
    dry_run: bool,
}

/// Trains on each of the splits and shows the results.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let mut setup = args.setup.read()?;
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
    let mut progress = TrainingProgress::new(&trials);
    for trial in &trials {
        let record = tokio::task::block_in_place(|| train(&runner, trial, &store, &mut progress))?;
        progress.finish_trial();
        copy_out(args, &store, &record, trials.len()).await?;
        records.push(record);
    }
    progress.finish();
    Results { setup: &setup, splits: &splits, records: &records, skipped }.show(args.format)?;
    Ok(ExitStatus::All)
}

fn open_runner(args: &Args, setup: &Setup) -> anyhow::Result<TrialRunner> {
    let resources = args.resources.open()?;
    let base_model = BaseModel::open(&args.model, args.prompts.as_deref(), setup.seed, args.resources.offline);
    Ok(TrialRunner::new(base_model.with_context(|| format!("cannot open the model {}", args.model))?, resources))
}

/// Reads or makes the splits, and checks that they are of the data set's scenes with labels.
fn select_splits(args: &Args, data: &DataSet) -> anyhow::Result<Splits> {
    let scenes = SceneNames::new(data);
    let splits = match &args.splits {
        None => {
            let options = SplitsOptions { count: args.split_count, test_share: args.test_share, seed: args.split_seed };
            Splits::draw(&data.name, scenes.labelled(), &options)?
        }
        Some(file) => training_data::read_splits(file)?.with_scene_names(&scenes)?,
    };
    splits.check_scenes(&data.name, scenes.labelled())?;
    Ok(splits)
}

/// Plans the trials of the selected splits.
fn plan_trials(
    args: &Args,
    data: &DataSet,
    splits: &Splits,
    (runner, setup): (&TrialRunner, &Setup),
) -> anyhow::Result<Vec<Trial>> {
    let numbers: BTreeSet<usize> = if args.split == ["all"] {
        (1..=splits.splits.len()).collect()
    } else {
        let number = |text: &String| {
            text.parse().with_context(|| format!("--split: expected the number of a split, found `{text}`"))
        };
        args.split.iter().map(number).collect::<Result<_, _>>()?
    };
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
        "{} epochs of {} steps of {} pictures, Adam {} {}, {}, seed {}; keeps the {}",
        setup.epochs,
        trial.steps_per_epoch(),
        setup.batch_size,
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
        note(format_args!("split {}: {train} pictures train{validation}, {test} test  {}", trial.split, trial.name()));
    }
    Ok(())
}

fn note_data(data: &DataSet, splits: &Splits, trial: &Trial, trials: usize) {
    let [low, high] = trial.label_range;
    let scenes = SceneNames::new(data).labelled().clone();
    note(format_args!(
        "data set {}: {} pictures of {} scenes by {} algorithms, labels {low} to {high}",
        data.name,
        data.pictures.len(),
        scenes.len(),
        data.algorithms().len()
    ));
    let used: BTreeSet<&str> =
        splits.splits.iter().flat_map(|split| split.train.iter().chain(&split.test)).map(String::as_str).collect();
    let unused = if used.len() < scenes.len() {
        format!("; {} scenes of the data set are in none", scenes.len() - used.len())
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

/// Copies a trial's results from the store to the folder of `--out`.
async fn copy_out(args: &Args, store: &Store, record: &TrialRecord, trials: usize) -> anyhow::Result<()> {
    let Some(out) = &args.out else { return Ok(()) };
    let folder = if trials == 1 { out.clone() } else { out.join(format!("split-{}", record.split)) };
    let cannot_write = |path: &Path| format!("cannot write {}", path.display());
    std::fs::create_dir_all(&folder).with_context(|| cannot_write(&folder))?;
    for file in ["trial.json", "prompts.safetensors", "config.json", "model.safetensors"] {
        let path = folder.join(file);
        match store.get(&trial_key(&record.name, file)).await {
            Ok(bytes) => std::fs::write(&path, bytes).with_context(|| cannot_write(&path))?,
            // The trial did not train this, and a file of an earlier training must not be taken for its result.
            Err(error) if error.is_not_found() => match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| cannot_write(&path));
                }
                _ => {}
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
