//! Tests decoding: pixels equal Pillow's, each kind of sample is converted as documented, and no bytes cause a panic.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::io::Cursor;
use std::path::{Path, PathBuf};

use dqa_engine::decode::{ErrorCode, Format, Limits, PictureError, decode, probe};
use dqa_model::Rgb8;
use dqa_pipelines::Retryable;
use image::{DynamicImage, ImageBuffer, ImageFormat};
use proptest::prelude::*;

const WIDTH: u32 = 23;
const HEIGHT: u32 = 17;

/// Returns limits that allow pictures of any size.
fn any_size() -> Limits {
    Limits { side_min: 1, ..Limits::default() }
}

fn pictures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures")
}

/// Compares with `pillow.txt`, which holds name, width, height and FNV-1a 64 of the bytes of Pillow 13.0.0's
/// `convert("RGB")`.
#[test]
fn pixels_equal_pillows() {
    let list = std::fs::read_to_string(pictures().join("pillow.txt")).unwrap();
    for line in list.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let bytes = std::fs::read(pictures().join(fields[0])).unwrap();
        let picture = decode(&bytes, &any_size()).unwrap_or_else(|error| panic!("{}: {error:?}", fields[0]));
        let size = (picture.width().to_string(), picture.height().to_string());
        assert_eq!((size.0.as_str(), size.1.as_str()), (fields[1], fields[2]), "{}", fields[0]);
        assert_eq!(format!("{:016x}", fnv1a(picture.pixels())), fields[3], "{}", fields[0]);
    }
}

/// Prints each difference from what Pillow reads, according to the list that `tools/pillow-pictures FOLDER` wrote. The
/// variable `DQA_PILLOW` names the folder.
#[test]
#[ignore = "needs a folder of pictures from tools/pillow-pictures"]
fn generated_pictures_decode_as_in_pillow() {
    let folder = PathBuf::from(std::env::var_os("DQA_PILLOW").expect("DQA_PILLOW names the folder"));
    let list = std::fs::read_to_string(folder.join("pillow.txt")).unwrap();
    let mut different = Vec::new();
    for line in list.lines() {
        let (name, pillow) = line.split_once(' ').unwrap();
        let decoded = match decode(&std::fs::read(folder.join(name)).unwrap(), &any_size()) {
            Ok(picture) => format!("{} {} {:016x}", picture.width(), picture.height(), fnv1a(picture.pixels())),
            Err(error) => format!("- {}: {}", error.code(), error.line()),
        };
        let both_fail = decoded.starts_with('-') && pillow.starts_with('-');
        if both_fail || decoded != pillow {
            println!(
                "{} {name}\n    Pillow {pillow}\n    dqa    {decoded}",
                if both_fail { "refused" } else { "DIFFERS" }
            );
        }
        if !decoded.starts_with('-') && !pillow.starts_with('-') && decoded != pillow {
            different.push(name.to_owned());
        }
    }
    assert!(different.is_empty(), "pixels differ from Pillow's: {different:?}");
}

#[test]
fn alpha_is_dropped_and_gray_is_repeated() {
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP] {
        let [rgba, rgb] = [DynamicImage::ImageRgba8(noise(4)), DynamicImage::ImageRgb8(noise(3))];
        assert_eq!(pixels(&encoded(&rgb, format)), rgb.as_bytes(), "{format:?}");
        assert_eq!(pixels(&encoded(&rgba, format)), rgb_of(rgba.as_bytes(), 4), "{format:?}");
        if format != ImageFormat::WebP {
            let gray = DynamicImage::ImageLuma8(noise(1));
            assert_eq!(pixels(&encoded(&gray, format)), rgb_of(gray.as_bytes(), 1), "{format:?}");
        }
    }
    let gray_alpha = DynamicImage::ImageLumaA8(noise(2));
    assert_eq!(pixels(&encoded(&gray_alpha, ImageFormat::Png)), rgb_of(gray_alpha.as_bytes(), 2));
}

/// REFERENCE: with 16 bits, colours and gray with alpha keep the high byte, but gray without alpha is clipped to 255.
#[test]
fn sixteen_bit_samples_are_converted_as_in_pillow() {
    let high = |samples: Vec<u16>| samples.into_iter().map(|sample| (sample >> 8) as u8).collect::<Vec<u8>>();
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let rgb = noise16(3);
        let expected = high(rgb.as_raw().clone());
        assert_eq!(pixels(&encoded(&DynamicImage::ImageRgb16(rgb), format)), expected, "{format:?}");
        let rgba = noise16(4);
        let expected = rgb_of(&high(rgba.as_raw().clone()), 4);
        assert_eq!(pixels(&encoded(&DynamicImage::ImageRgba16(rgba), format)), expected, "{format:?}");
        let gray = ImageBuffer::from_fn(WIDTH, HEIGHT, |x, y| image::Luma([(x * 31 + y * 7) as u16]));
        let expected: Vec<u8> = gray.as_raw().iter().flat_map(|&sample| [sample.min(255) as u8; 3]).collect();
        assert_eq!(pixels(&encoded(&DynamicImage::ImageLuma16(gray), format)), expected, "{format:?}");
    }
    let gray_alpha = noise16(2);
    let expected = rgb_of(&high(gray_alpha.as_raw().clone()), 2);
    assert_eq!(pixels(&encoded(&DynamicImage::ImageLumaA16(gray_alpha), ImageFormat::Png)), expected);
}

#[test]
fn the_format_is_detected_from_the_bytes() {
    for (bytes, format) in samples() {
        assert_eq!(probe(&bytes, &any_size()).unwrap().format, format);
    }
    let code = |bytes: &[u8]| decode(bytes, &any_size()).unwrap_err().code();
    assert_eq!(code(b""), ErrorCode::NotAnImage);
    assert_eq!(code(b"Picture.png"), ErrorCode::NotAnImage);
    assert_eq!(code(b"\0\0\0\x1cftypavif...."), ErrorCode::UnsupportedFormat);
    assert_eq!(code(b"P6\n2 2\n255\n"), ErrorCode::Truncated);
    assert_eq!(code(b"P6 is a format of Netpbm."), ErrorCode::NotAnImage);
}

#[test]
fn unsupported_files_are_named() {
    use ErrorCode::{NotAnImage, UnsupportedFormat};
    let zeros = [0; 5000];
    let cases: [(&[u8], ErrorCode, &str); 24] = [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", UnsupportedFormat, "HEIC"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avif", UnsupportedFormat, "AVIF"),
        (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2", UnsupportedFormat, "video (MP4)"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", UnsupportedFormat, "camera RAW (CR3)"),
        (b"RIFF\x24\0\0\0AVI LIST", UnsupportedFormat, "video (AVI)"),
        (b"\xff\x4f\xff\x51\0\x2f", UnsupportedFormat, "JPEG 2000"),
        (b"\xff\x0a\xfa\x1f", UnsupportedFormat, "JPEG XL"),
        (b"8BPS\0\x01", UnsupportedFormat, "Photoshop (PSD)"),
        (b"II*\0\x10\0\0\0CR\x02\0", UnsupportedFormat, "camera RAW (CR2)"),
        (b"FUJIFILMCCD-RAW 0201", UnsupportedFormat, "camera RAW (RAF)"),
        (b"#?RADIANCE\n", UnsupportedFormat, "Radiance HDR"),
        (b"P7\nWIDTH 2\n", UnsupportedFormat, "PAM"),
        (b"\x0a\x05\x01\x08\0\0", UnsupportedFormat, "PCX"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", UnsupportedFormat, "SVG"),
        (b"\x93NUMPY\x01\0", UnsupportedFormat, "save its pixels as PNG"),
        (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", NotAnImage, "web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", NotAnImage, "XML document"),
        (b"{\"message\": \"Not Found\"}", NotAnImage, "JSON"),
        (b"404: Not Found", NotAnImage, "it is text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", NotAnImage, "run `git lfs pull`"),
        (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", NotAnImage, "AppleDouble"),
        (b"PK\x03\x04\x14\0", NotAnImage, "ZIP"),
        (&zeros, NotAnImage, "all its bytes are zero"),
        (b"", NotAnImage, "empty"),
    ];
    for (bytes, code, words) in cases {
        let error = decode(bytes, &any_size()).unwrap_err();
        assert_eq!(error.code(), code, "{words}");
        assert!(error.line().contains(words), "{} lacks `{words}`", error.line());
    }
}

/// Tests that raw files of cameras are refused. Pillow would read the preview in them.
#[test]
fn the_preview_in_a_camera_raw_file_is_not_decoded() {
    // The tags of the first page are those of a preview with the picture elsewhere, or of DNG.
    for tags in [&[(254, 4, 1), (330, 4, 8)][..], &[(50706, 1, 4)], &[(262, 3, 32_803)]] {
        let mut tiff = b"II*\0\x08\0\0\0".to_vec();
        let mut tags = [&[(256, 4, 16), (257, 4, 16)][..], tags].concat();
        tags.sort_unstable();
        tiff.extend((tags.len() as u16).to_le_bytes());
        for (tag, kind, value) in tags {
            tiff.extend(
                [&(tag as u16).to_le_bytes()[..], &[kind, 0, 1, 0, 0, 0], &(value as u32).to_le_bytes()].concat(),
            );
        }
        tiff.extend([0; 4]);
        let error = decode(&tiff, &any_size()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::UnsupportedFormat);
        assert!(error.line().starts_with("camera RAW"), "{}", error.line());
    }
}

#[test]
fn a_header_gives_size_and_memory_and_is_limited() {
    for (bytes, format) in samples() {
        let header = probe(&bytes, &any_size()).unwrap();
        assert_eq!((header.width, header.height), (WIDTH, HEIGHT), "{format}");
        assert!(header.decode_bytes >= u64::from(WIDTH * HEIGHT * 3), "{format}");
        let code = |limits: Limits| probe(&bytes, &limits).unwrap_err().code();
        assert_eq!(code(Limits::default()), ErrorCode::TooSmall, "{format}");
        assert_eq!(code(Limits { side_max: WIDTH - 1, ..any_size() }), ErrorCode::TooLarge, "{format}");
        assert_eq!(code(Limits { pixels_max: 100, ..any_size() }), ErrorCode::TooLarge, "{format}");
        assert_eq!(code(Limits { bytes_max: 10, ..any_size() }), ErrorCode::TooLarge, "{format}");
    }
}

/// Tests that a hundred bytes cannot take gigabytes: the size is checked before memory for samples is allocated.
#[test]
fn a_small_file_that_claims_a_huge_picture_is_too_large() {
    let mut tiff = b"II*\0\x08\0\0\0\x09\0".to_vec();
    for (tag, value) in
        [(256, 60_000), (257, 60_000), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 60_000), (279, 80)]
    {
        tiff.extend([&(tag as u16).to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &(value as u32).to_le_bytes()].concat());
    }
    tiff.extend([0; 4]);
    assert_eq!(decode(&tiff, &any_size()).unwrap_err().code(), ErrorCode::TooLarge);
}

/// Tests a file with a huge count of colour map entries, for each of which the decoder would reserve 32 bytes.
#[test]
fn a_tag_that_claims_huge_contents_is_corrupt() {
    let mut bytes = std::fs::read(pictures().join("17x9_p_packbits.tif")).unwrap();
    let color_map = bytes.windows(4).rposition(|window| window == [0x40, 0x01, 0x03, 0x00]).unwrap();
    bytes[color_map + 4..color_map + 8].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    assert_eq!(decode(&bytes, &any_size()).unwrap_err().code(), ErrorCode::Corrupt);
}

#[test]
fn a_truncated_file_is_refused_and_never_filled_in() {
    for (bytes, format) in samples() {
        let whole = decode(&bytes, &any_size()).unwrap();
        for length in (0..bytes.len()).step_by(10) {
            match decode(&bytes[..length], &any_size()) {
                // Data after the last row may be missing, such as PNG's last chunk. TIFF's tags are before or after its
                // samples.
                Ok(picture) => assert!(picture == whole, "{format} cut to {length} of {}", bytes.len()),
                Err(PictureError::Internal { message, .. }) => panic!("{format} cut to {length}: {message}"),
                Err(error) if length > 16 && format != Format::Tiff => {
                    assert_eq!(error.code(), ErrorCode::Truncated, "{format} cut to {length}: {error:?}");
                }
                Err(_) => {}
            }
        }
    }
}

/// Tests a file that libjpeg by itself would repair with gray blocks.
#[test]
fn a_jpeg_without_its_middle_is_corrupt() {
    let bytes = jpeg(&noise(3), JpegKind::Baseline);
    let mut cut = bytes[..bytes.len() * 3 / 4].to_vec();
    cut.extend(b"\xff\xd9");
    assert_eq!(decode(&cut, &any_size()).unwrap_err().code(), ErrorCode::Corrupt);
}

#[test]
fn a_wrong_checksum_is_corrupt() {
    let mut bytes = encoded(&DynamicImage::ImageRgb8(noise(3)), ImageFormat::Png);
    let data = bytes.windows(4).position(|window| window == b"IDAT").unwrap();
    bytes[data + 20] ^= 1;
    assert_eq!(decode(&bytes, &any_size()).unwrap_err().code(), ErrorCode::Corrupt);
}

#[test]
fn error_codes_are_serialized_by_name() {
    for code in [ErrorCode::NotAnImage, ErrorCode::UnsupportedFormat, ErrorCode::TooSmall, ErrorCode::Io] {
        assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
    }
}

#[test]
fn only_io_errors_are_retryable() {
    let io = |kind: std::io::ErrorKind| PictureError::Io { path: "a.png".to_owned(), source: kind.into() };
    assert!(io(std::io::ErrorKind::TimedOut).is_retryable());
    assert!(!io(std::io::ErrorKind::NotFound).is_retryable());
    assert!(!decode(b"", &any_size()).unwrap_err().is_retryable());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_files_never_panic(
        file_index in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let files = all_files();
        let mut bytes = file_index.get(&files).clone();
        for (position, value) in flips {
            let position = position.index(bytes.len());
            bytes[position] = value;
        }
        if let Err(error) = decode(&bytes, &any_size()) {
            prop_assert_ne!(error.code(), ErrorCode::Internal, "{:?}", error);
        }
    }
}

/// Returns a file of each format, all of the same size.
fn samples() -> Vec<(Vec<u8>, Format)> {
    let rgb = DynamicImage::ImageRgb8(noise(3));
    vec![
        (encoded(&rgb, ImageFormat::Png), Format::Png),
        (encoded(&rgb, ImageFormat::Bmp), Format::Bmp),
        (encoded(&rgb, ImageFormat::Tiff), Format::Tiff),
        (encoded(&rgb, ImageFormat::WebP), Format::WebP),
        (jpeg(&noise(3), JpegKind::Baseline), Format::Jpeg),
        (jpeg(&noise(3), JpegKind::Progressive), Format::Jpeg),
        (gif(), Format::Gif),
        ([format!("P6\n# noise\n{WIDTH} {HEIGHT}\n255\n").as_bytes(), rgb.as_bytes()].concat(), Format::Pnm),
    ]
}

/// Returns a GIF of one frame, whose LZW codes are all literal.
fn gif() -> Vec<u8> {
    let [width, height] = [WIDTH, HEIGHT].map(|side| (side as u16).to_le_bytes());
    let palette: Vec<u8> = (0..=255).flat_map(|index| [index, 255 - index, index / 2]).collect();
    let frame = [&b",\0\0\0\0"[..], &width, &height, b"\0\x08"].concat();
    // Codes have nine bits. The table is cleared before it would need longer codes.
    let (mut bits, mut data, mut filled) = (0_u32, Vec::new(), 0);
    let codes =
        (0..WIDTH * HEIGHT).flat_map(|index| if index % 100 == 0 { vec![256, index % 251] } else { vec![index % 251] });
    for code in codes.chain([257, 0]) {
        bits |= code << filled;
        filled += 9;
        while filled >= 8 {
            data.push(bits as u8);
            bits >>= 8;
            filled -= 8;
        }
    }
    let blocks: Vec<u8> = data.chunks(255).flat_map(|block| [&[block.len() as u8], block].concat()).collect();
    [&b"GIF89a"[..], &width, &height, b"\xf7\0\0", &palette, &frame, &blocks, b"\0;"].concat()
}

/// Returns the samples and the pictures of the folder.
fn all_files() -> Vec<Vec<u8>> {
    let sample_files = samples().into_iter().map(|(bytes, _)| bytes);
    let paths = std::fs::read_dir(pictures()).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|kind| kind != "txt")).collect();
    paths.sort();
    sample_files.chain(paths.into_iter().map(|path| std::fs::read(path).unwrap())).collect()
}

fn pixels(bytes: &[u8]) -> Vec<u8> {
    let picture: Rgb8 = decode(bytes, &any_size()).unwrap();
    assert_eq!((picture.width(), picture.height()), (WIDTH, HEIGHT));
    picture.pixels().to_vec()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[derive(PartialEq)]
enum JpegKind {
    Baseline,
    Progressive,
}

fn jpeg(image: &ImageBuffer<image::Rgb<u8>, Vec<u8>>, kind: JpegKind) -> Vec<u8> {
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    if kind == JpegKind::Baseline {
        encoder.set_fastest_defaults();
    }
    encoder.set_size(WIDTH as usize, HEIGHT as usize);
    encoder.set_quality(90.0);
    let mut started = encoder.start_compress(Vec::new()).unwrap();
    started.write_scanlines(image.as_raw()).unwrap();
    started.finish().unwrap()
}

/// Converts pixels of `channels` samples to RGB: gray is repeated, and alpha is dropped.
fn rgb_of(samples: &[u8], channels: usize) -> Vec<u8> {
    let pixels = samples.chunks_exact(channels);
    if channels < 3 {
        pixels.flat_map(|pixel| [pixel[0]; 3]).collect()
    } else {
        pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
    }
}

fn noise<P: image::Pixel<Subpixel = u8>>(channels: u32) -> ImageBuffer<P, Vec<u8>> {
    let samples = (0..WIDTH * HEIGHT * channels).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    ImageBuffer::from_raw(WIDTH, HEIGHT, samples).unwrap()
}

fn noise16<P: image::Pixel<Subpixel = u16>>(channels: u32) -> ImageBuffer<P, Vec<u16>> {
    let samples =
        (0..WIDTH * HEIGHT * channels).map(|index| (index.wrapping_mul(2_654_435_761) >> 16) as u16).collect();
    ImageBuffer::from_raw(WIDTH, HEIGHT, samples).unwrap()
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
