//! Tests of removals, with runs that begin at any moment of one.

use std::path::Path;

use super::*;
use crate::run::{RunRecord, RunState};
use crate::tables::scores::part_key;

const NOW: SignedDuration = SignedDuration::from_secs(-1);

struct Fixture {
    store: Store,
    _dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        Fixture { store: Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap(), _dir: dir }
    }

    async fn put(&self, keys: &[&str]) {
        for key in keys {
            self.store.put(key, "rows".into()).await.unwrap();
        }
    }

    async fn write_run(&self, name: &str, parts: &[&str]) {
        self.write_run_in(RunState::Running, name, parts).await;
    }

    async fn write_run_in(&self, state: RunState, name: &str, parts: &[&str]) {
        let part =
            |key: &&str| serde_json::json!({"key": key, "dataset": "d", "algorithm": "a", "rows": 1, "windows": 1});
        let record = serde_json::json!({
            "name": name, "state": state, "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
            "spec": {"datasets": [], "model": "m", "prompts": null, "views": "v", "dtype": "f32", "device": "cpu",
                     "shard_windows_max": 1, "remark": null},
            "fingerprint": "f", "counts": {"pictures": 0, "windows": 0, "scored": 0, "failed": 0},
            "provenance": {}, "parts": parts.iter().map(part).collect::<Vec<_>>(),
        });
        serde_json::from_value::<RunRecord>(record).unwrap().write(&self.store).await.unwrap();
    }

    async fn keys(&self, folder: &str) -> Vec<String> {
        let mut keys = list_keys(&self.store, folder).await.unwrap();
        keys.sort_unstable();
        keys
    }
}

fn key(number: u32) -> String {
    key_of(number, 0)
}

/// Rows that were kept while the part `number` was made have another digest in the second half of its name.
fn key_of(number: u32, kept: u32) -> String {
    part_key("d", "a", &format!("0123456789ab-s01-{number:016x}{kept:016x}"))
}

#[tokio::test]
async fn a_part_is_put_back_if_a_run_names_it_before_the_removal_ends() {
    let fixture = Fixture::new();
    let (one, two, three) = (key(1), key(2), key(3));
    fixture.put(&[&one, &two, &three]).await;
    fixture.write_run("old", &[&one]).await;
    let aside = set_aside(&fixture.store, vec![one.clone(), two.clone(), three.clone(), key(4)]).await.unwrap();
    assert_eq!(fixture.keys(SCORES).await, std::slice::from_ref(&one), "what a run names is not touched");
    fixture.write_run("new", &[&two]).await;
    assert_eq!(finish(&fixture.store, aside).await.unwrap(), [three]);
    assert_eq!(fixture.keys(SCORES).await, [one, two]);
    assert!(fixture.keys(REMOVED).await.is_empty());
}

#[tokio::test]
async fn an_interrupted_removal_is_finished_by_a_collection() {
    let fixture = Fixture::new();
    let (one, two) = (key(1), key(2));
    fixture.put(&[&one, &two]).await;
    set_aside(&fixture.store, vec![one.clone(), two.clone()]).await.unwrap();
    fixture.write_run("new", &[&one]).await;
    let collected = collect_orphans(&fixture.store, GRACE).await.unwrap();
    assert_eq!((collected, fixture.keys(REMOVED).await.len()), (Collection::default(), 2), "it may be going on");
    let collected = collect_orphans(&fixture.store, NOW).await.unwrap();
    assert_eq!(collected.restored, std::slice::from_ref(&one));
    assert_eq!((fixture.keys(SCORES).await, fixture.keys(REMOVED).await), (vec![one], vec![]));
}

#[tokio::test]
async fn orphans_are_collected_after_the_grace_time() {
    let fixture = Fixture::new();
    let (named, orphan) = (key(1), key(2));
    let foreign = ["scores/notes.parquet", "scores/by_dataset=d/by_algorithm=a/mine.parquet"];
    fixture.put(&[&named, &orphan]).await;
    fixture.put(&foreign).await;
    assert_eq!(collect_orphans(&fixture.store, NOW).await.unwrap(), Collection::default(), "no run names a part");
    fixture.write_run("r", &[&named]).await;
    assert_eq!(collect_orphans(&fixture.store, GRACE).await.unwrap(), Collection::default());
    assert_eq!(collect_orphans(&fixture.store, NOW).await.unwrap().removed, [orphan]);
    assert_eq!(fixture.keys(SCORES).await.len(), 3, "files that are no parts stay");
}

#[tokio::test]
async fn rows_that_an_unfinished_run_goes_on_from_are_no_orphans() {
    let fixture = Fixture::new();
    let (kept, of_another) = (key_of(1, 7), key_of(2, 7));
    fixture.put(&[&kept, &of_another]).await;
    fixture.write_run("r", &[&key(1)]).await;
    assert_eq!(collect_orphans(&fixture.store, NOW).await.unwrap().removed, [of_another]);
    // The run itself removes them when it has made the part.
    assert_eq!(remove_unnamed(&fixture.store, vec![kept.clone()]).await.unwrap(), std::slice::from_ref(&kept));
    fixture.put(&[&kept]).await;
    fixture.write_run_in(RunState::Complete, "r", &[&key(1)]).await;
    assert_eq!(collect_orphans(&fixture.store, NOW).await.unwrap().removed, [kept]);
}

#[tokio::test]
async fn no_part_is_removed_while_a_record_cannot_be_read() {
    let fixture = Fixture::new();
    let (named, other) = (key(1), key(2));
    fixture.put(&[&named, &other]).await;
    fixture.write_run("r", &[&named]).await;
    fixture.put(&["runs/half/run.json"]).await;
    assert!(remove_unnamed(&fixture.store, vec![other.clone()]).await.unwrap().is_empty());
    assert_eq!(collect_orphans(&fixture.store, NOW).await.unwrap(), Collection::default());
    // A record becomes unreadable while a part is aside.
    fixture.store.delete("runs/half/run.json").await.unwrap();
    let aside = set_aside(&fixture.store, vec![other.clone()]).await.unwrap();
    fixture.put(&["runs/half/run.json"]).await;
    assert!(finish(&fixture.store, aside).await.unwrap().is_empty());
    assert_eq!(fixture.keys(SCORES).await, [named, other]);
}
