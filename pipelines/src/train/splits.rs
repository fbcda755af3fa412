//! Which scenes train and which test: a file that is made once, shown, and used again. All pictures of a scene, by
//! whatever algorithm, are on one side.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::scenes::SceneTexts;
use crate::digest;
use crate::names::DatasetName;
use crate::store::{Store, StoreError};

/// Several ways to divide a data set's scenes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splits {
    /// Of which data set.
    pub dataset: DatasetName,
    /// How they were made; None: by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<SplitsOptions>,
    /// They are numbered from 1.
    pub splits: Vec<Split>,
}

/// How splits are made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitsOptions {
    /// How many.
    pub count: u32,
    /// The share of the scenes that test: 0 to 1, at least one scene; 0: none, all train.
    pub test_share: f64,
    /// Of ChaCha8.
    pub seed: u64,
}

impl Default for SplitsOptions {
    /// The authors' protocol.
    fn default() -> SplitsOptions {
        SplitsOptions { count: 10, test_share: 0.2, seed: 10 }
    }
}

/// One way to divide them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Scenes that are learned from, sorted.
    pub train: Vec<String>,
    /// Scenes that are tested on, sorted.
    pub test: Vec<String>,
}

/// Splits that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SplitsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not JSON, or of another form.
    #[error("{origin} is no file of splits")]
    Json {
        /// The file.
        origin: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A scene is on both sides, or twice on one.
    #[error("split {number} of data set `{dataset}` has the scene `{scene}` twice")]
    Twice {
        /// Of which data set.
        dataset: DatasetName,
        /// Which split, from 1.
        number: usize,
        /// Which scene.
        scene: String,
    },
    /// A split without anything to learn from.
    #[error("split {number} of data set `{dataset}` has no scene to train on")]
    Empty {
        /// Of which data set.
        dataset: DatasetName,
        /// Which split, from 1.
        number: usize,
    },
    /// Of another data set.
    #[error("the splits are of data set `{found}`, not of `{dataset}`")]
    OtherDataset {
        /// What is to be trained on.
        dataset: DatasetName,
        /// What the file is of.
        found: DatasetName,
    },
    /// Scenes that the data set has not, or not with labels.
    #[error("split {number} names {count} scenes that data set `{dataset}` has no labelled picture of, as `{scene}`")]
    Lacking {
        /// Of which data set.
        dataset: DatasetName,
        /// Which split, from 1.
        number: usize,
        /// How many.
        count: usize,
        /// The first.
        scene: String,
    },
    /// No split of this number.
    #[error("there is no split {number} of data set `{dataset}`: they are 1 to {count}")]
    Number {
        /// Of which data set.
        dataset: DatasetName,
        /// As asked for.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// Options that no split can be made by.
    #[error("{0}")]
    Options(String),
}

impl Splits {
    /// Divides scenes at random; the same arguments give the same splits, in whatever order the scenes are given.
    ///
    /// # Errors
    /// Where a side that is to have scenes would have none.
    pub fn make<S: AsRef<str>>(
        dataset: &DatasetName,
        scenes: impl IntoIterator<Item = S>,
        options: &SplitsOptions,
    ) -> Result<Splits, SplitsError> {
        let scenes: Vec<S> = scenes.into_iter().collect();
        let scenes: BTreeSet<&str> = scenes.iter().map(AsRef::as_ref).collect();
        let SplitsOptions { count, test_share, seed } = *options;
        if count == 0 || !(0.0..1.0).contains(&test_share) {
            return Err(SplitsError::Options(
                "splits take a count of at least 1 and a share of test scenes from 0 to less than 1".to_owned(),
            ));
        }
        if scenes.is_empty() {
            return Err(SplitsError::Options(format!("data set `{dataset}` has no picture with a label")));
        }
        let wanted = (scenes.len() as f64 * test_share).round() as usize;
        let tests = if test_share > 0.0 { wanted.max(1) } else { 0 };
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
            rng.set_stream(number); // a split more changes no other
            shuffled.shuffle(&mut rng);
            let side = |scenes: &[&str]| {
                let mut side: Vec<String> = scenes.iter().map(|scene| (*scene).to_owned()).collect();
                side.sort();
                side
            };
            Split { train: side(&shuffled[tests..]), test: side(&shuffled[..tests]) }
        };
        let splits = (0..u64::from(count)).map(split).collect();
        Splits { dataset: dataset.clone(), made: Some(*options), splits }.checked()
    }

    /// From a file's text; `origin` says which, for errors.
    ///
    /// # Errors
    /// Where it is no file of splits, or a scene is on both sides of one.
    pub fn parse(text: &[u8], origin: &str) -> Result<Splits, SplitsError> {
        let wrong = |source| SplitsError::Json { origin: origin.to_owned(), source };
        serde_json::from_slice::<Splits>(text).map_err(wrong)?.checked()
    }

    /// As a file.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("splits have text for keys") + "\n"
    }

    fn checked(self) -> Result<Splits, SplitsError> {
        for (at, split) in self.splits.iter().enumerate() {
            let mut seen = BTreeSet::new();
            if let Some(scene) = split.train.iter().chain(&split.test).find(|scene| !seen.insert(scene.as_str())) {
                let (dataset, scene) = (self.dataset.clone(), scene.clone());
                return Err(SplitsError::Twice { dataset, number: at + 1, scene });
            }
            if split.train.is_empty() {
                return Err(SplitsError::Empty { dataset: self.dataset, number: at + 1 });
            }
        }
        Ok(self)
    }

    /// The same, with the data set's own texts for its scenes: a file may name them with or without their group. A name
    /// that several groups share, without a group, stands for all of these.
    ///
    /// # Errors
    /// Where a scene is then on both sides.
    pub fn resolved(self, scenes: &SceneTexts) -> Result<Splits, SplitsError> {
        let resolve = |side: Vec<String>| {
            let is_plain = side.iter().all(|text| scenes.meant(text) == [text]);
            if is_plain {
                return side; // in the order of the file, which its digest is of
            }
            let mut side: Vec<String> = side.iter().flat_map(|text| scenes.meant(text)).map(str::to_owned).collect();
            side.sort();
            side
        };
        let split = |split: Split| Split { train: resolve(split.train), test: resolve(split.test) };
        Splits { splits: self.splits.into_iter().map(split).collect(), ..self }.checked()
    }

    /// Whether they are of this data set, whose scenes with labelled pictures these are.
    ///
    /// # Errors
    /// With the first scene that it has not.
    pub fn check_scenes(&self, dataset: &DatasetName, scenes: &BTreeSet<String>) -> Result<(), SplitsError> {
        if self.dataset != *dataset {
            return Err(SplitsError::OtherDataset { dataset: dataset.clone(), found: self.dataset.clone() });
        }
        for (at, split) in self.splits.iter().enumerate() {
            let mut lacking = split.train.iter().chain(&split.test).filter(|scene| !scenes.contains(*scene));
            if let Some(scene) = lacking.next() {
                return Err(SplitsError::Lacking {
                    dataset: dataset.clone(),
                    number: at + 1,
                    count: 1 + lacking.count(),
                    scene: scene.clone(),
                });
            }
        }
        Ok(())
    }

    /// The split of this number, from 1.
    ///
    /// # Errors
    /// Where there are not so many.
    pub fn split(&self, number: usize) -> Result<&Split, SplitsError> {
        let split = number.checked_sub(1).and_then(|at| self.splits.get(at));
        let count = self.splits.len();
        split.ok_or_else(|| SplitsError::Number { dataset: self.dataset.clone(), number, count })
    }

    /// Of which scene is on which side: 16 digits.
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

    /// Their object in a store.
    pub fn key(&self) -> String {
        format!("splits/{}-{}.json", self.dataset, self.digest())
    }

    /// Writes them to a store, unless they are there.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn keep(&self, store: &Store) -> Result<(), SplitsError> {
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
        Splits::make(&name(), scenes, options).unwrap()
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
            let backwards = Splits::make(&name(), scenes.iter().rev(), &options).unwrap();
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
        assert!(matches!(error, SplitsError::Empty { number: 1, .. }));
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
        let scenes = SceneTexts::new(&dataset(shared.collect()));
        let resolved = |train: &str, test: &str, scenes: &SceneTexts| {
            let text = format!(r#"{{"dataset": "d", "splits": [{{"train": [{train}], "test": [{test}]}}]}}"#);
            Splits::parse(text.as_bytes(), "f.json").unwrap().resolved(scenes)
        };
        let splits = resolved(r#""03", "O/01""#, r#""02""#, &scenes).unwrap();
        assert_eq!(splits.splits[0].train, ["NH/03", "O/01", "O/03"]);
        assert_eq!(splits.splits[0].test, ["NH/02", "O/02"]);
        splits.check_scenes(&name(), scenes.labelled()).unwrap();
        let error = resolved(r#""01""#, r#""O/01""#, &scenes).unwrap_err();
        assert!(error.to_string().contains("has the scene `O/01` twice"), "{error}");
        // Where names differ nothing changes, and the group may be named.
        let apart = SceneTexts::new(&dataset(vec![picture("O", "o1"), picture("NH", "n1")]));
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
        assert!(Splits::make(&name(), &one, &SplitsOptions::default()).is_err());
    }
}
