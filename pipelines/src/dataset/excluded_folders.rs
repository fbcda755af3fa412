//! Excludes folders beside the algorithms' folders that hold no algorithm's outputs: the hazy inputs and the clear references.
//! They are recognised by their names, and are not ranked unless they are selected by name.
//!
//! A folder that the definition names is not excluded: an alias in `[algorithms]` makes any folder an algorithm's, and so do
//! labels. If there are no other folders, such a folder is scored.

use std::collections::{BTreeSet, HashMap};

use super::data_set::{DataSet, ExcludedFolder};
use super::definition::Definition;
use super::picture::file_stem;
use super::scene::SceneKey;
use crate::names::{AlgorithmName, nfc};
use dqa_metrics::ReferenceKind;

/// Names of excluded folders, in lower case.
const NAMES: [(&str, ReferenceKind); 9] = [
    ("hazy", ReferenceKind::Hazy),
    ("haze", ReferenceKind::Hazy),
    ("input", ReferenceKind::Hazy),
    ("inputs", ReferenceKind::Hazy),
    ("clear", ReferenceKind::Clear),
    ("gt", ReferenceKind::Clear),
    ("groundtruth", ReferenceKind::Clear),
    ("ground_truth", ReferenceKind::Clear),
    ("ground-truth", ReferenceKind::Clear),
];

fn kind(name: &AlgorithmName) -> Option<ReferenceKind> {
    let lower = name.as_str().to_ascii_lowercase();
    NAMES.iter().find(|(known, _)| *known == lower).map(|(_, kind)| *kind)
}

/// Excludes such folders from a data set, and uses the pictures of one of each kind as its references if it has no others.
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
    // Clear pictures first, so that the inputs are linked to them when they are copied.
    for kind in [ReferenceKind::Clear, ReferenceKind::Hazy] {
        if data.references(kind).is_empty() && definition.references(kind).is_none() {
            link_references(data, kind);
        }
    }
}

/// Uses the first folder of a kind as the data set's references. A reference belongs to the picture of its scene with the same
/// file name, or to all pictures of its scene if it is the scene's only one. Inputs are compared with clear pictures too.
fn link_references(data: &mut DataSet, kind: ReferenceKind) {
    let Some(folder) = data.excluded.iter().find(|folder| folder.kind == kind) else { return };
    let (name, references) = (folder.name.clone(), folder.pictures.clone());
    let mut by_scene: HashMap<SceneKey, Vec<(String, u32)>> = HashMap::new();
    for (index, picture) in references.iter().enumerate() {
        let named = (nfc(file_stem(&picture.image)).into_owned(), index as u32);
        by_scene.entry(picture.scene_key()).or_default().push(named);
    }
    let is_compared = |folder: &&mut ExcludedFolder| (folder.kind, kind) == (ReferenceKind::Hazy, ReferenceKind::Clear);
    let inputs = data.excluded.iter_mut().filter(is_compared).flat_map(|folder| &mut folder.pictures);
    for picture in data.pictures.iter_mut().chain(inputs) {
        let Some(references) = by_scene.get(&picture.scene_key()) else { continue };
        let own = nfc(file_stem(&picture.image));
        let same = references.iter().find(|(name, _)| *name == own);
        let index = match (same, references.as_slice()) {
            (Some((_, index)), _) | (None, [(_, index)]) => Some(*index),
            _ => None,
        };
        picture.set_reference_index(kind, index);
    }
    match kind {
        ReferenceKind::Hazy => (data.inputs, data.inputs_from) = (references, Some(name)),
        ReferenceKind::Clear => data.clear_pictures = references,
    }
}
