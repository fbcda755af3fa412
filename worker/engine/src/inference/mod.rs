//! Inference: fetch -> decode -> batch -> device -> mean, the same for a command and for a shard.
//!
//! Pictures are processed in order, each with one outcome: rows in = rows out. One thread fetches and reads headers,
//! some decode, and the calling thread drives the device, so that it never waits for a decoder that another picture
//! keeps busy. Memory is bounded by a budget of bytes for pictures in flight, not by the size of the data set.

mod budget;
mod report;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use dqa_model::{Batcher, ModelError, PictureScore, Prepared, Scorer};

use crate::decode::{self, Limits, PictureError};
use budget::{Budget, Share};
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

/// The result of a picture.
#[derive(Debug)]
pub struct PictureOutcome {
    /// Width and height in pixels, if the header could be read.
    pub size: Option<(u32, u32)>,
    /// The score, or why the picture has none.
    pub score: Result<PictureScore, PictureError>,
}

/// Pictures that are fetched and not yet decoded, for each decode thread: enough that it never waits for a fetch of a
/// typical size.
const FETCHED_MAX: usize = 2;

/// Pictures between fetch and outcome. The device is made to finish its batch rather than let more than this pile up
/// behind one unfinished picture.
const IN_FLIGHT_MAX: usize = 4096;

/// Scores pictures in order: `fetch` reads the bytes of each of `sources`, and `on_outcome` receives its outcome and may end
/// the run early.
///
/// # Errors
/// Fails if the device or the model fails. A picture's own failure is its outcome.
pub fn run<T: Send>(
    scorer: &Arc<Scorer>,
    settings: &InferenceSettings,
    sources: impl Iterator<Item = T> + Send,
    fetch: impl Fn(&T) -> Result<Vec<u8>, PictureError> + Send,
    on_outcome: impl FnMut(T, PictureOutcome) -> ControlFlow<()>,
) -> Result<InferenceReport, ModelError> {
    let started = Instant::now();
    let limits = Limits { side_min: scorer.views().side_min(), ..settings.limits.clone() };
    let budget = Budget::new(settings.picture_bytes_max);
    let (fetching, decoding) = (Stopwatch::default(), Stopwatch::default());
    let decode_threads = settings.decode_threads.max(1);
    let batcher = Batcher::new(scorer.clone(), settings.batch.unwrap_or_else(|| scorer.default_batch_size()))?;
    let (jobs_in, jobs) = bounded::<Job>(FETCHED_MAX * decode_threads.max(8));
    let (pictures_in, pictures) = bounded::<(T, Receiver<Decoded>)>(IN_FLIGHT_MAX);
    let report = std::thread::scope(|scope| {
        let fetcher = Fetcher { fetch, limits: &limits, budget: budget.clone(), stopwatch: &fetching };
        scope.spawn(move || fetcher.run(sources, &jobs_in, &pictures_in));
        for _ in 0..decode_threads {
            let jobs = jobs.clone();
            let (limits, decoding, views, budget) = (&limits, &decoding, scorer.views(), &budget);
            scope.spawn(move || {
                for job in jobs {
                    // The run has ended: the pictures left in the queue are not needed.
                    if budget.is_closed() {
                        return;
                    }
                    let prepared = decoding.time(|| {
                        let picture = decode::decode(&job.bytes, limits)?;
                        Ok(Prepared::new(picture, views).expect("the limits leave room for a window"))
                    });
                    // The receiver is gone only if the run has failed.
                    let _ = job.done.send(Decoded { size: Some(job.size), prepared, share: Some(job.share) });
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
    bytes: Vec<u8>,
    size: (u32, u32),
    share: Share,
    done: Sender<Decoded>,
}

/// A picture as the device thread receives it.
struct Decoded {
    size: Option<(u32, u32)>,
    prepared: Result<Prepared, PictureError>,
    /// The share of the budget, held for as long as the pixels are needed.
    share: Option<Share>,
}

impl Decoded {
    fn failed(error: PictureError) -> Decoded {
        let size = match &error {
            PictureError::TooSmall { width, height, .. } => Some((*width, *height)),
            _ => None,
        };
        Decoded { size, prepared: Err(error), share: None }
    }
}

struct Fetcher<'a, F> {
    fetch: F,
    limits: &'a Limits,
    budget: Arc<Budget>,
    stopwatch: &'a Stopwatch,
}

impl<F> Fetcher<'_, F> {
    /// Sends each picture to the decode threads, and the receiver of its result to the device thread.
    fn run<T>(&self, sources: impl Iterator<Item = T>, jobs: &Sender<Job>, pictures: &Sender<(T, Receiver<Decoded>)>)
    where
        F: Fn(&T) -> Result<Vec<u8>, PictureError>,
    {
        for source in sources {
            let (done, decoded) = bounded(1);
            let fetched = self.stopwatch.time(|| {
                let bytes = (self.fetch)(&source)?;
                let header = decode::probe(&bytes, self.limits)?;
                Ok((bytes, header))
            });
            // The receiver is queued before the budget is taken, so that shares go to the oldest picture first.
            if pictures.send((source, decoded)).is_err() {
                return;
            }
            let sent = match fetched {
                Err(error) => done.send(Decoded::failed(error)).is_ok(),
                Ok((bytes, header)) => {
                    let size = (header.width, header.height);
                    let Some(share) = self.budget.take(header.decode_bytes + bytes.len() as u64) else {
                        return;
                    };
                    jobs.send(Job { bytes, size, share, done }).is_ok()
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
    batcher: Batcher<()>,
    /// In order: the pictures that the batcher has not finished, and the failures behind them.
    waiting: VecDeque<Waiting<T>>,
    on_outcome: E,
}

struct Waiting<T> {
    source: T,
    size: Option<(u32, u32)>,
    /// None if the batcher has the picture.
    failure: Option<PictureError>,
}

impl<T, E: FnMut(T, PictureOutcome) -> ControlFlow<()>> DeviceThread<T, E> {
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
            let Decoded { size, prepared, share } = decoded;
            let failure = match prepared {
                Ok(picture) => {
                    device.time(|| self.batcher.push((), &picture))?;
                    None
                }
                Err(error) => Some(error),
            };
            drop(share);
            self.waiting.push_back(Waiting { source, size, failure });
            if self.waiting.len() >= IN_FLIGHT_MAX {
                device.time(|| self.batcher.flush())?;
            }
            flow = self.hand_out(&mut report);
        }
        if flow.is_continue() {
            device.time(|| self.batcher.flush())?;
            flow = self.hand_out(&mut report);
        }
        assert!(flow.is_break() || self.waiting.is_empty(), "every picture has an outcome");
        report.windows = self.batcher.windows_scored();
        report.waiting = waiting.total();
        report.device = device.total();
        Ok(report)
    }

    /// Hands out the finished pictures, in order.
    fn hand_out(&mut self, report: &mut InferenceReport) -> ControlFlow<()> {
        while let Some(front) = self.waiting.front_mut() {
            let score = match front.failure.take() {
                Some(error) => Err(error),
                None => match self.batcher.pop() {
                    Some(((), score)) if score.score.is_finite() => Ok(score),
                    Some(_) => Err(PictureError::NotFinite),
                    None => break,
                },
            };
            let Some(Waiting { source, size, .. }) = self.waiting.pop_front() else {
                break;
            };
            report.pictures += 1;
            report.failed += u64::from(score.is_err());
            (self.on_outcome)(source, PictureOutcome { size, score })?;
        }
        ControlFlow::Continue(())
    }
}
