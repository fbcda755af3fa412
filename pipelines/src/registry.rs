//! What the names of data sets stand for in a store: `datasets/<name>.json` for each. Everything that a store keeps under a
//! data set's name is of one source, so that no row of one data set is ever taken for a row of another.
//!
//! A store of an older version has no such objects: there the records of its runs say it, and where there is none, a part.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dataset::{DataSet, DatasetSource, Definition, SourceDifference};
use crate::names::DatasetName;
use crate::run::{DatasetSpec, RunError, RunRecord, RunSpec};
use crate::store::{Store, StoreError};
use crate::tables::{parquet_file, scores};

/// The folder of data sets in a store.
pub const DATASETS: &str = "datasets";

/// Of several who register a name at once one is first; the others read what it wrote.
const TRIES_MAX: u32 = 3;

/// A data set of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// Its name.
    pub name: DatasetName,
    /// What its pictures are.
    pub source: DatasetSource,
    /// Other addresses of the root: the data set moved, or is mounted elsewhere too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_roots: Vec<String>,
    /// Where its labels are; None: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// What first used it: `run dhq-1a2b3c4d`.
    pub used_by: String,
    /// When that was, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// A data set that is to be used in a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Requested {
    name: DatasetName,
    source: DatasetSource,
    labels: Labels,
}

#[derive(Clone, Debug, PartialEq)]
enum Labels {
    /// A manifest that has not been read may have them.
    Unknown,
    Absent,
    Named(String),
}

/// Why a data set cannot be used under its name.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed, or holds an invalid record of a run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// An object that is not what it should be.
    #[error("cannot read {key}")]
    Invalid {
        /// The object.
        key: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The name stands for another source in the store.
    #[error("the store has another data set `{}`: {} of {}; {} was asked for; they differ in {differences}", known.name, known.source, known.origin(), requested)]
    Another {
        /// What the store has.
        known: Box<Registered>,
        /// Whether that has labels and this has none.
        loses_labels: bool,
        /// What was asked for.
        requested: Box<DatasetSource>,
        /// The keys that differ, with both values.
        differences: String,
    },
    /// A name that is to be defined anew, of a data set that is not asked for.
    #[error("--redefine names `{name}`, and the data sets that are asked for are {}", requested.join(", "))]
    NotRequested {
        /// Which name.
        name: DatasetName,
        /// The data sets that are.
        requested: Vec<String>,
    },
    /// Labels that would vanish.
    #[error("data set `{}` had labels ({}) for {}, and has none now", known.name, known.labels.as_deref().unwrap_or("in its manifest"), known.origin())]
    Unlabelled {
        /// What the store has.
        known: Box<Registered>,
    },
}

impl RegistryError {
    /// Returns what to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            RegistryError::Another { known, loses_labels, .. } => Some(format!(
                "NAME=PATH in --datasets gives this one another name, as `--datasets {0}-2=PATH`; if it is the same data set, \
                 moved or with a corrected layout, `--redefine {0}` goes on with it and scores nothing again{1}",
                known.name,
                match &known.labels {
                    Some(labels) if *loses_labels => format!(
                        ", but without the labels ({labels}), which its reports then lose: name the definition that has them"
                    ),
                    _ => String::new(),
                }
            )),
            RegistryError::Unlabelled { known } => Some(format!(
                "name the definition that has the labels; `--redefine {}` goes on without them, and its reports lose them",
                known.name
            )),
            RegistryError::Invalid { .. } => Some("remove that object: it is made again".to_owned()),
            RegistryError::Store(_) | RegistryError::Run(_) | RegistryError::NotRequested { .. } => None,
        }
    }

    /// Whether another try may do better: a store did not answer.
    pub fn may_pass(&self) -> bool {
        match self {
            RegistryError::Store(error) | RegistryError::Run(RunError::Store(error)) => error.may_pass(),
            _ => false,
        }
    }
}

impl Registered {
    fn origin(&self) -> String {
        match self.since {
            Some(since) => format!("{} ({})", self.used_by, since.strftime("%Y-%m-%d %H:%M")),
            None => self.used_by.clone(),
        }
    }

    /// Returns how a source differs from this one, wherever it is known to be.
    fn differences(&self, source: &DatasetSource) -> Vec<SourceDifference> {
        if self.other_roots.contains(&source.root) {
            return self.source.differences(&DatasetSource { root: self.source.root.clone(), ..source.clone() });
        }
        self.source.differences(source)
    }

    fn of_run(spec: &DatasetSpec, used_by: String, since: Option<Timestamp>) -> Registered {
        let labels = match Definition::from_toml(&spec.definition).map(|definition| labels(&definition)) {
            Ok(Labels::Named(labels)) => Some(labels),
            _ => None,
        };
        let source = spec.source();
        Registered { name: spec.name.clone(), source, other_roots: Vec::new(), labels, used_by, since }
    }
}

fn labels(definition: &Definition) -> Labels {
    match (&definition.labels, definition.importer) {
        (Some(labels), _) => Labels::Named(labels.file.clone()),
        (None, Some(_)) => Labels::Named("MOS.mat".to_owned()),
        (None, None) if definition.manifest.is_some() => Labels::Unknown,
        (None, None) => Labels::Absent,
    }
}

impl Requested {
    /// Its name.
    pub fn name(&self) -> &DatasetName {
        &self.name
    }

    /// A data set as it is defined, before it was read.
    pub fn new(definition: &Definition) -> Requested {
        Requested { name: definition.name.clone(), source: definition.source(), labels: labels(definition) }
    }

    /// The same when it has been read.
    #[must_use]
    pub fn loaded(mut self, dataset: &DataSet) -> Requested {
        if self.labels == Labels::Unknown {
            let named = || Labels::Named(self.source.manifest.clone().unwrap_or_default());
            self.labels = if dataset.is_labelled { named() } else { Labels::Absent };
        }
        self
    }

    fn check(&self, known: &Registered) -> Result<(), RegistryError> {
        let differences = known.differences(&self.source);
        if !differences.is_empty() {
            let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
            return Err(RegistryError::Another {
                known: Box::new(known.clone()),
                loses_labels: known.labels.is_some() && self.labels == Labels::Absent,
                requested: Box::new(self.source.clone()),
                differences: texts.join(", "),
            });
        }
        if known.labels.is_some() && self.labels == Labels::Absent {
            return Err(RegistryError::Unlabelled { known: Box::new(known.clone()) });
        }
        Ok(())
    }

    /// What takes the place of `known` in the store.
    fn registered(&self, used_by: &str, known: Option<&Registered>) -> Registered {
        let labels = match &self.labels {
            Labels::Named(labels) => Some(labels.clone()),
            Labels::Absent => None,
            Labels::Unknown => known.and_then(|known| known.labels.clone()),
        };
        let differs_by: Vec<SourceDifference> = known.map_or_else(Vec::new, |known| known.differences(&self.source));
        if let Some(same) = known.filter(|_| differs_by.is_empty()) {
            let mut source = same.source.clone();
            source.algorithms.extend(self.source.algorithms.clone());
            if self.source.layout.len() > source.layout.len() {
                source.layout.clone_from(&self.source.layout);
            }
            return Registered { source, labels, ..same.clone() };
        }
        let mut other_roots = Vec::new();
        if let Some(known) = known.filter(|_| differs_by.iter().all(|difference| difference.key == "root")) {
            other_roots.extend(known.other_roots.clone());
            other_roots.push(known.source.root.clone());
        }
        Registered {
            name: self.name.clone(),
            source: self.source.clone(),
            other_roots,
            labels,
            used_by: used_by.to_owned(),
            since: Some(Timestamp::now()),
        }
    }
}

impl fmt::Display for Requested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)
    }
}

/// Checks that each name stands for nothing else in the store, and writes nothing. Names in `redefine` may.
///
/// # Errors
/// A name that stands for another source, or had labels; a store that fails.
pub async fn check(store: &Store, requested: &[Requested], redefine: &[DatasetName]) -> Result<(), RegistryError> {
    check_redefined(requested, redefine)?;
    for one in requested.iter().filter(|one| !redefine.contains(&one.name)) {
        known(store, &one.name).await?.1.iter().try_for_each(|known| one.check(known))?;
    }
    Ok(())
}

fn check_redefined(requested: &[Requested], redefine: &[DatasetName]) -> Result<(), RegistryError> {
    match redefine.iter().find(|name| requested.iter().all(|one| one.name != **name)) {
        None => Ok(()),
        Some(name) => Err(RegistryError::NotRequested {
            name: name.clone(),
            requested: requested.iter().map(|one| one.name.to_string()).collect(),
        }),
    }
}

/// Makes each name stand for its source in the store from now on, unless it stands for another.
///
/// # Errors
/// As [`check`]. What was registered before stays.
pub async fn register(
    store: &Store,
    requested: &[Requested],
    redefine: &[DatasetName],
    used_by: &str,
) -> Result<(), RegistryError> {
    for one in requested {
        let mut tries = 0;
        while !register_one(store, one, redefine.contains(&one.name), used_by).await? {
            tries += 1;
            assert!(tries < TRIES_MAX, "an object that is taken can be read");
        }
    }
    Ok(())
}

/// Whether it is registered now; not where somebody else was first.
async fn register_one(
    store: &Store,
    requested: &Requested,
    is_redefined: bool,
    used_by: &str,
) -> Result<bool, RegistryError> {
    let (is_object, known) = known(store, &requested.name).await?;
    if !is_redefined {
        known.iter().try_for_each(|known| requested.check(known))?;
    }
    let first = known.first();
    let registered = requested.registered(used_by, first);
    if is_object && first == Some(&registered) {
        return Ok(true);
    }
    let bytes = serde_json::to_vec_pretty(&registered).expect("it has text for keys");
    if is_object {
        store.put(&key(&requested.name), bytes.into()).await?;
        return Ok(true);
    }
    let (key, bytes) = (key(&requested.name), Bytes::from(bytes));
    match store.create_object(&key, bytes.clone()).await {
        Ok(()) => Ok(true),
        Err(error) if error.is_taken() => Ok(false),
        Err(error) if error.may_pass() => Err(error.into()),
        Err(_) => {
            // The store may have no conditional puts. It is written and then read again: of two at once, the one that finds the
            // other's is refused. What else is wrong with the store, this says.
            store.put(&key, bytes).await?;
            Ok(false)
        }
    }
}

fn key(name: &DatasetName) -> String {
    format!("{DATASETS}/{name}.json")
}

/// What a name stands for in the store, and whether an object says so. In an older store several runs may say several things.
async fn known(store: &Store, name: &DatasetName) -> Result<(bool, Vec<Registered>), RegistryError> {
    match store.get(&key(name)).await {
        Ok(bytes) => {
            let invalid = |source| RegistryError::Invalid { key: key(name), source };
            return Ok((true, vec![serde_json::from_slice(&bytes).map_err(invalid)?]));
        }
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let mut known: Vec<Registered> = Vec::new();
    for record in RunRecord::all(store).await? {
        // A run that was never planned has left nothing under the name.
        let Some(spec) = record.spec.datasets.iter().find(|spec| spec.name == *name && !record.parts.is_empty()) else {
            continue;
        };
        let registered = Registered::of_run(spec, format!("run {}", record.name), Some(record.created));
        let same = known.iter_mut().find(|known| known.source.differences(&registered.source).is_empty());
        match same {
            Some(known) => known.labels = known.labels.take().or(registered.labels),
            None => known.push(registered),
        }
    }
    if known.is_empty() {
        known.extend(of_parts(store, name).await?);
    }
    Ok((false, known))
}

/// What the first part under the name says of the run that made it.
async fn of_parts(store: &Store, name: &DatasetName) -> Result<Option<Registered>, RegistryError> {
    let objects = store.list_sorted(&scores::dataset_folder(name.as_str())).await?;
    let Some(part) = objects.into_iter().find(|object| object.key.ends_with(".parquet")) else { return Ok(None) };
    let bytes = store.get(&part.key).await?;
    // A part that cannot be read says nothing; whoever needs its rows says so.
    let fact = |name| parquet_file::fact(&bytes, name).ok().flatten();
    let Some(spec) = fact("dqa.spec").and_then(|spec| serde_json::from_str::<RunSpec>(&spec).ok()) else {
        return Ok(None);
    };
    let used_by = fact("dqa.run").map_or_else(|| format!("the part {}", part.key), |run| format!("run {run}"));
    let spec = spec.datasets.iter().find(|spec| spec.name == *name);
    Ok(spec.map(|spec| Registered::of_run(spec, used_by, None)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn store(dir: &tempfile::TempDir) -> Store {
        Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap()
    }

    fn requested(text: &str) -> Requested {
        Requested::new(&toml::from_str(&format!("name = \"out\"\n{text}")).unwrap())
    }

    const FIRST: &str = "root = \"s3://b/o1/out\"\n";
    const LABELLED: &str = "root = \"s3://b/o1/out\"\n[labels]\nfile = \"mos.csv\"\n";

    #[tokio::test]
    async fn a_name_stands_for_one_source() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let (first, second) = (requested(FIRST), requested("root = \"s3://b/o2/out\"\n"));
        check(&store, std::slice::from_ref(&first), &[]).await.unwrap();
        register(&store, std::slice::from_ref(&first), &[], "run a").await.unwrap();
        register(&store, std::slice::from_ref(&first), &[], "run b").await.unwrap();
        let error = register(&store, std::slice::from_ref(&second), &[], "run c").await.unwrap_err();
        let text = error.to_string();
        for part in ["`out`", "s3://b/o1/out/", "s3://b/o2/out/", "run a", "root"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(error.hint().unwrap().contains("--redefine out"));
        assert!(check(&store, std::slice::from_ref(&second), &[]).await.is_err());
        register(&store, std::slice::from_ref(&second), &["out".parse().unwrap()], "run c").await.unwrap();
        // It was said that they are the same, and stays so.
        check(&store, &[second], &[]).await.unwrap();
        check(&store, &[first], &[]).await.unwrap();
        let third = requested("root = \"s3://b/o3/out\"\n");
        assert!(check(&store, std::slice::from_ref(&third), &[]).await.is_err());
        let error = check(&store, &[third], &["oout".parse().unwrap()]).await.unwrap_err();
        assert!(error.to_string().contains("`oout`"), "{error}");
    }

    #[tokio::test]
    async fn another_layout_takes_the_place_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let layout = |layout: &str| requested(&format!("{FIRST}layout = {layout}\n"));
        let (first, corrected) = (layout("\"{algorithm}/{scene}.png\""), layout("\"{scene}/{algorithm}.png\""));
        let more = layout("[\"{algorithm}/{scene}.png\", \"{algorithm}.tar/{scene}.png\"]");
        register(&store, std::slice::from_ref(&first), &[], "run a").await.unwrap();
        register(&store, &[more], &[], "run a").await.unwrap();
        assert!(register(&store, std::slice::from_ref(&corrected), &[], "run b").await.is_err());
        register(&store, &[corrected], &["out".parse().unwrap()], "run b").await.unwrap();
        assert!(check(&store, &[first], &[]).await.is_err());
    }

    #[tokio::test]
    async fn labels_come_freely_and_do_not_vanish() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let (bare, labelled) = (requested(FIRST), requested(LABELLED));
        register(&store, std::slice::from_ref(&bare), &[], "run a").await.unwrap();
        register(&store, std::slice::from_ref(&labelled), &[], "run a").await.unwrap();
        let corrected = requested(&LABELLED.replace("mos.csv", "mos2.csv"));
        register(&store, &[corrected], &[], "run a").await.unwrap();
        let error = register(&store, std::slice::from_ref(&bare), &[], "run b").await.unwrap_err();
        assert!(error.to_string().contains("mos2.csv"), "{error}");
        register(&store, std::slice::from_ref(&bare), &["out".parse().unwrap()], "run b").await.unwrap();
        check(&store, &[bare], &[]).await.unwrap();
    }

    #[tokio::test]
    async fn of_many_who_register_at_once_one_is_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let tries = (0..8).map(|at| {
            let store = store.clone();
            async move {
                let one = requested(&format!("root = \"s3://b/o{at}/out\"\n"));
                register(&store, &[one], &[], "run").await.is_ok()
            }
        });
        let won = futures::future::join_all(tries).await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
    }
}
