//! Frees the names of data sets that nothing in a store uses, so that another data set may have them.

use std::collections::BTreeSet;

use futures::TryStreamExt;

use super::key;
use crate::header_index;
use crate::names::DatasetName;
use crate::run::{RunRecord, StoredRuns};
use crate::store::{Store, StoreError};
use crate::tables::scores::dataset_folder;
use crate::train::{Splits, TrialRecord};

/// Frees those of the names that no run, no part, no training and no splits have. Frees none while the record of a run cannot
/// be read, because it may have any name.
///
/// A run that begins meanwhile loses nothing: its record says what its data sets are.
///
/// # Errors
/// If the store fails.
pub(crate) async fn free_unused(store: &Store, names: &BTreeSet<DatasetName>) -> Result<(), StoreError> {
    let StoredRuns { records, unreadable, .. } = StoredRuns::read(store).await?;
    if !unreadable.is_empty() {
        return Ok(());
    }
    let of_runs: BTreeSet<DatasetName> = records.iter().flat_map(RunRecord::dataset_names).cloned().collect();
    let mut unused: BTreeSet<DatasetName> = names.difference(&of_runs).cloned().collect();
    if unused.is_empty() {
        return Ok(());
    }
    for trial in TrialRecord::all(store).await? {
        unused.remove(&trial.dataset);
    }
    for name in &unused {
        let parts = store.list(&dataset_folder(name.as_str())).try_next().await?;
        if parts.is_none() && !Splits::exist(store, name).await? {
            store.delete(&header_index::key(name)).await?;
            store.remove_empty_folder(&header_index::folder(name)).await;
            store.delete(&key(name)).await?;
        }
    }
    Ok(())
}
