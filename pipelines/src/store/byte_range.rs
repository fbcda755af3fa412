//! A range of bytes in an object (usually a tar's member), and its text in an address:
//! `s3://bucket/x.tar#offset=1536&bytes=48213&member=a%2Fs1.png`. This module writes and parses that text, and reads nothing.
//!
//! An object's own address has no `#`: one in a name is written `%23`. So the text after a `#` is a range or an error.

use std::ops::Range;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Url, form_urlencoded};

/// Characters that would end a value, or are not visible.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A range of bytes in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The offset of the first byte.
    pub offset: u64,
    /// The length.
    pub bytes: u64,
}

impl ByteRange {
    /// Returns the half-open range of offsets.
    pub fn as_range(self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.bytes)
    }

    /// Returns the first `bytes` of the range, or all of it if it is shorter.
    pub(super) fn first(self, bytes: u64) -> ByteRange {
        ByteRange { bytes: self.bytes.min(bytes), ..self }
    }

    /// Returns the range of a part of this range, or None if it is not within.
    pub(super) fn part(self, part: ByteRange) -> Option<ByteRange> {
        part.offset.checked_add(part.bytes).filter(|end| *end <= self.bytes)?;
        Some(ByteRange { offset: self.offset.checked_add(part.offset)?, bytes: part.bytes })
    }

    /// Returns the text after the `#`. The member's name is for people, and for [`member_path`].
    pub(super) fn fragment(self, member: &str) -> String {
        format!("offset={}&bytes={}&member={}", self.offset, self.bytes, utf8_percent_encode(member, ESCAPED))
    }

    /// Parses the text of [`ByteRange::fragment`]. The member is optional, and unknown keys are refused.
    pub(super) fn parse(fragment: &str) -> Option<ByteRange> {
        let (mut offset, mut bytes) = (None, None);
        for (key, value) in form_urlencoded::parse(fragment.as_bytes()) {
            match &*key {
                "offset" => offset = Some(value.parse::<u64>().ok()?),
                "bytes" => bytes = Some(value.parse::<u64>().ok()?),
                "member" => {}
                _ => return None,
            }
        }
        let range = ByteRange { offset: offset?, bytes: bytes? };
        range.offset.checked_add(range.bytes).map(|_| range)
    }
}

/// Returns the address of a tar's member as if the tar were a folder: `s3://bucket/x.tar/a/s1.png`. Returns any other address
/// unchanged.
pub fn member_path(address: &str) -> String {
    let member = |url: &Url| {
        let pairs = form_urlencoded::parse(url.fragment()?.as_bytes());
        pairs.into_iter().find(|(key, _)| key == "member").map(|(_, member)| member.into_owned())
    };
    match (address.split_once('#'), Url::parse(address).ok().as_ref().and_then(member)) {
        (Some((object, _)), Some(member)) => format!("{object}/{member}"),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(offset: u32, bytes: u32, member in "[ -~é/#&=+%]{1,20}") {
            let range = ByteRange { offset: offset.into(), bytes: bytes.into() };
            let address = format!("s3://b/x.tar#{}", range.fragment(&member));
            let url = Url::parse(&address).unwrap();
            prop_assert_eq!(ByteRange::parse(url.fragment().unwrap()), Some(range));
            prop_assert_eq!(member_path(&address), format!("s3://b/x.tar/{member}"));
        }
    }

    #[test]
    fn invalid_ranges_are_refused() {
        for text in ["", "top", "offset=1", "bytes=1", "offset=-1&bytes=1", "offset=1&bytes=1&version=2"] {
            assert_eq!(ByteRange::parse(text), None, "{text}");
        }
        assert_eq!(ByteRange::parse("offset=18446744073709551615&bytes=1"), None);
        assert_eq!(ByteRange::parse("bytes=2&offset=1"), Some(ByteRange { offset: 1, bytes: 2 }));
        let range = ByteRange { offset: 512, bytes: 100 };
        assert_eq!(range.part(ByteRange { offset: 90, bytes: 10 }), Some(ByteRange { offset: 602, bytes: 10 }));
        assert_eq!(range.part(ByteRange { offset: 91, bytes: 10 }), None);
        assert_eq!(member_path("/a/b#1.png"), "/a/b#1.png");
    }
}
