//! How far a run is: how many of its parts, windows and pictures are in the store. This is the one place where that is
//! counted; every command and table that shows such numbers takes them from here. It knows nothing of who works on a run
//! ([`crate::status`]).
//!
//! One listing says which parts are there. How many pictures of a part failed is in the part's footer. Where the listing is
//! still the one that a record was counted by ([`RunRecord::counted`]), the record has the sum and no footer is read; and a
//! process that asks again ([`Counter`]) reads each footer once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::digest;
use crate::parts::{self, Found};
use crate::run::{PartRef, RunRecord};
use crate::store::{Object, Store, StoreError};
use crate::tables::scores;

/// Data sets that are listed at once.
const LISTINGS_MAX: usize = 8;

/// Parts that a [`Counter`] remembers: some 200 MB. It forgets all of them where there are more.
const KNOWN_MAX: usize = 1 << 20;

/// What of a run is in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Parts that were planned.
    pub parts: u64,
    /// Parts that are there and whole.
    pub parts_done: u64,
    /// Windows that were planned.
    pub windows: u64,
    /// Windows that were planned for the parts that are there.
    pub windows_done: u64,
    /// Pictures that were planned.
    pub pictures: u64,
    /// Pictures with a score, in the parts that are there.
    pub scored: u64,
    /// Pictures with an error, in the parts that are there.
    pub failed: u64,
}

impl Progress {
    /// Pictures with a row: scored and failed.
    pub fn pictures_done(&self) -> u64 {
        self.scored + self.failed
    }

    /// Returns how much is there of a run that is not complete: `4 of 14 parts and 8 of 28 pictures are in the store`.
    pub fn extent(&self) -> String {
        if self.parts == 0 {
            return "its parts are not planned yet".to_owned();
        }
        if self.is_whole() {
            return format!("all {} parts are in the store, but the run has not been completed", self.parts);
        }
        let Progress { parts, parts_done, pictures, .. } = self;
        let pictures_done = self.pictures_done();
        format!("{parts_done} of {parts} parts and {pictures_done} of {pictures} pictures are in the store")
    }

    /// Whether every part is there. A run that was not planned yet has none, and is not whole.
    pub fn is_whole(&self) -> bool {
        self.parts > 0 && self.parts_done == self.parts
    }

    fn add(&mut self, part: &PartRef, found: &Found) {
        self.parts += 1;
        self.windows += part.windows;
        self.pictures += part.rows;
        if let Found::Whole(counts) = found {
            self.parts_done += 1;
            self.windows_done += part.windows;
            self.scored += counts.rows - counts.failed;
            self.failed += counts.failed;
        }
    }
}

/// The parts that a store holds of some data sets: what one listing shows of each.
#[derive(Clone, Debug, Default)]
pub struct PartListing(HashMap<String, String>);

impl PartListing {
    /// Lists the parts of all data sets that the records name: each data set once.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn read(store: &Store, records: &[RunRecord]) -> Result<PartListing, StoreError> {
        let datasets: BTreeSet<&str> =
            records.iter().flat_map(|record| &record.parts).map(|part| part.dataset.as_str()).collect();
        let folders: Vec<String> = datasets.into_iter().map(scores::dataset_folder).collect();
        let list = |folder: String| async move { store.list(&folder).try_collect().await };
        let listed: Vec<Vec<Object>> =
            futures::stream::iter(folders).map(list).buffered(LISTINGS_MAX).try_collect().await?;
        Ok(PartListing(listed.into_iter().flatten().map(|object| (object.key, object.version)).collect()))
    }

    /// The version of a part's object; None where it is not there.
    fn version(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A digest of which versions of these parts are there: as long as it is the same, so are the parts' counts. None where
    /// one is missing.
    pub fn digest(&self, parts: &[PartRef]) -> Option<String> {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            digest::field(&mut hasher, part.key.as_bytes());
            digest::field(&mut hasher, self.version(&part.key)?.as_bytes());
        }
        Some(hasher.finalize().to_hex().to_string())
    }
}

/// Counts how far runs are, and remembers what it found in each version of a part.
#[derive(Debug, Default)]
pub struct Counter(Mutex<HashMap<String, (String, Found)>>);

impl Counter {
    /// How far each of these runs is, in their order.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn count(&self, store: &Store, records: &[RunRecord]) -> Result<Vec<Progress>, StoreError> {
        let listing = PartListing::read(store, records).await?;
        let counted: Vec<Option<Progress>> = records.iter().map(|record| counted_before(record, &listing)).collect();
        let open = records.iter().zip(&counted).filter(|(_, counted)| counted.is_none());
        let open: Vec<&RunRecord> = open.map(|(record, _)| record).collect();
        self.look(store, &listing, &open).await?;
        let known = self.known();
        let count = |record: &RunRecord| {
            let mut progress = Progress::default();
            for part in &record.parts {
                let found = known.get(&part.key).filter(|(version, _)| listing.version(&part.key) == Some(version));
                progress.add(part, found.map_or(&Found::Nothing, |(_, found)| found));
            }
            progress
        };
        Ok(records.iter().zip(&counted).map(|(record, counted)| counted.unwrap_or_else(|| count(record))).collect())
    }

    /// Looks into the parts that are listed and were not looked into in this version. Runs share parts: each is looked at once.
    async fn look(&self, store: &Store, listing: &PartListing, records: &[&RunRecord]) -> Result<(), StoreError> {
        let unknown = self.unknown(listing, records);
        let parts: Vec<(String, u64)> = unknown.iter().map(|(key, (_, rows))| (key.clone(), *rows)).collect();
        let found = parts::find_all(store, parts).await?;
        let found = unknown.into_iter().zip(found).map(|((key, (version, _)), found)| (key, (version, found)));
        self.known().extend(found);
        Ok(())
    }

    /// Versions and planned rows of the parts that were not looked into in this version, by key.
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

    fn known(&self) -> MutexGuard<'_, HashMap<String, (String, Found)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a run is, by its record alone: where the parts are those that the record was counted by.
fn counted_before(record: &RunRecord, listing: &PartListing) -> Option<Progress> {
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
        PartRef { key: scores::part_key("d", "a", name), dataset, algorithm, rows, windows: 10 * rows }
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
    async fn a_record_counts_as_long_as_its_parts_are_those_that_it_was_counted_over() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let parts = [part("p", 3), part("q", 4)];
        // No parts at all inside: whoever looks into them finds them damaged.
        for part in &parts {
            store.put(&part.key, "no part".into()).await.unwrap();
        }
        let mut counted = record("r", &parts);
        let listing = PartListing::read(&store, std::slice::from_ref(&counted)).await.unwrap();
        counted.counted = listing.digest(&parts);
        let records = [counted, record("s", &parts), record("t", &[])];
        let counter = Counter::default();
        let planned = Progress { parts: 2, windows: 70, pictures: 7, ..Progress::default() };
        let whole = Progress { parts_done: 2, windows_done: 70, scored: 6, failed: 1, ..planned };
        let found = counter.count(&store, &records).await.unwrap();
        assert_eq!(found, [whole, planned, Progress::default()], "the second was never counted, and is looked into");
        assert!(whole.is_whole() && !planned.is_whole() && !Progress::default().is_whole());

        store.put(&parts[1].key, "another part".into()).await.unwrap();
        let found = counter.count(&store, &records).await.unwrap();
        assert_eq!(found[0], planned, "of another version: it is looked into");
        store.delete(&parts[0].key).await.unwrap();
        assert_eq!(PartListing::read(&store, &records).await.unwrap().digest(&parts), None, "one is missing");
    }
}
