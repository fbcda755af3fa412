//! Writes a run's record as the leader of a term. A coordinator that was stopped and goes on after another has taken over
//! does not know it yet; it must not write over what the other one wrote. So a record carries the term of its last writer, a
//! leader refuses to write over a later term, and the store is asked to write only if the record is still the one that was
//! looked at.

use bytes::Bytes;
use serde::Deserialize;

use super::{RunRecord, RunRecordError};
use crate::Retryable;
use crate::names::RunName;
use crate::store::{Store, StoreError};

/// Tries to write a record that others write at the same time.
const TRIES_MAX: u32 = 8;

/// Who writes a run's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordWriter {
    /// A command, which takes the run over from whoever had it.
    Command,
    /// The leading coordinator.
    Leader {
        /// Its term.
        term: u64,
    },
}

/// The field of a record that says who may replace it.
#[derive(Default, Deserialize)]
struct Stamp {
    #[serde(default)]
    term: Option<u64>,
}

impl RunRecord {
    /// Writes the record. If a leader does, its term becomes the record's.
    ///
    /// # Errors
    /// If a leader of a later term has written the record, or the store fails.
    pub async fn write_by(&mut self, store: &Store, writer: RecordWriter) -> Result<(), RunRecordError> {
        let RecordWriter::Leader { term } = writer else { return self.write(store).await };
        self.term = Some(term);
        let mut tries = 1;
        loop {
            match self.replace(store, term).await {
                Err(RunRecordError::Store(error)) if error.is_already_exists() && tries < TRIES_MAX => tries += 1,
                written => return written,
            }
        }
    }

    /// Writes a leader's term into the record of a coordinator's active run, and returns the record: from then on a leader before
    /// this one cannot write it any more. What such a leader writes while the record is looked at is not written over: it may
    /// have ended the run. None if there is no such run.
    ///
    /// # Errors
    /// If a leader of a later term has written the record, it cannot be read, or the store fails.
    pub async fn take_over(store: &Store, name: &RunName, term: u64) -> Result<Option<RunRecord>, RunRecordError> {
        let key = RunRecord::key(name);
        let mut tries = 1;
        loop {
            let (stored, version) = match store.get_versioned(&key).await {
                Err(error) if error.is_not_found() => return Ok(None),
                stored => stored?,
            };
            let wrong = |source| RunRecordError::Record { run: name.to_string(), source };
            let mut record: RunRecord = serde_json::from_slice(&stored).map_err(wrong)?;
            if record.request.is_none() || !record.state.is_active() {
                return Ok(None);
            }
            check_term(name, &stored, term)?;
            record.term = Some(term);
            match store.replace(&key, record.to_text(), &version).await {
                Err(error) if error.is_changed() && tries < TRIES_MAX => tries += 1,
                written => return Ok(written.map(|()| Some(record))?),
            }
        }
    }

    async fn replace(&self, store: &Store, term: u64) -> Result<(), RunRecordError> {
        let (key, text) = (RunRecord::key(&self.name), self.to_text());
        let (stored, version) = match store.get_versioned(&key).await {
            Err(error) if error.is_not_found() => return Ok(create(store, &key, text).await?),
            stored => stored?,
        };
        check_term(&self.name, &stored, term)?;
        Ok(store.replace(&key, text, &version).await?)
    }

    /// Deletes the record of a run. Its parts are left as they are ([`crate::run_removal`]).
    ///
    /// # Errors
    /// If a leader of a later term than the writer's has written the record, or the store fails.
    pub async fn delete_by(store: &Store, name: &RunName, writer: RecordWriter) -> Result<(), RunRecordError> {
        match writer {
            RecordWriter::Command => RunRecord::delete(store, name).await,
            RecordWriter::Leader { term } => RunRecord::delete_as_leader(store, name, term).await,
        }
    }

    /// Deletes the record of a run, as the leader of a term.
    ///
    /// # Errors
    /// If a leader of a later term has written the record, or the store fails.
    pub async fn delete_as_leader(store: &Store, name: &RunName, term: u64) -> Result<(), RunRecordError> {
        match store.get(&RunRecord::key(name)).await {
            Err(error) if error.is_not_found() => {}
            stored => check_term(name, &stored?, term)?,
        }
        RunRecord::delete(store, name).await
    }
}

/// Checks that no leader of a later term has written a record. One that cannot be read has no term.
fn check_term(run: &RunName, stored: &[u8], term: u64) -> Result<(), RunRecordError> {
    let found: Stamp = serde_json::from_slice(stored).unwrap_or_default();
    match found.term {
        Some(later) if later > term => Err(RunRecordError::Superseded { run: run.to_string(), term, later }),
        _ => Ok(()),
    }
}

async fn create(store: &Store, key: &str, text: Bytes) -> Result<(), StoreError> {
    match store.put_if_absent(key, text.clone()).await {
        // The store may not support conditional writes. Any other failure fails this write too.
        Err(error) if !error.is_already_exists() && !error.is_retryable() => store.put(key, text).await,
        created => created,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::run::RunState;

    fn leader(term: u64) -> RecordWriter {
        RecordWriter::Leader { term }
    }

    /// Returns a record as a version without terms wrote it.
    fn record() -> RunRecord {
        let record = serde_json::json!({
            "name": "r", "state": "running", "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
            "spec": {"datasets": [], "model": "m", "prompts": null, "views": "v", "dtype": "f32", "device": "cpu",
                     "shard_windows_max": 1, "remark": null},
            "fingerprint": "f", "counts": {"pictures": 0, "windows": 0, "scored": 0, "failed": 0},
            "provenance": {}, "parts": [],
        });
        serde_json::from_value(record).unwrap()
    }

    #[tokio::test]
    async fn a_leader_that_was_stopped_does_not_write_over_a_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let mut stopped = record();
        stopped.write(&store).await.unwrap();
        stopped.write_by(&store, leader(1)).await.unwrap();
        // The next leader takes the run over, and a user cancels it there.
        let mut cancelled = RunRecord::find(&store, &stopped.name).await.unwrap().unwrap();
        cancelled.state = RunState::Cancelled;
        cancelled.write_by(&store, leader(2)).await.unwrap();
        stopped.state = RunState::Running;
        let refused = stopped.write_by(&store, leader(1)).await.unwrap_err();
        assert!(matches!(refused, RunRecordError::Superseded { term: 1, later: 2, .. }), "{refused}");
        let refused = RunRecord::delete_as_leader(&store, &stopped.name, 1).await.unwrap_err();
        assert!(matches!(refused, RunRecordError::Superseded { .. }), "{refused}");
        assert_eq!(RunRecord::find(&store, &stopped.name).await.unwrap(), Some(cancelled.clone()));
        // A command takes a run over from any leader, and keeps the term.
        cancelled.write_by(&store, RecordWriter::Command).await.unwrap();
        assert!(stopped.write_by(&store, leader(1)).await.is_err());
        stopped.write_by(&store, leader(3)).await.unwrap();
        RunRecord::delete_as_leader(&store, &stopped.name, 3).await.unwrap();
        assert_eq!(RunRecord::find(&store, &stopped.name).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_ends_while_it_is_taken_over_stays_ended() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let request = serde_json::json!({
            "algorithms": [], "device": "cpu", "priority": 0, "allow_missing": false, "retry_failed": false, "replicates": 0, "seed": 0,
        });
        for round in 0..16 {
            let (old, new) = (2 * round + 1, 2 * round + 2);
            let mut active = record();
            active.request = Some(serde_json::from_value(request.clone()).unwrap());
            active.write_by(&store, leader(old)).await.unwrap();
            let mut cancelled = active.clone();
            cancelled.state = RunState::Cancelled;
            let taking = RunRecord::take_over(&store, &active.name, new);
            let (written, taken) = tokio::join!(cancelled.write_by(&store, leader(old)), taking);
            let stored = RunRecord::find(&store, &active.name).await.unwrap().unwrap();
            assert_eq!(written.is_ok(), stored.state == RunState::Cancelled, "what was acknowledged stays");
            assert_eq!(taken.unwrap().is_some(), stored.term == Some(new));
        }
    }

    #[tokio::test]
    async fn of_two_leaders_that_write_at_once_the_later_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        for round in 0..8 {
            let (mut old, mut new) = (record(), record());
            (old.state, new.state) = (RunState::Running, RunState::Cancelled);
            let (old_leader, new_leader) = (leader(2 * round + 1), leader(2 * round + 2));
            let (_, written) = tokio::join!(old.write_by(&store, old_leader), new.write_by(&store, new_leader));
            written.unwrap();
            let stored = RunRecord::find(&store, &new.name).await.unwrap().unwrap();
            assert_eq!((stored.state, stored.term), (RunState::Cancelled, Some(2 * round + 2)));
        }
    }
}
