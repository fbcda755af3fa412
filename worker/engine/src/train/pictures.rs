//! The pictures of a training: read and decoded ahead, on threads of their own and in order, and kept decoded within a
//! budget of bytes. Which pictures are kept affects only the time that an epoch takes.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use dqa_model::{INPUT_SIDE, Rgb8, whole_view};
use dqa_pipelines::store::StoreResolver;
use dqa_pipelines::train::TrialPicture;
use tokio::runtime::Handle;

use crate::decode::{self, Limits, PictureError};
use crate::fetch;

/// Pictures that are read and not yet decoded: enough that a decoder never waits for a file of a typical size.
const READ_MAX: usize = 16;

/// Pictures that are decoded and not yet used: two batches of the authors' size.
const READY_MAX: usize = 128;

/// A decoded picture.
pub(super) struct DecodedPicture {
    pub(super) picture: Rgb8,
    whole_view: OnceLock<Arc<Rgb8>>,
}

impl DecodedPicture {
    /// Returns the whole picture at the model's input size; resizes it on the first call.
    pub(super) fn whole_view(&self) -> Arc<Rgb8> {
        self.whole_view.get_or_init(|| Arc::new(whole_view(&self.picture, INPUT_SIDE))).clone()
    }

    /// Returns the bytes of the pixels and of the whole view, which may not exist yet.
    fn bytes(&self) -> u64 {
        self.picture.pixels().len() as u64 + u64::from(INPUT_SIDE * INPUT_SIDE) * Rgb8::CHANNELS as u64
    }
}

/// The pictures of trials, by address and version.
pub(super) struct Pictures {
    resolver: Arc<StoreResolver>,
    threads: usize,
    limits: Limits,
    bytes_max: u64,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    pictures: HashMap<Version, Arc<DecodedPicture>>,
    bytes: u64,
    /// Width and height of every picture that was decoded once, whether it is kept or not.
    sizes: HashMap<Version, (u32, u32)>,
}

/// A picture's address and its version there.
type Version = (String, String);

fn version(picture: &TrialPicture) -> Version {
    (picture.uri.clone(), picture.version.clone())
}

/// A picture on its way to a decode thread.
struct Job<'a, T> {
    picture: &'a TrialPicture,
    source: Source,
    done: Sender<Result<T, PictureError>>,
}

enum Source {
    Cached(Arc<DecodedPicture>),
    Read(Result<Vec<u8>, PictureError>),
}

impl Pictures {
    pub(super) fn new(threads: usize, limits: Limits, bytes_max: u64) -> Pictures {
        Pictures { resolver: Arc::default(), threads: threads.max(1), limits, bytes_max, cache: Mutex::default() }
    }

    pub(super) fn resolver(&self) -> &Arc<StoreResolver> {
        &self.resolver
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Decodes every picture that was not decoded before, and returns those that cannot be decoded or have a side
    /// shorter than `side_min`, each with its error. Calls `each` with the number of pictures that are still to be
    /// decoded.
    pub(super) fn check<'a>(
        &self,
        pictures: impl Iterator<Item = &'a TrialPicture>,
        side_min: u32,
        runtime: &Handle,
        mut each: impl FnMut(usize),
    ) -> Vec<(&'a TrialPicture, PictureError)> {
        let mut failed = Vec::new();
        let mut check_size = |picture, size: Result<(u32, u32), PictureError>| match size {
            Ok((width, height)) if width < side_min || height < side_min => {
                failed.push((picture, PictureError::TooSmall { width, height, side_min }));
            }
            Ok(_) => {}
            Err(error) => failed.push((picture, error)),
        };
        let mut new = Vec::new();
        for picture in pictures {
            match self.lock().sizes.get(&version(picture)) {
                Some(size) => check_size(picture, Ok(*size)),
                None => new.push(picture),
            }
        }
        let size = |_: &TrialPicture, decoded: &DecodedPicture| Ok((decoded.picture.width(), decoded.picture.height()));
        let ended = self.each_ahead(&new, runtime, size, |index, size| {
            if let Ok(size) = size {
                self.lock().sizes.insert(version(new[index]), size);
            }
            check_size(new[index], size);
            each(new.len() - index - 1);
            ControlFlow::<()>::Continue(())
        });
        assert!(ended.is_continue(), "the callback never breaks");
        failed
    }

    /// Calls `make` for each picture on the decode threads, and `each` with the results in the pictures' order.
    pub(super) fn each_ahead<T: Send, B>(
        &self,
        pictures: &[&TrialPicture],
        runtime: &Handle,
        make: impl Fn(&TrialPicture, &DecodedPicture) -> Result<T, PictureError> + Sync,
        mut each: impl FnMut(usize, Result<T, PictureError>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let cached: Vec<Option<Arc<DecodedPicture>>> = {
            let cache = self.lock();
            pictures.iter().map(|picture| cache.pictures.get(&version(picture)).cloned()).collect()
        };
        let to_read = pictures.iter().zip(&cached).filter(|(_, cached)| cached.is_none());
        let to_read = to_read.map(|(picture, _)| (picture.uri.clone(), picture.bytes)).collect();
        let mut read = fetch::read_pictures(&self.resolver, to_read, &self.limits, runtime);
        let (jobs_in, jobs) = bounded::<Job<'_, T>>(READ_MAX);
        let (results_in, results) = bounded::<Receiver<Result<T, PictureError>>>(READY_MAX);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for (picture, cached) in pictures.iter().zip(cached) {
                    let source = match cached {
                        Some(decoded) => Source::Cached(decoded),
                        None => Source::Read(read.next().expect("every file is read").take()),
                    };
                    let (done, made) = bounded(1);
                    // The receivers are gone if `each` broke off.
                    if results_in.send(made).is_err() || jobs_in.send(Job { picture, source, done }).is_err() {
                        return;
                    }
                }
            });
            for _ in 0..self.threads {
                let (jobs, make) = (jobs.clone(), &make);
                scope.spawn(move || {
                    for Job { picture, source, done } in jobs {
                        let decoded = self.decode(picture, source);
                        let _ = done.send(decoded.and_then(|decoded| make(picture, &decoded)));
                    }
                });
            }
            drop(jobs);
            let results = results; // dropped with this closure, so that the threads end
            for (index, made) in results.iter().enumerate() {
                each(index, made.recv().expect("a decode thread answers every job"))?;
            }
            ControlFlow::Continue(())
        })
    }

    fn decode(&self, picture: &TrialPicture, source: Source) -> Result<Arc<DecodedPicture>, PictureError> {
        let bytes = match source {
            Source::Cached(decoded) => return Ok(decoded),
            Source::Read(bytes) => bytes?,
        };
        let pixels = decode::decode(&bytes, &Limits { side_min: 1, ..self.limits.clone() })?;
        let decoded = Arc::new(DecodedPicture { picture: pixels, whole_view: OnceLock::new() });
        let mut cache = self.lock();
        // First come, first kept: an epoch's order is random, so no picture is a better choice than another.
        if cache.bytes + decoded.bytes() <= self.bytes_max
            && cache.pictures.insert(version(picture), decoded.clone()).is_none()
        {
            cache.bytes += decoded.bytes();
        }
        Ok(decoded)
    }

    /// Locks the cache, which is consistent at every unlock, also after a panic.
    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
