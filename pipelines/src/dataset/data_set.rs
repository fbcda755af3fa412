//! A loaded data set: the pictures of its algorithms, and the scenes that they show.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::definition::{Definition, Protocol};
use super::error::DatasetError;
use super::fault::Fault;
use super::picture::{Picture, distinct};
use super::scene::SceneKey;
use super::skipped::{self, SkippedFiles};
use crate::names::{AlgorithmName, DatasetName, similar_names};
use crate::store::Store;
use dqa_metrics::ReferenceKind;

/// The name that selects every algorithm of a data set.
pub const ALL: &str = "all";

/// A loaded data set.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// The name in tables and on the command line.
    pub name: DatasetName,
    /// The folder that the pictures' keys are relative to.
    pub root: Store,
    /// The dehazed pictures, sorted by algorithm, scene, image.
    pub pictures: Vec<Picture>,
    /// All scenes by key, including those that no selected algorithm has.
    pub scenes: Vec<Scene>,
    /// The hazy inputs of the algorithms, as pictures of an algorithm `hazy`: see [`Picture::hazy`].
    pub inputs: Vec<Picture>,
    /// The clear references, as pictures of an algorithm `clear`: see [`Picture::clear`].
    pub clear_pictures: Vec<Picture>,
    /// The folder that was recognised as the inputs' folder. None if the definition names the inputs, or there are none.
    pub inputs_from: Option<AlgorithmName>,
    /// The algorithm of [`DataSet::pictures`] whose pictures are the inputs, if these are scored.
    pub hazy_rows: Option<AlgorithmName>,
    /// Folders of inputs or references beside the algorithms' folders. They are scored only if they are selected by name.
    pub excluded: Vec<ExcludedFolder>,
    /// Whether the data set has labels. Then a picture without one is a problem.
    pub is_labelled: bool,
    /// The data set's own protocol, by which it is also reported.
    pub protocol: Option<Protocol>,
    /// The definition as TOML, for a run's record.
    pub definition: String,
    /// Files that are not pictures of the data set, and pictures that were named and are missing.
    pub faults: Vec<Fault>,
    /// Files that were skipped without being a fault.
    pub skipped: Vec<SkippedFiles>,
    /// Notes about input that was accepted although it is irregular.
    pub notes: Vec<String>,
}

/// A scene of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// The scene's key.
    pub key: SceneKey,
    /// Pictures of the scene by the algorithm that has most of them: a complete algorithm has as many.
    pub pictures: u32,
}

/// A selection of a data set's algorithms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlgorithmSelection {
    /// All algorithms.
    All,
    /// These algorithms. An unknown name is an error.
    Named(Vec<String>),
}

impl DataSet {
    /// Creates a data set of pictures in any order, without labels and references.
    pub fn new(name: DatasetName, root: Store, mut pictures: Vec<Picture>) -> DataSet {
        sort(&mut pictures);
        DataSet {
            definition: Definition::new(name.clone(), root.url().to_string()).to_toml(),
            name,
            root,
            scenes: scenes(&pictures, &[]),
            pictures,
            inputs: Vec::new(),
            clear_pictures: Vec::new(),
            inputs_from: None,
            hazy_rows: None,
            excluded: Vec::new(),
            is_labelled: false,
            protocol: None,
            faults: Vec::new(),
            skipped: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Describes the skipped files: a line for each kind that the user might miss, and one for all others.
    pub fn skipped_lines(&self) -> Vec<String> {
        skipped::lines(&self.skipped)
    }

    /// Returns the address of a picture or of a reference.
    pub fn uri(&self, picture: &Picture) -> String {
        picture.uri.as_ref().map_or_else(|| self.root.address(&picture.image), ToString::to_string)
    }

    /// Returns the algorithms that have pictures, sorted by name.
    pub fn algorithms(&self) -> Vec<AlgorithmName> {
        self.pictures.chunk_by(|a, b| a.algorithm == b.algorithm).map(|run| run[0].algorithm.clone()).collect()
    }

    /// Returns whether an algorithm can be selected by this name.
    pub fn has_algorithm(&self, name: &str) -> bool {
        let excluded = self.excluded.iter().map(|folder| &folder.name);
        name == ALL || self.algorithms().iter().chain(excluded).any(|known| known.as_str() == name)
    }

    /// Returns all references of a kind.
    pub fn references(&self, kind: ReferenceKind) -> &[Picture] {
        match kind {
            ReferenceKind::Hazy => &self.inputs,
            ReferenceKind::Clear => &self.clear_pictures,
        }
    }

    /// Returns the reference of a picture. [`DataSet::uri`] returns its address.
    pub fn reference(&self, picture: &Picture, kind: ReferenceKind) -> Option<&Picture> {
        picture.reference_index(kind).map(|index| &self.references(kind)[index as usize])
    }

    /// Returns the references of a kind as a data set of their own.
    pub fn references_as_data_set(&self, kind: ReferenceKind) -> DataSet {
        let pictures = self.references(kind).to_vec();
        DataSet { pictures, ..DataSet::new(self.name.clone(), self.root.clone(), Vec::new()) }
    }

    /// Keeps only the pictures of these algorithms, and all scenes. A name can also select an excluded folder; `all` selects
    /// everything but the excluded folders.
    ///
    /// # Errors
    /// If the data set has no algorithm of one of the names, with similar names.
    pub fn select(mut self, algorithms: &AlgorithmSelection) -> Result<DataSet, DatasetError> {
        let AlgorithmSelection::Named(named) = algorithms else { return Ok(self) };
        self.include_excluded(|name| named.iter().any(|selected| selected == name.as_str()));
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

    /// Includes the excluded folders whose names are selected.
    pub(super) fn include_excluded(&mut self, is_selected: impl Fn(&AlgorithmName) -> bool) {
        let excluded = std::mem::take(&mut self.excluded);
        let (included, rest): (Vec<ExcludedFolder>, Vec<ExcludedFolder>) =
            excluded.into_iter().partition(|folder| is_selected(&folder.name));
        self.excluded = rest;
        if included.is_empty() {
            return;
        }
        let notes: Vec<String> = included.iter().map(ExcludedFolder::note).collect();
        self.notes.retain(|note| !notes.contains(note));
        self.pictures.extend(included.into_iter().flat_map(|folder| folder.pictures));
        sort(&mut self.pictures);
        // Scenes that only these folders have are part of the matrix too.
        for scene in scenes(&self.pictures, &[]) {
            match self.scenes.binary_search_by(|known| known.key.cmp(&scene.key)) {
                Ok(index) => self.scenes[index].pictures = self.scenes[index].pictures.max(scene.pictures),
                Err(index) => self.scenes.insert(index, scene),
            }
        }
    }
}

/// A folder of pictures beside the algorithms' folders that is not an algorithm's.
#[derive(Clone, Debug, PartialEq)]
pub struct ExcludedFolder {
    /// The name that the folder would have as an algorithm.
    pub name: AlgorithmName,
    /// What the pictures are.
    pub kind: ReferenceKind,
    /// The pictures, in the order of a data set's pictures.
    pub pictures: Vec<Picture>,
}

impl ExcludedFolder {
    /// Returns the note that the folder is excluded.
    pub(super) fn note(&self) -> String {
        let content = match self.kind {
            ReferenceKind::Hazy => "the hazy inputs",
            ReferenceKind::Clear => "references without haze",
        };
        let (name, count) = (&self.name, self.pictures.len());
        format!(
            "`{name}` ({count} pictures) is taken for {content} and not ranked as an algorithm; --algos all,{name} ranks it"
        )
    }
}

/// Sorts pictures by algorithm, scene and image.
pub(super) fn sort(pictures: &mut [Picture]) {
    type SortKey<'p> = (&'p AlgorithmName, &'p str, Option<&'p str>, &'p str);
    fn sort_key(picture: &Picture) -> SortKey<'_> {
        (&picture.algorithm, &picture.scene, picture.scene_group.as_deref(), &picture.image)
    }
    pictures.sort_unstable_by(|a, b| sort_key(a).cmp(&sort_key(b)));
}

/// Returns all scenes, each with the pictures that the algorithm with most of them has or should have. `missing` are pictures
/// that were named and do not exist.
pub(super) fn scenes(pictures: &[Picture], missing: &[(AlgorithmName, SceneKey)]) -> Vec<Scene> {
    let mut absent: HashMap<(AlgorithmName, SceneKey), u32> = HashMap::new();
    for (algorithm, scene) in missing {
        *absent.entry((algorithm.clone(), scene.clone())).or_default() += 1;
    }
    let mut scenes: BTreeMap<SceneKey, u32> = BTreeMap::new();
    for run in pictures.chunk_by(|a, b| a.algorithm == b.algorithm && a.has_scene_of(b)) {
        let scene = run[0].scene_key();
        let absent = absent.remove(&(run[0].algorithm.clone(), scene.clone())).unwrap_or_default();
        let count = distinct(run) as u32 + absent;
        let count_max = scenes.entry(scene).or_default();
        *count_max = (*count_max).max(count);
    }
    for ((_, scene), count) in absent {
        let count_max = scenes.entry(scene).or_default();
        *count_max = (*count_max).max(count);
    }
    scenes.into_iter().map(|(key, pictures)| Scene { key, pictures }).collect()
}
