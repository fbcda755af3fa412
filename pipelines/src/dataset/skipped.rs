//! What is found below a data set's root and left out of it, and is no fault: the clutter of systems and tools, files that are
//! no pictures, names that nothing can be called by. Counted, and the first few named. Where a picture is lost by it, the
//! check finds a hole.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::fault::NAMED_MAX;
use super::layout::Layout;
use crate::file_names::{ClutterKind, clutter_kind};
use crate::names::nfc;
use crate::store::UnusableKind;

/// What is left out, of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedFiles {
    /// Which kind.
    pub kind: SkipReason,
    /// How many files, or folders with all that is in them.
    pub count: u64,
    /// The first few.
    pub named: Vec<String>,
}

/// Kinds of what is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Pictures that lie above the folders of algorithms, or in none of them: a teaser at the top.
    Stray,
    /// Files whose names are no text, have control characters, or cannot be an object's key.
    Name,
    /// Links that lead nowhere or in a circle.
    Link,
    /// Named pipes, sockets, devices.
    Special,
    /// Members of tars that cannot be read: of two of one name, links, names that are no text.
    Member,
    /// Files that went away while their folder was listed.
    Gone,
    /// Hidden files and folders.
    Hidden,
    /// What a system or a tool keeps for itself.
    System,
    /// Files that are not whole yet.
    Partial,
    /// Objects that stand for folders in a bucket.
    Marker,
    /// Files that are not named as pictures.
    Other,
}

impl SkipReason {
    /// Whether it is nobody's loss: one line for all of these.
    fn is_passed_over(self) -> bool {
        self >= SkipReason::Hidden
    }

    fn text(self, count: u64) -> &'static str {
        let one = count == 1;
        match self {
            SkipReason::Stray if one => "picture lies outside of the algorithms' folders and is left out",
            SkipReason::Stray => "pictures lie outside of the algorithms' folders and are left out",
            SkipReason::Name if one => "file is left out for its name",
            SkipReason::Name => "files are left out for their names",
            SkipReason::Link if one => "link is not followed",
            SkipReason::Link => "links are not followed",
            SkipReason::Special if one => "entry is no file",
            SkipReason::Special => "entries are no files",
            SkipReason::Member if one => "member of a tar is left out",
            SkipReason::Member => "members of tars are left out",
            SkipReason::Gone if one => "file went away while it was listed",
            SkipReason::Gone => "files went away while they were listed",
            SkipReason::Hidden => "hidden",
            SkipReason::System => "of systems and tools",
            SkipReason::Partial => "not whole yet",
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

/// What is said of it all: a line for what might be missed, and one for what is nobody's loss.
pub(super) fn lines(all: &[SkippedFiles]) -> Vec<String> {
    let mut lines: Vec<String> =
        all.iter().filter(|left| !left.kind.is_passed_over()).map(ToString::to_string).collect();
    let passed_over = all.iter().filter(|left| left.kind.is_passed_over()).map(|left| {
        let example = left.named.first().map_or("", String::as_str);
        let example = if left.count == 1 { example.to_owned() } else { format!("{example}, ...") };
        format!("{} {} ({example})", left.count, left.kind.text(left.count))
    });
    let passed_over: Vec<String> = passed_over.collect();
    if !passed_over.is_empty() {
        lines.push(format!("passed over: {}", passed_over.join(", ")));
    }
    lines
}

/// Collects what is left out.
#[derive(Debug, Default)]
pub(super) struct SkippedCollector {
    all: Vec<SkippedFiles>,
    /// In a bucket and in a tar a folder is met with each of its files.
    folders: HashSet<Box<str>>,
}

impl SkippedCollector {
    pub(super) fn add(&mut self, kind: SkipReason, name: impl Into<String>) {
        let at = self.all.iter().position(|left| left.kind == kind).unwrap_or_else(|| {
            self.all.push(SkippedFiles { kind, count: 0, named: Vec::new() });
            self.all.len() - 1
        });
        let left = &mut self.all[at];
        left.count += 1;
        if left.named.len() < NAMED_MAX {
            left.named.push(name.into());
        }
    }

    /// ClutterKind; a folder counts once, whatever it holds.
    pub(super) fn add_clutter(&mut self, left: Left<'_>) {
        let is_new = !left.is_folder || self.folders.insert(left.name.into());
        if is_new {
            let slash = if left.is_folder { "/" } else { "" };
            self.add(left.kind.into(), format!("{}{slash}", left.name));
        }
    }

    /// By kind; the names in order, so that they are the same in each listing that finds the same few.
    pub(super) fn into_sorted(mut self) -> Vec<SkippedFiles> {
        self.all.sort_by_key(|left| left.kind);
        self.all.iter_mut().for_each(|left| left.named.sort());
        self.all
    }
}

/// What of a key is clutter.
pub(super) struct Left<'k> {
    kind: ClutterKind,
    /// The key up to the part that is.
    name: &'k str,
    /// Whether more follows.
    is_folder: bool,
}

/// Tells what is clutter from what a layout names as it does: `.thumbs/{scene}.png` means hidden files.
#[derive(Clone, Debug, Default)]
pub(super) struct ClutterFilter(Arc<[Layout]>);

impl ClutterFilter {
    pub(super) fn new(layouts: Vec<Layout>) -> ClutterFilter {
        ClutterFilter(layouts.into())
    }

    /// What of a key is clutter; None: it counts.
    pub(super) fn find_clutter<'k>(&self, key: &'k str) -> Option<Left<'k>> {
        let mut end = 0;
        for (at, part) in key.split('/').enumerate() {
            end += part.len();
            let is_meant = || self.0.iter().any(|layout| layout.names(at, &nfc(part)));
            if let Some(kind) = clutter_kind(part).filter(|_| !is_meant()) {
                return Some(Left { kind, name: &key[..end], is_folder: end < key.len() });
            }
            end += 1;
        }
        None
    }

    /// As [`ClutterFilter::find_clutter`], of a folder's key.
    pub(super) fn find_clutter_folder<'k>(&self, key: &'k str) -> Option<Left<'k>> {
        self.find_clutter(key).map(|left| Left { is_folder: true, ..left })
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
