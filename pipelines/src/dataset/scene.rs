//! What a scene is known by: its name, and the group that it belongs to. Scene 01 of O-HAZE is not scene 01 of NH-HAZE.
//! Whoever counts, compares or draws scenes does it by [`SceneKey`].

use std::fmt;
use std::sync::Arc;

/// Identifies a scene within a data set. In the order of names, then of groups. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SceneKey {
    /// As in [`Picture::scene`](super::Picture::scene).
    pub name: Arc<str>,
    /// As in [`Picture::scene_group`](super::Picture::scene_group).
    pub group: Option<Arc<str>>,
}

impl SceneKey {
    /// A scene that belongs to no group.
    pub fn ungrouped(name: impl Into<Arc<str>>) -> SceneKey {
        SceneKey { name: name.into(), group: None }
    }
}

impl fmt::Display for SceneKey {
    /// `O-HAZE/01`; without a group `01`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.group {
            Some(group) => f.pad(&format!("{group}/{}", self.name)),
            None => f.pad(&self.name),
        }
    }
}
