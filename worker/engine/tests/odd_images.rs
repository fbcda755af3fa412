//! Tests odd and hostile files of public test suites, each with its expected outcome. The files are not part of this
//! repository: the tests look for them in the folder `shared` next to it (or in `$DQA_SHARED`), and are skipped without
//! them.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dqa_engine::decode::{ErrorCode, Limits, decode};

use Outcome::{Fails, Pixels};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// The picture's width, height, and FNV-1a 64 of the bytes of Pillow 13.0.0's `convert("RGB")`.
    Pixels(u32, u32, u64),
    Fails(ErrorCode),
}

/// The files with their expected outcomes. A comment describes what Pillow does if it differs.
const EXPECTED: &[(&str, Outcome)] = &[
    ("image-rs/3.jpg", Pixels(650, 470, 0x5fe7_9962_9453_8c3b)),
    ("image-rs/Bad_reallybig.bmp", Fails(ErrorCode::TooLarge)),
    ("image-rs/Bad_shortfile.bmp", Fails(ErrorCode::Truncated)),
    ("image-rs/Bad_width.bmp", Fails(ErrorCode::TooLarge)),
    ("image-rs/LICENSE-MIT", Fails(ErrorCode::NotAnImage)),
    ("image-rs/anim.webp", Pixels(200, 200, 0xae6b_a411_b69c_0856)),
    ("image-rs/basi0g16.png", Pixels(32, 32, 0x2ddf_d74a_0cba_383c)),
    ("image-rs/basi2c08.png", Pixels(32, 32, 0x2036_2d9a_3ff2_e125)),
    ("image-rs/basn2c16.png", Pixels(32, 32, 0x51c1_43be_a37a_5cb5)),
    ("image-rs/basn6a16.png", Pixels(32, 32, 0x0fb9_f19e_3caf_a3f5)),
    ("image-rs/cat.jpg", Pixels(320, 240, 0xd93f_8eac_7bb5_f5e1)),
    ("image-rs/cmyk_u8_trunc_case.tif", Pixels(1, 1, 0xa327_3419_6f09_ea94)),
    ("image-rs/lossy_alpha.webp", Pixels(100, 100, 0x92c7_1374_cf42_4f5f)),
    ("image-rs/portrait_2.jpg", Pixels(113, 150, 0x68bd_10b7_46f8_44d8)),
    ("image-rs/rgb32f_color.tiff", Fails(ErrorCode::UnsupportedFormat)),
    ("image-rs/rgba32.bmp", Pixels(127, 64, 0x6b07_9fe1_d6ff_eee9)),
    ("image-rs/simple-gray.webp", Pixels(100, 100, 0x68da_dce7_c0ce_c5f7)),
    ("image-rs/test.jpg", Pixels(32, 23, 0x07d1_ba19_f7ba_9f7f)),
    ("image-rs/tp1n3p08.png", Pixels(32, 32, 0x3ff1_8111_1e01_6217)),
    // Pillow treats the subsampled samples as full ones.
    ("image-rs/ycbcr_lzw_broken.tif", Fails(ErrorCode::UnsupportedFormat)),
    ("pillow/16_bit_noise.tif", Pixels(32, 32, 0x4daa_6e5f_cfeb_4e0d)),
    ("pillow/16bit.cropped.tif", Pixels(64, 64, 0xfe4e_c469_d4f3_9325)),
    ("pillow/LICENSE", Fails(ErrorCode::NotAnImage)),
    ("pillow/broken_data_stream.png", Fails(ErrorCode::Corrupt)),
    ("pillow/crash-63b1dffefc8c075ddc606c0a2f5fdc15ece78863.tif", Fails(ErrorCode::UnsupportedFormat)),
    ("pillow/decompression_bomb.ico", Fails(ErrorCode::UnsupportedFormat)),
    ("pillow/exif_imagemagick_orientation.png", Pixels(512, 512, 0x6caf_c5af_4a97_5c5a)),
    ("pillow/flower.webp", Pixels(480, 360, 0x665a_5fc0_acce_024d)),
    // Pillow reads AVIF.
    ("pillow/hopper.avif", Fails(ErrorCode::UnsupportedFormat)),
    ("pillow/hopper.bmp", Pixels(128, 128, 0x9fd5_849c_fd0b_4536)),
    ("pillow/hopper.jpg", Pixels(128, 128, 0x7f96_73b5_bd70_bde5)),
    // Pillow reads PSD.
    ("pillow/hopper.psd", Fails(ErrorCode::UnsupportedFormat)),
    ("pillow/hopper.webp", Pixels(128, 128, 0x6b14_da99_5aad_5f2e)),
    // Pillow accepts it: its data has a bad Huffman code, and libjpeg fills in the rest.
    ("pillow/hopper_bad_exif.jpg", Fails(ErrorCode::Corrupt)),
    ("pillow/hopper_orientation_2.jpg", Pixels(128, 128, 0xce47_e154_55b0_362e)),
    ("pillow/hopper_orientation_4.jpg", Pixels(128, 128, 0xb9fc_ba60_1fa7_ab77)),
    ("pillow/hopper_orientation_6.jpg", Pixels(128, 128, 0x028a_4191_827f_3a13)),
    ("pillow/hopper_orientation_7.jpg", Pixels(128, 128, 0xe9d1_ba6d_5db1_2aa1)),
    ("pillow/invalid-exif.jpg", Pixels(200, 200, 0xeaa3_5e36_e511_4474)),
    ("pillow/l_trns.png", Pixels(64, 64, 0xcbdb_1c84_dff4_20d3)),
    ("pillow/multipage.tiff", Pixels(10, 10, 0xf21c_57b1_f84c_a515)),
    ("pillow/oom-225817ca0f8c663be7ab4b9e717b02c661e66834.tif", Fails(ErrorCode::Truncated)),
    ("pillow/p_16.png", Pixels(128, 128, 0x42be_a277_e473_0b25)),
    ("pillow/pil_sample_cmyk.jpg", Pixels(100, 100, 0x9b92_ebfd_81ed_41bc)),
    ("pillow/rgba32.bmp", Pixels(127, 64, 0x6b07_9fe1_d6ff_eee9)),
    ("pillow/seek_too_large.tif", Fails(ErrorCode::Truncated)),
    ("pillow/tiff_strip_cmyk_jpeg.tif", Pixels(100, 100, 0x0353_bdd0_d3a4_a00b)),
    ("pillow/transparent.webp", Pixels(200, 150, 0x7fe1_2320_8a89_2571)),
    ("pillow/truncated_end_chunk.png", Fails(ErrorCode::Truncated)),
    ("pillow/truncated_jpeg.jpg", Fails(ErrorCode::Truncated)),
    // Pillow reads JPEG 2000.
    ("pillow/zero_dpi.jp2", Fails(ErrorCode::UnsupportedFormat)),
];

#[test]
fn each_file_has_pillows_pixels_or_its_error_code() {
    let Some(folder) = odd_images() else { return };
    let any_size = Limits { side_min: 1, ..Limits::default() };
    for &(name, expected) in EXPECTED {
        assert_eq!(outcome(&folder.join(name), &any_size), expected, "{name}");
    }
}

#[test]
fn small_pictures_are_too_small_by_default() {
    let Some(folder) = odd_images() else { return };
    for &(name, expected) in EXPECTED {
        let Pixels(width, height, _) = expected else { continue };
        let found = outcome(&folder.join(name), &Limits::default());
        let expected_by_default = if width < 224 || height < 224 { Fails(ErrorCode::TooSmall) } else { expected };
        assert_eq!(found, expected_by_default, "{name}");
    }
}

#[test]
fn every_file_is_listed() {
    let Some(folder) = odd_images() else { return };
    let mut found = BTreeSet::new();
    for suite in std::fs::read_dir(&folder).unwrap() {
        for file in std::fs::read_dir(suite.unwrap().path()).unwrap() {
            found.insert(file.unwrap().path().strip_prefix(&folder).unwrap().to_string_lossy().into_owned());
        }
    }
    let listed: BTreeSet<String> = EXPECTED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, listed);
}

/// Returns the folder with the files, or None if it does not exist.
fn odd_images() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DQA_SHARED").map_or(default, PathBuf::from);
    let folder = shared.join("data/odd-images");
    if !folder.is_dir() {
        eprintln!("skipped: {} does not exist", folder.display());
        return None;
    }
    Some(folder)
}

fn outcome(path: &Path, limits: &Limits) -> Outcome {
    match decode(&std::fs::read(path).unwrap(), limits) {
        Ok(picture) => Pixels(picture.width(), picture.height(), fnv1a(picture.pixels())),
        Err(error) => Fails(error.code()),
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
