//! Decodes text: UTF-8, the encoding of a byte order mark, or the definition's. The encoding is never guessed: bytes that are
//! not UTF-8 are an error that shows how other encodings would read them.

use std::borrow::Cow;

use encoding_rs::{Encoding, GBK, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::dataset::label_error::LabelError;

/// Maximum characters of a line that an error shows.
const SHOWN_MAX: usize = 60;

/// Returns the encoding with a name, as used by web pages (`gbk`, `windows-1252`, `utf-16le`) or by Python (`latin-1`, `cp936`,
/// `utf-8-sig`).
pub(in crate::dataset) fn find_encoding(name: &str) -> Option<&'static Encoding> {
    let name = name.trim().to_ascii_lowercase();
    let short = name.replace(['-', '_'], "");
    let python_name = match short.as_str() {
        "utf8sig" => "utf-8",
        "cp936" | "ms936" => "gbk",
        "cp932" | "ms932" => "shift_jis",
        "cp949" => "euc-kr",
        "cp950" => "big5",
        "utf16" => "utf-16",
        short => short,
    };
    Encoding::for_label(name.as_bytes()).or_else(|| Encoding::for_label(python_name.as_bytes()))
}

/// Decodes a file's text, with `\n` or `\r\n` at the ends of its lines.
///
/// # Errors
/// If a line does not have the encoding, with the first such line.
pub(super) fn decode<'b>(bytes: &'b [u8], encoding: Option<&str>) -> Result<Cow<'b, str>, LabelError> {
    let bom = Encoding::for_bom(bytes).map(|(encoding, _)| encoding);
    let given =
        encoding.map(|name| find_encoding(name).ok_or_else(|| LabelError::Encoding(name.to_owned()))).transpose()?;
    let declared = bom.or(given);
    let encoding = declared.or_else(|| unmarked_utf_16(bytes)).unwrap_or(UTF_8);
    let (text, _, has_errors) = encoding.decode(bytes);
    if text.contains('\0') || (has_errors && declared.is_none() && bytes.contains(&0)) {
        return Err(LabelError::NotATable { what: "neither text nor another supported kind of file" });
    }
    if has_errors {
        return Err(invalid_text(bytes, encoding, &text));
    }
    let has_only_returns = text.contains('\r') && !text.contains('\n');
    Ok(if has_only_returns { Cow::Owned(text.replace('\r', "\n")) } else { text })
}

/// Recognises UTF-16 without a byte order mark: every other byte at its start is 0.
fn unmarked_utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(64) & !1];
    let zeros = |at: usize| head.iter().skip(at).step_by(2).all(|byte| *byte == 0);
    let letters = |at: usize| head.iter().skip(at).step_by(2).all(|byte| *byte != 0);
    match head.len() {
        0..4 => None,
        _ if zeros(1) && letters(0) => Some(UTF_16LE),
        _ if zeros(0) && letters(1) => Some(UTF_16BE),
        _ => None,
    }
}

/// Returns the error of the first line that does not have the encoding.
fn invalid_text(bytes: &[u8], encoding: &'static Encoding, text: &str) -> LabelError {
    let (name, readings) = (encoding.name().to_owned(), Vec::new());
    if encoding != UTF_8 {
        let line = 1 + text.lines().position(|line| line.contains('\u{fffd}')).unwrap_or(0) as u64;
        return LabelError::NotText { line, encoding: name, readings };
    }
    let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let (before, rest) = bytes.split_at(valid);
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
    let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let end = valid + rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
    let reading = |encoding: &'static Encoding| {
        let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes[begin..end])?;
        Some((encoding.name().to_lowercase(), text.chars().take(SHOWN_MAX).collect::<String>()))
    };
    LabelError::NotText {
        line,
        encoding: name,
        readings: [WINDOWS_1252, GBK].into_iter().filter_map(reading).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_mark_or_the_definition() {
        let utf_16 = |text: &str, mark: &[u8]| {
            [mark, &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat()
        };
        assert_eq!(decode(b"\xef\xbb\xbfimage", None).unwrap(), "image");
        assert_eq!(decode(&utf_16("image,mos\n", b"\xff\xfe"), None).unwrap(), "image,mos\n");
        assert_eq!(decode(&utf_16("image,mos\n", b""), None).unwrap(), "image,mos\n");
        assert_eq!(decode(b"a\rb\rc", None).unwrap(), "a\nb\nc");
        assert_eq!(decode(b"caf\xe9", Some("Latin1")).unwrap(), "café");
        for name in ["latin-1", "latin_1", "iso-8859-1", "cp1252"] {
            assert_eq!(decode(b"caf\xe9", Some(name)).unwrap(), "café", "{name}");
        }
        for name in ["gbk", "GB2312", "cp936"] {
            assert_eq!(decode(b"\xc9\xbd\xcb\xae", Some(name)).unwrap(), "山水", "{name}");
        }
        assert_eq!(decode("é".as_bytes(), Some("utf-8-sig")).unwrap(), "é");
        let error = decode(b"image,mos\nx\ncaf\xe9.png,4\n", None).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("windows-1252") && error.contains("café.png,4"), "{error}");
        let error = decode(b"image\n\xce\xed.png\n", None).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("\"gbk\" reads `雾.png`"), "{error}");
        assert!(decode(b"a\n\xff", Some("gbk")).unwrap_err().to_string().contains("line 2"));
        assert!(decode(b"a\0b", None).is_err());
        assert!(decode(b"a", Some("klingon")).unwrap_err().to_string().contains("klingon"));
    }
}
