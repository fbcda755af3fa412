//! Tests that a study asks for: a trained model, or one that has learned nothing, on some pictures, with its cost. What to
//! test is decided elsewhere.

mod luma;
mod score;

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
use score::Test;

/// A model that is tested.
pub struct Evaluator {
    weights: ClipWeights,
    prompts: PromptMode,
}

/// Why there is no test.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What a trial learned cannot be kept here to be read.
    #[error("cannot write to the folder of temporary files")]
    Temporary(#[from] std::io::Error),
    /// A trial's weights are none.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A trial's prompts are none.
    #[error(transparent)]
    Prompts(#[from] PromptsError),
    /// The test's views are none.
    #[error("the views `{views}` mean nothing")]
    Views {
        /// As asked for.
        views: String,
        /// Why.
        #[source]
        source: ViewsError,
    },
    /// The model cannot be built, or fails.
    #[error("the model failed")]
    Model(#[from] ModelError),
    /// A picture has no score: the test would be of others than it says.
    #[error("{image} has no score in the test with {views}")]
    Picture {
        /// Which.
        image: String,
        /// How it was looked at.
        views: String,
        /// Why.
        #[source]
        source: Box<PictureError>,
    },
}

impl Evaluator {
    /// The model as it is before it learns, with the plain sentences.
    pub fn handcrafted(base: &BaseModel) -> Evaluator {
        Evaluator { weights: base.weights().clone(), prompts: PromptMode::Handcrafted }
    }

    /// What a complete trial that began with `base` has learned.
    ///
    /// # Errors
    /// Where the store lacks it.
    pub async fn of_trial(record: &TrialRecord, base: &BaseModel, store: &Store) -> Result<Evaluator, EvaluateError> {
        // Weights and prompts are read from files, whatever kind of store they lie in.
        let folder = tempfile::tempdir()?;
        let weights = if record.setup.tune.changes_weights() {
            for file in ["config.json", "model.safetensors"] {
                copy(store, &trial_key(&record.name, file), &folder.path().join(file)).await?;
            }
            // Mapped: the files go when the model does.
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

    /// Makes a test and writes it to the store. Blocks: it belongs on a thread of its own; `runtime` does its reading and
    /// writing. `each` is told how many pictures are done.
    ///
    /// # Errors
    /// Every [`EvaluateError`]; nothing is written then.
    pub fn evaluate(
        &self,
        evaluation: &Evaluation,
        (store, runtime): (&Store, &Handle),
        resources: &TrainingResources,
        each: &mut dyn FnMut(usize),
    ) -> Result<(), EvaluateError> {
        let wrong = |source| EvaluateError::Views { views: evaluation.views.clone(), source };
        let views = evaluation.views.parse().map_err(wrong)?;
        let (device, arithmetic) = (resources.device.clone(), Arithmetic::F32);
        let options = Options { views, arithmetic, device, ..Options::default() };
        let scorer = Arc::new(Scorer::new(&self.weights, &self.prompts, &options)?);
        let fingerprint = scorer.fingerprint().to_string();
        let name = evaluation.name();
        let key = evaluation_key(&name);
        let test = Test { judge: self, evaluation, name, runtime, resources };
        let rows = if evaluation.looks { test.look(&options, each)? } else { test.score(&scorer, each)? };
        let facts = [("dqa.device", resources.device_name.clone()), ("dqa.fingerprint", fingerprint)];
        let file = parquet_file::write(&evaluations::SCHEMA, &[evaluations::to_batch(&rows)], &facts);
        let file = file.expect("memory takes what is made to the schema");
        Ok(runtime.block_on(store.put(&key, file))?)
    }
}

async fn copy(store: &Store, key: &str, file: &Path) -> Result<(), EvaluateError> {
    Ok(std::fs::write(file, store.get(key).await?)?)
}
