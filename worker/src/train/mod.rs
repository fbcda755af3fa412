//! Trains: a trial's pictures in; prompts (or a model), how it went and what it says of the test out, in the store.
//!
//! [`BaseModel`] is what it begins with, [`Runner`] runs trials one after the other. An epoch is determined by its number and the
//! state before it, so what was killed goes on from its last checkpoint to the same weights. What to train is decided
//! elsewhere.

mod base_model;
mod checkpoint;
mod outcome;
mod pictures;
mod training;

use candle_core::Device;
use dqa_model::train::TuneError;
use dqa_model::{ModelError, Views, ViewsError};
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::tables::epochs::EpochRow;
use dqa_pipelines::train::{RecordError, Setup, Trial, TrialRecord};
use tokio::runtime::Handle;

use crate::decode::PictureError;
use crate::engine::Settings;
pub use base_model::{BaseModel, BaseModelError};
use pictures::Pictures;
use training::Training;

/// The part of this machine that a training may use.
#[derive(Clone, Debug)]
pub struct TrainingResources {
    /// Where the model learns and is tested.
    pub device: Device,
    /// The device, for the record.
    pub device_name: String,
    /// For tests, and what pictures may be.
    pub settings: Settings,
    /// For decoded pictures that are kept from one epoch to the next.
    pub kept_bytes_max: u64,
}

/// What happens in a training, for whoever watches.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Pictures are decoded once, to know that all can be.
    Checking {
        /// Still to be looked at.
        left: usize,
    },
    /// It begins, or goes on after so many epochs.
    Begun {
        /// Numbers that learn.
        learnable: u64,
        /// Epochs that an earlier run has made.
        epochs_done: u32,
    },
    /// A step was made.
    Step {
        /// Of which epoch.
        epoch: u32,
        /// From 1.
        step: u64,
        /// Of so many.
        steps: u64,
        /// Mean squared error of its batch.
        loss: f64,
    },
    /// So many held-out pictures were scored.
    Testing {
        /// Done.
        done: u64,
        /// Of so many.
        pictures: u64,
    },
    /// An epoch is over and its checkpoint is written.
    Epoch(&'a EpochRow),
}

/// Why a training stops.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The trial's record cannot be had.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// There is nothing to begin with.
    #[error(transparent)]
    BaseModel(#[from] BaseModelError),
    /// It was planned from another model.
    #[error("trial `{trial}` begins with model {wanted}, and this is {loaded}")]
    OtherModel {
        /// Which trial.
        trial: String,
        /// The model's digest as planned.
        wanted: String,
        /// As it is here.
        loaded: String,
    },
    /// The setup's views are none.
    #[error("the setup's `views` mean nothing")]
    Views(#[from] ViewsError),
    /// What lies under the checkpoint's name.
    #[error("the checkpoint {key} cannot be gone on from: {why}")]
    Checkpoint {
        /// The object in the store.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// Pictures that cannot be had.
    #[error("{count} of {pictures} pictures of the trial cannot be read; the first is {image}")]
    Unreadable {
        /// How many.
        count: usize,
        /// Of how many.
        pictures: usize,
        /// The first.
        image: String,
        /// What is wrong with it.
        #[source]
        source: Box<PictureError>,
    },
    /// What was learned gives no score.
    #[error("the training left the numbers: after epoch {epoch} the score of {image} is none; {}", kept(*epoch))]
    NoScore {
        /// Which epoch.
        epoch: u32,
        /// Whose score.
        image: String,
    },
    /// The model cannot be built, or fails in a test.
    #[error("the model failed")]
    Model(#[from] ModelError),
    /// The model cannot learn.
    #[error("the model cannot learn")]
    Tune(#[source] TuneError),
    /// The loss or a gradient is no number.
    #[error("the training left the numbers in epoch {epoch}, step {step} of {steps}; {}", kept(*epoch))]
    Diverged {
        /// Which epoch.
        epoch: u32,
        /// Which step of the epoch, from 1.
        step: u64,
        /// Steps of an epoch.
        steps: u64,
        /// What is not finite.
        #[source]
        source: TuneError,
    },
}

fn kept(epoch: u32) -> String {
    match epoch {
        1 => "no epoch was finished".to_owned(),
        _ => format!("the checkpoint of epoch {} is kept", epoch - 1),
    }
}

/// Trains trials that begin with one model.
pub struct Runner {
    base: BaseModel,
    resources: TrainingResources,
    pictures: Pictures,
}

impl Runner {
    /// With the model that all trials begin with.
    pub fn new(base: BaseModel, resources: TrainingResources) -> Runner {
        let Settings { decode_threads, limits, .. } = &resources.settings;
        let pictures = Pictures::new(*decode_threads, limits.clone(), resources.kept_bytes_max);
        Runner { base, resources, pictures }
    }

    /// What the trials begin with.
    pub fn base(&self) -> &BaseModel {
        &self.base
    }

    /// Begins with another model, and keeps the pictures.
    pub fn restart(&mut self, base: BaseModel) {
        self.base = base;
    }

    /// Trains and tests a trial and writes all of it to the store; one that is complete there is done. Blocks: it belongs
    /// on a thread of its own; `runtime` does its reading and writing.
    ///
    /// # Errors
    /// Every [`TrainError`]. The store then has the last whole epoch, from which the same call goes on.
    pub fn run(
        &self,
        trial: &Trial,
        store: &Store,
        runtime: &Handle,
        each: &mut dyn FnMut(Event<'_>),
    ) -> Result<TrialRecord, TrainError> {
        let name = trial.name();
        if let Some(record) = runtime.block_on(TrialRecord::find(store, &name))?.filter(TrialRecord::is_complete) {
            // Where it was killed between the two: a checkpoint is three times what learns.
            runtime.block_on(store.delete(&trial.key(checkpoint::CHECKPOINT)))?;
            return Ok(record);
        }
        if trial.model.digest != self.base.model().digest {
            let (wanted, loaded) = (trial.model.digest.clone(), self.base.model().digest.clone());
            return Err(TrainError::OtherModel { trial: name, wanted, loaded });
        }
        Training::begin(self, trial, (store, runtime), each)?.run(each)
    }

    /// How many numbers learn by this setup.
    ///
    /// # Errors
    /// Where the model does not take it.
    pub fn learnable(&self, setup: &Setup) -> Result<u64, TrainError> {
        Ok(training::trainer(self, setup, setup.views.parse()?)?.learnable() as u64)
    }

    /// The pictures of a trial that cannot be decoded, or have no room for a window, with why. What was looked at is not
    /// looked at again. Blocks.
    ///
    /// # Errors
    /// Where the setup's views mean nothing.
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
