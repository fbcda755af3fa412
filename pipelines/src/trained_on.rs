//! What a model, or prompts, learned from: which scenes of which data sets trained it, and which chose the epoch that was
//! kept. It travels as JSON in the metadata of the files that hold what was learned. Scores of those scenes say nothing of
//! scenes that were not seen, and [`TrainedOn::seen_in`] finds them in a data set. Pure.

mod seen;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::dataset::{DataSet, DatasetSource, Definition};
use crate::names::DatasetName;
use crate::train::{Select, Trial, TrialPicture};

pub use seen::{MatchedBy, SeenScenes};

/// Where a safetensors file's metadata has it.
pub const METADATA_KEY: &str = "dqa.trained_on";

/// Another one means another form.
const VERSION: u32 = 1;

/// Longest text that is read: far more than names of every scene of any data set with labels.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// Longest that the names of a data set's scenes may be in a file: 100,000 short names. Of more only their number is kept, and
/// every scene of that data set is taken for seen.
const NAMES_BYTES_MAX: usize = 1 << 20;

/// What a model or prompts learned from. Empty: nothing is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainedOn {
    version: u32,
    /// Each data set once, by name and source.
    pub datasets: Vec<TrainingSet>,
}

/// A data set that was learned from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingSet {
    /// Its name.
    pub dataset: DatasetName,
    /// What its name stood for; None: it is not on a disk any more, as `remark` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<DatasetSource>,
    /// The splits whose scenes these are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<SplitName>,
    /// The scenes whose pictures changed what was learned.
    pub train: Scenes,
    /// The scenes whose pictures chose the epoch that was kept.
    #[serde(default, skip_serializing_if = "Scenes::is_empty")]
    pub selection: Scenes,
    /// What else is known of it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// Names one of several splits of a data set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SplitName {
    /// Of all the splits (`Splits::digest`).
    pub splits: String,
    /// From 1.
    pub split: usize,
}

/// Scenes by the texts that splits name them by (`train::SceneTexts`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scenes {
    /// All of them.
    Named(BTreeSet<String>),
    /// Too many to be named.
    Counted {
        /// How many.
        count: u64,
    },
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TrainedOnError {
    /// It is longer than any that is written.
    #[error("it has {bytes} bytes, and a record has at most {TEXT_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is not JSON, or has another form.
    #[error("it is not a record of a training")]
    Json(#[from] serde_json::Error),
    /// A later version wrote it.
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

/// Returns the source of a data set that was listed.
pub fn source_of(dataset: &DataSet) -> DatasetSource {
    let root = dataset.root.url().to_string();
    let definition = Definition::from_toml(&dataset.definition)
        .unwrap_or_else(|_| Definition::new(dataset.name.clone(), root.clone()));
    Definition { root, ..definition }.source()
}

impl Scenes {
    fn of(names: impl IntoIterator<Item = String>) -> Scenes {
        let names: BTreeSet<String> = names.into_iter().collect();
        if names.iter().map(String::len).sum::<usize>() > NAMES_BYTES_MAX {
            return Scenes::Counted { count: names.len() as u64 };
        }
        Scenes::Named(names)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        match self {
            Scenes::Named(names) => names.len() as u64,
            Scenes::Counted { count } => *count,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add(&mut self, other: &Scenes) {
        let all = match (&*self, other) {
            (Scenes::Named(a), Scenes::Named(b)) => Scenes::of(a.union(b).cloned()),
            // Their names may be the same: as many as the larger has, at least.
            (a, b) => Scenes::Counted { count: a.len().max(b.len()) },
        };
        *self = all;
    }
}

impl TrainedOn {
    /// Returns what is known of a training by itself.
    pub fn of_trial(trial: &Trial) -> TrainedOn {
        let scenes = |pictures: &[TrialPicture]| Scenes::of(pictures.iter().map(|picture| picture.scene.clone()));
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

    /// Reads what [`TrainedOn::to_json`] wrote.
    ///
    /// # Errors
    /// When it is too long, has another form, or is of a later version.
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

    /// Writes it as JSON, which is never longer than what is read: the same for the same content.
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

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.datasets.is_empty()
    }

    /// Adds what another model or other prompts learned from.
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
