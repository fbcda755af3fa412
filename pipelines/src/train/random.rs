//! Random draws of a training, each from its own stream. An epoch's draws depend only on the seed and the epoch's
//! number, so a checkpoint stores no random state.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::digest;

fn rng(purpose: &str, seed: u64, epoch: u32, picture: &str) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_derive_key("dqa 2026 chance in training");
    digest::update_field(&mut hasher, purpose.as_bytes());
    digest::update_field(&mut hasher, &seed.to_le_bytes());
    digest::update_field(&mut hasher, &epoch.to_le_bytes());
    digest::update_field(&mut hasher, picture.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// Returns the order of the pictures in an epoch.
pub fn shuffled_order(seed: u64, epoch: u32, pictures: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..pictures).collect();
    order.shuffle(&mut rng("order", seed, epoch, ""));
    order
}

/// Returns the upper left corner (x, y) of the window that is cut from a picture in an epoch. `margin` is the picture's
/// size minus the window's (width, height) in pixels. The draw depends on the picture's name, but not on other
/// pictures.
pub fn crop_offset(seed: u64, epoch: u32, picture: &str, margin: (u32, u32)) -> (u32, u32) {
    let mut rng = rng("crop", seed, epoch, picture);
    (rng.random_range(0..=margin.0), rng.random_range(0..=margin.1))
}

/// Returns how far each fragment of a picture is moved from its first place in an epoch, in pixels (x, y). `margins` are how far
/// each can be moved (width, height). The draw depends on the picture's name, but not on other pictures.
pub fn fragment_offsets(seed: u64, epoch: u32, picture: &str, margins: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut rng = rng("fragments", seed, epoch, picture);
    let mut draw = |margin: &(u32, u32)| (rng.random_range(0..=margin.0), rng.random_range(0..=margin.1));
    margins.iter().map(&mut draw).collect()
}

/// Draws `count` of `scenes` for validation and returns them sorted. Each split has its own draw.
pub(super) fn choose_validation_scenes(seed: u64, split: usize, scenes: &[String], count: usize) -> Vec<String> {
    let mut shuffled = scenes.to_vec();
    shuffled.sort();
    shuffled.shuffle(&mut rng("validation", seed, u32::try_from(split).unwrap_or(u32::MAX), ""));
    shuffled.truncate(count);
    shuffled.sort();
    shuffled
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_epoch_has_every_picture_once_and_windows_inside(
            seed: u64, epoch in 1..100u32, pictures in 0..200usize, margin in (0..500u32, 0..500u32),
        ) {
            let order = shuffled_order(seed, epoch, pictures);
            prop_assert_eq!(&order, &super::shuffled_order(seed, epoch, pictures));
            prop_assert!(order.iter().copied().collect::<BTreeSet<_>>().into_iter().eq(0..pictures));
            let (x, y) = crop_offset(seed, epoch, "a.png", margin);
            prop_assert!(x <= margin.0 && y <= margin.1);
        }
    }

    #[test]
    fn epochs_pictures_and_seeds_differ() {
        let one = shuffled_order(1, 1, 100);
        assert!(one != shuffled_order(1, 2, 100) && one != shuffled_order(2, 1, 100));
        let all = [
            crop_offset(1, 1, "a", (9999, 9999)),
            crop_offset(1, 2, "a", (9999, 9999)),
            crop_offset(1, 1, "b", (9999, 9999)),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 3);
        let ends: BTreeSet<_> = (0..200).map(|epoch| crop_offset(1, epoch, "a", (1, 1))).collect();
        assert_eq!(ends.len(), 4, "both edges are met");
        let fragments = |seed, epoch, picture| fragment_offsets(seed, epoch, picture, &[(9, 0), (9, 0), (9999, 9999)]);
        assert_eq!(fragments(1, 1, "a"), fragments(1, 1, "a"));
        let all = [fragments(1, 1, "a"), fragments(1, 2, "a"), fragments(1, 1, "b"), fragments(2, 1, "a")];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4);
        assert!(all.iter().all(|offsets| offsets[0].0 <= 9 && offsets[0].1 == 0));
    }
}
