//! Folders beside the algorithms' that hold no algorithm's outputs: the hazy inputs, and the references without haze. It
//! knows them by their names, and sets their pictures apart, so that they are not ranked unless they are asked for by name.
//!
//! What a definition names stays what it is named: an alias in `[algorithms]` makes an algorithm of any folder, and so do
//! labels. Where there is nothing else, such a folder is what is to be scored.

use std::collections::{BTreeSet, HashMap};

use super::check::stem;
use super::definition::Definition;
use super::{DataSet, Picture, SceneKey, load};
use crate::names::{AlgorithmName, nfc};

/// What the pictures of a folder are that are no algorithm's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetApartKind {
    /// What the algorithms were given.
    Hazy,
    /// The same scenes without haze.
    Clear,
}

/// Pictures that lie where an algorithm's would, and are none.
#[derive(Clone, Debug, PartialEq)]
pub struct SetApart {
    /// The name that they would have as an algorithm's.
    pub name: AlgorithmName,
    /// What they are.
    pub kind: SetApartKind,
    /// In the order of a data set's pictures.
    pub pictures: Vec<Picture>,
}

/// Names of folders, in lower case.
const NAMES: [(&str, SetApartKind); 9] = [
    ("hazy", SetApartKind::Hazy),
    ("haze", SetApartKind::Hazy),
    ("input", SetApartKind::Hazy),
    ("inputs", SetApartKind::Hazy),
    ("clear", SetApartKind::Clear),
    ("gt", SetApartKind::Clear),
    ("groundtruth", SetApartKind::Clear),
    ("ground_truth", SetApartKind::Clear),
    ("ground-truth", SetApartKind::Clear),
];

fn kind(name: &AlgorithmName) -> Option<SetApartKind> {
    let lower = name.as_str().to_ascii_lowercase();
    NAMES.iter().find(|(known, _)| *known == lower).map(|(_, kind)| *kind)
}

/// Takes such pictures out of a data set's, and makes its inputs of the hazy ones if it has no others.
pub(super) fn set_apart(data: &mut DataSet, definition: &Definition) {
    let named: BTreeSet<&AlgorithmName> = definition.algorithms.values().collect();
    let labelled: BTreeSet<&AlgorithmName> =
        data.pictures.iter().filter(|picture| picture.mos.is_some()).map(|picture| &picture.algorithm).collect();
    let is_apart = |name: &AlgorithmName| kind(name).is_some() && !named.contains(name) && !labelled.contains(name);
    let apart: Vec<AlgorithmName> = data.algorithms().into_iter().filter(|name| is_apart(name)).collect();
    if apart.is_empty() || apart.len() == data.algorithms().len() {
        return;
    }
    for name in apart {
        let kind = kind(&name).expect("only such names are set apart");
        let (pictures, rest) = std::mem::take(&mut data.pictures).into_iter().partition(|p| p.algorithm == name);
        data.pictures = rest;
        let folder = SetApart { name, kind, pictures };
        data.notes.push(folder.note());
        data.set_apart.push(folder);
    }
    if data.inputs.is_empty() && definition.hazy.is_none() {
        link(data);
    }
}

impl SetApart {
    fn note(&self) -> String {
        let what = match self.kind {
            SetApartKind::Hazy => "the hazy inputs",
            SetApartKind::Clear => "references without haze",
        };
        let (name, count) = (&self.name, self.pictures.len());
        format!(
            "`{name}` ({count} pictures) is taken for {what} and not ranked as an algorithm; --algos all,{name} does rank it"
        )
    }
}

/// Makes the data set's inputs of the first hazy folder: an input is of the picture of its scene with its file's name, or of
/// all pictures of its scene if it is the only input of that.
fn link(data: &mut DataSet) {
    let Some(folder) = data.set_apart.iter().find(|folder| folder.kind == SetApartKind::Hazy) else { return };
    let mut by_scene: HashMap<SceneKey, Vec<(String, u32)>> = HashMap::new();
    for (at, picture) in folder.pictures.iter().enumerate() {
        let named = (nfc(stem(&picture.image)).into_owned(), at as u32);
        by_scene.entry(picture.scene_key()).or_default().push(named);
    }
    for picture in &mut data.pictures {
        let Some(inputs) = by_scene.get(&picture.scene_key()) else { continue };
        let own = nfc(stem(&picture.image));
        let same = inputs.iter().find(|(name, _)| *name == own);
        picture.hazy = match (same, inputs.as_slice()) {
            (Some((_, at)), _) | (None, [(_, at)]) => Some(*at),
            _ => None,
        };
    }
    data.inputs = folder.pictures.clone();
    data.inputs_from = Some(folder.name.clone());
}

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
        load::sort(&mut self.pictures);
        self.hazy_rows = Some(rows.name);
    }

    /// Brings pictures back that were set apart, of these names.
    pub(super) fn bring_back(&mut self, is_asked: impl Fn(&AlgorithmName) -> bool) {
        let apart = std::mem::take(&mut self.set_apart);
        let (asked, rest): (Vec<SetApart>, Vec<SetApart>) =
            apart.into_iter().partition(|folder| is_asked(&folder.name));
        self.set_apart = rest;
        if asked.is_empty() {
            return;
        }
        let notes: Vec<String> = asked.iter().map(SetApart::note).collect();
        self.notes.retain(|note| !notes.contains(note));
        self.pictures.extend(asked.into_iter().flat_map(|folder| folder.pictures));
        load::sort(&mut self.pictures);
        // The matrix has the scenes that only these have, too.
        for scene in load::scenes(&self.pictures, &[]) {
            match self.scenes.binary_search_by(|known| known.key.cmp(&scene.key)) {
                Ok(at) => self.scenes[at].pictures = self.scenes[at].pictures.max(scene.pictures),
                Err(at) => self.scenes.insert(at, scene),
            }
        }
    }
}
