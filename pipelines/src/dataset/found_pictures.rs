//! Pictures as they are found: what every way of finding them collects.

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

/// Keys that are shown of what is there and is no picture.
const SEEN_MAX: usize = 5;

/// What was found of a data set.
#[derive(Default)]
pub(super) struct FoundPictures {
    pub(super) pictures: Vec<Picture>,
    pub(super) inputs: Vec<Picture>,
    /// Tables of labels that the definition's layout of them matches.
    pub(super) label_files: Vec<String>,
    /// Pictures that were named and are not there: whose, and of what.
    pub(super) absent: Vec<(AlgorithmName, SceneKey)>,
    /// The first few keys that are no pictures of the data set.
    pub(super) seen: Vec<String>,
    pub(super) faults: Faults,
    pub(super) skipped: SkippedCollector,
    /// The first of the tars that cannot be read: the reason where there are no pictures.
    pub(super) broken_tar: Option<DatasetError>,
    /// What is said though nothing is wrong.
    pub(super) notes: Vec<String>,
}

impl FoundPictures {
    pub(super) fn see(&mut self, key: &str) {
        if self.seen.len() < SEEN_MAX {
            self.seen.push(key.to_owned());
        }
    }

    /// The file of an entry. What is none is counted where it belongs.
    pub(super) fn file(&mut self, entry: Entry, filter: &ClutterFilter) -> Option<File> {
        match entry {
            Entry::File(file) => return Some(file),
            Entry::Clutter { key, is_folder } => {
                let left = if is_folder { filter.find_clutter_folder(&key) } else { filter.find_clutter(&key) };
                left.into_iter().for_each(|left| self.skipped.add_clutter(left));
            }
            Entry::Unusable(unusable) => {
                let said = format!("{}: {}", unusable.shown, unusable.why);
                match unusable.kind {
                    UnusableKind::Unreadable => self.faults.add(FaultKind::Unreadable, said.clone()),
                    UnusableKind::Marker => self.skipped.add(SkipReason::Marker, unusable.shown),
                    kind => self.skipped.add(kind.into(), said.clone()),
                }
                if unusable.kind != UnusableKind::Marker {
                    self.see(&said);
                }
            }
            Entry::UnusableMember { key, why } => {
                self.see(&key);
                self.skipped.add(SkipReason::Member, format!("{key}: {why}"));
            }
            Entry::BrokenTar { key, address, why } => {
                let why_not = cause(&why).to_string();
                self.see(&key);
                self.faults.add(FaultKind::Tar, format!("{address}: {why_not}"));
                self.broken_tar.get_or_insert(why);
            }
        }
        None
    }
}

/// Texts that many pictures share, once each.
pub(super) struct NameInterner<'d> {
    /// By names in NFC.
    aliases: BTreeMap<Cow<'d, str>, &'d AlgorithmName>,
    algorithms: HashMap<String, AlgorithmName>,
    texts: HashSet<Arc<str>>,
}

impl<'d> NameInterner<'d> {
    pub(super) fn new(definition: &'d Definition) -> NameInterner<'d> {
        let aliases = definition.algorithms.iter().map(|(text, name)| (nfc(text), name)).collect();
        NameInterner { aliases, algorithms: HashMap::new(), texts: HashSet::new() }
    }

    /// The algorithm that `image` calls `text`.
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

    /// In NFC, so that scenes are one that look the same.
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

/// An input below the root, of a scene of its own.
pub(super) fn input_picture(object: &Object) -> Picture {
    Picture {
        algorithm: "hazy".parse().expect("it is a name"),
        scene: file_stem(&object.key).into(),
        scene_group: None,
        image: object.key.as_str().into(),
        uri: None,
        bytes: object.bytes,
        version: object.version.as_str().into(),
        mos: None,
        raters: None,
        hazy: None,
    }
}
