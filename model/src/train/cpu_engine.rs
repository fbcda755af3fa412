//! Computes a step's gradients on the CPU: the text tower, the windows in parallel, and back through the prompts.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::linear::Source;
use super::loss::ScoreLoss;
use super::options::Trainable;
use super::parameters::Parameters;
use super::pass_types::{LOGIT_SCALE, PassInputs, PassOutput};
use super::prompt_projection::{self, ProjectedPrompts, TEXT, VISUAL};
use super::step_types::Example;
use super::text_tower::TextTower;
use super::visual_tower::{GradientSums, LayerPrompts, ThreadBuffers, TrainedVisualTower};
use crate::Prompts;

/// Windows of a thread that share a pass over the weights. The gradient of a trained weight is added up in memory once
/// per group, so those groups are larger.
const GROUP_FROZEN: usize = 1;
const GROUP_ALL: usize = 4;

/// Windows whose gradients are added up on one thread while the weights are frozen. Shares are added in their order, so that what
/// is learned does not depend on the number of threads.
const SHARE_FROZEN: usize = 4;

/// Both towers, and buffers that threads take while they need them.
pub(super) struct CpuEngine {
    text: TextTower,
    visual: TrainedVisualTower,
    thread_buffers: Vec<ThreadBuffers>,
    /// exp(logit_scale)
    scale: f32,
}

impl CpuEngine {
    pub(super) fn new(inputs: PassInputs<'_>, parameters: &Parameters) -> CpuEngine {
        let source = Source { weights: inputs.weights, parameters };
        CpuEngine {
            text: TextTower::new(
                source,
                inputs.sentences,
                inputs.prompts.map_or(0, |prompts| prompts.shape().text_len),
            ),
            visual: TrainedVisualTower::new(source, inputs.options.sees),
            thread_buffers: Vec::new(),
            scale: source.get(LOGIT_SCALE)[0].exp(),
        }
    }

    /// Takes over changed parameters: packs the towers' own tensors again if they are trained.
    pub(super) fn update(&mut self, inputs: PassInputs<'_>, parameters: &Parameters) {
        if inputs.options.trainable.changes_weights() {
            let thread_buffers = std::mem::take(&mut self.thread_buffers);
            *self = CpuEngine { thread_buffers, ..CpuEngine::new(inputs, parameters) };
        }
    }

    pub(super) fn pass(&mut self, batch: &[Example], inputs: PassInputs<'_>, parameters: &Parameters) -> PassOutput {
        let trainable = inputs.options.trainable;
        let project = |names: prompt_projection::PromptProjection, depth: fn(&Prompts) -> usize| match inputs.prompts {
            Some(prompts) => names.project(prompts, parameters, depth(prompts)),
            None => ProjectedPrompts { layers: Vec::new() },
        };
        let text_prompts = project(TEXT, |prompts| prompts.shape().text_depth);
        let visual_prompts = project(VISUAL, |prompts| prompts.shape().visual_depth);
        let features = self.text.forward(&text_prompts).to_vec();
        let keys = self.visual.keys(&visual_prompts);
        let loss = ScoreLoss { text: &features, scale: self.scale, batch: batch.len() };
        let mut sums = self.windows(batch, trainable, &keys, loss, parameters);
        if trainable.reaches_vision() {
            let gradients = self.visual.keys_backward(&visual_prompts, &keys, &mut sums);
            if let Some(prompts) = inputs.prompts {
                VISUAL.backward(prompts, parameters, &gradients, &mut sums.own);
            }
        }
        if trainable.reaches_text() {
            let mut gradients = prompt_projection::zeros_like(&text_prompts);
            self.text.backward(&sums.head.text, &mut gradients, &mut sums.own);
            if let Some(prompts) = inputs.prompts {
                TEXT.backward(prompts, parameters, &gradients, &mut sums.own);
            }
        }
        if let Some(id) = parameters.find(LOGIT_SCALE) {
            sums.own.get_mut(id)[0] += sums.head.scale as f32;
        }
        PassOutput { errors: sums.head.errors, scores: sums.head.scores, gradients: sums.own }
    }

    /// Passes all windows through the visual tower and back, a share of them on each thread. While weights are trained, a share
    /// has as many sums as the model has weights, and there is one for each thread.
    fn windows(
        &mut self,
        batch: &[Example],
        trainable: Trainable,
        keys: &LayerPrompts,
        loss: ScoreLoss<'_>,
        parameters: &Parameters,
    ) -> GradientSums {
        let changes_weights = trainable.changes_weights();
        let (group, share) = if changes_weights {
            (GROUP_ALL, batch.len().div_ceil(rayon::current_num_threads()))
        } else {
            (GROUP_FROZEN, SHARE_FROZEN)
        };
        let visual = &self.visual;
        let free = Mutex::new(std::mem::take(&mut self.thread_buffers));
        let lock = || free.lock().unwrap_or_else(PoisonError::into_inner);
        let run_share = |examples: &[Example]| {
            let mut memory = lock().pop().unwrap_or_default();
            let mut sums = GradientSums::new(parameters.gradients(), keys, loss.text.len() / 2);
            for group in examples.chunks(group) {
                visual.run(group, keys, loss, trainable.reaches_vision(), (&mut sums, &mut memory));
            }
            lock().push(memory);
            sums
        };
        let shares: Vec<GradientSums> = batch.par_chunks(share).map(run_share).collect();
        self.thread_buffers = free.into_inner().unwrap_or_else(PoisonError::into_inner);
        // In the order of the shares, so that the sums are the same each time.
        let sums = shares.into_iter().reduce(|mut sum, share| {
            sum.add(share);
            sum
        });
        sums.expect("a batch has an example")
    }
}
