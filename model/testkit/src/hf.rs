//! Writes checkpoints: a Hugging Face directory of formula weights, whole or in shards, with prompts beside it.
//!
//! It writes its input unchecked, including invalid input: tests of strict readers pass a [`RawTensor`] list that they
//! have damaged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use half::f16;
pub use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize_to_file};
use serde_json::json;

use crate::formula::{self, NamedTensor};
use crate::spec::{ClipShape, clip_spec, prompt_spec};

/// A tensor as a file stores it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTensor {
    /// Its name in the file.
    pub name: String,
    /// The type of its values.
    pub dtype: Dtype,
    /// Its dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// Row-major, little-endian bytes.
    pub bytes: Vec<u8>,
}

impl From<NamedTensor> for RawTensor {
    fn from(tensor: NamedTensor) -> Self {
        let bytes = bytemuck::cast_slice(&tensor.values).to_vec();
        RawTensor { name: tensor.name, dtype: Dtype::F32, shape: tensor.shape, bytes }
    }
}

impl RawTensor {
    /// Rounds a tensor's values to half precision.
    pub fn f16(tensor: &NamedTensor) -> RawTensor {
        let bytes = tensor.values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        RawTensor { name: tensor.name.clone(), dtype: Dtype::F16, shape: tensor.shape.clone(), bytes }
    }

    /// Makes a (1, n) buffer of 64-bit integers, such as `position_ids` in old checkpoints.
    pub fn i64_row(name: &str, values: &[i64]) -> RawTensor {
        let bytes = bytemuck::cast_slice(values).to_vec();
        RawTensor { name: name.to_owned(), dtype: Dtype::I64, shape: vec![1, values.len()], bytes }
    }
}

/// The content of a Hugging Face model directory.
#[derive(Clone, Copy, Debug)]
pub struct HfDir<'a> {
    /// The name of the set of formula weights.
    pub salt: &'a str,
    /// The model's shape.
    pub shape: ClipShape,
    /// 1 for a single `model.safetensors`, more for that many shards with an index.
    pub shards: usize,
}

impl HfDir<'_> {
    /// Writes weights, config.json and prompts.safetensors into `dir`, which is created if it does not exist.
    pub fn write(&self, dir: &Path) {
        std::fs::create_dir_all(dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
        write_weights(dir, &raw(self.weights()), self.shards);
        write_text(&dir.join("config.json"), &config_json(&self.shape));
        write_safetensors(&dir.join("prompts.safetensors"), &raw(self.prompts()));
    }

    /// Returns the model's tensors.
    pub fn weights(&self) -> Vec<NamedTensor> {
        formula::weights(self.salt, &clip_spec(&self.shape))
    }

    /// Returns the tensors of its prompts.
    pub fn prompts(&self) -> Vec<NamedTensor> {
        formula::weights(self.salt, &prompt_spec(&self.shape.prompts()))
    }
}

/// Converts tensors to the form that a file of f32 stores.
pub fn raw(tensors: Vec<NamedTensor>) -> Vec<RawTensor> {
    tensors.into_iter().map(RawTensor::from).collect()
}

/// Writes `model.safetensors`, or `shards` shards with `model.safetensors.index.json`, into `dir`.
pub fn write_weights(dir: &Path, tensors: &[RawTensor], shards: usize) {
    if shards == 1 {
        write_safetensors(&dir.join("model.safetensors"), tensors);
        return;
    }
    let mut weight_map = BTreeMap::new();
    for (i, shard) in tensors.chunks(tensors.len().div_ceil(shards)).enumerate() {
        let file = shard_name(i, shards);
        write_safetensors(&dir.join(&file), shard);
        weight_map.extend(shard.iter().map(|tensor| (tensor.name.clone(), file.clone())));
    }
    let total: usize = tensors.iter().map(|tensor| tensor.bytes.len()).sum();
    let index = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
    write_text(&dir.join("model.safetensors.index.json"), &index.to_string());
}

/// Returns the file name of shard `i` (from 0) of `shards`.
pub fn shard_name(i: usize, shards: usize) -> String {
    format!("model-{:05}-of-{shards:05}.safetensors", i + 1)
}

/// Writes one safetensors file.
pub fn write_safetensors(path: &Path, tensors: &[RawTensor]) {
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes)
            .unwrap_or_else(|e| panic!("{}: {e}", tensor.name));
        (tensor.name.as_str(), view)
    });
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    serialize_to_file(views, Some(metadata), path).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
}

/// Returns the keys of `openai/clip-vit-base-patch32`'s config.json that determine shapes and arithmetic.
pub fn config_json(shape: &ClipShape) -> String {
    let config = json!({
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": shape.embed_dim,
        "logit_scale_init_value": 2.6592,
        "text_config": {
            "model_type": "clip_text_model",
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
            "projection_dim": shape.embed_dim,
            "hidden_size": shape.width_t,
            "intermediate_size": 4 * shape.width_t,
            "num_attention_heads": shape.heads_t,
            "num_hidden_layers": shape.layers_t,
            "max_position_embeddings": shape.context,
            "vocab_size": shape.vocab,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
            "projection_dim": shape.embed_dim,
            "hidden_size": shape.width_v,
            "intermediate_size": 4 * shape.width_v,
            "num_attention_heads": shape.heads_v,
            "num_hidden_layers": shape.layers_v,
            "image_size": shape.image,
            "patch_size": shape.patch,
            "num_channels": 3,
        },
    });
    format!("{config:#}\n")
}

/// Returns a directory under the build folder with the formula weights of `kind` under `salt`, written once and then
/// kept: vit-b-32 has 600 MB. Several processes may call this at once; each writes a directory of its own, and the
/// first rename wins.
pub fn cached(kind: &str, salt: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let shape = ClipShape::from_kind(kind);
    // The list's hash is in the name, so that weights of an older list are not reused.
    let list = formula::fnv1a(&format!("{:?} {:?}", clip_spec(&shape), prompt_spec(&shape.prompts())));
    let dir = target.join("dqa-testkit").join(format!("{kind}-{salt}-{list:016x}"));
    static WRITER: Mutex<()> = Mutex::new(());
    let _one_thread = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    if !dir.join("config.json").exists() {
        let own = dir.with_extension(std::process::id().to_string());
        HfDir { salt, shape, shards: 1 }.write(&own);
        if std::fs::rename(&own, &dir).is_err() {
            assert!(dir.join("config.json").exists(), "cannot move {} to {}", own.display(), dir.display());
            std::fs::remove_dir_all(&own).unwrap_or_else(|e| panic!("cannot remove {}: {e}", own.display()));
        }
    }
    dir
}

fn write_text(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
}
