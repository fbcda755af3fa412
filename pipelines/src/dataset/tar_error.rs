//! Errors in a tar.

/// What is wrong with a tar.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// No range of it is a picture.
    #[error(
        "it is compressed with {with}, so that no picture in it can be read by itself; unpack it to a .tar, or name it in `skip`"
    )]
    Compressed {
        /// The program that did it.
        with: &'static str,
    },
    /// It ends too early.
    #[error(
        "it ends at offset {end}, before {what} at offset {offset} is whole; it was cut off: copy it or write it again"
    )]
    Truncated {
        /// What is not whole.
        what: String,
        /// Where its header is or should be.
        offset: u64,
        /// The tar's length.
        end: u64,
    },
    /// What should be a header is none.
    #[error("there is no header at offset {offset}: {why}; copy the tar or write it again")]
    Header {
        /// Where.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// A member without bytes of its own in one piece.
    #[error("`{name}` at offset {offset} is {kind}, no file; write the tar again {remedy}")]
    Kind {
        /// The member.
        name: String,
        /// Of its header.
        offset: u64,
        /// What it is.
        kind: String,
        /// How it would be a file, or gone.
        remedy: &'static str,
    },
    /// A name that is not below the tar, or no text.
    #[error("the name `{name}` at offset {offset} {why}; write the tar again with names below its folder")]
    Name {
        /// As stored.
        name: String,
        /// Of its header.
        offset: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two members of one name.
    #[error(
        "`{name}` is there twice, at the offsets {first} and {second}, and only the last is taken, as it would be unpacked"
    )]
    Duplicate {
        /// Of both.
        name: String,
        /// The header of one.
        first: u64,
        /// The header of the other.
        second: u64,
    },
    /// More after what says that it ends.
    #[error(
        "it goes on at offset {offset}, behind its end; join tars with `tar --concatenate`, not `cat`, or keep them apart"
    )]
    TrailingData {
        /// The first byte behind the end that is not zero.
        offset: u64,
    },
}
