//! The results of a finished training, written to the store: the kept state as files, its test, the epochs, the record.

use dqa_model::{Arithmetic, ClipWeights, PromptMode, with_metadata};
use dqa_pipelines::tables::epochs::{self, EPOCHS};
use dqa_pipelines::tables::parquet_file;
use dqa_pipelines::tables::predictions::{self, PREDICTIONS, PredictionRow};
use dqa_pipelines::train::{KeptEpoch, Measures, Select, TrialPicture, TrialRecord, TrialState, WeightsDtype};
use dqa_pipelines::trained_on::METADATA_KEY;
use jiff::Timestamp;

use super::checkpoint::CHECKPOINT;
use super::predictor::{Prediction, measures};
use super::training::Training;
use super::{BaseModelError, TrainError, TrainingEvent};

/// Writes the kept state, its test and the epochs of a training whose epochs are over; then the record, which completes
/// the trial.
pub(super) fn write(
    mut training: Training<'_>,
    each: &mut dyn FnMut(TrainingEvent<'_>),
) -> Result<TrialRecord, TrainError> {
    let last = training.last.take();
    let trial = training.trial;
    let epochs = trial.setup.epochs;
    let best = training.history.best.take();
    let epoch = best.as_ref().map_or(epochs, |best| best.epoch);
    if let Some(best) = best.filter(|best| best.epoch != epochs) {
        training.trainer.restore(&best.state).map_err(TrainError::Trainer)?;
    }
    let (weights, prompts) = kept_state(&training);
    // After the last epoch the test's pictures were scored already, unless other pictures select the epoch or the
    // weights were rounded since.
    let is_tested = epoch == epochs && trial.setup.select != Select::BestOnValidation && !is_rounded(&training);
    let scored = match last.filter(|_| is_tested) {
        Some(scored) => scored,
        None if trial.test.is_empty() => Vec::new(),
        None => {
            let predictor = training.predictor();
            predictor.predict(&predictor.scorer(&weights, &prompts)?, (&trial.test, epoch), each)?
        }
    };
    training.runtime.block_on(training.record.check_claim(training.store))?;
    write_files(&training, (&weights, &prompts), epoch, &scored)?;
    let kept = kept_epoch(&training, epoch, &scored);
    let mut record = training.record;
    record.kept = Some(kept);
    record.state = TrialState::Complete;
    record.updated = Timestamp::now();
    let store = training.store;
    training.runtime.block_on(async {
        record.check_claim(store).await?;
        record.write(store).await?;
        // The checkpoint is three times as large as the learned tensors, and no longer of use.
        store.delete(&trial.key(CHECKPOINT)).await?;
        // Read back, so that the caller has what later readers get: JSON keeps a number to within its last digit.
        Ok(TrialRecord::find(store, &record.name).await?.expect("it was written"))
    })
}

/// Returns what is recorded of the kept epoch.
fn kept_epoch(training: &Training<'_>, epoch: u32, scored: &[Prediction]) -> KeptEpoch {
    let trial = training.trial;
    let row = &training.history.epochs[epoch as usize - 1];
    let validation = Measures {
        n: trial.validation.len(),
        srcc: row.held_out_srcc,
        plcc: row.held_out_plcc,
        krcc: row.held_out_krcc,
        rmse: row.held_out_rmse,
    };
    let train = Measures {
        n: trial.train.len(),
        srcc: row.train_srcc,
        plcc: row.train_plcc,
        krcc: row.train_krcc,
        rmse: Some(row.loss.sqrt()),
    };
    KeptEpoch {
        epoch,
        loss: row.loss,
        train,
        validation: (trial.setup.select == Select::BestOnValidation).then_some(validation),
        test: (!trial.test.is_empty()).then(|| measures(&trial.test, scored)),
    }
}

/// Returns whether the weights are rounded when they are written.
fn is_rounded(training: &Training<'_>) -> bool {
    let setup = &training.trial.setup;
    setup.tune.changes_weights() && setup.weights_dtype != WeightsDtype::F32
}

/// Returns weights and prompts as they are written, so that the test is of what is kept.
fn kept_state(training: &Training<'_>) -> (ClipWeights, PromptMode) {
    let weights = training.trainer.weights();
    let weights = if is_rounded(training) { weights.rounded(Arithmetic::F16) } else { weights };
    (weights, training.trainer.prompts())
}

fn write_files(
    training: &Training<'_>,
    (weights, prompts): (&ClipWeights, &PromptMode),
    epoch: u32,
    scored: &[Prediction],
) -> Result<(), TrainError> {
    let Training { trial, store, runtime, history, record, .. } = training;
    let trained_on = record.trained_on.to_json();
    let recorded = |file| with_metadata(file, &[(METADATA_KEY, &trained_on)]);
    let mut files = Vec::new();
    if let PromptMode::Learned(prompts) = prompts {
        files.push(("prompts.safetensors".to_owned(), recorded(prompts.to_bytes().map_err(BaseModelError::from)?)));
    }
    if trial.setup.tune.changes_weights() {
        let dtype = match trial.setup.weights_dtype {
            WeightsDtype::F32 => Arithmetic::F32,
            WeightsDtype::F16 => Arithmetic::F16,
        };
        files.push(("config.json".to_owned(), weights.config().to_json().into_bytes()));
        files.push(("model.safetensors".to_owned(), recorded(weights.to_bytes(dtype))));
    }
    let row = |(picture, prediction): (&TrialPicture, &Prediction)| PredictionRow {
        trial: record.name.clone(),
        algorithm: picture.algorithm.to_string(),
        scene: picture.scene.clone(),
        image: picture.image.clone(),
        mos: picture.mos,
        target: f64::from(picture.target),
        score: prediction.score,
        windows: prediction.windows,
        epoch,
        select: trial.setup.select.to_string(),
    };
    let rows: Vec<PredictionRow> = trial.test.iter().zip(scored).map(row).collect();
    let facts = [("dqa.setup", trial.setup.to_toml()), ("dqa.model", trial.model.name.clone())];
    for (table, schema, batch) in [
        (EPOCHS, &epochs::SCHEMA, epochs::to_batch(&history.epochs)),
        (PREDICTIONS, &predictions::SCHEMA, predictions::to_batch(&rows)),
    ] {
        let file = parquet_file::write(schema, &[batch], &facts).expect("memory takes what is made to the schema");
        files.push((format!("{table}.parquet"), file.into()));
    }
    for (file, bytes) in files {
        runtime.block_on(store.put(&trial.key(&file), bytes.into()))?;
    }
    Ok(())
}
