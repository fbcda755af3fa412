//! Train and test splits of a data set's scenes: a file that is made once, shown, and used again. All pictures of a
//! scene, by any algorithm, are on the same side.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::scene_names::SceneNames;
use crate::digest;
use crate::names::DatasetName;
use crate::store::{Store, StoreError};

/// The folder of splits in a store.
const SPLITS: &str = "splits";

/// Several splits of a data set's scenes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splits {
    /// The data set's name.
    pub dataset: DatasetName,
    /// How the splits were drawn, or None if they were made by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<SplitsOptions>,
    /// The splits, numbered from 1.
    pub splits: Vec<Split>,
}

/// How splits are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitsOptions {
    /// Number of splits.
    pub count: u32,
    /// The share of scenes for the test, from 0 to less than 1. It is rounded to at least one scene, but 0 means that
    /// all scenes train.
    pub test_share: f64,
    /// Seed of the ChaCha8 generator.
    pub seed: u64,
}

impl Default for SplitsOptions {
    /// Returns the authors' protocol.
    fn default() -> SplitsOptions {
        SplitsOptions { count: 10, test_share: 0.2, seed: 10 }
    }
}

/// One split into training and test scenes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Training scenes, sorted.
    pub train: Vec<String>,
    /// Test scenes, sorted.
    pub test: Vec<String>,
}

/// Why splits cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SplitsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file is not JSON or has an unexpected structure.
    #[error("{origin} is not a valid splits file")]
    Json {
        /// The file.
        origin: String,
        /// The parser's error with its position.
        #[source]
        source: serde_json::Error,
    },
    /// A scene is on both sides, or twice on one side.
    #[error("split {number} of data set `{dataset}` has the scene `{scene}` twice")]
    DuplicateScene {
        /// The data set's name.
        dataset: DatasetName,
        /// The split's number, from 1.
        number: usize,
        /// The scene.
        scene: String,
    },
    /// A split has no training scenes.
    #[error("split {number} of data set `{dataset}` has no scene to train on")]
    NoTrainingScene {
        /// The data set's name.
        dataset: DatasetName,
        /// The split's number, from 1.
        number: usize,
    },
    /// The splits belong to another data set.
    #[error("the splits are of data set `{found}`, not of `{dataset}`")]
    OtherDataset {
        /// The data set to train on.
        dataset: DatasetName,
        /// The data set in the file.
        found: DatasetName,
    },
    /// The data set lacks scenes, or labelled pictures of them.
    #[error(
        "split {number} names {count} scenes that data set `{dataset}` has no labelled picture of, such as `{scene}`"
    )]
    UnknownScenes {
        /// The data set's name.
        dataset: DatasetName,
        /// The split's number, from 1.
        number: usize,
        /// Number of unknown scenes.
        count: usize,
        /// The first unknown scene.
        scene: String,
    },
    /// The split number is out of range.
    #[error("unknown split {number} of data set `{dataset}`: expected 1 to {count}")]
    UnknownSplit {
        /// The data set's name.
        dataset: DatasetName,
        /// The requested number.
        number: usize,
        /// The number of splits.
        count: usize,
    },
    /// No split can be drawn with these options.
    #[error("{0}")]
    Options(String),
}

impl Splits {
    /// Draws splits at random. Equal arguments give equal splits, in whatever order the scenes are given.
    ///
    /// # Errors
    /// A side that must have scenes would have none.
    pub fn draw<S: AsRef<str>>(
        dataset: &DatasetName,
        scenes: impl IntoIterator<Item = S>,
        options: &SplitsOptions,
    ) -> Result<Splits, SplitsError> {
        let scenes: Vec<S> = scenes.into_iter().collect();
        let scenes: BTreeSet<&str> = scenes.iter().map(AsRef::as_ref).collect();
        let SplitsOptions { count, test_share, seed } = *options;
        if count == 0 || !(0.0..1.0).contains(&test_share) {
            return Err(SplitsError::Options(
                "invalid split options: expected a count of at least 1 and a share of test scenes from 0 to less than 1".to_owned(),
            ));
        }
        if scenes.is_empty() {
            return Err(SplitsError::Options(format!("data set `{dataset}` has no picture with a label")));
        }
        let test_count = (scenes.len() as f64 * test_share).round() as usize;
        let tests = if test_share > 0.0 { test_count.max(1) } else { 0 };
        if scenes.len() <= tests {
            let message = format!(
                "data set `{dataset}` has labelled pictures of {} scenes: too few to test on {tests}",
                scenes.len()
            );
            return Err(SplitsError::Options(message));
        }
        let split = |number: u64| {
            let mut shuffled: Vec<&str> = scenes.iter().copied().collect();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(number); // adding a split does not change the others
            shuffled.shuffle(&mut rng);
            let side = |scenes: &[&str]| {
                let mut side: Vec<String> = scenes.iter().map(|scene| (*scene).to_owned()).collect();
                side.sort();
                side
            };
            Split { train: side(&shuffled[tests..]), test: side(&shuffled[..tests]) }
        };
        let splits = (0..u64::from(count)).map(split).collect();
        Splits { dataset: dataset.clone(), made: Some(*options), splits }.validate()
    }

    /// Parses a splits file. `origin` names the file in errors.
    ///
    /// # Errors
    /// The text is not a valid splits file, or a scene is on both sides of a split.
    pub fn parse(text: &[u8], origin: &str) -> Result<Splits, SplitsError> {
        let invalid = |source| SplitsError::Json { origin: origin.to_owned(), source };
        serde_json::from_slice::<Splits>(text).map_err(invalid)?.validate()
    }

    /// Returns the text of a splits file.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("splits have text for keys") + "\n"
    }

    fn validate(self) -> Result<Splits, SplitsError> {
        for (index, split) in self.splits.iter().enumerate() {
            let mut seen = BTreeSet::new();
            if let Some(scene) = split.train.iter().chain(&split.test).find(|scene| !seen.insert(scene.as_str())) {
                let (dataset, scene) = (self.dataset.clone(), scene.clone());
                return Err(SplitsError::DuplicateScene { dataset, number: index + 1, scene });
            }
            if split.train.is_empty() {
                return Err(SplitsError::NoTrainingScene { dataset: self.dataset, number: index + 1 });
            }
        }
        Ok(self)
    }

    /// Replaces the scene names of a file by the data set's own names, which may or may not include the group. A name
    /// without a group that several groups share stands for the scenes of all these groups.
    ///
    /// # Errors
    /// A scene is then on both sides.
    pub fn with_scene_names(self, scenes: &SceneNames) -> Result<Splits, SplitsError> {
        let resolve = |side: Vec<String>| {
            let is_plain = side.iter().all(|text| scenes.resolve(text) == [text]);
            if is_plain {
                return side; // keeps the order of the file, which enters its digest
            }
            let mut side: Vec<String> = side.iter().flat_map(|text| scenes.resolve(text)).map(str::to_owned).collect();
            side.sort();
            side
        };
        let split = |split: Split| Split { train: resolve(split.train), test: resolve(split.test) };
        Splits { splits: self.splits.into_iter().map(split).collect(), ..self }.validate()
    }

    /// Checks that the splits are of this data set. `scenes` are its scenes with labelled pictures.
    ///
    /// # Errors
    /// The splits are of another data set, or name a scene that is not in `scenes`.
    pub fn check_scenes(&self, dataset: &DatasetName, scenes: &BTreeSet<String>) -> Result<(), SplitsError> {
        if self.dataset != *dataset {
            return Err(SplitsError::OtherDataset { dataset: dataset.clone(), found: self.dataset.clone() });
        }
        for (index, split) in self.splits.iter().enumerate() {
            let mut unknown = split.train.iter().chain(&split.test).filter(|scene| !scenes.contains(*scene));
            if let Some(scene) = unknown.next() {
                return Err(SplitsError::UnknownScenes {
                    dataset: dataset.clone(),
                    number: index + 1,
                    count: 1 + unknown.count(),
                    scene: scene.clone(),
                });
            }
        }
        Ok(())
    }

    /// Returns the split with this number, from 1.
    ///
    /// # Errors
    /// The number is out of range.
    pub fn split(&self, number: usize) -> Result<&Split, SplitsError> {
        let split = number.checked_sub(1).and_then(|index| self.splits.get(index));
        let count = self.splits.len();
        split.ok_or_else(|| SplitsError::UnknownSplit { dataset: self.dataset.clone(), number, count })
    }

    /// Returns the digest of the assignment of scenes to sides: 16 hexadecimal digits.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("dqa 2026 splits");
        digest::update_field(&mut hasher, self.dataset.as_str().as_bytes());
        for split in &self.splits {
            for side in [&split.train, &split.test] {
                digest::update_field(&mut hasher, &(side.len() as u64).to_le_bytes());
                side.iter().for_each(|scene| digest::update_field(&mut hasher, scene.as_bytes()));
            }
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// Returns the key of the splits' object in a store.
    pub fn key(&self) -> String {
        Splits::key_of(&self.dataset, &self.digest())
    }

    /// Returns the key of the splits of a data set with this digest.
    pub fn key_of(dataset: &DatasetName, digest: &str) -> String {
        format!("{SPLITS}/{dataset}-{digest}.json")
    }

    /// Returns whether a store has splits of a data set.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) async fn exist(store: &Store, dataset: &DatasetName) -> Result<bool, StoreError> {
        let mut objects = store.list(SPLITS);
        while let Some(object) = objects.try_next().await? {
            // Another data set's name may begin with this one and a hyphen.
            let digest = object.key.rsplit_once('-').and_then(|(_, digest)| digest.strip_suffix(".json"));
            if digest.is_some_and(|digest| object.key == Splits::key_of(dataset, digest)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes the splits to a store unless they are already there.
    ///
    /// # Errors
    /// The store fails.
    pub async fn write_if_missing(&self, store: &Store) -> Result<(), SplitsError> {
        match store.head(&self.key()).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(store.put(&self.key(), self.to_json().into()).await?),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::dataset::{DataSet, Picture};

    fn name() -> DatasetName {
        "d".parse().unwrap()
    }

    fn scenes() -> impl Strategy<Value = BTreeSet<String>> {
        proptest::collection::btree_set("[a-z0-9_é]{1,6}", 2..80)
    }

    fn make(scenes: &BTreeSet<String>, options: &SplitsOptions) -> Splits {
        Splits::draw(&name(), scenes, options).unwrap()
    }

    proptest! {
        #[test]
        fn every_scene_is_on_one_side(scenes in scenes(), count in 1u32..12, percent in 0..50u32, seed: u64) {
            let share = f64::from(percent) / 100.0;
            let options = SplitsOptions { count, test_share: share, seed };
            let splits = make(&scenes, &options);
            prop_assert_eq!(splits.splits.len(), count as usize);
            for split in &splits.splits {
                let sides: BTreeSet<&String> = split.train.iter().chain(&split.test).collect();
                prop_assert_eq!(sides.len(), split.train.len() + split.test.len());
                prop_assert!(sides.into_iter().eq(&scenes));
                let off = split.test.len() as f64 - share * scenes.len() as f64;
                prop_assert!(off.abs() <= 1.0, "{} of {}", split.test.len(), scenes.len());
            }
            prop_assert_eq!(&Splits::parse(splits.to_json().as_bytes(), "memory").unwrap(), &splits);
        }

        #[test]
        fn more_splits_change_none_and_the_order_of_scenes_does_not_count(scenes in scenes(), seed: u64) {
            let options = SplitsOptions { count: 3, seed, ..SplitsOptions::default() };
            let few = make(&scenes, &options);
            let more = make(&scenes, &SplitsOptions { count: 5, ..options });
            prop_assert_eq!(&few.splits[..], &more.splits[..3]);
            prop_assert_ne!(few.digest(), more.digest());
            let backwards = Splits::draw(&name(), scenes.iter().rev(), &options).unwrap();
            prop_assert_eq!(few, backwards);
        }
    }

    #[test]
    fn splits_differ_and_so_do_seeds() {
        let scenes: BTreeSet<String> = (0..100).map(|n| format!("s{n}")).collect();
        let splits = make(&scenes, &SplitsOptions::default());
        let tests: BTreeSet<&Vec<String>> = splits.splits.iter().map(|split| &split.test).collect();
        assert_eq!((splits.splits.len(), tests.len()), (10, 10));
        assert!(splits.splits.iter().all(|split| (split.train.len(), split.test.len()) == (80, 20)));
        let other = make(&scenes, &SplitsOptions { seed: 11, ..SplitsOptions::default() });
        assert_ne!(other.splits[0], splits.splits[0]);
    }

    #[test]
    fn a_scene_on_both_sides_is_refused_however_it_came() {
        let text =
            r#"{"dataset": "d", "splits": [{"train": ["a", "b"], "test": ["c"]}, {"train": ["a"], "test": ["a"]}]}"#;
        let error = Splits::parse(text.as_bytes(), "f.json").unwrap_err();
        assert_eq!(error.to_string(), "split 2 of data set `d` has the scene `a` twice");
        let error = Splits::parse(br#"{"dataset": "d", "splits": [{"train": [], "test": ["a"]}]}"#, "f").unwrap_err();
        assert!(matches!(error, SplitsError::NoTrainingScene { number: 1, .. }));
        assert!(Splits::parse(b"{}", "f.json").is_err());
    }

    #[test]
    fn older_files_name_scenes_without_their_group() {
        let picture = |group: &str, scene: &str| Picture {
            scene_group: Some(group.into()),
            mos: Some(1.0),
            ..Picture::new("a".parse().unwrap(), &format!("{group}/{scene}.png"))
        };
        let shared = ["O", "NH"].into_iter().flat_map(|group| ["01", "02", "03"].map(|scene| picture(group, scene)));
        let dataset = |pictures: Vec<Picture>| DataSet::new(name(), Store::open("/", Path::new("")).unwrap(), pictures);
        let scenes = SceneNames::new(&dataset(shared.collect()));
        let resolved = |train: &str, test: &str, scenes: &SceneNames| {
            let text = format!(r#"{{"dataset": "d", "splits": [{{"train": [{train}], "test": [{test}]}}]}}"#);
            Splits::parse(text.as_bytes(), "f.json").unwrap().with_scene_names(scenes)
        };
        let splits = resolved(r#""03", "O/01""#, r#""02""#, &scenes).unwrap();
        assert_eq!(splits.splits[0].train, ["NH/03", "O/01", "O/03"]);
        assert_eq!(splits.splits[0].test, ["NH/02", "O/02"]);
        splits.check_scenes(&name(), scenes.labelled()).unwrap();
        let error = resolved(r#""01""#, r#""O/01""#, &scenes).unwrap_err();
        assert!(error.to_string().contains("has the scene `O/01` twice"), "{error}");
        // If scene names are unique, nothing changes, and names with a group are accepted.
        let apart = SceneNames::new(&dataset(vec![picture("O", "o1"), picture("NH", "n1")]));
        let splits = resolved(r#""o1""#, r#""NH/n1""#, &apart).unwrap();
        assert_eq!((&splits.splits[0].train, &splits.splits[0].test), (&vec!["o1".to_owned()], &vec!["n1".to_owned()]));
    }

    #[test]
    fn what_the_data_set_lacks_is_named() {
        let text = r#"{"dataset": "d", "splits": [{"train": ["a", "b"], "test": ["c"]}]}"#;
        let splits = Splits::parse(text.as_bytes(), "f.json").unwrap();
        let scenes = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<String>>();
        splits.check_scenes(&name(), &scenes(&["a", "b", "c", "x"])).unwrap();
        let error = splits.check_scenes(&name(), &scenes(&["a"])).unwrap_err();
        assert!(error.to_string().contains("2 scenes") && error.to_string().contains("`b`"), "{error}");
        assert!(splits.check_scenes(&"e".parse().unwrap(), &scenes(&["a", "b", "c"])).is_err());
        assert!(splits.split(0).is_err() && splits.split(2).is_err() && splits.split(1).is_ok());
        let one = BTreeSet::from(["a".to_owned()]);
        assert!(Splits::draw(&name(), &one, &SplitsOptions::default()).is_err());
    }
}
