//! GIF, through the `gif` crate: the first frame on its canvas, as Pillow's `convert("RGB")` shows it.

use std::io::{Cursor, Read};
use std::num::NonZeroU64;

use ::gif::{DecodeOptions, Decoder, DecodingError, Frame, MemoryLimit};

use super::{FileParts, Format, Header, Limits, PictureError, pixel_count};

const FORMAT: Format = Format::Gif;
/// Memory for texts and colour profiles between the frames, in bytes.
const METADATA_BYTES_MAX: u64 = 16 << 20;

pub(super) fn probe(file: &FileParts<'_>, limits: &Limits) -> Result<Header, PictureError> {
    let mut decoder = open(file.reader(), file.bytes())?;
    let frame = first_frame(&mut decoder)?;
    let frame = (frame.left, frame.top, frame.width, frame.height);
    let (width, height) = canvas(&decoder, frame);
    let (width, height) = limits.check_size(width, height)?;
    if width == 0 || height == 0 || frame.2 == 0 || frame.3 == 0 {
        return Err(PictureError::corrupt(FORMAT, "a side is zero"));
    }
    // The frame's indices, the canvas's indices, and RGB.
    Ok(Header { format: FORMAT, width, height, decode_bytes: pixel_count(width, height) * 5 })
}

pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Vec<u8>, PictureError> {
    let mut decoder = open(Cursor::new(bytes), bytes.len() as u64)?;
    let frame = first_frame(&mut decoder)?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (columns, rows) = (usize::from(frame.width), usize::from(frame.height));
    let transparent = frame.transparent.unwrap_or(0);
    let palette = frame.palette.clone().or_else(|| decoder.global_palette().map(<[u8]>::to_vec)).unwrap_or_default();
    let mut indices = vec![0; columns * rows];
    decoder.read_into_buffer(&mut indices).map_err(gif_error)?;
    // REFERENCE: the rest of the canvas is of the transparent colour, or the palette's first, whatever background the
    // file asks for; transparent pixels of the frame have their palette's colour.
    let width = header.width as usize;
    let mut canvas = vec![transparent; width * header.height as usize];
    for (y, row) in indices.chunks_exact(columns).enumerate() {
        let start = (top + y) * width + left;
        canvas[start..start + columns].copy_from_slice(row);
    }
    // REFERENCE: an index beyond the palette is black.
    let colors = palette.as_chunks::<3>().0;
    let color = |index: u8| colors.get(usize::from(index)).copied().unwrap_or_default();
    Ok(canvas.into_iter().flat_map(color).collect())
}

fn open<R: Read>(reader: R, bytes: u64) -> Result<Decoder<R>, PictureError> {
    let mut options = DecodeOptions::new();
    let memory_max = METADATA_BYTES_MAX.saturating_add(bytes);
    options.set_memory_limit(NonZeroU64::new(memory_max).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes));
    options.read_info(reader).map_err(gif_error)
}

fn first_frame<R: Read>(decoder: &mut Decoder<R>) -> Result<Frame<'static>, PictureError> {
    decoder
        .next_frame_info()
        .map_err(gif_error)?
        .cloned()
        .ok_or_else(|| PictureError::truncated(FORMAT, "it ends before its first frame"))
}

/// Returns the size of the screen, enlarged if the first frame reaches beyond it.
fn canvas<R: Read>(decoder: &Decoder<R>, (left, top, width, height): (u16, u16, u16, u16)) -> (u64, u64) {
    let side = |screen: u16, start: u16, length: u16| u64::from(screen).max(u64::from(start) + u64::from(length));
    (side(decoder.width(), left, width), side(decoder.height(), top, height))
}

fn gif_error(error: DecodingError) -> PictureError {
    match error {
        DecodingError::Io(error) => PictureError::from_decoder(FORMAT, error),
        DecodingError::UnexpectedEof | DecodingError::EndCodeNotFound => PictureError::truncated(FORMAT, error),
        // As text, since its cause repeats the message.
        other => PictureError::corrupt(FORMAT, other.to_string()),
    }
}
