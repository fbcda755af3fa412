//! The data sets that weights and prompts were trained on, as `model show` shows them.

use dqa_engine::models::RecordedTraining;
use dqa_pipelines::count_text::count_text;
use dqa_pipelines::trained_on::{Scenes, TrainedOn, TrainingSet};
use serde::Serialize;

/// A file's record of its training, or the reason why it cannot be read.
#[derive(Serialize)]
pub(super) struct TrainingDescription {
    /// None if nothing is recorded, or the record cannot be read.
    trained_on: Option<TrainedOn>,
    /// Why the record cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    trained_on_error: Option<String>,
}

impl From<RecordedTraining> for TrainingDescription {
    fn from(training: RecordedTraining) -> TrainingDescription {
        match training {
            RecordedTraining::Recorded(trained_on) => {
                TrainingDescription { trained_on: Some(trained_on), trained_on_error: None }
            }
            RecordedTraining::NotRecorded => TrainingDescription { trained_on: None, trained_on_error: None },
            RecordedTraining::Unreadable { why, .. } => {
                TrainingDescription { trained_on: None, trained_on_error: Some(why) }
            }
        }
    }
}

impl TrainingDescription {
    /// Returns a line for each data set, or one line that says that nothing is known.
    pub(super) fn lines(&self) -> Vec<String> {
        match (&self.trained_on, &self.trained_on_error) {
            (Some(record), _) => record.datasets.iter().flat_map(dataset_lines).collect(),
            (None, Some(reason)) => vec![format!("recorded, and cannot be read: {reason}")],
            (None, None) => vec!["not recorded".to_owned()],
        }
    }
}

fn dataset_lines(set: &TrainingSet) -> Vec<String> {
    let count = |scenes: &Scenes| count_text(scenes.len());
    let mut line = format!("{}: {} scenes", set.dataset, count(&set.train));
    if !set.selection.is_empty() {
        line += &format!(", and {} that chose the epoch", count(&set.selection));
    }
    let splits: Vec<String> =
        set.splits.iter().map(|split| format!("{} of splits {}", split.split, split.splits)).collect();
    if !splits.is_empty() {
        line += &format!("; split {}", splits.join(", "));
    }
    let source = set.source.as_ref().map(|source| format!("  from {}", source.root));
    let remark = set.remark.as_ref().map(|remark| format!("  {remark}"));
    std::iter::once(line).chain(source).chain(remark).collect()
}
