//! Walks the files below a local folder as objects. This module owns which entries of a file system cannot be objects, and
//! goes on after each: a name that is not UTF-8, a broken link or an unreadable folder hides no other entry.
//!
//! - Links are followed, except those that lead to a folder that contains them.
//! - Every entry is reported: as an object, as unusable, or inside a folder that is not entered.

use std::fs::Metadata;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use object_store::ObjectMeta;
use object_store::path::Path;
use walkdir::{DirEntry, IntoIter, WalkDir};

use super::entry::{UnusableEntry, UnusableKind, escape_path};
use crate::causes;

/// A step of a walk.
pub(super) enum WalkStep {
    File(ObjectMeta),
    /// The key of a folder that is not entered.
    SkippedFolder(String),
    Unusable(UnusableEntry),
}

/// Returns whether the folder with a key is entered.
pub(super) type Enters = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The limit of the modification times that `object_store` can represent, from 1970.
const TIME_MAX: Duration = Duration::from_secs(8_000_000_000_000);

pub(super) struct LocalWalk {
    /// The folder to walk, with its links resolved if it exists.
    start: PathBuf,
    /// The folder that keys are relative to.
    root: PathBuf,
    entries: IntoIter,
    enters: Enters,
}

impl LocalWalk {
    /// Walks the folder with the key `below` (empty for the root). A missing folder has no entries.
    pub(super) fn new(root: PathBuf, below: &str, enters: Enters) -> LocalWalk {
        let folder = root.join(below);
        let entries = WalkDir::new(&folder).min_depth(1).follow_links(true).into_iter();
        LocalWalk { start: folder.canonicalize().unwrap_or(folder), root, entries, enters }
    }

    fn below<'p>(&self, path: &'p FilePath) -> &'p FilePath {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    fn unusable(&self, path: &FilePath, kind: UnusableKind, why: impl Into<String>) -> WalkStep {
        let path = self.below(path).as_os_str();
        let key = path.to_string_lossy().into_owned();
        WalkStep::Unusable(UnusableEntry { key, shown: escape_path(path), kind, why: why.into() })
    }

    /// Returns the step for an entry that cannot be read. None if the folder to walk does not exist.
    fn error_step(&self, error: walkdir::Error) -> Option<io::Result<WalkStep>> {
        let is_start = error.depth() == 0;
        let path = error.path().unwrap_or(&self.root).to_owned();
        if error.loop_ancestor().is_some() {
            return Some(Ok(self.unusable(&path, UnusableKind::Link, CYCLE)));
        }
        let error = error.into_io_error()?;
        match error.kind() {
            io::ErrorKind::NotFound if is_start => None,
            _ if is_start => Some(Err(error)),
            _ => Some(Ok(self.unreadable(&path, &error))),
        }
    }

    fn unreadable(&self, path: &FilePath, error: &io::Error) -> WalkStep {
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        let (kind, why) = match error.kind() {
            io::ErrorKind::NotFound if is_link => (UnusableKind::Link, "it is a broken link".to_owned()),
            io::ErrorKind::NotFound => (UnusableKind::Gone, "it was deleted while its folder was listed".to_owned()),
            io::ErrorKind::PermissionDenied => (UnusableKind::Unreadable, causes(error).to_string()),
            _ if is_link => (UnusableKind::Link, causes(error).to_string()),
            _ => (UnusableKind::Unreadable, causes(error).to_string()),
        };
        self.unusable(path, kind, why)
    }

    /// Returns whether a link leads to a folder that contains it.
    fn is_cycle(&self, entry: &DirEntry) -> bool {
        entry.path_is_symlink() && entry.path().canonicalize().is_ok_and(|target| self.start.starts_with(target))
    }

    /// Returns the step for a folder. None if it is entered.
    fn folder(&mut self, entry: &DirEntry) -> Option<WalkStep> {
        let below = self.below(entry.path());
        let step = if !(self.enters)(&below.to_string_lossy()) {
            WalkStep::SkippedFolder(escape_path(below.as_os_str()))
        } else if self.is_cycle(entry) {
            self.unusable(entry.path(), UnusableKind::Link, CYCLE)
        } else if let Err(why) = key(below) {
            // The files in it could not be named either.
            self.unusable(entry.path(), UnusableKind::Unreadable, why)
        } else {
            return None;
        };
        self.entries.skip_current_dir();
        Some(step)
    }

    fn file(&self, entry: &DirEntry) -> WalkStep {
        let path = entry.path();
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) => {
                let error = error.into_io_error().unwrap_or_else(|| io::ErrorKind::Other.into());
                return self.unreadable(path, &error);
            }
        };
        if !metadata.is_file() {
            return self.unusable(path, UnusableKind::Special, special_kind(&metadata));
        }
        match (file_key(self.below(path)), modified(&metadata)) {
            (Err(why), _) => self.unusable(path, UnusableKind::Name, why),
            (_, None) => self.unusable(path, UnusableKind::Unreadable, "its modification time is out of range"),
            (Ok(location), Some(modified)) => WalkStep::File(ObjectMeta {
                location,
                last_modified: modified.into(),
                size: metadata.len(),
                e_tag: None,
                version: None,
            }),
        }
    }
}

const CYCLE: &str = "it is a link to a folder that contains it";

impl Iterator for LocalWalk {
    type Item = io::Result<WalkStep>;

    fn next(&mut self) -> Option<io::Result<WalkStep>> {
        loop {
            let entry = match self.entries.next()? {
                Ok(entry) => entry,
                Err(error) => return self.error_step(error),
            };
            if entry.file_type().is_dir() {
                match self.folder(&entry) {
                    Some(step) => return Some(Ok(step)),
                    None => continue,
                }
            }
            return Some(Ok(self.file(&entry)));
        }
    }
}

/// Returns the names of the folders directly in a folder that can be part of a key, sorted. A missing folder has none.
pub(super) fn list_folders(folder: &FilePath) -> io::Result<Vec<String>> {
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().map(FilePath::new).and_then(|name| key(name).ok());
        names.extend(name.filter(|_| path.is_dir()).map(|name| name.to_string()));
    }
    names.sort();
    Ok(names)
}

/// Returns the path as a key, or why it cannot be one.
fn key(below: &FilePath) -> Result<Path, &'static str> {
    let text = below.to_str().ok_or("its name is not UTF-8 (`convmv` renames it, `unzip -O` unpacks it rightly)")?;
    Path::parse(text).map_err(|_| "its name has a control character")
}

fn file_key(below: &FilePath) -> Result<Path, &'static str> {
    let key = key(below)?;
    // `object_store` takes such a name for an unfinished upload, and neither lists nor opens it.
    let is_upload = key
        .filename()
        .and_then(|name| name.rsplit_once('#'))
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    if is_upload { Err("its name ends in `#` and a number, like that of an unfinished upload") } else { Ok(key) }
}

/// Returns the file's modification time, if `object_store` can represent it.
fn modified(metadata: &Metadata) -> Option<SystemTime> {
    let modified = metadata.modified().ok()?;
    let distance = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_else(|error| error.duration());
    (distance < TIME_MAX).then_some(modified)
}

#[cfg(unix)]
fn special_kind(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_fifo() {
        "it is a named pipe"
    } else if kind.is_socket() {
        "it is a socket"
    } else {
        "it is a device"
    }
}

#[cfg(not(unix))]
fn special_kind(_metadata: &Metadata) -> &'static str {
    "it is not a regular file"
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)] // helpers too
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    fn walked(root: &FilePath, enters: impl Fn(&str) -> bool + Send + Sync + 'static) -> Vec<String> {
        let walk = LocalWalk::new(root.canonicalize().unwrap(), "", Arc::new(enters));
        let mut steps: Vec<String> = walk
            .map(|step| match step.unwrap() {
                WalkStep::File(meta) => meta.location.to_string(),
                WalkStep::SkippedFolder(key) => format!("{key} skipped"),
                WalkStep::Unusable(UnusableEntry { shown, kind, why, .. }) => format!("{shown} {kind:?}: {why}"),
            })
            .collect();
        steps.sort();
        steps
    }

    #[test]
    fn unusable_entries_are_reported_and_hide_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("dcp")).unwrap();
        for name in ["dcp/1.png", "dcp/2.png", "dcp/a\tb.png", "dcp/x.png#7"] {
            std::fs::write(root.join(name), "x").unwrap();
        }
        std::fs::write(root.join(OsStr::from_bytes(b"dcp/\xce\xed.png")), "x").unwrap();
        std::fs::create_dir(root.join(OsStr::from_bytes(b"\xb0\xb5"))).unwrap();
        std::fs::write(root.join(OsStr::from_bytes(b"\xb0\xb5/1.png")), "x").unwrap();
        symlink("..", root.join("dcp/all")).unwrap();
        symlink("../..", root.join("dcp/above")).unwrap();
        symlink("/", root.join("disk")).unwrap();
        symlink("self", root.join("self")).unwrap();
        symlink("nowhere", root.join("dcp/gone.png")).unwrap();
        symlink("1.png", root.join("dcp/3.png")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("s.png")).unwrap();
        std::fs::create_dir(root.join(".git")).unwrap();
        std::fs::write(root.join(".git/x.png"), "x").unwrap();
        assert_eq!(
            walked(&root, |key| key != ".git"),
            [
                ".git skipped",
                "\\xb0\\xb5 Unreadable: its name is not UTF-8 (`convmv` renames it, `unzip -O` unpacks it rightly)",
                "dcp/1.png",
                "dcp/2.png",
                "dcp/3.png",
                "dcp/\\xce\\xed.png Name: its name is not UTF-8 (`convmv` renames it, `unzip -O` unpacks it rightly)",
                "dcp/a\\tb.png Name: its name has a control character",
                "dcp/above Link: it is a link to a folder that contains it",
                "dcp/all Link: it is a link to a folder that contains it",
                "dcp/gone.png Link: it is a broken link",
                "dcp/x.png#7 Name: its name ends in `#` and a number, like that of an unfinished upload",
                "disk Link: it is a link to a folder that contains it",
                "s.png Special: it is a socket",
                "self Link: Too many levels of symbolic links (os error 40)",
            ]
        );
    }

    #[test]
    fn a_missing_folder_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert!(list_folders(&dir.path().join("none")).unwrap().is_empty());
        for name in [&b"b"[..], b"a", b"\xce", b"c\n"] {
            std::fs::create_dir(dir.path().join(OsStr::from_bytes(name))).unwrap();
        }
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(list_folders(dir.path()).unwrap(), ["a", "b"]);
        let dir = tempfile::tempdir().unwrap();
        assert!(walked(dir.path(), |_| true).is_empty());
        let walk = LocalWalk::new(dir.path().to_owned(), "none", Arc::new(|_| true));
        assert_eq!(walk.count(), 0);
    }

    #[test]
    fn a_folder_that_is_deleted_or_unreadable_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let walk = LocalWalk::new(dir.path().to_owned(), "", Arc::new(|_| true));
        let kind = |error: io::ErrorKind| match walk.unreadable(&dir.path().join("dcp"), &error.into()) {
            WalkStep::Unusable(UnusableEntry { key, kind, .. }) => (key, kind),
            _ => panic!("it cannot be had"),
        };
        assert_eq!(kind(io::ErrorKind::NotFound), ("dcp".to_owned(), UnusableKind::Gone));
        assert_eq!(kind(io::ErrorKind::PermissionDenied), ("dcp".to_owned(), UnusableKind::Unreadable));
        assert_eq!(kind(io::ErrorKind::StaleNetworkFileHandle), ("dcp".to_owned(), UnusableKind::Unreadable));
    }
}
