//! Scores a picture: features of its windows against those of the two sentences, averaged. [`super::Batcher`] makes
//! batches of pictures.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::options::{KernelSet, Options};
use super::prepared::Prepared;
use crate::gpu::pipeline::{PipelineLease, PipelinePool};
use crate::picture::{INPUT_SIDE, Origin, ViewMode, Views};
use crate::tower::backend::BackendOptions;
use crate::tower::text::{normalise, text_features};
use crate::tower::visual::{VisualTower, VisualWeights, WindowTokens};
use crate::{ClipWeights, Fingerprint, ModelError, PromptMode};

/// CLIP-DQA ready to score: both towers' weights are folded, the sentences' features are computed.
pub struct Scorer {
    tower: Tower,
    /// (embed) each, of length 1: the features of the two sentences.
    bad: Vec<f32>,
    good: Vec<f32>,
    /// exp(logit_scale)
    scale: f64,
    views: Views,
    fingerprint: Fingerprint,
}

/// What computes the features of windows.
enum Tower {
    /// Tokens of windows are made on the CPU and pass the layers in batches.
    Tokens(Box<VisualTower>),
    /// Pixels are uploaded to the device, in batches of which several are in flight.
    Pipelines(Arc<dyn PipelinePool>),
}

/// The score of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureScore {
    /// Mean of the windows' scores: 0 is bad, 1 is good.
    pub score: f64,
    /// By window, in the order of [`Views::origins`].
    pub windows: Vec<f32>,
}

impl PictureScore {
    pub(crate) fn from_windows(windows: Vec<f32>) -> PictureScore {
        let score = windows.iter().map(|s| f64::from(*s)).sum::<f64>() / windows.len() as f64;
        PictureScore { score, windows }
    }
}

/// Returns the fingerprint of a [`Scorer`] with these arguments without making one. The device is not part of it.
pub fn model_fingerprint(
    weights: &ClipWeights,
    prompts: &PromptMode,
    options: &Options,
) -> Result<Fingerprint, ModelError> {
    let prompts_digest = match prompts {
        PromptMode::Learned(prompts) => prompts.digest()?.to_string(),
        PromptMode::Handcrafted => "handcrafted".to_string(),
    };
    Ok(Fingerprint::from_parts(&[
        ("weights", weights.digest().as_bytes()),
        ("prompts", prompts_digest.as_bytes()),
        ("views", options.views.to_string().as_bytes()),
        ("arithmetic", options.arithmetic.as_str().as_bytes()),
    ]))
}

impl Scorer {
    /// Reads all weights, and runs the text tower once.
    pub fn new(weights: &ClipWeights, prompts: &PromptMode, options: &Options) -> Result<Scorer, ModelError> {
        check_model(weights, prompts)?;
        let text = text_features(weights, prompts)?;
        let fingerprint = model_fingerprint(weights, prompts, options)?;
        let parts = VisualWeights::read(weights, prompts)?;
        let tower = match crate::gpu::pipelines(&parts, options)? {
            Some(pipelines) => Tower::Pipelines(pipelines),
            None => {
                let use_candle = options.kernels != KernelSet::Native;
                let backend_options =
                    BackendOptions { arithmetic: options.arithmetic, device: options.device.clone(), use_candle };
                Tower::Tokens(Box::new(VisualTower::new(parts, options.views.sees, &backend_options)?))
            }
        };
        Ok(Scorer {
            tower,
            bad: text.get(0)?.to_vec1()?,
            good: text.get(1)?.to_vec1()?,
            scale: f64::from(weights.get("logit_scale")?.to_scalar::<f32>()?).exp(),
            views: options.views,
            fingerprint,
        })
    }

    /// Returns the digest of all that determines the scores: equal fingerprints give equal scores, up to the device's
    /// rounding.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Returns the views that the scorer was made with.
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// Returns the L2-normalised features (embed) of "bad photo" and "good photo".
    pub fn text_features(&self) -> [&[f32]; 2] {
        [&self.bad, &self.good]
    }

    /// Returns the number of windows in a batch that fills the device.
    pub fn default_batch_size(&self) -> usize {
        match &self.tower {
            Tower::Tokens(tower) => tower.default_batch_size(),
            Tower::Pipelines(pipelines) => pipelines.default_batch_size(),
        }
    }

    /// Returns the L2-normalised features (embed) of each window of one picture.
    pub fn picture_features(&self, picture: &Prepared) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut features = Vec::new();
        match self.pipeline(self.default_batch_size())? {
            None => {
                let mut windows = Vec::new();
                self.tokens(picture, |window| {
                    windows.push(window);
                    Ok(())
                })?;
                features = self.tower().features(&windows)?.to_vec2()?;
            }
            Some(mut pipeline) => {
                let mut keep = |batch: Tensor| -> Result<(), ModelError> {
                    features.extend(batch.to_vec2()?);
                    Ok(())
                };
                self.submit_picture(pipeline.as_mut(), picture, &mut keep)?;
                self.finish(pipeline.as_mut(), &mut keep)?;
            }
        }
        Ok(features)
    }

    /// Returns a pipeline for batches of `windows` windows, or of fewer if the device has no memory for them; `None` if
    /// tokens are made on the CPU.
    pub(crate) fn pipeline(&self, windows: usize) -> Result<Option<Box<dyn PipelineLease>>, ModelError> {
        match &self.tower {
            Tower::Tokens(_) => Ok(None),
            Tower::Pipelines(pipelines) => Ok(Some(pipelines.clone().lease(windows)?)),
        }
    }

    /// Adds a picture's windows to a pipeline's batches, and submits the full ones. `each` gets the features (b,
    /// embed), of length 1, of finished batches in order.
    pub(crate) fn submit_picture(
        &self,
        pipeline: &mut dyn PipelineLease,
        picture: &Prepared,
        each: &mut impl FnMut(Tensor) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let mut done = 0;
        while done < picture.windows() {
            let origins = &picture.origins[done..picture.windows().min(done + pipeline.free_windows())];
            picture.with_windows(self.views.sees, origins, |windows| pipeline.add(windows))?;
            done += origins.len();
            if pipeline.free_windows() == 0 {
                pipeline.submit()?;
                while let Some(features) = pipeline.take_features(pipeline.is_full())? {
                    each(self.normalised(features)?)?;
                }
            }
        }
        Ok(())
    }

    /// Submits the pipeline's last batch, and waits for all that are in flight.
    pub(crate) fn finish(
        &self,
        pipeline: &mut dyn PipelineLease,
        each: &mut impl FnMut(Tensor) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        pipeline.submit()?;
        while let Some(features) = pipeline.take_features(true)? {
            each(self.normalised(features)?)?;
        }
        Ok(())
    }

    /// Normalises each row to length 1: (b embed) -> (b, embed).
    fn normalised(&self, features: Vec<f32>) -> candle_core::Result<Tensor> {
        let embed = self.bad.len();
        normalise(&Tensor::from_vec(features, ((), embed), &Device::Cpu)?)
    }

    /// Returns the scores of a batch of windows of any pictures.
    pub(crate) fn score(&self, batch: &[WindowTokens]) -> Result<Vec<f32>, ModelError> {
        self.scores(&self.tower().features(batch)?)
    }

    /// Returns the scores of features (b, embed) of length 1.
    pub(crate) fn scores(&self, features: &Tensor) -> Result<Vec<f32>, ModelError> {
        let features: Vec<Vec<f32>> = features.to_vec2()?;
        let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        // REFERENCE: the second column, "good photo", is the score. The second output of a softmax over two is a
        // logistic function of their difference.
        let score = |f: &Vec<f32>| 1.0 / (1.0 + (self.scale * (cosine(f, &self.bad) - cosine(f, &self.good))).exp());
        Ok(features.iter().map(|f| score(f) as f32).collect())
    }

    /// Returns the tower that makes tokens on the CPU.
    pub(crate) fn tower(&self) -> &VisualTower {
        match &self.tower {
            Tower::Tokens(tower) => tower,
            Tower::Pipelines(_) => unreachable!("a pipeline takes pixels"),
        }
    }

    /// Passes a picture's windows to `each`, in order.
    pub(crate) fn tokens(
        &self,
        picture: &Prepared,
        mut each: impl FnMut(WindowTokens) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let shared = Arc::new(self.tower().shared(picture.whole.as_ref().unwrap_or(&picture.picture))?);
        if self.views.sees == ViewMode::Global {
            return each(WindowTokens { shared, local: None });
        }
        for origins in picture.origins.chunks(WINDOWS_AT_ONCE) {
            let tokens = if picture.window == INPUT_SIDE {
                self.tower().windows(&picture.picture, origins)?
            } else {
                let resized =
                    origins.iter().map(|o| self.tower().windows(&picture.resized(o), &[Origin { x: 0, y: 0 }]));
                Tensor::cat(&resized.collect::<candle_core::Result<Vec<_>>>()?, 0)?
            };
            for i in 0..origins.len() {
                each(WindowTokens { shared: shared.clone(), local: Some(tokens.get(i)?) })?;
            }
        }
        Ok(())
    }
}

/// Windows whose tokens are made together: 64 windows of ViT-B/32 take 10 MB and share most of their patches.
const WINDOWS_AT_ONCE: usize = 64;

pub(crate) fn check_model(weights: &ClipWeights, prompts: &PromptMode) -> Result<(), ModelError> {
    let config = weights.config();
    let layers = config.vision.layers.min(config.text.layers);
    if layers < 2 {
        return Err(ModelError::TooFewLayers { layers });
    }
    if let PromptMode::Learned(prompts) = prompts {
        prompts.check_fits(config)?;
    }
    Ok(())
}
