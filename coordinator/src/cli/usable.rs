//! Which pictures of a data set a training can use, how they are split, and what is said of the others.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, anyhow};
use dqa_engine::decode::PictureError;
use dqa_engine::train::Runner;
use dqa_pipelines::dataset::{DataSet, FaultKind};
use dqa_pipelines::train::{SceneTexts, Setup, Splits, SplitsOptions, Trial, TrialError};
use dqa_service::program::{note, with_hint};
use tokio::runtime::Handle;

/// What to do about pictures that cannot be used.
pub(super) const SKIP: &str = "--skip-unreadable leaves such pictures out, and says how many";

/// Splits that were made before, or by hand.
pub(super) fn read_splits(file: &Path) -> anyhow::Result<Splits> {
    let origin = file.display().to_string();
    let text = std::fs::read(file).with_context(|| format!("cannot read the splits {origin}"))?;
    Ok(Splits::parse(&text, &origin)?)
}

/// A trial that cannot be planned, with what to do; `range` is the flag that says where labels go.
pub(super) fn advised(error: TrialError, range: &str) -> anyhow::Error {
    match hint(&error, range) {
        Some(hint) => with_hint(error.into(), hint),
        None => error.into(),
    }
}

/// What to do about a trial that cannot be planned.
pub(super) fn hint(error: &TrialError, range: &str) -> Option<String> {
    match error {
        TrialError::Unlabelled { .. } => Some(SKIP.to_owned()),
        TrialError::NoRange(_) => Some(format!("{range} says it for this training")),
        _ => None,
    }
}

/// Pictures that are named and not there end the command.
pub(super) fn refuse(data: &DataSet) -> anyhow::Result<()> {
    match data.faults.iter().find(|fault| fault.kind.is_hole()) {
        None => Ok(()),
        Some(fault) => Err(with_hint(anyhow!("data set `{}` is not complete: {fault}", data.name), SKIP)),
    }
}

/// Leaves out what cannot be learned from or tested on: pictures without a label and, where a `runner` looks at them, those
/// that cannot be read. How many that are, those that are not there not counted.
pub(super) fn skip(data: &mut DataSet, setup: &Setup, runner: Option<&Runner>) -> anyhow::Result<usize> {
    let all = data.pictures.len();
    data.pictures.retain(|picture| picture.mos.is_some());
    let unlabelled = all - data.pictures.len();
    let failed = match runner {
        Some(runner) => unreadable(data, setup, runner)?,
        None => BTreeSet::new(),
    };
    data.pictures.retain(|picture| !failed.contains(&*picture.image));
    let absent = data.faults.iter().filter(|fault| fault.kind == FaultKind::Absent).count();
    if unlabelled + failed.len() + absent > 0 {
        note(format_args!(
            "left out of {}: {unlabelled} pictures without a label, {} that cannot be read, {absent} that are not there",
            data.name,
            failed.len()
        ));
    }
    Ok(unlabelled + failed.len())
}

/// Those that cannot be decoded, or have no room for a window; each is named.
fn unreadable(data: &DataSet, setup: &Setup, runner: &Runner) -> anyhow::Result<BTreeSet<String>> {
    let options = SplitsOptions { count: 1, test_share: 0.0, seed: 0 };
    let everything = Splits::make(&data.name, SceneTexts::new(data).labelled(), &options)?;
    let setup = Setup { without: Vec::new(), ..setup.clone() };
    let trial = Trial::plan(data, (&everything, 1), runner.base().model(), &setup)?;
    let failed: Vec<(&str, PictureError)> =
        tokio::task::block_in_place(|| runner.unreadable(&trial, &Handle::current()))?;
    for (image, error) in &failed {
        note(format_args!("left out: {image}: {}", error.line()));
    }
    Ok(failed.into_iter().map(|(image, _)| image.to_owned()).collect())
}
