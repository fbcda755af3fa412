//! Combines several runs into one record for a common report. All of them must have the same metrics with the same fingerprints, and
//! data sets of one name must be equal. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ReportError;
use super::require_complete::check_complete;
use crate::names::{AlgorithmName, DatasetName};
use crate::run::{DatasetSpec, PartRef, RunRecord};

/// Returns a record, which is not stored, of `first` with the data sets and algorithms of `others`. Parts that several
/// runs share are taken once.
///
/// # Errors
/// A run is not complete, or the runs have different models, metrics or data sets of one name. The error lists the
/// differences.
pub fn combine_runs(first: &RunRecord, others: &[RunRecord]) -> Result<RunRecord, ReportError> {
    check_complete(first)?;
    let mut all = first.clone();
    for other in others {
        check_complete(other)?;
        let differences = differences(&all, other);
        if !differences.is_empty() {
            return Err(ReportError::IncomparableRuns {
                first: all.name.to_string(),
                second: other.name.to_string(),
                differences,
            });
        }
        merge_into(&mut all, other);
    }
    all.counts.pictures = all.parts.iter().map(|part| part.rows).sum();
    Ok(all)
}

fn differences(a: &RunRecord, b: &RunRecord) -> Vec<String> {
    let mut differences = Vec::new();
    if a.fingerprint != b.fingerprint {
        differences.push(format!("fingerprint ({} and {})", a.fingerprint, b.fingerprint));
        differences.extend(a.spec.differences(&b.spec));
    }
    differences.extend(metric_differences(a, b));
    for dataset in &a.spec.datasets {
        let Some(other) = b.spec.datasets.iter().find(|other| other.name == dataset.name) else { continue };
        differences.extend(dataset_differences(dataset, other));
    }
    if a.metrics() != b.metrics() {
        // The keys of parts contain the fingerprint, so they say nothing about the pictures.
        return differences;
    }
    let parts_of_b = parts(b);
    for (cell, parts_of_a) in &parts(a) {
        if parts_of_b.get(cell).is_some_and(|parts_of_b| parts_of_b != parts_of_a) {
            differences.push(format!("both have {} on data set {}, of different pictures or labels", cell.1, cell.0));
        }
    }
    differences
}

/// Returns how two data sets of one name differ.
pub(super) fn dataset_differences(a: &DatasetSpec, b: &DatasetSpec) -> Vec<String> {
    let protocol = |protocol: &Option<String>| protocol.clone().unwrap_or_else(|| "pooled".to_owned());
    let fields = [
        ("root", a.root.clone(), b.root.clone()),
        ("protocol", protocol(&a.protocol), protocol(&b.protocol)),
        ("definition", a.definition.clone(), b.definition.clone()),
    ];
    let unequal = fields.iter().filter(|(_, a, b)| a != b);
    let text = |(field, first, second): &(&str, String, String)| {
        format!("{field} of data set {} ({} and {})", a.name, first.trim(), second.trim())
    };
    unequal.map(text).collect()
}

/// Returns the metrics that only one of the runs has, and those of one name that have different fingerprints or directions.
/// The fingerprint of CLIP-DQA is that of the record.
fn metric_differences(a: &RunRecord, b: &RunRecord) -> Vec<String> {
    let names = |run: &RunRecord| run.metrics().iter().map(|metric| metric.name.clone()).collect::<BTreeSet<_>>();
    let mut differences = Vec::new();
    if names(a) != names(b) {
        let list = |run| names(run).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        differences.push(format!("metrics ({} and {})", list(a), list(b)));
    }
    for metric in a.metrics().iter().filter(|metric| !metric.is_clip_dqa()) {
        let Some(other) = b.metrics().into_iter().find(|other| other.name == metric.name) else { continue };
        if metric.fingerprint != other.fingerprint {
            let (a, b) = (&metric.fingerprint, other.fingerprint);
            differences.push(format!("fingerprint of metric {} ({a} and {b})", metric.name));
        }
        if metric.direction != other.direction {
            differences
                .push(format!("direction of metric {} ({} and {})", metric.name, metric.direction, other.direction));
        }
    }
    differences
}

/// Returns the keys of the parts by data set and algorithm. Equal keys mean equal content.
fn parts(run: &RunRecord) -> BTreeMap<(&DatasetName, &AlgorithmName), BTreeSet<&str>> {
    let mut parts: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    for part in &run.parts {
        parts.entry((&part.dataset, &part.algorithm)).or_default().insert(&part.key);
    }
    parts
}

fn merge_into(all: &mut RunRecord, other: &RunRecord) {
    let joined = format!("{}+{}", all.name, other.name);
    // The joined name may be longer than a name may be.
    all.name = joined.parse().unwrap_or_else(|_| all.name.clone());
    for dataset in &other.spec.datasets {
        match all.spec.datasets.iter_mut().find(|known| known.name == dataset.name) {
            Some(known) => {
                let new = dataset.algorithms.iter().filter(|name| !known.algorithms.contains(name)).cloned();
                let new: Vec<AlgorithmName> = new.collect();
                known.algorithms.extend(new);
                match (&mut known.seen_in_training, &dataset.seen_in_training) {
                    (Some(known), Some(seen)) => known.add(seen),
                    (known @ None, Some(seen)) => *known = Some(seen.clone()),
                    (_, None) => {}
                }
            }
            None => all.spec.datasets.push(dataset.clone()),
        }
    }
    let known: BTreeSet<String> = all.parts.iter().map(|part| part.key.clone()).collect();
    let new: Vec<PartRef> = other.parts.iter().filter(|part| !known.contains(&part.key)).cloned().collect();
    all.parts.extend(new);
    if all.spec.remark.is_none() {
        all.spec.remark.clone_from(&other.spec.remark);
    }
}
