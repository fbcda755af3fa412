//! What a model or prompts were trained on: which scenes of which data sets were used for training, and which selected
//! the epoch that was kept. The record is stored as JSON in the metadata of files with trained weights or prompts.
//! Scores of seen scenes say nothing about unseen ones; [`TrainedOn::find_seen`] finds the seen scenes of a data set.
//! Pure.

mod seen_scenes;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::dataset::DatasetSource;
use crate::names::DatasetName;
use crate::train::{Select, Trial, TrialPicture};

pub use seen_scenes::{MatchedBy, SeenScenes};

/// The metadata key in a safetensors file.
pub const METADATA_KEY: &str = "dqa.trained_on";

/// Version of the record's format.
const VERSION: u32 = 1;

/// Maximum length of a record: far more than the names of all scenes of any data set with labels.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// Maximum length of the scene names of one data set in a record: about 100,000 short names. With more, only the number
/// of scenes is kept, and every scene of that data set counts as seen.
const NAMES_BYTES_MAX: usize = 1 << 20;

/// What a model or prompts were trained on. Empty if nothing is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainedOn {
    version: u32,
    /// The data sets, each once by name and source.
    pub datasets: Vec<TrainingSet>,
}

/// A data set that was used for training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingSet {
    /// The data set's name.
    pub dataset: DatasetName,
    /// What the name stood for, or None if the data set is not available any more, as `remark` explains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<DatasetSource>,
    /// The splits that the scenes come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<SplitName>,
    /// Scenes whose pictures changed the parameters.
    pub train: Scenes,
    /// Scenes whose pictures selected the epoch that was kept.
    #[serde(default, skip_serializing_if = "Scenes::is_empty")]
    pub selection: Scenes,
    /// A remark for readers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// Identifies one of several splits of a data set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SplitName {
    /// The digest of all splits (`Splits::digest`).
    pub splits: String,
    /// The split's number, from 1.
    pub split: usize,
}

/// Scenes by their names in splits (`train::SceneNames`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scenes {
    /// The names of all scenes.
    Named(BTreeSet<String>),
    /// More scenes than can be named.
    Counted {
        /// Number of scenes.
        count: u64,
    },
}

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TrainedOnError {
    /// The record is too long.
    #[error("it has {bytes} bytes, and a record has at most {TEXT_BYTES_MAX}")]
    TooLong {
        /// Length in bytes.
        bytes: usize,
    },
    /// The text is not JSON or has an unexpected structure.
    #[error("it is not a record of a training")]
    Json(#[from] serde_json::Error),
    /// A later version of the program wrote the record.
    #[error("it is of version {0}, and this program knows version {VERSION}: use the program that made the prompts")]
    Version(u32),
}

impl Default for TrainedOn {
    fn default() -> TrainedOn {
        TrainedOn { version: VERSION, datasets: Vec::new() }
    }
}

impl Default for Scenes {
    fn default() -> Scenes {
        Scenes::Named(BTreeSet::new())
    }
}

impl Scenes {
    fn from_names(names: impl IntoIterator<Item = String>) -> Scenes {
        let names: BTreeSet<String> = names.into_iter().collect();
        if names.iter().map(String::len).sum::<usize>() > NAMES_BYTES_MAX {
            return Scenes::Counted { count: names.len() as u64 };
        }
        Scenes::Named(names)
    }

    /// Returns the number of scenes.
    pub fn len(&self) -> u64 {
        match self {
            Scenes::Named(names) => names.len() as u64,
            Scenes::Counted { count } => *count,
        }
    }

    /// Returns whether there are no scenes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add(&mut self, other: &Scenes) {
        let all = match (&*self, other) {
            (Scenes::Named(a), Scenes::Named(b)) => Scenes::from_names(a.union(b).cloned()),
            // The sets may overlap, so the union has at least as many scenes as the larger one.
            (a, b) => Scenes::Counted { count: a.len().max(b.len()) },
        };
        *self = all;
    }
}

impl TrainedOn {
    /// Returns the record of a single training.
    pub fn from_trial(trial: &Trial) -> TrainedOn {
        let scenes =
            |pictures: &[TrialPicture]| Scenes::from_names(pictures.iter().map(|picture| picture.scene.clone()));
        let selection = match trial.setup.select {
            Select::Last => Scenes::default(),
            Select::BestOnValidation | Select::BestOnTest => scenes(trial.held_out()),
        };
        let set = TrainingSet {
            dataset: trial.dataset.clone(),
            source: trial.source.clone(),
            splits: vec![SplitName { splits: trial.splits.clone(), split: trial.split }],
            train: scenes(&trial.train),
            selection,
            remark: None,
        };
        TrainedOn { datasets: vec![set], ..TrainedOn::default() }
    }

    /// Parses what [`TrainedOn::to_json`] wrote.
    ///
    /// # Errors
    /// The text is too long, has an unexpected structure, or is of a later version.
    pub fn parse(text: &str) -> Result<TrainedOn, TrainedOnError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(TrainedOnError::TooLong { bytes: text.len() });
        }
        let Versioned { version } = serde_json::from_str(text)?;
        if version != VERSION {
            return Err(TrainedOnError::Version(version));
        }
        Ok(serde_json::from_str(text)?)
    }

    /// Returns the record as JSON, never longer than the maximum that can be read. Equal records give equal texts.
    pub fn to_json(&self) -> String {
        let mut short = self.clone();
        loop {
            let text = serde_json::to_string(&short).expect("a record has text for keys");
            let scenes = short.datasets.iter_mut().flat_map(|set| [&mut set.train, &mut set.selection]);
            let named = scenes.filter(|scenes| matches!(scenes, Scenes::Named(names) if !names.is_empty()));
            match named.max_by_key(|scenes| scenes.len()) {
                Some(longest) if text.len() > TEXT_BYTES_MAX => *longest = Scenes::Counted { count: longest.len() },
                _ => return text,
            }
        }
    }

    /// Returns whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.datasets.is_empty()
    }

    /// Adds what another model or other prompts were trained on.
    pub fn add(&mut self, other: &TrainedOn) {
        for set in &other.datasets {
            let known =
                self.datasets.iter_mut().find(|known| (&known.dataset, &known.source) == (&set.dataset, &set.source));
            match known {
                Some(known) => known.add(set),
                None => self.datasets.push(set.clone()),
            }
        }
    }
}

impl TrainingSet {
    fn add(&mut self, other: &TrainingSet) {
        self.train.add(&other.train);
        self.selection.add(&other.selection);
        let new = other.splits.iter().filter(|split| !self.splits.contains(split)).cloned();
        self.splits.extend(new.collect::<Vec<_>>());
        self.remark = self.remark.take().or_else(|| other.remark.clone());
    }
}
