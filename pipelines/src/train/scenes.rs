//! Scenes as splits, predictions and evaluations name them: by the name alone, or, in a data set where groups share names,
//! with the group (`O-HAZE/01`). So a data set whose names differ keeps the splits and trials that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::dataset::{DataSet, Picture, SceneKey};

/// The texts of a data set's scenes.
#[derive(Clone, Debug)]
pub struct SceneTexts {
    /// Whether two groups have a scene of one name.
    is_shared: bool,
    /// Those that have a picture with a label.
    labelled: BTreeSet<String>,
    /// By every other way to name them: the name alone, or the group with it.
    others: BTreeMap<String, BTreeSet<String>>,
}

impl SceneTexts {
    /// Of all scenes of a data set.
    pub fn new(dataset: &DataSet) -> SceneTexts {
        let listed = dataset.scenes.iter().map(|scene| scene.key.clone());
        let keys: BTreeSet<SceneKey> = listed.chain(dataset.pictures.iter().map(Picture::scene_key)).collect();
        let names: BTreeSet<&Arc<str>> = keys.iter().map(|key| &key.name).collect();
        let mut texts =
            SceneTexts { is_shared: names.len() < keys.len(), labelled: BTreeSet::new(), others: BTreeMap::new() };
        for key in &keys {
            let text = texts.of_key(key);
            for other in [key.name.to_string(), key.to_string()] {
                if other != text {
                    texts.others.entry(other).or_default().insert(text.clone());
                }
            }
        }
        let labelled = dataset.pictures.iter().filter(|picture| picture.mos.is_some());
        let labelled: BTreeSet<SceneKey> = labelled.map(Picture::scene_key).collect();
        texts.labelled = labelled.iter().map(|key| texts.of_key(key)).collect();
        texts
    }

    fn of_key(&self, key: &SceneKey) -> String {
        if self.is_shared { key.to_string() } else { key.name.to_string() }
    }

    /// What a picture shows.
    pub fn of(&self, picture: &Picture) -> String {
        self.of_key(&picture.scene_key())
    }

    /// The scenes that have a picture with a label: those that splits are made of.
    pub fn labelled(&self) -> &BTreeSet<String> {
        &self.labelled
    }

    /// The scenes that a text means: the one that it is the text of; else those of that name in all groups, or the one of
    /// that group and name.
    pub(super) fn meant<'t>(&'t self, text: &'t str) -> Vec<&'t str> {
        match self.others.get(text) {
            Some(texts) if !self.labelled.contains(text) => texts.iter().map(String::as_str).collect(),
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
            SceneTexts::new(&dataset(&[(Some("beijing"), "beijing_1"), (Some("wuhan"), "wuhan_1"), (None, "x")]));
        assert_eq!(apart.labelled().iter().collect::<Vec<_>>(), ["beijing_1", "wuhan_1", "x"]);
        assert_eq!(apart.meant("wuhan/wuhan_1"), ["wuhan_1"]);
        let shared = SceneTexts::new(&dataset(&[(Some("O"), "01"), (Some("NH"), "01"), (Some("NH"), "02")]));
        assert_eq!(shared.labelled().iter().collect::<Vec<_>>(), ["NH/01", "NH/02", "O/01"]);
        assert_eq!(shared.meant("01"), ["NH/01", "O/01"]);
        assert_eq!(
            (shared.meant("O/01"), shared.meant("O/02")),
            (vec!["O/01"], vec!["O/02"]),
            "the latter is nobody's"
        );
    }
}
