//! Pictures from a listing: each file is what the first layout that matches its key says. It holds what it keeps, the
//! pictures and inputs, and no more of the listing than the files at hand.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;

use super::check::stem;
use super::definition::{Definition, InputsDefinition, contradiction};
use super::error::DatasetError;
use super::fault::{FaultKind, Faults};
use super::files::{self, Entry, File};
use super::layout::{Captures, Layout, Name};
use super::left_out::{Filter, LeftOutKind, LeftOuts};
use super::{Picture, SceneKey};
use crate::cause;
use crate::file_names::is_picture;
use crate::names::{AlgorithmName, nfc};
use crate::store::{Object, Store, UnusableKind};

/// Keys that are shown of what is there and is no picture.
const SEEN_MAX: usize = 5;

/// What was found of a data set.
#[derive(Default)]
pub(super) struct Found {
    pub(super) pictures: Vec<Picture>,
    pub(super) inputs: Vec<Picture>,
    /// Tables of labels that the definition's layout of them matches.
    pub(super) label_files: Vec<String>,
    /// Pictures that were named and are not there: whose, and of what.
    pub(super) absent: Vec<(AlgorithmName, SceneKey)>,
    /// The first few keys that are no pictures of the data set.
    pub(super) seen: Vec<String>,
    pub(super) faults: Faults,
    pub(super) left_out: LeftOuts,
    /// The first of the tars that cannot be read: the reason where there are no pictures.
    pub(super) broken_tar: Option<DatasetError>,
    /// What is said though nothing is wrong.
    pub(super) notes: Vec<String>,
}

impl Found {
    pub(super) fn see(&mut self, key: &str) {
        if self.seen.len() < SEEN_MAX {
            self.seen.push(key.to_owned());
        }
    }

    /// The file of an entry. What is none is counted where it belongs.
    pub(super) fn file(&mut self, entry: Entry, filter: &Filter) -> Option<File> {
        match entry {
            Entry::File(file) => return Some(file),
            Entry::Clutter { key, is_folder } => {
                let left = if is_folder { filter.leaves_out_folder(&key) } else { filter.leaves_out(&key) };
                left.into_iter().for_each(|left| self.left_out.add_clutter(left));
            }
            Entry::Unusable(unusable) => {
                let said = format!("{}: {}", unusable.shown, unusable.why);
                match unusable.kind {
                    UnusableKind::Unreadable => self.faults.add(FaultKind::Unreadable, said.clone()),
                    UnusableKind::Marker => self.left_out.add(LeftOutKind::Marker, unusable.shown),
                    kind => self.left_out.add(kind.into(), said.clone()),
                }
                if unusable.kind != UnusableKind::Marker {
                    self.see(&said);
                }
            }
            Entry::Unfit { key, why } => {
                self.see(&key);
                self.left_out.add(LeftOutKind::Member, format!("{key}: {why}"));
            }
            Entry::Broken { key, address, why } => {
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
pub(super) struct Names<'d> {
    /// By names in NFC.
    aliases: BTreeMap<Cow<'d, str>, &'d AlgorithmName>,
    algorithms: HashMap<String, AlgorithmName>,
    texts: HashSet<Arc<str>>,
}

impl<'d> Names<'d> {
    pub(super) fn new(definition: &'d Definition) -> Names<'d> {
        let aliases = definition.algorithms.iter().map(|(text, name)| (nfc(text), name)).collect();
        Names { aliases, algorithms: HashMap::new(), texts: HashSet::new() }
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

/// What an object is that a layout matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Labels,
    Hazy,
    /// It belongs there, and is no algorithm's.
    PassedOver,
    Picture,
}

struct Rule {
    role: Role,
    layout: Layout,
}

/// A place to list, and what is looked for there. The first rule that matches counts.
struct Source {
    place: Store,
    rules: Vec<Rule>,
}

impl Source {
    /// Whether pictures may be in the tar of that key. One that is passed over by its own name is left alone.
    fn opens(&self, key: &str) -> bool {
        let key = &*nfc(key);
        let Some(tar) = files::plain_tar(key) else { return false };
        let is_skipped = |rule: &Rule| rule.role == Role::PassedOver && rule.layout.read(key).is_some();
        let enters = |rule: &Rule| matches!(rule.role, Role::Hazy | Role::Picture) && rule.layout.enters(&tar);
        self.rules.iter().any(enters) && !self.rules.iter().any(is_skipped)
    }
}

/// Hazy pictures by what they share with dehazed ones.
#[derive(Default)]
struct InputNumbers {
    by: Vec<Name>,
    /// By the texts of these names.
    numbers: HashMap<Vec<Box<str>>, u32>,
}

/// An input below the root, of a scene of its own.
pub(super) fn input_picture(object: &Object) -> Picture {
    Picture {
        algorithm: "hazy".parse().expect("it is a name"),
        scene: stem(&object.key).into(),
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

/// Lists the places of a definition whose pictures are laid out so.
pub(super) async fn list(root: &Store, definition: &Definition, layouts: &[Layout]) -> Result<Found, DatasetError> {
    let scene =
        definition.scene.as_deref().map(|text| Layout::new(text, definition.name_in_files().as_str())).transpose()?;
    check_layouts(definition, layouts, scene.as_ref())?;
    let sources = sources(root, definition, layouts)?;
    let mut lister = Lister {
        tables: tables(root, definition)?,
        names: Names::new(definition),
        has_groups: layouts.iter().chain(&scene).any(|layout| layout.captures(Name::Group)),
        scene,
        hazy: InputNumbers::default(),
        root,
        other_extensions: Vec::new(),
        found: Found::default(),
    };
    for source in &sources {
        let filter = Filter::new(source.rules.iter().map(|rule| rule.layout.clone()).collect());
        for folder in folders(&source.rules) {
            let mut entries = files::list(&source.place, &folder, &filter, |key| source.opens(key));
            while let Some(entries) = entries.try_next().await? {
                for entry in entries {
                    if let Some(file) = lister.found.file(entry, &filter) {
                        lister.take(source, file)?;
                    }
                }
            }
        }
    }
    lister.take_other_extensions(layouts)?;
    lister.link(layouts);
    Ok(lister.found)
}

fn tables(root: &Store, definition: &Definition) -> Result<Vec<String>, DatasetError> {
    let Some(labels) = &definition.labels else { return Ok(Vec::new()) };
    let own = labels.root.as_ref().map(|root| Store::open(root, Path::new(""))).transpose()?;
    let place = own.as_ref().unwrap_or(root);
    Ok([Some(&labels.file), labels.image_file.as_ref()].into_iter().flatten().map(|file| place.address(file)).collect())
}

fn check_layouts(definition: &Definition, layouts: &[Layout], scene: Option<&Layout>) -> Result<(), DatasetError> {
    for layout in layouts {
        let (has_scene, has_image) = (layout.captures(Name::Scene), layout.captures(Name::Image));
        let why = if !layout.captures(Name::Algorithm) {
            "has no {algorithm}"
        } else if !has_scene && !has_image {
            "has neither {scene} nor {image}"
        } else if has_scene && scene.is_some() {
            "has {scene} already; `scene` is for layouts that have only {image}"
        } else {
            continue;
        };
        return Err(contradiction(definition, format!("the layout `{layout}` {why}")));
    }
    match scene {
        Some(scene) if !scene.captures(Name::Scene) => {
            Err(contradiction(definition, format!("`{scene}` has no {{scene}}")))
        }
        _ => Ok(()),
    }
}

fn sources(root: &Store, definition: &Definition, layouts: &[Layout]) -> Result<Vec<Source>, DatasetError> {
    let layout = |text: &str| Layout::new(text, definition.name_in_files().as_str());
    let mut sources = vec![Source { place: root.clone(), rules: Vec::new() }];
    let mut add = |address: Option<&String>, role, text: &str| -> Result<(), DatasetError> {
        let rule = Rule { role, layout: layout(text)? };
        if role == Role::Labels && rule.layout.is_in_tars() {
            return Err(contradiction(
                definition,
                format!("the labels `{text}` would be in tars; they are read from files"),
            ));
        }
        match address {
            None => sources[0].rules.push(rule),
            Some(address) => sources.push(Source { place: Store::open(address, Path::new(""))?, rules: vec![rule] }),
        }
        Ok(())
    };
    if let Some(labels) = definition.labels.as_ref().filter(|labels| labels.file.contains('{')) {
        add(labels.root.as_ref(), Role::Labels, &labels.file)?;
    }
    if let Some(InputsDefinition { root, layout: text }) = &definition.hazy {
        add(root.as_ref(), Role::Hazy, text)?;
        if key_of(&layout(text)?, true).is_empty() {
            let why = format!("the layout `{text}` has nothing that a dehazed picture's has too");
            return Err(contradiction(definition, why));
        }
    }
    let clear = definition.clear.iter().filter(|clear| clear.root.is_none()).map(|clear| &clear.layout);
    for text in clear.chain(&definition.skip) {
        add(None, Role::PassedOver, text)?;
    }
    let pictures = layouts.iter().map(|layout| Rule { role: Role::Picture, layout: layout.clone() });
    sources[0].rules.extend(pictures);
    Ok(sources)
}

/// What inputs of that layout are known by: the image or the scene, and the group, if dehazed pictures are in groups too.
fn key_of(layout: &Layout, has_groups: bool) -> Vec<Name> {
    let captured = |name: &Name| layout.captures(*name);
    let shown = [Name::Image, Name::Scene].into_iter().find(captured);
    let group = Some(Name::Group).filter(captured).filter(|_| has_groups || shown.is_none());
    shown.into_iter().chain(group).collect()
}

/// The folders that hold all that the rules can match, none within another.
fn folders(rules: &[Rule]) -> Vec<String> {
    let mut folders: Vec<String> = rules.iter().map(|rule| rule.layout.folder()).collect();
    folders.sort();
    folders.dedup();
    let all = folders.clone();
    let is_within = |folder: &str, outer: &str| {
        outer.is_empty() || folder.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
    };
    folders.retain(|folder| !all.iter().any(|outer| outer != folder && is_within(folder, outer)));
    folders
}

struct Lister<'d> {
    /// Addresses of the tables that the definition names.
    tables: Vec<String>,
    names: Names<'d>,
    /// Over `{image}`.
    scene: Option<Layout>,
    /// Whether dehazed pictures' scenes belong to groups.
    has_groups: bool,
    hazy: InputNumbers,
    root: &'d Store,
    /// Picture files that a layout matches but for their extension.
    other_extensions: Vec<File>,
    found: Found,
}

impl Lister<'_> {
    fn take(&mut self, source: &Source, file: File) -> Result<(), DatasetError> {
        let key = &*nfc(&file.object.key);
        for rule in &source.rules {
            let Some(captures) = rule.layout.read(key) else { continue };
            match rule.role {
                Role::Labels => self.found.label_files.push(file.object.key.clone()),
                Role::PassedOver => {}
                Role::Hazy => self.input(source, rule, captures, &file),
                Role::Picture if self.picture(captures, &file)? => {}
                Role::Picture => continue,
            }
            return Ok(());
        }
        self.found.see(&file.object.key);
        self.unmatched(source, file);
        Ok(())
    }

    /// A file that no rule matches.
    fn unmatched(&mut self, source: &Source, file: File) {
        let key = &file.object.key;
        let layouts = || source.rules.iter().filter(|rule| rule.role == Role::Picture).map(|rule| &rule.layout);
        let has_pictures = layouts().next().is_some();
        let parts = key.split('/').count();
        if !is_picture(key) {
            if !self.tables.contains(&source.place.address(key)) {
                self.found.left_out.add(LeftOutKind::Other, file.object.key);
            }
        } else if has_pictures && file.uri.is_none() && layouts().all(|layout| parts < layout.depth()) {
            self.found.left_out.add(LeftOutKind::Stray, file.object.key);
        } else if layouts().any(|layout| layout.read_other_extension(&nfc(key)).is_some()) {
            self.other_extensions.push(file);
        } else if has_pictures {
            self.found.faults.add(FaultKind::Unmatched, file.object.key);
        }
    }

    /// Takes the pictures of an algorithm none of whose files has the extension that the layout names: its author saved
    /// JPEGs. Beside files that have it, those of another extension are a fault.
    fn take_other_extensions(&mut self, layouts: &[Layout]) -> Result<(), DatasetError> {
        let mut others = std::mem::take(&mut self.other_extensions);
        if others.is_empty() {
            return Ok(());
        }
        others.sort_by(|a, b| a.object.key.cmp(&b.object.key));
        let has_named: HashSet<AlgorithmName> =
            self.found.pictures.iter().map(|picture| picture.algorithm.clone()).collect();
        let mut taken = Vec::new();
        for file in others {
            let key = nfc(&file.object.key).into_owned();
            let captures = layouts.iter().find_map(|layout| layout.read_other_extension(&key));
            let is_new = |name: AlgorithmName| !has_named.contains(&name);
            let text = captures.as_ref().and_then(|captures| captures.algorithm);
            let is_whole = text.is_some_and(|text| self.names.algorithm(text, &key).is_ok_and(is_new));
            match captures {
                Some(captures) if is_whole && self.picture(captures, &file)? => taken.push(file.object.key),
                _ => self.found.faults.add(FaultKind::Extension, file.object.key),
            }
        }
        if let Some(first) = taken.first() {
            let count = taken.len();
            self.found
                .notes
                .push(format!("{count} pictures are taken though the layout names another extension: {first}, ..."));
        }
        Ok(())
    }

    fn input(&mut self, source: &Source, rule: &Rule, captures: Captures, file: &File) {
        let object = &file.object;
        self.hazy.by = key_of(&rule.layout, self.has_groups);
        let text = |name: &Name| captures.get(*name).unwrap_or_default();
        let key: Vec<Box<str>> = self.hazy.by.iter().map(|name| text(name).into()).collect();
        if self.hazy.numbers.contains_key(&key) {
            self.found.faults.add(FaultKind::SecondInput, object.key.clone());
            return;
        }
        self.hazy.numbers.insert(key, self.found.inputs.len() as u32);
        let scene = self.hazy.by.first().map_or("", text);
        let address = source.place.address(&object.key);
        let is_below_root = address == self.root.address(&object.key);
        let elsewhere = if is_below_root { None } else { Some(address.into()) };
        self.found.inputs.push(Picture {
            scene: self.names.text(scene),
            uri: file.uri.clone().or(elsewhere),
            ..input_picture(object)
        });
    }

    /// Whether it is one.
    fn picture(&mut self, captures: Captures, file: &File) -> Result<bool, DatasetError> {
        let object = &file.object;
        let (mut scene, mut group) = (captures.scene.or(captures.image), captures.group);
        if let (Some(layout), Some(image)) = (&self.scene, captures.image) {
            let Some(of_image) = layout.read(image) else { return Ok(false) };
            (scene, group) = (of_image.scene, group.or(of_image.group));
        }
        let (Some(algorithm), Some(scene)) = (captures.algorithm, scene) else { return Ok(false) };
        self.found.pictures.push(Picture {
            algorithm: self.names.algorithm(algorithm, &object.key)?,
            scene: self.names.text(scene),
            scene_group: group.map(|group| self.names.text(group)),
            image: object.key.as_str().into(),
            uri: file.uri.clone(),
            bytes: object.bytes,
            version: object.version.as_str().into(),
            mos: None,
            raters: None,
            hazy: None,
        });
        Ok(true)
    }

    /// Gives the pictures their inputs: these may be listed after them.
    fn link(&mut self, layouts: &[Layout]) {
        for picture in &mut self.found.pictures {
            picture.hazy = self.hazy.of(picture, layouts);
        }
    }
}

impl InputNumbers {
    fn of(&self, picture: &Picture, layouts: &[Layout]) -> Option<u32> {
        let image = nfc(&picture.image);
        let text = |name: &Name| match name {
            Name::Image => {
                let captures = layouts.iter().find_map(|layout| layout.read(&image));
                Some(captures.and_then(|captures| captures.image).unwrap_or(stem(&image)))
            }
            Name::Group => picture.scene_group.as_deref(),
            _ => Some(&*picture.scene),
        };
        let key: Option<Vec<Box<str>>> = self.by.iter().map(|name| text(name).map(Into::into)).collect();
        self.numbers.get(&key?).copied()
    }
}
