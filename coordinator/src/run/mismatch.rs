//! Compares a submission with the run that already has its name. A submission that only adds to the run resumes it; any
//! other submission is another run and needs another name.

use std::collections::{BTreeMap, BTreeSet};

use dqa_pipelines::metric::MetricSpec;
use dqa_pipelines::names::{AlgorithmName, DatasetName, RunName};
use dqa_pipelines::run::RunRecord;

use super::plan::RunPlan;
use super::submission::Submission;

/// The run of the same name has something that is not submitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("run `{run}` of {created} is another run: {differs}")]
pub struct RunMismatch {
    run: RunName,
    created: String,
    differs: String,
}

impl RunMismatch {
    /// The hint for users.
    pub const HINT: &'static str = "give this one another --name; a run is resumed if everything that it has (metrics too) is submitted again, with or without more";
}

/// Checks that the run of a submission's name has scores.
pub(super) fn check_scores(earlier: &RunRecord) -> Result<(), RunMismatch> {
    if earlier.is_training() { Err(mismatch(earlier, "it trains".to_owned())) } else { Ok(()) }
}

fn mismatch(earlier: &RunRecord, differs: String) -> RunMismatch {
    let created = earlier.created.strftime("%Y-%m-%d %H:%M").to_string();
    RunMismatch { run: earlier.name.clone(), created, differs }
}

/// Checks that a submission has all that the run of its name has.
pub(super) fn check(submission: &Submission, earlier: &RunRecord) -> Result<(), RunMismatch> {
    let mut differs = Vec::new();
    let has_model = earlier.metrics().iter().any(MetricSpec::is_clip_dqa);
    if has_model && submission.fingerprint.is_empty() {
        differs.push("metrics (it has clip-dqa, with its model)".to_owned());
    } else if has_model && earlier.fingerprint != submission.fingerprint {
        let other_settings = earlier.spec.differences(&submission.spec());
        if other_settings.is_empty() {
            differs.push("the content of the model".to_owned());
        } else {
            differs.extend(other_settings);
        }
    }
    differs.extend(metric_difference(submission, earlier));
    differs.extend(differences(submission, earlier));
    if differs.is_empty() { Ok(()) } else { Err(mismatch(earlier, differs.join(", "))) }
}

/// Returns the metrics that the earlier run has and the submission lacks, or has with another fingerprint. CLIP-DQA is
/// compared by its settings.
fn metric_difference(submission: &Submission, earlier: &RunRecord) -> Option<String> {
    let is_submitted = |metric: &MetricSpec| submission.metrics.contains(metric);
    let earlier = earlier.metrics();
    let lacking = earlier.iter().filter(|metric| !metric.is_clip_dqa() && !is_submitted(metric));
    let lacking: Vec<&str> = lacking.map(|metric| metric.name.as_str()).collect();
    (!lacking.is_empty()).then(|| format!("metrics ({}, with or without other parameters)", lacking.join(", ")))
}

/// Returns the algorithms of each data set that the run has parts of.
fn algorithms(record: &RunRecord) -> BTreeMap<&DatasetName, BTreeSet<&AlgorithmName>> {
    let mut algorithms: BTreeMap<&DatasetName, BTreeSet<&AlgorithmName>> = BTreeMap::new();
    for part in &record.parts {
        algorithms.entry(&part.dataset).or_default().insert(&part.algorithm);
    }
    algorithms
}

/// Returns the data sets, hazy inputs and algorithms that the earlier run has and the submission does not.
fn differences(submission: &Submission, earlier: &RunRecord) -> Vec<String> {
    let mut differs = Vec::new();
    let algorithms = algorithms(earlier);
    let names: BTreeSet<&DatasetName> = submission.definitions.iter().map(|definition| &definition.name).collect();
    if algorithms.keys().any(|name| !names.contains(*name)) {
        differs.push(format!("data sets ({} and {})", join_names(algorithms.keys()), join_names(&names)));
    }
    let is_all = submission.algorithms.is_empty() || submission.algorithms.iter().any(|name| name == "all");
    for (dataset, present) in algorithms.iter().filter(|(name, _)| names.contains(*name)) {
        let spec = earlier.spec.datasets.iter().find(|spec| spec.name == **dataset);
        let hazy = spec.and_then(|spec| spec.hazy.as_ref());
        if hazy.is_some() && !submission.with_hazy {
            differs.push(format!("the hazy inputs of {dataset} (--with-hazy and without)"));
        }
        let is_hazy =
            |name: &AlgorithmName| Some(name) == hazy || submission.with_hazy && name.as_str().starts_with("hazy");
        let is_submitted =
            |name: &AlgorithmName| submission.algorithms.iter().any(|submitted| submitted == name.as_str());
        let ranked: BTreeSet<_> = present.iter().filter(|name| !is_hazy(name)).collect();
        if !is_all && ranked.iter().any(|name| !is_submitted(name)) {
            let submitted: BTreeSet<&String> = submission.algorithms.iter().collect();
            differs.push(format!("algorithms of {dataset} ({} and {})", join_names(ranked), join_names(submitted)));
        }
    }
    differs
}

fn join_names<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    names.join(", ")
}

/// Returns a line for each algorithm that a run had rows of and its new plan lacks: its folder is gone, or is not taken
/// for an algorithm's any more.
pub fn dropped_rows(earlier: &RunRecord, plan: &RunPlan) -> Vec<String> {
    let mut lines = Vec::new();
    for (dataset, earlier_names) in algorithms(earlier) {
        let Some(data) = plan.datasets.iter().map(|measured| &measured.dataset).find(|data| data.name == *dataset)
        else {
            lines.push(format!("run {} had rows of data set {dataset}, and has none now", earlier.name));
            continue;
        };
        let names = data.algorithms();
        for name in earlier_names.into_iter().filter(|name| !names.contains(name)) {
            let is_set_apart = data.excluded.iter().any(|folder| folder.name == *name);
            let reason = if is_set_apart {
                format!("it is taken for no algorithm now: --algos all,{name} --name NAME ranks it in a run of its own")
            } else {
                "the data set no longer has it".to_owned()
            };
            lines.push(format!("run {} had ranked `{name}` of data set {dataset}: {reason}", earlier.name));
        }
    }
    lines
}
