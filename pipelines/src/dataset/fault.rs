//! Faults of a data set: files that it should not have, and pictures that were named and are missing. Each kind is counted, and
//! the first few are named. Problems that follow from the pictures themselves (a scene that an algorithm lacks) are the
//! check's, not faults.

use std::fmt;

use serde::Serialize;

/// Examples of each kind: enough to see what they have in common.
pub(super) const NAMED_MAX: usize = 5;

/// Faults of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The kind.
    pub kind: FaultKind,
    /// The number of faults.
    pub count: u64,
    /// The first few, as examples.
    pub named: Vec<String>,
    /// The possible cause, and what the user can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Files named as pictures that no layout of the definition matches.
    Unmatched,
    /// Pictures that a layout matches except for the extension.
    Extension,
    /// Labels whose pictures do not exist.
    LabelWithoutPicture,
    /// Labels that fit several pictures; none of the pictures gets the label.
    AmbiguousLabel,
    /// Files that a table of pictures names and that do not exist.
    Absent,
    /// Further hazy files for a scene that has one.
    SecondInput,
    /// Further clear files for a scene or group that has one.
    SecondClear,
    /// Folders and files that cannot be read, so that their content is unknown.
    Unreadable,
    /// Tars that cannot be read to their ends. None of their members is used.
    Tar,
}

impl FaultKind {
    /// Returns whether named pictures are missing, so that the data set is not complete.
    pub fn is_missing_data(self) -> bool {
        matches!(self, FaultKind::Absent | FaultKind::Tar)
    }

    fn text(self) -> &'static str {
        match self {
            FaultKind::Unmatched => "picture files match no layout",
            FaultKind::Extension => {
                "picture files match a layout except for its extension (`.{ext}` matches the extension of any picture)"
            }
            FaultKind::LabelWithoutPicture => "labels have no picture",
            FaultKind::AmbiguousLabel => "labels fit more than one picture",
            FaultKind::Absent => "files that a table names are missing",
            FaultKind::SecondInput => "inputs are of a scene that already has one",
            FaultKind::SecondClear => "clear pictures are of a scene or group that already has one",
            FaultKind::Unreadable => "folders or files cannot be read",
            FaultKind::Tar => "tars cannot be read, and none of their members is used",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let more = if self.count > self.named.len() as u64 { ", ..." } else { "" };
        write!(f, "{} {}: {}{more}", self.count, self.kind.text(), self.named.join(", "))?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

/// Collects faults.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, kind: FaultKind, name: impl Into<String>) {
        let index = self.0.iter().position(|fault| fault.kind == kind).unwrap_or_else(|| {
            self.0.push(Fault { kind, count: 0, named: Vec::new(), hint: None });
            self.0.len() - 1
        });
        let fault = &mut self.0[index];
        fault.count += 1;
        if fault.named.len() < NAMED_MAX {
            fault.named.push(name.into());
        }
    }

    /// Sets the hint of the faults of a kind.
    pub(super) fn set_hint(&mut self, kind: FaultKind, hint: String) {
        self.0.iter_mut().filter(|fault| fault.kind == kind).for_each(|fault| fault.hint = Some(hint.clone()));
    }

    /// Returns the faults sorted by kind, with sorted names, so that the result does not depend on the order of a listing.
    pub(super) fn into_sorted(mut self) -> Vec<Fault> {
        self.0.sort_by_key(|fault| fault.kind);
        self.0.iter_mut().for_each(|fault| fault.named.sort());
        self.0
    }
}
