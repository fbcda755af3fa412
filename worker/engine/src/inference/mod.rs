//! Inference: fetch -> decode -> batch -> device -> mean, the same for a command and for a shard.
//!
//! Pictures are processed in order, each with one outcome: rows in = rows out. One thread fetches and reads headers,
//! some decode, and the calling thread drives the device, so that it never waits for a decoder that another picture
//! keeps busy. Memory is bounded by a budget of bytes for pictures in flight, not by the size of the data set.

mod budget;
mod measure;
mod report;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use dqa_metrics::Evaluator;
use dqa_model::{Batcher, ModelError, PictureScore, Scorer};

use crate::decode::{self, Limits, PictureError};
use budget::{Budget, Share};
use measure::{DecodedPicture, decode_and_measure};
pub use measure::{Measured, Measures, MetricValue, PictureInput, Wanted};
pub use report::InferenceReport;
use report::Stopwatch;

/// The resources of a run, and the limits of its pictures.
#[derive(Clone, Debug)]
pub struct InferenceSettings {
    /// Windows on the device at once. By default as many as fill it.
    pub batch: Option<usize>,
    /// Number of decode threads.
    pub decode_threads: usize,
    /// Bytes of fetched and decoded pictures in flight; one more encoded file may have been read ahead. A picture
    /// larger than this runs alone.
    pub picture_bytes_max: u64,
    /// Limits of a picture.
    pub limits: Limits,
}

/// The result of a picture by CLIP-DQA alone.
#[derive(Debug)]
pub struct PictureOutcome {
    /// Width and height in pixels, if the header could be read.
    pub size: Option<(u32, u32)>,
    /// The score, or why the picture has none.
    pub score: Result<PictureScore, PictureError>,
}

/// The result of a picture by several metrics.
#[derive(Debug)]
pub struct MeasuredPicture {
    /// Width and height in pixels, if the header could be read.
    pub size: Option<(u32, u32)>,
    /// The values, or why the picture has none.
    pub measured: Result<Measured, PictureError>,
}

/// Pictures that are fetched and not yet decoded, for each decode thread: enough that it never waits for a fetch of a
/// typical size.
const FETCHED_MAX: usize = 2;

/// Pictures between fetch and outcome. The device is made to finish its batch rather than let more than this pile up
/// behind one unfinished picture.
const IN_FLIGHT_MAX: usize = 4096;

/// Scores pictures by CLIP-DQA in order: `fetch` reads the bytes of each of `sources`, and `on_outcome` receives its
/// outcome and may end the run early.
///
/// # Errors
/// Fails if the device or the model fails. A picture's own failure is its outcome.
pub fn run<T: Send>(
    scorer: &Arc<Scorer>,
    settings: &InferenceSettings,
    sources: impl Iterator<Item = T> + Send,
    fetch: impl Fn(&T) -> Result<Vec<u8>, PictureError> + Send,
    mut on_outcome: impl FnMut(T, PictureOutcome) -> ControlFlow<()>,
) -> Result<InferenceReport, ModelError> {
    let measures = Measures { clip_dqa: Some(scorer.clone()), evaluator: Evaluator::default() };
    let fetch = move |source: &T| {
        let wanted = Wanted { clip_dqa: true, metrics: Vec::new() };
        Ok(PictureInput { bytes: fetch(source)?, wanted, clear: None, hazy: None })
    };
    measure(&measures, settings, sources, fetch, |source, MeasuredPicture { size, measured }| {
        let score = measured.and_then(|measured| measured.clip_dqa.expect("it was wanted"));
        on_outcome(source, PictureOutcome { size, score })
    })
}

/// Measures pictures by several metrics in order: `fetch` reads the files of each of `sources`, and `on_outcome` receives
/// its outcome and may end the run early.
///
/// # Errors
/// Fails if the device or the model fails. A picture's own failure is its outcome.
pub fn measure<T: Send>(
    measures: &Measures,
    settings: &InferenceSettings,
    sources: impl Iterator<Item = T> + Send,
    fetch: impl Fn(&T) -> Result<PictureInput, PictureError> + Send,
    on_outcome: impl FnMut(T, MeasuredPicture) -> ControlFlow<()>,
) -> Result<InferenceReport, ModelError> {
    let started = Instant::now();
    let limits = &settings.limits;
    let budget = Budget::new(settings.picture_bytes_max);
    let (fetching, decoding) = (Stopwatch::default(), Stopwatch::default());
    let decode_threads = settings.decode_threads.max(1);
    let batcher = |scorer: &Arc<Scorer>| {
        Batcher::new(scorer.clone(), settings.batch.unwrap_or_else(|| scorer.default_batch_size()))
    };
    let batcher = measures.clip_dqa.as_ref().map(batcher).transpose()?;
    let (jobs_in, jobs) = bounded::<Job>(FETCHED_MAX * decode_threads.max(8));
    let (pictures_in, pictures) = bounded::<(T, Receiver<Decoded>)>(IN_FLIGHT_MAX);
    let report = std::thread::scope(|scope| {
        let fetcher = Fetcher { fetch, limits, measures, budget: budget.clone(), stopwatch: &fetching };
        scope.spawn(move || fetcher.run(sources, &jobs_in, &pictures_in));
        for _ in 0..decode_threads {
            let jobs = jobs.clone();
            let (decoding, budget) = (&decoding, &budget);
            scope.spawn(move || {
                for job in jobs {
                    // The run has ended: the pictures left in the queue are not needed.
                    if budget.is_closed() {
                        return;
                    }
                    let picture = decoding.time(|| decode_and_measure(job.input, limits, measures));
                    // The receiver is gone only if the run has failed.
                    let _ = job.done.send(Decoded { size: Some(job.size), picture, share: Some(job.share) });
                }
            });
        }
        drop(jobs);
        let device = DeviceThread { batcher, waiting: VecDeque::new(), on_outcome };
        // A failed device leaves the other threads waiting for the budget, or for a free place in a channel.
        let _close = CloseOnDrop(&budget);
        let pictures = pictures;
        device.run(&pictures)
    })?;
    Ok(InferenceReport { wall: started.elapsed(), fetching: fetching.total(), decoding: decoding.total(), ..report })
}

/// Closes the budget however the device thread ends.
struct CloseOnDrop<'a>(&'a Budget);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A fetched picture on its way to a decode thread.
struct Job {
    input: PictureInput,
    size: (u32, u32),
    share: Share,
    done: Sender<Decoded>,
}

/// A picture as the device thread receives it.
struct Decoded {
    size: Option<(u32, u32)>,
    picture: Result<DecodedPicture, PictureError>,
    /// The share of the budget, held for as long as the pixels are needed.
    share: Option<Share>,
}

impl Decoded {
    fn failed(error: PictureError) -> Decoded {
        let size = match &error {
            PictureError::TooSmall { width, height, .. } => Some((*width, *height)),
            _ => None,
        };
        Decoded { size, picture: Err(error), share: None }
    }
}

struct Fetcher<'a, F> {
    fetch: F,
    limits: &'a Limits,
    measures: &'a Measures,
    budget: Arc<Budget>,
    stopwatch: &'a Stopwatch,
}

impl<F> Fetcher<'_, F> {
    /// Sends each picture to the decode threads, and the receiver of its result to the device thread.
    fn run<T>(&self, sources: impl Iterator<Item = T>, jobs: &Sender<Job>, pictures: &Sender<(T, Receiver<Decoded>)>)
    where
        F: Fn(&T) -> Result<PictureInput, PictureError>,
    {
        for source in sources {
            let (done, decoded) = bounded(1);
            let fetched = self.stopwatch.time(|| {
                let input = (self.fetch)(&source)?;
                let header = decode::probe(&input.bytes, &input.limits(self.limits, self.measures))?;
                Ok((input, header))
            });
            // The receiver is queued before the budget is taken, so that shares go to the oldest picture first.
            if pictures.send((source, decoded)).is_err() {
                return;
            }
            let sent = match fetched {
                Err(error) => done.send(Decoded::failed(error)).is_ok(),
                Ok((input, header)) => {
                    let size = (header.width, header.height);
                    let bytes = header.decode_bytes + input.bytes_in_flight(self.limits);
                    let Some(share) = self.budget.take(bytes) else {
                        return;
                    };
                    jobs.send(Job { input, size, share, done }).is_ok()
                }
            };
            if !sent {
                return;
            }
        }
    }
}

/// The thread that owns the device.
struct DeviceThread<T, E> {
    /// None if no picture is scored by the model.
    batcher: Option<Batcher<()>>,
    /// In order: the pictures that the batcher has not finished, and those behind them.
    waiting: VecDeque<Waiting<T>>,
    on_outcome: E,
}

struct Waiting<T> {
    source: T,
    size: Option<(u32, u32)>,
    measured: Result<Measured, PictureError>,
    /// Whether the batcher has the picture: its score is still to come.
    is_in_batch: bool,
}

impl<T, E: FnMut(T, MeasuredPicture) -> ControlFlow<()>> DeviceThread<T, E> {
    fn run(mut self, pictures: &Receiver<(T, Receiver<Decoded>)>) -> Result<InferenceReport, ModelError> {
        let mut report = InferenceReport::default();
        let (waiting, device) = (Stopwatch::default(), Stopwatch::default());
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue()
            && let Some((source, decoded)) = waiting.time(|| {
                let (source, decoded) = pictures.recv().ok()?;
                Some((source, decoded.recv().expect("a decode thread answers every job")))
            })
        {
            let Decoded { size, picture, share } = decoded;
            let (measured, is_in_batch) = device.time(|| self.take(picture))?;
            drop(share);
            self.waiting.push_back(Waiting { source, size, measured, is_in_batch });
            if self.waiting.len() >= IN_FLIGHT_MAX {
                device.time(|| self.flush())?;
            }
            flow = self.hand_out(&mut report);
        }
        if flow.is_continue() {
            device.time(|| self.flush())?;
            flow = self.hand_out(&mut report);
        }
        assert!(flow.is_break() || self.waiting.is_empty(), "every picture has an outcome");
        report.windows = self.batcher.as_ref().map_or(0, Batcher::windows_scored);
        report.waiting = waiting.total();
        report.device = device.total();
        Ok(report)
    }

    /// Puts a picture into the batch if the model is to score it. Returns its other values, and whether it is in the
    /// batch.
    fn take(
        &mut self,
        picture: Result<DecodedPicture, PictureError>,
    ) -> Result<(Result<Measured, PictureError>, bool), ModelError> {
        let DecodedPicture { prepared, metrics } = match picture {
            Ok(picture) => picture,
            Err(error) => return Ok((Err(error), false)),
        };
        let (clip_dqa, is_in_batch) = match prepared {
            Some(Ok(prepared)) => {
                self.batcher.as_mut().expect("only a model is prepared for").push((), &prepared)?;
                (None, true)
            }
            Some(Err(error)) => (Some(Err(error)), false),
            None => (None, false),
        };
        Ok((Ok(Measured { clip_dqa, metrics }), is_in_batch))
    }

    fn flush(&mut self) -> Result<(), ModelError> {
        self.batcher.as_mut().map_or(Ok(()), Batcher::flush)
    }

    /// Hands out the finished pictures, in order.
    fn hand_out(&mut self, report: &mut InferenceReport) -> ControlFlow<()> {
        while let Some(front) = self.waiting.front_mut() {
            if front.is_in_batch {
                let Some(((), score)) = self.batcher.as_mut().and_then(Batcher::pop) else {
                    break;
                };
                let score = if score.score.is_finite() { Ok(score) } else { Err(PictureError::NotFinite) };
                if let Ok(measured) = &mut front.measured {
                    measured.clip_dqa = Some(score);
                }
            }
            let Some(Waiting { source, size, measured, .. }) = self.waiting.pop_front() else {
                break;
            };
            report.pictures += 1;
            report.failed += u64::from(!measured.as_ref().is_ok_and(Measured::is_complete));
            (self.on_outcome)(source, MeasuredPicture { size, measured })?;
        }
        ControlFlow::Continue(())
    }
}
