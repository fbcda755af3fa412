//! The identity of a scene: its name and its group. Scene 01 of O-HAZE is not scene 01 of NH-HAZE. All code that counts,
//! compares or draws scenes uses [`SceneKey`].

use std::fmt;
use std::sync::Arc;

/// Identifies a scene within a data set. Ordered by name, then by group. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SceneKey {
    /// The scene's name, as in [`Picture::scene`](super::Picture::scene).
    pub name: Arc<str>,
    /// The scene's group, as in [`Picture::scene_group`](super::Picture::scene_group).
    pub group: Option<Arc<str>>,
}

impl SceneKey {
    /// Creates the key of a scene that belongs to no group.
    pub fn ungrouped(name: impl Into<Arc<str>>) -> SceneKey {
        SceneKey { name: name.into(), group: None }
    }
}

impl fmt::Display for SceneKey {
    /// Writes `O-HAZE/01`, or `01` without a group.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.group {
            Some(group) => f.pad(&format!("{group}/{}", self.name)),
            None => f.pad(&self.name),
        }
    }
}
