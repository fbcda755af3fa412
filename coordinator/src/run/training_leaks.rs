//! Marks the scenes of a run's data sets that its model was trained on in the run's record, where reports and commands
//! find them.

use std::collections::BTreeSet;

use dqa_pipelines::dataset::{Picture, SceneKey};
use dqa_pipelines::run::DatasetSpec;
use dqa_pipelines::trained_on::TrainedOn;

use super::plan::RunPlan;

/// Marks the scenes of each data set that were seen in training. `specs` are those of the plan's data sets, in their
/// order.
pub(super) fn mark_training_scenes(specs: &mut [DatasetSpec], plan: &RunPlan, trained_on: &TrainedOn) {
    if trained_on.is_empty() {
        return;
    }
    for (spec, measured) in specs.iter_mut().zip(&plan.datasets) {
        let scenes: BTreeSet<SceneKey> = measured.dataset.pictures.iter().map(Picture::scene_key).collect();
        spec.seen_in_training = trained_on.find_seen((&spec.name, &spec.source()), &scenes);
    }
}
