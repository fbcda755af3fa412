//! What is recorded of what a model, or prompts, learned from. Most models of others say nothing of it: that is no error.

use std::path::Path;

use dqa_model::{header_bytes, parse_metadata, read_metadata};
use dqa_pipelines::causes;
use dqa_pipelines::model::{ModelFile, ModelSpec};
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::trained_on::{METADATA_KEY, TrainedOn};

use super::SHIPPED;

/// What a file, or a model in the program, says of its training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Training {
    /// It says it.
    Recorded(TrainedOn),
    /// It says nothing.
    NotRecorded,
    /// It says something that this program cannot read.
    Unreadable {
        /// The file.
        file: String,
        /// What is wrong, with its causes.
        why: String,
    },
}

impl Training {
    /// Returns what the files of a model's weights say.
    pub fn of_weights(model: &str, files: &[impl AsRef<Path>]) -> Training {
        if let Some(own) = SHIPPED.iter().find(|own| own.name == model) {
            return Training::of_text(own.name, Some(own.trained_on));
        }
        let tensors = files.iter().map(AsRef::as_ref).filter(|file| file.extension().is_none_or(|end| end != "json"));
        tensors.map(Training::of_file).fold(Training::NotRecorded, Training::and)
    }

    /// Returns what a file of prompts says.
    pub fn of_prompts(file: &Path) -> Training {
        match SHIPPED.iter().find(|own| Some(own.name) == file.to_str()) {
            Some(own) => Training::of_text(own.name, Some(own.trained_on)),
            None => Training::of_file(file),
        }
    }

    /// Returns what the files of a run's model in a store say. Of each its beginning alone is read.
    ///
    /// # Errors
    /// When the store fails, or lacks a file.
    pub async fn of_stored(store: &Store, model: &ModelSpec) -> Result<Training, StoreError> {
        let mut training = Training::NotRecorded;
        if model.weights.is_empty() {
            training = training.and(Training::of_weights(&model.name, &[] as &[&Path]));
        }
        if let (None, Some(name)) = (&model.prompts, &model.prompts_name) {
            training = training.and(Training::of_prompts(Path::new(name)));
        }
        for file in model.files() {
            training = training.and(Training::of_object(store, file).await?);
        }
        Ok(training)
    }

    async fn of_object(store: &Store, file: &ModelFile) -> Result<Training, StoreError> {
        const LENGTH_BYTES: u64 = 8;
        let start = store.get_first(&file.key(), LENGTH_BYTES).await?;
        // Files of other kinds begin with what would be a length that no header has.
        let Some(header) = header_bytes(&start) else { return Ok(Training::NotRecorded) };
        let start = store.get_first(&file.key(), LENGTH_BYTES + header).await?;
        let texts = parse_metadata(start.get(LENGTH_BYTES as usize..).unwrap_or_default());
        Ok(Training::of_text(&file.name, texts.get(METADATA_KEY).map(String::as_str)))
    }

    fn of_file(file: &Path) -> Training {
        let name = file.display().to_string();
        match read_metadata(file) {
            Ok(texts) => Training::of_text(&name, texts.get(METADATA_KEY).map(String::as_str)),
            Err(error) => Training::Unreadable { file: name, why: causes(&error).to_string() },
        }
    }

    fn of_text(file: &str, text: Option<&str>) -> Training {
        match text.map(TrainedOn::parse) {
            None => Training::NotRecorded,
            Some(Ok(trained_on)) => Training::Recorded(trained_on),
            Some(Err(error)) => Training::Unreadable { file: file.to_owned(), why: causes(&error).to_string() },
        }
    }

    /// Returns both together: of weights and prompts, or of several files.
    pub fn and(self, other: Training) -> Training {
        match (self, other) {
            (unreadable @ Training::Unreadable { .. }, _) | (_, unreadable @ Training::Unreadable { .. }) => unreadable,
            (Training::NotRecorded, other) | (other, Training::NotRecorded) => other,
            (Training::Recorded(mut all), Training::Recorded(other)) => {
                all.add(&other);
                Training::Recorded(all)
            }
        }
    }

    /// Returns what is known, which is nothing where nothing can be read; and what has to be said about that.
    pub fn known(self) -> (TrainedOn, Option<String>) {
        match self {
            Training::Recorded(trained_on) => (trained_on, None),
            Training::NotRecorded => (TrainedOn::default(), None),
            Training::Unreadable { file, why } => {
                let said = format!(
                    "what {file} was trained on cannot be read, so scenes that it has seen are not marked: {why}"
                );
                (TrainedOn::default(), Some(said))
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

    /// As tools/make-small-model makes it: the scenes that train in the first split of each data set.
    fn record_of_the_small_model() -> TrainedOn {
        let set = |name: &str, scenes: usize, seed: u32, test_share: f64| {
            let dataset = name.parse().unwrap();
            let all: BTreeSet<String> = (0..scenes).map(|number| format!("s{number:05}")).collect();
            let splits =
                Splits::make(&dataset, &all, &SplitsOptions { test_share, ..SplitsOptions::default() }).unwrap();
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
        let expected = Training::Recorded(expected);
        // Not `assert_eq`: it would print 3,014 names.
        assert!(
            Training::of_weights("dqa:small", &[] as &[&Path]) == expected,
            "set DQA_WRITE_RECORD to write it anew"
        );
        assert!(Training::of_prompts(Path::new("dqa:small")) == expected);
    }

    #[test]
    fn what_is_recorded_adds_up_and_what_cannot_be_read_is_said() {
        let small = record_of_the_small_model();
        let recorded = Training::Recorded(small.clone());
        assert_eq!(Training::NotRecorded.and(recorded.clone()).and(recorded.clone()), recorded);
        let later = Training::of_text("p.safetensors", Some(r#"{"version": 9, "datasets": []}"#));
        let (known, said) = recorded.and(later).known();
        assert!(known.is_empty());
        assert!(said.unwrap().starts_with("what p.safetensors was trained on cannot be read"));
        assert_eq!(Training::NotRecorded.known(), (TrainedOn::default(), None));
    }
}
