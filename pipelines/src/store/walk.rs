//! The files below a folder of this machine, as objects. It owns what of a file system cannot be one, and goes on: one name
//! that is not UTF-8, one link that leads nowhere, one folder that may not be read takes nothing else with it.
//!
//! - Links are followed; one that leads back to a folder that it is in is not.
//! - Every entry is handed on: as an object, as what cannot be one, or within a folder that is not entered.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use object_store::ObjectMeta;
use object_store::path::Path;
use walkdir::{DirEntry, IntoIter, WalkDir};

use crate::causes;

/// What a listing finds that cannot be had as an object, or holds some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Its path below the folder, as far as it is text: to be judged by.
    pub key: String,
    /// Its path as it can be shown, whatever it holds.
    pub shown: String,
    /// What it is.
    pub kind: UnusableKind,
    /// Why it cannot be had.
    pub why: String,
}

/// Kinds of what cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableKind {
    /// A file whose name cannot be an object's key.
    Name,
    /// A link that leads nowhere or in a circle.
    Link,
    /// A named pipe, a socket, a device.
    Special,
    /// What was there when its folder was listed, and not when it was looked at.
    Gone,
    /// Not looked into: what it holds is not known.
    Unreadable,
    /// An object that stands for a folder in a bucket.
    Marker,
}

/// A step of a walk.
pub(super) enum Step {
    File(ObjectMeta),
    /// A folder that is not entered.
    Skipped(String),
    Unusable(Unusable),
}

/// Whether the folder of that key is entered.
pub(super) type Enters = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Later than any that a store's time can be.
const TIME_MAX: Duration = Duration::from_secs(8_000_000_000_000);

pub(super) struct Walk {
    /// Without links, as far as it is there.
    start: PathBuf,
    /// What keys begin below.
    root: PathBuf,
    entries: IntoIter,
    enters: Enters,
}

impl Walk {
    /// Through the folder `below` the root (a key, or nothing), if it is there.
    pub(super) fn new(root: PathBuf, below: &str, enters: Enters) -> Walk {
        let folder = root.join(below);
        let entries = WalkDir::new(&folder).min_depth(1).follow_links(true).into_iter();
        Walk { start: folder.canonicalize().unwrap_or(folder), root, entries, enters }
    }

    fn below<'p>(&self, path: &'p FilePath) -> &'p FilePath {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    fn unusable(&self, path: &FilePath, kind: UnusableKind, why: impl Into<String>) -> Step {
        let path = self.below(path).as_os_str();
        let key = path.to_string_lossy().into_owned();
        Step::Unusable(Unusable { key, shown: shown(path), kind, why: why.into() })
    }

    /// An entry that could not be looked at; None: the folder to walk through is not there.
    fn failed(&self, error: walkdir::Error) -> Option<io::Result<Step>> {
        let is_start = error.depth() == 0;
        let path = error.path().unwrap_or(&self.root).to_owned();
        if error.loop_ancestor().is_some() {
            return Some(Ok(self.unusable(&path, UnusableKind::Link, CIRCLE)));
        }
        let error = error.into_io_error()?;
        match error.kind() {
            io::ErrorKind::NotFound if is_start => None,
            _ if is_start => Some(Err(error)),
            _ => Some(Ok(self.unreadable(&path, &error))),
        }
    }

    fn unreadable(&self, path: &FilePath, error: &io::Error) -> Step {
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        let (kind, why) = match error.kind() {
            io::ErrorKind::NotFound if is_link => (UnusableKind::Link, "it leads nowhere".to_owned()),
            io::ErrorKind::NotFound => (UnusableKind::Gone, "it went while its folder was listed".to_owned()),
            io::ErrorKind::PermissionDenied => (UnusableKind::Unreadable, causes(error).to_string()),
            _ if is_link => (UnusableKind::Link, causes(error).to_string()),
            _ => (UnusableKind::Unreadable, causes(error).to_string()),
        };
        self.unusable(path, kind, why)
    }

    /// Whether a link to a folder leads to one that it is in.
    fn is_circle(&self, entry: &DirEntry) -> bool {
        entry.path_is_symlink() && entry.path().canonicalize().is_ok_and(|target| self.start.starts_with(target))
    }

    /// None: it is entered.
    fn folder(&mut self, entry: &DirEntry) -> Option<Step> {
        let below = self.below(entry.path());
        let step = if !(self.enters)(&below.to_string_lossy()) {
            Step::Skipped(shown(below.as_os_str()))
        } else if self.is_circle(entry) {
            self.unusable(entry.path(), UnusableKind::Link, CIRCLE)
        } else if let Err(why) = key(below) {
            // What it holds could not be named either.
            self.unusable(entry.path(), UnusableKind::Unreadable, why)
        } else {
            return None;
        };
        self.entries.skip_current_dir();
        Some(step)
    }

    fn file(&self, entry: &DirEntry) -> Step {
        let path = entry.path();
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) => {
                let error = error.into_io_error().unwrap_or_else(|| io::ErrorKind::Other.into());
                return self.unreadable(path, &error);
            }
        };
        if !metadata.is_file() {
            return self.unusable(path, UnusableKind::Special, special(&metadata));
        }
        match (file_key(self.below(path)), changed(&metadata)) {
            (Err(why), _) => self.unusable(path, UnusableKind::Name, why),
            (_, None) => self.unusable(path, UnusableKind::Unreadable, "its time of change cannot be told"),
            (Ok(location), Some(changed)) => Step::File(ObjectMeta {
                location,
                last_modified: changed.into(),
                size: metadata.len(),
                e_tag: None,
                version: None,
            }),
        }
    }
}

const CIRCLE: &str = "it leads to a folder that it is in";

impl Iterator for Walk {
    type Item = io::Result<Step>;

    fn next(&mut self) -> Option<io::Result<Step>> {
        loop {
            let entry = match self.entries.next()? {
                Ok(entry) => entry,
                Err(error) => return self.failed(error),
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

/// The names of the folders directly in a folder that can be part of a key, sorted; none, if it is not there.
pub(super) fn folders(folder: &FilePath) -> io::Result<Vec<String>> {
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

/// The path as a key, or why it is none.
fn key(below: &FilePath) -> Result<Path, &'static str> {
    let text = below.to_str().ok_or("its name is not UTF-8 (`convmv` renames it, `unzip -O` unpacks it rightly)")?;
    Path::parse(text).map_err(|_| "its name has a control character")
}

fn file_key(below: &FilePath) -> Result<Path, &'static str> {
    let key = key(below)?;
    // The store takes such a name for an upload that is not finished, and neither lists nor opens it.
    let is_upload = key
        .filename()
        .and_then(|name| name.rsplit_once('#'))
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    if is_upload { Err("its name ends in `#` and a number, as an upload's that is not finished") } else { Ok(key) }
}

/// An object that stands for a folder in a bucket: some tools make one for each.
pub(super) fn marker(key: String) -> Unusable {
    Unusable { shown: key.clone(), key, kind: UnusableKind::Marker, why: "it stands for a folder".to_owned() }
}

/// With escapes for what is not text.
pub(super) fn shown(path: &OsStr) -> String {
    let mut text = String::new();
    for chunk in path.as_encoded_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() { text.extend(character.escape_default()) } else { text.push(character) }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// The file's time of change, if a store's time can say it.
fn changed(metadata: &Metadata) -> Option<SystemTime> {
    let changed = metadata.modified().ok()?;
    let distance = changed.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_else(|error| error.duration());
    (distance < TIME_MAX).then_some(changed)
}

#[cfg(unix)]
fn special(metadata: &Metadata) -> &'static str {
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
fn special(_metadata: &Metadata) -> &'static str {
    "it is no file"
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)] // helpers too
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    fn walked(root: &FilePath, enters: impl Fn(&str) -> bool + Send + Sync + 'static) -> Vec<String> {
        let walk = Walk::new(root.canonicalize().unwrap(), "", Arc::new(enters));
        let mut steps: Vec<String> = walk
            .map(|step| match step.unwrap() {
                Step::File(meta) => meta.location.to_string(),
                Step::Skipped(key) => format!("{key} skipped"),
                Step::Unusable(Unusable { shown, kind, why, .. }) => format!("{shown} {kind:?}: {why}"),
            })
            .collect();
        steps.sort();
        steps
    }

    #[test]
    fn what_cannot_be_an_object_is_told_and_the_rest_goes_on() {
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
                "dcp/above Link: it leads to a folder that it is in",
                "dcp/all Link: it leads to a folder that it is in",
                "dcp/gone.png Link: it leads nowhere",
                "dcp/x.png#7 Name: its name ends in `#` and a number, as an upload's that is not finished",
                "disk Link: it leads to a folder that it is in",
                "s.png Special: it is a socket",
                "self Link: Too many levels of symbolic links (os error 40)",
            ]
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert!(folders(&dir.path().join("none")).unwrap().is_empty());
        for name in [&b"b"[..], b"a", b"\xce", b"c\n"] {
            std::fs::create_dir(dir.path().join(OsStr::from_bytes(name))).unwrap();
        }
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(folders(dir.path()).unwrap(), ["a", "b"]);
        let dir = tempfile::tempdir().unwrap();
        assert!(walked(dir.path(), |_| true).is_empty());
        let walk = Walk::new(dir.path().to_owned(), "none", Arc::new(|_| true));
        assert_eq!(walk.count(), 0);
    }

    #[test]
    fn a_folder_that_goes_or_may_not_be_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let walk = Walk::new(dir.path().to_owned(), "", Arc::new(|_| true));
        let kind = |error: io::ErrorKind| match walk.unreadable(&dir.path().join("dcp"), &error.into()) {
            Step::Unusable(Unusable { key, kind, .. }) => (key, kind),
            _ => panic!("it cannot be had"),
        };
        assert_eq!(kind(io::ErrorKind::NotFound), ("dcp".to_owned(), UnusableKind::Gone));
        assert_eq!(kind(io::ErrorKind::PermissionDenied), ("dcp".to_owned(), UnusableKind::Unreadable));
        assert_eq!(kind(io::ErrorKind::StaleNetworkFileHandle), ("dcp".to_owned(), UnusableKind::Unreadable));
    }
}
