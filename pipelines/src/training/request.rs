//! A request for trainings on a cluster: a study, or the trials of some splits of one data set.

use serde::{Deserialize, Serialize};

use crate::model_spec::ModelFile;
use crate::names::StudyName;
use crate::picture_limits::PictureLimits;
use crate::study::StudyDefinition;
use crate::train::{ModelRef, Setup, Splits, SplitsOptions, TrialRecord};

/// What a user asks a coordinator to train. The data sets' definitions are in the request of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingRequest {
    /// What is trained and tested.
    pub work: TrainingWork,
    /// The splits of data sets that are not to be split anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<Splits>,
    /// The models that trainings start from.
    pub models: Vec<TrainingModel>,
    /// The limits on a picture's size.
    #[serde(default)]
    pub limits: PictureLimits,
    /// The program and machine that asked for it, by setting, for the study's table.
    #[serde(default)]
    pub provenance: Vec<(String, String)>,
}

/// The trainings of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingWork {
    /// All trials and evaluations of a study, and its table.
    Study {
        /// The study's name in the store.
        name: StudyName,
        /// The study, with all overrides.
        definition: Box<StudyDefinition>,
    },
    /// The trials of some splits of the only data set.
    Trials {
        /// The settings of all of them.
        setup: Box<Setup>,
        /// How the splits are drawn, if the request has none.
        options: SplitsOptions,
        /// The splits' numbers, from 1. Empty for all.
        numbers: Vec<usize>,
    },
}

/// A model to start from, with its files in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingModel {
    /// Its name and digests, as trials have them.
    pub model: ModelRef,
    /// The seed of the weights, if they are new.
    pub seed: u64,
    /// CLIP's files; the configuration alone for new weights. Empty if the model is in the program.
    pub weights: Vec<ModelFile>,
    /// The prompts' file. None for new prompts, and for prompts in the program.
    pub prompts: Option<ModelFile>,
}

impl TrainingModel {
    /// Iterates over the files that the store must hold.
    pub fn files(&self) -> impl Iterator<Item = &ModelFile> {
        self.weights.iter().chain(&self.prompts)
    }
}

/// What the trials of some splits have learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainedSplits {
    /// The splits.
    pub splits: Splits,
    /// The records of the complete trials, in the order of their splits.
    pub records: Vec<TrialRecord>,
}
