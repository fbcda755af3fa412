//! The scores of an evaluation's pictures: by inference as everywhere, or picture by picture with the model's
//! attention.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use dqa_model::{Explainer, Explanation, Options, Prepared, Scorer, ViewMode, Views};
use dqa_pipelines::store::StoreResolver;
use dqa_pipelines::study::{Evaluation, PooledScores};
use dqa_pipelines::tables::evaluations::EvaluationRow;
use tokio::runtime::Handle;

use super::window_contrast::deviations;
use super::{EvaluateError, Evaluator};
use crate::decode::{self, Limits, PictureError};
use crate::fetch::{self, FetchedPicture};
use crate::inference::{self, PictureOutcome};
use crate::train::TrainingResources;

/// An evaluation with the model and the resources that it runs with.
pub(super) struct EvaluationRun<'a> {
    pub(super) evaluator: &'a Evaluator,
    pub(super) evaluation: &'a Evaluation,
    /// The evaluation's name.
    pub(super) name: String,
    pub(super) runtime: &'a Handle,
    pub(super) resources: &'a TrainingResources,
}

/// A picture in flight, with the deviation of luma in each of its windows once it is decoded.
struct Source {
    fetched: FetchedPicture,
    deviations: RefCell<Vec<f64>>,
}

impl EvaluationRun<'_> {
    /// Scores by inference. The device's time is divided by the number of windows.
    pub(super) fn score(
        &self,
        scorer: &Arc<Scorer>,
        each: &mut dyn FnMut(usize),
    ) -> Result<Vec<EvaluationRow>, EvaluateError> {
        let (settings, views) = (&self.resources.settings, scorer.views());
        let sources = self.files().map(|fetched| Source { fetched, deviations: RefCell::default() });
        let fetch = |source: &Source| {
            let bytes = source.fetched.take()?;
            let limits = Limits { side_min: views.side_min(), ..settings.limits.clone() };
            *source.deviations.borrow_mut() = deviations(&decode::decode(&bytes, &limits)?, views);
            Ok(bytes)
        };
        let mut rows = Vec::with_capacity(self.evaluation.pictures.len());
        let mut failed = None;
        let report =
            inference::run(scorer, settings, sources, fetch, |source, PictureOutcome { score, .. }| match score {
                _ if self.resources.stop.is_stopped() => {
                    failed = Some(EvaluateError::Stopped);
                    ControlFlow::Break(())
                }
                Ok(score) => {
                    let pooled = PooledScores::compute(&score.windows, &source.deviations.borrow(), None);
                    rows.push(self.row(source.fetched.index, &pooled, score.windows.len()));
                    each(rows.len());
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failed = Some(self.failed(source.fetched.index, error));
                    ControlFlow::Break(())
                }
            })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let seconds_per_window = report.device.as_secs_f64() / report.windows.max(1) as f64;
        rows.iter_mut().for_each(|row| row.seconds = seconds_per_window * row.windows as f64);
        Ok(rows)
    }

    /// Scores with attention, in Candle's own operations, one picture after the other.
    pub(super) fn score_with_attention(
        &self,
        options: &Options,
        each: &mut dyn FnMut(usize),
    ) -> Result<Vec<EvaluationRow>, EvaluateError> {
        let explainer = Explainer::new(&self.evaluator.weights, &self.evaluator.prompts, options)?;
        let views = &options.views;
        let limits = Limits { side_min: views.side_min(), ..self.resources.settings.limits.clone() };
        let mut rows = Vec::with_capacity(self.evaluation.pictures.len());
        for fetched in self.files() {
            if self.resources.stop.is_stopped() {
                return Err(EvaluateError::Stopped);
            }
            let decoded = fetched.take().and_then(|bytes| decode::decode(&bytes, &limits));
            let picture = decoded.map_err(|source| self.failed(fetched.index, source))?;
            let deviations = deviations(&picture, views);
            let prepared = Prepared::new(picture, views).expect("the limits leave room for a window");
            let started = Instant::now();
            let explained = explainer.explain(&prepared, |_| ())?;
            let seconds = started.elapsed().as_secs_f64();
            let scores = &explained.score.windows;
            let pooled = PooledScores::compute(scores, &deviations, Some(&attention(&explained, views)));
            rows.push(EvaluationRow { seconds, ..self.row(fetched.index, &pooled, scores.len()) });
            each(rows.len());
        }
        Ok(rows)
    }

    fn files(&self) -> impl Iterator<Item = FetchedPicture> + Send + use<> {
        let files = self.evaluation.pictures.iter().map(|picture| (picture.uri.clone(), picture.bytes)).collect();
        fetch::read_pictures(&Arc::new(StoreResolver::default()), files, &self.resources.settings.limits, self.runtime)
    }

    fn failed(&self, index: usize, source: PictureError) -> EvaluateError {
        let (image, views) = (self.evaluation.pictures[index].image.clone(), self.evaluation.views.clone());
        EvaluateError::Picture { image, views, source: Box::new(source) }
    }

    /// Returns a picture's row without its time.
    fn row(&self, index: usize, pooled: &PooledScores, windows: usize) -> EvaluationRow {
        let Evaluation { evaluator, dataset, views, pictures, .. } = self.evaluation;
        let picture = &pictures[index];
        EvaluationRow {
            evaluation: self.name.clone(),
            judge: evaluator.clone(),
            dataset: dataset.to_string(),
            views: views.clone(),
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
            attention: pooled.attention,
            seconds: 0.0,
        }
    }
}

/// Returns for each window the share of the class token's attention through all layers that falls on it. With global
/// views the whole picture is the only window.
fn attention(explained: &Explanation, views: &Views) -> Vec<f64> {
    let on_window = |look: &dqa_model::WindowAttention| look.rollout.window.iter().copied().map(f64::from).sum();
    match views.sees {
        ViewMode::Global => vec![1.0; explained.windows.len()],
        _ => explained.windows.iter().map(on_window).collect(),
    }
}
