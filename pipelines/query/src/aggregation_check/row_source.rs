//! The rows of runs at a step of a plan: which runs they may come from, and which columns identify the run.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::{Column, DFSchema, ScalarValue};

/// The kind of table that rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowKind {
    /// The table `scores`. If runs share parts, it has their rows once for each run.
    Scores,
    /// A report table. Each run has its own rows.
    Report,
    /// The table `runs`.
    Runs,
}

/// Rows that come from runs, at the output of a plan's step.
#[derive(Clone, Debug)]
pub(super) struct RowSource {
    pub(super) kind: RowKind,
    /// The runs whose rows may be present.
    pub(super) runs: BTreeSet<usize>,
    /// The columns that a row's run determines, by column index, with the value for each run.
    pub(super) columns: BTreeMap<usize, Vec<ScalarValue>>,
    /// Whether no row occurs twice.
    pub(super) is_distinct: bool,
    /// Whether all rows belong to a single run, which is not known.
    pub(super) is_pinned: bool,
}

impl RowSource {
    pub(super) fn column(&self, column: &Column, schema: &DFSchema) -> Option<&Vec<ScalarValue>> {
        self.columns.get(&schema.maybe_index_of_column(column)?)
    }

    /// Returns the source of the rows of both.
    pub(super) fn union(mut self, other: RowSource) -> RowSource {
        let both: Vec<usize> = self.runs.intersection(&other.runs).copied().collect();
        let mut columns = BTreeMap::new();
        for (index, mut values) in std::mem::take(&mut self.columns) {
            let Some(others) = other.columns.get(&index) else { continue };
            if both.iter().any(|run| values[*run] != others[*run]) {
                continue;
            }
            for run in &other.runs {
                values[*run].clone_from(&others[*run]);
            }
            columns.insert(index, values);
        }
        RowSource {
            kind: if self.kind == RowKind::Runs { other.kind } else { self.kind },
            runs: self.runs.union(&other.runs).copied().collect(),
            columns,
            is_distinct: false,
            is_pinned: false,
        }
    }
}
