//! CLIP's weights: exactly the tensors that the configuration calls for, under Hugging Face's names.
//!
//! A [`ClipWeights`] has every tensor in its right shape: nothing is made up, and no tensor of the file is ignored. It
//! knows nothing of layers. Opening weights does not read their values (600 MB): a value that is not finite shows in
//! the first features.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::checkpoint;
use super::clip_config::ClipConfig;
use super::error::WeightsError;
use super::file_names::CONFIG;
use super::mismatch::{ExpectedTensor, Mismatch};
use super::stored_tensor::{StoredTensor, TensorMap};
use crate::fingerprint::{Fingerprint, TensorBytes, TensorContent};
use crate::gpu::limits;

/// A CLIP model's configuration and tensors. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClipWeights {
    pub(super) config: ClipConfig,
    pub(super) tensors: TensorMap,
    pub(super) form: WeightsForm,
    pub(super) files: Vec<PathBuf>,
}

/// The form of the weights' files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightsForm {
    /// No files: made or held in memory.
    Memory,
    /// Hugging Face's names in safetensors.
    HfSafetensors,
    /// Hugging Face's names in a `torch.save` file.
    HfPyTorch,
    /// OpenAI's own archives, such as `ViT-B-32.pt`.
    OpenAiTorchScript,
    /// The tensors of those archives, saved by `torch.save`.
    OpenAiPyTorch,
    /// The tensors of those archives, in safetensors.
    OpenAiSafetensors,
    /// OpenCLIP's names, with its configuration, in safetensors.
    OpenClipSafetensors,
    /// OpenCLIP's names, with its configuration, in a `torch.save` file.
    OpenClipPyTorch,
    /// OpenCLIP's names, with its configuration, in a TorchScript archive.
    OpenClipTorchScript,
}

impl fmt::Display for WeightsForm {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            WeightsForm::Memory => "memory",
            WeightsForm::HfSafetensors => "Hugging Face safetensors",
            WeightsForm::HfPyTorch => "Hugging Face PyTorch checkpoint",
            WeightsForm::OpenAiTorchScript => "OpenAI TorchScript archive",
            WeightsForm::OpenAiPyTorch => "OpenAI PyTorch checkpoint",
            WeightsForm::OpenAiSafetensors => "OpenAI safetensors",
            WeightsForm::OpenClipSafetensors => "OpenCLIP safetensors",
            WeightsForm::OpenClipPyTorch => "OpenCLIP PyTorch checkpoint",
            WeightsForm::OpenClipTorchScript => "OpenCLIP TorchScript archive",
        })
    }
}

impl ClipWeights {
    /// Parses a `config.json` and a `model.safetensors` from memory, like [`ClipWeights::open`]; `origin` stands for
    /// their directory in errors.
    ///
    /// # Errors
    /// [`WeightsError::Config`], [`WeightsError::Checkpoint`] and the errors about tensors.
    pub fn parse(config: &str, file: &[u8], origin: &Path) -> Result<ClipWeights, WeightsError> {
        let config = ClipConfig::parse(config, &origin.join(CONFIG))?;
        let tensors = checkpoint::parse(file, &origin.join("model.safetensors"))?;
        Self::checked(config, tensors, "", &format!("`{}`", origin.display()))
    }

    /// Takes tensors from memory under the same check. They are copied from their device.
    ///
    /// # Errors
    /// [`WeightsError::Tensors`], [`WeightsError::Positions`] and [`WeightsError::Tensor`].
    pub fn from_tensors(config: ClipConfig, tensors: HashMap<String, Tensor>) -> Result<ClipWeights, WeightsError> {
        let mut stored = TensorMap::new();
        for (name, tensor) in tensors {
            match StoredTensor::from_tensor(&tensor) {
                Ok(held) => stored.insert(name, held),
                Err(source) => return Err(WeightsError::Tensor { name, source }),
            };
        }
        Self::checked(config, stored, "", "memory")
    }

    /// Makes weights of tensors with `prefix` before each of our names, and checks that they are complete.
    pub(super) fn checked(
        config: ClipConfig,
        mut tensors: TensorMap,
        prefix: &str,
        origin: &str,
    ) -> Result<ClipWeights, WeightsError> {
        // Checkpoints of transformers before 4.31 have these two buffers, which are not parameters.
        let positions = [
            (format!("{prefix}text_model.embeddings.position_ids"), config.text.context),
            (format!("{prefix}vision_model.embeddings.position_ids"), config.patches() + 1),
        ];
        for (name, n) in positions {
            if tensors.remove(&name).is_some_and(|ids| !ids.is_arange(n)) {
                return Err(WeightsError::Positions { origin: origin.to_owned(), name, last: n - 1 });
            }
        }
        let mut expected = expected_tensors(&config);
        for tensor in &mut expected {
            tensor.name.insert_str(0, prefix);
        }
        let found: BTreeMap<_, _> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.info())).collect();
        Mismatch::compare(&expected, found)
            .map_err(|source| WeightsError::Tensors { origin: origin.to_owned(), source })?;
        let plain = tensors.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor));
        Ok(ClipWeights::from_stored(config, plain.collect()))
    }

    /// Makes weights of tensors that are known to fit the configuration.
    pub(super) fn from_stored(config: ClipConfig, tensors: TensorMap) -> ClipWeights {
        ClipWeights { config, tensors, form: WeightsForm::Memory, files: Vec::new() }
    }

    /// Returns the form of the weights' files.
    pub fn form(&self) -> WeightsForm {
        self.form
    }

    /// Returns the weights' files, the configuration first, if there is one; none if the weights are only in memory.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Returns the number of the model's tensors, whatever the number in its files.
    pub fn tensor_count(&self) -> usize {
        self.tensors.len()
    }

    /// Returns the number of the model's parameters.
    pub fn parameter_count(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum()
    }

    /// Returns the types in which tensors are stored, `F32`, `F16` or `BF16`, with the number of tensors of each, most
    /// frequent first.
    pub fn precisions(&self) -> Vec<(&'static str, usize)> {
        let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
        for tensor in self.tensors.values() {
            *counts.entry(tensor.dtype_name()).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    /// Returns why the GPU's 16-bit kernels do not support the model; `None` if they do. The CPU's kernels support
    /// every model.
    pub fn gpu_unsupported_reason(&self) -> Option<String> {
        let vision = &self.config.vision;
        limits::unsupported_reason(vision.width, vision.heads, vision.activation)
    }

    /// Returns the model's sizes and constants.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Returns a tensor as f32 on the CPU, in the shape that the configuration gives it.
    ///
    /// # Errors
    /// [`WeightsError::Tensor`] when Candle cannot make it.
    ///
    /// # Panics
    /// Panics when the model has no tensor of this name.
    pub fn get(&self, name: &str) -> Result<Tensor, WeightsError> {
        Tensor::from_vec(self.values(name), self.shape(name), &Device::Cpu)
            .map_err(|source| WeightsError::Tensor { name: name.to_owned(), source })
    }

    /// Returns the rows `indices` of a matrix (n, d) as f32 on the CPU: (indices, d). Only those rows are read: two
    /// sentences need about 6 of the token embedding's 49,408.
    ///
    /// # Panics
    /// Panics when the model has no tensor of this name, the tensor is not a matrix, or a row is out of range.
    pub fn rows(&self, name: &str, indices: &[u32]) -> Tensor {
        let values = self.rows_values(name, indices);
        let d = values.len() / indices.len();
        Tensor::from_vec(values, (indices.len(), d), &Device::Cpu).expect("there are d values for every index")
    }

    /// Returns the same as [`ClipWeights::rows`], as plain numbers.
    pub(crate) fn rows_values(&self, name: &str, indices: &[u32]) -> Vec<f32> {
        let stored = self.stored(name);
        let [n, d] = stored.shape[..] else { panic!("`{name}` is not a matrix") };
        let mut values = Vec::with_capacity(indices.len() * d);
        for row in indices.iter().map(|index| *index as usize) {
            assert!(row < n, "`{name}` has no row {row}");
            values.extend(stored.values(row * d..(row + 1) * d));
        }
        values
    }

    /// Returns a tensor's values, row-major.
    pub(crate) fn values(&self, name: &str) -> Vec<f32> {
        let stored = self.stored(name);
        stored.values(0..stored.shape.iter().product())
    }

    /// Returns every tensor's name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        &self.stored(name).shape
    }

    /// Replaces the values of one of the model's tensors.
    pub(crate) fn set(&mut self, name: &str, values: &[f32]) {
        let stored = StoredTensor::from_f32(self.shape(name), values);
        self.tensors.insert(name.to_owned(), stored);
    }

    /// Replaces some rows (rows, d) of one of the model's matrices.
    pub(crate) fn set_rows(&mut self, name: &str, rows: &[u32], values: &[f32]) {
        let mut all = self.values(name);
        let d = values.len() / rows.len();
        for (row, values) in rows.iter().zip(values.chunks_exact(d)) {
            all[*row as usize * d..][..d].copy_from_slice(values);
        }
        self.set(name, &all);
    }

    /// Returns the digest of configuration and tensors; heads and constants, which no tensor shows, count too. A model
    /// that is stored in one type throughout is hashed in that type, and one that is stored in several types as f32
    /// values: so OpenAI's archives, whose matrices are f16 and whose norms are f32, have the digest of the same values
    /// in f32. The form of the files does not matter. Reads all the weights: 0.1 s for 600 MB on two cores once they
    /// are in the page cache, so the digest is not kept.
    pub fn digest(&self) -> Fingerprint {
        let is_mixed = self.precisions().len() > 1;
        let tensors = self.tensors.iter().map(|(name, stored)| TensorBytes {
            name,
            dtype: if is_mixed { "F32" } else { stored.dtype_name() },
            shape: &stored.shape,
            bytes: if is_mixed { stored.f32_bytes() } else { TensorContent::Borrowed(stored.bytes()) },
        });
        let tensors = Fingerprint::from_tensors(tensors.collect());
        let config = serde_json::to_vec(&self.config).expect("a configuration is plain numbers");
        Fingerprint::combine(&[("config", &config), ("tensors", tensors.as_bytes())])
    }

    fn stored(&self, name: &str) -> &StoredTensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("a CLIP model has no tensor `{name}`"))
    }
}

/// Returns every tensor of the model, in Hugging Face's names.
pub(super) fn expected_tensors(config: &ClipConfig) -> Vec<ExpectedTensor> {
    let (vision, text, dim) = (&config.vision, &config.text, config.embed_dim);
    let mut list = vec![
        ExpectedTensor::new("logit_scale", &[]),
        ExpectedTensor::new("visual_projection.weight", &[dim, vision.width]),
        ExpectedTensor::new("text_projection.weight", &[dim, text.width]),
        ExpectedTensor::new("vision_model.embeddings.class_embedding", &[vision.width]),
        ExpectedTensor::new(
            "vision_model.embeddings.patch_embedding.weight",
            &[vision.width, 3, vision.patch, vision.patch],
        ),
        ExpectedTensor::new("vision_model.embeddings.position_embedding.weight", &[config.patches() + 1, vision.width]),
        ExpectedTensor::new("text_model.embeddings.token_embedding.weight", &[text.vocab, text.width]),
        ExpectedTensor::new("text_model.embeddings.position_embedding.weight", &[text.context, text.width]),
    ];
    // The missing "e" is in the published checkpoints.
    for (norm, width) in [
        ("vision_model.pre_layrnorm", vision.width),
        ("vision_model.post_layernorm", vision.width),
        ("text_model.final_layer_norm", text.width),
    ] {
        with_bias(&mut list, norm, &[width]);
    }
    for layer in 0..vision.layers {
        block(&mut list, &format!("vision_model.encoder.layers.{layer}"), vision.width, vision.mlp_width);
    }
    for layer in 0..text.layers {
        block(&mut list, &format!("text_model.encoder.layers.{layer}"), text.width, text.mlp_width);
    }
    list
}

fn block(list: &mut Vec<ExpectedTensor>, prefix: &str, width: usize, mlp_width: usize) {
    for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
        with_bias(list, &format!("{prefix}.self_attn.{name}"), &[width, width]);
    }
    for name in ["layer_norm1", "layer_norm2"] {
        with_bias(list, &format!("{prefix}.{name}"), &[width]);
    }
    with_bias(list, &format!("{prefix}.mlp.fc1"), &[mlp_width, width]);
    with_bias(list, &format!("{prefix}.mlp.fc2"), &[width, mlp_width]);
}

fn with_bias(list: &mut Vec<ExpectedTensor>, name: &str, weight: &[usize]) {
    list.push(ExpectedTensor::new(format!("{name}.weight"), weight));
    list.push(ExpectedTensor::new(format!("{name}.bias"), &weight[..1]));
}
