//! Finds pictures by layouts: the first layout that matches a file's key decides what the file is. Only the found pictures and
//! inputs are held in memory, and one batch of the listing.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use futures::TryStreamExt;

use super::definition::{Definition, InputsDefinition, contradiction};
use super::error::DatasetError;
use super::fault::FaultKind;
use super::found_pictures::{FoundPictures, NameInterner, input_picture};
use super::layout::{CaptureName, Captures, Layout};
use super::listing_with_tars::{self, File};
use super::picture::{Picture, file_stem};
use super::skipped::{ClutterFilter, SkipReason};
use crate::file_kinds::is_picture;
use crate::names::{AlgorithmName, nfc};
use crate::store::Store;

/// The role of a file that a layout matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Labels,
    Hazy,
    /// The file belongs to the data set, but is not an algorithm's.
    Ignored,
    Picture,
}

struct Rule {
    role: Role,
    layout: Layout,
}

/// A store to list, and the rules for its files. The first rule that matches a file is used.
struct ScanRoot {
    store: Store,
    rules: Vec<Rule>,
}

impl ScanRoot {
    /// Returns whether the tar with this key may contain pictures. A tar that a rule ignores by its own name is not opened.
    fn opens(&self, key: &str) -> bool {
        let key = &*nfc(key);
        let Some(tar) = listing_with_tars::uncompressed_tar_key(key) else { return false };
        let is_skipped = |rule: &Rule| rule.role == Role::Ignored && rule.layout.read(key).is_some();
        let enters = |rule: &Rule| matches!(rule.role, Role::Hazy | Role::Picture) && rule.layout.enters(&tar);
        self.rules.iter().any(enters) && !self.rules.iter().any(is_skipped)
    }
}

/// Indices of hazy pictures by the captures that they share with dehazed ones.
#[derive(Default)]
struct InputIndex {
    captures: Vec<CaptureName>,
    /// Indices of inputs by the texts of `captures`.
    indices: HashMap<Vec<Box<str>>, u32>,
}

/// Lists the stores of a definition and finds the pictures that match the layouts.
pub(super) async fn list(
    root: &Store,
    definition: &Definition,
    layouts: &[Layout],
) -> Result<FoundPictures, DatasetError> {
    let scene =
        definition.scene.as_deref().map(|text| Layout::new(text, definition.name_in_files().as_str())).transpose()?;
    check_layouts(definition, layouts, scene.as_ref())?;
    let sources = sources(root, definition, layouts)?;
    let mut scanner = LayoutScanner {
        tables: tables(root, definition)?,
        names: NameInterner::new(definition),
        has_groups: layouts.iter().chain(&scene).any(|layout| layout.captures(CaptureName::Group)),
        scene,
        hazy: InputIndex::default(),
        root,
        other_extensions: Vec::new(),
        found: FoundPictures::default(),
    };
    for source in &sources {
        let filter = ClutterFilter::new(source.rules.iter().map(|rule| rule.layout.clone()).collect());
        for folder in folders(&source.rules) {
            let mut entries = listing_with_tars::list(&source.store, &folder, &filter, |key| source.opens(key));
            while let Some(entries) = entries.try_next().await? {
                for entry in entries {
                    if let Some(file) = scanner.found.file(entry, &filter) {
                        scanner.take(source, file)?;
                    }
                }
            }
        }
    }
    scanner.accept_other_extensions(layouts)?;
    scanner.link_inputs(layouts);
    Ok(scanner.found)
}

fn tables(root: &Store, definition: &Definition) -> Result<Vec<String>, DatasetError> {
    let Some(labels) = &definition.labels else { return Ok(Vec::new()) };
    let own = labels.root.as_ref().map(|root| Store::open(root, Path::new(""))).transpose()?;
    let store = own.as_ref().unwrap_or(root);
    Ok([Some(&labels.file), labels.image_file.as_ref()].into_iter().flatten().map(|file| store.address(file)).collect())
}

fn check_layouts(definition: &Definition, layouts: &[Layout], scene: Option<&Layout>) -> Result<(), DatasetError> {
    for layout in layouts {
        let (has_scene, has_image) = (layout.captures(CaptureName::Scene), layout.captures(CaptureName::Image));
        let why = if !layout.captures(CaptureName::Algorithm) {
            "has no {algorithm}"
        } else if !has_scene && !has_image {
            "has neither {scene} nor {image}"
        } else if has_scene && scene.is_some() {
            "already has {scene}; `scene` is for layouts that only have {image}"
        } else {
            continue;
        };
        return Err(contradiction(definition, format!("the layout `{layout}` {why}")));
    }
    match scene {
        Some(scene) if !scene.captures(CaptureName::Scene) => {
            Err(contradiction(definition, format!("`{scene}` has no {{scene}}")))
        }
        _ => Ok(()),
    }
}

fn sources(root: &Store, definition: &Definition, layouts: &[Layout]) -> Result<Vec<ScanRoot>, DatasetError> {
    let layout = |text: &str| Layout::new(text, definition.name_in_files().as_str());
    let mut sources = vec![ScanRoot { store: root.clone(), rules: Vec::new() }];
    let mut add = |address: Option<&String>, role, text: &str| -> Result<(), DatasetError> {
        let rule = Rule { role, layout: layout(text)? };
        if role == Role::Labels && rule.layout.is_in_tars() {
            return Err(contradiction(
                definition,
                format!("the labels `{text}` would be in tars; labels are only read from files"),
            ));
        }
        match address {
            None => sources[0].rules.push(rule),
            Some(address) => sources.push(ScanRoot { store: Store::open(address, Path::new(""))?, rules: vec![rule] }),
        }
        Ok(())
    };
    if let Some(labels) = definition.labels.as_ref().filter(|labels| labels.file.contains('{')) {
        add(labels.root.as_ref(), Role::Labels, &labels.file)?;
    }
    if let Some(InputsDefinition { root, layout: text }) = &definition.hazy {
        add(root.as_ref(), Role::Hazy, text)?;
        if input_key(&layout(text)?, true).is_empty() {
            let why = format!("the layout `{text}` has no capture in common with the dehazed pictures' layouts");
            return Err(contradiction(definition, why));
        }
    }
    let clear = definition.clear.iter().filter(|clear| clear.root.is_none()).map(|clear| &clear.layout);
    for text in clear.chain(&definition.skip) {
        add(None, Role::Ignored, text)?;
    }
    let pictures = layouts.iter().map(|layout| Rule { role: Role::Picture, layout: layout.clone() });
    sources[0].rules.extend(pictures);
    Ok(sources)
}

/// Returns the captures that identify inputs of a layout: the image or the scene, and the group if dehazed pictures have groups.
fn input_key(layout: &Layout, has_groups: bool) -> Vec<CaptureName> {
    let captured = |name: &CaptureName| layout.captures(*name);
    let shown = [CaptureName::Image, CaptureName::Scene].into_iter().find(captured);
    let group = Some(CaptureName::Group).filter(captured).filter(|_| has_groups || shown.is_none());
    shown.into_iter().chain(group).collect()
}

/// Returns the folders that contain everything that the rules can match, none of them inside another.
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

struct LayoutScanner<'d> {
    /// Addresses of the tables that the definition names.
    tables: Vec<String>,
    names: NameInterner<'d>,
    /// The layout that reads the scene from an `{image}`.
    scene: Option<Layout>,
    /// Whether the scenes of dehazed pictures belong to groups.
    has_groups: bool,
    hazy: InputIndex,
    root: &'d Store,
    /// Picture files that a layout matches except for their extension.
    other_extensions: Vec<File>,
    found: FoundPictures,
}

impl LayoutScanner<'_> {
    fn take(&mut self, source: &ScanRoot, file: File) -> Result<(), DatasetError> {
        let key = &*nfc(&file.object.key);
        for rule in &source.rules {
            let Some(captures) = rule.layout.read(key) else { continue };
            match rule.role {
                Role::Labels => self.found.label_files.push(file.object.key.clone()),
                Role::Ignored => {}
                Role::Hazy => self.add_input(source, rule, captures, &file),
                Role::Picture if self.add_picture(captures, &file)? => {}
                Role::Picture => continue,
            }
            return Ok(());
        }
        self.found.add_other_key(&file.object.key);
        self.add_unmatched(source, file);
        Ok(())
    }

    /// Records a file that no rule matches.
    fn add_unmatched(&mut self, source: &ScanRoot, file: File) {
        let key = &file.object.key;
        let layouts = || source.rules.iter().filter(|rule| rule.role == Role::Picture).map(|rule| &rule.layout);
        let has_pictures = layouts().next().is_some();
        let parts = key.split('/').count();
        if !is_picture(key) {
            if !self.tables.contains(&source.store.address(key)) {
                self.found.skipped.add(SkipReason::Other, file.object.key);
            }
        } else if has_pictures && file.uri.is_none() && layouts().all(|layout| parts < layout.depth()) {
            self.found.skipped.add(SkipReason::Stray, file.object.key);
        } else if layouts().any(|layout| layout.read_other_extension(&nfc(key)).is_some()) {
            self.other_extensions.push(file);
        } else if has_pictures {
            self.found.faults.add(FaultKind::Unmatched, file.object.key);
        }
    }

    /// Accepts pictures with another extension than the layout's if no file of their algorithm has the layout's extension:
    /// the author saved JPEGs. Beside files that have it, files with another extension are a fault.
    fn accept_other_extensions(&mut self, layouts: &[Layout]) -> Result<(), DatasetError> {
        let mut others = std::mem::take(&mut self.other_extensions);
        if others.is_empty() {
            return Ok(());
        }
        others.sort_by(|a, b| a.object.key.cmp(&b.object.key));
        let has_named: HashSet<AlgorithmName> =
            self.found.pictures.iter().map(|picture| picture.algorithm.clone()).collect();
        let mut accepted = Vec::new();
        for file in others {
            let key = nfc(&file.object.key).into_owned();
            let captures = layouts.iter().find_map(|layout| layout.read_other_extension(&key));
            let is_new = |name: AlgorithmName| !has_named.contains(&name);
            let text = captures.as_ref().and_then(|captures| captures.algorithm);
            let is_consistent = text.is_some_and(|text| self.names.algorithm(text, &key).is_ok_and(is_new));
            match captures {
                Some(captures) if is_consistent && self.add_picture(captures, &file)? => accepted.push(file.object.key),
                _ => self.found.faults.add(FaultKind::Extension, file.object.key),
            }
        }
        if let Some(first) = accepted.first() {
            let count = accepted.len();
            self.found
                .notes
                .push(format!("{count} pictures are taken though the layout names another extension: {first}, ..."));
        }
        Ok(())
    }

    fn add_input(&mut self, source: &ScanRoot, rule: &Rule, captures: Captures, file: &File) {
        let object = &file.object;
        self.hazy.captures = input_key(&rule.layout, self.has_groups);
        let text = |name: &CaptureName| captures.get(*name).unwrap_or_default();
        let key: Vec<Box<str>> = self.hazy.captures.iter().map(|name| text(name).into()).collect();
        if self.hazy.indices.contains_key(&key) {
            self.found.faults.add(FaultKind::SecondInput, object.key.clone());
            return;
        }
        self.hazy.indices.insert(key, self.found.inputs.len() as u32);
        let scene = self.hazy.captures.first().map_or("", text);
        let address = source.store.address(&object.key);
        let is_below_root = address == self.root.address(&object.key);
        let elsewhere = if is_below_root { None } else { Some(address.into()) };
        self.found.inputs.push(Picture {
            scene: self.names.text(scene),
            uri: file.uri.clone().or(elsewhere),
            ..input_picture(object)
        });
    }

    /// Adds a dehazed picture. Returns false if the captures do not name its algorithm and scene.
    fn add_picture(&mut self, captures: Captures, file: &File) -> Result<bool, DatasetError> {
        let object = &file.object;
        let (mut scene, mut group) = (captures.scene.or(captures.image), captures.group);
        if let (Some(layout), Some(image)) = (&self.scene, captures.image) {
            let Some(captures) = layout.read(image) else { return Ok(false) };
            (scene, group) = (captures.scene, group.or(captures.group));
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

    /// Links the pictures to their inputs, which may be listed after them.
    fn link_inputs(&mut self, layouts: &[Layout]) {
        for picture in &mut self.found.pictures {
            picture.hazy = self.hazy.find(picture, layouts);
        }
    }
}

impl InputIndex {
    /// Returns the index of a picture's input.
    fn find(&self, picture: &Picture, layouts: &[Layout]) -> Option<u32> {
        let image = nfc(&picture.image);
        let text = |name: &CaptureName| match name {
            CaptureName::Image => {
                let captures = layouts.iter().find_map(|layout| layout.read(&image));
                Some(captures.and_then(|captures| captures.image).unwrap_or(file_stem(&image)))
            }
            CaptureName::Group => picture.scene_group.as_deref(),
            _ => Some(&*picture.scene),
        };
        let key: Option<Vec<Box<str>>> = self.captures.iter().map(|name| text(name).map(Into::into)).collect();
        self.indices.get(&key?).copied()
    }
}
