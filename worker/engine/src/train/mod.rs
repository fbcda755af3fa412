//! Training: reads a trial's pictures and writes prompts (or a model), its epochs and its predictions to the store.
//!
//! A training begins with a [`BaseModel`]; [`TrialRunner`] runs trials one after the other. An epoch is determined by
//! its number and the state before it, so a training that was killed resumes from its last checkpoint and ends with the
//! same weights. What to train is decided elsewhere.

mod base_model;
mod checkpoint;
mod epoch_stats;
mod memory;
mod outcome;
mod pictures;
mod predictor;
mod training;

use std::time::Duration;

use candle_core::Device;
use dqa_model::train::TrainerError;
use dqa_model::{ModelError, Views, ViewsError};
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::tables::epochs::EpochRow;
use dqa_pipelines::train::{Setup, Trial, TrialRecord, TrialRecordError};
use tokio::runtime::Handle;

use crate::decode::PictureError;
use crate::inference::InferenceSettings;
use crate::shard::StopFlag;
pub use base_model::{BaseModel, BaseModelError};
use pictures::Pictures;
use training::Training;

/// The share of the machine that a training may use.
#[derive(Clone, Debug)]
pub struct TrainingResources {
    /// The device that the model is trained and tested on.
    pub device: Device,
    /// The device's name in records.
    pub device_name: String,
    /// Settings of inference in tests, and the limits of pictures.
    pub settings: InferenceSettings,
    /// Bytes of decoded pictures that are kept from one epoch to the next.
    pub kept_bytes_max: u64,
    /// Ends a training, or an evaluation, at its next step or picture.
    pub stop: StopFlag,
}

impl TrainingResources {
    fn check_stop(&self) -> Result<(), TrainError> {
        if self.stop.is_stopped() { Err(TrainError::Stopped) } else { Ok(()) }
    }
}

/// Time between two checkpoints within an epoch.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(120);

/// An event of a training, for progress displays.
#[derive(Clone, Copy, Debug)]
pub enum TrainingEvent<'a> {
    /// Pictures are decoded once, to find out that all can be.
    Checking {
        /// Pictures that are still to be decoded.
        left: usize,
    },
    /// The training starts or resumes.
    Begun {
        /// Number of scalars that are trained.
        learnable: u64,
        /// Epochs that an earlier process made.
        epochs_done: u32,
    },
    /// A step was made.
    Step {
        /// The step's epoch, from 1.
        epoch: u32,
        /// Number of the step in its epoch, from 1.
        step: u64,
        /// Steps of an epoch.
        steps: u64,
        /// Mean squared error of the step's batch.
        loss: f64,
    },
    /// Some held-out pictures were scored.
    Testing {
        /// Pictures that were scored.
        done: u64,
        /// All held-out pictures.
        pictures: u64,
    },
    /// An epoch is over and its checkpoint is written.
    Epoch(&'a EpochRow),
}

/// Why a training fails.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The trial's record cannot be read or written.
    #[error(transparent)]
    Record(#[from] TrialRecordError),
    /// The model to begin with cannot be opened.
    #[error(transparent)]
    BaseModel(#[from] BaseModelError),
    /// It was told to stop.
    #[error("the training was told to stop; its last checkpoint is kept")]
    Stopped,
    /// The machine has less memory than the training needs.
    #[error(
        "the training needs at least {:.1} GB of memory, and {:.1} GB are free; fewer --threads need less if weights learn",
        *needed as f64 / 1e9, *available as f64 / 1e9
    )]
    Memory {
        /// Bytes that it needs at least.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// The trial was planned with another model.
    #[error("trial `{trial}` begins with model {wanted}, and this is {loaded}")]
    OtherModel {
        /// The trial's name.
        trial: String,
        /// The digest of the planned model.
        wanted: String,
        /// The digest of the model that was loaded.
        loaded: String,
    },
    /// The setup's views are invalid.
    #[error("the setup's `views` are invalid")]
    Views(#[from] ViewsError),
    /// The checkpoint is damaged, or belongs to something else.
    #[error("cannot resume from the checkpoint {key}: {why}")]
    Checkpoint {
        /// The object in the store.
        key: String,
        /// Why it is unusable.
        why: String,
    },
    /// Pictures cannot be read or decoded.
    #[error("{count} of {pictures} pictures of the trial cannot be read; the first is {image}")]
    Unreadable {
        /// Number of unreadable pictures.
        count: usize,
        /// Number of the trial's pictures.
        pictures: usize,
        /// The first unreadable picture.
        image: String,
        /// Why the first one is unreadable.
        #[source]
        source: Box<PictureError>,
    },
    /// The learned state gives a picture no finite score.
    #[error("the training diverged: after epoch {epoch} the score of {image} is not finite; {}", kept_state(*epoch))]
    NoScore {
        /// The last epoch, from 1.
        epoch: u32,
        /// The picture.
        image: String,
    },
    /// The model cannot be built, or fails in a test.
    #[error("the model failed")]
    Model(#[from] ModelError),
    /// The trainer fails.
    #[error("the model cannot learn")]
    Trainer(#[source] TrainerError),
    /// The loss or a gradient is not finite.
    #[error("the training diverged in epoch {epoch}, step {step} of {steps}; {}", kept_state(*epoch))]
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
        /// The step in its epoch, from 1.
        step: u64,
        /// Steps of an epoch.
        steps: u64,
        /// The value that is not finite.
        #[source]
        source: TrainerError,
    },
}

impl TrainError {
    fn unreadable(trial: &Trial, image: &str, source: PictureError) -> TrainError {
        let pictures = trial.pictures().count();
        TrainError::Unreadable { count: 1, pictures, image: image.to_owned(), source: Box::new(source) }
    }
}

/// Says which state is left when a training fails in `epoch`.
fn kept_state(epoch: u32) -> String {
    match epoch {
        1 => "no epoch was finished".to_owned(),
        _ => format!("the checkpoint of epoch {} is kept", epoch - 1),
    }
}

/// Runs trials that begin with one model.
pub struct TrialRunner {
    base: BaseModel,
    resources: TrainingResources,
    pictures: Pictures,
    /// The attempt of a cluster that the trials are run by.
    attempt: Option<u64>,
    checkpoint_interval: Duration,
}

impl TrialRunner {
    /// Creates a runner of trials that begin with `base`.
    pub fn new(base: BaseModel, resources: TrainingResources) -> TrialRunner {
        let InferenceSettings { decode_threads, limits, .. } = &resources.settings;
        let pictures = Pictures::new(*decode_threads, limits.clone(), resources.kept_bytes_max);
        let checkpoint_interval = CHECKPOINT_INTERVAL;
        TrialRunner { base, resources, pictures, attempt: None, checkpoint_interval }
    }

    /// Returns the model that the trials begin with.
    pub fn base(&self) -> &BaseModel {
        &self.base
    }

    /// Replaces the model that the trials begin with. Decoded pictures are kept.
    pub fn set_base(&mut self, base: BaseModel) {
        self.base = base;
    }

    /// Makes the trials that follow those of an attempt of a cluster, which ends them by `stop`. An attempt does not write over
    /// what a later one wrote.
    pub fn set_attempt(&mut self, attempt: u64, stop: StopFlag) {
        self.attempt = Some(attempt);
        self.resources.stop = stop;
    }

    /// Sets the time between two checkpoints within an epoch.
    pub fn set_checkpoint_interval(&mut self, interval: Duration) {
        self.checkpoint_interval = interval;
    }

    /// Returns the share of the machine that the trials use.
    pub fn resources(&self) -> &TrainingResources {
        &self.resources
    }

    /// Trains and tests a trial and writes its results to the store; returns the record of a trial that is complete
    /// there. Blocks: call it on a thread of its own; `runtime` does the reading and writing.
    ///
    /// # Errors
    /// Fails with any [`TrainError`]. The store then has the last checkpoint, from which the same call resumes.
    pub fn run(
        &self,
        trial: &Trial,
        store: &Store,
        runtime: &Handle,
        each: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<TrialRecord, TrainError> {
        let name = trial.name();
        if let Some(record) = runtime.block_on(TrialRecord::find(store, &name))?.filter(TrialRecord::is_complete) {
            // A process that was killed between the record and this leaves the checkpoint, which is three times as
            // large as the learned tensors.
            runtime.block_on(store.delete(&trial.key(checkpoint::CHECKPOINT)))?;
            return Ok(record);
        }
        if trial.model.digest != self.base.model().digest {
            let (wanted, loaded) = (trial.model.digest.clone(), self.base.model().digest.clone());
            return Err(TrainError::OtherModel { trial: name, wanted, loaded });
        }
        let mut training = Training::begin(self, trial, (store, runtime), each)?;
        training.run(each)?;
        outcome::write(training, each)
    }

    /// Returns the number of scalars that a setup trains.
    ///
    /// # Errors
    /// Fails if the setup does not fit the model.
    pub fn learnable(&self, setup: &Setup) -> Result<u64, TrainError> {
        Ok(training::trainer(self, setup, setup.views.parse()?)?.learnable() as u64)
    }

    /// Returns the pictures of a trial that cannot be decoded or are smaller than a window, each with its error. A
    /// picture that was decoded before is not decoded again. Blocks.
    ///
    /// # Errors
    /// Fails if the setup's views are invalid.
    pub fn unreadable<'a>(
        &self,
        trial: &'a Trial,
        runtime: &Handle,
    ) -> Result<Vec<(&'a str, PictureError)>, TrainError> {
        let views: Views = trial.setup.views.parse()?;
        let failed = self.pictures.check(trial.pictures(), views.side_min(), runtime, |_| ());
        Ok(failed.into_iter().map(|(picture, error)| (picture.image.as_str(), error)).collect())
    }
}
