//! A range of bytes in an object, a tar's member above all, and how it is said behind an object's address:
//! `s3://bucket/x.tar#offset=1536&bytes=48213&member=a%2Fs1.png`. It owns that text both ways and reads nothing.
//!
//! An object's own address has no `#`: one in a name is `%23`. So what is behind one is an extent or a mistake.

use std::ops::Range;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Url, form_urlencoded};

/// What would end a value, or is not seen as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where in an object some bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Of the first byte.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

impl Extent {
    /// As a range, which an extent that was found or parsed has.
    pub fn range(self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.bytes)
    }

    /// No more than the first `bytes` of it.
    pub(super) fn first(self, bytes: u64) -> Extent {
        Extent { bytes: self.bytes.min(bytes), ..self }
    }

    /// What is behind the `#`. The member's name is for people, and for [`plain_name`].
    pub(super) fn fragment(self, member: &str) -> String {
        format!("offset={}&bytes={}&member={}", self.offset, self.bytes, utf8_percent_encode(member, ESCAPED))
    }

    /// From [`Extent::fragment`]; the member may be left out, anything else may not be there.
    pub(super) fn parse(fragment: &str) -> Option<Extent> {
        let (mut offset, mut bytes) = (None, None);
        for (key, value) in form_urlencoded::parse(fragment.as_bytes()) {
            match &*key {
                "offset" => offset = Some(value.parse::<u64>().ok()?),
                "bytes" => bytes = Some(value.parse::<u64>().ok()?),
                "member" => {}
                _ => return None,
            }
        }
        let extent = Extent { offset: offset?, bytes: bytes? };
        extent.offset.checked_add(extent.bytes).map(|_| extent)
    }
}

/// An address with a member's name as if its tar were a folder: `s3://bucket/x.tar/a/s1.png`. Others are as they were.
pub fn plain_name(address: &str) -> String {
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
            let extent = Extent { offset: offset.into(), bytes: bytes.into() };
            let address = format!("s3://b/x.tar#{}", extent.fragment(&member));
            let url = Url::parse(&address).unwrap();
            prop_assert_eq!(Extent::parse(url.fragment().unwrap()), Some(extent));
            prop_assert_eq!(plain_name(&address), format!("s3://b/x.tar/{member}"));
        }
    }

    #[test]
    fn what_is_no_extent_is_refused() {
        for text in ["", "top", "offset=1", "bytes=1", "offset=-1&bytes=1", "offset=1&bytes=1&version=2"] {
            assert_eq!(Extent::parse(text), None, "{text}");
        }
        assert_eq!(Extent::parse("offset=18446744073709551615&bytes=1"), None);
        assert_eq!(Extent::parse("bytes=2&offset=1"), Some(Extent { offset: 1, bytes: 2 }));
        assert_eq!(plain_name("/a/b#1.png"), "/a/b#1.png");
    }
}
