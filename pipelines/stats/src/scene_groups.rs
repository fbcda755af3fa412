//! Random groups of scenes, and the random number generators of resampling.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Assigns scenes at random to at most `groups_max` groups whose sizes differ by at most one. Returns the group of each
/// scene and the number of groups. With no more scenes than `groups_max`, each scene is a group of its own.
pub(crate) fn assign_groups(scenes: usize, groups_max: usize, seed: u64) -> (Vec<u32>, usize) {
    let mut groups: Vec<u32> = (0..scenes).map(|scene| (scene % groups_max) as u32).collect();
    if scenes > groups_max {
        groups.shuffle(&mut stream_rng(seed, u64::MAX));
    }
    (groups, scenes.min(groups_max))
}

/// Returns the random number generator of one of a seed's independent streams.
pub(crate) fn stream_rng(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}
