//! Shard scoring: reads the pictures that a shard names, each once for all metrics, and writes one part for each metric to
//! the store.
//!
//! [`ShardScorer`] scores shards; `operator` makes it a step of a DataFusion plan, so that this process and a cluster
//! run the same plan. Rows that an older part holds are reused, the other pictures are scored.

mod kept_rows;
mod metrics;
mod open_part;
#[cfg(feature = "operator")]
pub mod operator;
mod rows;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dqa_metrics::Evaluator;
use dqa_model::{ModelError, Scorer};
use dqa_pipelines::parts::{self, PartState};
use dqa_pipelines::plan::{Shard, ShardPicture};
use dqa_pipelines::store::{Store, StoreError, StoreResolver};
use dqa_pipelines::tables::scores::{ScoreRow, ScoringFailure};
use jiff::Timestamp;
use tokio::runtime::Handle;
use tracing::{debug, info};

use self::kept_rows::KeptRows;
use self::metrics::{ParameterCache, PartMetric};
use self::open_part::{OpenPart, add_rows, wanted};
use crate::decode::Limits;
use crate::fetch::{self, FetchedFiles, FetchedPicture, ReadPolicy};
use crate::inference::{self, InferenceSettings, Measures, PictureInput, Wanted};
use crate::provenance::host;

/// Why a shard cannot be scored. A picture's failure is a row, not an error.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A picture cannot be read on this machine, and may be readable on another.
    #[error("picture {image} cannot be read on this machine")]
    Unreadable {
        /// The picture's name.
        image: String,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// The device or the model fails.
    #[error("the model failed on part {part}")]
    Model {
        /// The part that was being made.
        part: String,
        /// The model's error.
        #[source]
        source: ModelError,
    },
    /// The shard was planned for another model, or for a metric that this version computes in another way.
    #[error("part {part} is for {metric} {wanted}, and this process has {}", loaded.as_deref().unwrap_or("none"))]
    OtherMetric {
        /// The part that was to be made.
        part: String,
        /// The metric's name.
        metric: String,
        /// The fingerprint that the plan names.
        wanted: String,
        /// The fingerprint of the same metric in this process, if it has the metric.
        loaded: Option<String>,
    },
    /// The file of the metrics' parameters is not what the plan names.
    #[error("the parameters of the metrics, {key} in the store, cannot be used: {why}")]
    Parameters {
        /// The file's key.
        key: String,
        /// Why not.
        why: String,
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
    /// The shard's name.
    pub key: String,
    /// Rows in its parts.
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
    /// Rows of the shard that is being scored that are in the store already, so that they are not made again if the process
    /// ends. Only a scorer that keeps rows counts them.
    pub kept: AtomicU64,
}

/// A loaded model with its settings, ready to score shards; without a model, shards of the other metrics. Cheap to clone.
#[derive(Clone)]
pub struct ShardScorer {
    scorer: Option<Arc<Scorer>>,
    settings: InferenceSettings,
    resolver: Arc<StoreResolver>,
    progress: Arc<ScoringProgress>,
    parameters: Arc<ParameterCache>,
    device: String,
    accepts_unreadable: bool,
    keep_interval: Option<Duration>,
}

impl ShardScorer {
    /// Creates a scorer of a loaded model. `device` names the device in records. The settings' limits are replaced by
    /// each shard's own.
    pub fn new(scorer: Option<Arc<Scorer>>, settings: InferenceSettings, device: String) -> ShardScorer {
        ShardScorer {
            device,
            scorer,
            settings,
            resolver: Arc::default(),
            progress: Arc::default(),
            parameters: Arc::default(),
            accepts_unreadable: true,
            keep_interval: None,
        }
    }

    /// Returns the same scorer with other counters.
    pub fn with_progress(&self, progress: Arc<ScoringProgress>) -> ShardScorer {
        ShardScorer { progress, ..self.clone() }
    }

    /// Returns the same scorer, which fails on a picture that another machine might read. Otherwise such a picture is a
    /// row with an error.
    pub fn refusing_unreadable(self) -> ShardScorer {
        ShardScorer { accepts_unreadable: false, ..self }
    }

    /// Returns the same scorer, which keeps the rows of a shard at this interval, before the shard is done. For shards that
    /// are planned again by whoever resumes them: a worker's are not, and would leave parts that nobody uses.
    pub fn keeping_rows(self, interval: Duration) -> ShardScorer {
        ShardScorer { keep_interval: Some(interval), ..self }
    }

    /// Returns the counters.
    pub fn progress(&self) -> Arc<ScoringProgress> {
        self.progress.clone()
    }

    /// Scores a shard and writes its parts. Blocks: call it on a thread of its own; `runtime` does the reading.
    ///
    /// # Errors
    /// Fails if the store or the device fails, if the shard is for another model, or if `stop` was requested. A picture
    /// that fails is a row, unless a remote store did not answer: that is the store's failure.
    pub fn score(&self, shard: &Shard, runtime: &Handle, stop: &StopFlag) -> Result<ShardOutcome, ShardError> {
        let started = Instant::now();
        let store = self.resolver.open(&shard.store)?;
        let evaluator = self.parameters.evaluator(&store, shard, runtime)?;
        let mut open = Vec::new();
        for part in &shard.parts {
            let metric = PartMetric::find(part, self.scorer.as_deref(), &evaluator)?;
            let rows = runtime.block_on(rows::reusable(&store, shard, part))?;
            open.push(OpenPart { part, metric, rows, scored: HashSet::new() });
        }
        let reused = open.iter().map(|part| part.rows.len() as u64).sum();
        let mut kept = KeptRows::new(shard, (&store, runtime), self.keep_interval, self.provenance(started));
        self.progress.kept.store(0, Relaxed);
        let windows = self.score_missing(shard, (&mut open, &mut kept), evaluator, (runtime, stop))?;
        let mut failed = 0;
        let facts = self.provenance(started);
        for OpenPart { part, rows: mut known, .. } in open {
            let rows: Vec<ScoreRow> =
                shard.pictures.iter().filter_map(|picture| known.remove(&picture.image)).collect();
            failed += rows::count_failed(&rows);
            runtime.block_on(store.put(&part.key(), parts::encode(shard, part, &rows, &facts)))?;
        }
        kept.discard();
        self.progress.kept.store(0, Relaxed);
        let outcome =
            ShardOutcome { key: shard.name(), rows: shard.rows(), failed, reused, windows, wall: started.elapsed() };
        info!(shard = outcome.key, rows = outcome.rows, failed, reused, windows, "shard written");
        Ok(outcome)
    }

    /// Returns the parts' metadata: where, when and by which version they were made.
    fn provenance(&self, started: Instant) -> Vec<(String, String)> {
        let mut facts = vec![
            ("dqa.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("dqa.host", host()),
            ("dqa.device", self.device.clone()),
            ("dqa.written", Timestamp::now().to_string()),
            ("dqa.seconds", format!("{:.3}", started.elapsed().as_secs_f64())),
        ];
        facts.extend(self.scorer.as_ref().map(|scorer| ("dqa.views", scorer.views().to_string())));
        facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Scores the pictures that the parts lack, adds their rows, and returns the number of scored windows.
    fn score_missing(
        &self,
        shard: &Shard,
        (open, kept): (&mut [OpenPart<'_>], &mut KeptRows<'_>),
        evaluator: Evaluator,
        (runtime, stop): (&Handle, &StopFlag),
    ) -> Result<u64, ShardError> {
        let missing: Vec<(&ShardPicture, Wanted)> = shard
            .pictures
            .iter()
            .map(|picture| (picture, wanted(open, picture)))
            .filter(|(_, wanted)| *wanted != Wanted::default())
            .collect();
        if missing.is_empty() {
            return Ok(0);
        }
        let files = missing.iter().map(|(picture, wanted)| metrics::files(picture, wanted)).collect();
        // The shard's limits and not this process's: parts of one name have one content, whichever process makes them.
        let settings = InferenceSettings { limits: Limits::new(shard.limits, 1), ..self.settings.clone() };
        let policy = ReadPolicy { limits: &settings.limits, accepts_unreadable: self.accepts_unreadable };
        let sources = fetch::read_with_references(&self.resolver, files, runtime, policy);
        let fetch = |fetched: &FetchedPicture| {
            let FetchedFiles { picture, clear, hazy } = fetched.take_files();
            Ok(PictureInput { bytes: picture?, wanted: missing[fetched.index].1.clone(), clear, hazy })
        };
        let measures = Measures { clip_dqa: self.scorer.clone(), evaluator };
        let (mut unread, mut unwritten) = (None, None);
        let run = inference::measure(&measures, &settings, sources, fetch, |fetched, measured| {
            let picture = missing[fetched.index].0;
            unread = fetched.store_error.map(|error| (picture, error));
            if stop.is_stopped() || unread.is_some() {
                return ControlFlow::Break(());
            }
            let rows = rows::rows(picture, fetched.digest, measured, &missing[fetched.index].1);
            self.count(&rows);
            debug!(image = picture.image, "picture done");
            add_rows(open, rows);
            match kept.add(&picture.image, open) {
                Ok(rows) => self.progress.kept.fetch_add(rows, Relaxed),
                Err(error) => {
                    unwritten = Some(error);
                    return ControlFlow::Break(());
                }
            };
            ControlFlow::Continue(())
        });
        let report = run.map_err(|source| ShardError::Model { part: shard.name(), source })?;
        if let Some(error) = unwritten {
            return Err(error.into());
        }
        match unread {
            Some((_, error)) if error.is_store_wide() => Err(error.into()),
            Some((picture, source)) => Err(ShardError::Unreadable { image: picture.image.clone(), source }),
            None if stop.is_stopped() => Err(ShardError::Stopped { part: shard.name() }),
            None => Ok(report.windows + rows::metric_windows(&missing)),
        }
    }

    /// Counts the rows of a picture.
    fn count(&self, rows: &[(PartMetric, ScoreRow)]) {
        let windows = rows.iter().map(|(_, row)| u64::try_from(row.windows).unwrap_or(0)).sum();
        self.progress.windows.fetch_add(windows, Relaxed);
        self.progress.pictures.fetch_add(rows.len() as u64, Relaxed);
        let failed = rows.iter().filter(|(_, row)| row.score.is_err()).count();
        self.progress.failed.fetch_add(failed as u64, Relaxed);
    }
}

/// Writes the parts of a shard that no worker could score: rows of older parts are reused, every other picture becomes a
/// row with this error code and message.
///
/// # Errors
/// Fails if the store fails.
pub async fn write_failed(store: &Store, shard: &Shard, code: &str, message: &str) -> Result<ShardOutcome, StoreError> {
    let started = Instant::now();
    let (mut failed, mut reused) = (0, 0);
    for part in &shard.parts {
        // An earlier attempt may have written the part after it was given up.
        if !shard.retry_failed
            && let PartState::Complete(counts) = parts::inspect(store, &part.key(), shard.pictures.len() as u64).await?
        {
            (failed, reused) = (failed + counts.failed, reused + counts.rows);
            continue;
        }
        let mut known = rows::reusable(store, shard, part).await?;
        reused += known.len() as u64;
        let failure = ScoringFailure { code: code.to_owned(), message: message.to_owned() };
        let row = |picture: &ShardPicture| {
            known.remove(&picture.image).unwrap_or_else(|| rows::failed(picture, failure.clone()))
        };
        let rows: Vec<ScoreRow> = shard.pictures.iter().map(row).collect();
        failed += rows::count_failed(&rows);
        let facts = [("dqa.host".to_owned(), host()), ("dqa.written".to_owned(), Timestamp::now().to_string())];
        store.put(&part.key(), parts::encode(shard, part, &rows, &facts)).await?;
    }
    let (rows, wall) = (shard.rows(), started.elapsed());
    Ok(ShardOutcome { key: shard.name(), rows, failed, reused, windows: 0, wall })
}
