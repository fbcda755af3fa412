//! Learning from people's scores: prompts, or all of CLIP, by Adam on the squared error of windows' scores.
//!
//! [`Trainer`] holds what learns and makes steps; which pictures, crops and epochs there are is its caller's business.

mod attention;
mod candle_engine;
mod cpu_engine;
mod layer;
mod linear;
mod loss;
mod parameters;
mod pass;
mod prompt_projection;
mod text_tower;
mod trainer;
mod visual_tower;

use std::sync::Arc;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::picture::ViewMode;
use crate::{ModelError, Rgb8};

pub use trainer::Trainer;

/// What learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trainable {
    /// The text prompts and their linear layers.
    Text,
    /// The visual prompts and their linear layers.
    Visual,
    /// Both towers' prompts and their linear layers: CLIP-DQA.
    #[default]
    Prompts,
    /// The visual tower's own weights with the temperature, and the visual prompts: the sentences stay where they are, and
    /// what a visual tower learns from nothing is not led about by them.
    Vision,
    /// All of CLIP's weights, and all prompts.
    All,
}

impl Trainable {
    /// Whether a tensor of this name learns.
    fn takes(self, name: &str) -> bool {
        let starts = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
        let text_prompt = starts(&["prompts_text.", "prompt_txt_"]);
        let visual_prompt = starts(&["prompts_vis.", "prompt_vis_"]);
        match self {
            Trainable::Text => text_prompt,
            Trainable::Visual => visual_prompt,
            Trainable::Prompts => text_prompt || visual_prompt,
            Trainable::Vision => visual_prompt || starts(&["vision_model.", "visual_projection.", "logit_scale"]),
            Trainable::All => true,
        }
    }

    /// Whether anything of the text tower learns.
    fn reaches_text(self) -> bool {
        matches!(self, Trainable::Text | Trainable::Prompts | Trainable::All)
    }

    /// Whether anything of the visual tower learns.
    fn reaches_vision(self) -> bool {
        self != Trainable::Text
    }

    /// Whether CLIP's own weights learn.
    pub fn changes_weights(self) -> bool {
        matches!(self, Trainable::Vision | Trainable::All)
    }
}

/// What a [`Trainer`] does.
#[derive(Clone, Debug)]
pub struct TrainerOptions {
    /// What learns.
    pub trainable: Trainable,
    /// What the model looks at while it learns.
    pub sees: ViewMode,
    /// The share of the learning rate at which the patch embedding learns, where it does. All its inputs are large and alike (a
    /// patch's mean), so that one step moves its outputs more than those of any other product.
    pub patch_lr: f64,
    /// Where.
    pub device: Device,
    /// Candle's operations and gradients instead of our own also on the CPU: to compare the two.
    pub use_candle: bool,
}

impl Default for TrainerOptions {
    /// The authors': prompts learn from both views, on the CPU.
    fn default() -> TrainerOptions {
        TrainerOptions {
            trainable: Trainable::Prompts,
            sees: ViewMode::Both,
            patch_lr: 1.0,
            device: Device::Cpu,
            use_candle: false,
        }
    }
}

/// One window with what people say of its picture.
#[derive(Clone, Debug)]
pub struct Example {
    /// 224 x 224, where windows are looked at.
    pub local: Option<Rgb8>,
    /// The whole picture at 224 x 224, where it is looked at.
    pub whole: Option<Arc<Rgb8>>,
    /// The label, 0 (bad) to 1 (good).
    pub target: f32,
}

/// What a step saw, before it changed anything.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Mean squared error over the batch.
    pub loss: f64,
    /// The windows' scores, in the batch's order.
    pub scores: Vec<f32>,
    /// Euclidean norm of the gradient of everything that learns.
    pub gradient_norm: f64,
}

/// Why learning stops.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The model cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device fails.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// What is asked to learn is not there.
    #[error("nothing learns: {0}")]
    Nothing(String),
    /// The loss or a gradient is no number.
    #[error("step {step}: {what} is not finite; a lower learning rate may help")]
    NotFinite {
        /// Counted from 1.
        step: u64,
        /// `the loss`, or the tensor's name.
        what: String,
    },
    /// Saved state that is none of this training.
    #[error("the saved state is not of this training: {0}")]
    State(String),
}
