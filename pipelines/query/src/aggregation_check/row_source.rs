//! The rows of runs at a step of a plan: which runs and metrics they may come from, and which columns identify these.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::{Column, DFSchema, ScalarValue};

/// The kind of table that rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowKind {
    /// The table `scores`. If runs share parts, it has their rows once for each run.
    Scores,
    /// A report table. Each run has its own rows.
    Report,
    /// The table `runs`. A run has one row, whatever its metrics.
    Runs,
}

/// Rows that come from runs, at the output of a plan's step.
#[derive(Clone, Debug)]
pub(super) struct RowSource {
    pub(super) kind: RowKind,
    /// The indices of the origins whose rows may be present.
    pub(super) origins: BTreeSet<usize>,
    /// The columns that a row's origin determines, by column index, with the value for each origin.
    pub(super) columns: BTreeMap<usize, Vec<ScalarValue>>,
    /// Whether no row occurs twice.
    pub(super) is_distinct: bool,
    /// Whether all rows have a single origin, which is not known, or origins without a conflict.
    pub(super) is_pinned: bool,
}

impl RowSource {
    pub(super) fn column(&self, column: &Column, schema: &DFSchema) -> Option<&Vec<ScalarValue>> {
        self.columns.get(&schema.maybe_index_of_column(column)?)
    }

    /// Returns the source of the rows of both.
    pub(super) fn union(mut self, other: RowSource) -> RowSource {
        let both: Vec<usize> = self.origins.intersection(&other.origins).copied().collect();
        let mut columns = BTreeMap::new();
        for (index, mut values) in std::mem::take(&mut self.columns) {
            let Some(others) = other.columns.get(&index) else { continue };
            if both.iter().any(|origin| values[*origin] != others[*origin]) {
                continue;
            }
            for origin in &other.origins {
                values[*origin].clone_from(&others[*origin]);
            }
            columns.insert(index, values);
        }
        RowSource {
            kind: if self.kind == RowKind::Runs { other.kind } else { self.kind },
            origins: self.origins.union(&other.origins).copied().collect(),
            columns,
            is_distinct: false,
            is_pinned: false,
        }
    }
}
