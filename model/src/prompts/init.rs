//! The values of prompts before any training.
//!
//! Every tensor is drawn from its own stream of the seed, named after the tensor. It does not depend on the other
//! prompts, so that two shapes differ in nothing but their shape.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::error::PromptsError;
use super::learned_prompts::{Prompts, check_shape};
use super::shape::PromptShape;
use super::tensor_names::PromptTower;
use super::tokens::{Words, encode};
use crate::ClipWeights;

/// Standard deviation of a new prompt's values, the authors' choice.
const DEVIATION: f32 = 0.02;

/// How the values of new prompts are chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptInit {
    /// Normal values; the linear layers of a tower are copies of one with PyTorch's default values. The authors'
    /// choice.
    #[default]
    Random,
    /// In every layer the text prompts are the embeddings of these words, repeated until the layer is full, and their
    /// linear layers are the identity. The visual prompts are as in `Random`.
    Words(String),
}

impl Prompts {
    /// Makes new prompts of this shape for a model: f32 on the CPU. The same arguments give the same numbers.
    ///
    /// # Errors
    /// Every [`PromptsError`] that is not about files.
    pub fn initial(
        weights: &ClipWeights,
        shape: PromptShape,
        words: Words,
        init: &PromptInit,
        seed: u64,
    ) -> Result<Prompts, PromptsError> {
        let config = weights.config();
        check_shape(&shape, config, "the new set")?;
        let mut tensors = BTreeMap::new();
        match init {
            PromptInit::Words(words) => from_words(&mut tensors, weights, words, &shape)?,
            PromptInit::Random => {
                let layers = Layers { depth: shape.text_depth, len: shape.text_len, width: config.text.width };
                layers.random(&mut tensors, PromptTower::Text, seed)?;
            }
        }
        let layers = Layers { depth: shape.visual_depth, len: shape.visual_len, width: config.vision.width };
        layers.random(&mut tensors, PromptTower::Visual, seed)?;
        Prompts::from_tensors(tensors, words, config)
    }
}

/// Makes the text prompts of every layer of the embeddings of the tokens of `words`, in turn.
fn from_words(
    tensors: &mut BTreeMap<String, Tensor>,
    weights: &ClipWeights,
    words: &str,
    shape: &PromptShape,
) -> Result<(), PromptsError> {
    let ids = encode(words).map_err(|source| PromptsError::Words { origin: "the new set".to_owned(), source })?;
    let ids: Vec<u32> = ids.into_iter().cycle().take(shape.text_len).collect();
    let unchanged = InitialLinear::identity(weights.config().text.width);
    let (kind, projection) = PromptTower::Text.names();
    for i in 0..shape.text_depth {
        let embedded = weights.rows("text_model.embeddings.token_embedding.weight", &ids);
        tensors.insert(format!("{kind}.{i}"), embedded);
        unchanged.insert(tensors, &format!("{projection}.{i}"))?;
    }
    Ok(())
}

/// One tower's prompts.
struct Layers {
    depth: usize,
    len: usize,
    width: usize,
}

impl Layers {
    fn random(
        &self,
        tensors: &mut BTreeMap<String, Tensor>,
        tower: PromptTower,
        seed: u64,
    ) -> Result<(), PromptsError> {
        let (kind, projection) = tower.names();
        let linear = InitialLinear::random(self.width, seed, projection);
        for i in 0..self.depth {
            let name = format!("{kind}.{i}");
            let mut rng = stream(seed, &name);
            let normal = || DEVIATION * rng.sample::<f32, _>(StandardNormal);
            let values: Vec<f32> = std::iter::repeat_with(normal).take(self.len * self.width).collect();
            insert(tensors, name, values, &[self.len, self.width])?;
            linear.insert(tensors, &format!("{projection}.{i}"))?;
        }
        Ok(())
    }
}

/// Values of a linear layer with as many outputs as inputs.
struct InitialLinear {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl InitialLinear {
    /// Draws the initial values of PyTorch's `nn.InitialLinear`: weights and bias uniform in +-1 / sqrt(inputs).
    fn random(width: usize, seed: u64, name: &str) -> InitialLinear {
        let bound = (width as f32).sqrt().recip();
        let uniform = |name: String, n: usize| {
            let mut rng = stream(seed, &name);
            std::iter::repeat_with(|| rng.random_range(-bound..bound)).take(n).collect()
        };
        InitialLinear {
            weight: uniform(format!("{name}.weight"), width * width),
            bias: uniform(format!("{name}.bias"), width),
        }
    }

    fn identity(width: usize) -> InitialLinear {
        let mut weight = vec![0.0; width * width];
        weight.iter_mut().step_by(width + 1).for_each(|diagonal| *diagonal = 1.0);
        InitialLinear { weight, bias: vec![0.0; width] }
    }

    fn insert(&self, tensors: &mut BTreeMap<String, Tensor>, name: &str) -> Result<(), PromptsError> {
        let width = self.bias.len();
        insert(tensors, format!("{name}.weight"), self.weight.clone(), &[width, width])?;
        insert(tensors, format!("{name}.bias"), self.bias.clone(), &[width])
    }
}

fn insert(
    tensors: &mut BTreeMap<String, Tensor>,
    name: String,
    values: Vec<f32>,
    shape: &[usize],
) -> Result<(), PromptsError> {
    match Tensor::from_vec(values, shape, &Device::Cpu) {
        Ok(tensor) => tensors.insert(name, tensor),
        Err(source) => return Err(PromptsError::Tensor { name, source }),
    };
    Ok(())
}

/// Returns the random numbers of one tensor.
fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    let digest = blake3::derive_key("dqa 2026 stream of a tensor", name.as_bytes());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from_le_bytes(std::array::from_fn(|i| digest[i])));
    rng
}
