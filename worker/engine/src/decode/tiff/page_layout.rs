//! A page by its tags: its size, its samples, and the offsets of its strips or tiles. Unsupported pages are refused
//! with the name of the unsupported property.

use super::directory::{ByteOrder, Directory};
use super::samples::{Depth, Meaning, SampleLayout};
use super::{FORMAT, PictureError};
use crate::decode::Limits;

mod tag {
    pub(super) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(super) const IMAGE_WIDTH: u16 = 256;
    pub(super) const IMAGE_LENGTH: u16 = 257;
    pub(super) const BITS_PER_SAMPLE: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const ORIENTATION: u16 = 274;
    pub(super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(super) const PLANAR_CONFIGURATION: u16 = 284;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const COLOR_MAP: u16 = 320;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_LENGTH: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(super) const SUB_IFDS: u16 = 330;
    pub(super) const EXTRA_SAMPLES: u16 = 338;
    pub(super) const SAMPLE_FORMAT: u16 = 339;
    pub(super) const JPEG_TABLES: u16 = 347;
    pub(super) const DNG_VERSION: u16 = 50706;
}

/// A supported page.
pub(super) struct Page<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    /// The orientation tag, 1 to 8.
    pub(super) orientation: u8,
    pub(super) order: ByteOrder,
    pub(super) layout: SampleLayout,
    pub(super) compression: Compression<'a>,
    pub(super) predictor: Predictor,
    pub(super) grid: ChunkGrid,
}

/// The compression of strips or tiles.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression<'a> {
    None,
    Lzw,
    Deflate,
    PackBits,
    Zstd,
    /// JPEG, with the tables that all streams share.
    Jpeg {
        tables: &'a [u8],
        is_ycbcr: bool,
    },
}

/// The value that was subtracted from each sample before compression.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    /// The sample to the left.
    Horizontal,
    /// The byte to the left, of floats whose bytes are sorted by significance.
    FloatingPoint,
}

/// The strips or tiles of a page, from left to right, from top to bottom, plane after plane. A strip is as wide as the
/// page.
pub(super) struct ChunkGrid {
    pub(super) chunk_width: u32,
    pub(super) chunk_height: u32,
    pub(super) across: u32,
    pub(super) down: u32,
    pub(super) is_tiled: bool,
    offsets_tag: u16,
    counts_tag: u16,
}

impl ChunkGrid {
    pub(super) fn chunks_of_a_plane(&self) -> usize {
        self.across as usize * self.down as usize
    }
}

impl<'a> Page<'a> {
    /// Reads a page from its tags and checks it against the limits.
    pub(super) fn read(directory: &Directory<'a>, limits: &Limits) -> Result<Page<'a>, PictureError> {
        refuse_camera_raw(directory)?;
        let side = |tag, name| {
            let missing = || PictureError::corrupt(FORMAT, format!("its {name} is missing"));
            directory.number(tag)?.ok_or_else(missing)
        };
        let (width, height) = (side(tag::IMAGE_WIDTH, "width")?, side(tag::IMAGE_LENGTH, "height")?);
        if width == 0 || height == 0 {
            return Err(PictureError::corrupt(FORMAT, "a side is zero"));
        }
        let orientation = orientation(directory)?;
        let (turned_width, turned_height) = if orientation >= 5 { (height, width) } else { (width, height) };
        let (turned_width, turned_height) = limits.check_size(turned_width, turned_height)?;
        let (width, height) =
            if orientation >= 5 { (turned_height, turned_width) } else { (turned_width, turned_height) };
        let compression = compression(directory)?;
        if directory.number(tag::FILL_ORDER)?.unwrap_or(1) != 1 {
            return Err(PictureError::unsupported("TIFF with reversed bits"));
        }
        let layout = layout(directory, compression)?;
        let predictor = predictor(directory, compression, layout.depth)?;
        let grid = grid(directory, (width, height), limits)?;
        Ok(Page { width, height, orientation, order: directory.order(), layout, compression, predictor, grid })
    }

    /// Bytes of a row of one strip or tile, unpacked.
    pub(super) fn chunk_row_bytes(&self) -> usize {
        let samples = if self.layout.is_planar { 1 } else { self.layout.stored };
        (self.grid.chunk_width as usize * samples * self.layout.depth.bits()).div_ceil(8)
    }

    /// Returns the offset of each strip or tile in the file, with its length if it is known.
    pub(super) fn chunks(&self, directory: &Directory<'_>) -> Result<Vec<(u64, Option<u64>)>, PictureError> {
        let planes = if self.layout.is_planar { self.layout.stored } else { 1 };
        let expected = self.grid.chunks_of_a_plane() * planes;
        let kind = if self.grid.is_tiled { "tiles" } else { "strips" };
        let offsets = directory.numbers(self.grid.offsets_tag, expected)?.unwrap_or_default();
        if offsets.len() < expected {
            let cause = format!("it should have {expected} {kind} and has {}", offsets.len());
            return Err(PictureError::corrupt(FORMAT, cause));
        }
        // REFERENCE: libtiff reads files without lengths too: a missing or zero length means the rest of the file.
        let counts = directory.numbers(self.grid.counts_tag, expected)?.unwrap_or_default();
        let count = |index: usize| counts.get(index).copied().filter(|count| *count > 0);
        Ok(offsets.into_iter().enumerate().map(|(index, offset)| (offset, count(index))).collect())
    }
}

/// Refuses a camera's file: its first page is a preview or sensor data, neither of which should be scored.
// REFERENCE: Pillow reads the preview.
fn refuse_camera_raw(directory: &Directory<'_>) -> Result<(), PictureError> {
    let is_preview = directory.number(tag::NEW_SUBFILE_TYPE)?.is_some_and(|kind| kind & 1 == 1);
    let is_sensor = matches!(directory.number(tag::PHOTOMETRIC)?, Some(32_803 | 34_892));
    if directory.has(tag::DNG_VERSION) {
        return Err(PictureError::camera_raw("DNG"));
    }
    if is_sensor || is_preview && directory.has(tag::SUB_IFDS) {
        return Err(PictureError::camera_raw("a TIFF whose first page is a preview or sensor data"));
    }
    Ok(())
}

/// Returns the orientation of the picture.
// REFERENCE: Pillow ignores orientation in JPEG, PNG and WebP but applies it to TIFF as it loads.
fn orientation(directory: &Directory<'_>) -> Result<u8, PictureError> {
    let tag = directory.number(tag::ORIENTATION)?;
    Ok(tag.filter(|value| (1..=8).contains(value)).map_or(1, |value| value as u8))
}

fn compression<'a>(directory: &Directory<'a>) -> Result<Compression<'a>, PictureError> {
    let code = directory.number(tag::COMPRESSION)?.unwrap_or(1);
    let name = match code {
        1 => return Ok(Compression::None),
        5 => return Ok(Compression::Lzw),
        8 | 32_946 => return Ok(Compression::Deflate),
        32_773 => return Ok(Compression::PackBits),
        50_000 => return Ok(Compression::Zstd),
        7 => {
            let tables = directory.raw(tag::JPEG_TABLES, JPEG_TABLES_BYTES_MAX)?.unwrap_or_default();
            return Ok(Compression::Jpeg { tables, is_ycbcr: directory.number(tag::PHOTOMETRIC)? == Some(6) });
        }
        2..=4 => "CCITT fax",
        6 => "old-style JPEG",
        32_809 => "ThunderScan",
        33_003..=33_005 | 34_712 => "JPEG 2000",
        34_661 => "JBIG",
        34_676 | 34_677 => "SGI LogLuv",
        34_887 => "LERC",
        34_892 => "lossy JPEG of a DNG",
        34_925 => "LZMA",
        50_001 => "WebP",
        50_002 | 52_546 => "JPEG XL",
        _ => return Err(PictureError::unsupported(format!("TIFF with compression {code}"))),
    };
    Err(PictureError::unsupported(format!("TIFF with compression {code} ({name})")))
}

fn predictor(directory: &Directory<'_>, compression: Compression<'_>, depth: Depth) -> Result<Predictor, PictureError> {
    // The tag has no effect with other compressions.
    if !matches!(compression, Compression::Lzw | Compression::Deflate | Compression::Zstd) {
        return Ok(Predictor::None);
    }
    match directory.number(tag::PREDICTOR)?.unwrap_or(1) {
        1 => Ok(Predictor::None),
        2 if depth.bits() >= 8 => Ok(Predictor::Horizontal),
        3 if depth == Depth::F32 => Ok(Predictor::FloatingPoint),
        other => {
            Err(PictureError::unsupported(format!("TIFF with predictor {other} and samples of {} bits", depth.bits())))
        }
    }
}

fn grid(directory: &Directory<'_>, (width, height): (u32, u32), limits: &Limits) -> Result<ChunkGrid, PictureError> {
    let any_size = Limits { side_min: 0, ..limits.clone() };
    // REFERENCE: libtiff treats the tags of strips and of tiles as one; the size of tiles tells which they are.
    let either = |first, second| if directory.has(first) { first } else { second };
    let (offsets_tag, counts_tag) =
        (either(tag::TILE_OFFSETS, tag::STRIP_OFFSETS), either(tag::TILE_BYTE_COUNTS, tag::STRIP_BYTE_COUNTS));
    let (chunk_width, chunk_height, is_tiled) =
        match (directory.number(tag::TILE_WIDTH)?, directory.number(tag::TILE_LENGTH)?) {
            (Some(tile_width), Some(tile_height)) => {
                // A tile may be larger than the picture, and is unpacked as a whole.
                let (tile_width, tile_height) = any_size.check_size(tile_width, tile_height)?;
                (tile_width, tile_height, true)
            }
            _ => {
                let rows = directory.number(tag::ROWS_PER_STRIP)?.unwrap_or(height.into());
                (width, u32::try_from(rows).unwrap_or(height).min(height), false)
            }
        };
    if chunk_width == 0 || chunk_height == 0 {
        return Err(PictureError::corrupt(FORMAT, "a side of its strips or tiles is zero"));
    }
    let (across, down) = (width.div_ceil(chunk_width), height.div_ceil(chunk_height));
    if u64::from(across) * u64::from(down) > CHUNKS_MAX {
        return Err(PictureError::corrupt(FORMAT, format!("it has more than {CHUNKS_MAX} strips or tiles")));
    }
    Ok(ChunkGrid { chunk_width, chunk_height, across, down, is_tiled, offsets_tag, counts_tag })
}

/// Returns the layout of the samples, for the kinds that both Pillow and dqa read.
fn layout(directory: &Directory<'_>, compression: Compression<'_>) -> Result<SampleLayout, PictureError> {
    let photometric = directory.number(tag::PHOTOMETRIC)?.unwrap_or(0);
    let stored = directory.number(tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
    let extra = directory.numbers(tag::EXTRA_SAMPLES, SAMPLES_MAX)?.unwrap_or_default();
    let bits = directory.numbers(tag::BITS_PER_SAMPLE, SAMPLES_MAX)?.unwrap_or_else(|| vec![1]);
    let formats = directory.numbers(tag::SAMPLE_FORMAT, SAMPLES_MAX)?.unwrap_or_else(|| vec![1]);
    let is_planar = stored > 1 && directory.number(tag::PLANAR_CONFIGURATION)? == Some(2);
    let is_even = |values: &[u64]| values.windows(2).all(|pair| pair[0] == pair[1]);
    let (bit, format) = (bits.first().copied().unwrap_or(1), formats.first().copied().unwrap_or(1));
    let refused = || unsupported_layout(photometric, stored, (bit, format), compression);
    if stored == 0 || stored > SAMPLES_MAX as u64 || !is_even(&bits) || !is_even(&formats) {
        return Err(refused());
    }
    let is_jpeg = matches!(compression, Compression::Jpeg { .. });
    let depth = Depth::new(bit, format).ok_or_else(refused)?;
    if is_jpeg && depth != Depth::U8 {
        return Err(refused());
    }
    let (eight, sixteen) = (depth == Depth::U8, depth == Depth::U16);
    let is_unspecified = extra.iter().all(|kind| *kind == 0);
    let meaning = match (photometric, stored) {
        (1, 1) => Meaning::Gray,
        (0, 1) if matches!(depth, Depth::Bits(_) | Depth::U8 | Depth::U16 | Depth::F32) => Meaning::Gray,
        (1, 2) if eight && extra.first() != Some(&1) => Meaning::Gray,
        (2, 3) if eight || sixteen => Meaning::Rgb,
        (2, 4..=6) if eight || sixteen && stored == 4 => match extra.first() {
            Some(1) => Meaning::RgbMultipliedByAlpha,
            _ => Meaning::Rgb,
        },
        (3, 1) if matches!(depth, Depth::Bits(_) | Depth::U8) => Meaning::Palette(palette(directory, bit)?),
        (3, 2) if eight && extra.first() != Some(&1) => Meaning::Palette(palette(directory, bit)?),
        (5, 4) if eight || sixteen => Meaning::Cmyk,
        (5, 5 | 6) if eight && is_unspecified => Meaning::Cmyk,
        (6, 1) if is_jpeg => Meaning::Gray,
        (6, 3) if is_jpeg && !is_planar => Meaning::Rgb,
        _ => return Err(refused()),
    };
    // REFERENCE: Pillow reads such a file, uncompressed, wrongly (it takes each byte of a plane for a sample).
    if is_planar && depth != Depth::U8 && (depth != Depth::U16 || compression == Compression::None) {
        return Err(PictureError::unsupported(format!("TIFF with planes of {bit} bits")));
    }
    let white_is_zero = photometric == 0;
    Ok(SampleLayout { meaning, depth, white_is_zero, stored: stored as usize, is_planar })
}

/// Returns the error for an unsupported kind of samples.
fn unsupported_layout(
    photometric: u64,
    stored: u64,
    (bits, format): (u64, u64),
    compression: Compression<'_>,
) -> PictureError {
    let colors = match photometric {
        0 | 1 => "gray",
        2 => "RGB",
        3 => "palette",
        4 => "mask",
        5 => "CMYK",
        6 => "YCbCr",
        8..=10 => "CIE Lab",
        32_844 | 32_845 => "LogLuv",
        _ => "unknown",
    };
    let format = match format {
        1 => "whole numbers",
        2 => "signed numbers",
        3 => "floats",
        _ => "numbers of an unknown kind",
    };
    let packed = if matches!(compression, Compression::Jpeg { .. }) { " in JPEG" } else { "" };
    PictureError::unsupported(format!(
        "TIFF of {colors} colours with {stored} samples a pixel, {format} of {bits} bits{packed}"
    ))
}

/// Maximum number of strips or tiles of a plane, since their offsets are held in memory. 100 million pixels in tiles of
/// 16x16 have 390,625.
const CHUNKS_MAX: u64 = 1 << 20;

/// Maximum length of the tables that a page's JPEG streams share, in bytes: far more than all that JPEG can have.
const JPEG_TABLES_BYTES_MAX: u64 = 64 << 10;

/// Maximum number of samples of a pixel.
const SAMPLES_MAX: usize = 6;

fn palette(directory: &Directory<'_>, bits: u64) -> Result<Vec<[u8; 3]>, PictureError> {
    let stated = directory.count(tag::COLOR_MAP);
    // REFERENCE: Pillow accepts a palette that is too short.
    if stated == 0 || !stated.is_multiple_of(3) || stated > 3 << bits {
        return Err(PictureError::corrupt(FORMAT, format!("its palette has {stated} entries")));
    }
    let map = directory.numbers(tag::COLOR_MAP, stated as usize)?.unwrap_or_default();
    // All reds come first, then greens, then blues, in 16 bits.
    let count = map.len() / 3;
    // REFERENCE: the high byte is kept, not rounded.
    let channel = |index: usize, which: usize| (map[which * count + index] >> 8) as u8;
    Ok((0..count).map(|index| [channel(index, 0), channel(index, 1), channel(index, 2)]).collect())
}
