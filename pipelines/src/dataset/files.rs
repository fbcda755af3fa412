//! What a place holds, with tars opened: a tar is as a folder of its members. It owns which objects are tars and how many
//! are opened at once; what its caller looks for decides which are opened.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::error::DatasetError;
use super::members::{self, TarError};
use crate::place::{Object, Place};

/// Tars whose headers are read at once: each waits for one answer after the other, and a store gives many as fast as one.
const TARS_MAX: usize = 64;

/// Ends of compressed tars' names, and what they were compressed with.
const COMPRESSED: [(&str, &str); 6] = [
    (".tar.gz", "gzip"),
    (".tgz", "gzip"),
    (".tar.zst", "zstd"),
    (".tar.xz", "xz"),
    (".tar.bz2", "bzip2"),
    (".tar.lz4", "lz4"),
];

/// A file that can be read: an object, or a member of a tar.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Of a member the key is the tar's, a slash, and the member's name.
    pub(super) object: Object,
    /// A member's address, which its key does not say.
    pub(super) uri: Option<Box<str>>,
}

/// How a tar is called that is not compressed: `x.tar` for `x.tar` and for `x.tar.gz`; None for what is no tar.
pub(super) fn plain_tar(key: &str) -> Option<String> {
    if key.ends_with(".tar") {
        return Some(key.to_owned());
    }
    COMPRESSED.iter().find_map(|(end, _)| key.strip_suffix(end)).map(|stem| format!("{stem}.tar"))
}

/// All files below `folder`, some at a time. `is_opened` says whether the members of the tar with this key count; where
/// not, the tar is a file itself.
pub(super) fn list<'a>(
    place: &'a Place,
    folder: &str,
    is_opened: impl Fn(&str) -> bool + Send + 'a,
) -> BoxStream<'a, Result<Vec<File>, DatasetError>> {
    let each = move |object: Object| {
        let is_opened = is_opened(&object.key);
        async move { if is_opened { open(place, &object).await } else { Ok(vec![File { object, uri: None }]) } }
    };
    // In order: what is found first, of faults above all, does not depend on which tar is read faster.
    place.list(folder).err_into().map_ok(each).try_buffered(TARS_MAX).boxed()
}

/// The members of a tar.
pub(super) async fn open(place: &Place, tar: &Object) -> Result<Vec<File>, DatasetError> {
    if let Some((_, with)) = COMPRESSED.iter().find(|(end, _)| tar.key.ends_with(end)) {
        return Err(DatasetError::Tar { address: place.address(&tar.key), source: TarError::Compressed { with } });
    }
    let members = members::list(place, tar).await?;
    let file = |members::Member { name, extent }| File {
        uri: Some(place.address_of_part(&tar.key, extent, &name).into()),
        object: tar.part(format!("{}/{name}", tar.key), extent),
    };
    Ok(members.into_iter().map(file).collect())
}
