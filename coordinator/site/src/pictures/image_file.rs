//! A file of a picture as a browser gets it.

use bytes::Bytes;

/// A file that a browser shows.
#[derive(Clone, Debug)]
pub(crate) struct ImageFile {
    pub(crate) media_type: &'static str,
    pub(crate) bytes: Bytes,
}
