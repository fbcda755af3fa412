//! Lists a store as if each tar were a folder of its members. This module owns which objects are tars and how many are read
//! at the same time; its caller decides which are opened. Nothing is lost: what cannot be read as a file is an entry of its
//! own.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::error::DatasetError;
use super::load_policy::LoadPolicy;
use super::picture::Picture;
use super::skipped::ClutterFilter;
use super::tar_error::TarError;
use super::tar_members;
use crate::Retryable;
use crate::store::{ListEntry, Object, Store, UnusableEntry};

/// Tars whose headers are read at the same time. Each waits for one response after the other, and a store answers many
/// requests as fast as one.
const TARS_MAX: usize = 64;

/// Extensions of compressed tars, and the programs that compressed them.
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
    /// A member's key is the tar's key, a slash, and the member's name.
    pub(super) object: Object,
    /// A member's address, which cannot be derived from its key. None for an object.
    pub(super) uri: Option<Box<str>>,
}

/// Returns the key that a tar would have without compression: `x.tar` for `x.tar` and `x.tar.gz`. None if the key is not a
/// tar's.
pub(super) fn uncompressed_tar_key(key: &str) -> Option<String> {
    if key.ends_with(".tar") {
        return Some(key.to_owned());
    }
    COMPRESSED.iter().find_map(|(end, _)| key.strip_suffix(end)).map(|stem| format!("{stem}.tar"))
}

impl File {
    /// Returns about how much memory the file takes as a picture of a data set, in bytes.
    pub(super) fn memory(&self) -> usize {
        let texts = [&*self.object.key, &self.object.version, self.uri.as_deref().unwrap_or_default()];
        size_of::<Picture>() + texts.into_iter().map(str::len).sum::<usize>()
    }
}

/// What a listing leaves out, and what it may take.
#[derive(Clone, Copy)]
pub(super) struct Listing<'a> {
    pub(super) filter: &'a ClutterFilter,
    pub(super) policy: &'a LoadPolicy,
}

/// What is found below a folder.
#[derive(Debug)]
pub(super) enum Entry {
    /// A file that may be a picture.
    File(File),
    /// The key of a file or folder that is clutter.
    Clutter { key: String, is_folder: bool },
    /// An entry that cannot be read as an object.
    Unusable(UnusableEntry),
    /// A member of the tar `key` that cannot be read.
    UnusableMember { key: String, why: String },
    /// A tar that cannot be read to its end. None of its members is used.
    BrokenTar { key: String, address: String, why: DatasetError },
}

/// Lists everything below `folder`, in batches. Folders that the filter classifies as clutter are not entered. `is_opened`
/// returns whether the tar with a key is listed as its members; otherwise the tar is a file.
pub(super) fn list<'a>(
    store: &'a Store,
    folder: &str,
    listing: Listing<'a>,
    is_opened: impl Fn(&str) -> bool + Send + 'a,
) -> BoxStream<'a, Result<Vec<Entry>, DatasetError>> {
    let folder_filter = listing.filter.clone();
    let expand = move |listed: ListEntry| {
        let entry = classify(listed, listing.filter);
        let is_tar = matches!(&entry, Entry::File(file) if is_opened(&file.object.key));
        async move {
            match entry {
                Entry::File(File { object, .. }) if is_tar => open(store, &object, listing).await,
                entry => Ok(vec![entry]),
            }
        }
    };
    // In order, so that the first faults do not depend on which tar is read faster.
    let listed = store.list_entries(folder, move |key| folder_filter.find_clutter(key).is_none());
    listed.err_into().map_ok(expand).try_buffered(TARS_MAX).boxed()
}

fn classify(listed: ListEntry, filter: &ClutterFilter) -> Entry {
    match listed {
        ListEntry::SkippedFolder(key) => Entry::Clutter { key, is_folder: true },
        ListEntry::Unusable(UnusableEntry { key, .. }) if filter.find_clutter(&key).is_some() => {
            Entry::Clutter { key, is_folder: false }
        }
        ListEntry::Unusable(unusable) => Entry::Unusable(unusable),
        ListEntry::Object(object) if filter.find_clutter(&object.key).is_some() => {
            Entry::Clutter { key: object.key, is_folder: false }
        }
        ListEntry::Object(object) => Entry::File(File { object, uri: None }),
    }
}

/// Lists the members of a tar.
pub(super) async fn open(store: &Store, tar: &Object, listing: Listing<'_>) -> Result<Vec<Entry>, DatasetError> {
    let Listing { filter, policy } = listing;
    let broken = |why| Ok(vec![Entry::BrokenTar { key: tar.key.clone(), address: store.address(&tar.key), why }]);
    let tar_error = |source| DatasetError::Tar { address: store.address(&tar.key), source };
    if let Some((_, with)) = COMPRESSED.iter().find(|(end, _)| tar.key.ends_with(end)) {
        return broken(tar_error(TarError::Compressed { with }));
    }
    let contents = match tar_members::list(store, tar, policy).await {
        Ok(contents) => contents,
        Err(error @ DatasetError::TooManyFiles { .. }) => return Err(error),
        Err(error) if error.is_retryable() => return Err(error),
        // The error concerns this tar alone: it cannot be read, or was deleted.
        Err(why) => return broken(why),
    };
    if let Some(why) = contents.broken {
        // The members that can be read may come from two different versions of the tar.
        return broken(tar_error(why));
    }
    let key = |name: &str| format!("{}/{name}", tar.key);
    let file = |tar_members::Member { name, range }| {
        let key = key(&name);
        if filter.find_clutter(&key).is_some() {
            return Entry::Clutter { key, is_folder: false };
        }
        let uri = Some(store.range_address(&tar.key, range, &name).into());
        Entry::File(File { uri, object: tar.slice(key, range) })
    };
    let unusable = |(name, why): (String, TarError)| {
        let key = key(&name);
        if filter.find_clutter(&key).is_some() {
            return Entry::Clutter { key, is_folder: false };
        }
        Entry::UnusableMember { key: tar.key.clone(), why: why.to_string() }
    };
    let mut entries: Vec<Entry> = contents.members.into_iter().map(file).collect();
    entries.extend(contents.unusable.into_iter().map(unusable));
    Ok(entries)
}
