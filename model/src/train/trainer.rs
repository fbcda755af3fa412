//! A model that learns, step by step: gradients from one of two engines, then Adam.

use std::collections::BTreeMap;

use candle_core::Device;

use super::candle_engine::Dense;
use super::cpu_engine::Cpu;
use super::parameters::Learned;
use super::pass::{Fixed, Passed};
use super::text_tower::{TOKEN_EMBEDDING, occurring};
use super::{Example, Step, TuneError, TuneOptions, Tunes};
use crate::prompts::tokens::sentence;
use crate::score::scorer;
use crate::{ClipWeights, ModelError, PromptMode, Prompts};

const PATCH_EMBEDDING: &str = "vision_model.embeddings.patch_embedding.weight";

/// A model that learns.
pub struct Trainer {
    weights: ClipWeights,
    prompts: Option<Prompts>,
    sentences: [Vec<u32>; 2],
    options: TuneOptions,
    learned: Learned,
    engine: Engine,
}

/// Who makes the gradients.
enum Engine {
    /// Our own backward passes.
    Cpu(Box<Cpu>),
    /// Candle's.
    Dense(Box<Dense>),
}

impl Trainer {
    /// With the weights and prompts to start from.
    ///
    /// # Errors
    /// Where what is to learn is not there, or the model cannot be built.
    pub fn new(weights: &ClipWeights, prompts: &PromptMode, options: &TuneOptions) -> Result<Trainer, TuneError> {
        scorer::check(weights, prompts)?;
        let prompts = match prompts {
            PromptMode::Learned(prompts) => Some(prompts),
            PromptMode::Handcrafted => None,
        };
        let sentences = sentences(prompts)?;
        let mut learned = learned(weights, prompts, &sentences, options.tunes);
        learned.at_share(PATCH_EMBEDDING, options.patch_lr);
        if learned.numbers() == 0 {
            let why = format!("{:?} was asked for, and the model has no such prompts", options.tunes);
            return Err(TuneError::Nothing(why));
        }
        let fixed = Fixed { weights, prompts, sentences: &sentences, options };
        let engine = if matches!(options.device, Device::Cpu) && !options.plain_operations {
            Engine::Cpu(Box::new(Cpu::new(fixed, &learned)))
        } else {
            Engine::Dense(Box::new(Dense::new(fixed, &learned)?))
        };
        let (weights, prompts, options) = (weights.clone(), prompts.cloned(), options.clone());
        Ok(Trainer { weights, prompts, sentences, options, learned, engine })
    }

    /// One step of Adam (betas 0.9 and 0.999, epsilon 1e-8) at this learning rate, on the mean squared error of the
    /// batch. Where it fails nothing has changed. On one CPU with as many threads it is the same to the bit.
    ///
    /// # Errors
    /// Where the loss or a gradient is not finite, or the device fails.
    ///
    /// # Panics
    /// Where the batch is empty, or an example lacks a view that the model looks at.
    pub fn step(&mut self, batch: &[Example], lr: f64) -> Result<Step, TuneError> {
        let (step, mut passed) = self.pass(batch)?;
        self.learned.adam(&mut passed.gradients, lr);
        self.update()?;
        Ok(step)
    }

    /// The gradients that a step would follow, by tensor.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn gradients(&mut self, batch: &[Example]) -> Result<(Step, BTreeMap<String, Vec<f32>>), TuneError> {
        let (step, mut passed) = self.pass(batch)?;
        let names = self.learned.iter().enumerate();
        let gradients = names.map(|(slot, (name, ..))| (name.to_owned(), passed.gradients.of(slot).to_vec()));
        Ok((step, gradients.collect()))
    }

    /// Steps made, over all runs of this training.
    pub fn steps(&self) -> u64 {
        self.learned.steps
    }

    /// Numbers that learn.
    pub fn learnable(&self) -> usize {
        self.learned.numbers()
    }

    /// The prompts as they are now.
    pub fn prompts(&self) -> PromptMode {
        let Some(prompts) = &self.prompts else { return PromptMode::Handcrafted };
        let learned = self.learned.iter().filter(|(name, ..)| prompts.tensors().contains_key(*name));
        PromptMode::Learned(prompts.with(learned))
    }

    /// The weights as they are now: those given, unless they learn.
    pub fn weights(&self) -> ClipWeights {
        let (ids, _) = occurring(&self.sentences);
        let mut weights = self.weights.clone();
        for (name, _, values) in self.learned.iter() {
            if name == TOKEN_EMBEDDING {
                weights.set_rows(name, &ids, values);
            } else if self.prompts.as_ref().is_none_or(|prompts| !prompts.tensors().contains_key(name)) {
                weights.set(name, values);
            }
        }
        weights
    }

    /// What learns, Adam's moments and the count of steps, as safetensors.
    pub fn save(&self) -> Vec<u8> {
        self.learned.save()
    }

    /// Goes on from [`Trainer::save`], of a trainer made with the same weights, shape of prompts and options.
    ///
    /// # Errors
    /// Where it is of another training; nothing has changed then.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), TuneError> {
        self.learned.restore(bytes)?;
        self.update()
    }

    fn update(&mut self) -> Result<(), TuneError> {
        let Trainer { weights, prompts, sentences, options, learned, engine } = self;
        let fixed = Fixed { weights, prompts: prompts.as_ref(), sentences, options };
        match engine {
            Engine::Cpu(cpu) => cpu.update(fixed, learned),
            Engine::Dense(dense) => dense.update(learned)?,
        }
        Ok(())
    }

    fn pass(&mut self, batch: &[Example]) -> Result<(Step, Passed), TuneError> {
        assert!(!batch.is_empty(), "a step has examples");
        let Trainer { weights, prompts, sentences, options, learned, engine } = self;
        let fixed = Fixed { weights, prompts: prompts.as_ref(), sentences, options };
        let mut passed = match engine {
            Engine::Cpu(cpu) => cpu.pass(batch, fixed, learned),
            Engine::Dense(dense) => dense.pass(batch, learned)?,
        };
        let loss = passed.errors / batch.len() as f64;
        let gradient_norm = self.finite(loss, &passed)?;
        Ok((Step { loss, scores: std::mem::take(&mut passed.scores), gradient_norm }, passed))
    }

    /// The norm of all gradients; an error where something is no number.
    fn finite(&self, loss: f64, passed: &Passed) -> Result<f64, TuneError> {
        let not_finite = |what: String| TuneError::NotFinite { step: self.learned.steps + 1, what };
        if !loss.is_finite() {
            return Err(not_finite("the loss".to_owned()));
        }
        let norms = passed.gradients.norms();
        if let Some(((name, ..), _)) = self.learned.iter().zip(&norms).find(|(_, norm)| !norm.is_finite()) {
            return Err(not_finite(format!("the gradient of {name}")));
        }
        Ok(norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt())
    }
}

fn sentences(prompts: Option<&Prompts>) -> Result<[Vec<u32>; 2], TuneError> {
    let words = prompts.map(Prompts::words).cloned().unwrap_or_default();
    let length = prompts.map_or(0, |prompts| prompts.shape().text_len);
    let ids = |words: &str| sentence(length, words).map_err(ModelError::from);
    Ok([ids(&words.bad)?, ids(&words.good)?])
}

fn learned(weights: &ClipWeights, prompts: Option<&Prompts>, sentences: &[Vec<u32>; 2], tunes: Tunes) -> Learned {
    let mut learned = Learned::default();
    if let Some(prompts) = prompts {
        for (name, tensor) in prompts.tensors().iter().filter(|(name, _)| tunes.takes(name)) {
            learned.add(name, tensor.dims(), prompts.values(name));
        }
    }
    if tunes.changes_weights() {
        let (ids, _) = occurring(sentences);
        for name in weights.names().filter(|name| tunes.takes(name)) {
            if name == TOKEN_EMBEDDING {
                // The gradient of every other row is zero.
                let width = weights.shape(name)[1];
                learned.add(name, &[ids.len(), width], weights.rows_values(name, &ids));
            } else {
                learned.add(name, weights.shape(name), weights.values(name));
            }
        }
    }
    learned
}
