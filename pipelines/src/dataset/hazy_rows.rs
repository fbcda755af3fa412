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
    /// scene of the pictures that were made from it.
    pub fn hazy_rows(&self) -> HazyRows {
        let mut scenes: Vec<BTreeSet<SceneKey>> = vec![BTreeSet::new(); self.inputs.len()];
        for picture in &self.pictures {
            if let Some(hazy) = picture.hazy {
                scenes[hazy as usize].insert(picture.scene_key());
            }
        }
        let algorithms = self.algorithms();
        let names = ["hazy".to_owned(), "hazy-input".to_owned()].into_iter();
        let mut names = names.chain((2..).map(|number| format!("hazy-input-{number}")));
        let free = names.find(|name| algorithms.iter().all(|known| known.as_str() != name));
        let name: AlgorithmName =
            free.and_then(|name| name.parse().ok()).expect("there are more names than algorithms");
        let row = |(input, scenes): (&Picture, &BTreeSet<SceneKey>)| {
            let scene = scenes.first().filter(|_| scenes.len() == 1)?.clone();
            let (scene, scene_group) = (scene.name, scene.group);
            Some(Picture { algorithm: name.clone(), scene, scene_group, mos: None, hazy: None, ..input.clone() })
        };
        let pictures: Vec<Picture> = self.inputs.iter().zip(&scenes).filter_map(row).collect();
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
