//! The progress of runs: how many of a run's parts, windows and pictures are in the store. Every command and table that shows
//! these numbers takes them from this module. It does not know which process works on a run ([`crate::status`]).
//!
//! One listing shows which parts exist. The number of failed pictures is in each part's footer. If the listing is the one that
//! the record was counted from ([`RunRecord::counted`]), the record has the sum and no footer is read. A [`ProgressCounter`]
//! that is used again reads each footer once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::digest;
use crate::parts::{self, PartState};
use crate::run::{PartRef, RunRecord, TrainingCounts};
use crate::store::{Object, Store, StoreError};
use crate::tables::scores;

/// Data sets that are listed at the same time.
const LISTINGS_MAX: usize = 8;

/// Parts that a [`ProgressCounter`] remembers: about 200 MB. When there are more, it forgets all of them.
const KNOWN_MAX: usize = 1 << 20;

/// How much of a run is in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Planned parts.
    pub parts: u64,
    /// Complete parts in the store.
    pub parts_done: u64,
    /// Planned windows.
    pub windows: u64,
    /// Planned windows of the complete parts.
    pub windows_done: u64,
    /// Planned pictures.
    pub pictures: u64,
    /// Pictures with a score, in the complete parts.
    pub scored: u64,
    /// Pictures with an error, in the complete parts.
    pub failed: u64,
}

impl Progress {
    /// Returns the progress of a run that trains: its trials and evaluations count as parts.
    pub(crate) fn of_training(counts: TrainingCounts) -> Progress {
        Progress { parts: counts.units, parts_done: counts.done, ..Progress::default() }
    }

    /// Returns the number of pictures with a row, scored or failed.
    pub fn pictures_done(&self) -> u64 {
        self.scored + self.failed
    }

    /// Returns the progress as text for people: `4 of 14 parts and 8 of 28 scores are in the store`. A picture has
    /// a score by each metric of the run.
    pub fn text(&self) -> String {
        if self.parts == 0 {
            return "its parts are not planned yet".to_owned();
        }
        if self.is_complete() {
            return format!("all {} parts are in the store, but the run has not been completed", self.parts);
        }
        let Progress { parts, parts_done, pictures: scores, .. } = self;
        let scores_done = self.pictures_done();
        format!("{parts_done} of {parts} parts and {scores_done} of {scores} scores are in the store")
    }

    /// Returns whether every part is complete. A run that is not planned yet has no parts, and is not complete.
    pub fn is_complete(&self) -> bool {
        self.parts > 0 && self.parts_done == self.parts
    }

    fn add(&mut self, part: &PartRef, found: &PartState) {
        self.parts += 1;
        self.windows += part.windows;
        self.pictures += part.rows;
        if let PartState::Complete(counts) = found {
            self.parts_done += 1;
            self.windows_done += part.windows;
            self.scored += counts.rows - counts.failed;
            self.failed += counts.failed;
        }
    }
}

/// The parts of some data sets in a store: the version of each, by key.
#[derive(Clone, Debug, Default)]
pub struct PartListing(HashMap<String, String>);

impl PartListing {
    /// Lists the parts of all data sets that the records name, each data set once.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn read(store: &Store, records: &[RunRecord]) -> Result<PartListing, StoreError> {
        let datasets: BTreeSet<&str> =
            records.iter().flat_map(|record| &record.parts).map(|part| part.dataset.as_str()).collect();
        let folders: Vec<String> = datasets.into_iter().map(scores::dataset_folder).collect();
        let list = |folder: String| async move { store.list(&folder).try_collect().await };
        let listed: Vec<Vec<Object>> =
            futures::stream::iter(folders).map(list).buffered(LISTINGS_MAX).try_collect().await?;
        Ok(PartListing(listed.into_iter().flatten().map(|object| (object.key, object.version)).collect()))
    }

    /// Returns the version of a part's object. None if it does not exist.
    fn version(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Returns a digest of the versions of these parts. While it stays the same, so do the parts' counts. None if a part is
    /// missing.
    pub fn digest(&self, parts: &[PartRef]) -> Option<String> {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            digest::update_field(&mut hasher, part.key.as_bytes());
            digest::update_field(&mut hasher, self.version(&part.key)?.as_bytes());
        }
        Some(hasher.finalize().to_hex().to_string())
    }
}

/// Counts the progress of runs, and remembers the state of each version of a part.
#[derive(Debug, Default)]
pub struct ProgressCounter(Mutex<HashMap<String, (String, PartState)>>);

impl ProgressCounter {
    /// Returns the progress of each of these runs, in their order.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn count(&self, store: &Store, records: &[RunRecord]) -> Result<Vec<Progress>, StoreError> {
        let listing = PartListing::read(store, records).await?;
        let counted: Vec<Option<Progress>> =
            records.iter().map(|record| progress_by_record(record, &listing)).collect();
        let open = records.iter().zip(&counted).filter(|(_, counted)| counted.is_none());
        let open: Vec<&RunRecord> = open.map(|(record, _)| record).collect();
        self.inspect_new(store, &listing, &open).await?;
        let known = self.known();
        let count = |record: &RunRecord| {
            let mut progress = Progress::default();
            for part in &record.parts {
                let found = known.get(&part.key).filter(|(version, _)| listing.version(&part.key) == Some(version));
                progress.add(part, found.map_or(&PartState::Missing, |(_, found)| found));
            }
            progress
        };
        Ok(records.iter().zip(&counted).map(|(record, counted)| counted.unwrap_or_else(|| count(record))).collect())
    }

    /// Inspects the listed parts whose current version was not inspected yet. A part that several runs share is inspected once.
    async fn inspect_new(
        &self,
        store: &Store,
        listing: &PartListing,
        records: &[&RunRecord],
    ) -> Result<(), StoreError> {
        let unknown = self.unknown(listing, records);
        let parts: Vec<(String, u64)> = unknown.iter().map(|(key, (_, rows))| (key.clone(), *rows)).collect();
        let found = parts::inspect_all(store, parts).await?;
        let found = unknown.into_iter().zip(found).map(|((key, (version, _)), found)| (key, (version, found)));
        self.known().extend(found);
        Ok(())
    }

    /// Returns versions and planned rows, by key, of the parts whose current version was not inspected yet.
    fn unknown(&self, listing: &PartListing, records: &[&RunRecord]) -> BTreeMap<String, (String, u64)> {
        let mut known = self.known();
        if known.len() > KNOWN_MAX {
            known.clear();
        }
        let mut unknown = BTreeMap::new();
        for part in records.iter().flat_map(|record| &record.parts) {
            let Some(version) = listing.version(&part.key) else { continue };
            if known.get(&part.key).is_none_or(|(before, _)| before != version) {
                unknown.insert(part.key.clone(), (version.to_owned(), part.rows));
            }
        }
        unknown
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (String, PartState)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the progress that the record holds, if the store has exactly the parts that the record was counted from.
fn progress_by_record(record: &RunRecord, listing: &PartListing) -> Option<Progress> {
    record.counted.as_ref().filter(|counted| listing.digest(&record.parts).as_ref() == Some(counted))?;
    let parts = record.parts.len() as u64;
    let windows = record.parts.iter().map(|part| part.windows).sum();
    let (scored, failed) = (record.counts.scored, record.counts.failed);
    let pictures = scored + failed;
    Some(Progress { parts, parts_done: parts, windows, windows_done: windows, pictures, scored, failed })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::names::{AlgorithmName, DatasetName};

    fn part(name: &str, rows: u64) -> PartRef {
        let (dataset, algorithm): (DatasetName, AlgorithmName) = ("d".parse().unwrap(), "a".parse().unwrap());
        PartRef { key: scores::part_key("d", "a", name), dataset, algorithm, rows, windows: 10 * rows, metric: None }
    }

    fn record(name: &str, parts: &[PartRef]) -> RunRecord {
        let spec = json!({
            "datasets": [], "model": "m", "prompts": null, "views": "v", "dtype": "f32", "device": "cpu",
            "shard_windows_max": 1, "remark": null
        });
        let record = json!({
            "name": name, "state": "running", "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
            "spec": spec, "fingerprint": "f", "provenance": {}, "parts": parts,
            "counts": {"pictures": 7, "windows": 70, "scored": 6, "failed": 1},
        });
        serde_json::from_value(record).unwrap()
    }

    #[tokio::test]
    async fn a_record_is_used_while_its_parts_are_those_that_it_was_counted_from() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let parts = [part("p", 3), part("q", 4)];
        // The objects are not parts, so an inspection finds them damaged.
        for part in &parts {
            store.put(&part.key, "no part".into()).await.unwrap();
        }
        let mut counted = record("r", &parts);
        let listing = PartListing::read(&store, std::slice::from_ref(&counted)).await.unwrap();
        counted.counted = listing.digest(&parts);
        let records = [counted, record("s", &parts), record("t", &[])];
        let counter = ProgressCounter::default();
        let planned = Progress { parts: 2, windows: 70, pictures: 7, ..Progress::default() };
        let whole = Progress { parts_done: 2, windows_done: 70, scored: 6, failed: 1, ..planned };
        let found = counter.count(&store, &records).await.unwrap();
        assert_eq!(found, [whole, planned, Progress::default()], "the second was never counted, and is inspected");
        assert!(whole.is_complete() && !planned.is_complete() && !Progress::default().is_complete());

        store.put(&parts[1].key, "another part".into()).await.unwrap();
        let found = counter.count(&store, &records).await.unwrap();
        assert_eq!(found[0], planned, "another version is inspected");
        store.delete(&parts[0].key).await.unwrap();
        assert_eq!(PartListing::read(&store, &records).await.unwrap().digest(&parts), None, "one is missing");
    }
}
