//! JPEG, through libjpeg's own arithmetic (mozjpeg), so that pixels are Pillow's to the bit.
//!
//! libjpeg repairs what it can and only warns: a cut file becomes gray filler. Here every warning that says pixels were
//! made up is an error. What it does not warn of, and Pillow accepts too, is a progressive file that lacks its last scans
//! whole and yet has an end marker: that is a coarser picture, not a filled-in one.
//!
//! Errors leave C code by unwinding, as the `mozjpeg` crate is built for.

use std::any::Any;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mozjpeg::{ColorSpace, Decompress};
use mozjpeg_sys::{self as ffi, jpeg_common_struct, jpeg_error_mgr};

use super::convert::from_cmyk;
use super::{Format, Header, Limits, PictureError, bytes_at, pixel_count};

const FORMAT: Format = Format::Jpeg;
/// Scans in one file. 1,000: encoders write ten or so, and each takes a pass over all pixels, so that a small file of
/// many empty ones could hold a thread for hours.
const SCANS_MAX: usize = 1000;

/// The frame header (SOF).
#[derive(Clone, Copy)]
struct Frame {
    is_progressive: bool,
    width: u16,
    height: u16,
    components: u8,
}

pub(super) fn probe(bytes: &[u8], limits: &Limits) -> Result<Header, PictureError> {
    let frame = frame(bytes, FORMAT)?;
    let (width, height) = limits.check_size(frame.width.into(), frame.height.into())?;
    if width == 0 || height == 0 {
        return Err(PictureError::unsupported("JPEG whose height is not in its header"));
    }
    check_scans(bytes, frame, FORMAT)?;
    // A progressive file is held as 16-bit coefficients, padded to whole blocks of at most 32 pixels.
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

/// Walks the markers up to the frame header.
fn frame(bytes: &[u8], format: Format) -> Result<Frame, PictureError> {
    let short = || PictureError::truncated(format, "it ends before the JPEG frame header");
    let mut at = 2;
    loop {
        // Like libjpeg, pass over bytes that are no marker, and over fill bytes.
        while bytes_at::<1>(bytes, at).ok_or_else(short)? != [0xff] {
            at += 1;
        }
        while bytes_at::<1>(bytes, at).ok_or_else(short)? == [0xff] {
            at += 1;
        }
        let [marker] = bytes_at(bytes, at).ok_or_else(short)?;
        at += 1;
        match marker {
            // Stuffing, TEM, restarts and SOI stand alone.
            0x00 | 0x01 | 0xd0..=0xd8 => continue,
            0xd9 | 0xda => return Err(PictureError::corrupt(format, "it has no JPEG frame header")),
            0xc0..=0xc2 => break,
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(PictureError::unsupported("lossless, hierarchical or arithmetic-coded JPEG"));
            }
            0xf7 => return Err(PictureError::unsupported("JPEG-LS")),
            _ => {}
        }
        at += usize::from(u16::from_be_bytes(bytes_at(bytes, at).ok_or_else(short)?));
    }
    let is_progressive = bytes[at - 1] == 0xc2;
    let [precision, h1, h0, w1, w0, components] = bytes_at(bytes, at + 2).ok_or_else(short)?;
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

/// Runs libjpeg, whose errors unwind.
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

/// A strip or tile of a TIFF: a stream that lacks the tables that it shares with the others.
pub(super) struct WithinTiff<'a> {
    pub(super) tables: &'a [u8],
    pub(super) stream: &'a [u8],
    /// Three components are turned to RGB; otherwise components are samples as they are.
    pub(super) is_ycbcr: bool,
    pub(super) components: usize,
    /// Columns and rows that are of the picture.
    pub(super) needed: (u32, u32),
    /// Columns and rows that it may have.
    pub(super) most: (u32, u32),
}

impl WithinTiff<'_> {
    /// The number of its columns, and its samples.
    pub(super) fn decode(&self) -> Result<(usize, Vec<u8>), PictureError> {
        const FORMAT: Format = Format::Tiff;
        let whole = self.whole()?;
        let frame = frame(&whole, FORMAT)?;
        check_scans(&whole, frame, FORMAT)?;
        if usize::from(frame.components) != self.components {
            let (found, expected) = (frame.components, self.components);
            let cause = format!("a JPEG stream in it has {found} components, where a pixel has {expected} samples");
            return Err(PictureError::corrupt(FORMAT, cause));
        }
        let (columns, rows) = (u32::from(frame.width), u32::from(frame.height));
        let fits = |size: u32, needed: u32, most: u32| (needed..=most).contains(&size);
        if !fits(columns, self.needed.0, self.most.0) || !fits(rows, self.needed.1, self.most.1) {
            let (width, height) = self.most;
            let cause =
                format!("a JPEG stream in it is of {columns}x{rows} pixels in a strip or tile of {width}x{height}");
            return Err(PictureError::corrupt(FORMAT, cause));
        }
        let (size, _, samples) = contained(FORMAT, || decompress(&whole, FORMAT))?;
        if size != (columns, rows) {
            return Err(PictureError::corrupt(FORMAT, "a JPEG stream in it has two frame headers"));
        }
        // One component comes as gray that is repeated.
        let samples = if self.components == 1 { samples.into_iter().step_by(3).collect() } else { samples };
        Ok((columns as usize, samples))
    }

    /// The stream as a file of its own: the tables, then the stream, and before them the marker of Adobe's, by which libjpeg
    /// is told what the components are. Other markers that would tell it otherwise are left out.
    fn whole(&self) -> Result<Vec<u8>, PictureError> {
        let mut whole = Vec::with_capacity(self.tables.len() + self.stream.len() + 32);
        whole.extend(b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0");
        whole.push(u8::from(self.is_ycbcr));
        for (part, name) in [(self.tables, "tables"), (self.stream, "stream")] {
            if part.is_empty() && name == "tables" {
                continue;
            }
            if !part.starts_with(b"\xff\xd8") {
                return Err(PictureError::corrupt(Format::Tiff, format!("a JPEG {name} in it does not begin as one")));
            }
            let mut at = 2;
            while let Some([0xff, marker]) = bytes_at(part, at) {
                match marker {
                    0xff => at += 1, // a fill byte
                    0xda => {
                        whole.extend(&part[at..]);
                        break;
                    }
                    0xd9 => break,
                    _ => {
                        let length = bytes_at(part, at + 2).map_or(0, u16::from_be_bytes);
                        let end = (at + 2 + usize::from(length)).min(part.len());
                        if !matches!(marker, 0xe0 | 0xee) {
                            whole.extend(&part[at..end]);
                        }
                        at = end;
                    }
                }
            }
        }
        Ok(whole)
    }
}

/// What libjpeg gave up on, as the payload that unwinds through it.
struct Fault {
    code: c_int,
    message: String,
}

fn fault(format: Format, payload: Box<dyn Any + Send>) -> PictureError {
    let fault = match payload.downcast::<Fault>() {
        Ok(fault) => fault,
        // A panic, which is contained further out.
        Err(other) => resume_unwind(other),
    };
    match fault.code {
        ffi::JWRN_JPEG_EOF | ffi::JERR_INPUT_EMPTY | ffi::JERR_INPUT_EOF | ffi::JERR_FILE_READ => {
            PictureError::truncated(format, fault.message)
        }
        _ => PictureError::corrupt(format, fault.message),
    }
}

/// libjpeg's error manager, with warnings about lost pixels made errors and nothing printed.
fn strict_errors() -> jpeg_error_mgr {
    // SAFETY: the struct is plain C data, for which zeros are valid; `jpeg_std_error` then fills it in.
    let mut errors: jpeg_error_mgr = unsafe { std::mem::zeroed() };
    // SAFETY: a pointer to a whole struct is all that it needs.
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
        return; // a trace
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
