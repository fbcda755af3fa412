//! Scenes that the model, or its prompts, saw in training: agreement with labels is taken of the others too, for what was
//! learned agrees with its own labels better than with anybody's. Pure.

use std::fmt::Write;

use super::load::Rows;
use super::{Head, ReportOptions, correlations};
use crate::run::RunSpec;
use crate::tables::correlations::CorrelationRow;
use crate::trained_on::SeenScenes;

/// The group of the scenes that were not seen, in the table.
pub const HELD_OUT: &str = "held_out";

/// The group of those that were.
pub const SEEN: &str = "seen";

/// Adds the rows of held-out and of seen scenes behind the row of all, where some were seen.
pub(super) fn add(
    table: &mut Vec<CorrelationRow>,
    rows: &Rows,
    (head, seen): (&Head<'_>, Option<&SeenScenes>),
    options: &ReportOptions,
) {
    let Some(seen) = seen.filter(|_| !table.is_empty()) else { return };
    let is_seen: Vec<bool> = rows.scene_texts().iter().map(|scene| seen.contains(scene)).collect();
    for (place, (kind, wanted)) in [(HELD_OUT, false), (SEEN, true)].into_iter().enumerate() {
        let part = rows.of_scenes(|scene| is_seen[scene as usize] == wanted);
        if let Some(row) = correlations::of_all(&part, head, options) {
            table.insert(place + 1, CorrelationRow { group_kind: kind.to_owned(), ..row });
        }
    }
}

/// Whether a row is what a run ends with: of a data set's pictures together, or of what was held out of training.
pub fn is_in_summary(row: &CorrelationRow) -> bool {
    matches!(row.group_kind.as_str(), "all" | HELD_OUT | SEEN)
}

/// What such a row is called in text; None: it is of another kind.
pub(super) fn described(row: &CorrelationRow) -> Option<&'static str> {
    match row.group_kind.as_str() {
        HELD_OUT => Some("held out of training"),
        SEEN => Some("seen in training"),
        _ => None,
    }
}

/// The foot's lines about what was seen in training.
pub(super) fn notes(spec: &RunSpec) -> String {
    let mut text = String::new();
    for leak in spec.training_leaks() {
        let _ = writeln!(text, "NOTE: {leak}");
    }
    text
}
