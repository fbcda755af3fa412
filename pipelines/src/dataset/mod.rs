//! Data sets: which pictures of which algorithms there are, of which scenes, with which labels.
//!
//! `Definition` (a TOML file, or a bare folder) -> listing + labels -> [`DataSet`] -> check -> plan. It never looks into
//! a picture: sizes come from the index (`crate::index`).

use std::sync::Arc;

use crate::names::{AlgorithmName, DatasetName};
use crate::place::Place;

/// A data set as it was found: every picture that is listed or expected, in the order of algorithm, scene, image.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// Its name, in tables and on the command line.
    pub name: DatasetName,
    /// Where its pictures are; their keys are below it.
    pub root: Place,
    /// The dehazed pictures, sorted by algorithm, scene, image.
    pub pictures: Vec<Picture>,
}

/// One algorithm's output for one scene, as listed: its content has not been looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Who made it.
    pub algorithm: AlgorithmName,
    /// What it shows: the unit of the bootstrap and of comparisons between algorithms.
    pub scene: Arc<str>,
    /// A group of scenes that is reported by itself (a city, a kind of haze).
    pub scene_group: Option<Arc<str>>,
    /// Its key below the root; its identity within the data set.
    pub image: Box<str>,
    /// Its address, where that is not below the root.
    pub uri: Option<Box<str>>,
    /// Length in bytes.
    pub bytes: u64,
    /// Another one means other content (`Object::version`).
    pub version: Box<str>,
    /// The label, turned so that higher is better.
    pub mos: Option<f64>,
}

impl DataSet {
    /// A picture's address.
    pub fn uri(&self, picture: &Picture) -> String {
        picture.uri.as_ref().map_or_else(|| self.root.address(&picture.image), ToString::to_string)
    }
}
