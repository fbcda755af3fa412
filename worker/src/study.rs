//! Tests that a study asks for: a trained model, or one that has learned nothing, on some pictures, with its cost. What to
//! test is decided elsewhere.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use dqa_model::{
    Arithmetic, ClipWeights, ModelError, Options, PromptMode, Prompts, PromptsError, Rgb8, Scorer, Sees, Views,
    ViewsError, WeightsError,
};
use dqa_pipelines::place::{Addresses, Place, PlaceError};
use dqa_pipelines::study::{Evaluation, Pooled, evaluation_key};
use dqa_pipelines::tables::evaluations::{self, EvaluationRow};
use dqa_pipelines::tables::parquet_file;
use dqa_pipelines::tune::{TrialPicture, TrialRecord, Tune, trial_key};
use tokio::runtime::Handle;

use crate::decode::{self, Limits, PictureError};
use crate::engine::{self, Outcome};
use crate::shard::fetch::{self, Fetched};
use crate::tune::{Machine, Start};

/// A model that is tested.
pub struct Judge {
    weights: ClipWeights,
    prompts: PromptMode,
}

/// Why there is no test.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The store failed.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// What a trial learned cannot be kept here to be read.
    #[error("cannot write to the folder of temporary files")]
    Temporary(#[from] std::io::Error),
    /// A trial's weights are none.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A trial's prompts are none.
    #[error(transparent)]
    Prompts(#[from] PromptsError),
    /// The test's views are none.
    #[error("the views `{views}` mean nothing")]
    Views {
        /// As asked for.
        views: String,
        /// Why.
        #[source]
        source: ViewsError,
    },
    /// The model cannot be built, or fails.
    #[error("the model failed")]
    Model(#[from] ModelError),
    /// A picture has no score: the test would be of others than it says.
    #[error("{image} has no score in the test with {views}")]
    Picture {
        /// Which.
        image: String,
        /// How it was looked at.
        views: String,
        /// Why.
        #[source]
        source: Box<PictureError>,
    },
}

impl Judge {
    /// The model as it is before it learns, with the plain sentences.
    pub fn handcrafted(start: &Start) -> Judge {
        Judge { weights: start.weights().clone(), prompts: PromptMode::Handcrafted }
    }

    /// What a complete trial that began with `start` has learned.
    ///
    /// # Errors
    /// Where the store lacks it.
    pub async fn of_trial(record: &TrialRecord, start: &Start, store: &Place) -> Result<Judge, EvaluateError> {
        // Weights and prompts are read from files, whatever kind of store they lie in.
        let folder = tempfile::tempdir()?;
        let weights = if record.setup.tune == Tune::All {
            for file in ["config.json", "model.safetensors"] {
                copy(store, &trial_key(&record.name, file), &folder.path().join(file)).await?;
            }
            // Mapped: the files go when the model does.
            ClipWeights::open(folder.path())?
        } else {
            start.weights().clone()
        };
        let config = weights.config();
        let prompts = if record.setup.depths(config.text.layers, config.vision.layers) == (0, 0) {
            PromptMode::Handcrafted
        } else {
            let file = folder.path().join("prompts.safetensors");
            copy(store, &trial_key(&record.name, "prompts.safetensors"), &file).await?;
            PromptMode::Learned(Prompts::open(&file, config)?)
        };
        Ok(Judge { weights, prompts })
    }

    /// Makes a test and writes it to the store. Blocks: it belongs on a thread of its own; `runtime` does its reading and
    /// writing. `each` is told how many pictures are done.
    ///
    /// # Errors
    /// Every [`EvaluateError`]; nothing is written then.
    pub fn evaluate(
        &self,
        evaluation: &Evaluation,
        (store, runtime): (&Place, &Handle),
        machine: &Machine,
        each: &mut dyn FnMut(usize),
    ) -> Result<(), EvaluateError> {
        let wrong = |source| EvaluateError::Views { views: evaluation.views.clone(), source };
        let views: Views = evaluation.views.parse().map_err(wrong)?;
        let (device, arithmetic) = (machine.device.clone(), Arithmetic::F32);
        let options = Options { views, arithmetic, device, ..Options::default() };
        let scorer = Arc::new(Scorer::new(&self.weights, &self.prompts, &options)?);
        let rows = score(&scorer, evaluation, runtime, machine, each)?;
        let facts =
            [("dqa.device", machine.device_name.clone()), ("dqa.fingerprint", scorer.fingerprint().to_string())];
        let file = parquet_file::write(&evaluations::SCHEMA, &[evaluations::to_batch(&rows)], &facts);
        let file = file.expect("memory takes what is made to the schema");
        Ok(runtime.block_on(store.put(&evaluation_key(&evaluation.name()), file))?)
    }
}

async fn copy(store: &Place, key: &str, file: &Path) -> Result<(), EvaluateError> {
    Ok(std::fs::write(file, store.get(key).await?)?)
}

/// A picture on its way, with the deviation of luma in each of its windows once it is read.
struct Looked {
    fetched: Fetched,
    deviations: RefCell<Vec<f64>>,
}

fn score(
    scorer: &Arc<Scorer>,
    evaluation: &Evaluation,
    runtime: &Handle,
    machine: &Machine,
    each: &mut dyn FnMut(usize),
) -> Result<Vec<EvaluationRow>, EvaluateError> {
    let (limits, views) = (&machine.settings.limits, scorer.views());
    let wanted = evaluation.pictures.iter().map(|picture| (picture.uri.clone(), picture.bytes)).collect();
    let sources = fetch::ahead(&Arc::new(Addresses::default()), wanted, limits, runtime)
        .map(|fetched| Looked { fetched, deviations: RefCell::default() });
    let fetch = |looked: &Looked| {
        let bytes = looked.fetched.take()?;
        *looked.deviations.borrow_mut() = deviations(&bytes, views, limits)?;
        Ok(bytes)
    };
    let mut rows = Vec::with_capacity(evaluation.pictures.len());
    let mut failed = None;
    let name = evaluation.name();
    let report = engine::run(scorer, &machine.settings, sources, fetch, |looked, Outcome { score, .. }| {
        let picture = &evaluation.pictures[looked.fetched.place];
        match score {
            Ok(score) => {
                let pooled = Pooled::of(&score.windows, &looked.deviations.borrow());
                rows.push(row((&name, evaluation), picture, &pooled, score.windows.len()));
                each(rows.len());
                ControlFlow::Continue(())
            }
            Err(source) => {
                failed = Some((picture.image.clone(), source));
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some((image, source)) = failed {
        let views = evaluation.views.clone();
        return Err(EvaluateError::Picture { image, views, source: Box::new(source) });
    }
    let a_window = report.device.as_secs_f64() / report.windows.max(1) as f64;
    rows.iter_mut().for_each(|row| row.seconds = a_window * row.windows as f64);
    Ok(rows)
}

fn row(
    (name, evaluation): (&str, &Evaluation),
    picture: &TrialPicture,
    pooled: &Pooled,
    windows: usize,
) -> EvaluationRow {
    EvaluationRow {
        evaluation: name.to_owned(),
        judge: evaluation.judge.clone(),
        dataset: evaluation.dataset.to_string(),
        views: evaluation.views.clone(),
        algorithm: picture.algorithm.to_string(),
        scene: picture.scene.clone(),
        image: picture.image.clone(),
        mos: picture.mos,
        target: f64::from(picture.target),
        windows: windows as u64,
        mean: pooled.mean,
        median: pooled.median,
        lowest_quarter: pooled.lowest_quarter,
        contrast: pooled.contrast,
        spread: pooled.spread,
        seconds: 0.0, // known when all are scored
    }
}

/// Standard deviation of luma in each window of a file's picture.
fn deviations(bytes: &[u8], views: &Views, limits: &Limits) -> Result<Vec<f64>, PictureError> {
    let picture = decode::decode(bytes, &Limits { side_min: views.side_min(), ..limits.clone() })?;
    let (width, height) = (picture.width(), picture.height());
    let size = if views.sees == Sees::Global { (width, height) } else { (views.window, views.window) };
    Ok(views.origins(width, height).iter().map(|origin| deviation(&picture, (origin.x, origin.y), size)).collect())
}

fn deviation(picture: &Rgb8, (x, y): (u32, u32), (width, height): (u32, u32)) -> f64 {
    let (mut sum, mut squares) = (0.0, 0.0);
    for row in y..y + height {
        let start = (row as usize * picture.width() as usize + x as usize) * Rgb8::CHANNELS;
        for pixel in picture.pixels()[start..][..width as usize * Rgb8::CHANNELS].chunks_exact(Rgb8::CHANNELS) {
            // BT.601, as Pillow's `convert("L")`.
            let luma = 0.299 * f64::from(pixel[0]) + 0.587 * f64::from(pixel[1]) + 0.114 * f64::from(pixel[2]);
            sum += luma;
            squares += luma * luma;
        }
    }
    let n = f64::from(width) * f64::from(height);
    (squares / n - (sum / n).powi(2)).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_windows_deviation_is_that_of_its_own_pixels() {
        // Left half black, right half columns of black and white.
        let pixel = |x: u32| if x >= 4 && x.is_multiple_of(2) { [255; 3] } else { [0; 3] };
        let picture = Rgb8::new(8, 2, (0..16).flat_map(|at| pixel(at % 8)).collect());
        assert_eq!(deviation(&picture, (0, 0), (4, 2)), 0.0);
        assert!((deviation(&picture, (4, 0), (4, 2)) - 127.5).abs() < 1e-6);
        assert!((deviation(&picture, (2, 0), (4, 1)) - 255.0 * (3.0f64 / 16.0).sqrt()).abs() < 1e-6);
    }
}
