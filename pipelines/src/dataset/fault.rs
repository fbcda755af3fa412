//! What a data set has that it should not have, or lacks though it was named: counted, and the first few named. What
//! can be read from the pictures themselves (a scene that an algorithm lacks) is the check's, not a fault.

use std::fmt;

use serde::Serialize;

/// Named of each kind: enough to see what they have in common.
pub(super) const NAMED_MAX: usize = 5;

/// Faults of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// How many there are.
    pub count: u64,
    /// The first few.
    pub named: Vec<String>,
    /// What the cause may be, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Files named as pictures that no layout of the definition matches.
    Unmatched,
    /// Files of pictures that a layout would match with another extension.
    Extension,
    /// Labels of pictures that are not there.
    LabelWithoutPicture,
    /// Labels that fit more than one picture; none of these gets it.
    AmbiguousLabel,
    /// Files that a table of pictures names and that are not there.
    Absent,
    /// Hazy files for a scene that has one already.
    SecondInput,
    /// Folders and files that may not be read, so that it is not known what they hold.
    Unreadable,
    /// Tars that cannot be read to their ends: nothing of them is taken.
    Tar,
}

impl FaultKind {
    /// Whether pictures are lost that were named: the data set is not complete.
    pub fn is_hole(self) -> bool {
        matches!(self, FaultKind::Absent | FaultKind::Tar)
    }

    fn text(self) -> &'static str {
        match self {
            FaultKind::Unmatched => "picture files match no layout",
            FaultKind::Extension => {
                "picture files match a layout but for its extension (`.{ext}` there matches that of any picture)"
            }
            FaultKind::LabelWithoutPicture => "labels have no picture",
            FaultKind::AmbiguousLabel => "labels fit more than one picture",
            FaultKind::Absent => "files that a table names are not there",
            FaultKind::SecondInput => "inputs are of a scene that has one already",
            FaultKind::Unreadable => "folders or files cannot be looked into",
            FaultKind::Tar => "tars cannot be read, and nothing of them is taken",
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
        let at = self.0.iter().position(|fault| fault.kind == kind).unwrap_or_else(|| {
            self.0.push(Fault { kind, count: 0, named: Vec::new(), hint: None });
            self.0.len() - 1
        });
        let fault = &mut self.0[at];
        fault.count += 1;
        if fault.named.len() < NAMED_MAX {
            fault.named.push(name.into());
        }
    }

    /// What the cause of the faults of a kind may be.
    pub(super) fn explain(&mut self, kind: FaultKind, hint: String) {
        self.0.iter_mut().filter(|fault| fault.kind == kind).for_each(|fault| fault.hint = Some(hint.clone()));
    }

    /// By kind; the names in order, so that they are the same in each listing that finds the same few.
    pub(super) fn into_sorted(mut self) -> Vec<Fault> {
        self.0.sort_by_key(|fault| fault.kind);
        self.0.iter_mut().for_each(|fault| fault.named.sort());
        self.0
    }
}
