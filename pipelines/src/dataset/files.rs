//! What a place holds, with tars opened: a tar is as a folder of its members. It owns which objects are tars and how many
//! are opened at once; what its caller looks for decides which are opened. Nothing that it finds is lost: what is no file that
//! can be read is an entry of its own.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::error::DatasetError;
use super::left_out::Filter;
use super::members::{self, TarError};
use crate::store::{Listed, Object, Store, Unusable};

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

/// What is found below a folder.
#[derive(Debug)]
pub(super) enum Entry {
    /// What may be a picture.
    File(File),
    /// A key that is clutter, of a folder or a file.
    Clutter { key: String, is_folder: bool },
    /// What cannot be had as an object.
    Unusable(Unusable),
    /// A member of a tar that cannot be read.
    Unfit { key: String, why: String },
    /// A tar that cannot be read to its end: nothing of it is taken.
    Broken { key: String, address: String, why: DatasetError },
}

/// All that is below `folder`, some at a time. `filter` tells clutter, which is not looked into. `is_opened` says whether
/// the members of the tar with this key count; where not, the tar is a file itself.
pub(super) fn list<'a>(
    place: &'a Store,
    folder: &str,
    filter: &Filter,
    is_opened: impl Fn(&str) -> bool + Send + 'a,
) -> BoxStream<'a, Result<Vec<Entry>, DatasetError>> {
    let (of_folders, filter) = (filter.clone(), filter.clone());
    let each = move |listed: Listed| {
        let filter = filter.clone();
        let entry = entry(listed, &filter);
        let tar = matches!(&entry, Entry::File(file) if is_opened(&file.object.key));
        async move {
            match entry {
                Entry::File(File { object, .. }) if tar => open(place, &object, &filter).await,
                entry => Ok(vec![entry]),
            }
        }
    };
    // In order: what is found first, of faults above all, does not depend on which tar is read faster.
    let listed = place.list_all(folder, move |key| of_folders.leaves_out(key).is_none());
    listed.err_into().map_ok(each).try_buffered(TARS_MAX).boxed()
}

fn entry(listed: Listed, filter: &Filter) -> Entry {
    match listed {
        Listed::Skipped(key) => Entry::Clutter { key, is_folder: true },
        Listed::Unusable(Unusable { key, .. }) if filter.leaves_out(&key).is_some() => {
            Entry::Clutter { key, is_folder: false }
        }
        Listed::Unusable(unusable) => Entry::Unusable(unusable),
        Listed::Object(object) if filter.leaves_out(&object.key).is_some() => {
            Entry::Clutter { key: object.key, is_folder: false }
        }
        Listed::Object(object) => Entry::File(File { object, uri: None }),
    }
}

/// The members of a tar.
pub(super) async fn open(place: &Store, tar: &Object, filter: &Filter) -> Result<Vec<Entry>, DatasetError> {
    let broken = |source| DatasetError::Tar { address: place.address(&tar.key), source };
    if let Some((_, with)) = COMPRESSED.iter().find(|(end, _)| tar.key.ends_with(end)) {
        let why = broken(TarError::Compressed { with });
        return Ok(vec![Entry::Broken { key: tar.key.clone(), address: place.address(&tar.key), why }]);
    }
    let contents = match members::list(place, tar).await {
        Ok(contents) => contents,
        Err(error) if error.may_pass() => return Err(error),
        // Of this tar alone: it may not be read, or went away.
        Err(why) => return Ok(vec![Entry::Broken { key: tar.key.clone(), address: place.address(&tar.key), why }]),
    };
    if let Some(why) = contents.broken {
        // What is whole in it may be of two writings of one tar.
        return Ok(vec![Entry::Broken { key: tar.key.clone(), address: place.address(&tar.key), why: broken(why) }]);
    }
    let key = |name: &str| format!("{}/{name}", tar.key);
    let file = |members::Member { name, extent }| {
        let key = key(&name);
        if filter.leaves_out(&key).is_some() {
            return Entry::Clutter { key, is_folder: false };
        }
        let uri = Some(place.address_of_part(&tar.key, extent, &name).into());
        Entry::File(File { uri, object: tar.part(key, extent) })
    };
    let unfit = |(name, why): (String, TarError)| {
        let key = key(&name);
        if filter.leaves_out(&key).is_some() {
            return Entry::Clutter { key, is_folder: false };
        }
        Entry::Unfit { key: tar.key.clone(), why: why.to_string() }
    };
    let mut entries: Vec<Entry> = contents.members.into_iter().map(file).collect();
    entries.extend(contents.unfit.into_iter().map(unfit));
    Ok(entries)
}
