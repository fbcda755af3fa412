//! Why a picture could not be had. Owns the stable codes that a failed row carries through tables and logs; each variant
//! says what was tried on what, and its cause is its `source`.

use std::error::Error;
use std::fmt;
use std::io;

use dqa_pipelines::causes;
use serde::{Deserialize, Serialize};

use super::Format;

/// What a decoder said.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Stable name of a kind of [`PictureError`], the same in tables, logs and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// No known signature, or an empty file.
    NotAnImage,
    /// A known format that is not read, or a variant of a read one that is not.
    UnsupportedFormat,
    /// The file ends before the picture does.
    Truncated,
    /// The file contradicts itself or its format.
    Corrupt,
    /// More bytes, pixels or side than allowed.
    TooLarge,
    /// A side too short for one window.
    TooSmall,
    /// The bytes could not be had.
    Io,
    /// The model's score is no number.
    NotFinite,
    /// Our fault: a decoder panicked.
    Internal,
}

impl ErrorCode {
    /// The code as it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAnImage => "not_an_image",
            Self::UnsupportedFormat => "unsupported_format",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::TooLarge => "too_large",
            Self::TooSmall => "too_small",
            Self::Io => "io",
            Self::NotFinite => "not_finite",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a picture could not be had. [`PictureError::code`] is stable; the message is for people.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// No known signature, or an empty file.
    #[error("not a picture: {what}; expected PNG, JPEG, TIFF, BMP, WebP, GIF or PNM")]
    NotAnImage {
        /// What was found instead.
        what: &'static str,
    },
    /// A known format or variant that is not read.
    #[error("{what} is not read here; {advice}")]
    UnsupportedFormat {
        /// The format or variant by its name.
        what: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The file ends before the picture does.
    #[error("{format} file ends before its picture does; fetch it again")]
    Truncated {
        /// The format its signature names.
        format: Format,
        /// What the decoder said.
        #[source]
        cause: Cause,
    },
    /// The file contradicts itself or its format.
    #[error("{format} file is damaged; fetch it again or leave it out")]
    Corrupt {
        /// The format its signature names.
        format: Format,
        /// What the decoder said.
        #[source]
        cause: Cause,
    },
    /// More bytes, pixels or side than allowed.
    #[error("picture is too large: {what}, over the limit of {limit}")]
    TooLarge {
        /// The size that is over the limit, with its unit.
        what: String,
        /// The limit, in the same unit.
        limit: u64,
    },
    /// A side too short for one window.
    #[error("picture is too small: {width}x{height}, and each side must be {side_min} or more to hold one window")]
    TooSmall {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// The limit that was not met.
        side_min: u32,
    },
    /// The bytes could not be had.
    #[error("cannot read {path}")]
    Io {
        /// The picture's path or address.
        path: String,
        /// What the file system or the store said.
        #[source]
        source: io::Error,
    },
    /// The model's score is no number: an overflow in its arithmetic, or weights that hold one.
    #[error("score is not finite; score it again in f32, and check the model's weights if that is the same")]
    NotFinite,
    /// Our fault: a decoder panicked.
    #[error("decoder of {format} panicked: {message}; this is a bug, please report it with the file")]
    Internal {
        /// The format its signature names.
        format: Format,
        /// What it panicked with.
        message: String,
    },
}

impl PictureError {
    /// The stable code of this error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotAnImage { .. } => ErrorCode::NotAnImage,
            Self::UnsupportedFormat { .. } => ErrorCode::UnsupportedFormat,
            Self::Truncated { .. } => ErrorCode::Truncated,
            Self::Corrupt { .. } => ErrorCode::Corrupt,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
            Self::TooSmall { .. } => ErrorCode::TooSmall,
            Self::Io { .. } => ErrorCode::Io,
            Self::NotFinite => ErrorCode::NotFinite,
            Self::Internal { .. } => ErrorCode::Internal,
        }
    }

    /// The error with its causes, on one line.
    pub fn line(&self) -> String {
        causes(self).to_string()
    }

    /// Whether the same attempt may succeed later: only reading may, and not where the path itself is wrong.
    pub fn is_transient(&self) -> bool {
        use io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied};
        match self {
            Self::Io { source, .. } => {
                !matches!(source.kind(), NotFound | PermissionDenied | IsADirectory | NotADirectory | InvalidInput)
            }
            _ => false,
        }
    }

    pub(super) fn unsupported(what: impl Into<String>) -> Self {
        Self::UnsupportedFormat { what: what.into(), advice: "convert the picture to PNG" }
    }

    /// The error for a camera's own format.
    pub(super) fn camera_raw(kind: &str) -> Self {
        Self::UnsupportedFormat { what: format!("camera RAW ({kind})"), advice: "develop the picture to PNG or TIFF" }
    }

    pub(super) fn truncated(format: Format, cause: impl Into<Cause>) -> Self {
        Self::Truncated { format, cause: cause.into() }
    }

    pub(super) fn corrupt(format: Format, cause: impl Into<Cause>) -> Self {
        Self::Corrupt { format, cause: cause.into() }
    }

    /// A decoder's error with an unexpected end of file anywhere down its chain of causes is a truncation.
    pub(super) fn of_decoder(format: Format, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        let mut next: Option<&(dyn Error + 'static)> = Some(cause.as_ref());
        while let Some(error) = next {
            let end = error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::UnexpectedEof);
            if end {
                return Self::Truncated { format, cause };
            }
            next = error.source();
        }
        Self::Corrupt { format, cause }
    }
}
