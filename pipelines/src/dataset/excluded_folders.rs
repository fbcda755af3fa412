//! Folders beside the algorithms' that hold no algorithm's outputs: the hazy inputs, and the references without haze. It
//! knows them by their names, and sets their pictures apart, so that they are not ranked unless they are asked for by name.
//!
//! What a definition names stays what it is named: an alias in `[algorithms]` makes an algorithm of any folder, and so do
//! labels. Where there is nothing else, such a folder is what is to be scored.

use std::collections::{BTreeSet, HashMap};

use super::data_set::{DataSet, ExcludedFolder, ExcludedKind};
use super::definition::Definition;
use super::picture::file_stem;
use super::scene::SceneKey;
use crate::names::{AlgorithmName, nfc};

/// Names of folders, in lower case.
const NAMES: [(&str, ExcludedKind); 9] = [
    ("hazy", ExcludedKind::Hazy),
    ("haze", ExcludedKind::Hazy),
    ("input", ExcludedKind::Hazy),
    ("inputs", ExcludedKind::Hazy),
    ("clear", ExcludedKind::Clear),
    ("gt", ExcludedKind::Clear),
    ("groundtruth", ExcludedKind::Clear),
    ("ground_truth", ExcludedKind::Clear),
    ("ground-truth", ExcludedKind::Clear),
];

fn kind(name: &AlgorithmName) -> Option<ExcludedKind> {
    let lower = name.as_str().to_ascii_lowercase();
    NAMES.iter().find(|(known, _)| *known == lower).map(|(_, kind)| *kind)
}

/// Takes such pictures out of a data set's, and makes its inputs of the hazy ones if it has no others.
pub(super) fn exclude(data: &mut DataSet, definition: &Definition) {
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
        let folder = ExcludedFolder { name, kind, pictures };
        data.notes.push(folder.note());
        data.excluded.push(folder);
    }
    if data.inputs.is_empty() && definition.hazy.is_none() {
        link(data);
    }
}

/// Makes the data set's inputs of the first hazy folder: an input is of the picture of its scene with its file's name, or of
/// all pictures of its scene if it is the only input of that.
fn link(data: &mut DataSet) {
    let Some(folder) = data.excluded.iter().find(|folder| folder.kind == ExcludedKind::Hazy) else { return };
    let mut by_scene: HashMap<SceneKey, Vec<(String, u32)>> = HashMap::new();
    for (at, picture) in folder.pictures.iter().enumerate() {
        let named = (nfc(file_stem(&picture.image)).into_owned(), at as u32);
        by_scene.entry(picture.scene_key()).or_default().push(named);
    }
    for picture in &mut data.pictures {
        let Some(inputs) = by_scene.get(&picture.scene_key()) else { continue };
        let own = nfc(file_stem(&picture.image));
        let same = inputs.iter().find(|(name, _)| *name == own);
        picture.hazy = match (same, inputs.as_slice()) {
            (Some((_, at)), _) | (None, [(_, at)]) => Some(*at),
            _ => None,
        };
    }
    data.inputs = folder.pictures.clone();
    data.inputs_from = Some(folder.name.clone());
}
