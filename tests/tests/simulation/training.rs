//! Trainings by a formula: each epoch takes a while and leaves a checkpoint, and what is learned follows from the trial's name. The
//! records and checkpoints are written as the product writes them.

use std::collections::BTreeMap;
use std::time::Duration;

use dqa_pipelines::picture_limits::PictureLimits;
use dqa_pipelines::store::Store;
use dqa_pipelines::study::{Evaluation, Study, StudyDefinition, evaluation_key};
use dqa_pipelines::tables::evaluations::EvaluationRow;
use dqa_pipelines::tables::predictions::{self, PREDICTIONS, PredictionRow};
use dqa_pipelines::tables::{evaluations, parquet_file};
use dqa_pipelines::train::{
    KeptEpoch, Measures, ModelRef, Trial, TrialPicture, TrialRecord, TrialRecordError, TrialState,
};
use dqa_pipelines::trained_on::TrainedOn;
use dqa_pipelines::training::{TrainingModel, TrainingRequest, TrainingWork};

use super::scoring::formula;

/// The trainings that users of a simulation ask for.
const STUDY: &str = "\
title = \"What is learned?\"
models = [\"dqa:small\"]
splits = 2
[base]
epochs = 3
[[variant]]
name = \"plain\"
train = false
[[variant]]
name = \"text\"
set.tune = \"text\"
[[variant]]
name = \"prompts\"
views = \"grid=2\"
";

/// Returns a request for a study of data sets.
pub(super) fn request(name: &str, datasets: &[String]) -> TrainingRequest {
    let Ok(Study::Trainings(definition)) = Study::parse(STUDY, "the simulation's study") else {
        panic!("the simulation's study trains")
    };
    let definition = Box::new(StudyDefinition { datasets: datasets.to_vec(), ..definition });
    let model = ModelRef { name: "dqa:small".to_owned(), digest: "0".repeat(64), prompts: None };
    TrainingRequest {
        work: TrainingWork::Study { name: name.parse().expect("a run's name"), definition },
        splits: Vec::new(),
        models: vec![TrainingModel { model, seed: 0, weights: Vec::new(), prompts: None }],
        limits: PictureLimits::default(),
        provenance: Vec::new(),
    }
}

/// An attempt at a trial.
pub(super) struct TrialAttempt {
    record: TrialRecord,
    trial: Trial,
    epochs_done: u32,
}

impl TrialAttempt {
    /// Takes the trial. None if it is complete.
    pub(super) async fn begin(
        store: &Store,
        trial: Trial,
        attempt: u64,
    ) -> Result<Option<TrialAttempt>, TrialRecordError> {
        let found = TrialRecord::find(store, &trial.name()).await?;
        if found.as_ref().is_some_and(TrialRecord::is_complete) {
            return Ok(None);
        }
        let new = || TrialRecord::new(&trial, 1, TrainedOn::default(), BTreeMap::new());
        let mut record = found.unwrap_or_else(new);
        record.claim(store, Some(attempt)).await?;
        let epochs_done = match store.get(&checkpoint(&trial)).await {
            Err(error) if error.is_not_found() => 0,
            bytes => String::from_utf8_lossy(&bytes?).parse().expect("a checkpoint is whole"),
        };
        Ok(Some(TrialAttempt { record, trial, epochs_done }))
    }

    pub(super) fn is_over(&self) -> bool {
        self.epochs_done == self.trial.setup.epochs
    }

    /// Writes the checkpoint of an epoch.
    pub(super) async fn end_epoch(&mut self, store: &Store) -> Result<(), TrialRecordError> {
        self.record.check_claim(store).await?;
        self.epochs_done += 1;
        Ok(store.put(&checkpoint(&self.trial), self.epochs_done.to_string().into()).await?)
    }

    /// Writes what was learned, then the record.
    pub(super) async fn complete(mut self, store: &Store) -> Result<(), TrialRecordError> {
        self.record.check_claim(store).await?;
        let name = self.record.name.clone();
        let row = |picture: &TrialPicture| PredictionRow {
            trial: name.clone(),
            algorithm: picture.algorithm.to_string(),
            scene: picture.scene.clone(),
            image: picture.image.clone(),
            mos: picture.mos,
            target: f64::from(picture.target),
            score: formula(&picture.image, &picture.version, &name),
            windows: 1,
            epoch: self.epochs_done,
            select: self.trial.setup.select.to_string(),
        };
        let rows: Vec<PredictionRow> = self.trial.test.iter().map(row).collect();
        let file = parquet_file::write(&predictions::SCHEMA, &[predictions::to_batch(&rows)], &[]);
        store.put(&self.trial.key(&format!("{PREDICTIONS}.parquet")), file.expect("memory takes it")).await?;
        self.record.check_claim(store).await?;
        let measures = Measures::default();
        let (epoch, loss) = (self.epochs_done, 0.0);
        self.record.kept = Some(KeptEpoch { epoch, loss, train: measures, validation: None, test: Some(measures) });
        self.record.state = TrialState::Complete;
        self.record.write(store).await?;
        Ok(store.delete(&checkpoint(&self.trial)).await?)
    }
}

/// What an epoch takes at most.
pub(super) const EPOCH_MAX: Duration = Duration::from_secs(6);

fn checkpoint(trial: &Trial) -> String {
    trial.key("checkpoint.safetensors")
}

/// Writes the scores of a test.
pub(super) async fn evaluate(store: &Store, evaluation: &Evaluation) -> Result<(), TrialRecordError> {
    let name = evaluation.name();
    let row = |picture: &TrialPicture| {
        let score = formula(&picture.image, &picture.version, &name);
        EvaluationRow {
            evaluation: name.clone(),
            judge: evaluation.evaluator.clone(),
            dataset: evaluation.dataset.to_string(),
            views: evaluation.views.clone(),
            algorithm: picture.algorithm.to_string(),
            scene: picture.scene.clone(),
            image: picture.image.clone(),
            mos: picture.mos,
            target: f64::from(picture.target),
            windows: 1,
            mean: score,
            median: score,
            lowest_quarter: score,
            contrast: score,
            spread: score,
            attention: None,
            seconds: 1.0,
        }
    };
    let rows: Vec<EvaluationRow> = evaluation.pictures.iter().map(row).collect();
    let file = parquet_file::write(&evaluations::SCHEMA, &[evaluations::to_batch(&rows)], &[]);
    Ok(store.put(&evaluation_key(&name), file.expect("memory takes it")).await?)
}
