//! What `model show` says of what weights and prompts were trained on.

use dqa_engine::models::Training;
use dqa_pipelines::trained_on::{Scenes, TrainedOn, TrainingSet};
use serde::Serialize;

use super::grouped;

/// What a file says of its training, as JSON: the record, or why there is none.
#[derive(Serialize)]
pub(super) struct ShownTraining {
    /// None: nothing is recorded, or it cannot be read.
    trained_on: Option<TrainedOn>,
    /// Why the record cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    trained_on_error: Option<String>,
}

impl From<Training> for ShownTraining {
    fn from(training: Training) -> ShownTraining {
        match training {
            Training::Recorded(trained_on) => ShownTraining { trained_on: Some(trained_on), trained_on_error: None },
            Training::NotRecorded => ShownTraining { trained_on: None, trained_on_error: None },
            Training::Unreadable { why, .. } => ShownTraining { trained_on: None, trained_on_error: Some(why) },
        }
    }
}

impl ShownTraining {
    /// A line for each data set, or one that says that nothing is known.
    pub(super) fn lines(&self) -> Vec<String> {
        match (&self.trained_on, &self.trained_on_error) {
            (Some(record), _) => record.datasets.iter().flat_map(lines_of).collect(),
            (None, Some(why)) => vec![format!("recorded, and cannot be read: {why}")],
            (None, None) => vec!["not recorded".to_owned()],
        }
    }
}

fn lines_of(set: &TrainingSet) -> Vec<String> {
    let scenes = |scenes: &Scenes| grouped(scenes.len());
    let mut line = format!("{}: {} scenes", set.dataset, scenes(&set.train));
    if !set.selection.is_empty() {
        line += &format!(", and {} that chose the epoch", scenes(&set.selection));
    }
    let splits: Vec<String> = set.splits.iter().map(|of| format!("{} of splits {}", of.split, of.splits)).collect();
    if !splits.is_empty() {
        line += &format!("; split {}", splits.join(", "));
    }
    let source = set.source.as_ref().map(|source| format!("  from {}", source.root));
    let remark = set.remark.as_ref().map(|remark| format!("  {remark}"));
    std::iter::once(line).chain(source).chain(remark).collect()
}
