//! Chance in a training, each draw from a stream of its own: what an epoch does is determined by the seed and its number
//! alone, so a training that goes on needs to remember nothing of it.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::digest;

fn stream(what: &str, seed: u64, epoch: u32, picture: &str) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_derive_key("dqa 2026 chance in training");
    digest::update_field(&mut hasher, what.as_bytes());
    digest::update_field(&mut hasher, &seed.to_le_bytes());
    digest::update_field(&mut hasher, &epoch.to_le_bytes());
    digest::update_field(&mut hasher, picture.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// The order of `pictures` pictures in an epoch.
pub fn order(seed: u64, epoch: u32, pictures: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..pictures).collect();
    order.shuffle(&mut stream("order", seed, epoch, ""));
    order
}

/// The upper left corner (x, y) of the window that is seen of a picture in an epoch, with so much room (across, down)
/// beside the window, in pixels. By the picture's name: other pictures do not matter.
pub fn crop(seed: u64, epoch: u32, picture: &str, room: (u32, u32)) -> (u32, u32) {
    let mut rng = stream("crop", seed, epoch, picture);
    (rng.random_range(0..=room.0), rng.random_range(0..=room.1))
}

/// `count` of `scenes` that validate, sorted; `split` has its own.
pub(super) fn validation(seed: u64, split: usize, scenes: &[String], count: usize) -> Vec<String> {
    let mut shuffled = scenes.to_vec();
    shuffled.sort();
    shuffled.shuffle(&mut stream("validation", seed, u32::try_from(split).unwrap_or(u32::MAX), ""));
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
            seed: u64, epoch in 1..100u32, pictures in 0..200usize, room in (0..500u32, 0..500u32),
        ) {
            let order = order(seed, epoch, pictures);
            prop_assert_eq!(&order, &super::order(seed, epoch, pictures));
            prop_assert!(order.iter().copied().collect::<BTreeSet<_>>().into_iter().eq(0..pictures));
            let (x, y) = crop(seed, epoch, "a.png", room);
            prop_assert!(x <= room.0 && y <= room.1);
        }
    }

    #[test]
    fn epochs_pictures_and_seeds_differ() {
        let one = order(1, 1, 100);
        assert!(one != order(1, 2, 100) && one != order(2, 1, 100));
        let all = [crop(1, 1, "a", (9999, 9999)), crop(1, 2, "a", (9999, 9999)), crop(1, 1, "b", (9999, 9999))];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 3);
        let ends: BTreeSet<_> = (0..200).map(|epoch| crop(1, epoch, "a", (1, 1))).collect();
        assert_eq!(ends.len(), 4, "both edges are met");
    }
}
