//! Pictures from a listing: each file is what the first layout that matches its key says. It holds what it keeps, the
//! pictures and inputs, and no more of the listing than the files at hand.

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
use crate::file_names::is_picture;
use crate::names::{AlgorithmName, nfc};
use crate::store::Store;

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

/// A store to list, and what is looked for there. The first rule that matches counts.
struct ScanRoot {
    store: Store,
    rules: Vec<Rule>,
}

impl ScanRoot {
    /// Whether pictures may be in the tar of that key. One that is passed over by its own name is left alone.
    fn opens(&self, key: &str) -> bool {
        let key = &*nfc(key);
        let Some(tar) = listing_with_tars::uncompressed_tar_key(key) else { return false };
        let is_skipped = |rule: &Rule| rule.role == Role::PassedOver && rule.layout.read(key).is_some();
        let enters = |rule: &Rule| matches!(rule.role, Role::Hazy | Role::Picture) && rule.layout.enters(&tar);
        self.rules.iter().any(enters) && !self.rules.iter().any(is_skipped)
    }
}

/// Hazy pictures by what they share with dehazed ones.
#[derive(Default)]
struct InputIndex {
    by: Vec<CaptureName>,
    /// By the texts of these names.
    numbers: HashMap<Vec<Box<str>>, u32>,
}

/// Lists the places of a definition whose pictures are laid out so.
pub(super) async fn list(
    root: &Store,
    definition: &Definition,
    layouts: &[Layout],
) -> Result<FoundPictures, DatasetError> {
    let scene =
        definition.scene.as_deref().map(|text| Layout::new(text, definition.name_in_files().as_str())).transpose()?;
    check_layouts(definition, layouts, scene.as_ref())?;
    let sources = sources(root, definition, layouts)?;
    let mut lister = LayoutScanner {
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
            "has {scene} already; `scene` is for layouts that have only {image}"
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
                format!("the labels `{text}` would be in tars; they are read from files"),
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
fn input_key(layout: &Layout, has_groups: bool) -> Vec<CaptureName> {
    let captured = |name: &CaptureName| layout.captures(*name);
    let shown = [CaptureName::Image, CaptureName::Scene].into_iter().find(captured);
    let group = Some(CaptureName::Group).filter(captured).filter(|_| has_groups || shown.is_none());
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

struct LayoutScanner<'d> {
    /// Addresses of the tables that the definition names.
    tables: Vec<String>,
    names: NameInterner<'d>,
    /// Over `{image}`.
    scene: Option<Layout>,
    /// Whether dehazed pictures' scenes belong to groups.
    has_groups: bool,
    hazy: InputIndex,
    root: &'d Store,
    /// Picture files that a layout matches but for their extension.
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
    fn unmatched(&mut self, source: &ScanRoot, file: File) {
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

    fn input(&mut self, source: &ScanRoot, rule: &Rule, captures: Captures, file: &File) {
        let object = &file.object;
        self.hazy.by = input_key(&rule.layout, self.has_groups);
        let text = |name: &CaptureName| captures.get(*name).unwrap_or_default();
        let key: Vec<Box<str>> = self.hazy.by.iter().map(|name| text(name).into()).collect();
        if self.hazy.numbers.contains_key(&key) {
            self.found.faults.add(FaultKind::SecondInput, object.key.clone());
            return;
        }
        self.hazy.numbers.insert(key, self.found.inputs.len() as u32);
        let scene = self.hazy.by.first().map_or("", text);
        let address = source.store.address(&object.key);
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

impl InputIndex {
    fn of(&self, picture: &Picture, layouts: &[Layout]) -> Option<u32> {
        let image = nfc(&picture.image);
        let text = |name: &CaptureName| match name {
            CaptureName::Image => {
                let captures = layouts.iter().find_map(|layout| layout.read(&image));
                Some(captures.and_then(|captures| captures.image).unwrap_or(file_stem(&image)))
            }
            CaptureName::Group => picture.scene_group.as_deref(),
            _ => Some(&*picture.scene),
        };
        let key: Option<Vec<Box<str>>> = self.by.iter().map(|name| text(name).map(Into::into)).collect();
        self.numbers.get(&key?).copied()
    }
}
