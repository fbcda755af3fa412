//! The picture formats that can be decoded.

use std::fmt;

/// A supported format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Portable Network Graphics; the default image of an animated one.
    Png,
    /// Baseline, extended and progressive JPEG of 8 bits.
    Jpeg,
    /// Windows bitmap.
    Bmp,
    /// TIFF, the first page.
    Tiff,
    /// WebP, the first frame.
    WebP,
    /// GIF, the first frame.
    Gif,
    /// Netpbm: PBM, PGM and PPM, the first picture.
    Pnm,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Pnm => "PNM",
        })
    }
}
