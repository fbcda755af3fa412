//! The hazy inputs as rows of a run.

use std::collections::BTreeSet;

use super::data_set::{DataSet, sort};
use super::picture::Picture;
use super::scene::SceneKey;
use crate::names::AlgorithmName;

/// The pictures of the hazy inputs as an algorithm of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct HazyRows {
    /// The algorithm name of the rows.
    pub name: AlgorithmName,
    /// The inputs that belong to one scene.
    pub pictures: Vec<Picture>,
    /// The number of inputs without rows: those of no picture, or of pictures of several scenes.
    pub unused_inputs: usize,
}

impl DataSet {
    /// Returns the inputs as rows of an algorithm `hazy`, or of another name if an algorithm has that name. Each belongs to the
    /// scene of the pictures that were made from it, and has their clear reference if all of them have the same.
    pub fn hazy_rows(&self) -> HazyRows {
        let mut scenes: Vec<BTreeSet<SceneKey>> = vec![BTreeSet::new(); self.inputs.len()];
        let mut clear: Vec<BTreeSet<Option<u32>>> = vec![BTreeSet::new(); self.inputs.len()];
        for picture in &self.pictures {
            if let Some(hazy) = picture.hazy {
                scenes[hazy as usize].insert(picture.scene_key());
                clear[hazy as usize].insert(picture.clear);
            }
        }
        let algorithms = self.algorithms();
        let names = ["hazy".to_owned(), "hazy-input".to_owned()].into_iter();
        let mut names = names.chain((2..).map(|number| format!("hazy-input-{number}")));
        let free = names.find(|name| algorithms.iter().all(|known| known.as_str() != name));
        let name: AlgorithmName =
            free.and_then(|name| name.parse().ok()).expect("there are more names than algorithms");
        let row = |(index, input): (usize, &Picture)| {
            let scene = only(&scenes[index])?;
            let (scene, scene_group, clear) = (scene.name, scene.group, only(&clear[index]).flatten());
            Some(Picture { algorithm: name.clone(), scene, scene_group, mos: None, hazy: None, clear, ..input.clone() })
        };
        let pictures: Vec<Picture> = self.inputs.iter().enumerate().filter_map(row).collect();
        let unused_inputs = self.inputs.len() - pictures.len();
        HazyRows { name, pictures, unused_inputs }
    }

    /// Adds the inputs' rows, unless the folder of the inputs is already among the algorithms.
    pub fn add_hazy_rows(&mut self, rows: HazyRows) {
        let is_there = |name: &AlgorithmName| self.algorithms().contains(name);
        if let Some(name) = self.inputs_from.clone().filter(is_there) {
            self.hazy_rows = Some(name);
            return;
        }
        self.pictures.extend(rows.pictures);
        sort(&mut self.pictures);
        self.hazy_rows = Some(rows.name);
    }
}

/// Returns the value of a set that has one.
fn only<T: Clone + Ord>(values: &BTreeSet<T>) -> Option<T> {
    values.first().filter(|_| values.len() == 1).cloned()
}
