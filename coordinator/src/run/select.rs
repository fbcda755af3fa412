//! Which of the loaded data sets' pictures a run scores: the algorithms that are named, and the hazy inputs if they are asked
//! for. What a data set lacks is an error, or where missing pictures are allowed an omission that is said.

use dqa_pipelines::causes;
use dqa_pipelines::dataset::{Algorithms, DataSet, HazyRows};

use super::prepare::{Asked, PrepareError, Watch};

/// A data set with the pictures of the algorithms that are asked for, and what is to be added of its inputs.
pub(super) struct Selected {
    pub(super) dataset: DataSet,
    pub(super) hazy: Option<HazyRows>,
}

/// Selects what is asked for of each data set. A data set that has nothing of it is left out.
pub(super) fn select(
    datasets: Vec<DataSet>,
    asked: &Asked,
    watch: &mut dyn Watch,
) -> Result<Vec<Selected>, PrepareError> {
    check_algorithms(&datasets, asked)?;
    let count = datasets.len();
    let mut selected = Vec::new();
    for dataset in datasets {
        let name = dataset.name.to_string();
        let hazy = hazy(&dataset, asked, count, watch)?;
        let (known, lacking): (Vec<String>, Vec<String>) =
            asked.algorithms.iter().cloned().partition(|algorithm| dataset.has_algorithm(algorithm));
        if !lacking.is_empty() {
            let lacking: Vec<String> = lacking.iter().map(|name| format!("`{name}`")).collect();
            let left_out = if known.is_empty() { ", and is left out of the run" } else { "" };
            watch.remark(&name, &format!("it lacks the algorithms {}{left_out}", lacking.join(", ")));
        }
        if known.is_empty() && !asked.algorithms.is_empty() {
            continue;
        }
        let named = if known.is_empty() { Algorithms::All } else { Algorithms::Named(known) };
        let dataset = dataset.select(&named).map_err(PrepareError::Algorithms)?;
        selected.push(Selected { dataset, hazy });
    }
    Ok(selected)
}

/// Each algorithm must be in each data set; where missing pictures are allowed, in one.
fn check_algorithms(datasets: &[DataSet], asked: &Asked) -> Result<(), PrepareError> {
    let mut lacking: Vec<(&DataSet, &String)> = Vec::new();
    for algorithm in &asked.algorithms {
        let without: Vec<&DataSet> = datasets.iter().filter(|dataset| !dataset.has_algorithm(algorithm)).collect();
        if !asked.allow_missing || without.len() == datasets.len() {
            lacking.extend(without.into_iter().map(|dataset| (dataset, algorithm)));
        }
    }
    let is_allowed = |(_, algorithm): &(&DataSet, &String)| datasets.iter().any(|one| one.has_algorithm(algorithm));
    let may_be_left_out = lacking.iter().all(is_allowed);
    let errors: Vec<_> = lacking
        .into_iter()
        .filter_map(|(dataset, algorithm)| dataset.clone().select(&Algorithms::Named(vec![algorithm.clone()])).err())
        .collect();
    if errors.len() > 1 {
        let texts: Vec<String> = errors.iter().map(|error| causes(error).to_string()).collect();
        return Err(PrepareError::Lacking { what: texts.join("; "), may_be_left_out });
    }
    match errors.into_iter().next() {
        Some(error) if may_be_left_out => {
            Err(PrepareError::Lacking { what: causes(&error).to_string(), may_be_left_out })
        }
        Some(error) => Err(PrepareError::Algorithms(error)),
        None => Ok(()),
    }
}

/// The inputs' rows, where they are asked for. A data set without inputs is an error if it is the only one, or if nothing may
/// be missing.
fn hazy(
    dataset: &DataSet,
    asked: &Asked,
    datasets: usize,
    watch: &mut dyn Watch,
) -> Result<Option<HazyRows>, PrepareError> {
    if !asked.with_hazy {
        return Ok(None);
    }
    let name = dataset.name.to_string();
    let rows = dataset.hazy_rows();
    if rows.pictures.is_empty() {
        if datasets == 1 || !asked.allow_missing {
            return Err(PrepareError::NoHazy { dataset: name });
        }
        watch.remark(&name, "it names no hazy inputs, so that none of it are scored");
        return Ok(None);
    }
    if rows.left_out > 0 {
        let why = "no picture, or pictures of several scenes, were made from them";
        watch.remark(&name, &format!("{} hazy inputs are not scored: {why}", rows.left_out));
    }
    let with: std::collections::BTreeSet<_> = rows.pictures.iter().map(|picture| picture.scene_key()).collect();
    let without = dataset.scenes.iter().filter(|scene| !with.contains(&scene.key)).count();
    if without > 0 {
        let scenes = dataset.scenes.len();
        watch.remark(&name, &format!("{without} of {scenes} scenes have no hazy input: gains are over the others"));
    }
    Ok(Some(rows))
}
