//! The coordinators of a store and which of them leads: the objects `coordinators/<term>.json`, of which the one with the
//! latest term is the leader's. Any other file in the folder means nothing.

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::run_process::RunProcess;
use crate::store::{Store, StoreError};

/// The folder of coordinators in a store. Each writes heartbeats into its own object while it leads.
const COORDINATORS: &str = "coordinators";

/// Terms are below this: attempts of a term have numbers of 64 bits that begin with it.
const TERMS: u64 = u32::MAX as u64;

/// A leader's object in the store. The names of its fields are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// The coordinator's name, the same after a restart.
    pub id: String,
    /// The number of this leadership. Each is later than those before it.
    pub term: u64,
    /// The number of heartbeats so far.
    pub beat: u64,
    /// The leader has resigned.
    #[serde(default)]
    pub ended: bool,
    /// A random number of the process, which tells two of one name apart.
    #[serde(default)]
    pub process: String,
    /// The process, for coordinators on the same machine. None in objects of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_as: Option<RunProcess>,
}

impl Leader {
    /// Returns the key of the object of a term.
    pub fn key(term: u64) -> String {
        format!("{COORDINATORS}/{term:010}.json")
    }

    /// Returns whether its process is known to have ended.
    pub fn has_ended(&self) -> bool {
        self.ended || self.runs_as.as_ref().is_some_and(RunProcess::is_known_to_have_ended)
    }

    /// Reads the object of the latest term. An object that cannot be read is that of a leader without a name. None if there
    /// was no leader yet.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn newest(store: &Store) -> Result<Option<Leader>, StoreError> {
        let Some(term) = Leader::terms(store).await?.into_iter().max() else { return Ok(None) };
        let bytes = match store.get(&Leader::key(term)).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let read: Option<Leader> = serde_json::from_slice(&bytes).ok().filter(|leader: &Leader| leader.term == term);
        let (id, process) = ("unknown".to_owned(), String::new());
        Ok(Some(read.unwrap_or(Leader { id, term, beat: 0, ended: false, process, runs_as: None })))
    }

    /// Deletes the objects of all terms before this one. What cannot be deleted is left to the next leader.
    pub async fn delete_older(store: &Store, term: u64) {
        let Ok(terms) = Leader::terms(store).await else { return };
        for older in terms.into_iter().filter(|older| *older < term) {
            let _ = store.delete(&Leader::key(older)).await;
        }
    }

    async fn terms(store: &Store) -> Result<Vec<u64>, StoreError> {
        let keys: Vec<String> = store.list(COORDINATORS).map_ok(|object| object.key).try_collect().await?;
        let (terms, strays): (Vec<_>, Vec<_>) =
            keys.into_iter().map(|key| (term_of_key(&key), key)).partition(|(term, _)| term.is_some());
        for (_, key) in strays {
            warn!(key, "a file that is no coordinator's is passed over");
        }
        Ok(terms.into_iter().filter_map(|(term, _)| term).collect())
    }
}

fn term_of_key(key: &str) -> Option<u64> {
    let term: u64 = key.rsplit('/').next()?.strip_suffix(".json")?.parse().ok()?;
    (term < TERMS && Leader::key(term) == key).then_some(term)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn files_that_are_no_leaders_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        assert_eq!(Leader::newest(&store).await.unwrap(), None);
        let runs_as = Some(RunProcess::current("h".to_owned()));
        let leader = |term| Leader {
            id: "a".to_owned(),
            term,
            beat: 3,
            ended: false,
            process: "p".to_owned(),
            runs_as: runs_as.clone(),
        };
        for term in [9, 10] {
            store.put(&Leader::key(term), serde_json::to_vec(&leader(term)).unwrap().into()).await.unwrap();
        }
        let strays =
            ["zzz.json", ".DS_Store", "9.json", "18446744073709551615.json", "9999999999.json", "x/0000000011.json"];
        for stray in strays {
            store.put(&format!("coordinators/{stray}"), "{}".into()).await.unwrap();
        }
        let newest = Leader::newest(&store).await.unwrap().unwrap();
        assert_eq!(newest, leader(10));
        assert!(!newest.has_ended(), "this process lives");
        Leader::delete_older(&store, 10).await;
        assert_eq!(store.list_sorted("coordinators").await.unwrap().len(), 1 + strays.len());
        // An object of a term that cannot be read is a leader's that nobody knows.
        store.put(&Leader::key(12), "half".into()).await.unwrap();
        let unknown = Leader::newest(&store).await.unwrap().unwrap();
        assert_eq!((unknown.id.as_str(), unknown.term, unknown.has_ended()), ("unknown", 12, false));
    }
}
