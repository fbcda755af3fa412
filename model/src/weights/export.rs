//! Writes a model as the files of a Hugging Face directory, which [`ClipWeights::open`] reads.

use std::collections::HashMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::checkpoint::CheckpointError;
use super::clip_config::ClipConfig;
use super::clip_weights::ClipWeights;
use crate::Arithmetic;

impl ClipConfig {
    /// Returns the configuration as a `config.json` of transformers.
    pub fn to_json(&self) -> String {
        let (vision, text) = (&self.vision, &self.text);
        let config: Value = json!({
            "architectures": ["CLIPModel"],
            "model_type": "clip",
            "projection_dim": self.embed_dim,
            "vision_config": {
                "model_type": "clip_vision_model",
                "hidden_act": vision.activation.as_hidden_act(),
                "hidden_size": vision.width,
                "num_hidden_layers": vision.layers,
                "num_attention_heads": vision.heads,
                "intermediate_size": vision.mlp_width,
                "patch_size": vision.patch,
                "image_size": vision.image,
                "layer_norm_eps": vision.eps,
            },
            "text_config": {
                "model_type": "clip_text_model",
                "hidden_act": text.activation.as_hidden_act(),
                "hidden_size": text.width,
                "num_hidden_layers": text.layers,
                "num_attention_heads": text.heads,
                "intermediate_size": text.mlp_width,
                "vocab_size": text.vocab,
                "max_position_embeddings": text.context,
                "layer_norm_eps": text.eps,
            },
        });
        serde_json::to_string_pretty(&config).expect("it is plain numbers and text")
    }
}

impl ClipWeights {
    /// Returns the tensors as a `model.safetensors`, rounded to the type of `arithmetic`.
    pub fn to_bytes(&self, arithmetic: Arithmetic) -> Vec<u8> {
        let tensor = |name: &str| {
            let values = self.values(name);
            let (dtype, bytes): (_, Vec<u8>) = match arithmetic {
                Arithmetic::F32 => (Dtype::F32, bytemuck::cast_slice(&values).to_vec()),
                Arithmetic::F16 => (Dtype::F16, values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()),
                Arithmetic::Bf16 => {
                    (Dtype::BF16, values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect())
                }
            };
            (name.to_owned(), dtype, bytes)
        };
        let tensors: Vec<_> = self.names().map(tensor).collect();
        let views = tensors.iter().map(|(name, dtype, bytes)| {
            let shape = self.shape(name).to_vec();
            (name.as_str(), TensorView::new(*dtype, shape, bytes).expect("a tensor has its shape"))
        });
        safetensors::serialize(views, Some(facts())).expect("tensors of distinct names")
    }

    /// Writes the tensors as a `model.safetensors` in the types in which they are stored. Weights that are opened from it
    /// with [`ClipConfig::to_json`] beside it have the same digest.
    ///
    /// # Errors
    /// [`CheckpointError::Write`].
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let views = self.tensors.iter().map(|(name, stored)| {
            let view = TensorView::new(stored.dtype, stored.shape.clone(), stored.bytes());
            (name.as_str(), view.expect("a tensor has its shape"))
        });
        safetensors::serialize_to_file(views, Some(facts()), path)
            .map_err(|source| CheckpointError::Write { path: path.to_owned(), source })
    }

    /// Returns the weights as they are read back from [`ClipWeights::to_bytes`].
    pub fn rounded(&self, arithmetic: Arithmetic) -> ClipWeights {
        let round = |value: f32| match arithmetic {
            Arithmetic::F32 => value,
            Arithmetic::F16 => f16::from_f32(value).to_f32(),
            Arithmetic::Bf16 => bf16::from_f32(value).to_f32(),
        };
        let mut rounded = self.clone();
        for name in self.names() {
            let values: Vec<f32> = self.values(name).into_iter().map(round).collect();
            rounded.set(name, &values);
        }
        rounded
    }
}

/// Returns the texts beside the tensors. transformers does not read a file without this entry.
fn facts() -> HashMap<String, String> {
    HashMap::from([("format".to_owned(), "pt".to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_model_is_read_again() {
        let shape = dqa_testkit::ClipShape::TINY;
        let config = ClipConfig::parse(&dqa_testkit::hf::config_json(&shape), std::path::Path::new("test")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let weights = ClipWeights::initial(config.clone(), 7);
        std::fs::write(dir.path().join("config.json"), config.to_json()).unwrap();
        std::fs::write(dir.path().join("model.safetensors"), weights.to_bytes(Arithmetic::F32)).unwrap();
        let read = ClipWeights::open(dir.path()).unwrap();
        assert_eq!(read.config(), &config);
        assert_eq!(read.digest(), weights.digest());
    }
}
