//! The result of finding pictures by any method: pictures, references, and everything that is not a picture of the data set.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::definition::Definition;
use super::error::DatasetError;
use super::fault::{FaultKind, Faults};
use super::listing_with_tars::{Entry, File};
use super::picture::{Picture, file_stem};
use super::scene::SceneKey;
use super::skipped::{ClutterFilter, SkipReason, SkippedCollector};
use crate::cause;
use crate::names::{AlgorithmName, nfc};
use crate::store::{Object, UnusableKind};
use dqa_metrics::ReferenceKind;

/// Keys that an error shows of files that are not pictures of the data set.
const OTHER_KEYS_MAX: usize = 5;

/// The files that were found for a data set.
#[derive(Default)]
pub(super) struct FoundPictures {
    pub(super) pictures: Vec<Picture>,
    pub(super) inputs: Vec<Picture>,
    pub(super) clear_pictures: Vec<Picture>,
    /// Tables that match the definition's layout of labels.
    pub(super) label_files: Vec<Object>,
    /// Pictures that were named and do not exist, by algorithm and scene.
    pub(super) absent: Vec<(AlgorithmName, SceneKey)>,
    /// The first few keys that are not pictures of the data set.
    pub(super) other_keys: Vec<String>,
    pub(super) faults: Faults,
    pub(super) skipped: SkippedCollector,
    /// The error of the first tar that cannot be read, to be reported if there are no pictures.
    pub(super) broken_tar: Option<DatasetError>,
    /// Notes about input that was accepted although it is irregular.
    pub(super) notes: Vec<String>,
}

impl FoundPictures {
    /// Returns the references of a kind that were found.
    pub(super) fn references_mut(&mut self, kind: ReferenceKind) -> &mut Vec<Picture> {
        match kind {
            ReferenceKind::Hazy => &mut self.inputs,
            ReferenceKind::Clear => &mut self.clear_pictures,
        }
    }

    pub(super) fn add_other_key(&mut self, key: &str) {
        if self.other_keys.len() < OTHER_KEYS_MAX {
            self.other_keys.push(key.to_owned());
        }
    }

    /// Returns the file of an entry. An entry that is not a file is counted as skipped or as a fault.
    pub(super) fn file(&mut self, entry: Entry, filter: &ClutterFilter) -> Option<File> {
        match entry {
            Entry::File(file) => return Some(file),
            Entry::Clutter { key, is_folder } => {
                let clutter = if is_folder { filter.find_clutter_folder(&key) } else { filter.find_clutter(&key) };
                clutter.into_iter().for_each(|clutter| self.skipped.add_clutter(clutter));
            }
            Entry::Unusable(unusable) => {
                let text = format!("{}: {}", unusable.shown, unusable.why);
                match unusable.kind {
                    UnusableKind::Unreadable => self.faults.add(FaultKind::Unreadable, text.clone()),
                    UnusableKind::Marker => self.skipped.add(SkipReason::Marker, unusable.shown),
                    kind => self.skipped.add(kind.into(), text.clone()),
                }
                if unusable.kind != UnusableKind::Marker {
                    self.add_other_key(&text);
                }
            }
            Entry::UnusableMember { key, why } => {
                self.add_other_key(&key);
                self.skipped.add(SkipReason::Member, format!("{key}: {why}"));
            }
            Entry::BrokenTar { key, address, why } => {
                let cause = cause(&why).to_string();
                self.add_other_key(&key);
                self.faults.add(FaultKind::Tar, format!("{address}: {cause}"));
                self.broken_tar.get_or_insert(why);
            }
        }
        None
    }
}

/// Interns names that many pictures share, so that each is stored once.
pub(super) struct NameInterner<'d> {
    /// Aliases by their names in NFC.
    aliases: BTreeMap<Cow<'d, str>, &'d AlgorithmName>,
    algorithms: HashMap<String, AlgorithmName>,
    texts: HashSet<Arc<str>>,
}

impl<'d> NameInterner<'d> {
    pub(super) fn new(definition: &'d Definition) -> NameInterner<'d> {
        let aliases = definition.algorithms.iter().map(|(text, name)| (nfc(text), name)).collect();
        NameInterner { aliases, algorithms: HashMap::new(), texts: HashSet::new() }
    }

    /// Returns the algorithm that the path `image` calls `text`.
    pub(super) fn algorithm(&mut self, text: &str, image: &str) -> Result<AlgorithmName, DatasetError> {
        if let Some(known) = self.algorithms.get(text) {
            return Ok(known.clone());
        }
        let name = match self.aliases.get(&*nfc(text)) {
            Some(alias) => (*alias).clone(),
            None => text.parse().map_err(|source| DatasetError::Algorithm {
                image: image.to_owned(),
                text: text.to_owned(),
                source,
            })?,
        };
        self.algorithms.insert(text.to_owned(), name.clone());
        Ok(name)
    }

    /// Interns a text in NFC, so that scenes whose names look the same are one.
    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        let text = &*nfc(text);
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(text.clone());
        text
    }
}

/// Creates the picture of a reference below the root, whose scene is named after its file.
pub(super) fn reference_picture(object: &Object, kind: ReferenceKind) -> Picture {
    Picture {
        algorithm: kind.name().parse().expect("it is a name"),
        scene: file_stem(&object.key).into(),
        scene_group: None,
        image: object.key.as_str().into(),
        uri: None,
        bytes: object.bytes,
        version: object.version.as_str().into(),
        mos: None,
        raters: None,
        hazy: None,
        clear: None,
    }
}
