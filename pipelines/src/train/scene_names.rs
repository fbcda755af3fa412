//! Scene names as used in splits, predictions and evaluations: the plain name, or the name with its group (`O-HAZE/01`)
//! in a data set where groups share names. A data set whose scene names are unique keeps its existing splits and
//! trials.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::dataset::{DataSet, Picture, SceneKey};

/// The names of a data set's scenes.
#[derive(Clone, Debug)]
pub struct SceneNames {
    /// Whether names include the group, because two groups have a scene of the same name.
    is_qualified: bool,
    /// The scenes that have a picture with a label.
    labelled: BTreeSet<String>,
    /// The other spelling of each name, with or without the group, mapped to the names that it can mean.
    aliases: BTreeMap<String, BTreeSet<String>>,
}

impl SceneNames {
    /// Collects the names of all scenes of a data set.
    pub fn new(dataset: &DataSet) -> SceneNames {
        let listed = dataset.scenes.iter().map(|scene| scene.key.clone());
        let keys: BTreeSet<SceneKey> = listed.chain(dataset.pictures.iter().map(Picture::scene_key)).collect();
        let names: BTreeSet<&Arc<str>> = keys.iter().map(|key| &key.name).collect();
        let mut scene_names =
            SceneNames { is_qualified: names.len() < keys.len(), labelled: BTreeSet::new(), aliases: BTreeMap::new() };
        for key in &keys {
            let name = scene_names.name_of_key(key);
            for alias in [key.name.to_string(), key.to_string()] {
                if alias != name {
                    scene_names.aliases.entry(alias).or_default().insert(name.clone());
                }
            }
        }
        let labelled = dataset.pictures.iter().filter(|picture| picture.mos.is_some());
        let labelled: BTreeSet<SceneKey> = labelled.map(Picture::scene_key).collect();
        scene_names.labelled = labelled.iter().map(|key| scene_names.name_of_key(key)).collect();
        scene_names
    }

    fn name_of_key(&self, key: &SceneKey) -> String {
        if self.is_qualified { key.to_string() } else { key.name.to_string() }
    }

    /// Returns the name of a picture's scene.
    pub fn name_of(&self, picture: &Picture) -> String {
        self.name_of_key(&picture.scene_key())
    }

    /// Returns the scenes that have a picture with a label. Splits are drawn from these.
    pub fn labelled(&self) -> &BTreeSet<String> {
        &self.labelled
    }

    /// Returns the scenes that a text can mean: the scene of exactly this name, else all scenes of this name in any group, or the scene
    /// of this group and name.
    pub(super) fn resolve<'t>(&'t self, text: &'t str) -> Vec<&'t str> {
        match self.aliases.get(text) {
            Some(names) if !self.labelled.contains(text) => names.iter().map(String::as_str).collect(),
            _ => vec![text],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::Store;

    fn dataset(scenes: &[(Option<&str>, &str)]) -> DataSet {
        let picture = |(group, scene): &(Option<&str>, &str)| Picture {
            scene: (*scene).into(),
            scene_group: group.map(Into::into),
            mos: Some(1.0),
            ..Picture::new("a".parse().unwrap(), &format!("{}/{scene}.png", group.unwrap_or("")))
        };
        let root = Store::open("/", Path::new("")).unwrap();
        DataSet::new("d".parse().unwrap(), root, scenes.iter().map(picture).collect())
    }

    #[test]
    fn a_scene_is_named_with_its_group_where_groups_share_names() {
        let apart =
            SceneNames::new(&dataset(&[(Some("beijing"), "beijing_1"), (Some("wuhan"), "wuhan_1"), (None, "x")]));
        assert_eq!(apart.labelled().iter().collect::<Vec<_>>(), ["beijing_1", "wuhan_1", "x"]);
        assert_eq!(apart.resolve("wuhan/wuhan_1"), ["wuhan_1"]);
        let shared = SceneNames::new(&dataset(&[(Some("O"), "01"), (Some("NH"), "01"), (Some("NH"), "02")]));
        assert_eq!(shared.labelled().iter().collect::<Vec<_>>(), ["NH/01", "NH/02", "O/01"]);
        assert_eq!(shared.resolve("01"), ["NH/01", "O/01"]);
        assert_eq!(
            (shared.resolve("O/01"), shared.resolve("O/02")),
            (vec!["O/01"], vec!["O/02"]),
            "the latter does not exist"
        );
    }
}
