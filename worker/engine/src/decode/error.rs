//! The errors of pictures, with the stable codes that failed rows have in tables and logs. Each variant's cause is its
//! `source`.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use dqa_metrics::Undefined;
use dqa_pipelines::{Retryable, causes};
use serde::{Deserialize, Serialize};

use super::Format;

/// A decoder's error.
pub(super) type Cause = Box<dyn Error + Send + Sync>;

/// The stable code of a [`PictureError`], the same in tables, logs and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// No known signature, or an empty file.
    NotAnImage,
    /// A known format that is not supported, or an unsupported variant of a supported one.
    UnsupportedFormat,
    /// The file ends before the picture does.
    Truncated,
    /// The file contradicts itself or its format.
    Corrupt,
    /// More bytes or pixels, or a longer side, than allowed.
    TooLarge,
    /// A side too short for one window.
    TooSmall,
    /// The file cannot be read.
    Io,
    /// The model's score is not finite.
    NotFinite,
    /// A metric compares with a clear or hazy picture, and there is none.
    ReferenceMissing,
    /// The clear or hazy picture has another size.
    ReferenceSize,
    /// The clear or hazy picture cannot be read.
    ReferenceUnreadable,
    /// The picture equals its reference, and the metric's value is infinite.
    Infinite,
    /// The metric is not defined for the picture.
    Undefined,
    /// A bug of dqa's: a decoder panicked.
    Internal,
}

impl ErrorCode {
    /// Returns the code's name.
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
            Self::ReferenceMissing => "reference_missing",
            Self::ReferenceSize => "reference_size",
            Self::ReferenceUnreadable => "reference_unreadable",
            Self::Infinite => "infinite",
            Self::Undefined => "undefined",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a picture has no score. [`PictureError::code`] is stable; the message is for people.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// No known signature, or an empty file.
    #[error("not a picture: {what}; expected PNG, JPEG, TIFF, BMP, WebP, GIF or PNM")]
    NotAnImage {
        /// What was found instead.
        what: &'static str,
    },
    /// A known format or variant that is not supported.
    #[error("{what} is not read here; {advice}")]
    UnsupportedFormat {
        /// Name of the format or variant.
        what: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The file ends before the picture does.
    #[error("{format} file ends before its picture does; fetch it again")]
    Truncated {
        /// The format by the file's signature.
        format: Format,
        /// The decoder's error.
        #[source]
        cause: Cause,
    },
    /// The file contradicts itself or its format.
    #[error("{format} file is damaged; fetch it again or leave it out")]
    Corrupt {
        /// The format by the file's signature.
        format: Format,
        /// The decoder's error.
        #[source]
        cause: Cause,
    },
    /// More bytes or pixels, or a longer side, than allowed.
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
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The shortest side that is allowed, in pixels.
        side_min: u32,
    },
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The picture's path or address.
        path: String,
        /// The error of the file system or the store.
        #[source]
        source: io::Error,
    },
    /// The model's score is not finite: its arithmetic overflowed, or its weights are not finite.
    #[error("score is not finite; score it again in f32, and check the model's weights if that is the same")]
    NotFinite,
    /// A metric has no value for the picture.
    #[error(transparent)]
    Metric(#[from] dqa_metrics::Undefined),
    /// The picture that a metric compares with cannot be read.
    #[error("the picture to compare with cannot be read")]
    Reference(#[source] Arc<PictureError>),
    /// A bug of dqa's: a decoder panicked.
    #[error("decoder of {format} panicked: {message}; this is a bug, please report it with the file")]
    Internal {
        /// The format by the file's signature.
        format: Format,
        /// The panic's message.
        message: String,
    },
}

/// Only reading may succeed later, unless the path itself is wrong.
impl Retryable for PictureError {
    fn is_retryable(&self) -> bool {
        use io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied};
        match self {
            Self::Io { source, .. } => {
                !matches!(source.kind(), NotFound | PermissionDenied | IsADirectory | NotADirectory | InvalidInput)
            }
            _ => false,
        }
    }
}

impl PictureError {
    /// Returns the stable code.
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
            Self::Metric(undefined) => match undefined {
                Undefined::TooSmall(_) => ErrorCode::TooSmall,
                Undefined::ReferenceMissing(_) => ErrorCode::ReferenceMissing,
                Undefined::ReferenceSize { .. } => ErrorCode::ReferenceSize,
                Undefined::Infinite => ErrorCode::Infinite,
                Undefined::Degenerate(_) => ErrorCode::Undefined,
            },
            Self::Reference(_) => ErrorCode::ReferenceUnreadable,
            Self::Internal { .. } => ErrorCode::Internal,
        }
    }

    /// Returns the error with its causes on one line.
    pub fn line(&self) -> String {
        causes(self).to_string()
    }

    pub(super) fn unsupported(what: impl Into<String>) -> Self {
        Self::UnsupportedFormat { what: what.into(), advice: "convert the picture to PNG" }
    }

    /// Returns the error for a camera's own format.
    pub(super) fn camera_raw(kind: &str) -> Self {
        Self::UnsupportedFormat { what: format!("camera RAW ({kind})"), advice: "develop the picture to PNG or TIFF" }
    }

    pub(super) fn truncated(format: Format, cause: impl Into<Cause>) -> Self {
        Self::Truncated { format, cause: cause.into() }
    }

    pub(super) fn corrupt(format: Format, cause: impl Into<Cause>) -> Self {
        Self::Corrupt { format, cause: cause.into() }
    }

    /// Converts a decoder's error: an unexpected end of file anywhere in its chain of causes is a truncation.
    pub(super) fn from_decoder(format: Format, cause: impl Into<Cause>) -> Self {
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
