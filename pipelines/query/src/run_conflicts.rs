//! The runs of a session: what their records and parts say that decides which of their rows may be combined.

use std::collections::{BTreeSet, HashMap};

use arrow::array::RecordBatch;
use dqa_pipelines::run::RunState;
use dqa_pipelines::status::{RunStatus, shortfall};
use dqa_pipelines::tables::runs::{self, RunRow};

/// The origin of a row: a run and one of its metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowOrigin {
    /// The run's name.
    pub(crate) run: String,
    /// The run's row in the table `runs`.
    pub(crate) run_row: usize,
    /// The metric's name.
    pub(crate) metric: String,
    /// The metric's fingerprint.
    pub(crate) fingerprint: String,
}

/// The runs of a session.
#[derive(Debug)]
pub(crate) struct SelectedRuns {
    /// The metrics of all runs.
    pub(crate) origins: Vec<RowOrigin>,
    /// The table `runs`: the values that a run's name determines.
    pub(crate) table: RecordBatch,
    /// Pairs of origins that share parts, lower index first.
    pub(crate) sharing_pairs: BTreeSet<(usize, usize)>,
    /// A sentence for each run that is not complete.
    pub(crate) shortfalls: Vec<String>,
}

impl SelectedRuns {
    pub(crate) fn new(statuses: &[RunStatus]) -> SelectedRuns {
        let mut origins = Vec::new();
        let mut by_part: HashMap<&str, Vec<usize>> = HashMap::new();
        for (run_row, RunStatus { record, .. }) in statuses.iter().enumerate() {
            for metric in record.metrics() {
                for part in record.parts.iter().filter(|part| part.is_of(&metric)) {
                    by_part.entry(&part.key).or_default().push(origins.len());
                }
                let (run, fingerprint) = (record.name.to_string(), metric.fingerprint);
                origins.push(RowOrigin { run, run_row, metric: metric.name.to_string(), fingerprint });
            }
        }
        let mut sharing_pairs = BTreeSet::new();
        for sharing in by_part.values() {
            for (index, first) in sharing.iter().enumerate() {
                let others = sharing[index + 1..].iter().filter(|second| *second != first);
                sharing_pairs.extend(others.map(|second| (*first, *second)));
            }
        }
        let incomplete = statuses.iter().filter(|status| status.state != RunState::Complete);
        let shortfalls =
            incomplete.map(|run| shortfall(run.record.name.as_str(), &run.state.to_string(), &run.progress)).collect();
        let rows: Vec<RunRow> = statuses.iter().map(RunRow::from).collect();
        SelectedRuns { origins, table: runs::to_batch(&rows), sharing_pairs, shortfalls }
    }

    /// Returns whether any rows must not be aggregated together.
    pub(crate) fn has_conflicts(&self) -> bool {
        self.origins.windows(2).any(|pair| pair[0].is_unlike(&pair[1])) || !self.sharing_pairs.is_empty()
    }

    /// Returns whether rows of two origins must not be aggregated together: they are of two metrics or fingerprints or,
    /// with `include_shared`, the runs share parts.
    pub(crate) fn is_conflict(&self, a: usize, b: usize, include_shared: bool) -> bool {
        let is_shared = || include_shared && self.sharing_pairs.contains(&(a.min(b), a.max(b)));
        a != b && (self.origins[a].is_unlike(&self.origins[b]) || is_shared())
    }
}

impl RowOrigin {
    /// Returns whether the values are of two metrics, or of two fingerprints of one.
    fn is_unlike(&self, other: &RowOrigin) -> bool {
        (&self.metric, &self.fingerprint) != (&other.metric, &other.fingerprint)
    }
}
