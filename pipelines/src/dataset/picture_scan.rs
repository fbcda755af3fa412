//! Finds pictures by layouts: the first layout that matches a file's key decides what the file is. Only the found pictures and
//! references are held in memory, and one batch of the listing.

use std::collections::HashSet;
use std::path::Path;

use futures::TryStreamExt;

use super::definition::{Definition, ReferencesDefinition, contradiction};
use super::error::DatasetError;
use super::fault::FaultKind;
use super::found_pictures::{FoundPictures, NameInterner, reference_picture};
use super::layout::{CaptureName, Captures, Layout};
use super::listing_with_tars::{self, File, Listing};
use super::load_policy::LoadPolicy;
use super::picture::Picture;
use super::reference_index::{ReferenceIndex, has_shared_captures};
use super::skipped::{ClutterFilter, SkipReason};
use crate::file_kinds::is_picture;
use crate::names::{AlgorithmName, nfc};
use crate::store::Store;
use dqa_metrics::ReferenceKind;

/// The role of a file that a layout matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Labels,
    Reference(ReferenceKind),
    /// The file belongs to the data set, but is not an algorithm's.
    Ignored,
    Picture,
}

/// Why a layout of references cannot be used.
const NO_SHARED_CAPTURES: &str = "has no capture in common with the dehazed pictures' layouts";

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
        let enters = |rule: &Rule| matches!(rule.role, Role::Reference(_) | Role::Picture) && rule.layout.enters(&tar);
        self.rules.iter().any(enters) && !self.rules.iter().any(is_skipped)
    }
}

/// Lists the stores of a definition and finds the pictures that match the layouts.
pub(super) async fn list(
    root: &Store,
    definition: &Definition,
    layouts: &[Layout],
    policy: &LoadPolicy,
) -> Result<FoundPictures, DatasetError> {
    let scene =
        definition.scene.as_deref().map(|text| Layout::new(text, definition.name_in_files().as_str())).transpose()?;
    check_layouts(definition, layouts, scene.as_ref())?;
    let sources = sources(root, definition, layouts)?;
    let has_groups = layouts.iter().chain(&scene).any(|layout| layout.captures(CaptureName::Group));
    let index = |kind| {
        let mut rules = sources.iter().flat_map(|source| &source.rules);
        let rule = rules.find(|rule| rule.role == Role::Reference(kind));
        ReferenceIndex::new(rule.map(|rule| &rule.layout), has_groups)
    };
    let mut scanner = LayoutScanner {
        tables: tables(root, definition)?,
        names: NameInterner::new(definition),
        scene,
        hazy: index(ReferenceKind::Hazy),
        clear: index(ReferenceKind::Clear),
        root,
        policy,
        other_extensions: Vec::new(),
        found: FoundPictures::default(),
    };
    for source in &sources {
        let filter = ClutterFilter::new(source.rules.iter().map(|rule| rule.layout.clone()).collect());
        for folder in folders(&source.rules) {
            let listing = Listing { filter: &filter, policy };
            let mut entries = listing_with_tars::list(&source.store, &folder, listing, |key| source.opens(key));
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
    scanner.link_references(layouts);
    scanner.found.notes.extend(clear_layout_note(definition, &sources));
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
    for kind in ReferenceKind::ALL {
        let Some(ReferencesDefinition { root, layout: text }) = definition.references(kind) else { continue };
        match (has_shared_captures(&layout(text)?), kind) {
            (true, kind) => add(root.as_ref(), Role::Reference(kind), text)?,
            (false, ReferenceKind::Hazy) => {
                let why = format!("the layout `{text}` {NO_SHARED_CAPTURES}");
                return Err(contradiction(definition, why));
            }
            // Clear pictures that are only to be set apart from the algorithms'.
            (false, ReferenceKind::Clear) if root.is_none() => add(None, Role::Ignored, text)?,
            (false, ReferenceKind::Clear) => {}
        }
    }
    for text in &definition.skip {
        add(None, Role::Ignored, text)?;
    }
    let pictures = layouts.iter().map(|layout| Rule { role: Role::Picture, layout: layout.clone() });
    sources[0].rules.extend(pictures);
    Ok(sources)
}

/// Returns a note if the definition names clear pictures in a way that links none of them to dehazed ones.
fn clear_layout_note(definition: &Definition, sources: &[ScanRoot]) -> Option<String> {
    let text = &definition.references(ReferenceKind::Clear)?.layout;
    let mut rules = sources.iter().flat_map(|source| &source.rules);
    let is_linked = rules.any(|rule| rule.role == Role::Reference(ReferenceKind::Clear));
    (!is_linked)
        .then(|| format!("nothing is compared with the clear pictures: their layout `{text}` {NO_SHARED_CAPTURES}"))
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
    hazy: ReferenceIndex,
    clear: ReferenceIndex,
    root: &'d Store,
    policy: &'d LoadPolicy,
    /// Picture files that a layout matches except for their extension.
    other_extensions: Vec<File>,
    found: FoundPictures,
}

impl LayoutScanner<'_> {
    fn take(&mut self, source: &ScanRoot, file: File) -> Result<(), DatasetError> {
        let key = &*nfc(&file.object.key);
        for rule in &source.rules {
            let Some(captures) = rule.layout.read(key) else { continue };
            if rule.role != Role::Ignored {
                self.policy.charge(file.memory())?;
            }
            match rule.role {
                Role::Labels => self.found.label_files.push(file.object.clone()),
                Role::Ignored => {}
                Role::Reference(kind) => self.add_reference(kind, source, captures, &file),
                Role::Picture if self.add_picture(captures, &file)? => {}
                Role::Picture => continue,
            }
            return Ok(());
        }
        self.found.add_other_key(&file.object.key);
        self.add_unmatched(source, file)
    }

    /// Records a file that no rule matches.
    fn add_unmatched(&mut self, source: &ScanRoot, file: File) -> Result<(), DatasetError> {
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
            self.policy.charge(file.memory())?;
            self.other_extensions.push(file);
        } else if has_pictures {
            self.found.faults.add(FaultKind::Unmatched, file.object.key);
        }
        Ok(())
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

    /// Adds a reference. Of several with the same captures the first by its key is used, whatever the order of the listing.
    fn add_reference(&mut self, kind: ReferenceKind, source: &ScanRoot, captures: Captures, file: &File) {
        let object = &file.object;
        let (index, second) = match kind {
            ReferenceKind::Hazy => (&mut self.hazy, FaultKind::SecondInput),
            ReferenceKind::Clear => (&mut self.clear, FaultKind::SecondClear),
        };
        let address = source.store.address(&object.key);
        let is_below_root = address == self.root.address(&object.key);
        let elsewhere = if is_below_root { None } else { Some(address.into()) };
        let mut reference = Picture {
            scene: self.names.text(index.scene(captures)),
            uri: file.uri.clone().or(elsewhere),
            ..reference_picture(object, kind)
        };
        let references = self.found.references_mut(kind);
        let Some(known) = index.insert(captures, references.len() as u32) else {
            references.push(reference);
            return;
        };
        let known = &mut references[known as usize];
        if reference.image < known.image {
            std::mem::swap(known, &mut reference);
        }
        self.found.faults.add(second, reference.image);
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
            clear: None,
        });
        Ok(true)
    }

    /// Links the pictures to their references, which may be listed after them.
    fn link_references(&mut self, layouts: &[Layout]) {
        for picture in &mut self.found.pictures {
            picture.hazy = self.hazy.find(picture, layouts);
            picture.clear = self.clear.find(picture, layouts);
        }
    }
}
