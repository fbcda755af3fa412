//! One picture of a data set.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::scene::SceneKey;
use crate::names::{AlgorithmName, nfc};

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
    /// The hazy picture that it was made from: its store in [`DataSet::inputs`].
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

impl Picture {
    /// A picture of which no more is known than who made it and its key, whose file name is its scene's.
    pub fn new(algorithm: AlgorithmName, image: &str) -> Picture {
        Picture {
            algorithm,
            scene: file_stem(image).into(),
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

/// How many pictures these files are: files that differ only in folder, extension or Unicode's form are one.
pub(super) fn distinct(run: &[Picture]) -> usize {
    match run {
        [] | [_] => run.len(),
        _ => by_stem(run).len(),
    }
}

pub(super) fn by_stem(run: &[Picture]) -> HashMap<Cow<'_, str>, Vec<&str>> {
    let mut stems: HashMap<Cow<str>, Vec<&str>> = HashMap::new();
    for picture in run {
        stems.entry(nfc(file_stem(&picture.image))).or_default().push(&picture.image);
    }
    stems
}

/// A key's file name without its extension.
pub(super) fn file_stem(key: &str) -> &str {
    let file = key.rsplit('/').next().unwrap_or(key);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}
