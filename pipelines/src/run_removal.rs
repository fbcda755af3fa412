//! Removes runs: their reports, their records, and the parts that no other run names. It does not know who asks, and does not
//! keep others from beginning to work on the runs; its callers do.
//!
//! The order is such that a removal that is interrupted leaves nothing that [`crate::store_check`] does not find: first the
//! tables of the reports, which can be made again as long as the record is there; then the record; then the parts, which are
//! orphans from then on and are removed as all orphans are, so that a run that begins meanwhile loses none.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures::TryStreamExt;

use crate::named_parts::NamedParts;
use crate::names::{DatasetName, RunName};
use crate::part_removal::remove_unnamed;
use crate::registry;
use crate::run::{RUNS, RecordWriter, RunRecord, RunRecordError, RunState, StoredRuns};
use crate::run_process::RunProcess;
use crate::run_progress::ProgressCounter;
use crate::status::{RunOwner, RunStatus};
use crate::store::{Object, Store, StoreError};
use crate::tables::scores::dataset_folder;
use crate::tables::{REPORT_TABLES, report_key};
use crate::{Hint, causes};

/// What removing some runs frees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunRemoval {
    /// The runs.
    pub runs: Vec<RunName>,
    /// The parts that no other run names.
    pub parts: Vec<FreedPart>,
    /// The number of the runs' parts that stay, because other runs name them.
    pub parts_kept: usize,
    /// The number of tables of the runs' reports.
    pub tables: usize,
    /// The length of all that is not a part: tables, records, and what else is in the runs' folders.
    other_bytes: u64,
    /// The data sets of the runs.
    datasets: BTreeSet<DatasetName>,
}

/// A part that is freed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreedPart {
    /// Its key.
    pub key: String,
    /// Its rows, as planned. 0 if it holds what was kept of a part that was not finished.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
}

/// Why runs cannot be removed.
#[derive(Debug, thiserror::Error)]
pub enum RunRemovalError {
    /// The store failed, or a run's record cannot be read.
    #[error(transparent)]
    Run(#[from] RunRecordError),
    /// The record of another run cannot be read.
    #[error("the record of run `{run}` cannot be read, and it may name the same parts: {reason}")]
    Unreadable {
        /// The other run.
        run: RunName,
        /// Why it cannot be read.
        reason: String,
    },
    /// A process or a coordinator works on the run.
    #[error("run `{run}` is {state}{}", owner.as_ref().map_or(String::new(), |owner| format!(": {owner} works on it")))]
    Active {
        /// The run.
        run: RunName,
        /// Its state.
        state: RunState,
        /// Who works on it, if that is known.
        owner: Option<RunOwner>,
    },
}

impl From<StoreError> for RunRemovalError {
    fn from(error: StoreError) -> RunRemovalError {
        RunRemovalError::Run(error.into())
    }
}

impl Hint for RunRemovalError {
    fn hint(&self) -> Option<String> {
        match self {
            RunRemovalError::Run(error) => error.hint(),
            RunRemovalError::Unreadable { .. } => Some("`dqa-coord store check` says what to do about it".to_owned()),
            RunRemovalError::Active { owner: Some(RunOwner::Process(process)), .. } => {
                Some(format!("wait for its end, or end process {} on {} first", process.id, process.host))
            }
            RunRemovalError::Active { run, .. } => Some(format!(
                "`dqa-coord cancel {run}` on its coordinator cancels it; if its coordinator is gone, `dqa-coord serve` on \
                 this store starts another"
            )),
        }
    }
}

impl RunRemoval {
    /// Returns the same removal without the parts that were not removed.
    pub fn with_removed(mut self, removed: &[String]) -> RunRemoval {
        let removed: HashSet<&String> = removed.iter().collect();
        let planned = self.parts.len();
        self.parts.retain(|part| removed.contains(&part.key));
        self.parts_kept += planned - self.parts.len();
        self
    }

    /// Finds what removing these runs frees. Changes nothing.
    ///
    /// # Errors
    /// If a run does not exist or is active, if a record cannot be read, or the store fails.
    pub async fn plan(store: &Store, runs: &[RunName]) -> Result<RunRemoval, RunRemovalError> {
        let StoredRuns { mut records, trainings, unreadable } = StoredRuns::read(store).await?;
        records.extend(trainings);
        if let Some((run, error)) = unreadable.into_iter().next() {
            return Err(RunRemovalError::Unreadable { run, reason: causes(&error).to_string() });
        }
        let (removed, others): (Vec<RunRecord>, Vec<RunRecord>) =
            records.into_iter().partition(|record| runs.contains(&record.name));
        if let Some(missing) = runs.iter().find(|run| removed.iter().all(|record| record.name != **run)) {
            // Another process has removed it, or it never existed.
            let (run, store) = (missing.to_string(), store.url().to_string());
            return Err(RunRecordError::Unknown { run, store, similar: Vec::new() }.into());
        }
        require_ended(store, &removed).await?;
        let datasets = removed.iter().flat_map(RunRecord::dataset_names).cloned().collect();
        let mut removal = RunRemoval { runs: runs.to_vec(), datasets, ..RunRemoval::default() };
        removal.find_parts(store, &removed, &others).await?;
        for run in runs {
            removal.measure_others(store, run).await?;
        }
        Ok(removal)
    }

    /// Finds the parts in the store that the removed runs need, and no other.
    async fn find_parts(
        &mut self,
        store: &Store,
        removed: &[RunRecord],
        others: &[RunRecord],
    ) -> Result<(), StoreError> {
        let (own, of_others) = (NamedParts::of(removed), NamedParts::of(others));
        let parts = || removed.iter().flat_map(|record| &record.parts);
        let rows: BTreeMap<&str, u64> = parts().map(|part| (part.key.as_str(), part.rows)).collect();
        for dataset in self.datasets.clone() {
            let mut objects = store.list(&dataset_folder(dataset.as_str()));
            while let Some(Object { key, bytes, .. }) = objects.try_next().await? {
                if of_others.needs(&key) && own.needs(&key) {
                    self.parts_kept += 1;
                } else if own.needs(&key) {
                    let rows = rows.get(key.as_str()).copied().unwrap_or_default();
                    self.parts.push(FreedPart { key, rows, bytes });
                }
            }
        }
        Ok(())
    }

    /// Adds up the tables of a run's report, and what is in its folder.
    async fn measure_others(&mut self, store: &Store, run: &RunName) -> Result<(), StoreError> {
        for table in REPORT_TABLES {
            match store.head(&report_key(table, run)).await {
                Err(error) if error.is_not_found() => {}
                object => {
                    self.tables += 1;
                    self.other_bytes += object?.bytes;
                }
            }
        }
        let in_folder: Vec<Object> = store.list(&run_folder(run)).try_collect().await?;
        self.other_bytes += in_folder.iter().map(|object| object.bytes).sum::<u64>();
        Ok(())
    }

    /// Returns the rows of the freed parts.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Returns the length of all objects that are removed.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum::<u64>() + self.other_bytes
    }

    /// Removes the runs' reports, then their records. Their parts are left to [`RunRemoval::remove_parts`].
    ///
    /// # Errors
    /// If a later leader has written a record, or the store fails.
    pub async fn remove_records(&self, store: &Store, writer: RecordWriter) -> Result<(), RunRecordError> {
        for run in &self.runs {
            for table in REPORT_TABLES {
                let key = report_key(table, run);
                store.delete(&key).await?;
                for folder in [key.rsplit_once('/').map_or(table, |(folder, _)| folder), table] {
                    store.remove_empty_folder(folder).await;
                }
            }
            let mut in_folder: Vec<Object> = store.list(&run_folder(run)).try_collect().await?;
            in_folder.retain(|object| object.key != RunRecord::key(run));
            // The caller's claim keeps other processes from the run for as long as possible.
            in_folder.sort_by_key(|object| object.key == RunProcess::key(run));
            for object in in_folder {
                store.delete(&object.key).await?;
            }
            RunRecord::delete_by(store, run, writer).await?;
        }
        Ok(())
    }

    /// Removes those of the freed parts that no run names by now, and returns their keys. Then frees the names of data sets
    /// that nothing in the store uses.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn remove_parts(&self, store: &Store) -> Result<Vec<String>, StoreError> {
        for run in &self.runs {
            store.remove_empty_folder(&run_folder(run)).await;
        }
        let removed = remove_unnamed(store, self.parts.iter().map(|part| part.key.clone()).collect()).await?;
        registry::free_unused(store, &self.datasets).await?;
        Ok(removed)
    }
}

fn run_folder(run: &RunName) -> String {
    format!("{RUNS}/{run}")
}

/// Checks that nobody works on the runs, except for this process, which may have claimed them to remove them.
async fn require_ended(store: &Store, records: &[RunRecord]) -> Result<(), RunRemovalError> {
    let statuses = RunStatus::read_each(store, records.to_vec(), &ProgressCounter::default()).await?;
    let is_own = |owner: &Option<RunOwner>| match owner {
        Some(RunOwner::Process(process)) => process.is_same(&RunProcess::current(process.host.clone())),
        Some(RunOwner::Coordinator { .. }) | None => false,
    };
    match statuses.into_iter().find(|status| status.state.is_active() && !is_own(&status.owner)) {
        Some(RunStatus { record, state, owner, .. }) => Err(RunRemovalError::Active { run: record.name, state, owner }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
