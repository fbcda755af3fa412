//! Scores of a test's pictures: by the engine, as everywhere; or with the attention that they come from.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use dqa_model::{Explained, Explainer, Options, Prepared, Scorer, ViewMode, Views};
use dqa_pipelines::store::StoreResolver;
use dqa_pipelines::study::{Evaluation, Pooled};
use dqa_pipelines::tables::evaluations::EvaluationRow;
use tokio::runtime::Handle;

use super::luma::deviations;
use super::{EvaluateError, Evaluator};
use crate::decode::{self, Limits, PictureError};
use crate::fetch::{self, Fetched};
use crate::inference::{self, Outcome};
use crate::train::TrainingResources;

/// A test with what it runs on.
pub(super) struct Test<'a> {
    pub(super) judge: &'a Evaluator,
    pub(super) evaluation: &'a Evaluation,
    /// The evaluation's.
    pub(super) name: String,
    pub(super) runtime: &'a Handle,
    pub(super) resources: &'a TrainingResources,
}

/// A picture on its way, with the deviation of luma in each of its windows once it is read.
struct Looked {
    fetched: Fetched,
    deviations: RefCell<Vec<f64>>,
}

impl Test<'_> {
    /// By the engine. The device's time is shared by windows.
    pub(super) fn score(
        &self,
        scorer: &Arc<Scorer>,
        each: &mut dyn FnMut(usize),
    ) -> Result<Vec<EvaluationRow>, EvaluateError> {
        let (settings, views) = (&self.resources.settings, scorer.views());
        let sources = self.files().map(|fetched| Looked { fetched, deviations: RefCell::default() });
        let fetch = |looked: &Looked| {
            let bytes = looked.fetched.take()?;
            let limits = Limits { side_min: views.side_min(), ..settings.limits.clone() };
            *looked.deviations.borrow_mut() = deviations(&decode::decode(&bytes, &limits)?, views);
            Ok(bytes)
        };
        let mut rows = Vec::with_capacity(self.evaluation.pictures.len());
        let mut failed = None;
        let report = inference::run(scorer, settings, sources, fetch, |looked, Outcome { score, .. }| match score {
            Ok(score) => {
                let pooled = Pooled::of(&score.windows, &looked.deviations.borrow(), None);
                rows.push(self.row(looked.fetched.place, &pooled, score.windows.len()));
                each(rows.len());
                ControlFlow::Continue(())
            }
            Err(source) => {
                failed = Some(self.failed(looked.fetched.place, source));
                ControlFlow::Break(())
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let a_window = report.device.as_secs_f64() / report.windows.max(1) as f64;
        rows.iter_mut().for_each(|row| row.seconds = a_window * row.windows as f64);
        Ok(rows)
    }

    /// With attention, in plain operations, one picture after the other.
    pub(super) fn look(
        &self,
        options: &Options,
        each: &mut dyn FnMut(usize),
    ) -> Result<Vec<EvaluationRow>, EvaluateError> {
        let explainer = Explainer::new(&self.judge.weights, &self.judge.prompts, options)?;
        let views = &options.views;
        let limits = Limits { side_min: views.side_min(), ..self.resources.settings.limits.clone() };
        let mut rows = Vec::with_capacity(self.evaluation.pictures.len());
        for fetched in self.files() {
            let decoded = fetched.take().and_then(|bytes| decode::decode(&bytes, &limits));
            let picture = decoded.map_err(|source| self.failed(fetched.place, source))?;
            let deviations = deviations(&picture, views);
            let prepared = Prepared::new(picture, views).expect("the limits leave room for a window");
            let started = Instant::now();
            let explained = explainer.explain(&prepared, |_| ())?;
            let seconds = started.elapsed().as_secs_f64();
            let scores = &explained.score.windows;
            let pooled = Pooled::of(scores, &deviations, Some(&attention(&explained, views)));
            rows.push(EvaluationRow { seconds, ..self.row(fetched.place, &pooled, scores.len()) });
            each(rows.len());
        }
        Ok(rows)
    }

    fn files(&self) -> impl Iterator<Item = Fetched> + Send + use<> {
        let wanted = self.evaluation.pictures.iter().map(|picture| (picture.uri.clone(), picture.bytes)).collect();
        fetch::ahead(&Arc::new(StoreResolver::default()), wanted, &self.resources.settings.limits, self.runtime)
    }

    fn failed(&self, place: usize, source: PictureError) -> EvaluateError {
        let (image, views) = (self.evaluation.pictures[place].image.clone(), self.evaluation.views.clone());
        EvaluateError::Picture { image, views, source: Box::new(source) }
    }

    /// Without its time.
    fn row(&self, place: usize, pooled: &Pooled, windows: usize) -> EvaluationRow {
        let Evaluation { judge, dataset, views, pictures, .. } = self.evaluation;
        let picture = &pictures[place];
        EvaluationRow {
            evaluation: self.name.clone(),
            judge: judge.clone(),
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

/// By window: how much of what the class token sees through all layers is the window. Where there are no windows, the whole
/// is the only one.
fn attention(explained: &Explained, views: &Views) -> Vec<f64> {
    let on_window = |look: &dqa_model::WindowLook| look.rollout.window.iter().copied().map(f64::from).sum();
    match views.sees {
        ViewMode::Global => vec![1.0; explained.windows.len()],
        _ => explained.windows.iter().map(on_window).collect(),
    }
}
