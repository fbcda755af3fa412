//! The header of a picture: its size, or the reason why it cannot be scored.

use serde::{Deserialize, Serialize};

/// The content of a picture's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureHeader {
    /// The picture's size in pixels.
    Size {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The file is not a picture that can be scored.
    Unreadable {
        /// A stable code for programs.
        code: String,
        /// A message for people.
        message: String,
    },
}

impl PictureHeader {
    /// Returns width and height in pixels.
    pub fn size(&self) -> Option<(u32, u32)> {
        match self {
            PictureHeader::Size { width, height } => Some((*width, *height)),
            PictureHeader::Unreadable { .. } => None,
        }
    }

    /// Returns code and message.
    pub fn error(&self) -> Option<(&str, &str)> {
        match self {
            PictureHeader::Size { .. } => None,
            PictureHeader::Unreadable { code, message } => Some((code, message)),
        }
    }
}
