//! TIFF, the first page, as libtiff reads it: strips and tiles, pixel by pixel or plane by plane, of gray, palette, RGB
//! and CMYK; uncompressed, LZW, Deflate, PackBits, Zstandard and JPEG; classic TIFF and BigTIFF.
//!
//! The `tiff` crate is not used: it refuses tiles that end early, tiles in strips' tags, palettes and planes, and its
//! JPEG arithmetic is not libjpeg's. Libraries do the decompression itself.

mod directory;
mod page_layout;
mod samples;
mod unpack;

use super::{FileParts, Format, Header, Limits, PictureError, pixel_count};
use directory::Directory;
use page_layout::{Compression, Page};
use unpack::{Extent, JPEG_ROWS};

const FORMAT: Format = Format::Tiff;

pub(super) fn probe(file: &FileParts<'_>, limits: &Limits) -> Result<Header, PictureError> {
    let directory = Directory::read(file)?;
    let page = Page::read(&directory, limits)?;
    let (width, height) = if page.orientation >= 5 { (page.height, page.width) } else { (page.width, page.height) };
    Ok(Header { format: FORMAT, width, height, decode_bytes: decode_bytes(&page) })
}

/// Returns the memory of decoding: one strip or tile, the used samples as 8 bits, RGB, and oriented RGB.
fn decode_bytes(page: &Page<'_>) -> u64 {
    let chunk_pixels = pixel_count(page.grid.chunk_width, page.grid.chunk_height);
    let chunk_row_bytes = page.chunk_row_bytes() as u64;
    let chunk_bytes = match page.compression {
        // libjpeg holds a progressive stream as 16-bit coefficients, padded to whole blocks of at most 32 pixels.
        Compression::Jpeg { .. } => {
            let padded = pixel_count(page.grid.chunk_width + 31, page.grid.chunk_height + 2 * JPEG_ROWS);
            chunk_pixels * (page.layout.stored as u64 + 3) + 2 * padded * page.layout.stored as u64
        }
        // Zstandard's window holds the unpacked bytes a second time.
        Compression::Zstd => 2 * chunk_row_bytes * u64::from(page.grid.chunk_height),
        _ => chunk_row_bytes * u64::from(page.grid.chunk_height),
    };
    chunk_bytes + pixel_count(page.width, page.height) * (page.layout.used() as u64 + 6)
}

pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Vec<u8>, PictureError> {
    let file = FileParts::whole(bytes);
    let directory = Directory::read(&file)?;
    // The limits were checked when the header was read.
    let limits = Limits { side_min: 0, side_max: u32::MAX, pixels_max: u64::MAX, bytes_max: u64::MAX };
    let page = Page::read(&directory, &limits)?;
    let chunks = page.chunks(&directory)?;
    let (width, height) = (page.width as usize, page.height as usize);
    assert_eq!(width * height, header.width as usize * header.height as usize, "the header is this file's");
    let used = page.layout.used();
    let mut pixels = vec![0; width * height * used];
    for (index, (offset, length)) in chunks.into_iter().enumerate() {
        let (plane, index) = (index / page.grid.chunks_of_a_plane(), index % page.grid.chunks_of_a_plane());
        if plane >= used {
            break;
        }
        let chunk_x = index % page.grid.across as usize * page.grid.chunk_width as usize;
        let chunk_y = index / page.grid.across as usize * page.grid.chunk_height as usize;
        let columns = (page.grid.chunk_width as usize).min(width - chunk_x);
        let rows = (page.grid.chunk_height as usize).min(height - chunk_y);
        let extent = Extent { columns, rows };
        let packed = packed(bytes, &page, (offset, length), &extent)?;
        let chunk = unpack::unpack(&page, packed, &extent)?;
        for (y, row) in chunk.bytes.chunks_exact(chunk.row_bytes).take(rows).enumerate() {
            let start = ((chunk_y + y) * width + chunk_x) * used;
            page.layout.write_row(row, &mut pixels[start..start + columns * used], plane);
        }
    }
    let rgb = page.layout.to_rgb(pixels);
    Ok(samples::orient(rgb, (width, height), page.orientation))
}

/// Returns the packed bytes of a strip or tile, up to the end of the file.
fn packed<'a>(
    bytes: &'a [u8],
    page: &Page<'_>,
    (offset, length): (u64, Option<u64>),
    extent: &Extent,
) -> Result<&'a [u8], PictureError> {
    if offset == 0 {
        return Err(PictureError::corrupt(FORMAT, "a strip or tile is missing"));
    }
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let Some(rest) = bytes.get(start..).filter(|rest| !rest.is_empty()) else {
        return Err(PictureError::truncated(
            FORMAT,
            format!("it ends before byte {offset}, where a strip or tile begins"),
        ));
    };
    // REFERENCE: without compression, Pillow takes the length from the picture's size, whatever lengths the file
    // states.
    let length = if page.compression == Compression::None { Some(extent.needed_bytes(page) as u64) } else { length };
    let end =
        length.and_then(|length| usize::try_from(length).ok()).map_or(rest.len(), |length| length.min(rest.len()));
    Ok(&rest[..end])
}
