//! Scores and labels of a metric on a data set, as a run keeps them for its pages.

use dqa_pages::{LabelGap, Scatter};

/// Scores and labels, prepared for charts.
#[derive(Debug)]
pub(crate) struct ScatterData {
    pub(crate) scatter: Option<Scatter>,
    /// The pictures that score and label rank most differently.
    pub(crate) gaps: Vec<LabelGap>,
}
