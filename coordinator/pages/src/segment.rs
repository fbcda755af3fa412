//! Names as segments of paths: any text becomes a file name that every file system and URL takes as it is, and is read back
//! from it. It knows nothing of pages.

use std::fmt;

/// Longest segment in bytes. With `-attention.png` a file name stays far below the 255 bytes of file systems.
const SEGMENT_BYTES_MAX: usize = 120;

/// Bytes of the end of a segment that was cut: `~~` and 16 digits.
const CUT_BYTES: usize = 18;

/// Names that Windows reserves, whatever follows a dot.
const DEVICES: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt1", "lpt2",
    "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// A name as a segment of a path. `[A-Za-z0-9._-]` stay, each other byte is `~` and two hexadecimal digits. A segment over
/// 120 bytes is cut and ends in `~~` and 16 digits of the name's BLAKE3; its name is then found by comparison
/// ([`Segment::is_of`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Segment(String);

impl Segment {
    /// Returns the segment of a name.
    pub fn from_name(name: &str) -> Segment {
        let mut text = String::with_capacity(name.len());
        for (index, byte) in name.bytes().enumerate() {
            let is_plain = byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if is_plain && !(index == 0 && must_escape_first(name)) && !(byte == b'.' && index + 1 == name.len()) {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("~{byte:02X}"));
            }
        }
        if text.len() > SEGMENT_BYTES_MAX {
            // Not inside an escape of three bytes.
            let end = SEGMENT_BYTES_MAX - CUT_BYTES;
            let end = (end - 2..end).find(|index| text.as_bytes()[*index] == b'~').unwrap_or(end);
            text.truncate(end);
            text.push_str("~~");
            text.push_str(&blake3::hash(name.as_bytes()).to_hex()[..CUT_BYTES - 2]);
        }
        Segment(text)
    }

    /// Reads a segment of a path. None if no name has this segment.
    pub fn parse(text: &str) -> Option<Segment> {
        let segment = Segment(text.to_owned());
        let is_valid = match segment.name() {
            Some(name) => Segment::from_name(&name) == segment,
            None => is_cut(text),
        };
        is_valid.then_some(segment)
    }

    /// Returns the segment as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name. None if the segment was cut.
    pub fn name(&self) -> Option<String> {
        let mut bytes = Vec::with_capacity(self.0.len());
        let mut rest = self.0.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            if *first != b'~' {
                bytes.push(*first);
                rest = tail;
                continue;
            }
            let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok())?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        }
        String::from_utf8(bytes).ok().filter(|name| !name.is_empty())
    }

    /// Returns whether this is the segment of a name.
    pub fn is_of(&self, name: &str) -> bool {
        *self == Segment::from_name(name)
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Segment {
    fn from(name: &str) -> Segment {
        Segment::from_name(name)
    }
}

impl From<&String> for Segment {
    fn from(name: &String) -> Segment {
        Segment::from_name(name)
    }
}

/// Returns whether the first byte is escaped though it is a plain one: hidden files, devices of Windows, and `index`, which
/// the pages of folders have.
fn must_escape_first(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    name.starts_with('.') || stem.starts_with("index") || DEVICES.contains(&stem.as_str())
}

fn is_cut(text: &str) -> bool {
    let Some((kept, digits)) = text.split_once("~~") else { return false };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-~".contains(&byte);
    text.len() <= SEGMENT_BYTES_MAX
        && kept.bytes().all(is_plain)
        && digits.len() == CUT_BYTES - 2
        && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_names_have_known_segments() {
        for (name, segment) in [
            ("dcp", "dcp"),
            ("AOD-Net", "AOD-Net"),
            ("dcp/s0001.png", "dcp~2Fs0001.png"),
            (".hidden", "~2Ehidden"),
            ("..", "~2E~2E"),
            ("index", "~69ndex"),
            ("Index-2.html", "~49ndex-2.html"),
            ("con.png", "~63on.png"),
            ("end.", "end~2E"),
            ("~none", "~7Enone"),
            ("é", "~C3~A9"),
        ] {
            assert_eq!(Segment::from_name(name).as_str(), segment);
            assert_eq!(Segment::parse(segment).and_then(|segment| segment.name()).as_deref(), Some(name));
        }
        for text in ["", "a b", "~", "~2", "~zz", "~2f", "..", "index", "~FF", "~61", "~none", "~~", "a~~0123"] {
            assert_eq!(Segment::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_read_back_or_found(name in ".{1,90}", other in ".{1,90}") {
            let segment = Segment::from_name(&name);
            let text = segment.as_str();
            prop_assert!(!text.is_empty() && text.len() <= SEGMENT_BYTES_MAX);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-~".contains(&byte)));
            prop_assert!(!text.starts_with('.') && !text.ends_with('.') && !text.starts_with("index"));
            prop_assert_eq!(Segment::parse(text), Some(segment.clone()));
            prop_assert!(segment.is_of(&name));
            prop_assert_eq!(segment.is_of(&other), name == other);
            if let Some(read) = segment.name() {
                prop_assert_eq!(read, name);
            } else {
                prop_assert!(text.contains("~~"));
            }
        }
    }
}
