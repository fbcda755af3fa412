//! Correlations of held-out scenes: those that neither the model nor its prompts saw in training. A model agrees better with the
//! labels that it was trained on than with other labels, so the correlations of all scenes are optimistic. Pure.

use std::fmt::Write;

use super::correlations;
use super::dataset_scores::DatasetScores;
use super::options::ReportOptions;
use super::row_context::RowContext;
use crate::run::RunSpec;
use crate::tables::correlations::CorrelationRow;
use crate::trained_on::SeenScenes;

/// The `group_kind` of scenes that were not seen in training.
pub const HELD_OUT: &str = "held_out";

/// The `group_kind` of scenes that were seen in training.
pub const SEEN: &str = "seen";

/// Inserts the rows of held-out and of seen scenes after the row of all scenes, if any scene was seen.
pub(super) fn insert_rows(
    table: &mut Vec<CorrelationRow>,
    rows: &DatasetScores,
    (context, seen): (&RowContext<'_>, Option<&SeenScenes>),
    options: &ReportOptions,
) {
    let Some(seen) = seen.filter(|_| !table.is_empty()) else { return };
    let is_seen: Vec<bool> = rows.scene_names().iter().map(|scene| seen.contains(scene)).collect();
    for (index, (kind, wanted)) in [(HELD_OUT, false), (SEEN, true)].into_iter().enumerate() {
        let part = rows.filter_scenes(|scene| is_seen[scene as usize] == wanted);
        if let Some(row) = correlations::pooled_row(&part, context, options) {
            table.insert(index + 1, CorrelationRow { group_kind: kind.to_owned(), ..row });
        }
    }
}

/// Returns whether a row belongs to the summary that is printed after a run: all pictures of a data set, held-out scenes, seen scenes.
pub fn is_in_summary(row: &CorrelationRow) -> bool {
    matches!(row.group_kind.as_str(), "all" | HELD_OUT | SEEN)
}

/// Returns the label of a row of held-out or seen scenes in text tables, or None for a row of another kind.
pub(super) fn row_label(row: &CorrelationRow) -> Option<&'static str> {
    match row.group_kind.as_str() {
        HELD_OUT => Some("held out of training"),
        SEEN => Some("seen in training"),
        _ => None,
    }
}

/// Returns the footnotes about scenes that were seen in training.
pub(super) fn training_notes(spec: &RunSpec) -> String {
    let mut text = String::new();
    for leak in spec.training_leaks() {
        let _ = writeln!(text, "NOTE: {leak}");
    }
    text
}
