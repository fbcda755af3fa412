//! What a training trains, and how.

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::picture::ViewMode;

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
    pub(super) fn takes(self, name: &str) -> bool {
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
    pub(super) fn reaches_text(self) -> bool {
        matches!(self, Trainable::Text | Trainable::Prompts | Trainable::All)
    }

    /// Returns whether any tensor of the visual tower is trained.
    pub(super) fn reaches_vision(self) -> bool {
        self != Trainable::Text
    }

    /// Returns whether CLIP's own weights are trained.
    pub fn changes_weights(self) -> bool {
        matches!(self, Trainable::Vision | Trainable::All)
    }
}

/// The options of a `Trainer`.
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
