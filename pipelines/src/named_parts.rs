//! Which parts the records of runs need: those that they name, and the rows that were kept while one of those is made. All
//! others are orphans.

use std::collections::HashSet;

use crate::plan::kept_beginning;
use crate::run::{RunRecord, RunState};

/// The parts that some runs need.
#[derive(Default)]
pub(crate) struct NamedParts {
    keys: HashSet<String>,
    /// What the keys of kept rows of parts begin with that are still to be made.
    kept: HashSet<String>,
}

impl NamedParts {
    /// Returns the parts that these runs need. A run that is not complete can be resumed from kept rows.
    pub(crate) fn of<'a>(records: impl IntoIterator<Item = &'a RunRecord>) -> NamedParts {
        let mut named = NamedParts::default();
        for record in records {
            let is_complete = record.state == RunState::Complete;
            for part in &record.parts {
                named.keys.insert(part.key.clone());
                named.kept.extend(kept_beginning(&part.key).filter(|_| !is_complete).map(str::to_owned));
            }
        }
        named
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns whether a run names the part with this key.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Returns whether a run names the part with this key, or can go on from its rows.
    pub(crate) fn needs(&self, key: &str) -> bool {
        self.contains(key) || kept_beginning(key).is_some_and(|beginning| self.kept.contains(beginning))
    }
}
