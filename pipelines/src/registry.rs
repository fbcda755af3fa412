//! The registry of a store's data sets: `datasets/<name>.json` says which source a name stands for. Everything that a store
//! keeps under a data set's name comes from one source, so that a row of one data set is never taken for a row of another.
//!
//! Stores of older versions have no such objects. There the records of runs say it, or a part if there are no records.

mod unused_names;

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dataset::{DataSet, DatasetSource, Definition, SourceDifference};
use crate::names::DatasetName;
use crate::run::{DatasetSpec, RunRecord, RunRecordError, RunSpec};
use crate::store::{Store, StoreError};
use crate::tables::{parquet_file, scores};
use crate::{Hint, Retryable};

pub(crate) use unused_names::free_unused;

/// The folder of data sets in a store.
pub const DATASETS: &str = "datasets";

/// Attempts at registering a name. If several processes register it at once, one succeeds and the others read its object.
const ATTEMPTS_MAX: u32 = 3;

/// A registered data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisteredDataset {
    /// The data set's name.
    pub name: DatasetName,
    /// The source of its pictures.
    pub source: DatasetSource,
    /// Other addresses of the root, if the data set was moved or is mounted in several places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_roots: Vec<String>,
    /// The file of its labels. None if it has no labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// The first user of the name: `run dhq-1a2b3c4d`.
    pub used_by: String,
    /// When the name was first used, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// A data set that is about to be used in a store.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestedDataset {
    name: DatasetName,
    source: DatasetSource,
    labels: Labels,
}

#[derive(Clone, Debug, PartialEq)]
enum Labels {
    /// A manifest that has not been read yet may have labels.
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
    /// A run's record is invalid, or the store failed.
    #[error(transparent)]
    Run(#[from] RunRecordError),
    /// The object of a data set is invalid.
    #[error("cannot read {key}")]
    Invalid {
        /// The object's key.
        key: String,
        /// Why it is invalid.
        #[source]
        source: serde_json::Error,
    },
    /// The name stands for another source.
    #[error("the store has another data set `{}`: {} of {}; {} was requested; they differ in {differences}", known.name, known.source, known.origin(), requested)]
    Another {
        /// The registered data set.
        known: Box<RegisteredDataset>,
        /// Whether it has labels and the requested data set has none.
        loses_labels: bool,
        /// The requested source.
        requested: Box<DatasetSource>,
        /// The keys that differ, with both values.
        differences: String,
    },
    /// A name to redefine is not one of the requested data sets.
    #[error("--redefine names `{name}`, but the requested data sets are {}", requested.join(", "))]
    NotRequested {
        /// The name to redefine.
        name: DatasetName,
        /// The requested data sets.
        requested: Vec<String>,
    },
    /// The registered data set has labels, and the requested one has none.
    #[error("data set `{}` had labels ({}) for {}, and has none now", known.name, known.labels.as_deref().unwrap_or("in its manifest"), known.origin())]
    Unlabelled {
        /// The registered data set.
        known: Box<RegisteredDataset>,
    },
}

impl Hint for RegistryError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            RegistryError::Another { known, loses_labels, .. } => format!(
                "NAME=PATH in --datasets gives this one another name, as `--datasets {0}-2=PATH`; if it is the same data set, \
                 moved or with a corrected layout, `--redefine {0}` goes on with it and scores nothing again{1}",
                known.name,
                match &known.labels {
                    Some(labels) if *loses_labels => format!(
                        ", but without the labels ({labels}), which its reports then lose: name the definition that has them"
                    ),
                    _ => String::new(),
                }
            ),
            RegistryError::Unlabelled { known } => format!(
                "name the definition that has the labels; `--redefine {}` goes on without them, and its reports lose them",
                known.name
            ),
            RegistryError::Invalid { .. } => "delete that object: it is written again".to_owned(),
            RegistryError::Store(_) | RegistryError::Run(_) | RegistryError::NotRequested { .. } => return None,
        };
        Some(hint)
    }
}

impl Retryable for RegistryError {
    fn is_retryable(&self) -> bool {
        match self {
            RegistryError::Store(error) => error.is_retryable(),
            RegistryError::Run(error) => error.is_retryable(),
            _ => false,
        }
    }
}

impl RegisteredDataset {
    fn origin(&self) -> String {
        match self.since {
            Some(since) => format!("{} ({})", self.used_by, since.strftime("%Y-%m-%d %H:%M")),
            None => self.used_by.clone(),
        }
    }

    /// Returns how a source differs from this one. A known other root is no difference.
    fn differences(&self, source: &DatasetSource) -> Vec<SourceDifference> {
        if self.other_roots.contains(&source.root) {
            return self.source.differences(&DatasetSource { root: self.source.root.clone(), ..source.clone() });
        }
        self.source.differences(source)
    }

    fn from_run(spec: &DatasetSpec, used_by: String, since: Option<Timestamp>) -> RegisteredDataset {
        let labels = match Definition::from_toml(&spec.definition).map(|definition| labels(&definition)) {
            Ok(Labels::Named(labels)) => Some(labels),
            _ => None,
        };
        let source = spec.source();
        RegisteredDataset { name: spec.name.clone(), source, other_roots: Vec::new(), labels, used_by, since }
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

impl RequestedDataset {
    /// Returns the data set's name.
    pub fn name(&self) -> &DatasetName {
        &self.name
    }

    /// Creates a request from a definition, before the data set is read.
    pub fn new(definition: &Definition) -> RequestedDataset {
        RequestedDataset { name: definition.name.clone(), source: definition.source(), labels: labels(definition) }
    }

    /// Completes the request with what the loaded data set shows: whether its manifest has labels.
    #[must_use]
    pub fn with_loaded(mut self, dataset: &DataSet) -> RequestedDataset {
        if self.labels == Labels::Unknown {
            let named = || Labels::Named(self.source.manifest.clone().unwrap_or_default());
            self.labels = if dataset.is_labelled { named() } else { Labels::Absent };
        }
        self
    }

    fn check(&self, known: &RegisteredDataset) -> Result<(), RegistryError> {
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

    /// Returns what replaces `known` in the store.
    fn to_registered(&self, used_by: &str, known: Option<&RegisteredDataset>) -> RegisteredDataset {
        let labels = match &self.labels {
            Labels::Named(labels) => Some(labels.clone()),
            Labels::Absent => None,
            Labels::Unknown => known.and_then(|known| known.labels.clone()),
        };
        let differences: Vec<SourceDifference> = known.map_or_else(Vec::new, |known| known.differences(&self.source));
        if let Some(same) = known.filter(|_| differences.is_empty()) {
            let mut source = same.source.clone();
            source.algorithms.extend(self.source.algorithms.clone());
            if self.source.layout.len() > source.layout.len() {
                source.layout.clone_from(&self.source.layout);
            }
            return RegisteredDataset { source, labels, ..same.clone() };
        }
        let mut other_roots = Vec::new();
        if let Some(known) = known.filter(|_| differences.iter().all(|difference| difference.key == "root")) {
            other_roots.extend(known.other_roots.clone());
            other_roots.push(known.source.root.clone());
        }
        RegisteredDataset {
            name: self.name.clone(),
            source: self.source.clone(),
            other_roots,
            labels,
            used_by: used_by.to_owned(),
            since: Some(Timestamp::now()),
        }
    }
}

impl fmt::Display for RequestedDataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)
    }
}

/// Checks that no name stands for another source in the store, except the names in `redefine`. Writes nothing.
///
/// # Errors
/// If a name stands for another source, or had labels that are gone; if the store fails.
pub async fn check(
    store: &Store,
    requested: &[RequestedDataset],
    redefine: &[DatasetName],
) -> Result<(), RegistryError> {
    check_redefined(requested, redefine)?;
    for dataset in requested.iter().filter(|dataset| !redefine.contains(&dataset.name)) {
        registered(store, &dataset.name).await?.1.iter().try_for_each(|known| dataset.check(known))?;
    }
    Ok(())
}

fn check_redefined(requested: &[RequestedDataset], redefine: &[DatasetName]) -> Result<(), RegistryError> {
    match redefine.iter().find(|name| requested.iter().all(|one| one.name != **name)) {
        None => Ok(()),
        Some(name) => Err(RegistryError::NotRequested {
            name: name.clone(),
            requested: requested.iter().map(|one| one.name.to_string()).collect(),
        }),
    }
}

/// Registers the source of each name in the store, unless the name stands for another source.
///
/// # Errors
/// As [`check`]. Names that were registered before the error stay registered.
pub async fn register(
    store: &Store,
    requested: &[RequestedDataset],
    redefine: &[DatasetName],
    used_by: &str,
) -> Result<(), RegistryError> {
    for dataset in requested {
        let mut attempts = 0;
        while !register_one(store, dataset, redefine.contains(&dataset.name), used_by).await? {
            attempts += 1;
            assert!(attempts < ATTEMPTS_MAX, "an object that exists can be read");
        }
    }
    Ok(())
}

/// Registers one name. Returns false if another process may have registered it first, so that the caller must check again.
async fn register_one(
    store: &Store,
    requested: &RequestedDataset,
    is_redefined: bool,
    used_by: &str,
) -> Result<bool, RegistryError> {
    let (has_object, known) = registered(store, &requested.name).await?;
    if !is_redefined {
        known.iter().try_for_each(|known| requested.check(known))?;
    }
    let first = known.first();
    let registered = requested.to_registered(used_by, first);
    if has_object && first == Some(&registered) {
        return Ok(true);
    }
    let bytes = serde_json::to_vec_pretty(&registered).expect("it has text for keys");
    if has_object {
        store.put(&key(&requested.name), bytes.into()).await?;
        return Ok(true);
    }
    let (key, bytes) = (key(&requested.name), Bytes::from(bytes));
    match store.put_if_absent(&key, bytes.clone()).await {
        Ok(()) => Ok(true),
        Err(error) if error.is_already_exists() => Ok(false),
        Err(error) if error.is_retryable() => Err(error.into()),
        Err(_) => {
            // The store may not support conditional writes. So the object is written and then read again: of two processes that
            // do this at once, the one that finds the other's object is refused. Any other failure of the store fails this
            // write too.
            store.put(&key, bytes).await?;
            Ok(false)
        }
    }
}

fn key(name: &DatasetName) -> String {
    format!("{DATASETS}/{name}.json")
}

/// Returns what a name stands for in the store, and whether the registry has an object for it. The runs of a store of an older
/// version may have used several sources under one name.
async fn registered(store: &Store, name: &DatasetName) -> Result<(bool, Vec<RegisteredDataset>), RegistryError> {
    match store.get(&key(name)).await {
        Ok(bytes) => {
            let invalid = |source| RegistryError::Invalid { key: key(name), source };
            return Ok((true, vec![serde_json::from_slice(&bytes).map_err(invalid)?]));
        }
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let mut known: Vec<RegisteredDataset> = Vec::new();
    for record in RunRecord::read_all(store).await? {
        // A run that was never planned has no parts under the name.
        let Some(spec) = record.spec.datasets.iter().find(|spec| spec.name == *name && !record.parts.is_empty()) else {
            continue;
        };
        let registered = RegisteredDataset::from_run(spec, format!("run {}", record.name), Some(record.created));
        let same = known.iter_mut().find(|known| known.source.differences(&registered.source).is_empty());
        match same {
            Some(known) => known.labels = known.labels.take().or(registered.labels),
            None => known.push(registered),
        }
    }
    if known.is_empty() {
        known.extend(from_first_part(store, name).await?);
    }
    Ok((false, known))
}

/// Returns the source that the first part under the name records, for the run that made it.
async fn from_first_part(store: &Store, name: &DatasetName) -> Result<Option<RegisteredDataset>, RegistryError> {
    let objects = store.list_sorted(&scores::dataset_folder(name.as_str())).await?;
    let Some(part) = objects.into_iter().find(|object| object.key.ends_with(".parquet")) else { return Ok(None) };
    let bytes = store.get(&part.key).await?;
    // A part that cannot be read is reported when its rows are needed.
    let fact = |name| parquet_file::footer_value(&bytes, name).ok().flatten();
    let Some(spec) = fact("dqa.spec").and_then(|spec| serde_json::from_str::<RunSpec>(&spec).ok()) else {
        return Ok(None);
    };
    let used_by = fact("dqa.run").map_or_else(|| format!("the part {}", part.key), |run| format!("run {run}"));
    let spec = spec.datasets.iter().find(|spec| spec.name == *name);
    Ok(spec.map(|spec| RegisteredDataset::from_run(spec, used_by, None)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn store(dir: &tempfile::TempDir) -> Store {
        Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap()
    }

    fn requested(text: &str) -> RequestedDataset {
        RequestedDataset::new(&toml::from_str(&format!("name = \"out\"\n{text}")).unwrap())
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
        // Both roots stay registered as the same data set.
        check(&store, &[second], &[]).await.unwrap();
        check(&store, &[first], &[]).await.unwrap();
        let third = requested("root = \"s3://b/o3/out\"\n");
        assert!(check(&store, std::slice::from_ref(&third), &[]).await.is_err());
        let error = check(&store, &[third], &["oout".parse().unwrap()]).await.unwrap_err();
        assert!(error.to_string().contains("`oout`"), "{error}");
    }

    #[tokio::test]
    async fn a_redefined_layout_replaces_the_first() {
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
    async fn labels_can_be_added_and_do_not_vanish() {
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
    async fn one_of_many_concurrent_registrations_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let tries = (0..8).map(|number| {
            let store = store.clone();
            async move {
                let one = requested(&format!("root = \"s3://b/o{number}/out\"\n"));
                register(&store, &[one], &[], "run").await.is_ok()
            }
        });
        let won = futures::future::join_all(tries).await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
    }
}
