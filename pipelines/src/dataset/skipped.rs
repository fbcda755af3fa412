//! Files below a data set's root that are skipped without being a fault: the clutter of systems and tools, files that are not
//! pictures, names that no address can hold. Each reason is counted, and the first few files are named. If a picture is lost
//! this way, the check reports it as missing.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::fault::NAMED_MAX;
use super::layout::Layout;
use crate::file_kinds::{ClutterKind, clutter_kind};
use crate::names::nfc;
use crate::store::UnusableKind;

/// The files that are skipped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedFiles {
    /// The reason.
    pub kind: SkipReason,
    /// The number of files, or of folders with everything in them.
    pub count: u64,
    /// The first few, as examples.
    pub named: Vec<String>,
}

/// Why files are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Pictures outside the algorithms' folders: a teaser at the top.
    Stray,
    /// Files whose names are not UTF-8, have control characters, or cannot be an object's key.
    Name,
    /// Links that are broken or part of a cycle.
    Link,
    /// Named pipes, sockets and devices.
    Special,
    /// Members of tars that cannot be read: links, duplicate names, names that are not UTF-8.
    Member,
    /// Files that were deleted while their folder was listed.
    Gone,
    /// Hidden files and folders.
    Hidden,
    /// Files that an operating system or a tool created for itself.
    System,
    /// Incomplete files.
    Partial,
    /// Objects that stand for folders in a bucket.
    Marker,
    /// Files whose names are not those of pictures.
    Other,
}

impl SkipReason {
    /// Returns whether the user will not miss the files, so that one line reports all of them.
    fn is_harmless(self) -> bool {
        self >= SkipReason::Hidden
    }

    fn text(self, count: u64) -> &'static str {
        let one = count == 1;
        match self {
            SkipReason::Stray if one => "picture is outside the algorithms' folders and is left out",
            SkipReason::Stray => "pictures are outside the algorithms' folders and are left out",
            SkipReason::Name if one => "file is left out for its name",
            SkipReason::Name => "files are left out for their names",
            SkipReason::Link if one => "link is not followed",
            SkipReason::Link => "links are not followed",
            SkipReason::Special if one => "entry is not a file",
            SkipReason::Special => "entries are not files",
            SkipReason::Member if one => "member of a tar is left out",
            SkipReason::Member => "members of tars are left out",
            SkipReason::Gone if one => "file was deleted while it was listed",
            SkipReason::Gone => "files were deleted while they were listed",
            SkipReason::Hidden => "hidden",
            SkipReason::System => "of systems and tools",
            SkipReason::Partial => "incomplete",
            SkipReason::Marker => "markers of folders",
            SkipReason::Other => "not named as pictures",
        }
    }
}

impl From<ClutterKind> for SkipReason {
    fn from(clutter: ClutterKind) -> SkipReason {
        match clutter {
            ClutterKind::Hidden => SkipReason::Hidden,
            ClutterKind::System => SkipReason::System,
            ClutterKind::Partial => SkipReason::Partial,
        }
    }
}

impl fmt::Display for SkippedFiles {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let more = if self.count > self.named.len() as u64 { ", ..." } else { "" };
        write!(f, "{} {}: {}{more}", self.count, self.kind.text(self.count), self.named.join(", "))
    }
}

/// Describes skipped files: a line for each reason that the user might care about, and one for all harmless ones.
pub(super) fn lines(all: &[SkippedFiles]) -> Vec<String> {
    let mut lines: Vec<String> =
        all.iter().filter(|files| !files.kind.is_harmless()).map(ToString::to_string).collect();
    let harmless = all.iter().filter(|files| files.kind.is_harmless()).map(|files| {
        let example = files.named.first().map_or("", String::as_str);
        let example = if files.count == 1 { example.to_owned() } else { format!("{example}, ...") };
        format!("{} {} ({example})", files.count, files.kind.text(files.count))
    });
    let harmless: Vec<String> = harmless.collect();
    if !harmless.is_empty() {
        lines.push(format!("skipped: {}", harmless.join(", ")));
    }
    lines
}

/// Collects skipped files.
#[derive(Debug, Default)]
pub(super) struct SkippedCollector {
    all: Vec<SkippedFiles>,
    /// Folders that were counted: a bucket and a tar list a folder again with each of its files.
    folders: HashSet<Box<str>>,
}

impl SkippedCollector {
    pub(super) fn add(&mut self, kind: SkipReason, name: impl Into<String>) {
        let index = self.all.iter().position(|files| files.kind == kind).unwrap_or_else(|| {
            self.all.push(SkippedFiles { kind, count: 0, named: Vec::new() });
            self.all.len() - 1
        });
        let files = &mut self.all[index];
        files.count += 1;
        if files.named.len() < NAMED_MAX {
            files.named.push(name.into());
        }
    }

    /// Adds clutter. A folder counts once, whatever it holds.
    pub(super) fn add_clutter(&mut self, clutter: ClutterMatch<'_>) {
        let is_new = !clutter.is_folder || self.folders.insert(clutter.name.into());
        if is_new {
            let slash = if clutter.is_folder { "/" } else { "" };
            self.add(clutter.kind.into(), format!("{}{slash}", clutter.name));
        }
    }

    /// Returns the files sorted by reason, with sorted names, so that the result does not depend on the order of a listing.
    pub(super) fn into_sorted(mut self) -> Vec<SkippedFiles> {
        self.all.sort_by_key(|files| files.kind);
        self.all.iter_mut().for_each(|files| files.named.sort());
        self.all
    }
}

/// The clutter in a key.
pub(super) struct ClutterMatch<'k> {
    kind: ClutterKind,
    /// The key up to the segment that is clutter.
    name: &'k str,
    /// Whether more segments follow.
    is_folder: bool,
}

/// Finds clutter, except names that a layout spells out: `.thumbs/{scene}.png` includes hidden files.
#[derive(Clone, Debug, Default)]
pub(super) struct ClutterFilter(Arc<[Layout]>);

impl ClutterFilter {
    pub(super) fn new(layouts: Vec<Layout>) -> ClutterFilter {
        ClutterFilter(layouts.into())
    }

    /// Returns the first segment of a key that is clutter. None if no segment is.
    pub(super) fn find_clutter<'k>(&self, key: &'k str) -> Option<ClutterMatch<'k>> {
        let mut end = 0;
        for (index, part) in key.split('/').enumerate() {
            end += part.len();
            let is_in_layout = || self.0.iter().any(|layout| layout.names_part(index, &nfc(part)));
            if let Some(kind) = clutter_kind(part).filter(|_| !is_in_layout()) {
                return Some(ClutterMatch { kind, name: &key[..end], is_folder: end < key.len() });
            }
            end += 1;
        }
        None
    }

    /// Returns the same as [`ClutterFilter::find_clutter`] for the key of a folder.
    pub(super) fn find_clutter_folder<'k>(&self, key: &'k str) -> Option<ClutterMatch<'k>> {
        self.find_clutter(key).map(|found| ClutterMatch { is_folder: true, ..found })
    }
}

impl From<UnusableKind> for SkipReason {
    fn from(kind: UnusableKind) -> SkipReason {
        match kind {
            UnusableKind::Name | UnusableKind::Unreadable => SkipReason::Name,
            UnusableKind::Link => SkipReason::Link,
            UnusableKind::Special => SkipReason::Special,
            UnusableKind::Gone => SkipReason::Gone,
            UnusableKind::Marker => SkipReason::Marker,
        }
    }
}
