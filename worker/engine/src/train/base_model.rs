//! What a training begins with: CLIP's weights, found or new, and prompts, given or new.

use std::path::{Path, PathBuf};

use dqa_model::{
    ClipConfig, ClipWeights, ConfigError, PromptInit, PromptMode, PromptShape, Prompts, PromptsError, Words,
};
use dqa_pipelines::train::{Init, ModelRef, PromptsRef, Setup};
use dqa_pipelines::trained_on::TrainedOn;

use crate::console::note;
use crate::models::{self, OpenError, Training};

/// What stands before the path of a configuration whose weights are to be new.
const NEW: &str = "new:";

/// A model before it learns. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BaseModel {
    weights: ClipWeights,
    prompts: Option<Prompts>,
    model: ModelRef,
    trained_on: TrainedOn,
}

/// Why there is nothing to begin with.
#[derive(Debug, thiserror::Error)]
pub enum BaseModelError {
    /// The model, or prompts to begin with, cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The configuration of a new model cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model takes no such prompts.
    #[error(transparent)]
    Prompts(#[from] PromptsError),
}

impl BaseModel {
    /// `model`: as [`models::weights`] takes it, or `new:CONFIG.json`, whose weights are drawn by `seed`. `prompts`: as
    /// [`models::prompts`] takes it, to begin with; None: new ones.
    ///
    /// # Errors
    /// Every [`BaseModelError`].
    pub fn open(model: &str, prompts: Option<&Path>, seed: u64, offline: bool) -> Result<BaseModel, BaseModelError> {
        let weights = match model.strip_prefix(NEW) {
            Some(config) => ClipWeights::initial(ClipConfig::read(&PathBuf::from(config))?, seed),
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
        let of_prompts = prompts.as_ref().map_or(Training::NotRecorded, |(file, _)| Training::of_prompts(file));
        let (trained_on, unreadable) = Training::of_weights(model, weights.files()).and(of_prompts).known();
        if let Some(unreadable) = unreadable {
            note(format_args!("warning: {unreadable}"));
        }
        let model = ModelRef { name: model.to_owned(), digest: weights.digest().to_string(), prompts: prompts_ref };
        Ok(BaseModel { weights, prompts: prompts.map(|(_, prompts)| prompts), model, trained_on })
    }

    /// What it is, for a trial.
    pub fn model(&self) -> &ModelRef {
        &self.model
    }

    /// What it has learned from before.
    pub fn trained_on(&self) -> &TrainedOn {
        &self.trained_on
    }

    /// CLIP's weights.
    pub fn weights(&self) -> &ClipWeights {
        &self.weights
    }

    /// The setup with what given prompts decide: their shape and words.
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

    /// The prompts that a setup begins with.
    ///
    /// # Errors
    /// Where the model takes no such prompts.
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
