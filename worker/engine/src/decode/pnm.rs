//! Netpbm's PBM, PGM and PPM, plain and raw: the first picture of the file, with maximal values interpreted as Pillow
//! does.

use super::convert::{clip_u16, from_gray};
use super::{Format, Header, Limits, PictureError, pixel_count};

const FORMAT: Format = Format::Pnm;
/// Digits of a number in the header.
const DIGITS_MAX: usize = 10;

/// Returns whether a file is one of these formats: a text may begin with `P6` too.
pub(super) fn is_pnm(bytes: &[u8]) -> bool {
    let [b'P', b'1'..=b'6', space, rest @ ..] = bytes else { return false };
    is_space(*space) && rest.iter().find(|byte| !is_space(**byte)).is_none_or(|byte| matches!(byte, b'0'..=b'9' | b'#'))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bitmap,
    Gray,
    Color,
}

/// The header before the samples.
struct Head {
    kind: Kind,
    is_plain: bool,
    width: u64,
    height: u64,
    maximum: u16,
    samples_offset: usize,
}

pub(super) fn probe(bytes: &[u8], limits: &Limits) -> Result<Header, PictureError> {
    let head = head(bytes)?;
    let (width, height) = limits.check_size(head.width, head.height)?;
    if width == 0 || height == 0 {
        return Err(PictureError::corrupt(FORMAT, "a side is zero"));
    }
    // One or three samples a pixel, and RGB.
    Ok(Header { format: FORMAT, width, height, decode_bytes: pixel_count(width, height) * 4 })
}

pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Vec<u8>, PictureError> {
    let head = head(bytes)?;
    let pixels = header.width as usize * header.height as usize;
    let rest = bytes.get(head.samples_offset..).unwrap_or_default();
    let count = if head.kind == Kind::Color { pixels * 3 } else { pixels };
    let samples = match (head.kind, head.is_plain) {
        (Kind::Bitmap, true) => plain_bits(rest, count)?,
        (Kind::Bitmap, false) => raw_bits(rest, header.width as usize, header.height as usize)?,
        (_, true) => plain_samples(rest, count, &head)?,
        (_, false) => raw_samples(rest, count, &head)?,
    };
    Ok(if head.kind == Kind::Color { samples } else { from_gray(samples) })
}

fn head(bytes: &[u8]) -> Result<Head, PictureError> {
    let (kind, is_plain) = match bytes.get(1) {
        Some(b'1') => (Kind::Bitmap, true),
        Some(b'2') => (Kind::Gray, true),
        Some(b'3') => (Kind::Color, true),
        Some(b'4') => (Kind::Bitmap, false),
        Some(b'5') => (Kind::Gray, false),
        _ => (Kind::Color, false),
    };
    let mut offset = 3;
    let width = number(bytes, &mut offset)?;
    let height = number(bytes, &mut offset)?;
    let maximum = if kind == Kind::Bitmap { 1 } else { number(bytes, &mut offset)? };
    let maximum = u16::try_from(maximum).ok().filter(|maximum| *maximum > 0);
    let maximum = maximum.ok_or_else(|| PictureError::corrupt(FORMAT, "its maximal value is not from 1 to 65535"))?;
    Ok(Head { kind, is_plain, width, height, maximum, samples_offset: offset })
}

/// Reads a number of the header and the one space behind it. A comment runs from `#` to the end of its line.
fn number(bytes: &[u8], offset: &mut usize) -> Result<u64, PictureError> {
    let mut digits = String::new();
    loop {
        let Some(&byte) = bytes.get(*offset) else {
            return Err(PictureError::truncated(FORMAT, "it ends within its header"));
        };
        *offset += 1;
        match byte {
            b'0'..=b'9' if digits.len() < DIGITS_MAX => digits.push(byte.into()),
            b'#' => {
                while bytes.get(*offset).is_some_and(|byte| !matches!(byte, b'\r' | b'\n')) {
                    *offset += 1;
                }
                *offset += 1;
            }
            _ if is_space(byte) && digits.is_empty() => {}
            _ if is_space(byte) => return digits.parse().map_err(|error| PictureError::corrupt(FORMAT, error)),
            _ => return Err(PictureError::corrupt(FORMAT, "its header has something other than numbers")),
        }
    }
}

fn too_few(found: usize, expected: usize) -> PictureError {
    PictureError::truncated(FORMAT, format!("it should have {expected} samples and has {found}"))
}

/// Reads digits 0 and 1, with or without space between them. 1 is black.
fn plain_bits(bytes: &[u8], count: usize) -> Result<Vec<u8>, PictureError> {
    let mut samples = Vec::with_capacity(count);
    for byte in without_comments(bytes) {
        match byte {
            _ if samples.len() == count => break,
            b'0' => samples.push(255),
            b'1' => samples.push(0),
            _ if is_space(byte) => {}
            _ => return Err(PictureError::corrupt(FORMAT, "a bit is neither 0 nor 1")),
        }
    }
    if samples.len() < count { Err(too_few(samples.len(), count)) } else { Ok(samples) }
}

fn raw_bits(bytes: &[u8], width: usize, height: usize) -> Result<Vec<u8>, PictureError> {
    let row_bytes = width.div_ceil(8);
    let Some(bytes) = bytes.get(..row_bytes * height) else {
        return Err(too_few(bytes.len() * 8, row_bytes * 8 * height));
    };
    let bit = |row: &[u8], x: usize| if row[x / 8] >> (7 - x % 8) & 1 == 1 { 0 } else { 255 };
    Ok(bytes.chunks_exact(row_bytes).flat_map(|row| (0..width).map(move |x| bit(row, x))).collect())
}

fn plain_samples(bytes: &[u8], count: usize, head: &Head) -> Result<Vec<u8>, PictureError> {
    let mut samples = Vec::with_capacity(count);
    let mut value: Option<u64> = None;
    // The extra space ends a number at the end of the file.
    for byte in without_comments(bytes).chain([b' ']) {
        if samples.len() == count {
            break;
        }
        match byte {
            b'0'..=b'9' => value = Some((value.unwrap_or(0) * 10 + u64::from(byte - b'0')).min(u64::from(u32::MAX))),
            _ if is_space(byte) => {
                let Some(value) = value.take() else { continue };
                if value > u64::from(head.maximum) {
                    let cause = format!("a sample is {value}, over the maximal value of {}", head.maximum);
                    return Err(PictureError::corrupt(FORMAT, cause));
                }
                samples.push(eight_bits(value as u16, head));
            }
            _ => return Err(PictureError::corrupt(FORMAT, "its samples have something other than numbers")),
        }
    }
    if samples.len() < count { Err(too_few(samples.len(), count)) } else { Ok(samples) }
}

fn raw_samples(bytes: &[u8], count: usize, head: &Head) -> Result<Vec<u8>, PictureError> {
    let bytes_of_one = if head.maximum > 255 { 2 } else { 1 };
    let Some(bytes) = bytes.get(..count * bytes_of_one) else {
        return Err(too_few(bytes.len() / bytes_of_one, count));
    };
    Ok(match head.maximum {
        255 => bytes.to_vec(),
        0..255 => bytes.iter().map(|sample| eight_bits((*sample).into(), head)).collect(),
        _ => bytes.as_chunks::<2>().0.iter().map(|sample| eight_bits(u16::from_be_bytes(*sample), head)).collect(),
    })
}

// REFERENCE: of more than 8 bits, colours are scaled to 255, but gray is scaled to 65535 and then clipped to 255.
// Halves are rounded to even, as Python does; a raw sample over the maximal value is the maximal value.
fn eight_bits(sample: u16, head: &Head) -> u8 {
    let maximum = if head.kind == Kind::Gray && head.maximum > 255 { 65535.0 } else { 255.0 };
    let scaled = (f64::from(sample) / f64::from(head.maximum) * maximum).round_ties_even().min(maximum);
    clip_u16(scaled as u16)
}

/// Returns the bytes without comments, which run from `#` to the end of the line.
fn without_comments(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let mut is_comment = false;
    bytes.iter().copied().filter(move |byte| match byte {
        b'#' => {
            is_comment = true;
            false
        }
        b'\r' | b'\n' if is_comment => {
            is_comment = false;
            false
        }
        _ => !is_comment,
    })
}
