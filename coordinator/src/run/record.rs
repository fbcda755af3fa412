//! Builds the record of a run: from a submission, then from its plan. The same for a command and for a coordinator.

use std::collections::BTreeMap;

use dqa_pipelines::names::RunName;
use dqa_pipelines::run::{RunCounts, RunRecord, RunSpec, RunState};
use dqa_pipelines::trained_on::TrainedOn;
use dqa_service::program::host;
use jiff::Timestamp;

use super::mismatch::{self, RunMismatch};
use super::plan::RunPlan;
use super::submission::Submission;
use super::training_leaks::mark_training_scenes;

impl Submission {
    /// Makes the run's record as it is before the data sets are listed. Until then it keeps the parts and counts of the
    /// earlier record of its name.
    ///
    /// # Errors
    /// If the earlier run has something that is not submitted, or has another model.
    pub fn new_record(
        &self,
        name: RunName,
        earlier: Option<&RunRecord>,
        provenance: BTreeMap<String, String>,
    ) -> Result<RunRecord, RunMismatch> {
        let spec = self.spec();
        // A run that was never planned has no rows to lose.
        earlier.map_or(Ok(()), mismatch::check_scores)?;
        let earlier_planned = earlier.filter(|earlier| !earlier.parts.is_empty());
        earlier_planned.map_or(Ok(()), |earlier| mismatch::check(self, earlier))?;
        let now = Timestamp::now();
        Ok(RunRecord {
            name,
            state: RunState::Planning,
            created: earlier.map_or(now, |earlier| earlier.created),
            updated: now,
            spec,
            fingerprint: self.fingerprint.clone(),
            counts: earlier_planned.map_or_else(RunCounts::default, |earlier| earlier.counts),
            counted: earlier_planned.and_then(|earlier| earlier.counted.clone()),
            training_counts: None,
            parts_digest: None,
            term: earlier.and_then(|earlier| earlier.term),
            provenance,
            parts: earlier_planned.map_or_else(Vec::new, |earlier| earlier.parts.clone()),
            request: None,
            failure: None,
            hint: None,
        })
    }
}

/// Returns the provenance that every run's record has: the version of dqa, and the host that planned the run.
pub fn provenance() -> BTreeMap<String, String> {
    BTreeMap::from([("dqa".to_owned(), env!("CARGO_PKG_VERSION").to_owned()), ("host".to_owned(), host())])
}

/// Writes a plan into a run's record. `trained_on` is what the run's model was trained on.
pub fn record_plan(record: &mut RunRecord, plan: &RunPlan, trained_on: &TrainedOn) {
    record.spec.datasets = plan.dataset_specs();
    mark_training_scenes(&mut record.spec.datasets, plan, trained_on);
    record.parts = plan.part_refs();
    // A metric that no data set has the pictures for was left out.
    let parts = &record.parts;
    record.spec.metrics.retain(|metric| parts.is_empty() || parts.iter().any(|part| part.is_of(metric)));
    if record.counts != plan.counts() {
        (record.counts, record.counted) = (plan.counts(), None);
    }
    (record.failure, record.hint) = (None, None);
}

/// Returns whether an earlier run is complete and has exactly what is submitted and planned now, on any device.
pub fn is_satisfied_by(record: &RunRecord, earlier: &RunRecord) -> bool {
    let spec = RunSpec { device: record.spec.device.clone(), ..earlier.spec.clone() };
    earlier.state == RunState::Complete && earlier.parts == record.parts && spec == record.spec
}

/// Returns the key-value pairs about the run for the metadata of each part's file.
pub fn part_metadata(record: &RunRecord) -> Vec<(String, String)> {
    let mut spec = record.spec.clone();
    // The scenes seen in training can be many, and the run's record has them.
    spec.datasets.iter_mut().for_each(|dataset| dataset.seen_in_training = None);
    let spec = serde_json::to_string(&spec).expect("a spec has strings for keys");
    vec![("dqa.run".to_owned(), record.name.to_string()), ("dqa.spec".to_owned(), spec)]
}
