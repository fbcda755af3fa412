//! JPEG, with libjpeg's own arithmetic (mozjpeg), so that pixels equal Pillow's to the bit.
//!
//! libjpeg repairs a damaged file and only warns: a truncated file is filled with gray. Here every warning of made-up
//! pixels is an error. libjpeg does not warn of a progressive file that lacks all of its last scans and yet has an end
//! marker, which Pillow accepts too: that is a coarser picture, not a filled-in one.
//!
//! Errors leave C code by unwinding, for which the `mozjpeg` crate is built.

use std::any::Any;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mozjpeg::{ColorSpace, Decompress};
use mozjpeg_sys::{self as ffi, jpeg_common_struct, jpeg_error_mgr};

use super::convert::from_cmyk;
use super::{FileParts, Format, Header, Limits, PictureError, bytes_at, pixel_count};

const FORMAT: Format = Format::Jpeg;
/// Maximum number of scans in a file. Encoders write about ten, and each takes a pass over all pixels, so that a small
/// file of many empty scans could block a thread for hours.
const SCANS_MAX: usize = 1000;

/// The frame header (SOF).
#[derive(Clone, Copy)]
struct Frame {
    is_progressive: bool,
    width: u16,
    height: u16,
    components: u8,
}

pub(super) fn probe(file: &FileParts<'_>, limits: &Limits) -> Result<Header, PictureError> {
    let frame = frame(file, FORMAT)?;
    let (width, height) = limits.check_size(frame.width.into(), frame.height.into())?;
    if width == 0 || height == 0 {
        return Err(PictureError::unsupported("JPEG whose height is not in its header"));
    }
    check_scans(file.first(), frame, FORMAT)?;
    // libjpeg holds a progressive file as 16-bit coefficients, padded to whole blocks of at most 32 pixels.
    let components = u64::from(frame.components);
    let padded = pixel_count(width + 31, height + 31);
    let coefficients = if frame.is_progressive { padded * components * 2 } else { 0 };
    let samples = pixel_count(width, height) * (components + 3);
    Ok(Header { format: FORMAT, width, height, decode_bytes: samples + coefficients })
}

fn check_scans(bytes: &[u8], frame: Frame, format: Format) -> Result<(), PictureError> {
    if frame.is_progressive && bytes.windows(2).filter(|pair| pair == b"\xff\xda").count() > SCANS_MAX {
        return Err(PictureError::corrupt(format, format!("it has more than {SCANS_MAX} scans")));
    }
    Ok(())
}

/// Reads the markers up to the frame header.
fn frame(file: &FileParts<'_>, format: Format) -> Result<Frame, PictureError> {
    let short = || PictureError::truncated(format, "it ends before the JPEG frame header");
    let mut offset = 2;
    let is_progressive = loop {
        // Like libjpeg, skip bytes that are not markers, and fill bytes.
        while file.array(offset).ok_or_else(short)? != [0xff] {
            offset += 1;
        }
        while file.array(offset).ok_or_else(short)? == [0xff] {
            offset += 1;
        }
        let [marker] = file.array(offset).ok_or_else(short)?;
        offset += 1;
        match marker {
            // Stuffing, TEM, restart and SOI markers have no length.
            0x00 | 0x01 | 0xd0..=0xd8 => continue,
            0xd9 | 0xda => return Err(PictureError::corrupt(format, "it has no JPEG frame header")),
            0xc0..=0xc2 => break marker == 0xc2,
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(PictureError::unsupported("lossless, hierarchical or arithmetic-coded JPEG"));
            }
            0xf7 => return Err(PictureError::unsupported("JPEG-LS")),
            _ => {}
        }
        offset += u64::from(u16::from_be_bytes(file.array(offset).ok_or_else(short)?));
    };
    let [precision, h1, h0, w1, w0, components] = file.array(offset + 2).ok_or_else(short)?;
    if precision != 8 {
        return Err(PictureError::unsupported(format!("JPEG of {precision} bits")));
    }
    if !matches!(components, 1 | 3 | 4) {
        return Err(PictureError::unsupported(format!("JPEG of {components} components")));
    }
    let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
    Ok(Frame { is_progressive, width, height, components })
}

pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Vec<u8>, PictureError> {
    let (size, is_cmyk, mut samples) = contained(FORMAT, || decompress(bytes, FORMAT))?;
    if size != (header.width, header.height) {
        return Err(PictureError::corrupt(FORMAT, "it has two frame headers"));
    }
    if !is_cmyk {
        return Ok(samples);
    }
    // REFERENCE: Pillow takes every CMYK JPEG for Adobe's, which stores ink inverted, with or without Adobe's marker.
    samples.iter_mut().for_each(|ink| *ink = !*ink);
    Ok(from_cmyk(&samples))
}

/// Runs libjpeg and catches its errors, which unwind.
fn contained<T>(format: Format, work: impl FnOnce() -> Result<T, PictureError>) -> Result<T, PictureError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => Err(fault(format, payload)),
    }
}

/// Width and height, whether the samples are CMYK, and the samples; otherwise they are RGB.
type Decompressed = ((u32, u32), bool, Vec<u8>);

fn decompress(bytes: &[u8], format: Format) -> Result<Decompressed, PictureError> {
    let failed = |error| PictureError::from_decoder(format, error);
    let decompress = Decompress::with_err(strict_errors()).from_mem(bytes).map_err(failed)?;
    let (width, height) = decompress.size();
    let is_cmyk = decompress.components().len() == 4;
    let space = if is_cmyk { ColorSpace::JCS_CMYK } else { ColorSpace::JCS_RGB };
    let mut started = decompress.to_colorspace(space).map_err(failed)?;
    let samples = started.read_scanlines::<u8>().map_err(failed)?;
    Ok(((width as u32, height as u32), is_cmyk, samples))
}

/// A JPEG stream in a strip or tile of a TIFF, without the tables that all streams of the page share.
pub(super) struct TiffStream<'a> {
    pub(super) tables: &'a [u8],
    pub(super) stream: &'a [u8],
    /// Whether the components are YCbCr and are converted to RGB; otherwise they are the samples.
    pub(super) is_ycbcr: bool,
    pub(super) components: usize,
    /// Columns and rows that belong to the picture.
    pub(super) size_min: (u32, u32),
    /// Columns and rows that the stream may have.
    pub(super) size_max: (u32, u32),
}

impl TiffStream<'_> {
    /// Decodes the stream; returns the number of columns and the samples.
    pub(super) fn decode(&self) -> Result<(usize, Vec<u8>), PictureError> {
        const FORMAT: Format = Format::Tiff;
        let file = self.to_file()?;
        let frame = frame(&FileParts::whole(&file), FORMAT)?;
        check_scans(&file, frame, FORMAT)?;
        if usize::from(frame.components) != self.components {
            let (found, expected) = (frame.components, self.components);
            let cause = format!("a JPEG stream in it has {found} components, where a pixel has {expected} samples");
            return Err(PictureError::corrupt(FORMAT, cause));
        }
        let (columns, rows) = (u32::from(frame.width), u32::from(frame.height));
        let (min, max) = (self.size_min, self.size_max);
        if !(min.0..=max.0).contains(&columns) || !(min.1..=max.1).contains(&rows) {
            let (width, height) = max;
            let cause =
                format!("a JPEG stream in it is of {columns}x{rows} pixels in a strip or tile of {width}x{height}");
            return Err(PictureError::corrupt(FORMAT, cause));
        }
        let (size, _, samples) = contained(FORMAT, || decompress(&file, FORMAT))?;
        if size != (columns, rows) {
            return Err(PictureError::corrupt(FORMAT, "a JPEG stream in it has two frame headers"));
        }
        // libjpeg returns one component as gray repeated to RGB.
        let samples = if self.components == 1 { samples.into_iter().step_by(3).collect() } else { samples };
        Ok((columns as usize, samples))
    }

    /// Returns the stream as a file of its own: Adobe's marker, which tells libjpeg the colour space, then the tables
    /// and the stream. Other markers of the colour space are left out.
    fn to_file(&self) -> Result<Vec<u8>, PictureError> {
        let mut file = Vec::with_capacity(self.tables.len() + self.stream.len() + 32);
        file.extend(b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0");
        file.push(u8::from(self.is_ycbcr));
        for (part, name) in [(self.tables, "tables"), (self.stream, "stream")] {
            if part.is_empty() && name == "tables" {
                continue;
            }
            if !part.starts_with(b"\xff\xd8") {
                return Err(PictureError::corrupt(Format::Tiff, format!("a JPEG {name} in it does not begin as one")));
            }
            let mut offset = 2;
            while let Some([0xff, marker]) = bytes_at(part, offset) {
                match marker {
                    0xff => offset += 1, // a fill byte
                    0xda => {
                        file.extend(&part[offset..]);
                        break;
                    }
                    0xd9 => break,
                    _ => {
                        let length = bytes_at(part, offset + 2).map_or(0, u16::from_be_bytes);
                        let end = (offset + 2 + usize::from(length)).min(part.len());
                        if !matches!(marker, 0xe0 | 0xee) {
                            file.extend(&part[offset..end]);
                        }
                        offset = end;
                    }
                }
            }
        }
        Ok(file)
    }
}

/// An error of libjpeg, as the payload that unwinds through it.
struct Fault {
    code: c_int,
    message: String,
}

fn fault(format: Format, payload: Box<dyn Any + Send>) -> PictureError {
    let fault = match payload.downcast::<Fault>() {
        Ok(fault) => fault,
        // Another panic, which `catch_panic` handles.
        Err(other) => resume_unwind(other),
    };
    match fault.code {
        ffi::JWRN_JPEG_EOF | ffi::JERR_INPUT_EMPTY | ffi::JERR_INPUT_EOF | ffi::JERR_FILE_READ => {
            PictureError::truncated(format, fault.message)
        }
        _ => PictureError::corrupt(format, fault.message),
    }
}

/// Returns libjpeg's error manager, in which warnings of lost pixels are errors and nothing is printed.
fn strict_errors() -> jpeg_error_mgr {
    // SAFETY: the struct is plain C data, for which zeros are valid; `jpeg_std_error` then fills it in.
    let mut errors: jpeg_error_mgr = unsafe { std::mem::zeroed() };
    // SAFETY: the function needs only a pointer to a complete struct.
    unsafe { ffi::jpeg_std_error(&mut errors) };
    errors.error_exit = Some(on_error);
    errors.emit_message = Some(on_message);
    errors
}

extern "C-unwind" fn on_error(common: &mut jpeg_common_struct) {
    // Not `panic!`: that would run the panic hook and print.
    resume_unwind(Box::new(describe(common)));
}

extern "C-unwind" fn on_message(common: &mut jpeg_common_struct, level: c_int) {
    if level >= 0 {
        return; // a trace message
    }
    let fault = describe(common);
    // REFERENCE: Pillow accepts all but the first, and scores what libjpeg fills in.
    let pixels_are_lost = matches!(
        fault.code,
        ffi::JWRN_JPEG_EOF | ffi::JWRN_HIT_MARKER | ffi::JWRN_HUFF_BAD_CODE | ffi::JWRN_MUST_RESYNC
    );
    if pixels_are_lost {
        resume_unwind(Box::new(fault));
    }
}

fn describe(common: &mut jpeg_common_struct) -> Fault {
    // SAFETY: libjpeg calls its handlers with the manager that it was given, which outlives the decompressor.
    let Some((code, format)) = (unsafe { common.err.as_ref() }).map(|errors| (errors.msg_code, errors.format_message))
    else {
        return Fault { code: 0, message: "libjpeg failed without a word".to_owned() };
    };
    let buffer = [0_u8; 80];
    if let Some(format) = format {
        let buffer = std::hint::black_box(&buffer);
        // SAFETY: the buffer has the 80 bytes (JMSG_LENGTH_MAX) that the function may write.
        unsafe { format(common, buffer) };
    }
    let text =
        std::hint::black_box(buffer).split(|&byte| byte == 0).next().map(String::from_utf8_lossy).map(String::from);
    Fault { code, message: format!("libjpeg: {}", text.unwrap_or_default()) }
}
