//! Prepares a data set for trainings: checks or removes the pictures that a training cannot use, and reads the splits
//! that a user gives.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, anyhow};
use dqa_engine::decode::PictureError;
use dqa_engine::train::TrialRunner;
use dqa_pipelines::count_text::counted;
use dqa_pipelines::dataset::{DataSet, FaultKind};
use dqa_pipelines::train::{SceneNames, Setup, Splits, SplitsOptions, Trial, TrialError};
use dqa_service::program::{note, with_hint};
use tokio::runtime::Handle;

/// The hint for pictures that a training cannot use.
pub(super) const SKIP_HINT: &str = "--skip-unreadable leaves such pictures out, and says how many";

/// Reads a file of splits.
pub(super) fn read_splits(file: &Path) -> anyhow::Result<Splits> {
    let origin = file.display().to_string();
    let text = std::fs::read(file).with_context(|| format!("cannot read the splits {origin}"))?;
    Ok(Splits::parse(&text, &origin)?)
}

/// Adds a hint to the error of a trial that cannot be planned. `label_range_flag` is the command's flag for the
/// range of the labels.
pub(super) fn with_trial_hint(error: TrialError, label_range_flag: &str) -> anyhow::Error {
    match trial_hint(&error, label_range_flag) {
        Some(hint) => with_hint(error.into(), hint),
        None => error.into(),
    }
}

/// Returns the hint for a trial that cannot be planned, if there is one.
pub(super) fn trial_hint(error: &TrialError, label_range_flag: &str) -> Option<String> {
    match error {
        TrialError::Unlabelled { .. } => Some(SKIP_HINT.to_owned()),
        TrialError::NoLabelRange { seen, .. } => {
            let line = seen.map_or("range = [LOW, HIGH]".to_owned(), |seen| seen.range_line());
            Some(format!(
                "add `{line}`, or the scale that your ratings have, to [labels] in the definition; {label_range_flag} sets it \
                 for this training alone"
            ))
        }
        _ => None,
    }
}

/// Checks that every picture that the data set names exists.
pub(super) fn require_complete(data: &DataSet) -> anyhow::Result<()> {
    match data.faults.iter().find(|fault| fault.kind.is_missing_data()) {
        None => Ok(()),
        Some(fault) => Err(with_hint(anyhow!("data set `{}` is not complete: {fault}", data.name), SKIP_HINT)),
    }
}

/// Removes the pictures that a training cannot use: those without a label and, when a `runner` is given to read them,
/// those that cannot be read. Returns how many were removed; missing pictures are not counted.
pub(super) fn remove_unusable(
    data: &mut DataSet,
    setup: &Setup,
    runner: Option<&TrialRunner>,
) -> anyhow::Result<usize> {
    let count = data.pictures.len();
    data.pictures.retain(|picture| picture.mos.is_some());
    let unlabelled = count - data.pictures.len();
    let unreadable = match runner {
        Some(runner) => find_unreadable(data, setup, runner)?,
        None => BTreeSet::new(),
    };
    data.pictures.retain(|picture| !unreadable.contains(&*picture.image));
    let missing = data.faults.iter().filter(|fault| fault.kind == FaultKind::Absent).count();
    if unlabelled + unreadable.len() + missing > 0 {
        note(format_args!(
            "left out of {}: {} without a label, {} that cannot be read, {missing} that are not there",
            data.name,
            counted(unlabelled, "picture"),
            unreadable.len()
        ));
    }
    Ok(unlabelled + unreadable.len())
}

/// Finds the pictures that cannot be decoded or are too small for a window, and notes each.
fn find_unreadable(data: &DataSet, setup: &Setup, runner: &TrialRunner) -> anyhow::Result<BTreeSet<String>> {
    let options = SplitsOptions { count: 1, test_share: 0.0, seed: 0 };
    let all_pictures = Splits::draw(&data.name, SceneNames::new(data).labelled(), &options)?;
    let setup = Setup { without: Vec::new(), ..setup.clone() };
    let trial = Trial::plan(data, (&all_pictures, 1), runner.base().model(), &setup)?;
    let unreadable: Vec<(&str, PictureError)> =
        tokio::task::block_in_place(|| runner.unreadable(&trial, &Handle::current()))?;
    for (image, error) in &unreadable {
        note(format_args!("left out: {image}: {}", error.line()));
    }
    Ok(unreadable.into_iter().map(|(image, _)| image.to_owned()).collect())
}
