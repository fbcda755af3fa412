//! Pictures from a listing: each file is what the first layout that matches its key says. It holds what it keeps, the
//! pictures and inputs, and no more of the listing than the files at hand.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;

use super::check::stem;
use super::definition::{Definition, InputsDefinition, contradiction};
use super::error::DatasetError;
use super::fault::{FaultKind, Faults};
use super::files::{self, File};
use super::layout::{Captures, Layout, Name, is_picture};
use super::{Picture, SceneKey};
use crate::names::AlgorithmName;
use crate::place::{Object, Place};

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
    /// What is said though nothing is wrong.
    pub(super) notes: Vec<String>,
}

impl Found {
    pub(super) fn see(&mut self, key: &str) {
        if self.seen.len() < SEEN_MAX {
            self.seen.push(key.to_owned());
        }
    }
}

/// Texts that many pictures share, once each.
pub(super) struct Names<'d> {
    aliases: &'d BTreeMap<String, AlgorithmName>,
    algorithms: HashMap<String, AlgorithmName>,
    texts: HashSet<Arc<str>>,
}

impl<'d> Names<'d> {
    pub(super) fn new(definition: &'d Definition) -> Names<'d> {
        Names { aliases: &definition.algorithms, algorithms: HashMap::new(), texts: HashSet::new() }
    }

    /// The algorithm that `image` calls `text`.
    pub(super) fn algorithm(&mut self, text: &str, image: &str) -> Result<AlgorithmName, DatasetError> {
        if let Some(known) = self.algorithms.get(text) {
            return Ok(known.clone());
        }
        let name = match self.aliases.get(text) {
            Some(alias) => alias.clone(),
            None => text.parse().map_err(|source| DatasetError::Algorithm {
                image: image.to_owned(),
                text: text.to_owned(),
                source,
            })?,
        };
        self.algorithms.insert(text.to_owned(), name.clone());
        Ok(name)
    }

    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
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
    place: Place,
    rules: Vec<Rule>,
}

impl Source {
    /// Whether pictures may be in the tar of that key. One that is passed over by its own name is left alone.
    fn opens(&self, key: &str) -> bool {
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
pub(super) async fn list(root: &Place, definition: &Definition, layouts: &[Layout]) -> Result<Found, DatasetError> {
    let scene = definition.scene.as_deref().map(|text| Layout::new(text, definition.name.as_str())).transpose()?;
    check_layouts(definition, layouts, scene.as_ref())?;
    let sources = sources(root, definition, layouts)?;
    let has_groups = layouts.iter().chain(&scene).any(|layout| layout.captures(Name::Group));
    let hazy = InputNumbers::default();
    let mut lister = Lister { names: Names::new(definition), scene, has_groups, hazy, root, found: Found::default() };
    for source in &sources {
        for folder in folders(&source.rules) {
            let mut files = files::list(&source.place, &folder, |key| source.opens(key));
            while let Some(files) = files.try_next().await? {
                files.into_iter().try_for_each(|file| lister.take(source, file))?;
            }
        }
    }
    lister.link(layouts);
    Ok(lister.found)
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

fn sources(root: &Place, definition: &Definition, layouts: &[Layout]) -> Result<Vec<Source>, DatasetError> {
    let layout = |text: &str| Layout::new(text, definition.name.as_str());
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
            Some(address) => sources.push(Source { place: Place::open(address, Path::new(""))?, rules: vec![rule] }),
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
    names: Names<'d>,
    /// Over `{image}`.
    scene: Option<Layout>,
    /// Whether dehazed pictures' scenes belong to groups.
    has_groups: bool,
    hazy: InputNumbers,
    root: &'d Place,
    found: Found,
}

impl Lister<'_> {
    fn take(&mut self, source: &Source, file: File) -> Result<(), DatasetError> {
        let is_picture = is_picture(&file.object.key);
        for rule in &source.rules {
            let Some(captures) = rule.layout.read(&file.object.key) else { continue };
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
        if is_picture && source.rules.iter().any(|rule| rule.role == Role::Picture) {
            self.found.faults.add(FaultKind::Unmatched, file.object.key);
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
        let text = |name: &Name| match name {
            Name::Image => {
                let captures = layouts.iter().find_map(|layout| layout.read(&picture.image));
                Some(captures.and_then(|captures| captures.image).unwrap_or(stem(&picture.image)))
            }
            Name::Group => picture.scene_group.as_deref(),
            _ => Some(&*picture.scene),
        };
        let key: Option<Vec<Box<str>>> = self.by.iter().map(|name| text(name).map(Into::into)).collect();
        self.numbers.get(&key?).copied()
    }
}
