//! The model that a training begins with: CLIP's weights, pretrained or random, and prompts, given or new.

use std::path::Path;

use dqa_model::{
    ClipConfig, ClipWeights, ConfigError, PromptInit, PromptMode, PromptShape, Prompts, PromptsError, Words,
};
use dqa_pipelines::train::{Init, ModelRef, PromptsRef, Setup};
use dqa_pipelines::trained_on::TrainedOn;

use crate::console::note;
use crate::models::{self, OpenError, RecordedTraining};

/// Prefix of the path of a configuration whose weights are drawn at random.
const RANDOM_SCHEME: &str = "new:";

/// A model before training. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BaseModel {
    weights: ClipWeights,
    prompts: Option<Prompts>,
    model: ModelRef,
    trained_on: TrainedOn,
}

/// Why a model to begin with cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BaseModelError {
    /// The model or the prompts cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The configuration of a random model cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The prompts do not fit the model.
    #[error(transparent)]
    Prompts(#[from] PromptsError),
}

impl BaseModel {
    /// Opens a model: a name as [`models::weights`] takes it, or `new:CONFIG.json`, whose weights are drawn by `seed`.
    /// `prompts` is a file as [`models::prompts`] takes it; without it the prompts are new.
    ///
    /// # Errors
    /// Fails with any [`BaseModelError`].
    pub fn open(model: &str, prompts: Option<&Path>, seed: u64, offline: bool) -> Result<BaseModel, BaseModelError> {
        let weights = match BaseModel::new_config(model) {
            Some(config) => ClipWeights::initial(ClipConfig::read(config)?, seed),
            None => models::weights(model, offline)?,
        };
        let prompts = prompts.map(|file| Ok::<_, BaseModelError>((file, models::prompts(file, weights.config())?)));
        let prompts = prompts.transpose()?;
        let prompts_ref = match &prompts {
            None => None,
            Some((file, prompts)) => {
                Some(PromptsRef { name: file.display().to_string(), digest: prompts.digest()?.to_string() })
            }
        };
        let prompts_training =
            prompts.as_ref().map_or(RecordedTraining::NotRecorded, |(file, _)| RecordedTraining::of_prompts(file));
        let (trained_on, unreadable) =
            RecordedTraining::of_weights(model, weights.files()).and(prompts_training).known();
        if let Some(unreadable) = unreadable {
            note(format_args!("warning: {unreadable}"));
        }
        let model = ModelRef { name: model.to_owned(), digest: weights.digest().to_string(), prompts: prompts_ref };
        Ok(BaseModel { weights, prompts: prompts.map(|(_, prompts)| prompts), model, trained_on })
    }

    /// Creates a model from weights, and prompts if they are given, that are loaded already. `model` has its names; its
    /// digests become those of what is loaded.
    ///
    /// # Errors
    /// Fails if the prompts are invalid.
    pub fn from_loaded(
        model: &ModelRef,
        weights: ClipWeights,
        prompts: Option<Prompts>,
        trained_on: TrainedOn,
    ) -> Result<BaseModel, BaseModelError> {
        let prompts_ref = match (&prompts, &model.prompts) {
            (Some(prompts), Some(given)) => {
                Some(PromptsRef { name: given.name.clone(), digest: prompts.digest()?.to_string() })
            }
            _ => None,
        };
        let model = ModelRef { name: model.name.clone(), digest: weights.digest().to_string(), prompts: prompts_ref };
        Ok(BaseModel { weights, prompts, model, trained_on })
    }

    /// Returns the path of the configuration, if the model's weights are new.
    pub fn new_config(name: &str) -> Option<&Path> {
        name.strip_prefix(RANDOM_SCHEME).map(Path::new)
    }

    /// Returns the prompts that were given.
    pub fn given_prompts(&self) -> Option<&Prompts> {
        self.prompts.as_ref()
    }

    /// Returns the model's name and digests, for a trial.
    pub fn model(&self) -> &ModelRef {
        &self.model
    }

    /// Returns the scenes that the model has already learned from.
    pub fn trained_on(&self) -> &TrainedOn {
        &self.trained_on
    }

    /// Returns CLIP's weights.
    pub fn weights(&self) -> &ClipWeights {
        &self.weights
    }

    /// Returns the setup with the shape and words of given prompts, which override its own.
    pub fn resolve(&self, setup: &Setup) -> Setup {
        let Some(prompts) = &self.prompts else { return setup.clone() };
        let (shape, words) = (prompts.shape(), prompts.words());
        let number = |count: usize| u32::try_from(count).expect("a tower has few layers, each with few prompts");
        Setup {
            text_len: number(shape.text_len),
            text_depth: Some(number(shape.text_depth)),
            visual_len: number(shape.visual_len),
            visual_depth: Some(number(shape.visual_depth)),
            words: [words.bad.clone(), words.good.clone()],
            init: Init::Random,
            ..setup.clone()
        }
    }

    /// Returns the prompts that a setup begins with.
    ///
    /// # Errors
    /// Fails if the prompts do not fit the model.
    pub fn prompts(&self, setup: &Setup) -> Result<PromptMode, BaseModelError> {
        if let Some(prompts) = &self.prompts {
            return Ok(PromptMode::Learned(prompts.clone()));
        }
        let config = self.weights.config();
        let (text_depth, visual_depth) = setup.depths(config.text.layers, config.vision.layers);
        if (text_depth, visual_depth) == (0, 0) {
            return Ok(PromptMode::Handcrafted);
        }
        let shape = PromptShape {
            text_len: if text_depth > 0 { setup.text_len as usize } else { 0 },
            text_depth,
            visual_len: if visual_depth > 0 { setup.visual_len as usize } else { 0 },
            visual_depth,
        };
        let [bad, good] = setup.words.clone();
        let init = match &setup.init {
            Init::Random => PromptInit::Random,
            Init::Words(words) => PromptInit::Words(words.clone()),
        };
        Ok(PromptMode::Learned(Prompts::initial(&self.weights, shape, Words { bad, good }, &init, setup.seed)?))
    }
}
