//! Errors in a tar.

/// Why a tar or one of its members cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The tar is compressed, so that no range of it is a picture.
    #[error(
        "it is compressed with {with}, so that no picture in it can be read by itself; unpack it to a .tar, or name it in `skip`"
    )]
    Compressed {
        /// The program that compressed it.
        with: &'static str,
    },
    /// The tar ends too early.
    #[error(
        "it ends at offset {end}, before the end of {what} at offset {offset}; it is truncated: copy it or write it again"
    )]
    Truncated {
        /// The truncated entry.
        what: String,
        /// The offset of its header.
        offset: u64,
        /// The tar's length.
        end: u64,
    },
    /// A header is missing or invalid.
    #[error("there is no header at offset {offset}: {why}; copy the tar or write it again")]
    Header {
        /// The header's offset.
        offset: u64,
        /// Why it is invalid.
        why: String,
    },
    /// The content of a member is not one range of the tar.
    #[error("`{name}` at offset {offset} is {kind}, not a file; write the tar again {remedy}")]
    Kind {
        /// The member's name.
        name: String,
        /// The header's offset.
        offset: u64,
        /// The member's kind.
        kind: String,
        /// How the tar must be written.
        remedy: &'static str,
    },
    /// A member's name is not UTF-8, or not a path below the tar.
    #[error("the name `{name}` at offset {offset} {why}; write the tar again with names below its folder")]
    Name {
        /// The name.
        name: String,
        /// The header's offset.
        offset: u64,
        /// Why it is invalid.
        why: &'static str,
    },
    /// Two members have the same name.
    #[error(
        "`{name}` occurs twice, at the offsets {first} and {second}, and only the last is used, as when the tar is unpacked"
    )]
    Duplicate {
        /// The name.
        name: String,
        /// The offset of the first header.
        first: u64,
        /// The offset of the last header.
        second: u64,
    },
    /// The tar has data after its end marker.
    #[error(
        "it continues at offset {offset}, after its end; join tars with `tar --concatenate`, not `cat`, or keep them apart"
    )]
    TrailingData {
        /// The offset of the first byte after the end that is not zero.
        offset: u64,
    },
}
