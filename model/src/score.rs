//! A picture's score: window features against the two sentences, averaged; and the batches that get them there.

use std::collections::VecDeque;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use thiserror::Error;

use crate::arithmetic::Arithmetic;
use crate::backend::Backing;
use crate::resize::whole_view;
use crate::text::text_features;
use crate::views::{INPUT_SIDE, Origin, Sees};
use crate::visual::{VisualTower, WindowTokens};
use crate::{ClipWeights, Fingerprint, ModelError, PromptMode, Rgb8, Views};

/// How a model is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What of a picture is looked at.
    pub views: Views,
    /// The class of arithmetic.
    pub arithmetic: Arithmetic,
    /// Where.
    pub device: Device,
    /// Candle's operations instead of our own kernels where both exist (the CPU): to compare the two.
    pub plain_operations: bool,
}

impl Default for Options {
    /// The paper's views in f32 on the CPU.
    fn default() -> Options {
        Options { views: Views::default(), arithmetic: Arithmetic::F32, device: Device::Cpu, plain_operations: false }
    }
}

/// CLIP-DQA ready to score: both towers' weights folded, the sentences' features made.
pub struct Scorer {
    tower: VisualTower,
    /// (embed) each, of length 1.
    bad: Vec<f32>,
    good: Vec<f32>,
    /// exp(logit_scale)
    scale: f64,
    views: Views,
    fingerprint: Fingerprint,
}

/// A picture with what the model needs besides its pixels; made away from the device, by [`Prepared::new`].
pub struct Prepared {
    picture: Rgb8,
    /// 224 x 224, where it is looked at.
    whole: Option<Rgb8>,
    origins: Vec<Origin>,
    window: u32,
}

/// A picture without room for one window. (The authors' code fails there too.)
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{width} x {height} pixels, and a window needs {side_min} on each side")]
pub struct TooSmall {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Least side in pixels.
    pub side_min: u32,
}

impl Prepared {
    /// Resizes the whole view and lays out the windows.
    pub fn new(picture: Rgb8, views: &Views) -> Result<Prepared, TooSmall> {
        let (width, height) = (picture.width(), picture.height());
        let origins = views.origins(width, height);
        // REFERENCE: an error, not a smaller window or a border.
        if origins.is_empty() {
            return Err(TooSmall { width, height, side_min: views.side_min() });
        }
        // REFERENCE: the whole view is stretched to a square, its aspect is lost.
        let whole = (views.sees != Sees::Local).then(|| whole_view(&picture, INPUT_SIDE));
        Ok(Prepared { picture, whole, origins, window: views.window })
    }

    /// Scores that it will have.
    pub fn windows(&self) -> usize {
        self.origins.len()
    }
}

/// What a picture got.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureScore {
    /// Mean of the windows' scores: 0 bad, 1 good.
    pub score: f64,
    /// By window, in the order of [`Views::origins`].
    pub windows: Vec<f32>,
}

impl PictureScore {
    pub(crate) fn of(windows: Vec<f32>) -> PictureScore {
        let score = windows.iter().map(|s| f64::from(*s)).sum::<f64>() / windows.len() as f64;
        PictureScore { score, windows }
    }
}

/// The fingerprint that a [`Scorer`] of these has, without making one; the device has no part in it.
pub fn fingerprint_of(
    weights: &ClipWeights,
    prompts: &PromptMode,
    options: &Options,
) -> Result<Fingerprint, ModelError> {
    let prompts_digest = match prompts {
        PromptMode::Learned(prompts) => prompts.digest()?.to_string(),
        PromptMode::Handcrafted => "handcrafted".to_string(),
    };
    Ok(Fingerprint::of(&[
        ("weights", weights.digest().as_bytes()),
        ("prompts", prompts_digest.as_bytes()),
        ("views", options.views.to_string().as_bytes()),
        ("arithmetic", options.arithmetic.as_str().as_bytes()),
    ]))
}

impl Scorer {
    /// Reads all weights; the text tower runs once, here.
    pub fn new(weights: &ClipWeights, prompts: &PromptMode, options: &Options) -> Result<Scorer, ModelError> {
        check(weights, prompts)?;
        let text = text_features(weights, prompts)?;
        let backing =
            Backing { arithmetic: options.arithmetic, device: options.device.clone(), dense: options.plain_operations };
        let fingerprint = fingerprint_of(weights, prompts, options)?;
        Ok(Scorer {
            tower: VisualTower::new(weights, prompts, options.views.sees, &backing)?,
            bad: text.get(0)?.to_vec1()?,
            good: text.get(1)?.to_vec1()?,
            scale: f64::from(weights.get("logit_scale")?.to_scalar::<f32>()?).exp(),
            views: options.views,
            fingerprint,
        })
    }

    /// What determines the scores: two equal fingerprints give the same scores, up to the device's rounding.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// As given.
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// L2-normalised features (embed) of "bad photo" and "good photo".
    pub fn text_features(&self) -> [&[f32]; 2] {
        [&self.bad, &self.good]
    }

    /// L2-normalised features (embed) of each window of one picture.
    pub fn picture_features(&self, picture: &Prepared) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut windows = Vec::new();
        self.tokens(picture, |w| {
            windows.push(w);
            Ok(())
        })?;
        Ok(self.tower.features(&windows)?.to_vec2()?)
    }

    /// Scores of a batch of windows of any pictures.
    fn score(&self, batch: &[WindowTokens]) -> Result<Vec<f32>, ModelError> {
        self.scores(&self.tower.features(batch)?)
    }

    /// Of features (b, embed) of length 1.
    pub(crate) fn scores(&self, features: &Tensor) -> Result<Vec<f32>, ModelError> {
        let features: Vec<Vec<f32>> = features.to_vec2()?;
        let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        // REFERENCE: the second column, "good photo", is the score.
        // The second of a softmax over two is a logistic function of their difference.
        let score = |f: &Vec<f32>| 1.0 / (1.0 + (self.scale * (cosine(f, &self.bad) - cosine(f, &self.good))).exp());
        Ok(features.iter().map(|f| score(f) as f32).collect())
    }

    pub(crate) fn tower(&self) -> &VisualTower {
        &self.tower
    }

    /// Hands a picture's windows to `each`, in order.
    pub(crate) fn tokens(
        &self,
        picture: &Prepared,
        mut each: impl FnMut(WindowTokens) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let shared = Arc::new(self.tower.shared(picture.whole.as_ref().unwrap_or(&picture.picture))?);
        if self.views.sees == Sees::Global {
            return each(WindowTokens { shared, local: None });
        }
        for origins in picture.origins.chunks(WINDOWS_AT_ONCE) {
            let tokens = if picture.window == INPUT_SIDE {
                self.tower.windows(&picture.picture, origins)?
            } else {
                let resized = origins.iter().map(|o| {
                    let window = whole_view(&picture.picture.crop(o.x, o.y, picture.window), INPUT_SIDE);
                    self.tower.windows(&window, &[Origin { x: 0, y: 0 }])
                });
                Tensor::cat(&resized.collect::<candle_core::Result<Vec<_>>>()?, 0)?
            };
            for i in 0..origins.len() {
                each(WindowTokens { shared: shared.clone(), local: Some(tokens.get(i)?) })?;
            }
        }
        Ok(())
    }
}

/// Windows whose tokens are made together: 64 of ViT-B/32 are 10 MB, and share most of their patches.
const WINDOWS_AT_ONCE: usize = 64;

pub(crate) fn check(weights: &ClipWeights, prompts: &PromptMode) -> Result<(), ModelError> {
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

/// Fills batches with the windows of consecutive pictures, so that small pictures share one and large ones take
/// several. Results come in the order of the pictures. Holds at most one batch and one picture's tokens.
pub struct Batcher<K> {
    scorer: Arc<Scorer>,
    windows_max: usize,
    pending: Vec<WindowTokens>,
    /// Pictures whose scores are not all there yet, and finished ones not yet taken.
    open: VecDeque<Open<K>>,
    /// Windows that have been on the device.
    scored: u64,
}

struct Open<K> {
    key: K,
    windows: usize,
    scores: Vec<f32>,
}

impl<K> Batcher<K> {
    /// Batches of `windows_max` windows, at least 1.
    pub fn new(scorer: Arc<Scorer>, windows_max: usize) -> Batcher<K> {
        assert!(windows_max > 0, "a batch has room for a window");
        let pending = Vec::with_capacity(windows_max);
        Batcher { scorer, windows_max, pending, open: VecDeque::new(), scored: 0 }
    }

    /// Adds a picture; runs the device whenever a batch is full.
    pub fn push(&mut self, key: K, picture: &Prepared) -> Result<(), ModelError> {
        self.open.push_back(Open { key, windows: picture.windows(), scores: Vec::with_capacity(picture.windows()) });
        let scorer = self.scorer.clone();
        scorer.tokens(picture, |window| {
            self.pending.push(window);
            if self.pending.len() == self.windows_max { self.flush() } else { Ok(()) }
        })
    }

    /// Runs the device on what there is.
    pub fn flush(&mut self) -> Result<(), ModelError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let scores = self.scorer.score(&self.pending)?;
        self.pending.clear();
        self.scored += scores.len() as u64;
        let mut scores = scores.into_iter();
        for open in &mut self.open {
            let missing = open.windows - open.scores.len();
            open.scores.extend(scores.by_ref().take(missing));
        }
        assert!(scores.next().is_none(), "every window belongs to an open picture");
        Ok(())
    }

    /// The next picture in order, if it is finished.
    pub fn pop(&mut self) -> Option<(K, PictureScore)> {
        self.open.front().filter(|open| open.scores.len() == open.windows)?;
        let Open { key, scores: windows, .. } = self.open.pop_front()?;
        Some((key, PictureScore::of(windows)))
    }

    /// Windows scored so far.
    pub fn windows_scored(&self) -> u64 {
        self.scored
    }
}
