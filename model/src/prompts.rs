//! The learned prompts of CLIP-DQA: what tuning changes and a prompts file holds.
//!
//! They are kept as they were learned, under the authors' names; each passes its own linear layer when it is asked
//! for. It does not know where prompts enter a tower, nor that they are rounded there. Prompts are complete: as many
//! layers for text as for pictures, each with its linear layer, all of one length in a tower.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Tensor};

use crate::config::ClipConfig;
use crate::fingerprint::{self, Fingerprint, TensorBytes};
use crate::mismatch::{Expected, Found, Mismatch};
use crate::prompts_file::{self, PromptsError};

/// The most prompts in a layer. The text tower has 77 places, of which the longest sentence here takes 5.
pub const PROMPT_LEN_MAX: usize = 60;

/// What takes the places of the prompts.
#[derive(Clone, Debug)]
pub enum PromptMode {
    /// Prompts that were tuned on scores by people: CLIP-DQA.
    Learned(Prompts),
    /// The plain sentences and no visual prompts: CLIP as it is, the paper's first ablation.
    Handcrafted,
}

/// One model's learned prompts with their linear layers.
#[derive(Clone, Debug)]
pub struct Prompts {
    tensors: BTreeMap<String, Tensor>,
    depth: usize,
    text_len: usize,
    visual_len: usize,
}

impl Prompts {
    /// Reads prompts for a model of this configuration from a safetensors file, or from a PyTorch checkpoint as the
    /// authors' code saves it; the file's bytes tell which. A PyTorch checkpoint may hold the tensors under a key such
    /// as `state_dict`; in either file names may have a common prefix such as `module.prompt_learner.`, and tensors
    /// outside that prefix (the frozen rest of a model) are not read. The tensors come as f32 on the CPU.
    ///
    /// # Errors
    /// Every [`PromptsError`]; a tensor that is missing, unexpected, of another shape, or not F32, F16 or BF16 is one.
    pub fn open(path: &Path, config: &ClipConfig) -> Result<Prompts, PromptsError> {
        Self::checked(prompts_file::read(path)?, config, &format!("`{}`", path.display()))
    }

    /// Takes prompts from memory under the same check. They stay on their device; a tensor that is f32 and contiguous
    /// is kept itself, so that gradients reach a `Var`.
    ///
    /// # Errors
    /// Every [`PromptsError`] that is not about files.
    pub fn from_tensors(
        tensors: impl IntoIterator<Item = (String, Tensor)>,
        config: &ClipConfig,
    ) -> Result<Prompts, PromptsError> {
        let tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
        let selected = prompts_file::select(tensors.keys(), "memory")?;
        let plain = selected.into_iter().map(|(name, plain)| (plain.to_owned(), tensors[name].clone()));
        Self::checked(plain.collect(), config, "memory")
    }

    fn checked(tensors: BTreeMap<String, Tensor>, config: &ClipConfig, origin: &str) -> Result<Prompts, PromptsError> {
        let depth = tensors.keys().filter_map(|name| Slot::parse(name)).map(|slot| slot.layer + 1).max().unwrap_or(0);
        if depth > config.prompt_depth_max() {
            let (origin, layers) = (origin.to_owned(), config.prompt_depth_max());
            return Err(PromptsError::Depth { origin, depth, layers });
        }
        let text_len = length(&tensors, "prompts_text", depth, origin)?;
        let visual_len = length(&tensors, "prompts_vis", depth, origin)?;
        let expected = expected(config, depth, text_len, visual_len);
        let found = tensors.iter().map(|(name, tensor)| (name.as_str(), found(tensor))).collect();
        Mismatch::check(&expected, found)
            .map_err(|source| PromptsError::Tensors { origin: origin.to_owned(), source })?;
        let mut plain = BTreeMap::new();
        for (name, tensor) in tensors {
            match tensor.to_dtype(DType::F32).and_then(|tensor| tensor.contiguous()) {
                Ok(tensor) => plain.insert(name, tensor),
                Err(source) => return Err(PromptsError::Tensor { name, source }),
            };
        }
        Ok(Prompts { tensors: plain, depth, text_len, visual_len })
    }

    /// The tensors as they are learned, by the authors' names: f32.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// Layers that have prompts, from the first.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Text prompts in a layer.
    pub fn text_len(&self) -> usize {
        self.text_len
    }

    /// Visual prompts in a layer.
    pub fn visual_len(&self) -> usize {
        self.visual_len
    }

    /// The text prompts of layer `i` after their linear layer, (text_len, width), f32, not rounded.
    ///
    /// # Errors
    /// What Candle says when it cannot compute.
    ///
    /// # Panics
    /// When `i` is not below [`Prompts::depth`].
    pub fn text(&self, i: usize) -> candle_core::Result<Tensor> {
        self.projected("prompts_text", "prompt_txt_projections", i)
    }

    /// The visual prompts of layer `i` after their linear layer, (visual_len, width), f32, not rounded.
    ///
    /// # Errors
    /// What Candle says when it cannot compute.
    ///
    /// # Panics
    /// When `i` is not below [`Prompts::depth`].
    pub fn visual(&self, i: usize) -> candle_core::Result<Tensor> {
        self.projected("prompts_vis", "prompt_vis_projections", i)
    }

    fn projected(&self, kind: &str, projection: &str, i: usize) -> candle_core::Result<Tensor> {
        assert!(i < self.depth, "layer {i} has no prompts");
        let weight = &self.tensors[&format!("{projection}.{i}.weight")]; // (width, width): output, input
        let bias = &self.tensors[&format!("{projection}.{i}.bias")]; // (width)
        self.tensors[&format!("{kind}.{i}")].matmul(&weight.t()?)?.broadcast_add(bias) // (n, width)
    }

    /// The digest of the tensors as f32: the same for one set of prompts in any file.
    ///
    /// # Errors
    /// [`PromptsError::Tensor`] when a tensor cannot be brought from its device.
    pub fn digest(&self) -> Result<Fingerprint, PromptsError> {
        let mut contents = Vec::with_capacity(self.tensors.len());
        for (name, tensor) in &self.tensors {
            let bytes =
                fingerprint::f32_bytes(tensor).map_err(|source| PromptsError::Tensor { name: name.clone(), source })?;
            contents.push((name, tensor.dims(), bytes));
        }
        let tensors = contents.iter().map(|(name, shape, bytes)| TensorBytes { name, dtype: "F32", shape, bytes });
        Ok(Fingerprint::of_tensors(tensors.collect()))
    }
}

/// A name of the authors taken apart: which layer it belongs to.
pub(crate) struct Slot {
    layer: usize,
}

impl Slot {
    /// `None` for a name that is not one of the authors' learnable ones.
    pub(crate) fn parse(name: &str) -> Option<Slot> {
        let parts: Vec<&str> = name.split('.').collect();
        let layer = match parts[..] {
            ["prompts_text" | "prompts_vis", layer] => layer,
            ["prompt_txt_projections" | "prompt_vis_projections", layer, "weight" | "bias"] => layer,
            _ => return None,
        };
        // Layers are below 1000: what is not is another name, and no sum with it overflows.
        let number: u16 = layer.parse().ok()?;
        let plain = number < 1000 && number.to_string() == layer;
        plain.then(|| Slot { layer: usize::from(number) })
    }
}

/// Prompts in a layer of one kind, by the first layer that has some; the others are compared with it later.
fn length(tensors: &BTreeMap<String, Tensor>, kind: &str, depth: usize, origin: &str) -> Result<usize, PromptsError> {
    let first = (0..depth).find_map(|i| tensors.get(&format!("{kind}.{i}")));
    // None at all: every layer is missing, and 1 stands for a length that nobody can know.
    let length = first.map_or(1, |tensor| tensor.dims().first().copied().unwrap_or(0));
    if (1..=PROMPT_LEN_MAX).contains(&length) {
        Ok(length)
    } else {
        Err(PromptsError::Length { origin: origin.to_owned(), kind: kind.to_owned(), length })
    }
}

fn found(tensor: &Tensor) -> Found {
    Found {
        shape: tensor.dims().to_vec(),
        dtype: format!("{:?}", tensor.dtype()),
        readable: matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::BF16),
    }
}

fn expected(config: &ClipConfig, depth: usize, text_len: usize, visual_len: usize) -> Vec<Expected> {
    let (text, visual) = (config.text.width, config.vision.width);
    let mut list = Vec::with_capacity(6 * depth);
    for i in 0..depth {
        list.push(Expected::new(format!("prompts_text.{i}"), &[text_len, text]));
        list.push(Expected::new(format!("prompts_vis.{i}"), &[visual_len, visual]));
        for (kind, width) in [("txt", text), ("vis", visual)] {
            list.push(Expected::new(format!("prompt_{kind}_projections.{i}.weight"), &[width, width]));
            list.push(Expected::new(format!("prompt_{kind}_projections.{i}.bias"), &[width]));
        }
    }
    list
}
