//! Excludes folders beside the algorithms' folders that hold no algorithm's outputs: the hazy inputs and the clear references.
//! They are recognised by their names, and are not ranked unless they are selected by name.
//!
//! A folder that the definition names is not excluded: an alias in `[algorithms]` makes any folder an algorithm's, and so do
//! labels. If there are no other folders, such a folder is scored.

use std::collections::{BTreeSet, HashMap};

use super::data_set::{DataSet, ExcludedFolder, ExcludedKind};
use super::definition::Definition;
use super::picture::file_stem;
use super::scene::SceneKey;
use crate::names::{AlgorithmName, nfc};

/// Names of excluded folders, in lower case.
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

/// Excludes such folders from a data set, and uses the pictures of a hazy one as its inputs if it has no others.
pub(super) fn exclude(data: &mut DataSet, definition: &Definition) {
    let named: BTreeSet<&AlgorithmName> = definition.algorithms.values().collect();
    let labelled: BTreeSet<&AlgorithmName> =
        data.pictures.iter().filter(|picture| picture.mos.is_some()).map(|picture| &picture.algorithm).collect();
    let is_excluded = |name: &AlgorithmName| kind(name).is_some() && !named.contains(name) && !labelled.contains(name);
    let excluded: Vec<AlgorithmName> = data.algorithms().into_iter().filter(|name| is_excluded(name)).collect();
    if excluded.is_empty() || excluded.len() == data.algorithms().len() {
        return;
    }
    for name in excluded {
        let kind = kind(&name).expect("only names with a kind are excluded");
        let (pictures, rest) = std::mem::take(&mut data.pictures).into_iter().partition(|p| p.algorithm == name);
        data.pictures = rest;
        let folder = ExcludedFolder { name, kind, pictures };
        data.notes.push(folder.note());
        data.excluded.push(folder);
    }
    if data.inputs.is_empty() && definition.hazy.is_none() {
        link_inputs(data);
    }
}

/// Uses the first hazy folder as the data set's inputs. An input belongs to the picture of its scene with the same file name, or
/// to all pictures of its scene if it is the scene's only input.
fn link_inputs(data: &mut DataSet) {
    let Some(folder) = data.excluded.iter().find(|folder| folder.kind == ExcludedKind::Hazy) else { return };
    let mut by_scene: HashMap<SceneKey, Vec<(String, u32)>> = HashMap::new();
    for (index, picture) in folder.pictures.iter().enumerate() {
        let named = (nfc(file_stem(&picture.image)).into_owned(), index as u32);
        by_scene.entry(picture.scene_key()).or_default().push(named);
    }
    for picture in &mut data.pictures {
        let Some(inputs) = by_scene.get(&picture.scene_key()) else { continue };
        let own = nfc(file_stem(&picture.image));
        let same = inputs.iter().find(|(name, _)| *name == own);
        picture.hazy = match (same, inputs.as_slice()) {
            (Some((_, index)), _) | (None, [(_, index)]) => Some(*index),
            _ => None,
        };
    }
    data.inputs = folder.pictures.clone();
    data.inputs_from = Some(folder.name.clone());
}
