//! The hazy inputs as rows of a run.

use std::collections::BTreeSet;

use super::data_set::{DataSet, sort};
use super::picture::Picture;
use super::scene::SceneKey;
use crate::names::AlgorithmName;

/// The hazy inputs as rows of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct HazyRows {
    /// The name under which they stand.
    pub name: AlgorithmName,
    /// The inputs of one scene each.
    pub pictures: Vec<Picture>,
    /// Inputs that no picture, or pictures of several scenes, were made from: they are of no row.
    pub left_out: usize,
}

impl DataSet {
    /// Returns the inputs as rows of an algorithm `hazy`, or of another name where an algorithm has that one. Each is of the
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
        let left_out = self.inputs.len() - pictures.len();
        HazyRows { name, pictures, left_out }
    }

    /// Adds the inputs' rows, if an algorithm of theirs is not there already.
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
