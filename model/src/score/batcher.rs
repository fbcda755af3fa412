//! Fills batches with the windows of consecutive pictures: small pictures share a batch, large ones take several.

use std::collections::VecDeque;
use std::sync::Arc;

use candle_core::Tensor;

use super::prepared::Prepared;
use super::scorer::{PictureScore, Scorer};
use crate::ModelError;
use crate::gpu::device::is_out_of_memory;
use crate::gpu::pipeline::PipelineLease;
use crate::tower::visual::WindowTokens;

/// Takes pictures and returns their scores in the same order. Holds at most one batch and one picture's tokens, or the
/// batches that are in flight on a device.
pub struct Batcher<K> {
    scorer: Arc<Scorer>,
    input: Input,
    open: OpenPictures<K>,
}

/// How windows reach the device.
enum Input {
    /// As tokens, collected until a batch is full.
    Tokens { pending: Vec<WindowTokens>, windows_max: usize },
    /// As pixels, through a pipeline.
    Pipeline(Box<dyn PipelineLease>),
}

/// Pictures that wait for scores, and finished pictures that were not taken yet.
struct OpenPictures<K> {
    pictures: VecDeque<Picture<K>>,
    /// Windows that the device has scored.
    scored: u64,
}

struct Picture<K> {
    key: K,
    windows: usize,
    scores: Vec<f32>,
}

impl<K> OpenPictures<K> {
    /// Adds the scores of the next windows, in order.
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
    /// Makes a batcher for batches of `windows_max` windows, at least 1, or of fewer if the device has no memory for so
    /// many.
    ///
    /// # Errors
    /// Fails when the device has no memory for one window, or another fault.
    pub fn new(scorer: Arc<Scorer>, windows_max: usize) -> Result<Batcher<K>, ModelError> {
        assert!(windows_max > 0, "a batch has room for a window");
        let input = match scorer.pipeline(windows_max)? {
            Some(pipeline) => Input::Pipeline(pipeline),
            None => Input::Tokens { pending: Vec::with_capacity(windows_max), windows_max },
        };
        Ok(Batcher { scorer, input, open: OpenPictures { pictures: VecDeque::new(), scored: 0 } })
    }

    /// Adds a picture. The device runs whenever a batch is full.
    ///
    /// # Errors
    /// Fails when the device fails.
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

    /// Runs the device on all windows that are left, and waits for it.
    ///
    /// # Errors
    /// Fails when the device fails.
    pub fn flush(&mut self) -> Result<(), ModelError> {
        let Batcher { scorer, input, open } = self;
        match input {
            Input::Pipeline(pipeline) => {
                scorer.finish(pipeline.as_mut(), &mut |features| score(scorer, open, &features))
            }
            Input::Tokens { pending, windows_max } => run(scorer, pending, windows_max, open),
        }
    }

    /// Returns the next picture in order, if it is finished.
    pub fn pop(&mut self) -> Option<(K, PictureScore)> {
        let pictures = &mut self.open.pictures;
        pictures.front().filter(|picture| picture.scores.len() == picture.windows)?;
        let Picture { key, scores, .. } = pictures.pop_front()?;
        Some((key, PictureScore::from_windows(scores)))
    }

    /// Returns the number of windows scored so far.
    pub fn windows_scored(&self) -> u64 {
        self.open.scored
    }
}

fn score<K>(scorer: &Scorer, open: &mut OpenPictures<K>, features: &Tensor) -> Result<(), ModelError> {
    open.add(scorer.scores(features)?);
    Ok(())
}

/// Runs the device on `pending`. If memory is short, halves the batch, and keeps the smaller size from then on.
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
