//! How many prompts there are in which layers.

use serde::{Deserialize, Serialize};

use crate::weights::clip_config::ClipConfig;

/// The most prompts in a layer. The text tower has 77 positions, of which the longest sentence here takes 5.
pub const PROMPT_LEN_MAX: usize = 60;

/// The number of prompts in each layer, and the number of layers that have prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptShape {
    /// Text prompts in a layer; 0 if no layer has any.
    pub text_len: usize,
    /// Layers of the text tower with prompts, from the first. 0: the sentences are plain.
    pub text_depth: usize,
    /// Visual prompts in a layer; 0 if no layer has any.
    pub visual_len: usize,
    /// Layers of the visual tower with prompts, from the first.
    pub visual_depth: usize,
}

impl PromptShape {
    /// Returns the paper's shape: 8 prompts in every layer of both towers.
    pub fn paper(config: &ClipConfig) -> PromptShape {
        PromptShape { text_len: 8, text_depth: config.text.layers, visual_len: 8, visual_depth: config.vision.layers }
    }
}
