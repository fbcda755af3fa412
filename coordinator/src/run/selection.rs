//! Selects the pictures of loaded data sets that a run scores: those of the requested algorithms, and the hazy inputs
//! if they are requested. What a data set lacks is an error, or a remark if missing pictures are allowed.

use std::collections::BTreeSet;

use dqa_pipelines::causes;
use dqa_pipelines::dataset::{AlgorithmSelection, DataSet, HazyRows};

use super::error::PrepareError;
use super::request::{PlanObserver, PlanRequest};

/// A data set with the pictures of the requested algorithms, and the rows of its hazy inputs that are to be added.
pub(super) struct SelectedDataSet {
    pub(super) dataset: DataSet,
    pub(super) hazy: Option<HazyRows>,
}

/// Selects the requested pictures of each data set. Leaves out a data set that has none of them.
pub(super) fn select(
    datasets: Vec<DataSet>,
    request: &PlanRequest,
    observer: &mut dyn PlanObserver,
) -> Result<Vec<SelectedDataSet>, PrepareError> {
    check_algorithms(&datasets, request)?;
    let count = datasets.len();
    let mut selected = Vec::new();
    for dataset in datasets {
        let name = dataset.name.to_string();
        let hazy = select_hazy(&dataset, request, count, observer)?;
        let (known, lacking): (Vec<String>, Vec<String>) =
            request.algorithms.iter().cloned().partition(|algorithm| dataset.has_algorithm(algorithm));
        if !lacking.is_empty() {
            let lacking: Vec<String> = lacking.iter().map(|name| format!("`{name}`")).collect();
            let left_out = if known.is_empty() { ", and is left out of the run" } else { "" };
            observer.remark(&name, &format!("it lacks the algorithms {}{left_out}", lacking.join(", ")));
        }
        if known.is_empty() && !request.algorithms.is_empty() {
            continue;
        }
        let algorithms = if known.is_empty() { AlgorithmSelection::All } else { AlgorithmSelection::Named(known) };
        let dataset = dataset.select(&algorithms).map_err(PrepareError::Algorithms)?;
        selected.push(SelectedDataSet { dataset, hazy });
    }
    Ok(selected)
}

/// Checks that each requested algorithm is in every data set, or in one if missing pictures are allowed.
fn check_algorithms(datasets: &[DataSet], request: &PlanRequest) -> Result<(), PrepareError> {
    let mut lacking: Vec<(&DataSet, &String)> = Vec::new();
    for algorithm in &request.algorithms {
        let datasets_without: Vec<&DataSet> =
            datasets.iter().filter(|dataset| !dataset.has_algorithm(algorithm)).collect();
        if !request.allow_missing || datasets_without.len() == datasets.len() {
            lacking.extend(datasets_without.into_iter().map(|dataset| (dataset, algorithm)));
        }
    }
    let is_in_another = |(_, algorithm): &(&DataSet, &String)| datasets.iter().any(|one| one.has_algorithm(algorithm));
    let may_be_left_out = lacking.iter().all(is_in_another);
    let errors: Vec<_> = lacking
        .into_iter()
        .filter_map(|(dataset, algorithm)| {
            dataset.clone().select(&AlgorithmSelection::Named(vec![algorithm.clone()])).err()
        })
        .collect();
    if errors.len() > 1 {
        let texts: Vec<String> = errors.iter().map(|error| causes(error).to_string()).collect();
        return Err(PrepareError::Lacking { message: texts.join("; "), may_be_left_out });
    }
    match errors.into_iter().next() {
        Some(error) if may_be_left_out => {
            Err(PrepareError::Lacking { message: causes(&error).to_string(), may_be_left_out })
        }
        Some(error) => Err(PrepareError::Algorithms(error)),
        None => Ok(()),
    }
}

/// Returns the rows of the hazy inputs, if they are requested. A data set without inputs is an error if it is the only
/// one or if nothing may be missing.
fn select_hazy(
    dataset: &DataSet,
    request: &PlanRequest,
    datasets: usize,
    observer: &mut dyn PlanObserver,
) -> Result<Option<HazyRows>, PrepareError> {
    if !request.with_hazy {
        return Ok(None);
    }
    let name = dataset.name.to_string();
    let rows = dataset.hazy_rows();
    if rows.pictures.is_empty() {
        if datasets == 1 || !request.allow_missing {
            return Err(PrepareError::NoHazy { dataset: name });
        }
        observer.remark(&name, "it names no hazy inputs, so none are scored");
        return Ok(None);
    }
    if rows.unused_inputs > 0 {
        let reason = "no picture, or pictures of several scenes, were made from them";
        observer.remark(&name, &format!("{} hazy inputs are not scored: {reason}", rows.unused_inputs));
    }
    let scenes_with_input: BTreeSet<_> = rows.pictures.iter().map(|picture| picture.scene_key()).collect();
    let without = dataset.scenes.iter().filter(|scene| !scenes_with_input.contains(&scene.key)).count();
    if without > 0 {
        let scenes = dataset.scenes.len();
        observer.remark(&name, &format!("{without} of {scenes} scenes have no hazy input: gains are over the others"));
    }
    Ok(Some(rows))
}
