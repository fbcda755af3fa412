//! The usual names of a model's files, in the order of preference. It looks at names alone, never into a file.

/// Hugging Face's configuration.
pub(super) const CONFIG: &str = "config.json";
/// OpenCLIP's configuration.
pub(super) const OPEN_CLIP_CONFIG: &str = "open_clip_config.json";

/// The files of a model in a repository or a directory that [`crate::ClipWeights::open`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreferredFiles {
    /// Name of the configuration.
    pub config: &'static str,
    /// Name of the weights, or of the index of their shards.
    pub weights: &'static str,
    /// Whether `weights` is an index, whose shards `list_shards` lists.
    pub is_index: bool,
}

/// The usual names, in the order of preference.
pub(super) const USUAL: [PreferredFiles; 7] = [
    PreferredFiles { config: CONFIG, weights: "model.safetensors", is_index: false },
    PreferredFiles { config: CONFIG, weights: "model.safetensors.index.json", is_index: true },
    PreferredFiles { config: OPEN_CLIP_CONFIG, weights: "open_clip_model.safetensors", is_index: false },
    PreferredFiles { config: OPEN_CLIP_CONFIG, weights: "model.safetensors", is_index: false },
    PreferredFiles { config: CONFIG, weights: "pytorch_model.bin", is_index: false },
    PreferredFiles { config: CONFIG, weights: "pytorch_model.bin.index.json", is_index: true },
    PreferredFiles { config: OPEN_CLIP_CONFIG, weights: "open_clip_pytorch_model.bin", is_index: false },
];

/// Chooses a model's files among those of a directory or a repository; `has` tells whether it has a file of this name.
/// Returns `None` if no usual name is there together with its configuration.
pub fn preferred_files(has: impl Fn(&str) -> bool) -> Option<PreferredFiles> {
    USUAL.into_iter().find(|files| has(files.weights) && has(files.config))
}
