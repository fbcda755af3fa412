//! The evaluations of a study: a trained or untrained model scores some pictures, and the time is measured. What to
//! evaluate is decided elsewhere.

mod evaluation;
mod window_contrast;

use std::path::Path;
use std::sync::Arc;

use dqa_model::{
    Arithmetic, ClipWeights, ModelError, Options, PromptMode, Prompts, PromptsError, Scorer, ViewsError, WeightsError,
};
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::study::{Evaluation, evaluation_key};
use dqa_pipelines::tables::{evaluations, parquet_file};
use dqa_pipelines::train::{TrialRecord, trial_key};
use tokio::runtime::Handle;

use crate::decode::PictureError;
use crate::train::{BaseModel, TrainingResources};
use evaluation::EvaluationRun;

/// A model to evaluate.
pub struct Evaluator {
    weights: ClipWeights,
    prompts: PromptMode,
}

/// Why an evaluation fails.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was told to stop.
    #[error("the test was told to stop")]
    Stopped,
    /// A trial's files cannot be copied to this machine.
    #[error("cannot write to the folder of temporary files")]
    Temporary(#[from] std::io::Error),
    /// A trial's weights are invalid.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A trial's prompts are invalid.
    #[error(transparent)]
    Prompts(#[from] PromptsError),
    /// The evaluation's views are invalid.
    #[error("the views `{views}` are invalid")]
    Views {
        /// The views as given.
        views: String,
        /// The cause.
        #[source]
        source: ViewsError,
    },
    /// The model cannot be built, or fails.
    #[error("the model failed")]
    Model(#[from] ModelError),
    /// A picture has no score, so the evaluation would cover other pictures than it names.
    #[error("{image} has no score in the test with {views}")]
    Picture {
        /// The picture.
        image: String,
        /// The evaluation's views.
        views: String,
        /// The cause.
        #[source]
        source: Box<PictureError>,
    },
}

impl Evaluator {
    /// Creates the evaluator of an untrained model with handcrafted prompts.
    pub fn handcrafted(base: &BaseModel) -> Evaluator {
        Evaluator { weights: base.weights().clone(), prompts: PromptMode::Handcrafted }
    }

    /// Loads what a complete trial that began with `base` has learned.
    ///
    /// # Errors
    /// Fails if the store lacks a file of the trial, or the file is invalid.
    pub async fn of_trial(record: &TrialRecord, base: &BaseModel, store: &Store) -> Result<Evaluator, EvaluateError> {
        // Weights and prompts are read from local files, whatever kind of store has them.
        let folder = tempfile::tempdir()?;
        let weights = if record.setup.tune.changes_weights() {
            for file in ["config.json", "model.safetensors"] {
                copy(store, &trial_key(&record.name, file), &folder.path().join(file)).await?;
            }
            // The files are memory-mapped: they are freed with the model.
            ClipWeights::open(folder.path())?
        } else {
            base.weights().clone()
        };
        let config = weights.config();
        let prompts = if record.setup.depths(config.text.layers, config.vision.layers) == (0, 0) {
            PromptMode::Handcrafted
        } else {
            let file = folder.path().join("prompts.safetensors");
            copy(store, &trial_key(&record.name, "prompts.safetensors"), &file).await?;
            PromptMode::Learned(Prompts::open(&file, config)?)
        };
        Ok(Evaluator { weights, prompts })
    }

    /// Evaluates the model and writes the rows to the store. Blocks: call it on a thread of its own; `runtime` does the
    /// reading and writing. Calls `each` with the number of pictures that are done.
    ///
    /// # Errors
    /// Fails with any [`EvaluateError`]; nothing is written then.
    pub fn evaluate(
        &self,
        evaluation: &Evaluation,
        (store, runtime): (&Store, &Handle),
        resources: &TrainingResources,
        each: &mut dyn FnMut(usize),
    ) -> Result<(), EvaluateError> {
        let invalid = |source| EvaluateError::Views { views: evaluation.views.clone(), source };
        let views = evaluation.views.parse().map_err(invalid)?;
        let (device, arithmetic) = (resources.device.clone(), Arithmetic::F32);
        let options = Options { views, arithmetic, device, ..Options::default() };
        let scorer = Arc::new(Scorer::new(&self.weights, &self.prompts, &options)?);
        let fingerprint = scorer.fingerprint().to_string();
        let name = evaluation.name();
        let key = evaluation_key(&name);
        let run = EvaluationRun { evaluator: self, evaluation, name, runtime, resources };
        let rows = if evaluation.with_attention {
            run.score_with_attention(&options, each)?
        } else {
            run.score(&scorer, each)?
        };
        let facts = [("dqa.device", resources.device_name.clone()), ("dqa.fingerprint", fingerprint)];
        let file = parquet_file::write(&evaluations::SCHEMA, &[evaluations::to_batch(&rows)], &facts);
        let file = file.expect("memory takes what is made to the schema");
        Ok(runtime.block_on(store.put(&key, file))?)
    }
}

async fn copy(store: &Store, key: &str, file: &Path) -> Result<(), EvaluateError> {
    Ok(std::fs::write(file, store.get(key).await?)?)
}
