//! The runs of a session: what their records and parts say that decides which of their rows may be combined.

use std::collections::{BTreeSet, HashMap};

use arrow::array::RecordBatch;
use dqa_pipelines::run::RunState;
use dqa_pipelines::status::{RunStatus, shortfall};
use dqa_pipelines::tables::runs::{self, RunRow};

/// The runs of a session.
#[derive(Debug)]
pub(crate) struct SelectedRuns {
    pub(crate) rows: Vec<RunRow>,
    /// The table `runs`: the values that a run's name determines.
    pub(crate) table: RecordBatch,
    /// Pairs of runs that share parts, lower index first.
    pub(crate) sharing_pairs: BTreeSet<(usize, usize)>,
    /// A sentence for each run that is not complete.
    pub(crate) shortfalls: Vec<String>,
}

impl SelectedRuns {
    pub(crate) fn new(statuses: &[RunStatus]) -> SelectedRuns {
        let rows: Vec<RunRow> = statuses.iter().map(RunRow::from).collect();
        let mut by_part: HashMap<&str, Vec<usize>> = HashMap::new();
        for (run, status) in statuses.iter().enumerate() {
            for part in &status.record.parts {
                by_part.entry(&part.key).or_default().push(run);
            }
        }
        let mut sharing_pairs = BTreeSet::new();
        for runs in by_part.values() {
            for (index, first) in runs.iter().enumerate() {
                sharing_pairs
                    .extend(runs[index + 1..].iter().filter(|second| *second != first).map(|second| (*first, *second)));
            }
        }
        let incomplete = statuses.iter().filter(|status| status.state != RunState::Complete);
        let shortfalls =
            incomplete.map(|run| shortfall(run.record.name.as_str(), &run.state.to_string(), &run.progress)).collect();
        SelectedRuns { table: runs::to_batch(&rows), rows, sharing_pairs, shortfalls }
    }

    /// Returns whether rows of two runs must not be aggregated together: their models differ or, with `include_shared`,
    /// they share parts.
    pub(crate) fn is_conflict(&self, a: usize, b: usize, include_shared: bool) -> bool {
        let is_shared = || include_shared && self.sharing_pairs.contains(&(a.min(b), a.max(b)));
        a != b && (self.rows[a].fingerprint != self.rows[b].fingerprint || is_shared())
    }
}
