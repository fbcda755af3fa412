//! A data set as it was found: pictures of algorithms, by scene.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::definition::{Definition, Protocol};
use super::error::DatasetError;
use super::fault::Fault;
use super::picture::{Picture, distinct};
use super::scene::SceneKey;
use super::skipped::{self, SkippedFiles};
use crate::names::{AlgorithmName, DatasetName, similar_names};
use crate::store::Store;

/// Stands for every algorithm of a data set among the names of some.
pub const ALL: &str = "all";

/// A data set as it was found: every picture that is listed or expected, in the order of algorithm, scene, image.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// Its name, in tables and on the command line.
    pub name: DatasetName,
    /// Where its pictures are; their keys are below it.
    pub root: Store,
    /// The dehazed pictures, sorted by algorithm, scene, image.
    pub pictures: Vec<Picture>,
    /// Every scene of the data set, also those that no selected algorithm has, by key.
    pub scenes: Vec<Scene>,
    /// What the algorithms were given, each as a picture of an algorithm `hazy`: see [`Picture::hazy`].
    pub inputs: Vec<Picture>,
    /// The folder that was recognised as that of the inputs; None: they are named by the definition, or there are none.
    pub inputs_from: Option<AlgorithmName>,
    /// The algorithm of [`DataSet::pictures`] whose pictures are the inputs, if they are to be scored.
    pub hazy_rows: Option<AlgorithmName>,
    /// Pictures that lie where an algorithm's would and are inputs or references: only asked for by name are they scored.
    pub excluded: Vec<ExcludedFolder>,
    /// Whether it has labels: then a picture without one is a fault.
    pub is_labelled: bool,
    /// The protocol of its own that it is also reported by.
    pub protocol: Option<Protocol>,
    /// Its definition as TOML, for a run's record.
    pub definition: String,
    /// What was found and is no picture, or was named and is not there.
    pub faults: Vec<Fault>,
    /// What was found and is left out, and is no fault.
    pub left_out: Vec<SkippedFiles>,
    /// What was taken though it is not written as it should be, or was passed over: nothing is wrong, and it is said.
    pub notes: Vec<String>,
}

/// A scene of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// Which.
    pub key: SceneKey,
    /// How many pictures of it the algorithm with the most has: what a complete algorithm has.
    pub pictures: u32,
}

/// Which algorithms of a data set are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlgorithmSelection {
    /// All that it has.
    All,
    /// These; one that it lacks is an error.
    Named(Vec<String>),
}

impl DataSet {
    /// Of pictures alone, in any order: without labels to miss, without inputs.
    pub fn new(name: DatasetName, root: Store, mut pictures: Vec<Picture>) -> DataSet {
        sort(&mut pictures);
        DataSet {
            definition: Definition::new(name.clone(), root.url().to_string()).to_toml(),
            name,
            root,
            scenes: scenes(&pictures, &[]),
            pictures,
            inputs: Vec::new(),
            inputs_from: None,
            hazy_rows: None,
            excluded: Vec::new(),
            is_labelled: false,
            protocol: None,
            faults: Vec::new(),
            left_out: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// What is said of what is left out: a line for each kind that might be missed, and one for what is passed over.
    pub fn left_out_lines(&self) -> Vec<String> {
        skipped::lines(&self.left_out)
    }

    /// A picture's address.
    pub fn uri(&self, picture: &Picture) -> String {
        picture.uri.as_ref().map_or_else(|| self.root.address(&picture.image), ToString::to_string)
    }

    /// The algorithms that it has pictures of, by name.
    pub fn algorithms(&self) -> Vec<AlgorithmName> {
        self.pictures.chunk_by(|a, b| a.algorithm == b.algorithm).map(|run| run[0].algorithm.clone()).collect()
    }

    /// Whether it can be asked for the pictures of that algorithm.
    pub fn has_algorithm(&self, name: &str) -> bool {
        let excluded = self.excluded.iter().map(|folder| &folder.name);
        name == ALL || self.algorithms().iter().chain(excluded).any(|known| known.as_str() == name)
    }

    /// Its inputs as a data set of their own, for what is done with every picture of one.
    pub fn inputs_as_data_set(&self) -> DataSet {
        DataSet { pictures: self.inputs.clone(), ..DataSet::new(self.name.clone(), self.root.clone(), Vec::new()) }
    }

    /// Only what these algorithms made; the scenes stay. What was set apart is an algorithm's where it is named; `all` stands for
    /// all others.
    ///
    /// # Errors
    /// With near names, where it has no pictures of one of them.
    pub fn select(mut self, algorithms: &AlgorithmSelection) -> Result<DataSet, DatasetError> {
        let AlgorithmSelection::Named(named) = algorithms else { return Ok(self) };
        self.include_excluded(|name| named.iter().any(|asked| asked == name.as_str()));
        let all = self.algorithms();
        let is_known = |name: &String| name == ALL || all.iter().any(|known| known.as_str() == name);
        let unknown = named.iter().find(|name| !is_known(name));
        if let Some(unknown) = unknown {
            let similar = similar_names(unknown, all.iter().map(AlgorithmName::as_str));
            return Err(DatasetError::UnknownAlgorithm {
                dataset: self.name,
                algorithm: unknown.clone(),
                similar,
                all,
            });
        }
        if named.iter().any(|name| name == ALL) {
            return Ok(self);
        }
        let named: BTreeSet<&str> = named.iter().map(String::as_str).collect();
        self.pictures.retain(|picture| named.contains(picture.algorithm.as_str()));
        Ok(self)
    }

    /// Brings pictures back that were set apart, of these names.
    pub(super) fn include_excluded(&mut self, is_asked: impl Fn(&AlgorithmName) -> bool) {
        let apart = std::mem::take(&mut self.excluded);
        let (asked, rest): (Vec<ExcludedFolder>, Vec<ExcludedFolder>) =
            apart.into_iter().partition(|folder| is_asked(&folder.name));
        self.excluded = rest;
        if asked.is_empty() {
            return;
        }
        let notes: Vec<String> = asked.iter().map(ExcludedFolder::note).collect();
        self.notes.retain(|note| !notes.contains(note));
        self.pictures.extend(asked.into_iter().flat_map(|folder| folder.pictures));
        sort(&mut self.pictures);
        // The matrix has the scenes that only these have, too.
        for scene in scenes(&self.pictures, &[]) {
            match self.scenes.binary_search_by(|known| known.key.cmp(&scene.key)) {
                Ok(at) => self.scenes[at].pictures = self.scenes[at].pictures.max(scene.pictures),
                Err(at) => self.scenes.insert(at, scene),
            }
        }
    }
}

/// What the pictures of a folder are that are no algorithm's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExcludedKind {
    /// What the algorithms were given.
    Hazy,
    /// The same scenes without haze.
    Clear,
}

/// Pictures that lie where an algorithm's would, and are none.
#[derive(Clone, Debug, PartialEq)]
pub struct ExcludedFolder {
    /// The name that they would have as an algorithm's.
    pub name: AlgorithmName,
    /// What they are.
    pub kind: ExcludedKind,
    /// In the order of a data set's pictures.
    pub pictures: Vec<Picture>,
}

impl ExcludedFolder {
    pub(super) fn note(&self) -> String {
        let what = match self.kind {
            ExcludedKind::Hazy => "the hazy inputs",
            ExcludedKind::Clear => "references without haze",
        };
        let (name, count) = (&self.name, self.pictures.len());
        format!(
            "`{name}` ({count} pictures) is taken for {what} and not ranked as an algorithm; --algos all,{name} does rank it"
        )
    }
}

pub(super) fn sort(pictures: &mut [Picture]) {
    type SortKey<'p> = (&'p AlgorithmName, &'p str, Option<&'p str>, &'p str);
    fn sort_key(picture: &Picture) -> SortKey<'_> {
        (&picture.algorithm, &picture.scene, picture.scene_group.as_deref(), &picture.image)
    }
    pictures.sort_unstable_by(|a, b| sort_key(a).cmp(&sort_key(b)));
}

/// Every scene, with how many pictures of it the algorithm has that should have most.
pub(super) fn scenes(pictures: &[Picture], all_absent: &[(AlgorithmName, SceneKey)]) -> Vec<Scene> {
    let mut absent: HashMap<(AlgorithmName, SceneKey), u32> = HashMap::new();
    for (algorithm, scene) in all_absent {
        *absent.entry((algorithm.clone(), scene.clone())).or_default() += 1;
    }
    let mut scenes: BTreeMap<SceneKey, u32> = BTreeMap::new();
    for run in pictures.chunk_by(|a, b| a.algorithm == b.algorithm && a.is_of_scene(b)) {
        let scene = run[0].scene_key();
        let absent = absent.remove(&(run[0].algorithm.clone(), scene.clone())).unwrap_or_default();
        let count = distinct(run) as u32 + absent;
        let most = scenes.entry(scene).or_default();
        *most = (*most).max(count);
    }
    for ((_, scene), count) in absent {
        let most = scenes.entry(scene).or_default();
        *most = (*most).max(count);
    }
    scenes.into_iter().map(|(key, pictures)| Scene { key, pictures }).collect()
}
