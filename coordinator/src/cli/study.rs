//! `dqa-coord study`: a question that takes many trainings, answered in one table.

mod progress;

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::builder::BoolishValueParser;
use dqa_pipelines::dataset::{self, DataSet};
use dqa_pipelines::names::StudyName;
use dqa_pipelines::store::Store;
use dqa_pipelines::study::{Definition, Outcome, Overrides};
use dqa_pipelines::train::Splits;
use dqa_worker::program::{ExitStatus, Format, OutputError, command_line, host, note, with_hint};
use dqa_worker::study::EvaluateError;
use dqa_worker::train::{BaseModel, Runner, TrainError, TrainingResources};

use super::StoreArgs;
use super::learner::LearnerArgs;
use super::named::RedefineArgs;
use super::usable;
use crate::study::{Plan, StudyRunError};
use progress::Progress;

/// Answers a question that takes many trainings: what there is not yet is trained and tested, all of it becomes one table.
#[derive(clap::Args)]
#[command(arg = super::here_only::coordinator())]
pub(super) struct Args {
    /// ablation, cross-dataset, windows, unseen-algorithms, backbones, initialisation; or a file like those in
    /// configs/studies.
    #[arg(env = "DQA_STUDY", value_name = "NAME|FILE")]
    study: String,

    /// The data sets to train on, joined by commas: names from configs/datasets, definitions (TOML), or folders. They have
    /// labels [default: the study's].
    #[arg(long, env = "DQA_DATASETS", value_delimiter = ',', value_name = "NAMES")]
    datasets: Vec<String>,

    /// The models to begin with, joined by commas: directories, hf:OWNER/NAME@REVISION, or new:CONFIG.json [default: the
    /// study's].
    #[arg(long, env = "DQA_MODEL", value_delimiter = ',', value_name = "DIRS")]
    model: Vec<String>,

    /// Splits of each data set [default: the study's, 10].
    #[arg(long, env = "DQA_SPLIT_COUNT", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    split_count: Option<u32>,

    /// Files of splits, as the store has them below splits/, joined by commas: one for each data set that is not to be split
    /// anew.
    #[arg(long, env = "DQA_SPLITS", value_delimiter = ',', value_name = "FILES", conflicts_with = "split_count")]
    splits: Vec<PathBuf>,

    /// Epochs of each training, as --set epochs=N.
    #[arg(long, env = "DQA_EPOCHS", value_name = "N")]
    epochs: Option<u32>,

    /// Another setting of all trainings, as lr=1e-3, with the keys of a setup (docs/training.md); what a variant sets itself
    /// stays. May be given more than once.
    #[arg(long, env = "DQA_SET", value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// The study's name in the store [default: made of its own and the data sets'].
    #[arg(long, env = "DQA_NAME", value_name = "STUDY")]
    name: Option<StudyName>,

    #[command(flatten)]
    redefine: RedefineArgs,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten, next_help_heading = "Machine")]
    learner: LearnerArgs,

    /// Leave out pictures that cannot be read, are not there or have no label, and say how many.
    #[arg(long, env = "DQA_SKIP_UNREADABLE", value_parser = BoolishValueParser::new())]
    skip_unreadable: bool,

    /// How results are written.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,

    /// Say what would be trained and tested, and stop.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let given = splits(&args.splits)?;
    let definition = definition(args, given.first().map(|splits| splits.splits.len()))?;
    let mut datasets: Vec<DataSet> = Vec::new();
    let mut found_definitions = Vec::new();
    for text in &definition.datasets {
        let found = dataset::find(text, Path::new(""))?;
        let data = dataset::load(&found).await.with_context(|| format!("cannot load data set `{}`", found.name))?;
        if datasets.iter().any(|other| other.name == data.name) {
            anyhow::bail!("data set `{}` is asked for twice", data.name);
        }
        datasets.push(data);
        found_definitions.push(found);
    }
    let machine = if args.dry_run { None } else { Some(args.learner.open()?) };
    let skipped = leave_out(args, &definition, &mut datasets, machine.as_ref())?;
    let store = args.store.create().await?;
    let name = name(args, &datasets)?;
    let named = found_definitions.iter().zip(&datasets);
    args.redefine.register(&store, named, &format!("study {name}"), args.dry_run).await?;
    let plan = Plan::make(definition, datasets, given, args.learner.offline).map_err(advised)?;
    show_plan(&name, &plan, &store).await?;
    let Some(machine) = machine else { return Ok(ExitStatus::All) };
    let mut progress = Progress::new();
    let outcome = plan.run(name, &store, machine, &mut |happens| progress.happens(&happens)).await;
    progress.finish();
    let mut outcome = outcome.map_err(advised)?;
    if skipped > 0 {
        outcome
            .provenance
            .push(("dqa.left_out".to_owned(), format!("{skipped} pictures: no label, or not to be read")));
    }
    outcome.provenance.extend([("dqa.host".to_owned(), host()), ("dqa.command".to_owned(), command_line())]);
    outcome.write(&store).await?;
    Ok(show(&outcome, args.format)?)
}

/// Of the files; each has as many.
fn splits(files: &[PathBuf]) -> anyhow::Result<Vec<Splits>> {
    let splits: Vec<Splits> = files.iter().map(|file| usable::read_splits(file)).collect::<Result<_, _>>()?;
    if let Some(other) = splits.iter().find(|other| other.splits.len() != splits[0].splits.len()) {
        let (first, counts) = (&splits[0].dataset, (splits[0].splits.len(), other.splits.len()));
        anyhow::bail!("there are {} splits of `{first}` and {} of `{}`", counts.0, counts.1, other.dataset);
    }
    Ok(splits)
}

fn definition(args: &Args, splits: Option<usize>) -> anyhow::Result<Definition> {
    let is_file = args.study.ends_with(".toml");
    let definition = if is_file {
        let text = std::fs::read_to_string(&args.study);
        Definition::parse(&text.with_context(|| format!("cannot read the study {}", args.study))?, &args.study)?
    } else {
        Definition::ready(&args.study)?
    };
    let mut set = args.set.clone();
    set.extend(args.epochs.map(|epochs| format!("epochs={epochs}")));
    let (datasets, models) = (args.datasets.clone(), args.model.clone());
    let splits = splits.map(|count| u32::try_from(count).expect("a file has few splits"));
    Ok(definition.changed(&Overrides { datasets, models, splits: splits.or(args.split_count), set })?)
}

/// Pictures that no training can use end the command, or are left out; how many.
fn leave_out(
    args: &Args,
    definition: &Definition,
    datasets: &mut [DataSet],
    machine: Option<&TrainingResources>,
) -> anyhow::Result<usize> {
    if !args.skip_unreadable {
        datasets.iter().try_for_each(usable::refuse)?;
        return Ok(0);
    }
    let setup = definition.setup(&definition.variant[0])?;
    let runner = match machine {
        Some(machine) => {
            let start = BaseModel::open(&definition.models[0], None, setup.seed, args.learner.offline)
                .with_context(|| format!("cannot open the model {}", definition.models[0]))?;
            Some(Runner::new(start, machine.clone()))
        }
        None => None,
    };
    datasets.iter_mut().map(|data| usable::skip(data, &setup, runner.as_ref())).sum()
}

/// The same for the same study of the same data sets: its table takes the place of the earlier one's.
fn name(args: &Args, datasets: &[DataSet]) -> anyhow::Result<StudyName> {
    if let Some(name) = &args.name {
        return Ok(name.clone());
    }
    let stem = Path::new(&args.study).file_stem().map_or("study".into(), |stem| stem.to_string_lossy());
    let names: Vec<&str> = datasets.iter().map(|data| data.name.as_str()).collect();
    let mut text = format!("{stem}-{}", names.join("+"));
    text.truncate(100);
    text.parse().context("the study's file is no name; --name takes one")
}

async fn show_plan(name: &StudyName, plan: &Plan, store: &Store) -> anyhow::Result<()> {
    note(format_args!("study {name}: {}", plan.definition.title));
    for divided in &plan.datasets {
        let (data, first) = (&divided.data, &divided.splits.splits[0]);
        note(format_args!(
            "data set {}: {} pictures by {} algorithms; {} splits ({}), {} scenes train and {} test",
            data.name,
            data.pictures.len(),
            data.algorithms().len(),
            divided.splits.splits.len(),
            divided.splits.key(),
            first.train.len(),
            first.test.len()
        ));
    }
    let counts = plan.look(store).await?;
    let ((trials_done, trials), (tests_done, tests)) = (counts.trials, counts.evaluations);
    note(format_args!(
        "{} lines: {trials} trainings, {trials_done} of them there; {tests} tests beside the trainings' own, {tests_done} of \
         them there",
        plan.lines.len()
    ));
    Ok(())
}

fn show(outcome: &Outcome, format: Format) -> Result<ExitStatus, OutputError> {
    let text = match format {
        Format::Table => outcome.text(),
        Format::Json => outcome.json(),
        Format::Csv => outcome.csv(),
    };
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitStatus::All)
}

fn advised(error: StudyRunError) -> anyhow::Error {
    let hint = match &error {
        StudyRunError::Train { source: TrainError::Unreadable { .. }, .. }
        | StudyRunError::Evaluate { source: EvaluateError::Picture { .. }, .. } => usable::SKIP,
        StudyRunError::Plan { source, .. } => match usable::hint(source, "--set label_range=[0,100]") {
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
    use dqa_pipelines::study::READY;

    use super::*;

    #[test]
    fn the_help_names_every_study() {
        let command = <Args as clap::Args>::augment_args(clap::Command::new("study"));
        let help = command.clone().render_long_help().to_string().replace('\n', " ");
        for (name, _) in READY {
            assert!(help.contains(name), "{name}");
        }
    }
}
