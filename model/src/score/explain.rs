//! What a score comes from: where the class token of each window looks, in each layer and through all of them.
//!
//! It runs the tower in plain operations, which keep the attention that our kernels throw away; the scores are the same
//! up to rounding. Attention is the mean over heads. It knows no pixels: maps are over patches.

use super::options::{KernelSet, Options};
use super::prepared::Prepared;
use super::scorer::{PictureScore, Scorer};
use crate::picture::ViewMode;
use crate::tower::visual::WindowTokens;
use crate::{ClipWeights, ModelError, PromptMode};

/// A model that shows where it looks.
pub struct Explainer {
    scorer: Scorer,
    layers: usize,
}

/// A picture's score, and where its windows' class tokens look.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// As a [`Scorer`] gives it, up to rounding.
    pub score: PictureScore,
    /// By window, in the order of [`crate::Views::origins`]; one where only the whole picture is seen.
    pub windows: Vec<WindowAttention>,
    /// Patches along a side of a view.
    pub grid: usize,
}

/// Where the class token of one window looks.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowAttention {
    /// By layer, first to last.
    pub layers: Vec<AttentionMap>,
    /// Through all layers: attention rollout (Abnar and Zuidema 2020), each layer half attention and half what goes
    /// past it. The prompts are where a path ends, since nothing of the picture is in them.
    pub rollout: AttentionMap,
}

/// How the class token divides its attention; all parts sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMap {
    /// On itself.
    pub class: f32,
    /// On each patch of the whole picture, `grid * grid`, row-major; empty where it is not seen.
    pub whole: Vec<f32>,
    /// On each patch of the window, `grid * grid`, row-major; empty where only the whole picture is seen.
    pub window: Vec<f32>,
    /// On the prompts together.
    pub prompts: f32,
}

/// Windows at once, of which each layer's attention is kept.
const WINDOWS_AT_ONCE: usize = 8;

impl Explainer {
    /// Reads all weights. They are [`KernelSet::Candle`], whatever `options` say.
    ///
    /// # Errors
    /// As [`Scorer::new`].
    pub fn new(weights: &ClipWeights, prompts: &PromptMode, options: &Options) -> Result<Explainer, ModelError> {
        let options = Options { kernels: KernelSet::Candle, ..options.clone() };
        let layers = weights.config().vision.layers;
        Ok(Explainer { scorer: Scorer::new(weights, prompts, &options)?, layers })
    }

    /// Layers of the visual tower.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// The model as it scores, in plain operations.
    pub fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    /// Scores a picture, looking on. `more` hears of windows as they are done: how many more.
    ///
    /// # Errors
    /// What the device fails with.
    pub fn explain(&self, picture: &Prepared, mut more: impl FnMut(usize)) -> Result<Explanation, ModelError> {
        let grid = self.scorer.tower().grid();
        let sequence = Sequence::new(self.scorer.views().sees, grid * grid);
        let (mut scores, mut windows, mut pending) = (Vec::new(), Vec::new(), Vec::new());
        let mut run = |batch: &[WindowTokens]| -> Result<(), ModelError> {
            let (features, attention) = self.scorer.tower().with_attention(batch)?;
            scores.extend(self.scorer.scores(&features)?);
            for window in 0..batch.len() {
                let layers: candle_core::Result<Vec<Rows>> =
                    attention.iter().map(|layer| layer.get(window)?.to_vec2()).collect();
                windows.push(sequence.look(&layers?));
            }
            more(batch.len());
            Ok(())
        };
        self.scorer.tokens(picture, |window| {
            pending.push(window);
            if pending.len() < WINDOWS_AT_ONCE {
                return Ok(());
            }
            run(&std::mem::take(&mut pending))
        })?;
        if !pending.is_empty() {
            run(&pending)?;
        }
        Ok(Explanation { score: PictureScore::from_windows(scores), windows, grid })
    }
}

/// What one layer's rows attend to: (t, t + p).
type Rows = Vec<Vec<f32>>;

/// How many of a sequence's tokens are patches of which view. The class token is before them, prompts after.
#[derive(Clone, Copy)]
struct Sequence {
    whole: usize,
    window: usize,
}

impl Sequence {
    fn new(sees: ViewMode, patches: usize) -> Sequence {
        Sequence {
            whole: if sees == ViewMode::Local { 0 } else { patches },
            window: if sees == ViewMode::Global { 0 } else { patches },
        }
    }

    /// Without prompts.
    fn tokens(self) -> usize {
        1 + self.whole + self.window
    }

    fn look(self, layers: &[Rows]) -> WindowAttention {
        let rollout = self.rollout(layers);
        WindowAttention {
            layers: layers.iter().map(|layer| self.divided(&layer[0])).collect(),
            rollout: self.divided(&rollout),
        }
    }

    /// Of the attention on each token and then on prompts.
    fn divided(self, on: &[f32]) -> AttentionMap {
        let (views, prompts) = on[1..].split_at(self.whole + self.window);
        let (whole, window) = views.split_at(self.whole);
        let (whole, window) = (whole.to_vec(), window.to_vec());
        AttentionMap { class: on[0], whole, window, prompts: prompts.iter().sum() }
    }

    /// How much of the class token's last row comes from each token before the first layer; and at the end, from prompts.
    fn rollout(self, layers: &[Rows]) -> Vec<f32> {
        let mut from = vec![0.0; layers.last().map_or(0, Vec::len)];
        from[0] = 1.0;
        let mut ended = 0.0;
        for (l, layer) in layers.iter().enumerate().rev() {
            let mut before = vec![0.0; layer[0].len()];
            for (row, share) in layer.iter().zip(&from) {
                for (before, attention) in before.iter_mut().zip(row) {
                    *before += 0.5 * share * attention;
                }
            }
            before.iter_mut().zip(&from).for_each(|(before, share)| *before += 0.5 * share);
            // Prompts are last: constant ones, and before those the rows that enter at this layer.
            let there = if l == 0 { self.tokens() } else { layers[l - 1].len() };
            ended += before.drain(there..).sum::<f32>();
            from = before;
        }
        from.push(ended);
        from
    }
}
