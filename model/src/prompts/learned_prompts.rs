//! The learned prompts of CLIP-DQA: the tensors that training changes and that a prompts file holds.
//!
//! They are kept as they were learned, under the authors' names; each passes its own linear layer when it is read. It
//! does not know where prompts enter a tower, nor that they are rounded there. A tower's prompts are complete: its
//! first layers have them without a gap, each with its linear layer, all of one length.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Tensor};

use super::error::PromptsError;
use super::prompts_file::{self, TensorData};
use super::shape::{PROMPT_LEN_MAX, PromptShape};
use super::tensor_names::{PromptTensorName, PromptTower};
use super::tokens::{Words, sentence};
use crate::fingerprint::{self, Fingerprint, TensorBytes};
use crate::weights::clip_config::ClipConfig;
use crate::weights::mismatch::{ExpectedTensor, Mismatch, TensorInfo};

/// The prompts that a model is used with.
#[derive(Clone, Debug)]
pub enum PromptMode {
    /// Prompts that were trained on people's scores: CLIP-DQA.
    Learned(Prompts),
    /// The plain sentences and no visual prompts: CLIP as it is, the paper's first ablation.
    Handcrafted,
}

/// One model's learned prompts with their linear layers, and the words that follow the text prompts.
#[derive(Clone, Debug)]
pub struct Prompts {
    tensors: BTreeMap<String, Tensor>,
    shape: PromptShape,
    words: Words,
}

impl Prompts {
    /// Reads prompts for a model of this configuration from a safetensors file, or from a PyTorch checkpoint as the
    /// authors' code saves it; the file's bytes tell which. A PyTorch checkpoint may hold the tensors under a key such
    /// as `state_dict`. In either file the names may have a common prefix such as `module.prompt_learner.`, and tensors
    /// outside that prefix (the frozen rest of a model) are ignored. The tensors become f32 on the CPU. The metadata of
    /// a safetensors file has the words under `dqa.words`; without them the words are the paper's.
    ///
    /// # Errors
    /// Every [`PromptsError`]. A tensor that is missing, unexpected, of another shape, or not F32, F16 or BF16 is an
    /// error.
    pub fn open(path: &Path, config: &ClipConfig) -> Result<Prompts, PromptsError> {
        let (tensors, words) = prompts_file::read(path)?;
        Self::checked(tensors, words, config, &format!("`{}`", path.display()))
    }

    /// Parses a safetensors file in memory, like [`Prompts::open`]; `origin` stands for its path in errors.
    ///
    /// # Errors
    /// Every [`PromptsError`] of a safetensors file.
    pub fn parse(file: &[u8], origin: &Path, config: &ClipConfig) -> Result<Prompts, PromptsError> {
        let (tensors, words) = prompts_file::parse(file, origin)?;
        Self::checked(tensors, words, config, &format!("`{}`", origin.display()))
    }

    /// Takes prompts from memory under the same check. They stay on their device. A tensor that is f32 and contiguous
    /// is not copied, so that gradients reach a `Var`.
    ///
    /// # Errors
    /// Every [`PromptsError`] that is not about files.
    pub fn from_tensors(
        tensors: impl IntoIterator<Item = (String, Tensor)>,
        words: Words,
        config: &ClipConfig,
    ) -> Result<Prompts, PromptsError> {
        let tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
        let selected = prompts_file::select(tensors.keys(), "memory")?;
        let plain = selected.into_iter().map(|(name, plain)| (plain.to_owned(), tensors[name].clone()));
        Self::checked(plain.collect(), words, config, "memory")
    }

    fn checked(
        tensors: BTreeMap<String, Tensor>,
        words: Words,
        config: &ClipConfig,
        origin: &str,
    ) -> Result<Prompts, PromptsError> {
        let shape = PromptShape {
            text_depth: depth(&tensors, PromptTower::Text),
            visual_depth: depth(&tensors, PromptTower::Visual),
            text_len: length(&tensors, PromptTower::Text),
            visual_len: length(&tensors, PromptTower::Visual),
        };
        check_shape(&shape, config, origin)?;
        for words in [&words.bad, &words.good] {
            sentence(shape.text_len, words)
                .map_err(|source| PromptsError::Words { origin: origin.to_owned(), source })?;
        }
        check_tensors(&tensors, config, &shape, origin)?;
        let mut plain = BTreeMap::new();
        for (name, tensor) in tensors {
            match tensor.to_dtype(DType::F32).and_then(|tensor| tensor.contiguous()) {
                Ok(tensor) => plain.insert(name, tensor),
                Err(source) => return Err(PromptsError::Tensor { name, source }),
            };
        }
        Ok(Prompts { tensors: plain, shape, words })
    }

    /// Returns the learned tensors by the authors' names, in f32.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// Returns how many prompts there are in which layers.
    pub fn shape(&self) -> &PromptShape {
        &self.shape
    }

    /// Returns the words that follow the text prompts.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// Returns a copy with other tensors of the same shapes under these names.
    pub(crate) fn replaced(&self, tensors: impl Iterator<Item = (String, Tensor)>) -> Prompts {
        let mut prompts = self.clone();
        for (name, tensor) in tensors {
            let old = prompts.tensors.insert(name, tensor.clone());
            assert!(old.is_some_and(|old| old.dims() == tensor.dims()), "prompts keep their names and shapes");
        }
        prompts
    }

    /// Checks that they fit a model of this configuration, which may differ from the one that they were checked with
    /// first.
    pub(crate) fn check_fits(&self, config: &ClipConfig) -> Result<(), PromptsError> {
        check_shape(&self.shape, config, "memory")?;
        check_tensors(&self.tensors, config, &self.shape, "memory")
    }

    /// Returns the text prompts of layer `i` after their linear layer, (text_len, width), f32, not rounded.
    ///
    /// # Errors
    /// Fails when Candle cannot compute them.
    ///
    /// # Panics
    /// Panics when `i` is not below the text tower's depth.
    pub fn text(&self, i: usize) -> candle_core::Result<Tensor> {
        assert!(i < self.shape.text_depth, "layer {i} has no text prompts");
        self.projected(PromptTower::Text, i)
    }

    /// Returns the visual prompts of layer `i` after their linear layer, (visual_len, width), f32, not rounded.
    ///
    /// # Errors
    /// Fails when Candle cannot compute them.
    ///
    /// # Panics
    /// Panics when `i` is not below the visual tower's depth.
    pub fn visual(&self, i: usize) -> candle_core::Result<Tensor> {
        assert!(i < self.shape.visual_depth, "layer {i} has no visual prompts");
        self.projected(PromptTower::Visual, i)
    }

    fn projected(&self, tower: PromptTower, i: usize) -> candle_core::Result<Tensor> {
        let (kind, projection) = tower.names();
        let weight = &self.tensors[&format!("{projection}.{i}.weight")]; // (width, width): output, input
        let bias = &self.tensors[&format!("{projection}.{i}.bias")]; // (width)
        self.tensors[&format!("{kind}.{i}")].matmul(&weight.t()?)?.broadcast_add(bias) // (n, width)
    }

    /// Returns the digest of the tensors as f32, and of the words if they are not the paper's: the same for one set of
    /// prompts in any file.
    ///
    /// # Errors
    /// [`PromptsError::Tensor`] when a tensor cannot be copied from its device.
    pub fn digest(&self) -> Result<Fingerprint, PromptsError> {
        let contents = self.contents()?;
        let tensors = contents.iter().map(|content| TensorBytes {
            name: content.name,
            dtype: "F32",
            shape: content.shape,
            bytes: fingerprint::TensorContent::Borrowed(&content.bytes),
        });
        let tensors = Fingerprint::from_tensors(tensors.collect());
        if self.words == Words::default() {
            return Ok(tensors);
        }
        let words = [("bad", self.words.bad.as_bytes()), ("good", self.words.good.as_bytes())];
        Ok(Fingerprint::combine(&[("tensors", tensors.as_bytes()), words[0], words[1]]))
    }

    /// Returns a safetensors file that [`Prompts::open`] reads as these prompts: f32, the authors' names, the words in
    /// its metadata. The same prompts give the same bytes.
    ///
    /// # Errors
    /// [`PromptsError::Tensor`] when a tensor cannot be copied from its device.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PromptsError> {
        Ok(prompts_file::to_bytes(&self.contents()?, &self.words))
    }

    fn contents(&self) -> Result<Vec<TensorData<'_>>, PromptsError> {
        let mut contents = Vec::with_capacity(self.tensors.len());
        for (name, tensor) in &self.tensors {
            let bytes =
                fingerprint::f32_bytes(tensor).map_err(|source| PromptsError::Tensor { name: name.clone(), source })?;
            contents.push(TensorData { name, shape: tensor.dims(), bytes });
        }
        Ok(contents)
    }
}

/// Returns the number of layers of this tower that the tensors reach, from the first.
fn depth(tensors: &BTreeMap<String, Tensor>, tower: PromptTower) -> usize {
    let names = tensors.keys().filter_map(|name| PromptTensorName::parse(name)).filter(|name| name.tower == tower);
    names.map(|name| name.layer + 1).max().unwrap_or(0)
}

/// Returns the number of prompts in a layer of this tower, by the first layer that has any; the others are compared
/// with it later.
fn length(tensors: &BTreeMap<String, Tensor>, tower: PromptTower) -> usize {
    let depth = depth(tensors, tower);
    let first = (0..depth).find_map(|i| tensors.get(&format!("{}.{i}", tower.names().0)));
    // A tower with linear layers but without any prompt lacks every layer; 1 stands for a length that is unknown.
    first.map_or(usize::from(depth > 0), |tensor| tensor.dims().first().copied().unwrap_or(0))
}

/// Checks that a model of this configuration has room for prompts of this shape.
pub(crate) fn check_shape(shape: &PromptShape, config: &ClipConfig, origin: &str) -> Result<(), PromptsError> {
    let towers = [
        (PromptTower::Text, shape.text_depth, config.text.layers, shape.text_len),
        (PromptTower::Visual, shape.visual_depth, config.vision.layers, shape.visual_len),
    ];
    if shape.text_depth + shape.visual_depth == 0 {
        return Err(PromptsError::NoLayer { origin: origin.to_owned() });
    }
    for (tower, depth, layers, length) in towers {
        let (origin, kind) = (origin.to_owned(), tower.names().0);
        if depth > layers {
            return Err(PromptsError::Depth { origin, kind, depth, layers });
        }
        if depth > 0 && !(1..=PROMPT_LEN_MAX).contains(&length) {
            return Err(PromptsError::Length { origin, kind, length });
        }
    }
    Ok(())
}

/// Checks that these tensors are all that prompts of this shape consist of.
fn check_tensors(
    tensors: &BTreeMap<String, Tensor>,
    config: &ClipConfig,
    shape: &PromptShape,
    origin: &str,
) -> Result<(), PromptsError> {
    let found = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor_info(tensor))).collect();
    Mismatch::compare(&expected(config, shape), found)
        .map_err(|source| PromptsError::Tensors { origin: origin.to_owned(), source })
}

fn tensor_info(tensor: &Tensor) -> TensorInfo {
    TensorInfo {
        shape: tensor.dims().to_vec(),
        dtype: format!("{:?}", tensor.dtype()),
        readable: matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::BF16),
    }
}

fn expected(config: &ClipConfig, shape: &PromptShape) -> Vec<ExpectedTensor> {
    let mut list = Vec::with_capacity(3 * (shape.text_depth + shape.visual_depth));
    for (tower, depth, length, width) in [
        (PromptTower::Text, shape.text_depth, shape.text_len, config.text.width),
        (PromptTower::Visual, shape.visual_depth, shape.visual_len, config.vision.width),
    ] {
        let (kind, projection) = tower.names();
        for i in 0..depth {
            list.push(ExpectedTensor::new(format!("{kind}.{i}"), &[length, width]));
            list.push(ExpectedTensor::new(format!("{projection}.{i}.weight"), &[width, width]));
            list.push(ExpectedTensor::new(format!("{projection}.{i}.bias"), &[width]));
        }
    }
    list
}
