//! Finds the scenes of a data set that a model saw in training.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Scenes, TrainedOn, TrainingSet};
use crate::dataset::{DatasetSource, SceneKey};
use crate::names::DatasetName;

/// How two data sets were found to be the same, in increasing certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchedBy {
    /// The names are equal, but the pictures are elsewhere: the folder was moved, or it is another data set.
    Name,
    /// The pictures are in the same folder.
    Root,
    /// The sources are equal.
    Source,
}

/// The scenes of a run's data set that its model saw in training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenScenes {
    /// The names of the data sets that it was trained on.
    pub trained_on: BTreeSet<DatasetName>,
    /// How they were found to be this data set. Of several matches, the most certain one.
    pub matched_by: MatchedBy,
    /// The former locations of the pictures, if only the names are equal.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub elsewhere: BTreeSet<String>,
    /// Scenes whose pictures were used for training, as `group/name` or `name`.
    pub train: BTreeSet<String>,
    /// Scenes that only selected the epoch that was kept.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub selection: BTreeSet<String>,
    /// Number of scenes of the run's data set.
    pub scenes: u64,
}

impl TrainedOn {
    /// Returns which of `scenes` were seen, or None if none was.
    pub fn find_seen(
        &self,
        (dataset, source): (&DatasetName, &DatasetSource),
        scenes: &BTreeSet<SceneKey>,
    ) -> Option<SeenScenes> {
        let mut seen: Option<SeenScenes> = None;
        for set in &self.datasets {
            let Some(matched_by) = set.match_dataset(dataset, source) else { continue };
            let train = set.train.intersect(scenes);
            let selection: BTreeSet<String> = set.selection.intersect(scenes);
            if train.is_empty() && selection.is_empty() {
                continue;
            }
            let found = SeenScenes {
                trained_on: BTreeSet::from([set.dataset.clone()]),
                matched_by,
                elsewhere: set
                    .source
                    .iter()
                    .filter(|_| matched_by == MatchedBy::Name)
                    .map(|source| source.root.clone())
                    .collect(),
                train,
                selection,
                scenes: scenes.len() as u64,
            };
            match &mut seen {
                Some(seen) => seen.add(&found),
                None => seen = Some(found),
            }
        }
        seen.map(|mut seen| {
            seen.selection.retain(|scene| !seen.train.contains(scene));
            seen
        })
    }
}

impl TrainingSet {
    fn match_dataset(&self, dataset: &DatasetName, source: &DatasetSource) -> Option<MatchedBy> {
        match &self.source {
            Some(own) if own.differences(source).is_empty() => Some(MatchedBy::Source),
            Some(own) if own.root == source.root => Some(MatchedBy::Root),
            _ => (self.dataset == *dataset).then_some(MatchedBy::Name),
        }
    }
}

impl Scenes {
    /// Returns those of `scenes` that are in this set. Splits include the group in a scene's name only if groups share
    /// names, and this may change when the data set changes, so both spellings match.
    fn intersect(&self, scenes: &BTreeSet<SceneKey>) -> BTreeSet<String> {
        let is_among = |scene: &&SceneKey| match self {
            Scenes::Named(names) => names.contains(&*scene.name) || names.contains(&scene.to_string()),
            Scenes::Counted { count } => *count > 0,
        };
        scenes.iter().filter(is_among).map(ToString::to_string).collect()
    }
}

impl SeenScenes {
    /// Adds scenes of the same data set that were seen in another training.
    pub fn add(&mut self, other: &SeenScenes) {
        self.trained_on.extend(other.trained_on.iter().cloned());
        self.matched_by = self.matched_by.max(other.matched_by);
        self.elsewhere.extend(other.elsewhere.iter().cloned());
        self.train.extend(other.train.iter().cloned());
        self.selection.extend(other.selection.iter().cloned());
        self.selection.retain(|scene| !self.train.contains(scene));
        self.scenes = self.scenes.max(other.scenes);
    }

    /// Returns whether the scene with this name was seen.
    pub fn contains(&self, scene: &str) -> bool {
        self.train.contains(scene) || self.selection.contains(scene)
    }

    /// Returns the number of seen scenes.
    pub fn count(&self) -> u64 {
        (self.train.len() + self.selection.len()) as u64
    }

    /// Returns a sentence about the seen scenes, without a full stop, for a data set of this name.
    pub fn sentence<'a>(&'a self, dataset: &'a DatasetName) -> impl fmt::Display + 'a {
        Sentence { seen: self, dataset }
    }
}

struct Sentence<'a> {
    seen: &'a SeenScenes,
    dataset: &'a DatasetName,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sentence { seen, dataset } = self;
        let names: Vec<&str> = seen.trained_on.iter().map(DatasetName::as_str).collect();
        write!(
            f,
            "the model or its prompts saw {} of {} scenes of data set {dataset} in training",
            seen.count(),
            seen.scenes
        )?;
        if !seen.selection.is_empty() {
            write!(f, " ({} of them only chose the epoch)", seen.selection.len())?;
        }
        if names != [dataset.as_str()] {
            write!(f, ", where it was called {}", names.join(", "))?;
        }
        if seen.matched_by == MatchedBy::Name {
            write!(f, "; it is the same name in another place")?;
            let elsewhere: Vec<&str> = seen.elsewhere.iter().map(String::as_str).collect();
            if !elsewhere.is_empty() {
                write!(f, " ({})", elsewhere.join(", "))?;
            }
            write!(f, ", and another data set should have another name")?;
        }
        let left = seen.scenes.saturating_sub(seen.count());
        match left {
            0 => write!(f, ": no scene is held out, and agreement with labels is optimistic"),
            _ => write!(f, ": judge it by the {left} held-out scenes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SplitName;
    use super::*;
    use crate::dataset::Definition;

    fn set(dataset: &str, root: Option<&str>, train: &[&str], selection: &[&str]) -> TrainingSet {
        let scenes = |names: &[&str]| Scenes::Named(names.iter().map(|name| (*name).to_owned()).collect());
        TrainingSet {
            dataset: dataset.parse().unwrap(),
            source: root.map(source),
            splits: vec![SplitName { splits: "ab".to_owned(), split: 1 }],
            train: scenes(train),
            selection: scenes(selection),
            remark: None,
        }
    }

    fn keys(scenes: &[(Option<&str>, &str)]) -> BTreeSet<SceneKey> {
        scenes.iter().map(|(group, name)| SceneKey { name: (*name).into(), group: group.map(Into::into) }).collect()
    }

    fn source(root: &str) -> DatasetSource {
        DatasetSource {
            layout: vec!["{algorithm}/{scene}.png".to_owned()],
            ..Definition::new("d".parse().unwrap(), root.to_owned()).source()
        }
    }

    fn on(sets: Vec<TrainingSet>) -> TrainedOn {
        TrainedOn { datasets: sets, ..TrainedOn::default() }
    }

    #[test]
    fn scenes_are_found_by_source_by_place_and_by_name() {
        let trained_on = on(vec![set("haze", Some("file:///a/"), &["1", "2"], &["2", "3"])]);
        let scenes = keys(&[(None, "1"), (None, "2"), (None, "3"), (None, "4")]);
        let seen = |name: &str, source: &DatasetSource| trained_on.find_seen((&name.parse().unwrap(), source), &scenes);
        let found = seen("haze", &source("file:///a/")).unwrap();
        assert_eq!((found.matched_by, found.count(), found.scenes), (MatchedBy::Source, 3, 4));
        assert_eq!((found.train.len(), found.selection.len()), (2, 1), "2 trained, whatever else it did");
        assert!(found.contains("3") && !found.contains("4"));
        let other_layout = DatasetSource { layout: vec!["{scene}/{algorithm}.png".to_owned()], ..source("file:///a/") };
        assert_eq!(seen("results", &other_layout).unwrap().matched_by, MatchedBy::Root);
        let moved = seen("haze", &source("file:///b/")).unwrap();
        assert_eq!(moved.matched_by, MatchedBy::Name);
        let said = moved.sentence(&"haze".parse().unwrap()).to_string();
        assert!(
            said.contains("saw 3 of 4 scenes of data set haze in training (1 of them only chose the epoch)"),
            "{said}"
        );
        assert!(said.contains("same name in another place (file:///a/)"), "{said}");
        assert!(said.ends_with("judge it by the 1 held-out scenes"), "{said}");
        assert_eq!(seen("other", &source("file:///b/")), None);
        let others = keys(&[(None, "7")]);
        assert_eq!(trained_on.find_seen((&"haze".parse().unwrap(), &source("file:///a/")), &others), None);
    }

    #[test]
    fn a_scene_is_found_with_its_group_and_without() {
        let found = |train: &[&str], scenes: &[(Option<&str>, &str)]| {
            let trained_on = on(vec![set("d", Some("file:///r/"), train, &[])]);
            let seen = trained_on.find_seen((&"d".parse().unwrap(), &source("file:///r/")), &keys(scenes));
            seen.map(|seen| seen.train.into_iter().collect::<Vec<_>>()).unwrap_or_default()
        };
        assert_eq!(found(&["o/1"], &[(Some("o"), "1"), (Some("n"), "1")]), ["o/1"]);
        assert_eq!(found(&["1"], &[(Some("o"), "1"), (Some("n"), "2")]), ["o/1"]);
    }

    #[test]
    fn of_scenes_that_were_only_counted_all_were_seen() {
        let mut set = set("d", Some("file:///r/"), &[], &[]);
        set.train = Scenes::Counted { count: 1_000_000 };
        let seen = on(vec![set])
            .find_seen((&"d".parse().unwrap(), &source("file:///r/")), &keys(&[(None, "1"), (None, "2")]))
            .unwrap();
        assert_eq!(seen.count(), 2);
        assert!(seen.sentence(&"d".parse().unwrap()).to_string().contains("no scene is held out"));
    }

    #[test]
    fn a_record_is_read_again_and_adds_up() {
        let mut all = on(vec![set("haze", Some("file:///a/"), &["1"], &["2"])]);
        let text = all.to_json();
        assert_eq!(TrainedOn::parse(&text).unwrap(), all);
        assert!(text.starts_with(r#"{"version":1,"datasets":[{"dataset":"haze","source":{"root":""#), "{text}");
        all.add(&on(vec![set("haze", Some("file:///a/"), &["3"], &[]), set("other", None, &["1"], &[])]));
        assert_eq!(all.datasets.len(), 2);
        assert_eq!(all.datasets[0].train.len(), 2);
        assert_eq!(all.datasets[0].splits.len(), 1, "it was the same split");
        let again = all.clone();
        all.add(&again);
        assert_eq!(all, again);
        let later = text.replace("\"version\":1", "\"version\":2");
        assert!(TrainedOn::parse(&later).unwrap_err().to_string().contains("version 2"));
        assert!(TrainedOn::parse("[]").is_err());
        assert!(TrainedOn::parse(&" ".repeat(5 << 20)).unwrap_err().to_string().contains("at most"));
    }

    #[test]
    fn a_record_has_a_greatest_length() {
        let names: Vec<String> = (0..100_000).map(|number| format!("scene-{number:08}")).collect();
        assert_eq!(Scenes::from_names(names), Scenes::Counted { count: 100_000 });
        let many = |dataset: usize| {
            let names = (0..60_000).map(|scene| format!("scene-{scene:08}"));
            TrainingSet { train: Scenes::from_names(names), ..set(&format!("d{dataset}"), None, &[], &[]) }
        };
        let text = on((0..6).map(many).collect()).to_json();
        let read = TrainedOn::parse(&text).unwrap();
        assert_eq!(read.datasets.iter().map(|set| set.train.len()).sum::<u64>(), 360_000);
        assert!(read.datasets.iter().any(|set| matches!(set.train, Scenes::Counted { .. })));
    }
}
