//! Tests of removals, also of interrupted ones, by what a check of the store finds.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::registry::RequestedDataset;
use crate::store_check::{self, ProblemKind};
use crate::tables::leaderboard::LEADERBOARD;
use crate::tables::scores::part_key;

struct Fixture {
    store: Store,
    _dir: tempfile::TempDir,
}

impl Fixture {
    /// With the complete runs `a` and `b`, which share the second part of three, and the report of each.
    async fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let fixture = Fixture { store, _dir: dir };
        for number in 1..=3 {
            fixture.store.put(&key(number), "rows".into()).await.unwrap();
        }
        fixture.write_run("a", RunState::Complete, &[1, 2]).await;
        fixture.write_run("b", RunState::Complete, &[2, 3]).await;
        fixture
    }

    async fn write_run(&self, name: &str, state: RunState, parts: &[u32]) {
        let part = |number: &u32| serde_json::json!({"key": key(*number), "dataset": "d", "algorithm": "a", "rows": 5, "windows": 1});
        let record = serde_json::json!({
            "name": name, "state": state, "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
            "spec": {"datasets": [], "model": "m", "prompts": null, "views": "v", "dtype": "f32", "device": "cpu",
                     "shard_windows_max": 1, "remark": null},
            "fingerprint": "f", "counts": {"pictures": 0, "windows": 0, "scored": 0, "failed": 0},
            "provenance": {}, "parts": parts.iter().map(part).collect::<Vec<_>>(),
        });
        let record: RunRecord = serde_json::from_value(record).unwrap();
        record.write(&self.store).await.unwrap();
        self.store.put(&report_key(LEADERBOARD, &record.name), "table".into()).await.unwrap();
        self.store.put(&format!("runs/{name}/scores.sql"), "view".into()).await.unwrap();
    }

    async fn keys(&self) -> Vec<String> {
        let objects: Vec<Object> = self.store.list("").try_collect().await.unwrap();
        let mut keys: Vec<String> = objects.into_iter().map(|object| object.key).collect();
        keys.sort_unstable();
        keys
    }

    async fn problems(&self) -> Vec<(ProblemKind, String)> {
        let check = store_check::check(&self.store).await.unwrap();
        // The parts of these tests hold no rows.
        let real = check.problems.into_iter().filter(|problem| problem.kind != ProblemKind::Damaged);
        real.map(|problem| (problem.kind, problem.key)).collect()
    }
}

fn key(number: u32) -> String {
    key_of(number, 0)
}

/// Rows that were kept while the part `number` was made have another digest in the second half of its name.
fn key_of(number: u32, kept: u32) -> String {
    part_key("d", "a", &format!("0123456789ab-s01-{number:016x}{kept:016x}"))
}

fn names(names: &[&str]) -> Vec<RunName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_part_that_another_run_names_stays() {
    let fixture = Fixture::new().await;
    let before = fixture.keys().await;
    let removal = RunRemoval::plan(&fixture.store, &names(&["a"])).await.unwrap();
    assert_eq!(removal.parts, [FreedPart { key: key(1), rows: 5, bytes: 4 }]);
    assert_eq!((removal.parts_kept, removal.tables, removal.rows()), (1, 1, 5));
    let record = fixture.store.head("runs/a/run.json").await.unwrap().bytes;
    assert_eq!(removal.bytes(), 4 + record + "table".len() as u64 + "view".len() as u64);
    assert_eq!(fixture.keys().await, before, "a plan changes nothing");

    removal.remove_records(&fixture.store, RecordWriter::Command).await.unwrap();
    assert_eq!(removal.remove_parts(&fixture.store).await.unwrap(), [key(1)]);
    let mut kept = before;
    kept.retain(|key| *key != self::key(1) && !key.starts_with("runs/a/") && !key.contains("by_run=a/"));
    assert_eq!(fixture.keys().await, kept);
    assert_eq!(fixture.store.list_folders(RUNS).await.unwrap(), ["b"], "no empty folder is left");
    assert!(fixture.problems().await.is_empty());

    let both = Fixture::new().await;
    let removal = RunRemoval::plan(&both.store, &names(&["a", "b"])).await.unwrap();
    assert_eq!((removal.parts.len(), removal.parts_kept, removal.rows()), (3, 0, 15), "they share a part");
    removal.remove_records(&both.store, RecordWriter::Command).await.unwrap();
    removal.remove_parts(&both.store).await.unwrap();
    assert!(both.keys().await.is_empty());
}

#[tokio::test]
async fn the_name_of_a_data_set_is_free_when_nothing_of_it_is_left() {
    let fixture = Fixture::new().await;
    let requested = |root: &str| {
        let definition = toml::from_str(&format!("name = \"d\"\nroot = \"{root}\"\n")).unwrap();
        vec![RequestedDataset::new(&definition)]
    };
    let (first, other) = (requested("s3://b/first"), requested("s3://b/other"));
    registry::register(&fixture.store, &first, &[], "run a").await.unwrap();
    fixture.store.put("index/by_dataset=d/headers.parquet", "headers".into()).await.unwrap();
    let remove = async |run: &str| {
        let removal = RunRemoval::plan(&fixture.store, &names(&[run])).await.unwrap();
        removal.remove_records(&fixture.store, RecordWriter::Command).await.unwrap();
        removal.remove_parts(&fixture.store).await.unwrap();
    };
    remove("a").await;
    assert!(registry::check(&fixture.store, &other, &[]).await.is_err(), "run b has the data set");
    // Of a data set with the beginning of its name in common, there are splits.
    fixture.store.put("splits/d-e-0123456789abcdef.json", "{}".into()).await.unwrap();
    fixture.store.put("splits/d-0123456789abcdef.json", "{}".into()).await.unwrap();
    remove("b").await;
    assert!(registry::check(&fixture.store, &other, &[]).await.is_err(), "splits name its scenes");

    fixture.write_run("c", RunState::Complete, &[]).await;
    fixture.write_run("d", RunState::Complete, &[9]).await;
    fixture.store.delete("splits/d-0123456789abcdef.json").await.unwrap();
    remove("d").await;
    registry::check(&fixture.store, &other, &[]).await.unwrap();
    assert!(fixture.keys().await.iter().all(|key| !key.contains("=d/") && !key.starts_with("datasets/")));
}

#[tokio::test]
async fn what_was_kept_of_an_unfinished_part_goes_with_its_run() {
    let fixture = Fixture::new().await;
    fixture.write_run("c", RunState::Failed, &[4]).await;
    fixture.store.put(&key_of(4, 7), "rows".into()).await.unwrap();
    assert!(fixture.problems().await.is_empty(), "the run can go on from them");
    let removal = RunRemoval::plan(&fixture.store, &names(&["c"])).await.unwrap();
    assert_eq!(removal.parts, [FreedPart { key: key_of(4, 7), rows: 0, bytes: 4 }]);
}

#[tokio::test]
async fn what_an_interrupted_removal_leaves_is_found_and_repaired() {
    let fixture = Fixture::new().await;
    let removal = RunRemoval::plan(&fixture.store, &names(&["a"])).await.unwrap();
    removal.remove_records(&fixture.store, RecordWriter::Command).await.unwrap();
    assert_eq!(fixture.problems().await, [(ProblemKind::Orphan, key(1))]);
    let check = store_check::check(&fixture.store).await.unwrap();
    // Damaged parts are deleted too, and these hold no rows.
    store_check::repair(&fixture.store, &check, SignedDuration::from_secs(-1)).await.unwrap();
    assert!(!fixture.keys().await.contains(&key(1)));
}

#[tokio::test]
async fn a_run_that_begins_meanwhile_keeps_its_parts() {
    let fixture = Fixture::new().await;
    let removal = RunRemoval::plan(&fixture.store, &names(&["a", "b"])).await.unwrap();
    removal.remove_records(&fixture.store, RecordWriter::Command).await.unwrap();
    fixture.write_run("c", RunState::Running, &[3]).await;
    let mut removed = removal.remove_parts(&fixture.store).await.unwrap();
    removed.sort_unstable();
    assert_eq!(removed, [key(1), key(2)]);
    let removal = removal.with_removed(&removed);
    assert_eq!((removal.parts.len(), removal.parts_kept), (2, 1));
    assert!(fixture.keys().await.contains(&key(3)));
}

#[tokio::test]
async fn a_run_that_is_worked_on_is_not_removed() {
    let fixture = Fixture::new().await;
    fixture.write_run("a", RunState::Running, &[1]).await;
    let run = names(&["a"]);
    // Nobody works on it: it was interrupted.
    RunRemoval::plan(&fixture.store, &run).await.unwrap();
    let other = RunProcess { id: 1, identity: Default::default(), ..RunProcess::current("elsewhere".to_owned()) };
    other.write(&fixture.store, &run[0]).await.unwrap();
    let refused = RunRemoval::plan(&fixture.store, &run).await.unwrap_err();
    assert!(matches!(refused, RunRemovalError::Active { owner: Some(RunOwner::Process(_)), .. }), "{refused}");
    assert!(refused.hint().unwrap().contains("end process 1 on elsewhere"), "{refused}");
    // The claim of this process is no obstacle.
    RunProcess::current("here".to_owned()).write(&fixture.store, &run[0]).await.unwrap();
    RunRemoval::plan(&fixture.store, &run).await.unwrap();

    let mut managed = RunRecord::find(&fixture.store, &run[0]).await.unwrap().unwrap();
    managed.updated = Timestamp::now();
    managed.request = Some(
        serde_json::from_value(serde_json::json!({
            "algorithms": [], "device": "cpu", "priority": 0, "allow_missing": false, "retry_failed": false,
            "replicates": 2, "seed": 0,
        }))
        .unwrap(),
    );
    managed.write(&fixture.store).await.unwrap();
    let refused = RunRemoval::plan(&fixture.store, &run).await.unwrap_err();
    assert!(refused.hint().unwrap().contains("`dqa-coord cancel a`"), "{refused}");
}

#[tokio::test]
async fn nothing_is_removed_while_a_record_cannot_be_read() {
    let fixture = Fixture::new().await;
    fixture.store.put("runs/half/run.json", "{".into()).await.unwrap();
    let refused = RunRemoval::plan(&fixture.store, &names(&["a"])).await.unwrap_err();
    assert!(refused.to_string().contains("`half`"), "{refused}");
    fixture.store.delete("runs/half/run.json").await.unwrap();
    let refused = RunRemoval::plan(&fixture.store, &names(&["gone"])).await.unwrap_err();
    assert!(matches!(refused, RunRemovalError::Run(RunRecordError::Unknown { .. })), "{refused}");
}
