//! `dqa-coord study`: answers a question that takes many trainings, or all metrics, in one table.

mod metrics;
mod progress;
#[cfg(feature = "cluster")]
mod remote;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::builder::BoolishValueParser;
use dqa_engine::study::EvaluateError;
use dqa_engine::train::{BaseModel, TrainError, TrainingResources, TrialRunner};
use dqa_pipelines::count_text::counted;
use dqa_pipelines::dataset::{self, DataSet};
use dqa_pipelines::names::{RunName, StudyName};
use dqa_pipelines::store::Store;
use dqa_pipelines::study::{Overrides, Study, StudyDefinition, StudyOutcome};
use dqa_pipelines::train::Splits;
use dqa_service::metric_args::ParameterArgs;
use dqa_service::program::{ExitStatus, OutputError, command_line, host, note, with_hint};

use super::args::StoreArgs;
use super::cluster_training_args::ClusterTrainingArgs;
use super::kept_trainings::KeptTrainings;
use super::output::print_text;
use super::redefine_args::RedefineArgs;
use super::resource_args::TrainingResourceArgs;
use super::result_format::{ResultForm, ResultFormatArgs};
use super::training_data::{self, SKIP_HINT};
#[cfg(not(feature = "cluster"))]
use super::without_cluster_feature as remote;
use crate::study::{BaseModels, ModelKey, StudyPlan, StudyRunError};
use progress::StudyProgress;

/// The most bytes of a study's default name.
const STUDY_NAME_BYTES_MAX: usize = 100;

/// Answers a question that takes many trainings, or all metrics: makes the trainings, tests and scores that the store
/// lacks, and one table of all of them.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Study: ablation, cross-dataset, windows, unseen-algorithms, backbones, initialisation, prompts, metrics; or a file like
    /// those in configs/studies.
    #[arg(env = "DQA_STUDY", value_name = "NAME|FILE")]
    study: String,

    /// Data sets with labels, joined by commas: names that `dataset list` has, definitions (TOML), manifests or folders
    /// [default: the study's].
    #[arg(long, env = "DQA_DATASETS", value_delimiter = ',', value_name = "NAMES")]
    datasets: Vec<String>,

    /// Base models to train, joined by commas: folders, hf:OWNER/NAME@REVISION, or new:CONFIG.json [default: the
    /// study's].
    #[arg(long, env = "DQA_MODEL", value_delimiter = ',', value_name = "DIRS")]
    model: Vec<String>,

    /// Number of new splits to draw of each data set [default: the study's, 10].
    #[arg(long, alias = "split-count", env = "DQA_NEW_SPLITS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    new_splits: Option<u32>,

    /// Files of splits, as the store has them below splits/, joined by commas: one for each data set that is not to be
    /// split again.
    #[arg(
        long,
        alias = "splits",
        env = "DQA_SPLITS_FILE",
        value_delimiter = ',',
        value_name = "FILES",
        conflicts_with = "new_splits"
    )]
    splits_file: Vec<PathBuf>,

    /// Epochs of each training, as --set epochs=N.
    #[arg(long, env = "DQA_EPOCHS", value_name = "N")]
    epochs: Option<u32>,

    /// Setting for all trainings, such as lr=1e-3, with the keys of a setup (docs/guides/training.md). A variant's own
    /// settings win. May be given more than once.
    #[arg(long, env = "DQA_SET", value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Name of the study in the store [default: made of the study's and the data sets' names].
    #[arg(long, env = "DQA_STUDY_NAME", value_name = "STUDY")]
    name: Option<StudyName>,

    /// In a study of metrics, the learned prompts of CLIP-DQA with --model: safetensors, or the authors' PyTorch
    /// checkpoint; dqa:small for those of that model.
    #[arg(long, env = "DQA_PROMPTS", value_name = "FILE")]
    prompts: Option<PathBuf>,

    /// In a study of metrics, use no learned prompts, but the sentences "bad photo." and "good photo.".
    #[arg(long, env = "DQA_HANDCRAFTED", value_parser = BoolishValueParser::new(), conflicts_with = "prompts")]
    handcrafted: bool,

    #[command(flatten)]
    parameters: ParameterArgs,

    /// In a study of metrics, runs of the same data sets whose metrics stand beside, joined by commas: of other models, or
    /// from `import-scores`.
    #[arg(long, env = "DQA_WITH_RUNS", value_delimiter = ',', value_name = "RUNS")]
    with_runs: Vec<RunName>,

    #[command(flatten)]
    redefine: RedefineArgs,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    resources: TrainingResourceArgs,

    /// Leave out pictures that are missing, unreadable or without a label, and say how many.
    #[arg(long, env = "DQA_SKIP_UNREADABLE", value_parser = BoolishValueParser::new())]
    skip_unreadable: bool,

    #[command(flatten)]
    result: ResultFormatArgs,

    #[command(flatten)]
    cluster: ClusterTrainingArgs,

    /// Show the table with the results that are made so far, and how many are missing.
    #[arg(long, conflicts_with = "dry_run")]
    so_far: bool,

    /// Show what would be trained and tested, and stop.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the study and shows its table.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    if let Some(client) = args.cluster.coordinator.client()? {
        return remote::run(args, client).await;
    }
    let kept = KeptTrainings::default();
    let end = kept.end_on_signal()?;
    let study = match read_study(args)? {
        Study::Metrics(study) => {
            drop(end);
            return metrics::run(args, study).await;
        }
        Study::Trainings(study) => study,
    };
    let splits = read_splits(&args.splits_file)?;
    let definition = with_overrides(args, study, splits.first().map(|splits| splits.splits.len()))?;
    let (definitions, mut datasets) = load_datasets(&definition).await?;
    let is_shown_only = args.dry_run || args.so_far;
    let resources = if is_shown_only { None } else { Some(args.resources.open()?) };
    let skipped = check_pictures(args, &definition, &mut datasets, resources.as_ref())?;
    let store = args.store.create().await?;
    let name = study_name(args, datasets.iter().map(|data| data.name.as_str()))?;
    let loaded = definitions.iter().zip(&datasets);
    args.redefine.register(&store, loaded, &format!("study {name}"), is_shown_only).await?;
    let mut models = BaseModels::default();
    let find_model = &mut |key: &ModelKey| models.open(key, args.resources.offline);
    let plan = StudyPlan::new(definition, datasets, splits, find_model).map_err(with_study_hint)?;
    note_plan(&name, &plan, &store).await?;
    if args.so_far {
        show(&plan.outcome(name, &store, Vec::new(), true).await.map_err(with_study_hint)?, args.result.form())?;
        return Ok(ExitStatus::All);
    }
    let Some(resources) = resources else { return Ok(ExitStatus::All) };
    let mut progress = StudyProgress::new(kept);
    let outcome = plan.run(name, &store, resources, &models, &mut |event| progress.on_event(&event)).await;
    progress.finish();
    let mut outcome = outcome.map_err(with_study_hint)?;
    if skipped > 0 {
        outcome
            .provenance
            .push(("dqa.left_out".to_owned(), format!("{}: no label, or not to be read", counted(skipped, "picture"))));
    }
    outcome.provenance.extend([("dqa.host".to_owned(), host()), ("dqa.command".to_owned(), command_line())]);
    outcome.write(&store).await?;
    show(&outcome, args.result.form())?;
    Ok(ExitStatus::All)
}

/// Reads the files of splits, which must all have the same number of splits.
fn read_splits(files: &[PathBuf]) -> anyhow::Result<Vec<Splits>> {
    let splits: Vec<Splits> = files.iter().map(|file| training_data::read_splits(file)).collect::<Result<_, _>>()?;
    if let Some(other) = splits.iter().find(|other| other.splits.len() != splits[0].splits.len()) {
        let (first, counts) = (&splits[0].dataset, (splits[0].splits.len(), other.splits.len()));
        bail!("there are {} splits of `{first}` and {} of `{}`", counts.0, counts.1, other.dataset);
    }
    Ok(splits)
}

/// Loads the study's data sets.
async fn load_datasets(study: &StudyDefinition) -> anyhow::Result<(Vec<dataset::Definition>, Vec<DataSet>)> {
    let (mut definitions, mut datasets) = (Vec::new(), Vec::<DataSet>::new());
    for text in &study.datasets {
        let definition = dataset::find_definition(text, Path::new(""))?;
        let loaded = dataset::load(&definition).await;
        let data = loaded.with_context(|| format!("cannot load data set `{}`", definition.name))?;
        if datasets.iter().any(|other| other.name == data.name) {
            bail!("data set `{}` is asked for twice", data.name);
        }
        datasets.push(data);
        definitions.push(definition);
    }
    Ok((definitions, datasets))
}

/// Reads the study's definition.
fn read_study(args: &Args) -> anyhow::Result<Study> {
    if !args.study.ends_with(".toml") {
        return Ok(Study::bundled(&args.study)?);
    }
    let text = std::fs::read_to_string(&args.study).with_context(|| format!("cannot read the study {}", args.study))?;
    Ok(Study::parse(&text, &args.study)?)
}

/// Changes the study as the flags say.
fn with_overrides(args: &Args, study: StudyDefinition, splits: Option<usize>) -> anyhow::Result<StudyDefinition> {
    let mut set = args.set.clone();
    set.extend(args.epochs.map(|epochs| format!("epochs={epochs}")));
    let (datasets, models) = (args.datasets.clone(), args.model.clone());
    let splits = splits.map(|count| u32::try_from(count).expect("a file has few splits"));
    Ok(study.with_overrides(&Overrides { datasets, models, splits: splits.or(args.new_splits), set })?)
}

/// Checks that trainings can use every picture, or with `--skip-unreadable` removes the others. Returns how many were
/// removed.
fn check_pictures(
    args: &Args,
    definition: &StudyDefinition,
    datasets: &mut [DataSet],
    resources: Option<&TrainingResources>,
) -> anyhow::Result<usize> {
    if !args.skip_unreadable {
        datasets.iter().try_for_each(training_data::require_complete)?;
        return Ok(0);
    }
    let setup = definition.setup(&definition.variant[0])?;
    let runner = match resources {
        Some(resources) => {
            let base_model = BaseModel::open(&definition.models[0], None, setup.seed, args.resources.offline)
                .with_context(|| format!("cannot open the model {}", definition.models[0]))?;
            Some(TrialRunner::new(base_model, resources.clone()))
        }
        None => None,
    };
    datasets.iter_mut().map(|data| training_data::remove_unusable(data, &setup, runner.as_ref())).sum()
}

/// Returns the study's name: the same for the same study of the same data sets, so that its table replaces the earlier
/// one.
fn study_name<'a>(args: &Args, datasets: impl Iterator<Item = &'a str>) -> anyhow::Result<StudyName> {
    if let Some(name) = &args.name {
        return Ok(name.clone());
    }
    let stem = Path::new(&args.study).file_stem().map_or("study".into(), |stem| stem.to_string_lossy());
    let names: Vec<&str> = datasets.collect();
    let mut text = format!("{stem}-{}", names.join("+"));
    text.truncate(STUDY_NAME_BYTES_MAX);
    text.parse().context("the study's file has a name that no study can have; give one with --name")
}

async fn note_plan(name: &StudyName, plan: &StudyPlan, store: &Store) -> anyhow::Result<()> {
    note(format_args!("study {name}: {}", plan.definition.title));
    for split_dataset in &plan.datasets {
        let (data, splits) = (&split_dataset.data, &split_dataset.splits);
        let first = &splits.splits[0];
        note(format_args!(
            "data set {}: {} by {}; {} ({}), {} train and {} test",
            data.name,
            counted(data.pictures.len(), "picture"),
            counted(data.algorithms().len(), "algorithm"),
            counted(splits.splits.len(), "split"),
            splits.key(),
            counted(first.train.len(), "scene"),
            first.test.len()
        ));
    }
    let completion = plan.completion(store).await?;
    let (trials, evaluations) = (completion.trials, completion.evaluations);
    note(format_args!(
        "{} lines: {} trainings, {} kept from earlier; {} tests beside the trainings' own, {} kept from earlier",
        plan.lines.len(),
        trials.total,
        trials.done,
        evaluations.total,
        evaluations.done
    ));
    Ok(())
}

fn show(outcome: &StudyOutcome, form: ResultForm) -> Result<(), OutputError> {
    print_text(&match form {
        ResultForm::Tables(style) => outcome.text(style),
        ResultForm::Json => outcome.json(),
        ResultForm::Csv => outcome.csv(),
    })
}

/// Adds a hint to the error of a study.
fn with_study_hint(error: StudyRunError) -> anyhow::Error {
    let hint = match &error {
        StudyRunError::Train { source: TrainError::Unreadable { .. }, .. }
        | StudyRunError::Evaluate { source: EvaluateError::Picture { .. }, .. } => SKIP_HINT,
        StudyRunError::Plan { source, .. } => match training_data::trial_hint(source, "--set label_range=[0,100]") {
            Some(hint) => return with_hint(error.into(), hint),
            None => return error.into(),
        },
        StudyRunError::Train { .. } | StudyRunError::Evaluate { .. } | StudyRunError::Store(_) => {
            "the same command goes on from here: what was trained and tested is kept"
        }
        StudyRunError::Stored(_) => "remove that file: the same command makes it again",
        _ => return error.into(),
    };
    with_hint(error.into(), hint)
}

#[cfg(test)]
mod tests {
    use dqa_pipelines::study::BUNDLED;

    use super::*;

    #[test]
    fn the_help_names_every_study() {
        let command = <Args as clap::Args>::augment_args(clap::Command::new("study"));
        let help = command.clone().render_long_help().to_string().replace('\n', " ");
        for (name, _) in BUNDLED {
            assert!(help.contains(name), "{name}");
        }
    }
}
