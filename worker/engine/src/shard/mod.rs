//! Scores a shard: the pictures it names in, one part in the store out.
//!
//! [`ShardScorer`] does it; [`operator`] is the same as a step of a DataFusion plan, so that this process and a cluster run
//! one plan. Rows that an older part holds already are taken over, the others go through the engine.

#[cfg(feature = "operator")]
pub mod operator;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dqa_model::{ModelError, PictureScore, Scorer};
use dqa_pipelines::causes;
use dqa_pipelines::parts::{self, Found, PartError};
use dqa_pipelines::plan::{Shard, ShardPicture};
use dqa_pipelines::store::{Store, StoreError, StoreResolver};
use dqa_pipelines::tables::scores::{Failure, ScoreRow, Spread};
use jiff::Timestamp;
use tokio::runtime::Handle;
use tracing::{debug, info, warn};

use crate::decode::{ErrorCode, Limits};
use crate::fetch::{self, Fetched};
use crate::inference::{self, Outcome, Settings};
use crate::provenance::host;

/// Why a shard could not be scored. A picture's failure is a row, not this.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The device or the model failed.
    #[error("the model failed on part {part}")]
    Model {
        /// Whose pictures were being scored.
        part: String,
        /// What failed.
        #[source]
        source: ModelError,
    },
    /// It was planned for another model.
    #[error("part {part} is for model {wanted}, and this worker has {loaded}")]
    OtherModel {
        /// What was to be made.
        part: String,
        /// The fingerprint that the plan names.
        wanted: String,
        /// The fingerprint of the model here.
        loaded: String,
    },
    /// It was told to stop.
    #[error("part {part} was stopped")]
    Stopped {
        /// What was being made.
        part: String,
    },
}

/// Tells a shard that is being scored to stop, at its next picture.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on.
    pub fn stop(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether it was told.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// What became of a shard.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardOutcome {
    /// The part in the store.
    pub key: String,
    /// Rows in it.
    pub rows: u64,
    /// Of them, those without a score.
    pub failed: u64,
    /// Of them, those taken over from older parts.
    pub reused: u64,
    /// Windows scored.
    pub windows: u64,
    /// From the shard's arrival to its part's.
    pub wall: Duration,
}

/// Counts that grow while shards are scored, for whoever watches.
#[derive(Debug, Default)]
pub struct Progress {
    /// Windows of the pictures that are done.
    pub windows: AtomicU64,
    /// Pictures done.
    pub pictures: AtomicU64,
    /// Of them, those without a score.
    pub failed: AtomicU64,
}

/// A model and what it may take of the machine, ready for shards. Cheap to clone.
#[derive(Clone)]
pub struct ShardScorer {
    scorer: Arc<Scorer>,
    fingerprint: String,
    settings: Settings,
    addresses: Arc<StoreResolver>,
    progress: Arc<Progress>,
    device: String,
}

impl ShardScorer {
    /// With a loaded model; `device` is where it runs, for the record. Of the settings the limits are each shard's own.
    pub fn new(scorer: Arc<Scorer>, settings: Settings, device: String) -> ShardScorer {
        ShardScorer {
            device,
            fingerprint: scorer.fingerprint().to_string(),
            scorer,
            settings,
            addresses: Arc::default(),
            progress: Arc::default(),
        }
    }

    /// The same, counted elsewhere.
    pub fn counted_in(&self, progress: Arc<Progress>) -> ShardScorer {
        ShardScorer { progress, ..self.clone() }
    }

    /// How far it is.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Scores a shard and writes its part. Blocks: it belongs on a thread of its own; `runtime` does its reading.
    ///
    /// # Errors
    /// Where the store or the device fails, the shard is for another model, or it was told to stop. A picture that fails is
    /// a row, but for one that a store beyond this machine did not answer about: that is the store's failure.
    pub fn score(&self, shard: &Shard, runtime: &Handle, stop: &Stop) -> Result<ShardOutcome, ShardError> {
        let started = Instant::now();
        let part = &shard.part.part;
        if shard.part.fingerprint != self.fingerprint {
            let (wanted, loaded) = (shard.part.fingerprint.clone(), self.fingerprint.clone());
            return Err(ShardError::OtherModel { part: part.clone(), wanted, loaded });
        }
        let store = self.addresses.open(&shard.store)?;
        let mut known = runtime.block_on(rows_known(&store, shard))?;
        let missing: Vec<&ShardPicture> =
            shard.pictures.iter().filter(|picture| !known.contains_key(&picture.image)).collect();
        let reused = known.len() as u64;
        let windows = self.score_missing(shard, &missing, runtime, stop, |row| {
            known.insert(row.image.clone(), row);
        })?;
        let rows: Vec<ScoreRow> = shard.pictures.iter().filter_map(|picture| known.remove(&picture.image)).collect();
        let failed = rows.iter().filter(|row| row.score.is_err()).count() as u64;
        let facts = self.facts(started);
        runtime.block_on(store.put(&shard.key(), parts::encode(shard, &rows, &facts)))?;
        let outcome = ShardOutcome {
            key: shard.key(),
            rows: rows.len() as u64,
            failed,
            reused,
            windows,
            wall: started.elapsed(),
        };
        info!(%part, rows = outcome.rows, failed, reused, windows, "part written");
        Ok(outcome)
    }

    /// Who made a part, on what, when.
    fn facts(&self, started: Instant) -> Vec<(String, String)> {
        let facts = [
            ("dqa.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("dqa.host", host()),
            ("dqa.device", self.device.clone()),
            ("dqa.views", self.scorer.views().to_string()),
            ("dqa.written", Timestamp::now().to_string()),
            ("dqa.seconds", format!("{:.3}", started.elapsed().as_secs_f64())),
        ];
        facts.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// Hands each missing picture's row to `each`; how many windows were scored.
    fn score_missing(
        &self,
        shard: &Shard,
        missing: &[&ShardPicture],
        runtime: &Handle,
        stop: &Stop,
        mut each: impl FnMut(ScoreRow),
    ) -> Result<u64, ShardError> {
        if missing.is_empty() {
            return Ok(0);
        }
        let wanted = missing.iter().map(|picture| (picture.uri.clone(), picture.bytes)).collect();
        // The order's and not those of this process: parts of one name have one content, whoever makes them.
        let limits = Limits::of(shard.limits, self.scorer.views().side_min());
        let settings = Settings { limits, ..self.settings.clone() };
        let sources = fetch::ahead(&self.addresses, wanted, &settings.limits, runtime);
        let mut unanswered = None;
        let run = inference::run(&self.scorer, &settings, sources, Fetched::take, |fetched, outcome| {
            unanswered = fetched.unanswered;
            if stop.is_stopped() || unanswered.is_some() {
                return ControlFlow::Break(());
            }
            let row = row(missing[fetched.place], fetched.digest, outcome);
            self.progress.windows.fetch_add(u64::try_from(row.windows).unwrap_or(0), Relaxed);
            self.progress.pictures.fetch_add(1, Relaxed);
            self.progress.failed.fetch_add(u64::from(row.score.is_err()), Relaxed);
            debug!(image = row.image, failed = row.score.is_err(), "picture done");
            each(row);
            ControlFlow::Continue(())
        });
        let report = run.map_err(|source| ShardError::Model { part: shard.part.part.clone(), source })?;
        match unanswered {
            Some(error) => Err(error.into()),
            None if stop.is_stopped() => Err(ShardError::Stopped { part: shard.part.part.clone() }),
            None => Ok(report.windows),
        }
    }
}

/// Writes the part of a shard that nobody could score: what older parts hold is taken over, every other picture is a row
/// with this code and message.
///
/// # Errors
/// Where the store fails.
pub async fn write_failed(store: &Store, shard: &Shard, code: &str, message: &str) -> Result<ShardOutcome, StoreError> {
    let started = Instant::now();
    // Somebody may have scored it after all.
    if !shard.retry_failed
        && let Found::Whole(counts) = parts::find(store, &shard.key(), shard.pictures.len() as u64).await?
    {
        let (key, wall, rows) = (shard.key(), started.elapsed(), counts.rows);
        return Ok(ShardOutcome { key, rows, failed: counts.failed, reused: rows, windows: 0, wall });
    }
    let mut known = rows_known(store, shard).await?;
    let reused = known.len() as u64;
    let failed = |picture: &ShardPicture| ScoreRow {
        scene: picture.scene.clone(),
        scene_group: picture.scene_group.clone(),
        image: picture.image.clone(),
        uri: picture.uri.clone(),
        version: picture.version.clone(),
        digest: None,
        width: None,
        height: None,
        windows: 0,
        score: Err(Failure { code: code.to_owned(), message: message.to_owned() }),
        mos: picture.mos,
        raters: picture.raters,
    };
    let row = |picture: &ShardPicture| known.remove(&picture.image).unwrap_or_else(|| failed(picture));
    let rows: Vec<ScoreRow> = shard.pictures.iter().map(row).collect();
    let facts = [("dqa.host".to_owned(), host()), ("dqa.written".to_owned(), Timestamp::now().to_string())];
    store.put(&shard.key(), parts::encode(shard, &rows, &facts)).await?;
    Ok(ShardOutcome {
        key: shard.key(),
        rows: rows.len() as u64,
        failed: rows.iter().filter(|row| row.score.is_err()).count() as u64,
        reused,
        windows: 0,
        wall: started.elapsed(),
    })
}

/// The shard's rows that older parts hold: of the same picture in the same version. Labels and addresses are the shard's.
/// A part that cannot be read is none: its rows are scored again.
/// One that a store did not answer about is waited for: its rows may be there.
async fn rows_known(store: &Store, shard: &Shard) -> Result<HashMap<String, ScoreRow>, StoreError> {
    let wanted: HashMap<&str, &ShardPicture> =
        shard.pictures.iter().map(|picture| (picture.image.as_str(), picture)).collect();
    let mut known = HashMap::new();
    for key in &shard.reuse {
        let rows = match parts::rows(store, key).await {
            Ok(rows) => rows,
            Err(PartError::Store(error)) if error.is_of_store() => return Err(error),
            Err(error) => {
                warn!(error = %causes(&error), "an older part is not used");
                continue;
            }
        };
        for row in rows {
            let Some(picture) = wanted.get(row.image.as_str()).filter(|picture| picture.version == row.version) else {
                continue;
            };
            if stands(&row, picture, shard) {
                known.insert(row.image.clone(), renamed(row, picture));
            }
        }
    }
    Ok(known)
}

/// Whether scoring the picture again would give this row: it was made with limits that may have been others.
fn stands(row: &ScoreRow, picture: &ShardPicture, shard: &Shard) -> bool {
    match &row.score {
        Err(failure) => !shard.retry_failed && failure.code != ErrorCode::TooLarge.as_str(),
        Ok(_) => {
            let side = |pixels: Option<i32>| pixels.and_then(|pixels| u64::try_from(pixels).ok()).unwrap_or(0);
            let limits = Limits::of(shard.limits, 0);
            let is_taken = limits.check_size(side(row.width), side(row.height)).is_ok();
            is_taken && limits.check_bytes(picture.bytes).is_ok()
        }
    }
}

/// What was measured, with all else as the plan has it.
fn renamed(measured: ScoreRow, picture: &ShardPicture) -> ScoreRow {
    let ShardPicture { scene, scene_group, image, uri, version, mos, raters, bytes: _ } = picture.clone();
    ScoreRow { scene, scene_group, image, uri, version, mos, raters, ..measured }
}

fn row(picture: &ShardPicture, digest: Option<String>, outcome: Outcome) -> ScoreRow {
    let side = |pixels: u32| i32::try_from(pixels).ok();
    ScoreRow {
        scene: picture.scene.clone(),
        scene_group: picture.scene_group.clone(),
        image: picture.image.clone(),
        uri: picture.uri.clone(),
        version: picture.version.clone(),
        digest,
        width: outcome.size.and_then(|(width, _)| side(width)),
        height: outcome.size.and_then(|(_, height)| side(height)),
        windows: outcome.score.as_ref().map_or(0, |score| i32::try_from(score.windows.len()).unwrap_or(i32::MAX)),
        score: outcome
            .score
            .map(|score| spread(&score))
            .map_err(|error| Failure { code: error.code().to_string(), message: error.line() }),
        mos: picture.mos,
        raters: picture.raters,
    }
}

fn spread(score: &PictureScore) -> Spread {
    let windows = || score.windows.iter().map(|window| f64::from(*window));
    let variance = windows().map(|window| (window - score.score).powi(2)).sum::<f64>() / score.windows.len() as f64;
    Spread {
        score: score.score,
        std: variance.sqrt(),
        min: windows().fold(f64::INFINITY, f64::min),
        max: windows().fold(f64::NEG_INFINITY, f64::max),
    }
}
