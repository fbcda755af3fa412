//! What a listing of a store finds: objects, and entries that cannot be read as objects.

use std::ffi::OsStr;

use super::byte_range::ByteRange;

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The path below the folder.
    pub key: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Changes whenever the content does: the store's ETag, or length and modification time.
    pub version: String,
}

impl Object {
    /// Returns a range of the object as an object of its own. Its version changes whenever the whole object's does.
    pub fn slice(&self, key: String, range: ByteRange) -> Object {
        let version = format!("{}-{:x}-{:x}", self.version, range.offset, range.bytes);
        Object { key, bytes: range.bytes, version }
    }
}

/// An entry of a listing that leaves nothing out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListEntry {
    /// An object.
    Object(Object),
    /// The key of a folder that the caller did not want entered.
    SkippedFolder(String),
    /// An entry that cannot be read as an object.
    Unusable(UnusableEntry),
}

/// An entry that cannot be read as an object, or a folder whose objects cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableEntry {
    /// Its path below the folder for comparisons; bytes that are not UTF-8 are replaced.
    pub key: String,
    /// Its path below the folder for messages; bytes that are not UTF-8 are escaped.
    pub shown: String,
    /// Its kind.
    pub kind: UnusableKind,
    /// Why it is unusable, as a sentence without a full stop.
    pub why: String,
}

/// Kinds of unusable entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableKind {
    /// A file whose name cannot be an object's key.
    Name,
    /// A symbolic link that is broken or part of a cycle.
    Link,
    /// A named pipe, a socket or a device.
    Special,
    /// A file that was deleted while its folder was listed.
    Gone,
    /// A file or folder that cannot be read, so that its content is unknown.
    Unreadable,
    /// An object that stands for a folder in a bucket.
    Marker,
}

impl UnusableEntry {
    /// Returns the entry for an object that stands for a folder in a bucket: some tools create one for each folder.
    pub(super) fn marker(key: String) -> UnusableEntry {
        UnusableEntry { shown: key.clone(), key, kind: UnusableKind::Marker, why: "it stands for a folder".to_owned() }
    }
}

/// Returns a path as text, with control characters and bytes that are not UTF-8 escaped.
pub(super) fn escape_path(path: &OsStr) -> String {
    let mut text = String::new();
    for chunk in path.as_encoded_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() { text.extend(character.escape_default()) } else { text.push(character) }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}
