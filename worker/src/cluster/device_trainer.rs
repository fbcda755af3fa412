//! Trains and tests on one device, one training at a time: a second one waits, because each takes the memory of the whole device.
//! Decoded pictures are kept from one training to the next.

use std::io::ErrorKind;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use dqa_engine::decode::{Limits, PictureError};
use dqa_engine::shard::ShardOutcome;
use dqa_engine::study::{EvaluateError, Evaluator};
use dqa_engine::train::{BaseModel, TrainError, TrainingEvent, TrainingResources, TrialRunner};
use dqa_pipelines::store::{Store, StoreResolver};
use dqa_pipelines::study::Evaluation;
use dqa_pipelines::train::{Trial, TrialRecord, TrialRecordError};
use dqa_pipelines::training::TrainingUnit;
use dqa_proto::v1::FailureKind;
use dqa_service::cluster::TrainingTask;
use tracing::info;

use super::device_config::DeviceConfig;
use super::model_files::ModelFiles;
use super::node::{DeviceSlot, ShardFailure};

/// Trains on one device.
pub(super) struct DeviceTrainer {
    resources: TrainingResources,
    resolver: StoreResolver,
    /// The runner of the last training, with its model and its pictures.
    runner: Mutex<Option<TrialRunner>>,
}

impl DeviceTrainer {
    pub(super) fn new(config: &DeviceConfig) -> DeviceTrainer {
        let DeviceConfig { device, label, settings, kept_bytes_max } = config;
        let resources = TrainingResources {
            device: device.clone(),
            device_name: label.clone(),
            settings: settings.clone(),
            kept_bytes_max: *kept_bytes_max,
            stop: Default::default(),
        };
        DeviceTrainer { resources, resolver: StoreResolver::default(), runner: Mutex::default() }
    }

    /// Runs a task, and writes its outcome to the store.
    pub(super) fn run(
        &self,
        task: &TrainingTask,
        files: &ModelFiles,
        slot: &DeviceSlot,
    ) -> Result<ShardOutcome, ShardFailure> {
        let started = Instant::now();
        let store = self.resolver.open(&task.store).map_err(ShardFailure::of_store)?;
        slot.say("waits for the device");
        let mut runner = self.runner.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.stop.is_stopped() {
            return Err(train_failure(TrainError::Stopped, false));
        }
        slot.say("loads the model");
        let base = self.base_model(runner.take(), task, files, slot)?;
        let runner = runner.insert(base);
        slot.begin();
        let ended = match &task.unit {
            TrainingUnit::Trial(trial) => {
                train(runner, trial, &store, slot).map_err(|error| train_failure(error, task.accepts_unreadable))
            }
            TrainingUnit::Evaluation { evaluation, trial } => {
                let evaluated = evaluator(runner, trial.as_deref(), &store, slot)
                    .and_then(|evaluator| Ok(evaluate(&evaluator, runner, evaluation, &store, slot)?));
                evaluated.map_err(|error| error.failure(task.accepts_unreadable))
            }
        };
        // An error poisons a CUDA context: every later call in this process fails too.
        let is_fatal = |kind| kind == FailureKind::Device && !self.resources.device.is_cpu();
        ended.map_err(|failure| ShardFailure { is_fatal: is_fatal(failure.kind), ..failure })?;
        let windows = slot.progress.windows.load(Relaxed);
        Ok(ShardOutcome { key: task.unit.name(), rows: 0, failed: 0, reused: 0, windows, wall: started.elapsed() })
    }

    /// Returns a runner with the task's model: the last one, if it has the same limits of pictures.
    fn base_model(
        &self,
        last: Option<TrialRunner>,
        task: &TrainingTask,
        files: &ModelFiles,
        slot: &DeviceSlot,
    ) -> Result<TrialRunner, ShardFailure> {
        let limits = Limits::new(task.limits, Limits::default().side_min);
        let last = last.filter(|last| last.resources().settings.limits == limits);
        let is_loaded = |last: &TrialRunner| *last.base().model() == task.model.model;
        let mut runner = match last {
            Some(last) if is_loaded(&last) => last,
            last => {
                let base: BaseModel = files.open_training(&task.store, &task.model, &slot.runtime)?;
                info!(model = task.model.model.name, device = self.resources.device_name, "model loaded");
                match last {
                    Some(mut last) => {
                        last.set_base(base);
                        last
                    }
                    None => {
                        let mut resources = self.resources.clone();
                        resources.settings.limits = limits;
                        TrialRunner::new(base, resources)
                    }
                }
            }
        };
        runner.set_attempt(task.attempt, slot.stop.clone());
        Ok(runner)
    }
}

impl DeviceSlot {
    /// Says what a training is doing, for people to read.
    pub fn say(&self, activity: impl Into<String>) {
        *self.activity.lock().unwrap_or_else(PoisonError::into_inner) = activity.into();
    }
}

/// Returns the kind of a failure of a training.
fn train_failure(error: TrainError, accepts_unreadable: bool) -> ShardFailure {
    let kind = match error {
        TrainError::Store(error) | TrainError::Record(TrialRecordError::Store(error)) => {
            return ShardFailure::of_store(error);
        }
        TrainError::Stopped | TrainError::Record(TrialRecordError::Superseded { .. }) => FailureKind::Stopped,
        TrainError::Unreadable { ref source, .. } => picture_failure(source, accepts_unreadable),
        TrainError::Model(_) | TrainError::Trainer(_) | TrainError::Memory { .. } => FailureKind::Device,
        TrainError::BaseModel(_) | TrainError::OtherModel { .. } => FailureKind::Model,
        TrainError::Record(TrialRecordError::Json { .. })
        | TrainError::Views(_)
        | TrainError::Checkpoint { .. }
        | TrainError::NoScore { .. }
        | TrainError::Diverged { .. } => FailureKind::Task,
    };
    ShardFailure::new(kind, error)
}

/// Returns the kind of a failure of a test.
fn evaluate_failure(error: EvaluateError, accepts_unreadable: bool) -> ShardFailure {
    let kind = match error {
        EvaluateError::Store(error) => return ShardFailure::of_store(error),
        EvaluateError::Stopped => FailureKind::Stopped,
        EvaluateError::Temporary(_) => FailureKind::Worker,
        EvaluateError::Model(_) => FailureKind::Device,
        EvaluateError::Picture { ref source, .. } => picture_failure(source, accepts_unreadable),
        EvaluateError::Weights(_) | EvaluateError::Prompts(_) | EvaluateError::Views { .. } => FailureKind::Task,
    };
    ShardFailure::new(kind, error)
}

/// Returns the kind of a failure to read a picture. Another machine may be able to read it, unless several have tried.
fn picture_failure(error: &PictureError, accepts_unreadable: bool) -> FailureKind {
    match error {
        PictureError::Io { source, .. } if source.kind() == ErrorKind::Interrupted => FailureKind::Store,
        PictureError::Io { .. } if !accepts_unreadable => FailureKind::Unreadable,
        _ => FailureKind::Task,
    }
}

fn train(runner: &TrialRunner, trial: &Trial, store: &Store, slot: &DeviceSlot) -> Result<(), TrainError> {
    let (epochs, batch_size) = (trial.setup.epochs, u64::from(trial.setup.batch_size));
    let mut epoch_now = 0;
    runner
        .run(trial, store, &slot.runtime, &mut |event| match event {
            TrainingEvent::Checking { left } => slot.say(format!("reads pictures, {left} left")),
            TrainingEvent::Begun { epochs_done, .. } => {
                slot.say(format!("begins with epoch {} of {epochs}", epochs_done + 1));
                slot.progress.windows.store(u64::from(epochs_done) * trial.windows_per_epoch(), Relaxed);
            }
            TrainingEvent::Step { epoch, step, steps, loss } => {
                epoch_now = epoch;
                slot.say(format!("epoch {epoch} of {epochs}, step {step} of {steps}, loss {loss:.4}"));
                slot.progress.windows.fetch_add(batch_size * Trial::WINDOWS_PER_PICTURE, Relaxed);
            }
            TrainingEvent::Testing { done, pictures } => {
                slot.say(format!("tests epoch {epoch_now} of {epochs}, {done} of {pictures} pictures"));
            }
            TrainingEvent::Epoch(row) => {
                slot.progress.windows.store(u64::from(row.epoch) * trial.windows_per_epoch(), Relaxed);
            }
        })
        .map(drop)
}

/// Why a test was not made.
#[derive(Debug, thiserror::Error)]
enum TestError {
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    #[error(transparent)]
    Record(#[from] TrialRecordError),
    #[error("trial `{trial}` is to be tested, and it is not complete")]
    Incomplete { trial: String },
}

impl TestError {
    fn failure(self, accepts_unreadable: bool) -> ShardFailure {
        match self {
            TestError::Evaluate(error) => evaluate_failure(error, accepts_unreadable),
            TestError::Record(error) => train_failure(error.into(), accepts_unreadable),
            TestError::Incomplete { .. } => ShardFailure::new(FailureKind::Task, self),
        }
    }
}

/// Returns the evaluator of a trial, or of the model to start from with handcrafted prompts.
fn evaluator(
    runner: &TrialRunner,
    trial: Option<&str>,
    store: &Store,
    slot: &DeviceSlot,
) -> Result<Evaluator, TestError> {
    let base = runner.base();
    let Some(name) = trial else { return Ok(Evaluator::handcrafted(base)) };
    let record = slot.runtime.block_on(TrialRecord::find(store, name))?.filter(TrialRecord::is_complete);
    let record = record.ok_or_else(|| TestError::Incomplete { trial: name.to_owned() })?;
    Ok(slot.runtime.block_on(Evaluator::of_trial(&record, base, store))?)
}

fn evaluate(
    evaluator: &Evaluator,
    runner: &TrialRunner,
    evaluation: &Evaluation,
    store: &Store,
    slot: &DeviceSlot,
) -> Result<(), EvaluateError> {
    let pictures = evaluation.pictures.len();
    evaluator.evaluate(evaluation, (store, &slot.runtime), runner.resources(), &mut |done| {
        slot.say(format!("tests, {done} of {pictures} pictures"));
        slot.progress.windows.fetch_add(Evaluation::WINDOWS_PER_PICTURE, Relaxed);
    })
}
