//! The record of the training data in a model's or prompts' files. Most models of other projects have none, which is
//! not an error.

use std::path::Path;

use dqa_model::{header_bytes, parse_metadata, read_metadata};
use dqa_pipelines::causes;
use dqa_pipelines::model_spec::{ModelFile, ModelSpec};
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::trained_on::{METADATA_KEY, TrainedOn};

use super::BUNDLED;

/// What a file, or a bundled model, says about its training data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedTraining {
    /// The record.
    Recorded(TrainedOn),
    /// There is no record.
    NotRecorded,
    /// The record cannot be read by this version.
    Unreadable {
        /// The file.
        file: String,
        /// The error with its causes.
        why: String,
    },
}

impl RecordedTraining {
    /// Returns what the files of a model's weights say.
    pub fn of_weights(model: &str, files: &[impl AsRef<Path>]) -> RecordedTraining {
        if let Some(own) = BUNDLED.iter().find(|own| own.name == model) {
            return RecordedTraining::of_text(own.name, Some(own.trained_on));
        }
        let tensors = files.iter().map(AsRef::as_ref).filter(|file| file.extension().is_none_or(|end| end != "json"));
        tensors.map(RecordedTraining::of_file).fold(RecordedTraining::NotRecorded, RecordedTraining::and)
    }

    /// Returns what a file of prompts says.
    pub fn of_prompts(file: &Path) -> RecordedTraining {
        match BUNDLED.iter().find(|own| Some(own.name) == file.to_str()) {
            Some(own) => RecordedTraining::of_text(own.name, Some(own.trained_on)),
            None => RecordedTraining::of_file(file),
        }
    }

    /// Returns what the files of a run's model in a store say. Only the beginning of each file is read.
    ///
    /// # Errors
    /// Fails if the store fails or lacks a file.
    pub async fn of_stored(store: &Store, model: &ModelSpec) -> Result<RecordedTraining, StoreError> {
        let mut training = RecordedTraining::NotRecorded;
        if model.weights.is_empty() {
            training = training.and(RecordedTraining::of_weights(&model.name, &[] as &[&Path]));
        }
        if let (None, Some(name)) = (&model.prompts, &model.prompts_name) {
            training = training.and(RecordedTraining::of_prompts(Path::new(name)));
        }
        for file in model.files() {
            training = training.and(RecordedTraining::of_object(store, file).await?);
        }
        Ok(training)
    }

    async fn of_object(store: &Store, file: &ModelFile) -> Result<RecordedTraining, StoreError> {
        const LENGTH_BYTES: u64 = 8;
        let start = store.get_first(&file.key(), LENGTH_BYTES).await?;
        // The first 8 bytes of other kinds of files are not a plausible length of a header.
        let Some(header) = header_bytes(&start) else { return Ok(RecordedTraining::NotRecorded) };
        let start = store.get_first(&file.key(), LENGTH_BYTES + header).await?;
        let texts = parse_metadata(start.get(LENGTH_BYTES as usize..).unwrap_or_default());
        Ok(RecordedTraining::of_text(&file.name, texts.get(METADATA_KEY).map(String::as_str)))
    }

    fn of_file(file: &Path) -> RecordedTraining {
        let name = file.display().to_string();
        match read_metadata(file) {
            Ok(texts) => RecordedTraining::of_text(&name, texts.get(METADATA_KEY).map(String::as_str)),
            Err(error) => RecordedTraining::Unreadable { file: name, why: causes(&error).to_string() },
        }
    }

    fn of_text(file: &str, text: Option<&str>) -> RecordedTraining {
        match text.map(TrainedOn::parse) {
            None => RecordedTraining::NotRecorded,
            Some(Ok(trained_on)) => RecordedTraining::Recorded(trained_on),
            Some(Err(error)) => RecordedTraining::Unreadable { file: file.to_owned(), why: causes(&error).to_string() },
        }
    }

    /// Returns the union of two records: of weights and prompts, or of several files.
    pub fn and(self, other: RecordedTraining) -> RecordedTraining {
        match (self, other) {
            (unreadable @ RecordedTraining::Unreadable { .. }, _)
            | (_, unreadable @ RecordedTraining::Unreadable { .. }) => unreadable,
            (RecordedTraining::NotRecorded, other) | (other, RecordedTraining::NotRecorded) => other,
            (RecordedTraining::Recorded(mut all), RecordedTraining::Recorded(other)) => {
                all.add(&other);
                RecordedTraining::Recorded(all)
            }
        }
    }

    /// Returns the known training data, which is empty if the record is missing or unreadable, and a warning if it is
    /// unreadable.
    pub fn known(self) -> (TrainedOn, Option<String>) {
        match self {
            RecordedTraining::Recorded(trained_on) => (trained_on, None),
            RecordedTraining::NotRecorded => (TrainedOn::default(), None),
            RecordedTraining::Unreadable { file, why } => {
                let warning = format!(
                    "what {file} was trained on cannot be read, so scenes that it has seen are not marked: {why}"
                );
                (TrainedOn::default(), Some(warning))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dqa_pipelines::train::{Splits, SplitsOptions};
    use dqa_pipelines::trained_on::{Scenes, SplitName, TrainingSet};

    use super::*;

    /// Returns the record that tools/make-small-model writes: the training scenes of the first split of each data set.
    fn record_of_the_small_model() -> TrainedOn {
        let set = |name: &str, scenes: usize, seed: u32, test_share: f64| {
            let dataset = name.parse().unwrap();
            let all: BTreeSet<String> = (0..scenes).map(|number| format!("s{number:05}")).collect();
            let splits =
                Splits::draw(&dataset, &all, &SplitsOptions { test_share, ..SplitsOptions::default() }).unwrap();
            TrainingSet {
                dataset,
                source: None,
                splits: vec![SplitName { splits: splits.digest(), split: 1 }],
                train: Scenes::Named(splits.splits[0].train.iter().cloned().collect()),
                selection: Scenes::default(),
                remark: Some(format!(
                    "synthetic: dqa-coord demo make {name} --name {name} --scenes {scenes} --seed {seed}; pictures of retinex were left out"
                )),
            }
        };
        let mut record = TrainedOn::default();
        record.datasets = vec![
            set("demo-train", 2000, 2026, 0.1),
            set("demo-more", 700, 2027, 0.05),
            set("demo-again", 560, 2028, 0.02),
        ];
        record
    }

    #[test]
    fn the_small_model_says_what_it_learned_from() {
        let expected = record_of_the_small_model();
        let counts: Vec<u64> = expected.datasets.iter().map(|set| set.train.len()).collect();
        assert_eq!(counts, [1800, 665, 549], "as its card has them");
        if std::env::var_os("DQA_WRITE_RECORD").is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/models/small/trained_on.json");
            std::fs::write(path, expected.to_json() + "\n").unwrap();
        }
        let expected = RecordedTraining::Recorded(expected);
        // Not `assert_eq`: it would print 3,014 names.
        assert!(
            RecordedTraining::of_weights("dqa:small", &[] as &[&Path]) == expected,
            "set DQA_WRITE_RECORD to write it anew"
        );
        assert!(RecordedTraining::of_prompts(Path::new("dqa:small")) == expected);
    }

    #[test]
    fn what_is_recorded_adds_up_and_what_cannot_be_read_is_said() {
        let small = record_of_the_small_model();
        let recorded = RecordedTraining::Recorded(small.clone());
        assert_eq!(RecordedTraining::NotRecorded.and(recorded.clone()).and(recorded.clone()), recorded);
        let later = RecordedTraining::of_text("p.safetensors", Some(r#"{"version": 9, "datasets": []}"#));
        let (known, said) = recorded.and(later).known();
        assert!(known.is_empty());
        assert!(said.unwrap().starts_with("what p.safetensors was trained on cannot be read"));
        assert_eq!(RecordedTraining::NotRecorded.known(), (TrainedOn::default(), None));
    }
}
