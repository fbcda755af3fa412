//! Finds the reference of a dehazed picture by the captures that both layouts have: the image or the scene, and the group.

use std::collections::HashMap;

use super::layout::{CaptureName, Captures, Layout};
use super::picture::{Picture, file_stem};
use crate::names::nfc;

/// Indices of references of one kind by the captures that they share with dehazed pictures.
#[derive(Default)]
pub(super) struct ReferenceIndex {
    captures: Vec<CaptureName>,
    /// Indices of references by the texts of `captures`.
    indices: HashMap<Vec<Box<str>>, u32>,
}

impl ReferenceIndex {
    /// Returns the index of the references of a layout. Without one it is empty.
    pub(super) fn new(layout: Option<&Layout>, has_groups: bool) -> ReferenceIndex {
        let captures = layout.map(|layout| shared_captures(layout, has_groups)).unwrap_or_default();
        ReferenceIndex { captures, indices: HashMap::new() }
    }

    /// Adds a reference with its index. Returns the index of the earlier reference if there is one with the same captures.
    pub(super) fn insert(&mut self, captures: Captures, index: u32) -> Option<u32> {
        let text = |name: &CaptureName| captures.get(*name).unwrap_or_default().into();
        let known = *self.indices.entry(self.captures.iter().map(text).collect()).or_insert(index);
        Some(known).filter(|known| *known != index)
    }

    /// Returns the name that references have for their scene: the first of the shared captures.
    pub(super) fn scene<'a>(&self, captures: Captures<'a>) -> &'a str {
        self.captures.first().and_then(|name| captures.get(*name)).unwrap_or_default()
    }

    /// Returns the index of a picture's reference. `layouts` are those of dehazed pictures.
    pub(super) fn find(&self, picture: &Picture, layouts: &[Layout]) -> Option<u32> {
        if self.indices.is_empty() {
            return None;
        }
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

/// Returns whether references of this layout can be found for dehazed pictures.
pub(super) fn has_shared_captures(layout: &Layout) -> bool {
    !shared_captures(layout, true).is_empty()
}

/// Returns the captures that identify references of a layout: the image or the scene, and the group if dehazed pictures have
/// groups.
fn shared_captures(layout: &Layout, has_groups: bool) -> Vec<CaptureName> {
    let captured = |name: &CaptureName| layout.captures(*name);
    let shown = [CaptureName::Image, CaptureName::Scene].into_iter().find(captured);
    let group = Some(CaptureName::Group).filter(captured).filter(|_| has_groups || shown.is_none());
    shown.into_iter().chain(group).collect()
}
