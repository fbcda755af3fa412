//! TIFF, the first page, through the `tiff` crate: gray, palette, RGB and CMYK; uncompressed, LZW, Deflate and PackBits.
//! The `image` crate's own reader on top of it hides CMYK, alpha's kind, palettes and orientation.

mod palette;
mod samples;

use std::borrow::Cow;
use std::io::Cursor;

use ::tiff::decoder::{Decoder, Limits as Bounds};
use ::tiff::tags::{CompressionMethod, PhotometricInterpretation, Tag};
use ::tiff::{ColorType, TiffError};

use super::{Format, Header, Limits, PictureError, pixel_count};
use samples::Layout;

const FORMAT: Format = Format::Tiff;
/// Memory of one tag's value, at 32 bytes an entry in the decoder. 32 MiB: the offsets of a million tiles, where 100
/// million pixels in tiles of 16x16 have 390,625.
const TAG_BYTES_MAX: usize = 32 << 20;

type Reader<'a> = Decoder<Cursor<&'a [u8]>>;

pub(super) fn probe(bytes: &[u8], limits: &Limits) -> Result<Header, PictureError> {
    let patched = palette::as_gray(bytes);
    let is_palette = matches!(patched, Cow::Owned(_));
    let mut reader = open(&patched)?;
    let (width, height) = reader.dimensions().map_err(tiff_error)?;
    let sideways = orientation(&mut reader)? >= 5;
    let (width, height) = if sideways { (height, width) } else { (width, height) };
    let (width, height) = limits.check_size(width.into(), height.into())?;
    let layout = layout(&mut reader, is_palette)?;
    check_tile(&mut reader, limits)?;
    // Samples as they are, as 8 bits, and interleaved; RGB, and RGB turned; a palette file is copied to be patched.
    let channels = u64::from(layout.color.num_samples());
    let pixel_bytes = layout.bits_per_pixel().div_ceil(8) + 2 * channels + 6;
    let copy = if is_palette { bytes.len() as u64 } else { 0 };
    let decode_bytes = pixel_count(width, height) * pixel_bytes + copy;
    Ok(Header { format: FORMAT, width, height, decode_bytes })
}

pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Vec<u8>, PictureError> {
    let patched = palette::as_gray(bytes);
    let mut reader = open(&patched)?;
    let layout = layout(&mut reader, matches!(patched, Cow::Owned(_)))?;
    let plan = reader.image_buffer_layout().map_err(tiff_error)?;
    if plan.complete_len as u64 > header.decode_bytes {
        return Err(PictureError::corrupt(FORMAT, "its samples take more room than its header says"));
    }
    let (width, height) = reader.dimensions().map_err(tiff_error)?;
    let orientation = orientation(&mut reader)?;
    let mut buffer = vec![0; plan.complete_len];
    reader.read_image_bytes(&mut buffer).map_err(tiff_error)?;
    let raster = samples::Raster { width: width as usize, height: height as usize, planes: plan.planes };
    let rgb = samples::to_rgb(buffer, raster, &layout)?;
    Ok(samples::orient(rgb, raster, orientation))
}

fn open(bytes: &[u8]) -> Result<Reader<'_>, PictureError> {
    let mut bounds = Bounds::default();
    bounds.ifd_value_size = TAG_BYTES_MAX;
    // Compressed data is bounded by the file itself.
    bounds.intermediate_buffer_size = bytes.len();
    // By this one the decoder bounds a tag's value too; samples go to a buffer of ours, which is checked before it is made.
    bounds.decoding_buffer_size = TAG_BYTES_MAX;
    Ok(Decoder::new(Cursor::new(bytes)).map_err(tiff_error)?.with_limits(bounds))
}

/// The tag by which the picture is to be turned, 1 to 8.
// REFERENCE: Pillow ignores orientation in JPEG, PNG and WebP but applies it to TIFF as it loads.
fn orientation(reader: &mut Reader<'_>) -> Result<u16, PictureError> {
    let tag = reader.find_tag_unsigned::<u16>(Tag::Orientation).map_err(tiff_error)?;
    Ok(tag.filter(|value| (1..=8).contains(value)).unwrap_or(1))
}

/// A tile may be larger than the picture, and its rows are read into buffers.
fn check_tile(reader: &mut Reader<'_>, limits: &Limits) -> Result<(), PictureError> {
    let (width, height) = reader.chunk_dimensions();
    let is_strip = reader.find_tag(Tag::TileWidth).map_err(tiff_error)?.is_none();
    let height = if is_strip { 1 } else { height };
    let unlimited_below = Limits { side_min: 0, ..limits.clone() };
    unlimited_below.check_size(width.into(), height.into()).map(|_| ())
}

/// What the samples mean, for the kinds that Pillow reads and we do.
fn layout(reader: &mut Reader<'_>, is_palette: bool) -> Result<Layout, PictureError> {
    let number = |reader: &mut Reader<'_>, tag, default| {
        Ok::<u16, PictureError>(reader.find_tag_unsigned(tag).map_err(tiff_error)?.unwrap_or(default))
    };
    let compression = number(reader, Tag::Compression, 1)?;
    match CompressionMethod::from_u16_exhaustive(compression) {
        CompressionMethod::None
        | CompressionMethod::LZW
        | CompressionMethod::Deflate
        | CompressionMethod::OldDeflate
        | CompressionMethod::PackBits => {}
        other => return Err(PictureError::unsupported(format!("TIFF with compression {other:?}"))),
    }
    if number(reader, Tag::FillOrder, 1)? != 1 {
        return Err(PictureError::unsupported("TIFF with reversed bits"));
    }
    let colors = if is_palette { Some(palette::colors(reader)?) } else { None };
    let photometric = number(reader, Tag::PhotometricInterpretation, 0)?;
    let white_is_zero = photometric == PhotometricInterpretation::WhiteIsZero.to_u16();
    let extra = reader.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples).map_err(tiff_error)?.unwrap_or_default();
    let format = reader.find_tag_unsigned_vec::<u16>(Tag::SampleFormat).map_err(tiff_error)?;
    let layout = Layout {
        color: reader.colortype().map_err(tiff_error)?,
        sample_format: format.and_then(|formats| formats.first().copied()).unwrap_or(1),
        white_is_zero,
        is_premultiplied: extra.first() == Some(&1),
        colors,
    };
    // The decoder drops an unspecified sample before it undoes the predictor, which mixes channels up.
    let drops_samples = extra.first() == Some(&0) && matches!(layout.color, ColorType::RGB(_) | ColorType::CMYK(_));
    if drops_samples && number(reader, Tag::Predictor, 1)? != 1 {
        return Err(PictureError::unsupported("TIFF with a predictor and unspecified samples"));
    }
    // REFERENCE: Pillow reads such a file, uncompressed, wrongly (it takes each byte of a plane for a sample).
    if number(reader, Tag::PlanarConfiguration, 1)? == 2 && layout.color.bit_depth() > 8 {
        return Err(PictureError::unsupported("TIFF with planes of 16 bits"));
    }
    layout.check()?;
    Ok(layout)
}

fn tiff_error(error: TiffError) -> PictureError {
    match error {
        TiffError::UnsupportedError(what) => PictureError::unsupported(format!("this kind of TIFF ({what})")),
        TiffError::LimitsExceeded => PictureError::corrupt(FORMAT, "a tag or a strip is larger than it can be"),
        other => PictureError::of_decoder(FORMAT, other),
    }
}
