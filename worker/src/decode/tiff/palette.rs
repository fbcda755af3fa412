//! Palettes of TIFF. The `tiff` crate refuses pictures with a palette, although it can read their indices; it is shown
//! the file with the photometric tag set to gray, and the colours are looked up here.

use std::borrow::Cow;

use ::tiff::tags::Tag;

use super::{FORMAT, PictureError, Reader, tiff_error};
use crate::decode::bytes_at;

const PHOTOMETRIC: u16 = 262;
const PALETTE: u16 = 3;
const GRAY: u16 = 1;
/// TIFF's type of a 16-bit integer.
const SHORT: u16 = 3;

/// The file itself, or, where its first page has a palette, a copy that says gray.
pub(super) fn as_gray(bytes: &[u8]) -> Cow<'_, [u8]> {
    match photometric_at(bytes) {
        Some((at, gray)) => {
            let mut patched = bytes.to_vec();
            patched[at..at + 2].copy_from_slice(&gray);
            Cow::Owned(patched)
        }
        None => Cow::Borrowed(bytes),
    }
}

/// Where the first page says palette, and the bytes that say gray. Classic TIFF only: no one writes small palettes big.
fn photometric_at(bytes: &[u8]) -> Option<(usize, [u8; 2])> {
    let is_little = match bytes.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at| bytes_at(bytes, at).map(if is_little { u16::from_le_bytes } else { u16::from_be_bytes });
    let long = |at| bytes_at(bytes, at).map(if is_little { u32::from_le_bytes } else { u32::from_be_bytes });
    let directory = long(4)? as usize;
    let entries = usize::from(short(directory)?);
    let entry = (0..entries).map(|index| directory + 2 + index * 12).find(|&at| short(at) == Some(PHOTOMETRIC))?;
    let is_palette = short(entry + 2)? == SHORT && long(entry + 4)? == 1 && short(entry + 8)? == PALETTE;
    is_palette.then(|| (entry + 8, if is_little { GRAY.to_le_bytes() } else { GRAY.to_be_bytes() }))
}

/// The colours of a page that [`as_gray`] has changed.
pub(super) fn colors(reader: &mut Reader<'_>) -> Result<Vec<[u8; 3]>, PictureError> {
    let map = reader.find_tag_unsigned_vec::<u16>(Tag::ColorMap).map_err(tiff_error)?.unwrap_or_default();
    if map.is_empty() || map.len() % 3 != 0 {
        return Err(PictureError::corrupt(FORMAT, format!("its palette has {} entries, no multiple of 3", map.len())));
    }
    // All reds come first, then greens, then blues, in 16 bits.
    let count = map.len() / 3;
    // REFERENCE: the high byte is kept, not rounded.
    let channel = |index: usize, which: usize| (map[which * count + index] >> 8) as u8;
    Ok((0..count).map(|index| [channel(index, 0), channel(index, 1), channel(index, 2)]).collect())
}
