//! A step of training on the CPU: text tower, windows in parallel, back through the prompts, Adam.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::head::Comparison;
use super::learned::{Gradients, Learned};
use super::linear::Source;
use super::prompts::{self, Entering, TEXT, VISUAL};
use super::text::{TOKEN_EMBEDDING, Text, occurring};
use super::visual::{Memory, Sums, Visual};
use super::{Example, Step, TuneError, TuneOptions, Tunes};
use crate::tokens::sentence;
use crate::{ClipWeights, PromptMode, Prompts};

/// Windows of a thread that share a pass over the weights. The gradient of a weight that learns is added up in memory once
/// for each group, so those are larger.
const GROUP_FROZEN: usize = 1;
const GROUP_ALL: usize = 4;

const LOGIT_SCALE: &str = "logit_scale";

/// A model that learns.
pub struct Trainer {
    weights: ClipWeights,
    prompts: Option<Prompts>,
    sentences: [Vec<u32>; 2],
    options: TuneOptions,
    learned: Learned,
    text: Text,
    visual: Visual,
    lanes: Vec<Memory>,
}

/// What a batch gives before anything changes.
struct Pass {
    step: Step,
    gradients: Gradients,
}

impl Trainer {
    /// With the weights and prompts to start from.
    ///
    /// # Errors
    /// Where what is to learn is not there, or the model cannot be built.
    pub fn new(weights: &ClipWeights, prompts: &PromptMode, options: &TuneOptions) -> Result<Trainer, TuneError> {
        crate::score::check(weights, prompts)?;
        let prompts = match prompts {
            PromptMode::Learned(prompts) => Some(prompts.clone()),
            PromptMode::Handcrafted => None,
        };
        let sentences = sentences(prompts.as_ref())?;
        let learned = learned(weights, prompts.as_ref(), &sentences, options.tunes);
        if learned.numbers() == 0 {
            return Err(TuneError::Nothing(format!(
                "{:?} was asked for, and the model has no such prompts",
                options.tunes
            )));
        }
        let source = Source { weights, learned: &learned };
        let text = Text::new(source, &sentences, prompts.as_ref().map_or(0, |prompts| prompts.shape().text_len));
        let visual = Visual::new(source, options.sees);
        let (weights, options) = (weights.clone(), options.clone());
        Ok(Trainer { weights, prompts, sentences, options, learned, text, visual, lanes: Vec::new() })
    }

    /// One step of Adam (betas 0.9 and 0.999, epsilon 1e-8) at this learning rate, on the mean squared error of the
    /// batch. Where it fails nothing has changed. The same on the same machine with as many threads.
    ///
    /// # Errors
    /// Where the loss or a gradient is not finite.
    ///
    /// # Panics
    /// Where the batch is empty, or an example lacks a view that the model looks at.
    pub fn step(&mut self, batch: &[Example], lr: f64) -> Result<Step, TuneError> {
        let Pass { step, mut gradients } = self.pass(batch)?;
        self.learned.adam(&mut gradients, lr);
        self.rebuild();
        Ok(step)
    }

    /// The gradients that a step would follow, by tensor.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn gradients(&mut self, batch: &[Example]) -> Result<(Step, BTreeMap<String, Vec<f32>>), TuneError> {
        let Pass { step, mut gradients } = self.pass(batch)?;
        let names = self.learned.iter().enumerate();
        let gradients = names.map(|(slot, (name, ..))| (name.to_owned(), gradients.of(slot).to_vec())).collect();
        Ok((step, gradients))
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
    ///
    /// # Panics
    /// Never: their shapes do not change.
    pub fn prompts(&self) -> PromptMode {
        let Some(prompts) = &self.prompts else { return PromptMode::Handcrafted };
        let learned = self.learned.iter().filter(|(name, ..)| prompts.tensors().contains_key(*name));
        PromptMode::Learned(prompts.with(learned))
    }

    /// The weights as they are now: those given, unless all learn.
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
        self.rebuild();
        Ok(())
    }

    /// The towers with their tensors as they are now, where they learn.
    fn rebuild(&mut self) {
        if self.options.tunes == Tunes::All {
            let source = Source { weights: &self.weights, learned: &self.learned };
            let prompt_len = self.prompts.as_ref().map_or(0, |prompts| prompts.shape().text_len);
            self.text = Text::new(source, &self.sentences, prompt_len);
            self.visual = Visual::new(source, self.options.sees);
        }
    }

    fn pass(&mut self, batch: &[Example]) -> Result<Pass, TuneError> {
        assert!(!batch.is_empty(), "a step has examples");
        let tunes = self.options.tunes;
        let (of_text, of_visual) = self.entering();
        let features = self.text.forward(&of_text).to_vec();
        let keys = self.visual.keys(&of_visual);
        let scale = self.scale();
        let comparison = Comparison { text: &features, scale: scale.exp(), batch: batch.len() };
        let threads = rayon::current_num_threads();
        self.lanes.resize_with(threads, Memory::default);
        let (visual, gradients) = (&self.visual, self.learned.gradients());
        let group = if tunes == Tunes::All { GROUP_ALL } else { GROUP_FROZEN };
        let lane = |(examples, memory): (&[Example], &mut Memory)| {
            let mut sums = Sums::new(gradients.clone(), &keys, features.len() / 2);
            for group in examples.chunks(group) {
                visual.run(group, &keys, comparison, tunes != Tunes::Text, (&mut sums, memory));
            }
            sums
        };
        let examples = batch.par_chunks(batch.len().div_ceil(threads));
        let lanes: Vec<Sums> = examples.zip(&mut self.lanes).map(lane).collect();
        // In the lanes' order: the sums are the same each time.
        let mut sums = lanes.into_iter().reduce(|mut sum, lane| {
            sum.add(lane);
            sum
        });
        let sums = sums.as_mut().expect("there is an example");
        let loss = sums.head.errors / batch.len() as f64;
        if !loss.is_finite() {
            return Err(self.not_finite("the loss"));
        }
        self.backward((&of_text, &of_visual), &keys, sums);
        self.checked(loss, sums)
    }

    /// Prompts of both towers as they enter.
    fn entering(&self) -> (Entering, Entering) {
        match &self.prompts {
            None => (Entering { layers: Vec::new() }, Entering { layers: Vec::new() }),
            Some(prompts) => (
                TEXT.enter(prompts, &self.learned, prompts.shape().text_depth),
                VISUAL.enter(prompts, &self.learned, prompts.shape().visual_depth),
            ),
        }
    }

    fn scale(&self) -> f32 {
        Source { weights: &self.weights, learned: &self.learned }.get(LOGIT_SCALE)[0]
    }

    /// From the sums over windows through the prompts and the text tower.
    fn backward(&mut self, entering: (&Entering, &Entering), keys: &super::visual::Keys, sums: &mut Sums) {
        let (of_text, of_visual) = entering;
        if self.options.tunes != Tunes::Text {
            let gradients = self.visual.keys_backward(of_visual, keys, sums);
            if let Some(prompts) = &self.prompts {
                VISUAL.backward(prompts, &self.learned, &gradients, &mut sums.own);
            }
        }
        if self.options.tunes != Tunes::Visual {
            let mut gradients = prompts::zeros_like(of_text);
            let of_features = std::mem::take(&mut sums.head.text);
            self.text.backward(&of_features, &mut gradients, &mut sums.own);
            if let Some(prompts) = &self.prompts {
                TEXT.backward(prompts, &self.learned, &gradients, &mut sums.own);
            }
        }
        if let Some(slot) = self.learned.slot(LOGIT_SCALE) {
            sums.own.of(slot)[0] += sums.head.scale as f32;
        }
    }

    fn checked(&self, loss: f64, sums: &mut Sums) -> Result<Pass, TuneError> {
        let norms = sums.own.norms();
        let mut named = self.learned.iter().zip(&norms);
        if let Some(((name, ..), _)) = named.find(|(_, norm)| !norm.is_finite()) {
            return Err(self.not_finite(&format!("the gradient of {name}")));
        }
        let gradient_norm = norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt();
        let scores = std::mem::take(&mut sums.head.scores);
        Ok(Pass { step: Step { loss, scores, gradient_norm }, gradients: std::mem::take(&mut sums.own) })
    }

    fn not_finite(&self, what: &str) -> TuneError {
        TuneError::NotFinite { step: self.learned.steps + 1, what: what.to_owned() }
    }
}

fn sentences(prompts: Option<&Prompts>) -> Result<[Vec<u32>; 2], TuneError> {
    let words = prompts.map(Prompts::words).cloned().unwrap_or_default();
    let length = prompts.map_or(0, |prompts| prompts.shape().text_len);
    let ids = |words: &str| sentence(length, words).map_err(crate::ModelError::from);
    Ok([ids(&words.bad)?, ids(&words.good)?])
}

fn learned(weights: &ClipWeights, prompts: Option<&Prompts>, sentences: &[Vec<u32>; 2], tunes: Tunes) -> Learned {
    let mut learned = Learned::default();
    let learns = |name: &str| match tunes {
        Tunes::Text => name.starts_with("prompts_text.") || name.starts_with("prompt_txt_"),
        Tunes::Visual => name.starts_with("prompts_vis.") || name.starts_with("prompt_vis_"),
        Tunes::Prompts | Tunes::All => true,
    };
    for (name, tensor) in prompts.iter().flat_map(|prompts| prompts.tensors()).filter(|(name, _)| learns(name)) {
        let values = prompts.expect("they are its tensors").values(name);
        learned.add(name, tensor.dims(), values);
    }
    if tunes == Tunes::All {
        let (ids, _) = occurring(sentences);
        for name in weights.names() {
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
