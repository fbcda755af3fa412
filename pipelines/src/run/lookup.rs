//! Finds the run that a user means: by its name, by the beginning of its name, or the one that was used last. All commands and
//! the coordinator look runs up here, so that a text means the same run everywhere.

use std::cmp::Reverse;

use super::{RUNS, RunRecord, RunRecordError, RunState};
use crate::Hint;
use crate::names::{RunName, similar_names};
use crate::store::Store;

/// Maximum number of names that an error shows.
const SHOWN_MAX: usize = 8;

impl RunRecord {
    /// Returns the record of the run with this name, or else of the only run whose name begins with it.
    ///
    /// # Errors
    /// If the store fails, or the record is invalid; if there is no such run, with similar names; if several names begin with
    /// the text, with these names.
    pub async fn find_by_prefix(store: &Store, name: &RunName) -> Result<RunRecord, RunRecordError> {
        if let Some(record) = RunRecord::find(store, name).await? {
            return Ok(record);
        }
        let all = store.list_folders(RUNS).await?;
        let mut names: Vec<&str> =
            all.iter().map(String::as_str).filter(|other| other.starts_with(name.as_str())).collect();
        names.sort_unstable();
        let unknown = || {
            let similar = similar_names(name.as_str(), all.iter().map(String::as_str));
            RunRecordError::Unknown { run: name.to_string(), store: store.url().to_string(), similar }
        };
        match names[..] {
            [] => Err(unknown()),
            [one] => {
                let record = match one.parse() {
                    Ok(name) => RunRecord::find(store, &name).await?,
                    Err(_) => None,
                };
                record.ok_or_else(unknown)
            }
            _ => {
                let more = names.len().saturating_sub(SHOWN_MAX);
                names.truncate(SHOWN_MAX);
                let candidates = names.into_iter().map(str::to_owned).collect();
                Err(RunRecordError::Ambiguous { run: name.to_string(), candidates, more })
            }
        }
    }

    /// Returns whether a store has runs.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn any_exists(store: &Store) -> Result<bool, RunRecordError> {
        Ok(!store.list_folders(RUNS).await?.is_empty())
    }

    /// Returns the record of the run that was submitted, scored or completed last. A run that failed before it was planned
    /// has no rows, and is returned only if there is no other.
    ///
    /// # Errors
    /// If the store fails, or there is no run.
    pub async fn last_used(store: &Store) -> Result<RunRecord, RunRecordError> {
        let records = RunRecord::read_all(store).await?;
        let was_planned = |record: &RunRecord| record.state != RunState::Failed || !record.parts.is_empty();
        let key = |record: &RunRecord| Reverse((was_planned(record), record.updated, record.created));
        let last = records.into_iter().min_by_key(key);
        last.ok_or_else(|| RunRecordError::NoRuns { store: store.url().to_string() })
    }
}

impl Hint for RunRecordError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            RunRecordError::Unknown { .. } => "`dqa-coord runs` lists them",
            RunRecordError::Ambiguous { .. } => "give more of the name; `dqa-coord runs` lists them all",
            RunRecordError::NoRuns { .. } => "`dqa-coord submit` creates one; --store names the store to look in",
            RunRecordError::Record { run, .. } => {
                return Some(format!(
                    "the run's parts are kept: delete {RUNS}/{run}/run.json in the store, and submit the run again"
                ));
            }
            RunRecordError::Superseded { .. } | RunRecordError::Store(_) => return None,
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use jiff::Timestamp;

    use super::*;
    use crate::picture_limits::PictureLimits;
    use crate::run::{RunCounts, RunSpec};

    async fn store(runs: &[(&str, i64, i64)]) -> (Store, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        for (name, created, updated) in runs {
            let spec = RunSpec {
                datasets: Vec::new(),
                model: "m".to_owned(),
                prompts: None,
                views: "both".to_owned(),
                dtype: "f32".to_owned(),
                device: "cpu".to_owned(),
                shard_windows_max: 100,
                remark: None,
                limits: PictureLimits::default(),
                metrics: Vec::new(),
                metric_parameters: None,
            };
            // Built as JSON, because other fields may be added to a record.
            let mut record = serde_json::json!({
                "name": name, "state": RunState::Complete, "spec": spec, "fingerprint": "f", "parts": [],
                "counts": RunCounts::default(), "provenance": BTreeMap::<String, String>::new(),
            });
            record["created"] = serde_json::to_value(Timestamp::from_second(*created).unwrap()).unwrap();
            record["updated"] = serde_json::to_value(Timestamp::from_second(*updated).unwrap()).unwrap();
            let record: RunRecord = serde_json::from_value(record).unwrap();
            record.write(&store).await.unwrap();
        }
        (store, dir)
    }

    async fn found(store: &Store, text: &str) -> Result<String, String> {
        let read = RunRecord::find_by_prefix(store, &text.parse().unwrap()).await;
        read.map(|record| record.name.to_string()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_whole_name_wins_over_a_prefix_and_ambiguity_is_an_error() {
        let (store, _dir) = store(&[("haze-12", 1, 1), ("haze-34", 2, 2), ("haze", 3, 3), ("paper", 4, 4)]).await;
        assert_eq!(found(&store, "haze").await.unwrap(), "haze");
        assert_eq!(found(&store, "haze-1").await.unwrap(), "haze-12");
        assert_eq!(found(&store, "p").await.unwrap(), "paper");
        let error = found(&store, "haze-").await.unwrap_err();
        assert_eq!(error, "several runs have names that begin with `haze-`: haze-12, haze-34");
        let error = found(&store, "papr").await.unwrap_err();
        assert!(error.contains("there is no run `papr`") && error.contains("paper"), "{error}");
    }

    #[tokio::test]
    async fn the_run_that_was_used_last_is_not_the_one_that_was_planned_last() {
        let (store, _dir) = store(&[("a", 1, 9), ("b", 5, 5), ("c", 2, 2)]).await;
        assert_eq!(RunRecord::last_used(&store).await.unwrap().name.as_str(), "a");
        let mut unplanned = RunRecord::last_used(&store).await.unwrap();
        (unplanned.name, unplanned.state) = ("typo".parse().unwrap(), RunState::Failed);
        unplanned.updated = Timestamp::from_second(20).unwrap();
        unplanned.write(&store).await.unwrap();
        assert_eq!(RunRecord::last_used(&store).await.unwrap().name.as_str(), "a");
        let empty = tempfile::tempdir().unwrap();
        let store = Store::open(empty.path().to_str().unwrap(), Path::new("")).unwrap();
        let error = RunRecord::last_used(&store).await.unwrap_err();
        assert!(matches!(error, RunRecordError::NoRuns { .. }), "{error}");
    }
}
