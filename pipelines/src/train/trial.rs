//! A training as a unit of work: its pictures with their targets, the initial model and the settings. As with a part,
//! its name is a digest of everything that determines its outcome, and it is done if its record says that it is
//! complete.

use std::collections::BTreeSet;

use blake3::Hasher;
use serde::{Deserialize, Serialize};

use super::random;
use super::scene_names::SceneNames;
use super::setup::{Select, Setup, SetupError};
use super::splits::{Splits, SplitsError};
use crate::dataset::{DataSet, DatasetSource, Definition, Picture, SeenLabels};
use crate::digest;
use crate::names::{AlgorithmName, DatasetName, similar_names, suggestion};

/// The folder of trials in a store.
pub const TRIALS: &str = "trials";

/// Version of the training method. Raising it invalidates the trials of older versions.
const VERSION: u32 = 1;

/// What a tested picture costs in windows: those of 640 x 480 pixels, and the whole.
const WINDOWS_TESTED: u64 = 36;

/// A training on one split with one setup, starting from one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The data set's name.
    pub dataset: DatasetName,
    /// What the data set's name stands for. It is not part of the trial's name, which already includes the pictures'
    /// addresses.
    #[serde(default)]
    pub source: Option<DatasetSource>,
    /// The split's number, from 1.
    pub split: usize,
    /// The digest of all splits (`Splits::digest`).
    pub splits: String,
    /// The initial model.
    pub model: ModelRef,
    /// The settings.
    pub setup: Setup,
    /// The label range that is mapped to 0 to 1.
    pub label_range: [f64; 2],
    /// Training pictures.
    pub train: Vec<TrialPicture>,
    /// Pictures that select the epoch. Empty unless the setup selects on validation scenes.
    pub validation: Vec<TrialPicture>,
    /// Test pictures.
    pub test: Vec<TrialPicture>,
}

/// The model that a training starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRef {
    /// The model as requested: a directory, `hf:OWNER/NAME` or `new:CONFIG.json`.
    pub name: String,
    /// Digest of the weights: 64 digits.
    pub digest: String,
    /// The initial prompts, or None for new ones.
    pub prompts: Option<PromptsRef>,
}

/// The prompts that a training starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptsRef {
    /// The prompts file.
    pub name: String,
    /// Digest of the prompts: 64 digits.
    pub digest: String,
}

/// A picture of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialPicture {
    /// The algorithm that produced the picture.
    pub algorithm: AlgorithmName,
    /// The scene's name, one of [`SceneNames`].
    pub scene: String,
    /// The picture's name within the data set.
    pub image: String,
    /// The picture's address.
    pub uri: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// The version of the file when the trial was planned.
    pub version: String,
    /// The label on its own scale, higher is better.
    pub mos: f64,
    /// The label mapped to 0 (bad) to 1 (good), which the model is trained on.
    pub target: f32,
}

/// Why a trial could not be planned.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The setup is invalid.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The splits are invalid for the data set.
    #[error(transparent)]
    Splits(#[from] SplitsError),
    /// Pictures of the split have no label.
    #[error("{count} of {pictures} pictures of data set `{dataset}` have no label, such as {image}")]
    Unlabelled {
        /// The data set's name.
        dataset: DatasetName,
        /// Number of pictures without a label.
        count: usize,
        /// Number of pictures in the split.
        pictures: usize,
        /// The first picture without a label.
        image: String,
    },
    /// The range of the labels is unknown.
    #[error("the label scale of data set `{dataset}` is unknown{}", seen_text(seen.as_ref()))]
    NoLabelRange {
        /// The data set's name.
        dataset: DatasetName,
        /// The labels that it has.
        seen: Option<SeenLabels>,
    },
    /// A label is outside the range.
    #[error("the label {mos} of {image} is outside of the labels' range {low} to {high}")]
    LabelOutOfRange {
        /// The picture.
        image: String,
        /// The label, after it was turned so that higher is better.
        mos: f64,
        /// Lower end of the range.
        low: f64,
        /// Upper end of the range.
        high: f64,
    },
    /// An algorithm to exclude does not exist.
    #[error("`without` names `{algorithm}`, and data set `{dataset}` has no such algorithm{}", suggestion(similar))]
    UnknownAlgorithm {
        /// The data set's name.
        dataset: DatasetName,
        /// The given name.
        algorithm: String,
        /// Similar names.
        similar: Vec<String>,
    },
    /// A side that the setup needs has no pictures.
    #[error("split {split} of data set `{dataset}` has no picture {what}")]
    NoPictures {
        /// The data set's name.
        dataset: DatasetName,
        /// The split's number.
        split: usize,
        /// The purpose of the missing pictures.
        what: &'static str,
    },
}

impl Trial {
    /// What a step costs for each of its pictures, in scored windows: a window and the whole, forward and back.
    pub const WINDOWS_PER_PICTURE: u64 = 6;

    /// Plans the training on split number `split` (from 1) of `splits`, starting from `model`. All pictures of a scene
    /// are used; those of the algorithms in the setup's `without` only in the test.
    ///
    /// # Errors
    /// The setup or the splits are invalid for this data set, or a picture of the split has no label.
    pub fn plan(
        dataset: &DataSet,
        (splits, split): (&Splits, usize),
        model: &ModelRef,
        setup: &Setup,
    ) -> Result<Trial, TrialError> {
        setup.check()?;
        let sides = splits.split(split)?;
        let scenes = SceneNames::new(dataset);
        splits.check_scenes(&dataset.name, scenes.labelled())?;
        check_without(dataset, &setup.without)?;
        let label_range = defined_label_range(dataset)
            .or(setup.label_range)
            .ok_or_else(|| TrialError::NoLabelRange { dataset: dataset.name.clone(), seen: SeenLabels::of(dataset) })?;
        let validating: BTreeSet<String> = match setup.select {
            Select::BestOnValidation => {
                let count = (sides.train.len() as f64 * setup.validation_share).round() as usize;
                // At least one scene validates and one remains for training. A split with a single scene has no
                // validation scene and is refused below.
                let count = count.max(1).min(sides.train.len().saturating_sub(1));
                random::choose_validation_scenes(setup.seed, split, &sides.train, count).into_iter().collect()
            }
            _ => BTreeSet::new(),
        };
        let training: BTreeSet<&str> = sides.train.iter().map(String::as_str).collect();
        let testing: BTreeSet<&str> = sides.test.iter().map(String::as_str).collect();
        let without: BTreeSet<&str> = setup.without.iter().map(String::as_str).collect();
        let scene_names: Vec<String> = dataset.pictures.iter().map(|picture| scenes.name_of(picture)).collect();
        check_labels(dataset, &scene_names, |scene| training.contains(scene) || testing.contains(scene))?;
        let pictures = |wanted: &dyn Fn(&Picture, &str) -> bool| {
            let pictures = dataset.pictures.iter().zip(&scene_names).filter(|(picture, scene)| wanted(picture, scene));
            let pictures = pictures.map(|(picture, scene)| trial_picture(dataset, (picture, scene), label_range));
            pictures.collect::<Result<Vec<_>, _>>()
        };
        let learns =
            |picture: &Picture, scene: &str| training.contains(scene) && !without.contains(picture.algorithm.as_str());
        let trial = Trial {
            dataset: dataset.name.clone(),
            source: Some(dataset.source()),
            split,
            splits: splits.digest(),
            model: model.clone(),
            setup: setup.clone(),
            label_range,
            train: pictures(&|picture, scene| learns(picture, scene) && !validating.contains(scene))?,
            validation: pictures(&|picture, scene| learns(picture, scene) && validating.contains(scene))?,
            test: pictures(&|_, scene| testing.contains(scene))?,
        };
        trial.check_not_empty()?;
        Ok(trial)
    }

    fn check_not_empty(&self) -> Result<(), TrialError> {
        let nothing = |what| Err(TrialError::NoPictures { dataset: self.dataset.clone(), split: self.split, what });
        match self.setup.select {
            _ if self.train.is_empty() => nothing("to train on"),
            Select::BestOnValidation if self.validation.is_empty() => nothing("to validate on"),
            Select::BestOnTest if self.test.is_empty() => nothing("to select the epoch on"),
            _ => Ok(()),
        }
    }

    /// Returns the pictures that each epoch is tested on: the validation pictures if there are any, so that the test
    /// stays unseen, else the test pictures.
    pub fn held_out(&self) -> &[TrialPicture] {
        if self.setup.select == Select::BestOnValidation { &self.validation } else { &self.test }
    }

    /// Returns all pictures: training, validation, test.
    pub fn pictures(&self) -> impl Iterator<Item = &TrialPicture> {
        self.train.iter().chain(&self.validation).chain(&self.test)
    }

    /// Returns the number of steps per epoch. The last step may have fewer pictures.
    pub fn steps_per_epoch(&self) -> u64 {
        self.train.len().div_ceil(self.setup.batch_size as usize) as u64
    }

    /// Estimates what an epoch costs in scored windows: that of its steps and of its test. For deadlines and progress.
    pub fn windows_per_epoch(&self) -> u64 {
        (self.train.len() as u64 * Trial::WINDOWS_PER_PICTURE) + self.held_out().len() as u64 * WINDOWS_TESTED
    }

    /// Estimates what the training costs in scored windows.
    pub fn windows(&self) -> u64 {
        u64::from(self.setup.epochs) * self.windows_per_epoch() + self.test.len() as u64 * WINDOWS_TESTED
    }

    /// Returns `<data set>-<split>-<digest>`. The name changes with anything that determines what is learned or how it
    /// is tested. The model's content counts, but not its location.
    pub fn name(&self) -> String {
        let mut hasher = Hasher::new_derive_key("dqa 2026 name of a trial");
        let mut field = |bytes: &[u8]| digest::update_field(&mut hasher, bytes);
        field(&VERSION.to_le_bytes());
        field(self.dataset.as_str().as_bytes());
        field(&(self.split as u64).to_le_bytes());
        field(self.model.digest.as_bytes());
        field(self.model.prompts.as_ref().map_or("", |prompts| &prompts.digest).as_bytes());
        // If the last epoch is kept, the number of intermediate tests has no effect on the result.
        let test_every = if self.setup.select == Select::Last { 1 } else { self.setup.test_every };
        let setup = Setup { test_every, ..self.setup.clone() };
        field(&serde_json::to_vec(&setup).expect("a setup has text for keys"));
        self.label_range.iter().for_each(|end| field(&end.to_bits().to_le_bytes()));
        for side in [&self.train, &self.validation, &self.test] {
            field(&(side.len() as u64).to_le_bytes());
            for picture in side {
                for text in [picture.algorithm.as_str(), &picture.scene, &picture.image, &picture.uri, &picture.version]
                {
                    field(text.as_bytes());
                }
                field(&picture.mos.to_bits().to_le_bytes());
            }
        }
        // The data set's name is cut so that the trial's name stays a valid file name.
        let dataset = &self.dataset.as_str()[..self.dataset.as_str().len().min(60)];
        format!("{dataset}-{}-{}", self.split, &hasher.finalize().to_hex()[..32])
    }

    /// Returns the key of the trial's file `file` in a store.
    pub fn key(&self, file: &str) -> String {
        trial_key(&self.name(), file)
    }
}

/// Returns the key of the file `file` of the trial `name` in a store.
pub fn trial_key(name: &str, file: &str) -> String {
    format!("{TRIALS}/{name}/{file}")
}

fn seen_text(seen: Option<&SeenLabels>) -> String {
    seen.map(|seen| format!(" (labels seen: {seen})")).unwrap_or_default()
}

/// Returns the label range of the data set's definition.
fn defined_label_range(dataset: &DataSet) -> Option<[f64; 2]> {
    let definition: Definition = toml::from_str(&dataset.definition).ok()?;
    definition.labels?.range
}

fn check_without(dataset: &DataSet, without: &[String]) -> Result<(), TrialError> {
    let all = dataset.algorithms();
    let Some(unknown) = without.iter().find(|name| all.iter().all(|known| known.as_str() != name.as_str())) else {
        return Ok(());
    };
    let similar = similar_names(unknown, all.iter().map(AlgorithmName::as_str));
    Err(TrialError::UnknownAlgorithm { dataset: dataset.name.clone(), algorithm: unknown.clone(), similar })
}

fn check_labels(dataset: &DataSet, scenes: &[String], is_in: impl Fn(&str) -> bool) -> Result<(), TrialError> {
    let pictures = dataset.pictures.iter().zip(scenes).filter(|(_, scene)| is_in(scene));
    let pictures: Vec<&Picture> = pictures.map(|(picture, _)| picture).collect();
    let mut unlabelled = pictures.iter().filter(|picture| picture.mos.is_none());
    match unlabelled.next() {
        None => Ok(()),
        Some(first) => Err(TrialError::Unlabelled {
            dataset: dataset.name.clone(),
            count: 1 + unlabelled.count(),
            pictures: pictures.len(),
            image: first.image.to_string(),
        }),
    }
}

fn trial_picture(
    dataset: &DataSet,
    (picture, scene): (&Picture, &str),
    [low, high]: [f64; 2],
) -> Result<TrialPicture, TrialError> {
    let mos = picture.mos.expect("pictures without labels were refused");
    if !(low..=high).contains(&mos) {
        return Err(TrialError::LabelOutOfRange { image: picture.image.to_string(), mos, low, high });
    }
    Ok(TrialPicture {
        algorithm: picture.algorithm.clone(),
        scene: scene.to_owned(),
        image: picture.image.to_string(),
        uri: dataset.uri(picture),
        bytes: picture.bytes,
        version: picture.version.to_string(),
        mos,
        target: ((mos - low) / (high - low)) as f32,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::setup::Init;
    use super::super::splits::SplitsOptions;
    use super::*;
    use crate::store::Store;

    const LABELS: &str = "name = \"d\"\nroot = \"/\"\n[labels]\nfile = \"l.csv\"\nrange = [0, 100]\n";

    fn dataset(scenes: usize, algorithms: &[&str]) -> DataSet {
        let picture = |algorithm: &str, scene: usize| Picture {
            mos: Some((scene * 7 % 100) as f64),
            version: "v1".into(),
            ..Picture::new(algorithm.parse().unwrap(), &format!("{algorithm}/s{scene:02}.png"))
        };
        let pictures = algorithms.iter().flat_map(|algorithm| (0..scenes).map(move |scene| picture(algorithm, scene)));
        let root = Store::open("/", Path::new("")).unwrap();
        let dataset = DataSet::new("d".parse().unwrap(), root, pictures.collect());
        DataSet { definition: LABELS.to_owned(), is_labelled: true, ..dataset }
    }

    fn splits(dataset: &DataSet) -> Splits {
        Splits::draw(&dataset.name, SceneNames::new(dataset).labelled(), &SplitsOptions::default()).unwrap()
    }

    fn model() -> ModelRef {
        ModelRef { name: "model".to_owned(), digest: "ab".repeat(32), prompts: None }
    }

    fn plan(dataset: &DataSet, setup: &Setup) -> Trial {
        Trial::plan(dataset, (&splits(dataset), 1), &model(), setup).unwrap()
    }

    #[test]
    fn every_picture_is_on_the_side_of_its_scene() {
        let dataset = dataset(20, &["a", "b", "c"]);
        let setup = Setup { select: Select::BestOnValidation, without: vec!["c".to_owned()], ..Setup::default() };
        let trial = plan(&dataset, &setup);
        let scenes = |side: &[TrialPicture]| side.iter().map(|p| p.scene.clone()).collect::<BTreeSet<_>>();
        let sides = [scenes(&trial.train), scenes(&trial.validation), scenes(&trial.test)];
        assert_eq!(sides.each_ref().map(BTreeSet::len), [13, 3, 4]);
        assert_eq!(sides.iter().flatten().collect::<BTreeSet<_>>().len(), 20, "no scene is on two sides");
        assert_eq!([trial.train.len(), trial.validation.len(), trial.test.len()], [26, 6, 12]);
        assert!(trial.train.iter().chain(&trial.validation).all(|picture| picture.algorithm.as_str() != "c"));
        assert_eq!(trial.held_out(), trial.validation);
        let picture = &trial.train[0];
        assert_eq!(picture.target, (picture.mos / 100.0) as f32);
        assert_eq!(plan(&dataset, &Setup { batch_size: 60, ..Setup::default() }).steps_per_epoch(), 1);
        assert_eq!(plan(&dataset, &Setup { batch_size: 47, ..Setup::default() }).steps_per_epoch(), 2);
    }

    #[test]
    fn all_that_determines_a_trial_is_in_its_name() {
        let base = dataset(20, &["a", "b"]);
        let changed = |change: &dyn Fn(&mut Trial)| {
            let mut trial = plan(&base, &Setup::default());
            change(&mut trial);
            trial.name()
        };
        let prompts = PromptsRef { name: "p".to_owned(), digest: "cd".repeat(32) };
        let names: Vec<String> = vec![
            changed(&|_| ()),
            changed(&|t| t.dataset = "e".parse().unwrap()),
            changed(&|t| t.split = 2),
            changed(&|t| t.model.digest = "x".to_owned()),
            changed(&|t| t.model.prompts = Some(prompts.clone())),
            changed(&|t| t.setup.seed = 1),
            changed(&|t| t.setup.init = Init::Words("a".to_owned())),
            changed(&|t| t.label_range = [0.0, 10.0]),
            changed(&|t| t.train[0].version = "v2".to_owned()),
            changed(&|t| t.train[0].mos = 1.5),
            changed(&|t| t.test[0].mos = 1.5),
            changed(&|t| {
                let moved = t.test.remove(0);
                t.train.push(moved);
            }),
        ];
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert_eq!(changed(&|t| t.model.name = "elsewhere".to_owned()), names[0]);
        assert_eq!(changed(&|t| t.setup.test_every = 25), names[0], "the last epoch is kept");
        let selects = |every| changed(&|t| (t.setup.select, t.setup.test_every) = (Select::BestOnTest, every));
        assert_ne!(selects(1), selects(25));
        assert!(names[0].starts_with("d-1-"), "{}", names[0]);
    }

    #[test]
    fn what_cannot_be_trained_on_is_named() {
        let fail = |dataset: &DataSet, setup: &Setup| {
            let made = Trial::plan(dataset, (&splits(dataset), 1), &model(), setup);
            made.unwrap_err().to_string()
        };
        let mut unlabelled = dataset(20, &["a", "b"]);
        unlabelled.pictures[3].mos = None;
        assert!(fail(&unlabelled, &Setup::default()).contains("a/s03.png"));
        let mut outside = dataset(20, &["a"]);
        outside.pictures[0].mos = Some(100.5);
        assert!(fail(&outside, &Setup::default()).contains("100.5"));
        let mut no_range = dataset(20, &["a"]);
        no_range.definition = LABELS.replace("range = [0, 100]\n", "");
        assert!(fail(&no_range, &Setup::default()).contains("is unknown (labels seen: "));
        let with_range = Setup { label_range: Some([0.0, 200.0]), ..Setup::default() };
        assert_eq!(plan(&no_range, &with_range).label_range, [0.0, 200.0]);
        assert_eq!(plan(&dataset(20, &["a"]), &with_range).label_range, [0.0, 100.0], "the data set knows better");
        let unknown = Setup { without: vec!["dcpp".to_owned()], ..Setup::default() };
        assert!(fail(&dataset(20, &["dcp"]), &unknown).contains("similar names: dcp"));
        let all = Setup { without: vec!["a".to_owned()], ..Setup::default() };
        assert!(fail(&dataset(20, &["a"]), &all).contains("to train on"));
        let validates = Setup { select: Select::BestOnValidation, ..Setup::default() };
        assert!(fail(&dataset(2, &["a"]), &validates).contains("to validate on"), "one scene is left to train on");
    }
}
