//! Shard scoring: reads the pictures that a shard names and writes one part to the store.
//!
//! [`ShardScorer`] scores shards; `operator` makes it a step of a DataFusion plan, so that this process and a cluster
//! run the same plan. Rows that an older part holds are reused, the other pictures are scored.

#[cfg(feature = "operator")]
pub mod operator;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dqa_model::{ModelError, PictureScore, Scorer};
use dqa_pipelines::causes;
use dqa_pipelines::parts::{self, PartError, PartState};
use dqa_pipelines::plan::{Shard, ShardPicture};
use dqa_pipelines::store::{Store, StoreError, StoreResolver};
use dqa_pipelines::tables::scores::{ScoreRow, ScoreStatistics, ScoringFailure};
use jiff::Timestamp;
use tokio::runtime::Handle;
use tracing::{debug, info, warn};

use crate::decode::{ErrorCode, Limits};
use crate::fetch::{self, FetchedPicture};
use crate::inference::{self, InferenceSettings, PictureOutcome};
use crate::provenance::host;

/// Why a shard cannot be scored. A picture's failure is a row, not an error.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The device or the model fails.
    #[error("the model failed on part {part}")]
    Model {
        /// The part that was being made.
        part: String,
        /// The model's error.
        #[source]
        source: ModelError,
    },
    /// The shard was planned for another model.
    #[error("part {part} is for model {wanted}, and this worker has {loaded}")]
    OtherModel {
        /// The part that was to be made.
        part: String,
        /// The fingerprint that the plan names.
        wanted: String,
        /// The fingerprint of the loaded model.
        loaded: String,
    },
    /// Scoring was stopped by its [`StopFlag`].
    #[error("part {part} was stopped")]
    Stopped {
        /// The part that was being made.
        part: String,
    },
}

/// Stops the scoring of a shard at its next picture.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Requests the stop.
    pub fn stop(&self) {
        self.0.store(true, Relaxed);
    }

    /// Returns whether the stop was requested.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// The result of a scored shard.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardOutcome {
    /// Key of the part in the store.
    pub key: String,
    /// Rows in the part.
    pub rows: u64,
    /// Rows without a score.
    pub failed: u64,
    /// Rows that were reused from older parts.
    pub reused: u64,
    /// Windows scored.
    pub windows: u64,
    /// Wall time from the start to the written part.
    pub wall: Duration,
}

/// Counters that grow while shards are scored, for progress displays and reports.
#[derive(Debug, Default)]
pub struct ScoringProgress {
    /// Windows of the pictures that are done.
    pub windows: AtomicU64,
    /// Pictures done.
    pub pictures: AtomicU64,
    /// Pictures without a score.
    pub failed: AtomicU64,
}

/// A loaded model with its settings, ready to score shards. Cheap to clone.
#[derive(Clone)]
pub struct ShardScorer {
    scorer: Arc<Scorer>,
    fingerprint: String,
    settings: InferenceSettings,
    resolver: Arc<StoreResolver>,
    progress: Arc<ScoringProgress>,
    device: String,
}

impl ShardScorer {
    /// Creates a scorer of a loaded model. `device` names the device in records. The settings' limits are replaced by
    /// each shard's own.
    pub fn new(scorer: Arc<Scorer>, settings: InferenceSettings, device: String) -> ShardScorer {
        ShardScorer {
            device,
            fingerprint: scorer.fingerprint().to_string(),
            scorer,
            settings,
            resolver: Arc::default(),
            progress: Arc::default(),
        }
    }

    /// Returns the same scorer with other counters.
    pub fn with_progress(&self, progress: Arc<ScoringProgress>) -> ShardScorer {
        ShardScorer { progress, ..self.clone() }
    }

    /// Returns the counters.
    pub fn progress(&self) -> Arc<ScoringProgress> {
        self.progress.clone()
    }

    /// Scores a shard and writes its part. Blocks: call it on a thread of its own; `runtime` does the reading.
    ///
    /// # Errors
    /// Fails if the store or the device fails, if the shard is for another model, or if `stop` was requested. A picture
    /// that fails is a row, unless a remote store did not answer: that is the store's failure.
    pub fn score(&self, shard: &Shard, runtime: &Handle, stop: &StopFlag) -> Result<ShardOutcome, ShardError> {
        let started = Instant::now();
        let part = &shard.part.part;
        if shard.part.fingerprint != self.fingerprint {
            let (wanted, loaded) = (shard.part.fingerprint.clone(), self.fingerprint.clone());
            return Err(ShardError::OtherModel { part: part.clone(), wanted, loaded });
        }
        let store = self.resolver.open(&shard.store)?;
        let mut known = runtime.block_on(reusable_rows(&store, shard))?;
        let missing: Vec<&ShardPicture> =
            shard.pictures.iter().filter(|picture| !known.contains_key(&picture.image)).collect();
        let reused = known.len() as u64;
        let windows = self.score_missing(shard, &missing, runtime, stop, |row| {
            known.insert(row.image.clone(), row);
        })?;
        let rows: Vec<ScoreRow> = shard.pictures.iter().filter_map(|picture| known.remove(&picture.image)).collect();
        let failed = rows.iter().filter(|row| row.score.is_err()).count() as u64;
        let facts = self.provenance(started);
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

    /// Returns the part's metadata: where, when and by which version it was made.
    fn provenance(&self, started: Instant) -> Vec<(String, String)> {
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

    /// Scores the missing pictures, hands each row to `each`, and returns the number of scored windows.
    fn score_missing(
        &self,
        shard: &Shard,
        missing: &[&ShardPicture],
        runtime: &Handle,
        stop: &StopFlag,
        mut each: impl FnMut(ScoreRow),
    ) -> Result<u64, ShardError> {
        if missing.is_empty() {
            return Ok(0);
        }
        let files = missing.iter().map(|picture| (picture.uri.clone(), picture.bytes)).collect();
        // The shard's limits and not this process's: parts of one name have one content, whichever process makes them.
        let limits = Limits::new(shard.limits, self.scorer.views().side_min());
        let settings = InferenceSettings { limits, ..self.settings.clone() };
        let sources = fetch::read_pictures(&self.resolver, files, &settings.limits, runtime);
        let mut store_error = None;
        let run = inference::run(&self.scorer, &settings, sources, FetchedPicture::take, |fetched, outcome| {
            store_error = fetched.store_error;
            if stop.is_stopped() || store_error.is_some() {
                return ControlFlow::Break(());
            }
            let row = row(missing[fetched.index], fetched.digest, outcome);
            self.progress.windows.fetch_add(u64::try_from(row.windows).unwrap_or(0), Relaxed);
            self.progress.pictures.fetch_add(1, Relaxed);
            self.progress.failed.fetch_add(u64::from(row.score.is_err()), Relaxed);
            debug!(image = row.image, failed = row.score.is_err(), "picture done");
            each(row);
            ControlFlow::Continue(())
        });
        let report = run.map_err(|source| ShardError::Model { part: shard.part.part.clone(), source })?;
        match store_error {
            Some(error) => Err(error.into()),
            None if stop.is_stopped() => Err(ShardError::Stopped { part: shard.part.part.clone() }),
            None => Ok(report.windows),
        }
    }
}

/// Writes the part of a shard that no worker could score: rows of older parts are reused, every other picture becomes a
/// row with this error code and message.
///
/// # Errors
/// Fails if the store fails.
pub async fn write_failed(store: &Store, shard: &Shard, code: &str, message: &str) -> Result<ShardOutcome, StoreError> {
    let started = Instant::now();
    // An earlier attempt may have written the part after it was given up.
    if !shard.retry_failed
        && let PartState::Complete(counts) = parts::inspect(store, &shard.key(), shard.pictures.len() as u64).await?
    {
        let (key, wall, rows) = (shard.key(), started.elapsed(), counts.rows);
        return Ok(ShardOutcome { key, rows, failed: counts.failed, reused: rows, windows: 0, wall });
    }
    let mut known = reusable_rows(store, shard).await?;
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
        score: Err(ScoringFailure { code: code.to_owned(), message: message.to_owned() }),
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

/// Returns the shard's rows that older parts hold, of the same picture in the same version. Labels and addresses are
/// the shard's. A part that cannot be read is skipped, and its rows are scored again; if the store does not answer, the
/// call fails, since the rows may be there.
async fn reusable_rows(store: &Store, shard: &Shard) -> Result<HashMap<String, ScoreRow>, StoreError> {
    let pictures: HashMap<&str, &ShardPicture> =
        shard.pictures.iter().map(|picture| (picture.image.as_str(), picture)).collect();
    let mut known = HashMap::new();
    for key in &shard.reuse {
        let rows = match parts::read_rows(store, key).await {
            Ok(rows) => rows,
            Err(PartError::Store(error)) if error.is_store_wide() => return Err(error),
            Err(error) => {
                warn!(error = %causes(&error), "an older part is not used");
                continue;
            }
        };
        for row in rows {
            let Some(picture) = pictures.get(row.image.as_str()).filter(|picture| picture.version == row.version)
            else {
                continue;
            };
            if is_reusable(&row, picture, shard) {
                known.insert(row.image.clone(), with_labels_of(row, picture));
            }
        }
    }
    Ok(known)
}

/// Returns whether scoring the picture again would give this row, which may have been made with other limits.
fn is_reusable(row: &ScoreRow, picture: &ShardPicture, shard: &Shard) -> bool {
    match &row.score {
        Err(failure) => !shard.retry_failed && failure.code != ErrorCode::TooLarge.as_str(),
        Ok(_) => {
            let side = |pixels: Option<i32>| pixels.and_then(|pixels| u64::try_from(pixels).ok()).unwrap_or(0);
            let limits = Limits::new(shard.limits, 0);
            let is_taken = limits.check_size(side(row.width), side(row.height)).is_ok();
            is_taken && limits.check_bytes(picture.bytes).is_ok()
        }
    }
}

/// Returns a measured row with the plan's labels and addresses.
fn with_labels_of(measured: ScoreRow, picture: &ShardPicture) -> ScoreRow {
    let ShardPicture { scene, scene_group, image, uri, version, mos, raters, bytes: _ } = picture.clone();
    ScoreRow { scene, scene_group, image, uri, version, mos, raters, ..measured }
}

fn row(picture: &ShardPicture, digest: Option<String>, outcome: PictureOutcome) -> ScoreRow {
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
            .map_err(|error| ScoringFailure { code: error.code().to_string(), message: error.line() }),
        mos: picture.mos,
        raters: picture.raters,
    }
}

fn spread(score: &PictureScore) -> ScoreStatistics {
    let windows = || score.windows.iter().map(|window| f64::from(*window));
    let variance = windows().map(|window| (window - score.score).powi(2)).sum::<f64>() / score.windows.len() as f64;
    ScoreStatistics {
        score: score.score,
        std: variance.sqrt(),
        min: windows().fold(f64::INFINITY, f64::min),
        max: windows().fold(f64::NEG_INFINITY, f64::max),
    }
}
