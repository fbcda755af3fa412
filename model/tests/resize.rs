//! Tests that the global view is bit-identical to Pillow 13's `Image.resize(..., BILINEAR)`.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::path::{Path, PathBuf};

use dqa_model::{Rgb8, whole_view};
use proptest::prelude::*;

/// Width, height, side, and the FNV-1a 64 hash of Pillow 13.0.0's result for [`noise`] of that size. The cases include
/// shrinking by factors of ten and more, growing, 224 on one side only, and both orders of the two passes.
const PILLOW: &[(u32, u32, u32, u64)] = &[
    (1, 1, 224, 0xc43124c1fdde0725),
    (100, 50, 224, 0xf2eb5373ed81c199),
    (1000, 224, 224, 0xacf67ce3a79c7047),
    (134, 379, 300, 0x85fc0f7478257015),
    (164, 777, 300, 0xef414bd38ef09604),
    (1920, 1080, 224, 0x09924bead88ba7d5),
    (223, 225, 224, 0x0fc70ad26914e653),
    (224, 1, 224, 0xa0892d651001dd65),
    (224, 777, 224, 0xa2bdc0bdb03c4d5b),
    (2240, 2240, 224, 0x2b24dfa8d1102bcb),
    (2241, 33, 224, 0x19c0116cf35371b3),
    (225, 224, 224, 0x5ab42cf0e8f59b00),
    (244, 607, 300, 0x29f110c83e574a6d),
    (31, 2239, 224, 0xdab888bfb5d6df32),
    (405, 746, 300, 0x391dac811c96c0c6),
    (456, 138, 64, 0xf57181edd7411353),
    (485, 610, 7, 0xf3881411d7ea9fe2),
    (486, 641, 300, 0xe6cffc18fa50f094),
    (507, 223, 64, 0x9250fb78a6b2eb05),
    (732, 808, 7, 0x5d9be60f97d2718a),
    (735, 482, 300, 0x6dd04833df76d761),
    (844, 887, 64, 0x34c1fbac9999bf92),
    (857, 563, 7, 0x11066378cf30e592),
    (858, 481, 64, 0x6cfd4d6488165c6d),
    (889, 536, 7, 0x8de2eaa8d2f461b5),
];

#[test]
fn noise_is_resized_as_pillow_does() {
    for &(width, height, side, digest) in PILLOW {
        let view = whole_view(&noise(width, height), side);
        assert_eq!((view.width(), view.height()), (side, side));
        assert_eq!(fnv1a(view.pixels()), digest, "{width}x{height} -> {side}");
    }
}

#[test]
fn golden_pictures_are_resized_as_pillow_does() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("testkit/goldens/pictures");
    let wholes: Vec<PathBuf> = std::fs::read_dir(&goldens)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".whole224.png"))
        .collect();
    assert_eq!(wholes.len(), 5, "{}", goldens.display());
    for whole in wholes {
        let picture = PathBuf::from(whole.to_string_lossy().replace(".whole224.png", ".png"));
        assert!(whole_view(&open(&picture), 224) == open(&whole), "{}", picture.display());
    }
}

proptest! {
    #[test]
    fn a_flat_picture_stays_flat(width in 1_u32..400, height in 1_u32..400, side in 1_u32..260, color: [u8; 3]) {
        let flat = |width: u32, height: u32| Rgb8::new(width, height, color.repeat((width * height) as usize));
        prop_assert_eq!(whole_view(&flat(width, height), side), flat(side, side));
    }

    #[test]
    fn resizing_to_the_same_size_changes_nothing(width in 1_u32..300, height in 1_u32..300, side in 1_u32..100) {
        let view = whole_view(&noise(width, height), side);
        prop_assert_eq!(whole_view(&view, side), view);
    }
}

/// Returns the high bytes of a linear congruential generator, which is easy to repeat in another language.
fn noise(width: u32, height: u32) -> Rgb8 {
    let mut state = width.wrapping_mul(31).wrapping_add(height);
    let sample = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    Rgb8::new(width, height, (0..width * height * 3).map(sample).collect())
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn open(path: &Path) -> Rgb8 {
    let image = image::open(path).unwrap().into_rgb8();
    Rgb8::new(image.width(), image.height(), image.into_raw())
}
