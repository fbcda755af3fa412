//! Several runs in one report: only where one model scored them all and their data sets are the same. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{ReportError, check_complete};
use crate::names::{AlgorithmName, DatasetName};
use crate::run::{PartRef, RunRecord};

/// Runs as one, which is not stored: `first` with the data sets and algorithms of `others`. What several of them have is
/// taken once.
///
/// # Errors
/// A run that is not complete; runs of unlike models, or of unlike data sets of one name: says what differs.
pub fn together(first: &RunRecord, others: &[RunRecord]) -> Result<RunRecord, ReportError> {
    check_complete(first)?;
    let mut all = first.clone();
    for other in others {
        check_complete(other)?;
        let differences = differences(&all, other);
        if !differences.is_empty() {
            return Err(ReportError::UnlikeRuns {
                first: all.name.to_string(),
                second: other.name.to_string(),
                differences,
            });
        }
        add(&mut all, other);
    }
    all.counts.pictures = all.parts.iter().map(|part| part.rows).sum();
    Ok(all)
}

fn differences(a: &RunRecord, b: &RunRecord) -> Vec<String> {
    let mut differences = Vec::new();
    if a.fingerprint != b.fingerprint {
        differences.push(format!("fingerprint ({} and {})", a.fingerprint, b.fingerprint));
        differences.extend(a.spec.differs(&b.spec));
    }
    for dataset in &a.spec.datasets {
        let Some(other) = b.spec.datasets.iter().find(|other| other.name == dataset.name) else { continue };
        let protocol = |protocol: &Option<String>| protocol.clone().unwrap_or_else(|| "pooled".to_owned());
        let fields = [
            ("root", dataset.root.clone(), other.root.clone()),
            ("protocol", protocol(&dataset.protocol), protocol(&other.protocol)),
            ("definition", dataset.definition.clone(), other.definition.clone()),
        ];
        for (field, a, b) in fields.iter().filter(|(_, a, b)| a != b) {
            differences.push(format!("{field} of data set {} ({} and {})", dataset.name, a.trim(), b.trim()));
        }
    }
    if a.fingerprint != b.fingerprint {
        // The names of parts hold the fingerprint, so they say nothing of pictures.
        return differences;
    }
    let of_b = parts(b);
    for (cell, of_a) in &parts(a) {
        if of_b.get(cell).is_some_and(|of_b| of_b != of_a) {
            differences.push(format!("both have {} on data set {}, of different pictures or labels", cell.1, cell.0));
        }
    }
    differences
}

/// The parts of each data set's algorithms: what is the same has the same name.
fn parts(run: &RunRecord) -> BTreeMap<(&DatasetName, &AlgorithmName), BTreeSet<&str>> {
    let mut parts: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    for part in &run.parts {
        parts.entry((&part.dataset, &part.algorithm)).or_default().insert(&part.key);
    }
    parts
}

fn add(all: &mut RunRecord, other: &RunRecord) {
    let joined = format!("{}+{}", all.name, other.name);
    // Names have a greatest length.
    all.name = joined.parse().unwrap_or_else(|_| all.name.clone());
    for dataset in &other.spec.datasets {
        match all.spec.datasets.iter_mut().find(|have| have.name == dataset.name) {
            Some(have) => {
                let new = dataset.algorithms.iter().filter(|name| !have.algorithms.contains(name)).cloned();
                let new: Vec<AlgorithmName> = new.collect();
                have.algorithms.extend(new);
                match (&mut have.seen_in_training, &dataset.seen_in_training) {
                    (Some(have), Some(seen)) => have.add(seen),
                    (have @ None, Some(seen)) => *have = Some(seen.clone()),
                    (_, None) => {}
                }
            }
            None => all.spec.datasets.push(dataset.clone()),
        }
    }
    let have: BTreeSet<String> = all.parts.iter().map(|part| part.key.clone()).collect();
    let new: Vec<PartRef> = other.parts.iter().filter(|part| !have.contains(&part.key)).cloned().collect();
    all.parts.extend(new);
    if all.spec.remark.is_none() {
        all.spec.remark.clone_from(&other.spec.remark);
    }
}
