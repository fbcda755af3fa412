//! Scenes of a run's data sets that its model was trained on: they are marked in the run's record, which is where reports
//! and commands find them.

use std::collections::BTreeSet;

use dqa_pipelines::dataset::{Picture, SceneKey};
use dqa_pipelines::run::DatasetSpec;
use dqa_pipelines::trained_on::TrainedOn;

use super::Work;

/// Marks the scenes of each data set that were seen in training. `specs` are those of the work, in its order.
pub(super) fn mark_seen(specs: &mut [DatasetSpec], work: &Work, trained_on: &TrainedOn) {
    if trained_on.is_empty() {
        return;
    }
    for (spec, measured) in specs.iter_mut().zip(&work.datasets) {
        let scenes: BTreeSet<SceneKey> = measured.dataset.pictures.iter().map(Picture::scene_key).collect();
        spec.seen_in_training = trained_on.seen_in((&spec.name, &spec.source()), &scenes);
    }
}
