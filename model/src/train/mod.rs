//! Training on people's scores: prompts, or all of CLIP, with Adam on the squared error of windows' scores.
//!
//! [`Trainer`] holds the parameters and makes steps; the caller chooses pictures, crops and epochs.

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

/// The parameters that are trained.
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
    /// The visual tower's own weights with the temperature, and the visual prompts. The sentences stay fixed, so that
    /// they do not move while a visual tower trains from scratch.
    Vision,
    /// All of CLIP's weights, and all prompts.
    All,
}

impl Trainable {
    /// Returns whether a tensor of this name is trained.
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

    /// Returns whether any tensor of the text tower is trained.
    fn reaches_text(self) -> bool {
        matches!(self, Trainable::Text | Trainable::Prompts | Trainable::All)
    }

    /// Returns whether any tensor of the visual tower is trained.
    fn reaches_vision(self) -> bool {
        self != Trainable::Text
    }

    /// Returns whether CLIP's own weights are trained.
    pub fn changes_weights(self) -> bool {
        matches!(self, Trainable::Vision | Trainable::All)
    }
}

/// The options of a [`Trainer`].
#[derive(Clone, Debug)]
pub struct TrainerOptions {
    /// The parameters that are trained.
    pub trainable: Trainable,
    /// The views that the model sees in training.
    pub sees: ViewMode,
    /// The share of the learning rate for the patch embedding, if it is trained. All its inputs are large and alike (a
    /// patch's mean), so that one step moves its outputs more than those of any other product.
    pub patch_lr: f64,
    /// The device that gradients are computed on.
    pub device: Device,
    /// Whether to use Candle's operations and gradients on the CPU too, to compare the two engines.
    pub use_candle: bool,
}

impl Default for TrainerOptions {
    /// Returns the authors' options: prompts learn from both views, on the CPU.
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

/// One window with the label of its picture.
#[derive(Clone, Debug)]
pub struct Example {
    /// 224 x 224; `None` if the model does not see windows.
    pub local: Option<Rgb8>,
    /// The whole picture at 224 x 224; `None` if the model does not see it.
    pub whole: Option<Arc<Rgb8>>,
    /// The label, 0 (bad) to 1 (good).
    pub target: f32,
}

/// The result of a step, as of before its update.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Mean squared error over the batch.
    pub loss: f64,
    /// The windows' scores, in the batch's order.
    pub scores: Vec<f32>,
    /// Euclidean norm of the gradient of all parameters.
    pub gradient_norm: f64,
}

/// Why training stops.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The model cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device failed.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// None of the parameters to train exists.
    #[error("nothing to train: {0}")]
    Nothing(String),
    /// The loss or a gradient is not finite.
    #[error("step {step}: {what} is not finite; a lower learning rate may help")]
    NotFinite {
        /// Counted from 1.
        step: u64,
        /// `the loss`, or the tensor's name.
        what: String,
    },
    /// The saved state belongs to another training.
    #[error("the saved state belongs to another training: {0}")]
    State(String),
}
