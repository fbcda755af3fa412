//! What is found below a data set's root and left out of it, and is no fault: the clutter of systems and tools, files that are
//! no pictures, names that nothing can be called by. Counted, and the first few named. Where a picture is lost by it, the
//! check finds a hole.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::fault::NAMED_MAX;
use super::layout::Layout;
use crate::file_names::{Clutter, clutter};
use crate::names::nfc;
use crate::store::UnusableKind;

/// What is left out, of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Which kind.
    pub kind: LeftOutKind,
    /// How many files, or folders with all that is in them.
    pub count: u64,
    /// The first few.
    pub named: Vec<String>,
}

/// Kinds of what is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutKind {
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

impl LeftOutKind {
    /// Whether it is nobody's loss: one line for all of these.
    fn is_passed_over(self) -> bool {
        self >= LeftOutKind::Hidden
    }

    fn text(self, count: u64) -> &'static str {
        let one = count == 1;
        match self {
            LeftOutKind::Stray if one => "picture lies outside of the algorithms' folders and is left out",
            LeftOutKind::Stray => "pictures lie outside of the algorithms' folders and are left out",
            LeftOutKind::Name if one => "file is left out for its name",
            LeftOutKind::Name => "files are left out for their names",
            LeftOutKind::Link if one => "link is not followed",
            LeftOutKind::Link => "links are not followed",
            LeftOutKind::Special if one => "entry is no file",
            LeftOutKind::Special => "entries are no files",
            LeftOutKind::Member if one => "member of a tar is left out",
            LeftOutKind::Member => "members of tars are left out",
            LeftOutKind::Gone if one => "file went away while it was listed",
            LeftOutKind::Gone => "files went away while they were listed",
            LeftOutKind::Hidden => "hidden",
            LeftOutKind::System => "of systems and tools",
            LeftOutKind::Partial => "not whole yet",
            LeftOutKind::Marker => "markers of folders",
            LeftOutKind::Other => "not named as pictures",
        }
    }
}

impl From<Clutter> for LeftOutKind {
    fn from(clutter: Clutter) -> LeftOutKind {
        match clutter {
            Clutter::Hidden => LeftOutKind::Hidden,
            Clutter::System => LeftOutKind::System,
            Clutter::Partial => LeftOutKind::Partial,
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let more = if self.count > self.named.len() as u64 { ", ..." } else { "" };
        write!(f, "{} {}: {}{more}", self.count, self.kind.text(self.count), self.named.join(", "))
    }
}

/// What is said of it all: a line for what might be missed, and one for what is nobody's loss.
pub(super) fn lines(all: &[LeftOut]) -> Vec<String> {
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
pub(super) struct LeftOuts {
    all: Vec<LeftOut>,
    /// In a bucket and in a tar a folder is met with each of its files.
    folders: HashSet<Box<str>>,
}

impl LeftOuts {
    pub(super) fn add(&mut self, kind: LeftOutKind, name: impl Into<String>) {
        let at = self.all.iter().position(|left| left.kind == kind).unwrap_or_else(|| {
            self.all.push(LeftOut { kind, count: 0, named: Vec::new() });
            self.all.len() - 1
        });
        let left = &mut self.all[at];
        left.count += 1;
        if left.named.len() < NAMED_MAX {
            left.named.push(name.into());
        }
    }

    /// Clutter; a folder counts once, whatever it holds.
    pub(super) fn add_clutter(&mut self, left: Left<'_>) {
        let is_new = !left.is_folder || self.folders.insert(left.name.into());
        if is_new {
            let slash = if left.is_folder { "/" } else { "" };
            self.add(left.kind.into(), format!("{}{slash}", left.name));
        }
    }

    /// By kind; the names in order, so that they are the same in each listing that finds the same few.
    pub(super) fn into_sorted(mut self) -> Vec<LeftOut> {
        self.all.sort_by_key(|left| left.kind);
        self.all.iter_mut().for_each(|left| left.named.sort());
        self.all
    }
}

/// What of a key is clutter.
pub(super) struct Left<'k> {
    kind: Clutter,
    /// The key up to the part that is.
    name: &'k str,
    /// Whether more follows.
    is_folder: bool,
}

/// Tells what is clutter from what a layout names as it does: `.thumbs/{scene}.png` means hidden files.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter(Arc<[Layout]>);

impl Filter {
    pub(super) fn new(layouts: Vec<Layout>) -> Filter {
        Filter(layouts.into())
    }

    /// What of a key is clutter; None: it counts.
    pub(super) fn leaves_out<'k>(&self, key: &'k str) -> Option<Left<'k>> {
        let mut end = 0;
        for (at, part) in key.split('/').enumerate() {
            end += part.len();
            let is_meant = || self.0.iter().any(|layout| layout.names(at, &nfc(part)));
            if let Some(kind) = clutter(part).filter(|_| !is_meant()) {
                return Some(Left { kind, name: &key[..end], is_folder: end < key.len() });
            }
            end += 1;
        }
        None
    }

    /// As [`Filter::leaves_out`], of a folder's key.
    pub(super) fn leaves_out_folder<'k>(&self, key: &'k str) -> Option<Left<'k>> {
        self.leaves_out(key).map(|left| Left { is_folder: true, ..left })
    }
}

impl From<UnusableKind> for LeftOutKind {
    fn from(kind: UnusableKind) -> LeftOutKind {
        match kind {
            UnusableKind::Name | UnusableKind::Unreadable => LeftOutKind::Name,
            UnusableKind::Link => LeftOutKind::Link,
            UnusableKind::Special => LeftOutKind::Special,
            UnusableKind::Gone => LeftOutKind::Gone,
            UnusableKind::Marker => LeftOutKind::Marker,
        }
    }
}
