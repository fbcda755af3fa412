//! Trains a model step by step: gradients from one of two engines, then Adam.

use std::collections::BTreeMap;

use candle_core::Device;

use super::candle_engine::CandleEngine;
use super::cpu_engine::CpuEngine;
use super::error::TrainerError;
use super::options::{Trainable, TrainerOptions};
use super::parameters::Parameters;
use super::pass_types::{PassInputs, PassOutput};
use super::step_types::{Example, Step};
use super::text_tower::{TOKEN_EMBEDDING, distinct_tokens};
use crate::prompts::tokens::sentence;
use crate::score::scorer;
use crate::{ClipWeights, ModelError, PromptMode, Prompts};

const PATCH_EMBEDDING: &str = "vision_model.embeddings.patch_embedding.weight";

/// A model in training.
pub struct Trainer {
    weights: ClipWeights,
    prompts: Option<Prompts>,
    sentences: [Vec<u32>; 2],
    options: TrainerOptions,
    parameters: Parameters,
    engine: Engine,
}

/// The source of the gradients.
enum Engine {
    /// This crate's backward passes.
    Cpu(Box<CpuEngine>),
    /// Candle's gradients.
    Candle(Box<CandleEngine>),
}

impl Trainer {
    /// Makes a trainer that starts from these weights and prompts.
    ///
    /// # Errors
    /// Fails when none of the parameters to train exists, or the model cannot be built.
    pub fn new(weights: &ClipWeights, prompts: &PromptMode, options: &TrainerOptions) -> Result<Trainer, TrainerError> {
        scorer::check_model(weights, prompts)?;
        let prompts = match prompts {
            PromptMode::Learned(prompts) => Some(prompts),
            PromptMode::Handcrafted => None,
        };
        let sentences = sentences(prompts)?;
        let mut parameters = parameters(weights, prompts, &sentences, options.trainable);
        parameters.scale_learning_rate(PATCH_EMBEDDING, options.patch_lr);
        if parameters.value_count() == 0 {
            let why = format!("{:?} was requested, but the model has no such prompts", options.trainable);
            return Err(TrainerError::Nothing(why));
        }
        let inputs = PassInputs { weights, prompts, sentences: &sentences, options };
        let engine = if matches!(options.device, Device::Cpu) && !options.use_candle {
            Engine::Cpu(Box::new(CpuEngine::new(inputs, &parameters)))
        } else {
            Engine::Candle(Box::new(CandleEngine::new(inputs, &parameters)?))
        };
        let (weights, prompts, options) = (weights.clone(), prompts.cloned(), options.clone());
        Ok(Trainer { weights, prompts, sentences, options, parameters, engine })
    }

    /// Makes one step of Adam (betas 0.9 and 0.999, epsilon 1e-8) at this learning rate, on the mean squared error of
    /// the batch. If it fails, nothing has changed. On one CPU the result is the same to the bit; if weights are trained, with
    /// the same number of threads.
    ///
    /// # Errors
    /// Fails when the loss or a gradient is not finite, or the device fails.
    ///
    /// # Panics
    /// Panics when the batch is empty, or an example lacks a view that the model sees.
    pub fn step(&mut self, batch: &[Example], lr: f64) -> Result<Step, TrainerError> {
        let (step, mut output) = self.pass(batch)?;
        self.parameters.adam(&mut output.gradients, lr);
        self.update()?;
        Ok(step)
    }

    /// Returns the gradients that a step would use, by tensor.
    ///
    /// # Errors
    /// The same as [`Trainer::step`].
    pub fn gradients(&mut self, batch: &[Example]) -> Result<(Step, BTreeMap<String, Vec<f32>>), TrainerError> {
        let (step, mut output) = self.pass(batch)?;
        let names = self.parameters.iter().enumerate();
        let gradients = names.map(|(id, (name, ..))| (name.to_owned(), output.gradients.get_mut(id).to_vec()));
        Ok((step, gradients.collect()))
    }

    /// Returns the number of steps made, over all runs of this training.
    pub fn steps(&self) -> u64 {
        self.parameters.steps
    }

    /// Returns the number of trained values.
    pub fn learnable(&self) -> usize {
        self.parameters.value_count()
    }

    /// Returns the current prompts.
    pub fn prompts(&self) -> PromptMode {
        let Some(prompts) = &self.prompts else { return PromptMode::Handcrafted };
        let parameters = self.parameters.iter().filter(|(name, ..)| prompts.tensors().contains_key(*name));
        PromptMode::Learned(prompts.with_values(parameters))
    }

    /// Returns the current weights: the initial ones, unless they are trained.
    pub fn weights(&self) -> ClipWeights {
        let (ids, _) = distinct_tokens(&self.sentences);
        let mut weights = self.weights.clone();
        for (name, _, values) in self.parameters.iter() {
            if name == TOKEN_EMBEDDING {
                weights.set_rows(name, &ids, values);
            } else if self.prompts.as_ref().is_none_or(|prompts| !prompts.tensors().contains_key(name)) {
                weights.set(name, values);
            }
        }
        weights
    }

    /// Saves the parameters, Adam's moments and the number of steps, as safetensors.
    pub fn save(&self) -> Vec<u8> {
        self.parameters.save()
    }

    /// Continues from the result of [`Trainer::save`] of a trainer with the same weights, shape of prompts and options.
    ///
    /// # Errors
    /// Fails when the state belongs to another training; nothing has changed then.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), TrainerError> {
        self.parameters.restore(bytes)?;
        self.update()
    }

    fn update(&mut self) -> Result<(), TrainerError> {
        let Trainer { weights, prompts, sentences, options, parameters, engine } = self;
        let inputs = PassInputs { weights, prompts: prompts.as_ref(), sentences, options };
        match engine {
            Engine::Cpu(cpu) => cpu.update(inputs, parameters),
            Engine::Candle(candle) => candle.update(parameters)?,
        }
        Ok(())
    }

    fn pass(&mut self, batch: &[Example]) -> Result<(Step, PassOutput), TrainerError> {
        assert!(!batch.is_empty(), "a step has examples");
        let Trainer { weights, prompts, sentences, options, parameters, engine } = self;
        let inputs = PassInputs { weights, prompts: prompts.as_ref(), sentences, options };
        let mut output = match engine {
            Engine::Cpu(cpu) => cpu.pass(batch, inputs, parameters),
            Engine::Candle(candle) => candle.pass(batch, parameters)?,
        };
        let loss = output.errors / batch.len() as f64;
        let gradient_norm = self.finite(loss, &output)?;
        Ok((Step { loss, scores: std::mem::take(&mut output.scores), gradient_norm }, output))
    }

    /// Returns the norm of all gradients; an error if a value is not finite.
    fn finite(&self, loss: f64, output: &PassOutput) -> Result<f64, TrainerError> {
        let not_finite = |what: String| TrainerError::NotFinite { step: self.parameters.steps + 1, what };
        if !loss.is_finite() {
            return Err(not_finite("the loss".to_owned()));
        }
        let norms = output.gradients.norms();
        if let Some(((name, ..), _)) = self.parameters.iter().zip(&norms).find(|(_, norm)| !norm.is_finite()) {
            return Err(not_finite(format!("the gradient of {name}")));
        }
        Ok(norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt())
    }
}

fn sentences(prompts: Option<&Prompts>) -> Result<[Vec<u32>; 2], TrainerError> {
    let words = prompts.map(Prompts::words).cloned().unwrap_or_default();
    let length = prompts.map_or(0, |prompts| prompts.shape().text_len);
    let ids = |words: &str| sentence(length, words).map_err(ModelError::from);
    Ok([ids(&words.bad)?, ids(&words.good)?])
}

fn parameters(
    weights: &ClipWeights,
    prompts: Option<&Prompts>,
    sentences: &[Vec<u32>; 2],
    trainable: Trainable,
) -> Parameters {
    let mut parameters = Parameters::default();
    if let Some(prompts) = prompts {
        for (name, tensor) in prompts.tensors().iter().filter(|(name, _)| trainable.takes(name)) {
            parameters.add(name, tensor.dims(), prompts.values(name));
        }
    }
    if trainable.changes_weights() {
        let (ids, _) = distinct_tokens(sentences);
        for name in weights.names().filter(|name| trainable.takes(name)) {
            if name == TOKEN_EMBEDDING {
                // The gradient of every other row is zero.
                let width = weights.shape(name)[1];
                parameters.add(name, &[ids.len(), width], weights.rows_values(name, &ids));
            } else {
                parameters.add(name, weights.shape(name), weights.values(name));
            }
        }
    }
    parameters
}
