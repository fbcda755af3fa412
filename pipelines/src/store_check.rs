//! Looks at everything in a store that runs are made of, and finds what is wrong: records that cannot be read, parts that are
//! damaged, missing, named by no run, or hold rows that another part holds too, and what killed processes left. A repair does what loses nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use futures::{StreamExt, TryStreamExt};
use jiff::SignedDuration;

use crate::causes;
use crate::named_parts::NamedParts;
use crate::names::RunName;
use crate::part_removal::{self, Collection, GRACE, REMOVED};
use crate::parts::{self, PartError};
use crate::plan::is_part_key;
use crate::run::{RUNS, RunState, StoredRuns};
use crate::store::{Store, StoreError};
use crate::tables::scores::SCORES;

/// Parts that are read at the same time.
const READS_MAX: usize = 16;

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// A run's record cannot be read.
    Unreadable,
    /// A part is not as it was written.
    Damaged,
    /// A complete run names a part that does not exist.
    Missing,
    /// A part that no run names.
    Orphan,
    /// A part holds rows that another part holds too, so a reader of the table's files counts them twice.
    Double,
    /// A part that was being removed when the process ended.
    Aside,
    /// A file that was being written when the process ended.
    Unfinished,
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ProblemKind::Unreadable => "unreadable",
            ProblemKind::Damaged => "damaged",
            ProblemKind::Missing => "missing",
            ProblemKind::Orphan => "orphan",
            ProblemKind::Double => "double",
            ProblemKind::Aside => "aside",
            ProblemKind::Unfinished => "unfinished",
        })
    }
}

/// A problem of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub kind: ProblemKind,
    /// The object's key.
    pub key: String,
    /// The runs that name it.
    pub runs: Vec<RunName>,
    /// A sentence about it, without a full stop.
    pub detail: String,
}

/// What was found in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreCheck {
    /// Number of runs whose records can be read.
    pub runs: usize,
    /// Number of parts.
    pub parts: usize,
    /// The problems, by kind and key.
    pub problems: Vec<Problem>,
}

/// What a repair did. The rest is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Keys of the damaged parts that were deleted, so that a run that names them scores them again.
    pub deleted: Vec<String>,
    /// What became of parts that no run names and of interrupted removals.
    pub collection: Collection,
}

/// What the readable records say of the parts that they name.
#[derive(Default)]
struct PlannedParts {
    /// The planned rows of each part, and the runs that name it.
    by_key: BTreeMap<String, (u64, Vec<RunName>)>,
    /// Keys of the parts of complete runs.
    of_complete_runs: BTreeSet<String>,
}

impl PlannedParts {
    fn runs(&self, key: &str) -> Vec<RunName> {
        self.by_key.get(key).map(|(_, runs)| runs.clone()).unwrap_or_default()
    }
}

/// Checks a store.
///
/// # Errors
/// If the store fails.
pub async fn check(store: &Store) -> Result<StoreCheck, StoreError> {
    let StoredRuns { records, unreadable, .. } = StoredRuns::read(store).await?;
    let problem = |kind, key, runs, detail| Problem { kind, key, runs, detail };
    let mut problems = Vec::new();
    for (run, error) in unreadable {
        let detail = format!("{}; no part is removed while it is there", causes(&error));
        problems.push(problem(ProblemKind::Unreadable, format!("{RUNS}/{run}/run.json"), vec![run], detail));
    }
    let mut named = PlannedParts::default();
    for record in &records {
        for part in &record.parts {
            let entry = named.by_key.entry(part.key.clone()).or_insert((part.rows, Vec::new()));
            entry.1.push(record.name.clone());
            if record.state == RunState::Complete {
                named.of_complete_runs.insert(part.key.clone());
            }
        }
    }
    let mut listed: Vec<String> = store.list(SCORES).map_ok(|object| object.key).try_collect().await?;
    listed.retain(|key| is_part_key(key) || named.by_key.contains_key(key));
    listed.sort_unstable();
    let existing: BTreeSet<&String> = listed.iter().collect();
    for key in named.of_complete_runs.iter().filter(|key| !existing.contains(key)) {
        let detail = "it does not exist".to_owned();
        problems.push(problem(ProblemKind::Missing, key.clone(), named.runs(key), detail));
    }
    let needed = NamedParts::of(&records);
    for key in listed.iter().filter(|key| !needed.needs(key)) {
        problems.push(problem(ProblemKind::Orphan, key.clone(), Vec::new(), "no run names it".to_owned()));
    }
    for object in store.list_sorted(REMOVED).await? {
        let detail = "its removal was interrupted, or is going on".to_owned();
        problems.push(problem(ProblemKind::Aside, object.key, Vec::new(), detail));
    }
    for file in store.list_unfinished(GRACE).await? {
        problems.push(problem(ProblemKind::Unfinished, file, Vec::new(), "it was not written to its end".to_owned()));
    }
    problems.extend(check_contents(store, &listed, &named).await?);
    problems.sort_by(|a, b| (a.kind, &a.key).cmp(&(b.kind, &b.key)));
    Ok(StoreCheck { runs: records.len(), parts: listed.len(), problems })
}

/// Reads all parts, and finds those that are damaged or hold rows of other parts.
async fn check_contents(store: &Store, keys: &[String], named: &PlannedParts) -> Result<Vec<Problem>, StoreError> {
    let mut problems = Vec::new();
    // The first part with each picture's row, among the parts of one folder and metric: these follow each other.
    let (mut group, mut first) = (String::new(), HashMap::<String, usize>::new());
    let read = |(number, key): (usize, &String)| {
        let key = key.clone();
        async move { (number, parts::read_part(store, &key).await) }
    };
    let mut found = futures::stream::iter(keys.iter().enumerate().map(read)).buffered(READS_MAX);
    while let Some((number, part)) = found.next().await {
        let key = &keys[number];
        let mut report = |kind, detail| {
            problems.push(Problem { kind, key: key.clone(), runs: named.runs(key), detail });
        };
        let part = match part {
            Ok(part) => part,
            Err(PartError::Store(error)) if error.is_not_found() => continue,
            Err(PartError::Store(error)) if !error.is_object_specific() => return Err(error),
            Err(error) => {
                report(ProblemKind::Damaged, causes(&error).to_string());
                continue;
            }
        };
        let planned = named.by_key.get(key).map_or(part.counts.rows, |(rows, _)| *rows);
        if part.counts.rows != planned {
            report(ProblemKind::Damaged, format!("it has {} of {planned} rows", part.counts.rows));
        }
        // The folder, and the beginning of the metric's fingerprint, with which the name starts.
        let own_group = key.rsplitn(3, '-').nth(2).unwrap_or(key);
        if own_group != group {
            own_group.clone_into(&mut group);
            first.clear();
        }
        let mut shared: BTreeMap<usize, u64> = BTreeMap::new();
        for row in part.rows {
            let earlier = *first.entry(row.image).or_insert(number);
            if earlier != number {
                *shared.entry(earlier).or_default() += 1;
            }
        }
        for (other, rows) in shared {
            report(ProblemKind::Double, format!("{rows} of its rows are also in {}", keys[other]));
        }
    }
    Ok(problems)
}

/// Repairs what was found: deletes damaged parts, which are scored again when their run is submitted again; finishes
/// interrupted removals; removes parts that no run has named, and files that were not finished, for longer than `grace`.
///
/// # Errors
/// If the store fails.
pub async fn repair(store: &Store, check: &StoreCheck, grace: SignedDuration) -> Result<Repair, StoreError> {
    let mut repair = Repair::default();
    for problem in check.problems.iter().filter(|problem| problem.kind == ProblemKind::Damaged) {
        // It may have been made again meanwhile.
        if matches!(parts::read_part(store, &problem.key).await, Err(PartError::Damaged { .. })) {
            store.delete(&problem.key).await?;
            repair.deleted.push(problem.key.clone());
        }
    }
    repair.collection = part_removal::collect_orphans(store, grace).await?;
    Ok(repair)
}

#[cfg(test)]
mod tests;
