//! A store with every kind of problem, and its repair.

use std::path::Path;

use super::*;
use crate::picture_limits::PictureLimits;
use crate::plan::{Shard, ShardPart, ShardPicture};
use crate::run::RunRecord;
use crate::tables::scores::{PartColumns, ScoreRow, ScoreStatistics};

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

    /// Writes a part with rows of these pictures, and returns its key.
    async fn write_part(&self, name: &str, pictures: &[&str]) -> String {
        let columns = PartColumns {
            dataset: "a-set".to_owned(),
            algorithm: "dcp".to_owned(),
            metric: "clip-dqa".to_owned(),
            fingerprint: "0123456789abcdef".to_owned(),
            part: format!("0123456789ab-{name}"),
        };
        let part = ShardPart { columns, reuse: Vec::new() };
        let picture = |image: &&str| ShardPicture {
            scene: (*image).to_owned(),
            scene_group: None,
            image: (*image).to_owned(),
            uri: String::new(),
            bytes: 1,
            version: "v".to_owned(),
            mos: None,
            raters: None,
            clear: None,
            hazy: None,
        };
        let row = |image: &&str| ScoreRow {
            scene: (*image).to_owned(),
            scene_group: None,
            image: (*image).to_owned(),
            uri: String::new(),
            version: "v".to_owned(),
            digest: None,
            width: None,
            height: None,
            windows: 1,
            score: Ok(ScoreStatistics { score: 0.5, std: 0.0, min: 0.5, max: 0.5 }),
            mos: None,
            raters: None,
            flat_share: None,
        };
        let shard = Shard {
            store: String::new(),
            parts: Vec::new(),
            retry_failed: false,
            pictures: pictures.iter().map(picture).collect(),
            windows: 1,
            facts: Vec::new(),
            limits: PictureLimits::default(),
            parameters: None,
        };
        let rows: Vec<ScoreRow> = pictures.iter().map(row).collect();
        self.store.put(&part.key(), parts::encode(&shard, &part, &rows, &[])).await.unwrap();
        part.key()
    }

    async fn write_run(&self, name: &str, parts: &[(&str, u64)]) {
        let part = |(key, rows): &(&str, u64)| serde_json::json!({"key": key, "dataset": "a-set", "algorithm": "dcp", "rows": rows, "windows": rows});
        let record = serde_json::json!({
            "name": name, "state": "complete", "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
            "spec": {"datasets": [], "model": "m", "prompts": null, "views": "v", "dtype": "f32", "device": "cpu",
                     "shard_windows_max": 1, "remark": null},
            "fingerprint": "f", "counts": {"pictures": 0, "windows": 0, "scored": 0, "failed": 0},
            "provenance": {}, "parts": parts.iter().map(part).collect::<Vec<_>>(),
        });
        serde_json::from_value::<RunRecord>(record).unwrap().write(&self.store).await.unwrap();
    }

    async fn found(&self) -> Vec<(ProblemKind, String)> {
        let check = check(&self.store).await.unwrap();
        check.problems.into_iter().map(|problem| (problem.kind, problem.key)).collect()
    }
}

#[tokio::test]
async fn a_sound_store_has_no_problems() {
    let fixture = Fixture::new();
    let [one, two] = [fixture.write_part("s0-1", &["a", "b"]).await, fixture.write_part("s1-2", &["c"]).await];
    fixture.write_run("r", &[(&one, 2), (&two, 1)]).await;
    assert_eq!(check(&fixture.store).await.unwrap(), StoreCheck { runs: 1, parts: 2, problems: Vec::new() });
}

#[tokio::test]
async fn every_kind_of_problem_is_found_and_what_is_safe_is_repaired() {
    let fixture = Fixture::new();
    let whole = fixture.write_part("s0-1", &["a", "b"]).await;
    let damaged = fixture.write_part("s1-2", &["c"]).await;
    let short = fixture.write_part("s1-3", &["d"]).await;
    let orphan = fixture.write_part("s0-4", &["b"]).await;
    let missing = orphan.replace("s0-4", "s0-5");
    fixture.write_run("r", &[(&whole, 2), (&damaged, 1), (&short, 2), (&missing, 1)]).await;
    let mut bytes = fixture.store.get(&damaged).await.unwrap().to_vec();
    bytes[40] ^= 1;
    fixture.store.put(&damaged, bytes.into()).await.unwrap();
    let aside = format!("{REMOVED}/1/{missing}");
    fixture.store.put(&aside, "rows".into()).await.unwrap();
    let expected = [
        (ProblemKind::Damaged, damaged.clone()),
        (ProblemKind::Damaged, short.clone()),
        (ProblemKind::Missing, missing.clone()),
        (ProblemKind::Orphan, orphan.clone()),
        (ProblemKind::Double, orphan.clone()),
        (ProblemKind::Aside, aside),
    ];
    assert_eq!(fixture.found().await, expected);

    let before = check(&fixture.store).await.unwrap();
    let repaired = repair(&fixture.store, &before, NOW).await.unwrap();
    assert_eq!(repaired.deleted, std::slice::from_ref(&damaged));
    assert_eq!((repaired.collection.removed, repaired.collection.restored), (vec![orphan], vec![missing.clone()]));
    // What was put back was no part; a part that was made with other rows is the run's to make again.
    let left = [(ProblemKind::Damaged, missing), (ProblemKind::Damaged, short), (ProblemKind::Missing, damaged)];
    assert_eq!(fixture.found().await, left);
}

#[tokio::test]
async fn nothing_is_removed_while_a_record_cannot_be_read() {
    let fixture = Fixture::new();
    let [one, orphan] = [fixture.write_part("s0-1", &["a"]).await, fixture.write_part("s1-2", &["b"]).await];
    fixture.write_run("r", &[(&one, 1)]).await;
    fixture.store.put("runs/half/run.json", "{".into()).await.unwrap();
    let expected = [(ProblemKind::Unreadable, "runs/half/run.json".to_owned()), (ProblemKind::Orphan, orphan)];
    assert_eq!(fixture.found().await, expected);
    let repaired = repair(&fixture.store, &check(&fixture.store).await.unwrap(), NOW).await.unwrap();
    assert_eq!((repaired, fixture.found().await), (Repair::default(), expected.to_vec()));
}
