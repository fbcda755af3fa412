//! A step's gradients on the CPU: the text tower, windows in parallel, back through the prompts.

use rayon::prelude::*;

use super::linear::Source;
use super::loss::Comparison;
use super::parameters::Learned;
use super::pass::{Fixed, LOGIT_SCALE, Passed};
use super::prompt_projection::{self, Entering, TEXT, VISUAL};
use super::text_tower::Text;
use super::visual_tower::{Keys, Memory, Sums, Visual};
use super::{Example, Tunes};
use crate::Prompts;

/// Windows of a thread that share a pass over the weights. The gradient of a weight that learns is added up in memory once
/// for each group, so those are larger.
const GROUP_FROZEN: usize = 1;
const GROUP_ALL: usize = 4;

/// Both towers, and the buffers of each thread.
pub(super) struct Cpu {
    text: Text,
    visual: Visual,
    lanes: Vec<Memory>,
    /// exp(logit_scale)
    scale: f32,
}

impl Cpu {
    pub(super) fn new(fixed: Fixed<'_>, learned: &Learned) -> Cpu {
        let source = Source { weights: fixed.weights, learned };
        Cpu {
            text: Text::new(source, fixed.sentences, fixed.prompts.map_or(0, |prompts| prompts.shape().text_len)),
            visual: Visual::new(source, fixed.options.sees),
            lanes: Vec::new(),
            scale: source.get(LOGIT_SCALE)[0].exp(),
        }
    }

    /// What learns has changed: the towers' own tensors are packed again where they do.
    pub(super) fn update(&mut self, fixed: Fixed<'_>, learned: &Learned) {
        if fixed.options.tunes.changes_weights() {
            let lanes = std::mem::take(&mut self.lanes);
            *self = Cpu { lanes, ..Cpu::new(fixed, learned) };
        }
    }

    pub(super) fn pass(&mut self, batch: &[Example], fixed: Fixed<'_>, learned: &Learned) -> Passed {
        let tunes = fixed.options.tunes;
        let enter = |names: prompt_projection::Names, depth: fn(&Prompts) -> usize| match fixed.prompts {
            Some(prompts) => names.enter(prompts, learned, depth(prompts)),
            None => Entering { layers: Vec::new() },
        };
        let of_text = enter(TEXT, |prompts| prompts.shape().text_depth);
        let of_visual = enter(VISUAL, |prompts| prompts.shape().visual_depth);
        let features = self.text.forward(&of_text).to_vec();
        let keys = self.visual.keys(&of_visual);
        let comparison = Comparison { text: &features, scale: self.scale, batch: batch.len() };
        let mut sums = self.windows(batch, tunes, &keys, comparison, learned);
        if tunes.reaches_vision() {
            let gradients = self.visual.keys_backward(&of_visual, &keys, &mut sums);
            if let Some(prompts) = fixed.prompts {
                VISUAL.backward(prompts, learned, &gradients, &mut sums.own);
            }
        }
        if tunes.reaches_text() {
            let mut gradients = prompt_projection::zeros_like(&of_text);
            self.text.backward(&sums.head.text, &mut gradients, &mut sums.own);
            if let Some(prompts) = fixed.prompts {
                TEXT.backward(prompts, learned, &gradients, &mut sums.own);
            }
        }
        if let Some(slot) = learned.slot(LOGIT_SCALE) {
            sums.own.of(slot)[0] += sums.head.scale as f32;
        }
        Passed { errors: sums.head.errors, scores: sums.head.scores, gradients: sums.own }
    }

    /// All windows through the visual tower and back, a share of them on each thread.
    fn windows(
        &mut self,
        batch: &[Example],
        tunes: Tunes,
        keys: &Keys,
        comparison: Comparison<'_>,
        learned: &Learned,
    ) -> Sums {
        let threads = rayon::current_num_threads();
        self.lanes.resize_with(threads, Memory::default);
        let group = if tunes.changes_weights() { GROUP_ALL } else { GROUP_FROZEN };
        let visual = &self.visual;
        let lane = |(examples, memory): (&[Example], &mut Memory)| {
            let mut sums = Sums::new(learned.gradients(), keys, comparison.text.len() / 2);
            for group in examples.chunks(group) {
                visual.run(group, keys, comparison, tunes.reaches_vision(), (&mut sums, memory));
            }
            sums
        };
        let examples = batch.par_chunks(batch.len().div_ceil(threads));
        let lanes: Vec<Sums> = examples.zip(&mut self.lanes).map(lane).collect();
        // In the lanes' order: the sums are the same each time.
        let sums = lanes.into_iter().reduce(|mut sum, lane| {
            sum.add(lane);
            sum
        });
        sums.expect("a batch has an example")
    }
}
