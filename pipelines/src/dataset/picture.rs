//! One picture of a data set.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::scene::SceneKey;
use crate::names::{AlgorithmName, nfc};
use dqa_metrics::ReferenceKind;

/// An algorithm's output for a scene, as listed. Its content has not been read.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The algorithm that made it.
    pub algorithm: AlgorithmName,
    /// The scene that it shows: the unit of resampling and of comparisons between algorithms.
    pub scene: Arc<str>,
    /// A group of scenes that is reported by itself (a city, a kind of haze). Scenes of different groups are different,
    /// even with the same name: see [`Picture::scene_key`].
    pub scene_group: Option<Arc<str>>,
    /// Its key below the root, where a tar counts as a folder. It identifies the picture within the data set.
    pub image: Box<str>,
    /// Its address, if it cannot be derived from the key: the picture is not below the root, or is in a tar.
    pub uri: Option<Box<str>>,
    /// Length in bytes.
    pub bytes: u64,
    /// Changes whenever the content does (`Object::version`).
    pub version: Box<str>,
    /// The label, turned so that higher is better.
    pub mos: Option<f64>,
    /// The ratings that the label is the mean of, if it is one.
    pub raters: Option<Raters>,
    /// The index of its hazy input in [`DataSet::inputs`](super::DataSet::inputs).
    pub hazy: Option<u32>,
    /// The index of its clear reference in [`DataSet::clear_pictures`](super::DataSet::clear_pictures).
    pub clear: Option<u32>,
}

/// Statistics of the ratings that a label is the mean of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raters {
    /// The number of ratings.
    pub count: u32,
    /// Their sample standard deviation (divided by their number less one). None for a single rating.
    pub std: Option<f64>,
}

impl Picture {
    /// Creates a picture from an algorithm and a key whose file name is the scene's name.
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
            clear: None,
        }
    }

    /// Returns the index of its reference of a kind in [`DataSet::references`](super::DataSet::references).
    pub fn reference_index(&self, kind: ReferenceKind) -> Option<u32> {
        match kind {
            ReferenceKind::Hazy => self.hazy,
            ReferenceKind::Clear => self.clear,
        }
    }

    /// Sets the index of its reference of a kind.
    pub(super) fn set_reference_index(&mut self, kind: ReferenceKind, index: Option<u32>) {
        match kind {
            ReferenceKind::Hazy => self.hazy = index,
            ReferenceKind::Clear => self.clear = index,
        }
    }

    /// Returns the key of its scene, which includes the group.
    pub fn scene_key(&self) -> SceneKey {
        SceneKey { name: self.scene.clone(), group: self.scene_group.clone() }
    }

    /// Returns whether both pictures show the same scene.
    pub fn has_scene_of(&self, other: &Picture) -> bool {
        self.scene == other.scene && self.scene_group == other.scene_group
    }
}

/// Returns how many different pictures these files are. Files that differ only in folder, extension or Unicode form are one.
pub(super) fn distinct(run: &[Picture]) -> usize {
    match run {
        [] | [_] => run.len(),
        _ => by_stem(run).len(),
    }
}

/// Groups the keys of pictures by file name without extension, in NFC.
pub(super) fn by_stem(run: &[Picture]) -> HashMap<Cow<'_, str>, Vec<&str>> {
    let mut stems: HashMap<Cow<str>, Vec<&str>> = HashMap::new();
    for picture in run {
        stems.entry(nfc(file_stem(&picture.image))).or_default().push(&picture.image);
    }
    stems
}

/// Returns a key's file name without its extension.
pub(super) fn file_stem(key: &str) -> &str {
    let file = key.rsplit('/').next().unwrap_or(key);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}
