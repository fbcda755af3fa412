//! A CLIP to be trained from nothing: weights drawn as CLIP's authors drew theirs.
//!
//! Nothing scores with these unasked: whoever wants them says so with a configuration and a seed.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::checkpoint::{Stored, StoredMap};
use crate::weights::expected;
use crate::{ClipConfig, ClipWeights};

impl ClipWeights {
    /// Random weights: normal with CLIP's deviations, norms 1 and 0, biases 0, a temperature of 0.07. The same for the
    /// same seed; a tensor's values depend on its name and the seed alone.
    pub fn initial(config: ClipConfig, seed: u64) -> ClipWeights {
        let tensors = expected(&config).into_iter().map(|tensor| {
            let values = values(&tensor.name, &tensor.shape, &config, seed);
            (tensor.name.clone(), Stored::of(&tensor.shape, &values))
        });
        let tensors: StoredMap = tensors.collect();
        ClipWeights::of(config, tensors)
    }
}

fn values(name: &str, shape: &[usize], config: &ClipConfig, seed: u64) -> Vec<f32> {
    let len = shape.iter().product();
    if name == "logit_scale" {
        return vec![(1.0f32 / 0.07).ln()];
    }
    if name.contains("norm") || name.ends_with(".bias") {
        let is_scale = name.contains("norm") && name.ends_with(".weight");
        return vec![if is_scale { 1.0 } else { 0.0 }; len];
    }
    let deviation = deviation(name, shape, config);
    let key = blake3::hash(format!("{seed}/{name}").as_bytes());
    let mut rng = ChaCha8Rng::from_seed(*key.as_bytes());
    (0..len).map(|_| (normal(&mut rng) * deviation) as f32).collect()
}

/// As `initialize_parameters` of CLIP's code has it.
fn deviation(name: &str, shape: &[usize], config: &ClipConfig) -> f64 {
    let (width, layers) = if name.starts_with("text") {
        (config.text.width as f64, config.text.layers as f64)
    } else {
        (config.vision.width as f64, config.vision.layers as f64)
    };
    match name {
        "text_model.embeddings.token_embedding.weight" => 0.02,
        "text_model.embeddings.position_embedding.weight" => 0.01,
        _ if name.contains("patch_embedding") => (shape[1..].iter().product::<usize>() as f64).powf(-0.5),
        _ if name.contains("out_proj") || name.contains("fc2") => (width * 2.0 * layers).powf(-0.5),
        _ if name.contains("fc1") => (2.0 * width).powf(-0.5),
        _ => width.powf(-0.5),
    }
}

/// Standard normal, by Box and Muller.
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let (radius, angle): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_drawn_by_name_and_seed() {
        let json = r#"{"model_type": "clip", "projection_dim": 32,
            "vision_config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
            "text_config": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}}"#;
        let config = ClipConfig::parse(json, std::path::Path::new("test")).unwrap();
        let weights = ClipWeights::initial(config.clone(), 1);
        assert_eq!(weights.digest(), ClipWeights::initial(config.clone(), 1).digest());
        assert_ne!(weights.digest(), ClipWeights::initial(config, 2).digest());
        let q = weights.values("vision_model.encoder.layers.0.self_attn.q_proj.weight");
        assert_ne!(q, weights.values("vision_model.encoder.layers.0.self_attn.k_proj.weight"));
        let deviation = (q.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / q.len() as f64).sqrt();
        // 1,024 draws: the deviation of their deviation is 2%.
        assert!((deviation / 32f64.powf(-0.5) - 1.0).abs() < 0.1, "{deviation}");
        assert!(weights.values("vision_model.pre_layrnorm.weight").iter().all(|v| *v == 1.0));
    }
}
