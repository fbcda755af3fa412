//! A training as a unit of work: its pictures with their targets, the model it begins with, its settings. As with a part,
//! its name is a digest of everything that determines its outcome: where its record says that it is complete, it is done.

use std::collections::BTreeSet;

use blake3::Hasher;
use serde::{Deserialize, Serialize};

use super::chance;
use super::scenes::SceneTexts;
use super::setup::{Select, Setup, SetupError};
use super::splits::{Splits, SplitsError};
use crate::dataset::{DataSet, DatasetSource, Definition, Picture};
use crate::digest;
use crate::names::{AlgorithmName, DatasetName, similar_names, suggestion};
use crate::trained_on::source_of;

/// The folder of trials in a store.
pub const TRIALS: &str = "trials";

/// Another one is another way to learn: trials of an older one are not taken for done.
const VERSION: u32 = 1;

/// One training: of one split, with one setup, from one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Whose pictures.
    pub dataset: DatasetName,
    /// What the data set's name stands for. No part of the trial's name: the pictures' addresses are.
    #[serde(default)]
    pub source: Option<DatasetSource>,
    /// Which of the splits, from 1.
    pub split: usize,
    /// The digest of all the splits (`Splits::digest`).
    pub splits: String,
    /// What it begins with.
    pub model: ModelRef,
    /// How it learns.
    pub setup: Setup,
    /// The labels' range that is 0 to 1 for the model.
    pub label_range: [f64; 2],
    /// Pictures that are learned from.
    pub train: Vec<TrialPicture>,
    /// Pictures that select the epoch; none unless the setup selects so.
    pub validation: Vec<TrialPicture>,
    /// Pictures that are tested on.
    pub test: Vec<TrialPicture>,
}

/// The model that a training begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRef {
    /// As it was asked for: a directory, `hf:OWNER/NAME`, `new:CONFIG.json`.
    pub name: String,
    /// Of the weights: 64 digits.
    pub digest: String,
    /// Prompts that it begins with; None: new ones.
    pub prompts: Option<PromptsRef>,
}

/// Prompts that a training begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptsRef {
    /// The file.
    pub name: String,
    /// Of the prompts: 64 digits.
    pub digest: String,
}

/// A picture of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialPicture {
    /// Who made it.
    pub algorithm: AlgorithmName,
    /// What it shows: one of [`SceneTexts`].
    pub scene: String,
    /// Its name within the data set.
    pub image: String,
    /// Where it is.
    pub uri: String,
    /// Length in bytes.
    pub bytes: u64,
    /// The version that was planned.
    pub version: String,
    /// The label on its own scale, higher is better.
    pub mos: f64,
    /// The label as the model learns it, 0 (bad) to 1 (good).
    pub target: f32,
}

/// Why there is no such trial.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The setup means nothing.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The splits are not the data set's.
    #[error(transparent)]
    Splits(#[from] SplitsError),
    /// Pictures without labels among those of the split.
    #[error("{count} of {pictures} pictures of data set `{dataset}` have no label, as {image}")]
    Unlabelled {
        /// Which data set.
        dataset: DatasetName,
        /// How many.
        count: usize,
        /// Of how many in the split.
        pictures: usize,
        /// The first.
        image: String,
    },
    /// Nobody says which labels are the worst and the best.
    #[error(
        "data set `{0}` does not say from where to where its labels go: `range` in [labels], or the setup's `label_range`"
    )]
    NoRange(DatasetName),
    /// A label outside of the range.
    #[error("the label {mos} of {image} is outside of the labels' range {low} to {high}")]
    Outside {
        /// Whose label.
        image: String,
        /// As turned.
        mos: f64,
        /// The range's lower end.
        low: f64,
        /// Its upper end.
        high: f64,
    },
    /// An algorithm that is to be left out and is not there.
    #[error("`without` names `{algorithm}`, and data set `{dataset}` has no such algorithm{}", suggestion(similar))]
    UnknownAlgorithm {
        /// Which data set.
        dataset: DatasetName,
        /// As given.
        algorithm: String,
        /// Names that are like it.
        similar: Vec<String>,
    },
    /// A side that the setup needs and that has no picture.
    #[error("split {split} of data set `{dataset}` has no picture {what}")]
    Nothing {
        /// Which data set.
        dataset: DatasetName,
        /// Which split.
        split: usize,
        /// To do what with.
        what: &'static str,
    },
}

impl Trial {
    /// The training on split `split` (from 1) of `splits`, from `model`, by `setup`. All of a scene's pictures that the
    /// data set has are taken; those of the setup's `without` only to test on.
    ///
    /// # Errors
    /// Where setup or splits mean nothing for this data set, and where a picture of the split has no label.
    pub fn plan(
        dataset: &DataSet,
        (splits, split): (&Splits, usize),
        model: &ModelRef,
        setup: &Setup,
    ) -> Result<Trial, TrialError> {
        setup.check()?;
        let sides = splits.split(split)?;
        let scenes = SceneTexts::new(dataset);
        splits.check_scenes(&dataset.name, scenes.labelled())?;
        check_without(dataset, &setup.without)?;
        let label_range = range(dataset).or(setup.label_range).ok_or(TrialError::NoRange(dataset.name.clone()))?;
        let validating: BTreeSet<String> = match setup.select {
            Select::BestOnValidation => {
                let count = (sides.train.len() as f64 * setup.validation_share).round() as usize;
                // One at least, and one left to train on; of a single scene none, which is refused below.
                let count = count.max(1).min(sides.train.len().saturating_sub(1));
                chance::validation(setup.seed, split, &sides.train, count).into_iter().collect()
            }
            _ => BTreeSet::new(),
        };
        let training: BTreeSet<&str> = sides.train.iter().map(String::as_str).collect();
        let testing: BTreeSet<&str> = sides.test.iter().map(String::as_str).collect();
        let without: BTreeSet<&str> = setup.without.iter().map(String::as_str).collect();
        let texts: Vec<String> = dataset.pictures.iter().map(|picture| scenes.of(picture)).collect();
        check_labels(dataset, &texts, |scene| training.contains(scene) || testing.contains(scene))?;
        let pictures = |wanted: &dyn Fn(&Picture, &str) -> bool| {
            let pictures = dataset.pictures.iter().zip(&texts).filter(|(picture, scene)| wanted(picture, scene));
            let pictures = pictures.map(|(picture, scene)| trial_picture(dataset, (picture, scene), label_range));
            pictures.collect::<Result<Vec<_>, _>>()
        };
        let learns =
            |picture: &Picture, scene: &str| training.contains(scene) && !without.contains(picture.algorithm.as_str());
        let trial = Trial {
            dataset: dataset.name.clone(),
            source: Some(source_of(dataset)),
            split,
            splits: splits.digest(),
            model: model.clone(),
            setup: setup.clone(),
            label_range,
            train: pictures(&|picture, scene| learns(picture, scene) && !validating.contains(scene))?,
            validation: pictures(&|picture, scene| learns(picture, scene) && validating.contains(scene))?,
            test: pictures(&|_, scene| testing.contains(scene))?,
        };
        trial.has_what_it_needs()?;
        Ok(trial)
    }

    fn has_what_it_needs(&self) -> Result<(), TrialError> {
        let nothing = |what| Err(TrialError::Nothing { dataset: self.dataset.clone(), split: self.split, what });
        match self.setup.select {
            _ if self.train.is_empty() => nothing("to train on"),
            Select::BestOnValidation if self.validation.is_empty() => nothing("to validate on"),
            Select::BestOnTest if self.test.is_empty() => nothing("to select the epoch on"),
            _ => Ok(()),
        }
    }

    /// The pictures that each epoch is tested on: those that validate, so that the test stays unseen; else the test's.
    pub fn held_out(&self) -> &[TrialPicture] {
        if self.setup.select == Select::BestOnValidation { &self.validation } else { &self.test }
    }

    /// All pictures: those that train, validate, test.
    pub fn pictures(&self) -> impl Iterator<Item = &TrialPicture> {
        self.train.iter().chain(&self.validation).chain(&self.test)
    }

    /// Steps of an epoch; the last has what is left.
    pub fn steps_per_epoch(&self) -> u64 {
        self.train.len().div_ceil(self.setup.batch_size as usize) as u64
    }

    /// `<data set>-<split>-<digest>`: the same for the same training, another one where anything differs that
    /// determines what is learned or how it is tested. Where the model came from does not count, what it is does.
    pub fn name(&self) -> String {
        let mut hasher = Hasher::new_derive_key("dqa 2026 name of a trial");
        let mut field = |bytes: &[u8]| digest::update_field(&mut hasher, bytes);
        field(&VERSION.to_le_bytes());
        field(self.dataset.as_str().as_bytes());
        field(&(self.split as u64).to_le_bytes());
        field(self.model.digest.as_bytes());
        field(self.model.prompts.as_ref().map_or("", |prompts| &prompts.digest).as_bytes());
        // Where no epoch is selected, how often is tested on the way changes nothing that is kept.
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
        // With what is around it, a name is a file name.
        let dataset = &self.dataset.as_str()[..self.dataset.as_str().len().min(60)];
        format!("{dataset}-{}-{}", self.split, &hasher.finalize().to_hex()[..32])
    }

    /// The object `file` of the trial in a store.
    pub fn key(&self, file: &str) -> String {
        trial_key(&self.name(), file)
    }
}

/// The object `file` of the trial `name` in a store.
pub fn trial_key(name: &str, file: &str) -> String {
    format!("{TRIALS}/{name}/{file}")
}

/// The range that the data set's definition gives its labels.
fn range(dataset: &DataSet) -> Option<[f64; 2]> {
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
        return Err(TrialError::Outside { image: picture.image.to_string(), mos, low, high });
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
        Splits::make(&dataset.name, SceneTexts::new(dataset).labelled(), &SplitsOptions::default()).unwrap()
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
        assert!(fail(&no_range, &Setup::default()).contains("label_range"));
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
