//! Runs the runs' models on this node's devices. A model with another fingerprint than the run's is never used.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::anyhow;
use candle_core::Device;
use dqa_engine::shard::{ShardError, ShardOutcome, ShardScorer};
use dqa_model::{ClipWeights, Options, PromptMode, Scorer};
use dqa_pipelines::causes;
use dqa_pipelines::model_spec::ModelSpec;
use dqa_proto::v1::{DeviceClass, FailureKind};
use dqa_service::cluster::{ShardTask, TrainingTask};
use futures::future::BoxFuture;
use tracing::info;

use super::device_config::DeviceConfig;
use super::device_trainer::DeviceTrainer;
use super::model_files::ModelFiles;
use super::node::{DeviceSlot, ShardExecutor, ShardFailure, score_blocking};

/// Models that stay loaded on each device: those of two concurrent runs.
const LOADED_MAX: usize = 2;

/// Scores shards with models on devices.
pub struct ModelExecutor {
    class: DeviceClass,
    devices: Vec<DeviceConfig>,
    /// The loaded models of each device by fingerprint, the most recently used last.
    loaded: Vec<Mutex<Vec<LoadedModelEntry>>>,
    files: ModelFiles,
    /// Scores shards of metrics that need no model, with the settings of each device.
    without_model: Vec<ShardScorer>,
    trainers: Vec<DeviceTrainer>,
}

/// A model that the first shard loads while the others wait.
type SharedModel = Arc<Mutex<OnceLock<ShardScorer>>>;
type LoadedModelEntry = (String, SharedModel);

impl ModelExecutor {
    /// Creates an executor on devices of one class. Models' files are kept in `cache`.
    pub fn new(class: DeviceClass, devices: Vec<DeviceConfig>, cache: PathBuf) -> ModelExecutor {
        let loaded = devices.iter().map(|_| Mutex::default()).collect();
        let without_model =
            |device: &DeviceConfig| ShardScorer::new(None, device.settings.clone(), device.label.clone());
        let without_model = devices.iter().map(without_model).collect();
        let trainers = devices.iter().map(DeviceTrainer::new).collect();
        ModelExecutor { class, devices, loaded, files: ModelFiles::new(cache), without_model, trainers }
    }

    fn scorer(&self, task: &ShardTask, slot: &DeviceSlot) -> Result<ShardScorer, ShardFailure> {
        match &task.model {
            Some(model) => self.model_scorer(task, model, slot),
            None => Ok(self.without_model[slot.device].with_progress(slot.progress.clone())),
        }
    }

    fn model_scorer(
        &self,
        task: &ShardTask,
        model: &ModelSpec,
        slot: &DeviceSlot,
    ) -> Result<ShardScorer, ShardFailure> {
        let shared = {
            let mut entries = self.loaded[slot.device].lock().unwrap_or_else(PoisonError::into_inner);
            let fingerprint = &model.fingerprint;
            let entry = match entries.iter().position(|(loaded, _)| loaded == fingerprint) {
                Some(index) => entries.remove(index),
                None => (fingerprint.clone(), SharedModel::default()),
            };
            if entries.len() >= LOADED_MAX {
                entries.remove(0);
            }
            entries.push(entry.clone());
            entry.1
        };
        let loaded = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.get().is_none() {
            let _ = loaded.set(self.load(task, model, slot)?);
        }
        Ok(loaded.get().expect("it was set just now").with_progress(slot.progress.clone()))
    }

    fn load(&self, task: &ShardTask, model: &ModelSpec, slot: &DeviceSlot) -> Result<ShardScorer, ShardFailure> {
        let DeviceConfig { device, label, settings, .. } = &self.devices[slot.device];
        let model_failure = |error| ShardFailure::new(FailureKind::Model, error);
        let (weights, prompts) = self.files.open(&task.shard.store, model, &slot.runtime)?;
        // The files are the run's, so a failure from here on is this machine's.
        let scorer = build(model, &weights, &prompts, device);
        let scorer = scorer.map_err(|error| ShardFailure::new(FailureKind::Device, error))?;
        let found = scorer.fingerprint().to_string();
        if found != model.fingerprint {
            let wanted = &model.fingerprint;
            return Err(model_failure(anyhow!(
                "model {} has fingerprint {found} on this worker, expected {wanted}",
                model.name
            )));
        }
        info!(model = model.name, fingerprint = found, device = label, "model loaded");
        Ok(ShardScorer::new(Some(Arc::new(scorer)), settings.clone(), label.clone()))
    }
}

impl ShardExecutor for ModelExecutor {
    fn class(&self) -> DeviceClass {
        self.class
    }

    fn devices(&self) -> Vec<String> {
        self.devices.iter().map(|device| device.label.clone()).collect()
    }

    fn score(
        self: Arc<Self>,
        task: ShardTask,
        slot: DeviceSlot,
    ) -> BoxFuture<'static, Result<ShardOutcome, ShardFailure>> {
        score_blocking(move || self.score_shard(&task, &slot))
    }

    fn train(
        self: Arc<Self>,
        task: TrainingTask,
        slot: DeviceSlot,
    ) -> BoxFuture<'static, Result<ShardOutcome, ShardFailure>> {
        score_blocking(move || self.run_training(&task, &slot))
    }
}

impl ModelExecutor {
    /// Trains or tests, and writes the outcome. Blocks.
    ///
    /// # Errors
    /// As [`ShardExecutor::train`].
    pub fn run_training(&self, task: &TrainingTask, slot: &DeviceSlot) -> Result<ShardOutcome, ShardFailure> {
        self.trainers[slot.device].run(task, &self.files, slot)
    }

    /// Scores a shard and writes its part. Blocks.
    ///
    /// # Errors
    /// As [`ShardExecutor::score`].
    pub fn score_shard(&self, task: &ShardTask, slot: &DeviceSlot) -> Result<ShardOutcome, ShardFailure> {
        let mut scorer = self.scorer(task, slot)?;
        if !task.accepts_unreadable {
            scorer = scorer.refusing_unreadable();
        }
        slot.begin();
        scorer.score(&task.shard, &slot.runtime, &slot.stop).map_err(|error| {
            let kind = match error {
                ShardError::Store(error) => return ShardFailure::of_store(error),
                ShardError::Unreadable { .. } => FailureKind::Unreadable,
                ShardError::Model { .. } => FailureKind::Device,
                ShardError::OtherMetric { .. } | ShardError::Parameters { .. } => FailureKind::Model,
                ShardError::Stopped { .. } => FailureKind::Stopped,
            };
            // An error poisons a CUDA context: every later call in this process fails too.
            let is_fatal = kind == FailureKind::Device && !self.devices[slot.device].device.is_cpu();
            ShardFailure { is_fatal, ..ShardFailure::new(kind, error) }
        })
    }
}

fn build(spec: &ModelSpec, weights: &ClipWeights, prompts: &PromptMode, device: &Device) -> anyhow::Result<Scorer> {
    let options = Options {
        views: spec.views.parse().map_err(|error| anyhow!("invalid views `{}`: {}", spec.views, causes(&error)))?,
        arithmetic: spec.dtype.parse().map_err(|error: String| anyhow!(error))?,
        device: device.clone(),
        ..Options::default()
    };
    Ok(Scorer::new(weights, prompts, &options)?)
}
