//! Converts samples of other kinds to 8-bit RGB, as Pillow's `convert("RGB")` does. Pure.

use super::Format;
use super::PictureError;
use super::error::Cause;

/// Converts gray by repeating each sample.
pub(super) fn from_gray(samples: impl IntoIterator<Item = u8>) -> Vec<u8> {
    samples.into_iter().flat_map(|gray| [gray; 3]).collect()
}

/// Returns the first three of every `channels` samples.
pub(super) fn first_three(samples: &[u8], channels: usize) -> Vec<u8> {
    samples.chunks_exact(channels).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
}

/// Converts a sample of 16-bit gray.
// REFERENCE: Pillow reads it as mode I;16, whose conversion clips to 255 instead of scaling: nearly all is white.
pub(super) fn clip_u16(sample: u16) -> u8 {
    sample.min(255) as u8
}

/// Converts CMYK, where 255 is full ink.
pub(super) fn from_cmyk(samples: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(samples.len() / 4 * 3);
    for pixel in samples.chunks_exact(4) {
        let light = 255 - pixel[3];
        rgb.extend([pixel[0], pixel[1], pixel[2]].map(|ink| light - multiply(ink, light)));
    }
    rgb
}

/// Returns `a * b / 255`, rounded as Pillow's `MULDIV255` rounds.
fn multiply(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

/// Divides a colour by the alpha that it was multiplied by.
pub(super) fn unmultiply(pixel: [u8; 4]) -> [u8; 3] {
    let [r, g, b, alpha] = pixel;
    match alpha {
        0 => [0; 3],
        255 => [r, g, b],
        _ => [r, g, b].map(|colour| (u32::from(colour) * 255 / u32::from(alpha)).min(255) as u8),
    }
}

/// Converts an error of the `image` crate.
pub(super) fn image_error(format: Format, error: image::ImageError) -> PictureError {
    match error {
        image::ImageError::Unsupported(what) => PictureError::unsupported(format!("this kind of {format} ({what})")),
        image::ImageError::IoError(error) => PictureError::from_decoder(format, error),
        other => PictureError::from_decoder(format, Cause::from(other)),
    }
}
