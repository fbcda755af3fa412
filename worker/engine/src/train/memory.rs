//! The memory that a training on the CPU needs at least, compared with what the machine has before it begins: a machine that runs
//! out of memory kills the process, and everything beside the training with it.

use candle_core::Device;
use dqa_model::{ClipConfig, TextConfig, VisionConfig};
use dqa_pipelines::train::Setup;
use sysinfo::System;

use super::TrainError;

/// Copies of the weights as f32 while prompts learn: as read, packed, packed transposed, and those of a test's scorer. Of CLIP
/// ViT-B/32 (605 MB) a training of prompts took 2.6 GB on two threads.
const WEIGHTS_COPIES: u64 = 4;

/// Copies of what learns when weights do: values, Adam's moments, and a checkpoint that is written (the same again). There is
/// a gradient for each thread too. A training of all of ViT-B/32 took 8.8 GB on two threads.
const LEARNED_COPIES: u64 = 8;

/// Fails if the machine has less memory than a training needs. GPUs are not asked.
pub(super) fn check(config: &ClipConfig, setup: &Setup, device: &Device) -> Result<(), TrainError> {
    if !device.is_cpu() {
        return Ok(());
    }
    let needed = needed(config, setup, rayon::current_num_threads() as u64);
    let available = available();
    if needed > available { Err(TrainError::Memory { needed, available }) } else { Ok(()) }
}

fn needed(config: &ClipConfig, setup: &Setup, threads: u64) -> u64 {
    let count = weights(config);
    let learned = if setup.tune.changes_weights() { count * (LEARNED_COPIES + threads) } else { 0 };
    (count * WEIGHTS_COPIES + learned) * size_of::<f32>() as u64
}

/// Returns the number of a model's weights, without biases and norms.
fn weights(ClipConfig { vision, text, embed_dim }: &ClipConfig) -> u64 {
    let VisionConfig { width, layers, mlp_width, patch, .. } = vision;
    let visual = layers * width * (4 * width + 2 * mlp_width) + width * (3 * patch * patch + embed_dim);
    let TextConfig { width, layers, mlp_width, vocab, context, .. } = text;
    let textual = layers * width * (4 * width + 2 * mlp_width) + width * (vocab + context + embed_dim);
    (visual + textual) as u64
}

/// Returns the bytes that this process could still take, within the limit of its group (a container's, for example).
fn available() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(group)
}

#[cfg(test)]
mod tests {
    use dqa_pipelines::train::Tune;
    use dqa_testkit::hf;

    use super::*;

    #[test]
    fn what_vit_b_32_needs_is_below_what_it_was_seen_to_take() {
        let config = ClipConfig::read(&hf::cached("vit-b-32", "golden").join("config.json")).unwrap();
        let count = weights(&config);
        assert!((150_000_000..152_000_000).contains(&count), "{count}");
        let gigabytes = |tune| needed(&config, &Setup { tune, ..Setup::default() }, 2) as f64 / 1e9;
        assert!((2.0..2.6).contains(&gigabytes(Tune::Prompts)));
        assert!((7.0..8.8).contains(&gigabytes(Tune::All)));
        assert!(available() > 0);
    }
}
