//! Unpacks one strip or tile: undoes compression and predictor, and converts numbers to this machine's byte order.
//!
//! Like libtiff, a decoder stops once it has the picture's own pixels: trailing bytes of a strip are ignored, and
//! missing bytes beyond those pixels are not an error.

use flate2::{Decompress, FlushDecompress, Status};
use weezl::{BitOrder, LzwStatus, decode::Configuration};

use super::page_layout::{Compression, Page, Predictor};
use super::samples::Depth;
use super::{FORMAT, PictureError};
use crate::decode::jpeg;

/// An unpacked strip or tile.
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) row_bytes: usize,
}

/// The part of a strip or tile that belongs to the picture.
pub(super) struct Extent {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Extent {
    /// Returns the number of bytes up to the last pixel of the picture.
    pub(super) fn needed_bytes(&self, page: &Page<'_>) -> usize {
        let stored = if page.layout.is_planar { 1 } else { page.layout.stored };
        (self.rows - 1) * page.chunk_row_bytes() + (self.columns * stored * page.layout.depth.bits()).div_ceil(8)
    }
}

/// Height of a JPEG's largest block in pixels.
pub(super) const JPEG_ROWS: u32 = 32;

/// Unpacks the rows of one strip or tile that belong to the picture. The rest of the last row beyond the picture may be
/// missing.
pub(super) fn unpack(page: &Page<'_>, packed: &[u8], extent: &Extent) -> Result<Chunk, PictureError> {
    let stored = if page.layout.is_planar { 1 } else { page.layout.stored };
    if let Compression::Jpeg { tables, is_ycbcr } = page.compression {
        let stream = jpeg::TiffStream {
            tables,
            stream: packed,
            is_ycbcr,
            components: stored,
            size_min: (extent.columns as u32, extent.rows as u32),
            // REFERENCE: libtiff accepts a last strip that is longer than the picture, of whole blocks or as long as
            // the others.
            size_max: (page.grid.chunk_width, page.grid.chunk_height.next_multiple_of(JPEG_ROWS)),
        };
        let (columns, bytes) = stream.decode()?;
        return Ok(Chunk { bytes, row_bytes: columns * stored });
    }
    let (row_bytes, height, needed) = (page.chunk_row_bytes(), extent.rows, extent.needed_bytes(page));
    let mut bytes = vec![0; row_bytes * height];
    let written = match page.compression {
        Compression::None => copy(packed, &mut bytes),
        Compression::PackBits => pack_bits(packed, &mut bytes),
        Compression::Lzw => lzw(packed, &mut bytes, needed)?,
        Compression::Deflate => deflate(packed, &mut bytes, needed)?,
        Compression::Zstd => zstd_frame(packed, &mut bytes, needed)?,
        Compression::Jpeg { .. } => unreachable!("it is unpacked above"),
    };
    if written < needed {
        let cause = format!("a strip or tile ends after {written} of {needed} bytes");
        return Err(PictureError::truncated(FORMAT, cause));
    }
    for row in bytes.chunks_exact_mut(row_bytes) {
        undo_predictor(row, page, stored);
    }
    Ok(Chunk { bytes, row_bytes })
}

fn copy(packed: &[u8], bytes: &mut [u8]) -> usize {
    let length = packed.len().min(bytes.len());
    bytes[..length].copy_from_slice(&packed[..length]);
    length
}

/// Unpacks PackBits: runs and copies, each after a byte with its length.
fn pack_bits(packed: &[u8], bytes: &mut [u8]) -> usize {
    let (mut rest, mut written) = (packed, 0);
    while let [head, tail @ ..] = rest
        && written < bytes.len()
    {
        let room = bytes.len() - written;
        match *head as i8 {
            -128 => rest = tail,
            length @ 0.. => {
                let taken = (length as usize + 1).min(tail.len());
                written += copy(&tail[..taken], &mut bytes[written..]);
                rest = &tail[taken..];
            }
            length => {
                let [value, after @ ..] = tail else { break };
                let repeated = (1 - isize::from(length)) as usize;
                let repeated = repeated.min(room);
                bytes[written..written + repeated].fill(*value);
                written += repeated;
                rest = after;
            }
        }
    }
    written
}

fn lzw(packed: &[u8], bytes: &mut [u8], needed: usize) -> Result<usize, PictureError> {
    // REFERENCE: libtiff recognizes files from before 1988 by their first code, whose bits are reversed.
    let is_old = matches!(packed, [0, second, ..] if second & 1 == 1);
    let mut decoder = if is_old {
        Configuration::new(BitOrder::Lsb, 8).with_yield_on_full_buffer(true).build()
    } else {
        Configuration::with_tiff_size_switch(BitOrder::Msb, 8).with_yield_on_full_buffer(true).build()
    };
    let (mut rest, mut written) = (packed, 0);
    while written < bytes.len() {
        let step = decoder.decode_bytes(rest, &mut bytes[written..]);
        rest = &rest[step.consumed_in..];
        written += step.consumed_out;
        match step.status {
            Ok(LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            Ok(LzwStatus::Ok | LzwStatus::NoProgress | LzwStatus::Done) => break,
            Err(_) if written >= needed => break,
            Err(error) => return Err(PictureError::corrupt(FORMAT, error)),
        }
    }
    Ok(written)
}

fn deflate(packed: &[u8], bytes: &mut [u8], needed: usize) -> Result<usize, PictureError> {
    let mut decoder = Decompress::new(true);
    loop {
        let (read, written) = (decoder.total_in(), decoder.total_out());
        let (rest, room) = (&packed[read as usize..], &mut bytes[written as usize..]);
        let status = decoder.decompress(rest, room, FlushDecompress::None);
        let is_stuck = (read, written) == (decoder.total_in(), decoder.total_out());
        let written = decoder.total_out() as usize;
        match status {
            Ok(Status::Ok | Status::BufError) if written < bytes.len() && !is_stuck => {}
            Ok(_) => return Ok(written),
            Err(_) if written >= needed => return Ok(written),
            Err(error) => return Err(PictureError::corrupt(FORMAT, error)),
        }
    }
}

/// 128 MiB, Zstandard's own limit. No more of a window is touched than a strip has bytes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

fn zstd_frame(packed: &[u8], bytes: &mut [u8], needed: usize) -> Result<usize, PictureError> {
    use std::io::Read;
    let failed = |error| PictureError::from_decoder(FORMAT, error);
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(failed)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
    let mut written = 0;
    while written < bytes.len() {
        match decoder.read(&mut bytes[written..]) {
            Ok(0) => break,
            Ok(length) => written += length,
            Err(_) if written >= needed => break,
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(written)
}

/// Restores the samples of a row from the stored differences, which are in the file's byte order.
fn undo_predictor(row: &mut [u8], page: &Page<'_>, stored: usize) {
    let depth = page.layout.depth;
    if page.predictor == Predictor::FloatingPoint {
        return undo_float_predictor(row, stored);
    }
    if !page.order.is_native() {
        match depth {
            Depth::U16 | Depth::I16 => row.as_chunks_mut::<2>().0.iter_mut().for_each(|number| number.reverse()),
            Depth::U32 | Depth::I32 | Depth::F32 => {
                row.as_chunks_mut::<4>().0.iter_mut().for_each(|number| number.reverse());
            }
            Depth::Bits(_) | Depth::U8 | Depth::I8 => {}
        }
    }
    if page.predictor == Predictor::Horizontal {
        match depth.bits() {
            8 => {
                for index in stored..row.len() {
                    row[index] = row[index].wrapping_add(row[index - stored]);
                }
            }
            16 => {
                let numbers = row.as_chunks_mut::<2>().0;
                for index in stored..numbers.len() {
                    let sum =
                        u16::from_ne_bytes(numbers[index]).wrapping_add(u16::from_ne_bytes(numbers[index - stored]));
                    numbers[index] = sum.to_ne_bytes();
                }
            }
            _ => {
                let numbers = row.as_chunks_mut::<4>().0;
                for index in stored..numbers.len() {
                    let sum =
                        u32::from_ne_bytes(numbers[index]).wrapping_add(u32::from_ne_bytes(numbers[index - stored]));
                    numbers[index] = sum.to_ne_bytes();
                }
            }
        }
    }
}

/// Restores floats: a row has all highest bytes first, then the next lower ones, each as the difference to the byte
/// before.
fn undo_float_predictor(row: &mut [u8], stored: usize) {
    for index in stored..row.len() {
        row[index] = row[index].wrapping_add(row[index - stored]);
    }
    let sorted = row.to_vec();
    let count = row.len() / 4;
    for (index, number) in row.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let bytes = std::array::from_fn(|weight| sorted[weight * count + index]);
        *number = f32::from_be_bytes(bytes).to_ne_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_copies_are_unpacked() {
        // The example of Apple's technical note, with a byte that means nothing.
        let packed = [0xfe, 0xaa, 0x80, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let unpacked =
            b"\xaa\xaa\xaa\x80\x00\x2a\xaa\xaa\xaa\xaa\x80\x00\x2a\x22\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa";
        let mut bytes = vec![0; 24];
        assert_eq!(pack_bits(&packed, &mut bytes), 24);
        assert_eq!(bytes, unpacked);
        for cut in 0..packed.len() {
            assert!(pack_bits(&packed[..cut], &mut bytes) < 24, "cut to {cut}");
        }
        let mut few = vec![0; 5];
        assert_eq!(pack_bits(&packed, &mut few), 5, "no more than there is room for");
    }

    #[test]
    fn floats_come_back_from_their_differences() {
        let floats = [0.5_f32, -3.25, 1e9, 0.0, 255.0];
        let mut row = Vec::new();
        for weight in 0..4 {
            row.extend(floats.iter().map(|float| float.to_be_bytes()[weight]));
        }
        for at in (1..row.len()).rev() {
            row[at] = row[at].wrapping_sub(row[at - 1]);
        }
        undo_float_predictor(&mut row, 1);
        let back: Vec<f32> = row.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect();
        assert_eq!(back, floats);
    }
}
