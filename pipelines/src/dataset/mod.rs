//! Data sets: which pictures of which algorithms there are, of which scenes, with which labels.
//!
//! [`Definition`] (a TOML file, or a bare folder) -> listing + labels -> [`DataSet`] -> [`Check`] -> plan. It
//! never looks into a picture: sizes come from the index (`crate::index`).

mod check;
mod definition;
mod error;
mod fault;
mod files;
mod labels;
mod layout;
mod left_out;
mod listing;
mod load;
mod manifest;
mod mat;
mod members;
mod mos_mat;
mod paths;
mod scene;
mod set_apart;
mod source;
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use check::{Cell, Check, Counts, check};
pub use definition::{
    Definition, Direction, Ignore, Importer, InputsDefinition, LabelsDefinition, Protocol, Repeated, find, names,
};
pub use error::{DatasetError, LabelError};
pub use fault::{Fault, FaultKind};
pub use labels::unused_labels;
pub use layout::{Captures, Layout, LayoutError};
pub use left_out::{LeftOut, LeftOutKind};
pub use load::{load, load_from};
pub use mat::MatError;
pub use members::TarError;
pub use scene::SceneKey;
pub use set_apart::{HazyRows, SetApart, SetApartKind};
pub use source::{DatasetSource, SourceDifference, canonical_address};
pub use table::{RowAt, cells::Decimal};

use crate::names::{AlgorithmName, DatasetName, near};
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
    pub set_apart: Vec<SetApart>,
    /// Whether it has labels: then a picture without one is a fault.
    pub is_labelled: bool,
    /// The protocol of its own that it is also reported by.
    pub protocol: Option<Protocol>,
    /// Its definition as TOML, for a run's record.
    pub definition: String,
    /// What was found and is no picture, or was named and is not there.
    pub faults: Vec<Fault>,
    /// What was found and is left out, and is no fault.
    pub left_out: Vec<LeftOut>,
    /// What was taken though it is not written as it should be, or was passed over: nothing is wrong, and it is said.
    pub notes: Vec<String>,
}

/// One algorithm's output for one scene, as listed: its content has not been looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Who made it.
    pub algorithm: AlgorithmName,
    /// What it shows: the unit of the bootstrap and of comparisons between algorithms.
    pub scene: Arc<str>,
    /// A group of scenes that is reported by itself (a city, a kind of haze). Scenes of two groups are two, whatever their
    /// names: see [`Picture::scene_key`].
    pub scene_group: Option<Arc<str>>,
    /// Its key below the root, through a tar as through a folder; its identity within the data set.
    pub image: Box<str>,
    /// Its address, where its key does not say it: it is not below the root, or in a tar.
    pub uri: Option<Box<str>>,
    /// Length in bytes.
    pub bytes: u64,
    /// Another one means other content (`Object::version`).
    pub version: Box<str>,
    /// The label, turned so that higher is better.
    pub mos: Option<f64>,
    /// Whose mean the label is, where it is one.
    pub raters: Option<Raters>,
    /// The hazy picture that it was made from: its place in [`DataSet::inputs`].
    pub hazy: Option<u32>,
}

/// What is kept of the ratings that a label is the mean of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raters {
    /// How many there are.
    pub count: u32,
    /// Their standard deviation (of the sample: divided by their number less one); None of a single one.
    pub std: Option<f64>,
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
pub enum Algorithms {
    /// All that it has.
    All,
    /// These; one that it lacks is an error.
    Named(Vec<String>),
}

impl Picture {
    /// A picture of which no more is known than who made it and its key, whose file name is its scene's.
    pub fn new(algorithm: AlgorithmName, image: &str) -> Picture {
        Picture {
            algorithm,
            scene: check::stem(image).into(),
            scene_group: None,
            image: image.into(),
            uri: None,
            bytes: 1,
            version: Box::default(),
            mos: None,
            raters: None,
            hazy: None,
        }
    }

    /// What it shows, told apart from scenes of the same name in other groups.
    pub fn scene_key(&self) -> SceneKey {
        SceneKey { name: self.scene.clone(), group: self.scene_group.clone() }
    }

    /// Whether both show the same.
    pub fn is_of_scene(&self, other: &Picture) -> bool {
        self.scene == other.scene && self.scene_group == other.scene_group
    }
}

impl DataSet {
    /// Of pictures alone, in any order: without labels to miss, without inputs.
    pub fn new(name: DatasetName, root: Store, mut pictures: Vec<Picture>) -> DataSet {
        load::sort(&mut pictures);
        DataSet {
            definition: Definition::new(name.clone(), root.url().to_string()).to_toml(),
            name,
            root,
            scenes: load::scenes(&pictures, &[]),
            pictures,
            inputs: Vec::new(),
            inputs_from: None,
            hazy_rows: None,
            set_apart: Vec::new(),
            is_labelled: false,
            protocol: None,
            faults: Vec::new(),
            left_out: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// What is said of what is left out: a line for each kind that might be missed, and one for what is passed over.
    pub fn left_out_lines(&self) -> Vec<String> {
        left_out::lines(&self.left_out)
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
        let set_apart = self.set_apart.iter().map(|folder| &folder.name);
        name == ALL || self.algorithms().iter().chain(set_apart).any(|known| known.as_str() == name)
    }

    /// Its inputs as a data set of their own, for what is done with every picture of one.
    pub fn of_inputs(&self) -> DataSet {
        DataSet { pictures: self.inputs.clone(), ..DataSet::new(self.name.clone(), self.root.clone(), Vec::new()) }
    }

    /// Only what these algorithms made; the scenes stay. What was set apart is an algorithm's where it is named; `all` stands for
    /// all others.
    ///
    /// # Errors
    /// With near names, where it has no pictures of one of them.
    pub fn select(mut self, algorithms: &Algorithms) -> Result<DataSet, DatasetError> {
        let Algorithms::Named(named) = algorithms else { return Ok(self) };
        self.bring_back(|name| named.iter().any(|asked| asked == name.as_str()));
        let all = self.algorithms();
        let is_known = |name: &String| name == ALL || all.iter().any(|known| known.as_str() == name);
        let unknown = named.iter().find(|name| !is_known(name));
        if let Some(unknown) = unknown {
            let near = near(unknown, all.iter().map(AlgorithmName::as_str));
            let near = near.into_iter().map(str::to_owned).collect();
            return Err(DatasetError::UnknownAlgorithm { dataset: self.name, algorithm: unknown.clone(), near, all });
        }
        if named.iter().any(|name| name == ALL) {
            return Ok(self);
        }
        let named: BTreeSet<&str> = named.iter().map(String::as_str).collect();
        self.pictures.retain(|picture| named.contains(picture.algorithm.as_str()));
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
