//! Recognizes unsupported files by their first bytes, so that the error names the format, or says what a file is that
//! is not a picture and how it came about.

use super::PictureError;

/// Advice for pictures in unsupported formats.
const CONVERT: &str = "convert the picture to PNG";
const DEVELOP: &str = "develop the picture to PNG or TIFF";
const TAKE_FRAME: &str = "save the frame that is meant as PNG";
const DRAW: &str = "draw it to PNG";
const SAVE_PIXELS: &str = "save its pixels as PNG";

/// Unsupported formats: first bytes, name, advice.
const KNOWN: &[(&[u8], &str, &str)] = &[
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", CONVERT),
    (b"\xff\x4f\xff\x51", "JPEG 2000", CONVERT),
    (b"\xff\x0a", "JPEG XL", CONVERT),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", CONVERT),
    (b"II\xbc\x01", "JPEG XR", CONVERT),
    (b"BPG\xfb", "BPG", CONVERT),
    (b"FLIF", "FLIF", CONVERT),
    (b"8BPS", "Photoshop (PSD)", CONVERT),
    (b"gimp xcf ", "GIMP (XCF)", CONVERT),
    (b"\0\0\x01\0", "ICO", CONVERT),
    (b"\0\0\x02\0", "CUR", CONVERT),
    (b"icns", "ICNS", CONVERT),
    (b"qoif", "QOI", CONVERT),
    (b"DDS ", "DDS", CONVERT),
    (b"\x76\x2f\x31\x01", "OpenEXR", CONVERT),
    (b"#?RADIANCE", "Radiance HDR", CONVERT),
    (b"#?RGBE", "Radiance HDR", CONVERT),
    (b"PF\n", "PFM", CONVERT),
    (b"Pf\n", "PFM", CONVERT),
    (b"P7\n", "PAM", CONVERT),
    (b"\x01\xda\0", "SGI", CONVERT),
    (b"\x01\xda\x01", "SGI", CONVERT),
    (b"\x59\xa6\x6a\x95", "Sun raster", CONVERT),
    (b"\x8aMNG\r\n\x1a\n", "MNG", CONVERT),
    (b"\x8bJNG\r\n\x1a\n", "JNG", CONVERT),
    (b"SIMPLE  =", "FITS", CONVERT),
    (b"AT&TFORM", "DjVu", CONVERT),
    (b"/* XPM */", "XPM", CONVERT),
    (b"IIRO", "camera RAW (ORF)", DEVELOP),
    (b"IIRS", "camera RAW (ORF)", DEVELOP),
    (b"MMOR", "camera RAW (ORF)", DEVELOP),
    (b"IIU\0", "camera RAW (RW2)", DEVELOP),
    (b"FUJIFILMCCD-RAW", "camera RAW (RAF)", DEVELOP),
    (b"FOVb", "camera RAW (X3F)", DEVELOP),
    (b"\0MRM", "camera RAW (MRW)", DEVELOP),
    (b"II\x1a\0\0\0HEAPCCDR", "camera RAW (CRW)", DEVELOP),
    (b"%PDF-", "PDF", DRAW),
    (b"%!PS", "PostScript", DRAW),
    (b"\xc5\xd0\xd3\xc6", "PostScript", DRAW),
    (b"\xd7\xcd\xc6\x9a", "WMF", DRAW),
    (b"\x1a\x45\xdf\xa3", "video (Matroska or WebM)", TAKE_FRAME),
    (b"\0\0\x01\xba", "video (MPEG)", TAKE_FRAME),
    (b"\0\0\x01\xb3", "video (MPEG)", TAKE_FRAME),
    (b"FLV\x01", "video (Flash)", TAKE_FRAME),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video (Windows Media)", TAKE_FRAME),
    (b"\x93NUMPY", "NumPy array (NPY)", SAVE_PIXELS),
    (b"MATLAB 5.0 MAT-file", "MATLAB file", SAVE_PIXELS),
    (b"MATLAB 7.", "MATLAB file", SAVE_PIXELS),
    (b"\x89HDF\r\n\x1a\n", "HDF5 file", SAVE_PIXELS),
];

/// Files that are not pictures: first bytes, description.
const OTHERS: &[(&[u8], &str)] = &[
    (b"version https://git-lfs.github.com/spec/", "it is a Git LFS pointer, so run `git lfs pull`"),
    (b"\0\x05\x16\x07", "it is an AppleDouble file, which macOS leaves beside the picture itself"),
    (b"\0\x05\x16\0", "it is an AppleSingle file"),
    (b"PK\x03\x04", "it is a ZIP archive"),
    (b"PK\x05\x06", "it is a ZIP archive"),
    (b"\x1f\x8b", "it is compressed with gzip"),
    (b"Rar!\x1a\x07", "it is a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with Zstandard"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "it is an Office document or Windows' Thumbs.db"),
    (b"PAR1", "it is a Parquet file"),
    (b"\x7fELF", "it is a program"),
];

/// Bytes that are searched for words; a web page can be recognized within them.
const HEAD_BYTES: usize = 1024;

/// Returns the error for a file that no decoder reads.
pub(super) fn error(bytes: &[u8]) -> PictureError {
    let unsupported_format = |what: &str, advice| PictureError::UnsupportedFormat { what: what.to_owned(), advice };
    if let Some((what, advice)) = media_container(bytes) {
        return unsupported_format(what, advice);
    }
    if let Some((_, what, advice)) = KNOWN.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return unsupported_format(what, advice);
    }
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return PictureError::NotAnImage { what };
    }
    // PCX: a version, run-length encoding, and a number of bits.
    if let [0x0a, 0 | 2..=5, 1, 1 | 2 | 4 | 8, ..] = bytes {
        return unsupported_format("PCX", CONVERT);
    }
    if bytes.get(128..132) == Some(b"DICM") {
        return unsupported_format("DICOM", CONVERT);
    }
    if bytes.get(40..44) == Some(b" EMF") && bytes.starts_with(b"\x01\0\0\0") {
        return unsupported_format("EMF", DRAW);
    }
    if bytes.ends_with(b"TRUEVISION-XFILE.\0") {
        return unsupported_format("TGA", CONVERT);
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return PictureError::NotAnImage {
            what: "all its bytes are zero, as after a download that failed; fetch it again",
        };
    }
    describe_text(bytes, unsupported_format)
}

/// Recognizes formats that begin with a box or a chunk that names them.
fn media_container(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    if bytes.starts_with(b"RIFF") {
        return match bytes.get(8..12)? {
            b"AVI " => Some(("video (AVI)", TAKE_FRAME)),
            b"WAVE" => Some(("sound (WAV)", "leave it out")),
            _ => None,
        };
    }
    match bytes.get(4..8)? {
        b"ftyp" => Some(match bytes.get(8..12)? {
            b"avif" | b"avis" => ("AVIF", CONVERT),
            b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" => ("HEIC", CONVERT),
            b"mif1" | b"msf1" if bytes.get(..64).unwrap_or(bytes).windows(4).any(|brand| brand == b"avif") => {
                ("AVIF", CONVERT)
            }
            b"mif1" | b"msf1" => ("HEIC", CONVERT),
            b"crx " => ("camera RAW (CR3)", DEVELOP),
            b"jp2 " | b"jpx " => ("JPEG 2000", CONVERT),
            b"qt  " => ("video (QuickTime)", TAKE_FRAME),
            _ => ("video (MP4) or other ISO media file", TAKE_FRAME),
        }),
        b"moov" | b"mdat" | b"wide" => Some(("video (QuickTime)", TAKE_FRAME)),
        _ => None,
    }
}

/// Recognizes a text by its first words.
fn describe_text(bytes: &[u8], unsupported_format: impl Fn(&str, &'static str) -> PictureError) -> PictureError {
    let unknown = PictureError::NotAnImage { what: "its first bytes are of no known format" };
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let is_printed = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..);
    if !head.iter().all(is_printed) {
        return unknown;
    }
    let words = String::from_utf8_lossy(head).trim_start().to_ascii_lowercase();
    let begins = |starts: &[&str]| starts.iter().any(|start| words.starts_with(start));
    let what = if begins(&["<svg"]) || begins(&["<?xml", "<!--", "<!doctype svg"]) && words.contains("<svg") {
        return unsupported_format("SVG", DRAW);
    } else if begins(&["<!doctype html", "<html", "<head", "<body", "<script"]) || words.contains("<html") {
        "it is a web page, as of a download that was refused; fetch it again"
    } else if begins(&["<?xml", "<error"]) {
        "it is an XML document, as of a download that was refused; fetch it again"
    } else if begins(&["{", "["]) {
        "it is JSON"
    } else if head.iter().all(u8::is_ascii) {
        "it is text"
    } else {
        return unknown;
    };
    PictureError::NotAnImage { what }
}
