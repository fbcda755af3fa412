//! Makes random weights for a CLIP that is trained from scratch, drawn as CLIP's authors drew theirs, except for the
//! filters of the patches.
//!
//! A model never gets these weights by default: its user asks for them with a configuration and a seed.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::clip_config::ClipConfig;
use super::clip_weights::{ClipWeights, expected_tensors};
use super::stored_tensor::{StoredTensor, TensorMap};

impl ClipWeights {
    /// Makes random weights: normal with CLIP's deviations, patch filters normal within an octave of frequencies each,
    /// norms 1 and 0, biases 0, a temperature of 0.07. The same seed gives the same weights; a tensor's values depend
    /// only on its name and the seed.
    pub fn initial(config: ClipConfig, seed: u64) -> ClipWeights {
        let tensors = expected_tensors(&config).into_iter().map(|tensor| {
            let values = values(&tensor.name, &tensor.shape, &config, seed);
            (tensor.name.clone(), StoredTensor::from_f32(&tensor.shape, &values))
        });
        let tensors: TensorMap = tensors.collect();
        ClipWeights::from_stored(config, tensors)
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
    let key = blake3::hash(format!("{seed}/{name}").as_bytes());
    let mut rng = ChaCha8Rng::from_seed(*key.as_bytes());
    if name.ends_with("patch_embedding.weight") {
        return filters(shape[0], config.vision.patch, &mut rng);
    }
    let deviation = deviation(name, config);
    (0..len).map(|_| (normal(&mut rng) * deviation) as f32).collect()
}

/// The cosine transform of a patch of a picture, in ImageNet's units and divided by the patch's side: the deviation of
/// its mean, and that of a wave times the number of its half waves across the patch (pictures have a spectrum of 1/f).
const MEAN: f64 = 0.9;
const WAVE: f64 = 0.19;
/// Deviation of colour relative to that of brightness.
const COLOUR: f64 = 0.3;

/// Makes the patch embedding (width, 3, side, side). A plain normal filter sees little of a patch but its mean, which
/// is far larger than all else in it, and the norm that follows leaves little of that but the sign. So each filter is a
/// normal draw among the waves of one octave (the mean alone, 1, 2 to 3, 4 to 7 half waves, ...), of brightness or of
/// colour in turn, in a scale that gives each the deviation 1 over pictures.
fn filters(width: usize, side: usize, rng: &mut impl Rng) -> Vec<f32> {
    let octaves = side.ilog2() as usize + 2;
    let mut values = Vec::with_capacity(width * 3 * side * side);
    for filter in 0..width {
        let pattern = pattern(filter % octaves, side, rng);
        let channels = match filter / octaves % 2 {
            0 => [1.0 / 3.0; 3],
            _ => colours(rng),
        };
        for channel in channels {
            values.extend(pattern.iter().map(|value| (value * channel) as f32));
        }
    }
    values
}

/// Makes a pattern (side, side) of the waves of one octave.
fn pattern(octave: usize, side: usize, rng: &mut impl Rng) -> Vec<f64> {
    let wave = |u: usize, position: usize| {
        let norm = if u == 0 { 1.0 } else { 2.0 };
        (norm / side as f64).sqrt() * (std::f64::consts::PI * (position as f64 + 0.5) * u as f64 / side as f64).cos()
    };
    let (mut pattern, mut variance) = (vec![0.0; side * side], 0.0);
    for (v, u) in (0..side * side).map(|position| (position / side, position % side)) {
        let frequency = ((u * u + v * v) as f64).sqrt();
        let own = if frequency < 1.0 { 0 } else { frequency.log2() as usize + 1 };
        if own != octave {
            continue;
        }
        let amplitude = side as f64 * if own == 0 { MEAN } else { WAVE / frequency };
        variance += amplitude * amplitude;
        let weight = normal(rng);
        for (y, row) in pattern.chunks_exact_mut(side).enumerate() {
            let down = weight * wave(v, y);
            row.iter_mut().enumerate().for_each(|(x, value)| *value += down * wave(u, x));
        }
    }
    pattern.iter_mut().for_each(|value| *value /= variance.sqrt());
    pattern
}

/// Draws weights of the channels that cancel out for gray.
fn colours(rng: &mut impl Rng) -> [f64; 3] {
    let drawn: [f64; 3] = std::array::from_fn(|_| normal(rng));
    let gray = drawn.iter().sum::<f64>() / 3.0;
    drawn.map(|weight| (weight - gray) / 3.0 / COLOUR)
}

/// Returns the deviation in `initialize_parameters` of CLIP's code.
fn deviation(name: &str, config: &ClipConfig) -> f64 {
    let (width, layers) = if name.starts_with("text") {
        (config.text.width as f64, config.text.layers as f64)
    } else {
        (config.vision.width as f64, config.vision.layers as f64)
    };
    match name {
        "text_model.embeddings.token_embedding.weight" => 0.02,
        "text_model.embeddings.position_embedding.weight" => 0.01,
        _ if name.contains("out_proj") || name.contains("fc2") => (width * 2.0 * layers).powf(-0.5),
        _ if name.contains("fc1") => (2.0 * width).powf(-0.5),
        _ => width.powf(-0.5),
    }
}

/// Draws a standard normal number with the Box-Muller transform.
fn normal(rng: &mut impl Rng) -> f64 {
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

    #[test]
    fn a_filter_sees_light_or_colour_of_one_octave() {
        let (width, side) = (28, 32);
        let values = filters(width, side, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(values.len(), width * 3 * side * side);
        for (filter, values) in values.chunks_exact(3 * side * side).enumerate() {
            let of_gray = |picture: &dyn Fn(usize, usize) -> f64| {
                let pixel = |(position, value): (usize, &f32)| {
                    f64::from(*value) * picture(position % side, position / side % side)
                };
                values.iter().enumerate().map(pixel).sum::<f64>().abs()
            };
            let even = of_gray(&|_, _| 1.0);
            let wave = |position: usize| (std::f64::consts::PI * (position as f64 + 0.5) * 31.0 / 32.0).cos();
            let finest = of_gray(&|x, y| wave(x) * wave(y));
            let (octave, is_colour) = (filter % 7, filter / 7 % 2 == 1);
            assert_eq!(even > 1e-3, octave == 0 && !is_colour, "{filter}: {even}");
            assert_eq!(finest > 1e-3, octave == 6 && !is_colour, "{filter}: {finest}");
            let size = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            assert!(size > 0.0 && size.is_finite());
        }
    }
}
