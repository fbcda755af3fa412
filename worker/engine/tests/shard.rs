//! Tests scoring a shard through its query operator: the part has a row for each picture, and pictures of older parts
//! are not scored again.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use dqa_engine::decode::Limits;
use dqa_engine::inference::InferenceSettings;
use dqa_engine::shard::operator::{self, RowScorerExtension};
use dqa_engine::shard::{ShardError, ShardOutcome, ShardScorer, StopFlag};
use dqa_model::{ClipWeights, Options, PromptMode, Prompts, Scorer};
use dqa_pipelines::metric::CLIP_DQA;
use dqa_pipelines::parts::{self, PartCounts, PartState};
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_pipelines::plan::{Shard, ShardPart, ShardPicture, is_kept_part};
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::scores::{PartColumns, ScoreRow};
use dqa_testkit::{Picture, chain, hf};
use tokio::runtime::Handle;

/// Far longer than any shard of these tests takes.
const HANG_TIMEOUT: Duration = Duration::from_secs(60);

/// A store with pictures, and a scorer for shards of them.
struct ShardFixture {
    dir: tempfile::TempDir,
    store: Store,
    scorer: Arc<ShardScorer>,
    fingerprint: String,
}

impl ShardFixture {
    fn new() -> ShardFixture {
        let dir = tempfile::tempdir().unwrap();
        let model = hf::cached("tiny", "system");
        let weights = ClipWeights::open(&model).unwrap();
        let prompts = Prompts::open(&model.join("prompts.safetensors"), weights.config()).unwrap();
        let scorer = Scorer::new(&weights, &PromptMode::Learned(prompts), &Options::default()).unwrap();
        let settings = InferenceSettings {
            batch: Some(8),
            decode_threads: 2,
            picture_bytes_max: 64 << 20,
            limits: Limits::default(),
        };
        ShardFixture {
            store: Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap(),
            fingerprint: scorer.fingerprint().to_string(),
            scorer: Arc::new(ShardScorer::new(Some(Arc::new(scorer)), settings, "cpu".to_owned())),
            dir,
        }
    }

    /// Writes a picture to the store and returns its entry of a shard.
    fn picture(&self, name: &str, file: &[u8]) -> ShardPicture {
        std::fs::write(self.dir.path().join(name), file).unwrap();
        ShardPicture {
            scene: name.to_owned(),
            scene_group: None,
            image: name.to_owned(),
            uri: self.store.address(name),
            bytes: file.len() as u64,
            version: "1".to_owned(),
            mos: Some(0.5),
            raters: None,
            clear: None,
            hazy: None,
        }
    }

    fn shard(&self, part: &str, pictures: &[ShardPicture], reuse: &[&Shard]) -> Shard {
        Shard {
            store: self.store.url().to_string(),
            parts: vec![ShardPart {
                columns: PartColumns {
                    dataset: "d".to_owned(),
                    algorithm: "a".to_owned(),
                    metric: CLIP_DQA.to_owned(),
                    fingerprint: self.fingerprint.clone(),
                    part: part.to_owned(),
                },
                reuse: reuse.iter().map(|shard| shard.parts[0].key()).collect(),
            }],
            retry_failed: false,
            pictures: pictures.to_vec(),
            windows: 1,
            facts: Vec::new(),
            limits: PictureLimits::default(),
            parameters: None,
        }
    }

    async fn try_score(&self, shard: &Shard) -> Result<ShardOutcome, datafusion::error::DataFusionError> {
        let config = SessionConfig::new().with_extension(Arc::new(RowScorerExtension::new(self.scorer.clone())));
        let session = SessionContext::new_with_config(config);
        let batches = collect(operator::plan(shard.to_text())?, session.task_ctx()).await?;
        Ok(operator::outcomes(&batches)?.pop().unwrap())
    }

    /// Scores the shard, checks that its part is complete, and returns the outcome and the rows of the part.
    async fn score(&self, shard: &Shard) -> (ShardOutcome, Vec<ScoreRow>) {
        let outcome = self.try_score(shard).await.unwrap();
        let found = parts::inspect(&self.store, &shard.parts[0].key(), shard.pictures.len() as u64).await.unwrap();
        let PartState::Complete(PartCounts { rows, failed, .. }) = found else { panic!("{found:?}") };
        assert_eq!((rows, failed), (outcome.rows, outcome.failed));
        (outcome, parts::read_rows(&self.store, &shard.parts[0].key()).await.unwrap())
    }
}

fn png(seed: u64) -> Vec<u8> {
    Picture::synthetic(seed, 320, 240).png()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_picture_has_a_row_in_order() {
    let fixture = ShardFixture::new();
    let gone = ShardPicture { uri: fixture.store.address("gone.png"), ..fixture.picture("b.png", b"") };
    let pictures = [fixture.picture("c.png", &png(1)), gone, fixture.picture("a.png", b"no picture")];
    let (outcome, rows) = fixture.score(&fixture.shard("p", &pictures, &[])).await;
    assert_eq!((outcome.rows, outcome.failed, outcome.reused, outcome.windows), (3, 2, 0, 2));
    assert_eq!(rows.iter().map(|row| row.image.as_str()).collect::<Vec<_>>(), ["c.png", "b.png", "a.png"]);
    let spread = rows[0].score.clone().unwrap();
    assert!(spread.min <= spread.score && spread.score <= spread.max && spread.std <= spread.max - spread.min);
    assert_eq!((rows[0].width, rows[0].height, rows[0].windows), (Some(320), Some(240), 2));
    assert_eq!(rows[0].digest, Some(blake3::hash(&png(1)).to_string()));
    let code = |row: &ScoreRow| row.score.clone().unwrap_err().code;
    assert_eq!((code(&rows[1]), code(&rows[2])), ("io".to_owned(), "not_an_image".to_owned()));
    assert_eq!((&rows[1].digest, rows[2].digest.is_some()), (&None, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_older_parts_are_reused() {
    let fixture = ShardFixture::new();
    let (one, bad) = (fixture.picture("1.png", &png(1)), fixture.picture("bad.png", b"no picture"));
    let old = fixture.shard("old", &[one.clone(), bad.clone()], &[]);
    let (_, old_rows) = fixture.score(&old).await;

    let labelled = ShardPicture { mos: Some(0.9), scene: "other".to_owned(), ..one.clone() };
    let new = fixture.shard("new", &[bad.clone(), labelled, fixture.picture("2.png", &png(2))], &[&old]);
    let (outcome, rows) = fixture.score(&new).await;
    assert_eq!((outcome.reused, outcome.windows), (2, 2), "only 2.png is scored");
    assert_eq!(rows[0], old_rows[1], "failed rows are reused, too");
    assert_eq!(rows[1], ScoreRow { mos: Some(0.9), scene: "other".to_owned(), ..old_rows[0].clone() });

    let changed = ShardPicture { version: "2".to_owned(), ..one.clone() };
    let (outcome, _) = fixture.score(&fixture.shard("changed", &[changed, bad.clone()], &[&old])).await;
    assert_eq!((outcome.reused, outcome.windows), (1, 2), "another version is another picture");

    std::fs::write(fixture.dir.path().join("bad.png"), png(3)).unwrap();
    let retried = Shard { retry_failed: true, ..fixture.shard("old", &[one, bad], &[&old]) };
    let (outcome, rows) = fixture.score(&retried).await;
    assert_eq!((outcome.reused, outcome.failed), (1, 0), "the failed picture is retried");
    assert_eq!(rows[0], old_rows[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_kept_while_a_shard_is_scored_are_not_scored_again() {
    let fixture = ShardFixture::new();
    let pictures: Vec<ShardPicture> =
        (0..6).map(|number| fixture.picture(&format!("{number}.png"), &png(number))).collect();
    let name = format!("{}-s-{}", &fixture.fingerprint[..12], "0".repeat(32));
    let keeping = ShardScorer::clone(&fixture.scorer).keeping_rows(Duration::ZERO);
    // The shard fails at its last picture.
    std::fs::remove_file(fixture.dir.path().join("5.png")).unwrap();
    let mut shard = fixture.shard(&name, &pictures, &[]);
    let failing = tokio::task::spawn_blocking({
        let (keeping, shard) = (keeping.clone().refusing_unreadable(), shard.clone());
        move || keeping.score(&shard, &Handle::current(), &StopFlag::default())
    });
    failing.await.unwrap().unwrap_err();
    let folder = shard.parts[0].key().rsplit_once('/').unwrap().0.to_owned();
    let list = async || -> Vec<String> {
        fixture.store.list_sorted(&folder).await.unwrap().into_iter().map(|object| object.key).collect()
    };
    let kept = list().await;
    let file = |key: &str| key.rsplit('/').next().unwrap().trim_end_matches(".parquet").to_owned();
    assert_eq!(kept.len(), 5, "a part with each picture: {kept:?}");
    assert!(kept.iter().all(|key| is_kept_part(&file(key), &name)), "{kept:?}");

    fixture.picture("5.png", &png(5));
    shard.parts[0].reuse.clone_from(&kept);
    let outcome = tokio::task::spawn_blocking({
        let shard = shard.clone();
        move || keeping.score(&shard, &Handle::current(), &StopFlag::default())
    });
    let outcome = outcome.await.unwrap().unwrap();
    assert_eq!((outcome.rows, outcome.failed, outcome.reused, outcome.windows), (6, 0, 5, 2));
    let now = list().await;
    assert_eq!(now.len(), 6, "its own kept row is gone, and who plans the shard removes the older ones: {now:?}");
    let whole = fixture.shard("whole", &pictures, &[]);
    let (_, expected) = fixture.score(&whole).await;
    let found = parts::read_rows(&fixture.store, &shard.parts[0].key()).await.unwrap();
    let scores = |rows: &[ScoreRow]| rows.iter().map(|row| (row.image.clone(), row.score.clone())).collect::<Vec<_>>();
    assert_eq!(scores(&found), scores(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_this_machine_cannot_read_is_left_to_others_if_there_are_any() {
    let fixture = ShardFixture::new();
    let pictures = [fixture.picture("1.png", &png(1)), fixture.picture("2.png", &png(2))];
    std::fs::remove_file(fixture.dir.path().join("2.png")).unwrap();
    let shard = fixture.shard("p", &pictures, &[]);
    let (scorer, left) = ((*fixture.scorer).clone().refusing_unreadable(), shard.clone());
    let runtime = Handle::current();
    let scoring = tokio::task::spawn_blocking(move || scorer.score(&left, &runtime, &StopFlag::default()));
    let error = scoring.await.unwrap().unwrap_err();
    assert!(matches!(&error, ShardError::Unreadable { image, .. } if image == "2.png"), "{}", chain(&error));
    assert_eq!(parts::inspect(&fixture.store, &shard.parts[0].key(), 2).await.unwrap(), PartState::Missing);

    let (outcome, rows) = fixture.score(&shard).await;
    assert_eq!((outcome.failed, rows[1].score.clone().unwrap_err().code), (1, "io".to_owned()));
    std::fs::write(fixture.dir.path().join("2.png"), png(2)).unwrap();
    let (outcome, rows) = fixture.score(&fixture.shard("later", &pictures, &[&shard])).await;
    assert_eq!((outcome.reused, outcome.failed), (1, 0), "what could not be read is read again");
    assert!(rows[1].score.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_older_parts_are_ignored() {
    let fixture = ShardFixture::new();
    let pictures = [fixture.picture("1.png", &png(1))];
    let (gone, damaged) = (fixture.shard("gone", &pictures, &[]), fixture.shard("damaged", &pictures, &[]));
    fixture.store.put(&damaged.parts[0].key(), "no parquet".into()).await.unwrap();
    let (outcome, _) = fixture.score(&fixture.shard("p", &pictures, &[&gone, &damaged])).await;
    assert_eq!((outcome.reused, outcome.windows), (0, 2));
}

/// Tests pictures of which three fill the read-ahead buffer. Reading ahead must leave room for the picture that is
/// needed next.
#[tokio::test(flavor = "multi_thread")]
async fn reading_ahead_of_large_pictures_does_not_deadlock() {
    let fixture = ShardFixture::new();
    // Only the length in the shard matters, not that of the file.
    let large =
        |number: usize| ShardPicture { bytes: 20 << 20, ..fixture.picture(&format!("{number:02}.png"), b"no picture") };
    let pictures: Vec<ShardPicture> = (0..48).map(large).collect();
    for part in 0..20 {
        let shard = fixture.shard(&format!("p{part}"), &pictures, &[]);
        let scored = tokio::time::timeout(HANG_TIMEOUT, fixture.score(&shard)).await;
        let (outcome, rows) = scored.expect("reading ahead does not deadlock");
        assert_eq!((outcome.rows, outcome.failed), (48, 48));
        assert!(rows.iter().zip(&pictures).all(|(row, picture)| row.image == picture.image));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_for_another_model_is_refused() {
    let fixture = ShardFixture::new();
    let mut shard = fixture.shard("p", &[fixture.picture("1.png", &png(1))], &[]);
    shard.parts[0].columns.fingerprint = "ab".repeat(32);
    let error = fixture.try_score(&shard).await.unwrap_err();
    assert!(
        chain(&error).contains(&format!("is for clip-dqa {}", shard.parts[0].columns.fingerprint)),
        "{}",
        chain(&error)
    );
    assert_eq!(parts::inspect(&fixture.store, &shard.parts[0].key(), 1).await.unwrap(), PartState::Missing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_is_scored_by_its_own_limits() {
    let fixture = ShardFixture::new();
    let (small, large) = (fixture.picture("small.png", &png(1)), fixture.picture("large.png", &png(2)));
    let large = ShardPicture { bytes: 1 << 20, ..large };
    let pictures = [small, large];
    let codes = |rows: &[ScoreRow]| rows.iter().map(|row| row.score.clone().err().map(|f| f.code)).collect::<Vec<_>>();
    let too_large = || Some("too_large".to_owned());
    let default_limits = PictureLimits::default();

    let limited = Shard {
        limits: PictureLimits { bytes_max: 1 << 19, ..default_limits },
        ..fixture.shard("limited", &pictures, &[])
    };
    let (outcome, rows) = fixture.score(&limited).await;
    assert_eq!((outcome.failed, codes(&rows)), (1, vec![None, too_large()]));

    // A picture that exceeded a limit is scored without the limit, and the other row is reused.
    let all = fixture.shard("all", &pictures, &[&limited]);
    let (outcome, rows) = fixture.score(&all).await;
    assert_eq!((outcome.reused, codes(&rows)), (1, vec![None, None]));

    // A picture with a score is refused if it exceeds the limits of the new shard.
    for limits in
        [PictureLimits { side_max: 300, ..default_limits }, PictureLimits { pixels_max: 76_799, ..default_limits }]
    {
        let relimited = Shard { limits, ..fixture.shard("again", &pictures, &[&all]) };
        let (outcome, rows) = fixture.score(&relimited).await;
        assert_eq!((outcome.reused, codes(&rows)), (0, vec![too_large(), too_large()]));
    }
}
