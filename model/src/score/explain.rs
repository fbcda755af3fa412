//! Explains a score: where the class token of each window looks, in each layer and through all of them.
//!
//! It runs the tower in Candle's operations, which keep the attention that this crate's kernels discard; the scores are
//! the same up to rounding. Attention is the mean over heads. Maps are over patches; pixels are the caller's business.

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
    /// The same as a [`Scorer`] gives, up to rounding.
    pub score: PictureScore,
    /// By window, in the order of [`crate::Views::origins`]; one entry if only the whole picture is seen.
    pub windows: Vec<WindowAttention>,
    /// Patches along a side of a view.
    pub grid: usize,
}

/// Where the class token of one window looks.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowAttention {
    /// By layer, first to last.
    pub layers: Vec<AttentionMap>,
    /// Through all layers: attention rollout (Abnar and Zuidema 2020), each layer being half attention and half
    /// residual. A path ends at a prompt, since prompts hold nothing of the picture.
    pub rollout: AttentionMap,
}

/// How the class token divides its attention; all parts sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMap {
    /// On the class token itself.
    pub class: f32,
    /// On each patch of the whole picture, `grid * grid`, row-major; empty if it is not seen.
    pub whole: Vec<f32>,
    /// On each patch of the window, `grid * grid`, row-major; empty if only the whole picture is seen.
    pub window: Vec<f32>,
    /// On all prompts together.
    pub prompts: f32,
}

/// Windows in a batch. The attention of each layer is kept for all of them.
const WINDOWS_AT_ONCE: usize = 8;

impl Explainer {
    /// Reads all weights. The kernels are [`KernelSet::Candle`], whatever `options` say.
    ///
    /// # Errors
    /// The same as [`Scorer::new`].
    pub fn new(weights: &ClipWeights, prompts: &PromptMode, options: &Options) -> Result<Explainer, ModelError> {
        let options = Options { kernels: KernelSet::Candle, ..options.clone() };
        let layers = weights.config().vision.layers;
        Ok(Explainer { scorer: Scorer::new(weights, prompts, &options)?, layers })
    }

    /// Returns the number of layers of the visual tower.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Returns the scorer that the model runs as, in Candle's operations.
    pub fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    /// Scores a picture and keeps the attention. Calls `on_windows` with the number of windows after each batch.
    ///
    /// # Errors
    /// Fails when the device fails.
    pub fn explain(&self, picture: &Prepared, mut on_windows: impl FnMut(usize)) -> Result<Explanation, ModelError> {
        let grid = self.scorer.tower().grid();
        let sequence = Sequence::new(self.scorer.views().sees, grid * grid);
        let (mut scores, mut windows, mut pending) = (Vec::new(), Vec::new(), Vec::new());
        let mut run = |batch: &[WindowTokens]| -> Result<(), ModelError> {
            let (features, attention) = self.scorer.tower().with_attention(batch)?;
            scores.extend(self.scorer.scores(&features)?);
            for window in 0..batch.len() {
                let layers: candle_core::Result<Vec<Rows>> =
                    attention.iter().map(|layer| layer.get(window)?.to_vec2()).collect();
                windows.push(sequence.window_attention(&layers?));
            }
            on_windows(batch.len());
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

/// Attention of one layer's rows: (t, t + p).
type Rows = Vec<Vec<f32>>;

/// The layout of a sequence: the class token, the patches of each view, the prompts.
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

    /// Returns the number of tokens without prompts.
    fn tokens(self) -> usize {
        1 + self.whole + self.window
    }

    fn window_attention(self, layers: &[Rows]) -> WindowAttention {
        let rollout = self.rollout(layers);
        WindowAttention {
            layers: layers.iter().map(|layer| self.split_by_view(&layer[0])).collect(),
            rollout: self.split_by_view(&rollout),
        }
    }

    /// Splits the attention paid to each token, and then to the prompts, by view.
    fn split_by_view(self, weights: &[f32]) -> AttentionMap {
        let (views, prompts) = weights[1..].split_at(self.whole + self.window);
        let (whole, window) = views.split_at(self.whole);
        let (whole, window) = (whole.to_vec(), window.to_vec());
        AttentionMap { class: weights[0], whole, window, prompts: prompts.iter().sum() }
    }

    /// Returns the share of the class token's last row that comes from each token before the first layer, and last the
    /// share that comes from prompts.
    fn rollout(self, layers: &[Rows]) -> Vec<f32> {
        let mut shares = vec![0.0; layers.last().map_or(0, Vec::len)];
        shares[0] = 1.0;
        let mut prompt_share = 0.0;
        for (l, layer) in layers.iter().enumerate().rev() {
            let mut before = vec![0.0; layer[0].len()];
            for (row, share) in layer.iter().zip(&shares) {
                for (before, attention) in before.iter_mut().zip(row) {
                    *before += 0.5 * share * attention;
                }
            }
            before.iter_mut().zip(&shares).for_each(|(before, share)| *before += 0.5 * share);
            // Prompts are last: the constant ones, and before them the rows that enter at this layer.
            let row_count = if l == 0 { self.tokens() } else { layers[l - 1].len() };
            prompt_share += before.drain(row_count..).sum::<f32>();
            shares = before;
        }
        shares.push(prompt_share);
        shares
    }
}
