//! Scores of pictures under a training's state: by the ordinary scorer, over all windows, as any other program would
//! have them.

use std::ops::ControlFlow;
use std::sync::Arc;

use dqa_model::{Arithmetic, ClipWeights, Options, PromptMode, Scorer, Views};
use dqa_pipelines::train::{Measures, Trial, TrialPicture};
use tokio::runtime::Handle;

use super::pictures::Pictures;
use super::{TrainError, TrainingEvent, TrainingResources};
use crate::decode::PictureError;
use crate::fetch::{self, FetchedPicture};
use crate::inference::{self, PictureOutcome};

/// The model's score of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prediction {
    pub(super) score: f64,
    pub(super) windows: u64,
}

/// Scores a trial's pictures.
#[derive(Clone, Copy)]
pub(super) struct Predictor<'a> {
    pub(super) trial: &'a Trial,
    pub(super) pictures: &'a Pictures,
    pub(super) resources: &'a TrainingResources,
    pub(super) views: Views,
    pub(super) runtime: &'a Handle,
}

impl Predictor<'_> {
    /// Returns the scorer of a state.
    pub(super) fn scorer(&self, weights: &ClipWeights, prompts: &PromptMode) -> Result<Arc<Scorer>, TrainError> {
        let device = self.resources.device.clone();
        let options = Options { views: self.views, arithmetic: Arithmetic::F32, device, ..Options::default() };
        Ok(Arc::new(Scorer::new(weights, prompts, &options)?))
    }

    /// Returns the score of each picture after an epoch, in the pictures' order.
    pub(super) fn predict(
        &self,
        scorer: &Arc<Scorer>,
        (pictures, epoch): (&[TrialPicture], u32),
        each: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<Vec<Prediction>, TrainError> {
        let files = pictures.iter().map(|picture| (picture.uri.clone(), picture.bytes)).collect();
        let sources = fetch::read_pictures(self.pictures.resolver(), files, self.pictures.limits(), self.runtime);
        let mut scored = Vec::with_capacity(pictures.len());
        let mut failed = None;
        let settings = &self.resources.settings;
        inference::run(scorer, settings, sources, FetchedPicture::take, |fetched, PictureOutcome { score, .. }| {
            if let Err(stopped) = self.resources.check_stop() {
                failed = Some(stopped);
                return ControlFlow::Break(());
            }
            match score {
                Ok(score) => {
                    scored.push(Prediction { score: score.score, windows: score.windows.len() as u64 });
                    each(TrainingEvent::Testing { done: scored.len() as u64, pictures: pictures.len() as u64 });
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    let image = &pictures[fetched.index].image;
                    failed = Some(match error {
                        PictureError::NotFinite => TrainError::NoScore { epoch, image: image.clone() },
                        error => TrainError::unreadable(self.trial, image, error),
                    });
                    ControlFlow::Break(())
                }
            }
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(scored),
        }
    }
}

/// Returns how the scores of pictures agree with their labels.
pub(super) fn measures(pictures: &[TrialPicture], predictions: &[Prediction]) -> Measures {
    let scores: Vec<f64> = predictions.iter().map(|prediction| prediction.score).collect();
    let targets: Vec<f64> = pictures.iter().map(|picture| f64::from(picture.target)).collect();
    Measures::compute(&scores, &targets)
}
