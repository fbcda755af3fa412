//! Fills batches with the windows of consecutive pictures, so that small pictures share one and large ones take several.

use std::collections::VecDeque;
use std::sync::Arc;

use candle_core::Tensor;

use super::prepared::Prepared;
use super::scorer::{PictureScore, Scorer};
use crate::ModelError;
use crate::gpu::device::is_out_of_memory;
use crate::gpu::pipeline::PipelineLease;
use crate::tower::visual::WindowTokens;

/// Pictures in, scores out in the order of the pictures. Holds at most one batch and one picture's tokens, or the batches
/// that a device has under way.
pub struct Batcher<K> {
    scorer: Arc<Scorer>,
    input: Input,
    open: OpenPictures<K>,
}

/// Windows on their way to the device.
enum Input {
    /// As tokens, of which a batch goes through at once.
    Tokens { pending: Vec<WindowTokens>, windows_max: usize },
    /// As pixels.
    Pipeline(Box<dyn PipelineLease>),
}

/// Pictures whose scores are not all there yet, and finished ones not yet taken.
struct OpenPictures<K> {
    pictures: VecDeque<Picture<K>>,
    /// Windows that have been on the device.
    scored: u64,
}

struct Picture<K> {
    key: K,
    windows: usize,
    scores: Vec<f32>,
}

impl<K> OpenPictures<K> {
    /// Scores of the next windows, in order.
    fn add(&mut self, scores: Vec<f32>) {
        self.scored += scores.len() as u64;
        let mut scores = scores.into_iter();
        for picture in &mut self.pictures {
            let missing = picture.windows - picture.scores.len();
            picture.scores.extend(scores.by_ref().take(missing));
        }
        assert!(scores.next().is_none(), "every window belongs to an open picture");
    }
}

impl<K> Batcher<K> {
    /// Batches of `windows_max` windows, at least 1; of fewer where the device has no memory for them.
    ///
    /// # Errors
    /// A device that has no memory for one window, or fails.
    pub fn new(scorer: Arc<Scorer>, windows_max: usize) -> Result<Batcher<K>, ModelError> {
        assert!(windows_max > 0, "a batch has room for a window");
        let input = match scorer.pipeline(windows_max)? {
            Some(pipeline) => Input::Pipeline(pipeline),
            None => Input::Tokens { pending: Vec::with_capacity(windows_max), windows_max },
        };
        Ok(Batcher { scorer, input, open: OpenPictures { pictures: VecDeque::new(), scored: 0 } })
    }

    /// Adds a picture; the device runs whenever a batch is full.
    ///
    /// # Errors
    /// What the device fails with.
    pub fn push(&mut self, key: K, picture: &Prepared) -> Result<(), ModelError> {
        let Batcher { scorer, input, open } = self;
        let windows = picture.windows();
        open.pictures.push_back(Picture { key, windows, scores: Vec::with_capacity(windows) });
        match input {
            Input::Pipeline(pipeline) => {
                scorer.submit_picture(pipeline.as_mut(), picture, &mut |features| score(scorer, open, &features))
            }
            Input::Tokens { pending, windows_max } => scorer.tokens(picture, |window| {
                pending.push(window);
                if pending.len() >= *windows_max { run(scorer, pending, windows_max, open) } else { Ok(()) }
            }),
        }
    }

    /// Runs the device on what there is, and waits for it.
    ///
    /// # Errors
    /// What the device fails with.
    pub fn flush(&mut self) -> Result<(), ModelError> {
        let Batcher { scorer, input, open } = self;
        match input {
            Input::Pipeline(pipeline) => {
                scorer.finish(pipeline.as_mut(), &mut |features| score(scorer, open, &features))
            }
            Input::Tokens { pending, windows_max } => run(scorer, pending, windows_max, open),
        }
    }

    /// The next picture in order, if it is finished.
    pub fn pop(&mut self) -> Option<(K, PictureScore)> {
        let pictures = &mut self.open.pictures;
        pictures.front().filter(|picture| picture.scores.len() == picture.windows)?;
        let Picture { key, scores, .. } = pictures.pop_front()?;
        Some((key, PictureScore::from_windows(scores)))
    }

    /// Windows scored so far.
    pub fn windows_scored(&self) -> u64 {
        self.open.scored
    }
}

fn score<K>(scorer: &Scorer, open: &mut OpenPictures<K>, features: &Tensor) -> Result<(), ModelError> {
    open.add(scorer.scores(features)?);
    Ok(())
}

/// Runs the device on `pending`; in halves where it has no memory for so many, and from then on in batches of so many.
fn run<K>(
    scorer: &Scorer,
    pending: &mut Vec<WindowTokens>,
    windows_max: &mut usize,
    open: &mut OpenPictures<K>,
) -> Result<(), ModelError> {
    while !pending.is_empty() {
        let batch = pending.len().min(*windows_max);
        match scorer.score(&pending[..batch]) {
            Ok(scores) => {
                open.add(scores);
                pending.drain(..batch);
            }
            Err(ModelError::Tensor(error)) if batch > 1 && is_out_of_memory(&error) => {
                *windows_max = batch.div_ceil(2);
                tracing::warn!(windows = *windows_max, "memory is short on the device: batches are halved");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
