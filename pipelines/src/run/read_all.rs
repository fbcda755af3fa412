//! Reads the records of all runs of a store. A record that cannot be read (half written by an earlier version, damaged, of a
//! later version) is reported and hides no other run.

use futures::StreamExt;
use tracing::warn;

use super::{RUNS, RunRecord, RunRecordError};
use crate::causes;
use crate::names::RunName;
use crate::store::{Store, StoreError};

/// Records that are read at the same time.
const READS_MAX: usize = 16;

/// The runs of a store.
#[derive(Debug, Default)]
pub struct StoredRuns {
    /// The records that can be read, the oldest first.
    pub records: Vec<RunRecord>,
    /// Those of runs that train, and have no scores, the oldest first.
    pub trainings: Vec<RunRecord>,
    /// The runs whose records cannot be read, with the reasons. Their parts are unknown.
    pub unreadable: Vec<(RunName, RunRecordError)>,
}

impl StoredRuns {
    /// Reads the records of all runs.
    ///
    /// # Errors
    /// If the store fails. A record that cannot be read is no error.
    pub async fn read(store: &Store) -> Result<StoredRuns, StoreError> {
        let names: Vec<RunName> = store.list_folders(RUNS).await?.iter().filter_map(|name| name.parse().ok()).collect();
        let read = names.into_iter().map(|name| async move {
            let found = RunRecord::find(store, &name).await;
            (name, found)
        });
        let mut runs = StoredRuns::default();
        let mut found = futures::stream::iter(read).buffered(READS_MAX);
        while let Some((name, record)) = found.next().await {
            match record {
                Ok(Some(record)) if record.is_training() => runs.trainings.push(record),
                Ok(record) => runs.records.extend(record),
                Err(RunRecordError::Store(error)) if !error.is_object_specific() => return Err(error),
                Err(error) => runs.unreadable.push((name, error)),
            }
        }
        runs.records.sort_by_key(|record| record.created);
        runs.trainings.sort_by_key(|record| record.created);
        Ok(runs)
    }

    /// Logs the runs whose records cannot be read.
    fn logged(self) -> StoredRuns {
        for (run, error) in &self.unreadable {
            warn!(%run, error = %causes(error), "the run is left out");
        }
        self
    }
}

impl RunRecord {
    /// Reads the records of all runs with scores of a store that can be read, the oldest first. The others are logged.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn read_all(store: &Store) -> Result<Vec<RunRecord>, RunRecordError> {
        Ok(StoredRuns::read(store).await?.logged().records)
    }

    /// Reads the records of all runs as [`RunRecord::read_all`], and of those that train.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn read_all_with_trainings(store: &Store) -> Result<Vec<RunRecord>, RunRecordError> {
        let StoredRuns { mut records, trainings, .. } = StoredRuns::read(store).await?.logged();
        records.extend(trainings);
        records.sort_by_key(|record| record.created);
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn a_record_that_cannot_be_read_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let record = serde_json::json!({
            "name": "whole", "state": "complete", "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
            "spec": {"datasets": [], "model": "m", "prompts": null, "views": "v", "dtype": "f32", "device": "cpu",
                     "shard_windows_max": 1, "remark": null},
            "fingerprint": "f", "counts": {"pictures": 0, "windows": 0, "scored": 0, "failed": 0},
            "provenance": {}, "parts": [],
        });
        let text = record.to_string();
        store.put("runs/half/run.json", text[..text.len() / 2].to_owned().into()).await.unwrap();
        store.put("runs/whole/run.json", text.into()).await.unwrap();
        let runs = StoredRuns::read(&store).await.unwrap();
        let unreadable: Vec<&str> = runs.unreadable.iter().map(|(run, _)| run.as_str()).collect();
        assert_eq!(unreadable, ["half"]);
        assert_eq!(runs.records.len(), 1);
        assert_eq!(RunRecord::read_all(&store).await.unwrap(), runs.records);
        assert_eq!(RunRecord::last_used(&store).await.unwrap(), runs.records[0]);
    }
}
