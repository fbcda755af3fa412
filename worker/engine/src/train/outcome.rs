//! What comes of a training: the kept state as files, its test, its record. And how a state is tested: by the ordinary
//! scorer, over all windows.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use dqa_model::{Arithmetic, ClipWeights, Options, PromptMode, Scorer, with_metadata};
use dqa_pipelines::tables::epochs::{self, EPOCHS};
use dqa_pipelines::tables::parquet_file;
use dqa_pipelines::tables::predictions::{self, PREDICTIONS, PredictionRow};
use dqa_pipelines::train::{Kept, Measures, Select, TrialPicture, TrialRecord, TrialState, WeightsDtype};
use dqa_pipelines::trained_on::METADATA_KEY;
use jiff::Timestamp;

use super::checkpoint::CHECKPOINT;
use super::training::{Training, unreadable};
use super::{BaseModelError, Event, TrainError, TrainingResources};
use crate::decode::PictureError;
use crate::fetch::{self, Fetched};
use crate::inference::{self, Outcome};
use crate::provenance::host;

/// What a model says of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prediction {
    pub(super) score: f64,
    pub(super) windows: u64,
}

/// The scorer of a state, as any other program would have it.
pub(super) fn scorer(
    training: &Training<'_>,
    weights: &ClipWeights,
    prompts: &PromptMode,
) -> Result<Arc<Scorer>, TrainError> {
    let device = training.runner.resources.device.clone();
    let options = Options { views: training.views, arithmetic: Arithmetic::F32, device, ..Options::default() };
    Ok(Arc::new(Scorer::new(weights, prompts, &options)?))
}

/// The score of each picture after an epoch, in their order.
pub(super) fn predict(
    training: &Training<'_>,
    scorer: &Arc<Scorer>,
    (pictures, epoch): (&[TrialPicture], u32),
    each: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<Prediction>, TrainError> {
    let known = &training.runner.pictures;
    let wanted = pictures.iter().map(|picture| (picture.uri.clone(), picture.bytes)).collect();
    let sources = fetch::ahead(known.addresses(), wanted, known.limits(), training.runtime);
    let mut scored = Vec::with_capacity(pictures.len());
    let mut failed = None;
    let settings = &training.runner.resources.settings;
    inference::run(scorer, settings, sources, Fetched::take, |fetched, Outcome { score, .. }| match score {
        Ok(score) => {
            scored.push(Prediction { score: score.score, windows: score.windows.len() as u64 });
            each(Event::Testing { done: scored.len() as u64, pictures: pictures.len() as u64 });
            ControlFlow::Continue(())
        }
        Err(error) => {
            let image = &pictures[fetched.place].image;
            failed = Some(match error {
                PictureError::NotFinite => TrainError::NoScore { epoch, image: image.clone() },
                error => unreadable(training.trial, image, error),
            });
            ControlFlow::Break(())
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(scored),
    }
}

/// How the scores of pictures agree with their labels.
pub(super) fn measures(pictures: &[TrialPicture], predictions: &[Prediction]) -> Measures {
    let scores: Vec<f64> = predictions.iter().map(|prediction| prediction.score).collect();
    let targets: Vec<f64> = pictures.iter().map(|picture| f64::from(picture.target)).collect();
    Measures::of(&scores, &targets)
}

/// Writes the kept state, its test and the epochs; then the record, which completes the trial. `last` is what the held-out
/// pictures got after the last epoch, if that is known.
pub(super) fn write(
    mut training: Training<'_>,
    last: Option<Vec<Prediction>>,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<TrialRecord, TrainError> {
    let trial = training.trial;
    let epochs = trial.setup.epochs;
    let best = training.history.best.take();
    let epoch = best.as_ref().map_or(epochs, |best| best.epoch);
    if let Some(best) = best.filter(|best| best.epoch != epochs) {
        training.trainer.restore(&best.state).map_err(TrainError::Tune)?;
    }
    let (weights, prompts) = kept(&training);
    // After the last epoch the test's pictures were scored, unless others select or the weights were rounded since.
    let same = epoch == epochs && trial.setup.select != Select::BestOnValidation && !is_rounded(&training);
    let scored = match last.filter(|_| same) {
        Some(scored) => scored,
        None if trial.test.is_empty() => Vec::new(),
        None => predict(&training, &scorer(&training, &weights, &prompts)?, (&trial.test, epoch), each)?,
    };
    write_files(&training, (&weights, &prompts), epoch, &scored)?;
    let row = &training.history.epochs[epoch as usize - 1];
    let of_row = |n, srcc, plcc, krcc, rmse| Measures { n, srcc, plcc, krcc, rmse };
    let validation =
        of_row(trial.validation.len(), row.held_out_srcc, row.held_out_plcc, row.held_out_krcc, row.held_out_rmse);
    let kept = Kept {
        epoch,
        loss: row.loss,
        train: of_row(trial.train.len(), row.train_srcc, row.train_plcc, row.train_krcc, Some(row.loss.sqrt())),
        validation: (trial.setup.select == Select::BestOnValidation).then_some(validation),
        test: (!trial.test.is_empty()).then(|| measures(&trial.test, &scored)),
    };
    let mut record = training.record;
    record.kept = Some(kept);
    record.state = TrialState::Complete;
    record.updated = Timestamp::now();
    let store = training.store;
    training.runtime.block_on(async {
        record.write(store).await?;
        // Three times what learns, and of no use any more.
        store.delete(&trial.key(CHECKPOINT)).await?;
        // As whoever asks later has it: JSON keeps a number to within its last digit.
        Ok(TrialRecord::find(store, &record.name).await?.expect("it was written"))
    })
}

fn is_rounded(training: &Training<'_>) -> bool {
    let setup = &training.trial.setup;
    setup.tune.changes_weights() && setup.weights_dtype != WeightsDtype::F32
}

/// Weights and prompts as they are written, so that the test is of what is kept.
fn kept(training: &Training<'_>) -> (ClipWeights, PromptMode) {
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

/// Who trains, on what.
pub(super) fn provenance(resources: &TrainingResources) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("dqa".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("host".to_owned(), host()),
        ("device".to_owned(), resources.device_name.clone()),
        ("command".to_owned(), crate::provenance::command_line()),
    ])
}
