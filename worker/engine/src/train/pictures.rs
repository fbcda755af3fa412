//! Pictures for a training: read and decoded ahead of who uses them, on threads of their own, in order; kept decoded as
//! far as a budget of bytes goes. What is kept changes nothing but the time that an epoch takes.

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

/// Pictures that are read but not decoded: enough that a decoder never waits for a file of a typical size.
const READ_MAX: usize = 16;

/// Pictures that are ready and not used: two of the authors' batches.
const READY_MAX: usize = 128;

/// A decoded picture.
pub(super) struct Loaded {
    pub(super) picture: Rgb8,
    whole: OnceLock<Arc<Rgb8>>,
}

impl Loaded {
    /// The whole picture as the model looks at it; made once.
    pub(super) fn whole(&self) -> Arc<Rgb8> {
        self.whole.get_or_init(|| Arc::new(whole_view(&self.picture, INPUT_SIDE))).clone()
    }

    /// With the whole view, whether it was made or not.
    fn bytes(&self) -> u64 {
        self.picture.pixels().len() as u64 + u64::from(INPUT_SIDE * INPUT_SIDE) * Rgb8::CHANNELS as u64
    }
}

/// Pictures of trials, by address and version.
pub(super) struct Pictures {
    addresses: Arc<StoreResolver>,
    threads: usize,
    limits: Limits,
    bytes_max: u64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    pictures: HashMap<Version, Arc<Loaded>>,
    bytes: u64,
    /// Width and height of those that were decoded once, whether they are kept or not.
    good: HashMap<Version, (u32, u32)>,
}

/// A picture in one version.
type Version = (String, String);

fn version(picture: &TrialPicture) -> Version {
    (picture.uri.clone(), picture.version.clone())
}

/// A picture on its way to a thread that decodes.
struct Job<'a, T> {
    picture: &'a TrialPicture,
    source: Source,
    done: Sender<Result<T, PictureError>>,
}

enum Source {
    Kept(Arc<Loaded>),
    Read(Result<Vec<u8>, PictureError>),
}

impl Pictures {
    pub(super) fn new(threads: usize, limits: Limits, bytes_max: u64) -> Pictures {
        Pictures { addresses: Arc::default(), threads: threads.max(1), limits, bytes_max, kept: Mutex::default() }
    }

    pub(super) fn addresses(&self) -> &Arc<StoreResolver> {
        &self.addresses
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Decodes every picture that was not decoded before; those that cannot be or have too short a side, with why. `each`
    /// is told how many are still to be looked at.
    pub(super) fn check<'a>(
        &self,
        pictures: impl Iterator<Item = &'a TrialPicture>,
        side_min: u32,
        runtime: &Handle,
        mut each: impl FnMut(usize),
    ) -> Vec<(&'a TrialPicture, PictureError)> {
        let mut failed = Vec::new();
        let mut judge = |picture, size: Result<(u32, u32), PictureError>| match size {
            Ok((width, height)) if width < side_min || height < side_min => {
                failed.push((picture, PictureError::TooSmall { width, height, side_min }));
            }
            Ok(_) => {}
            Err(error) => failed.push((picture, error)),
        };
        let mut new = Vec::new();
        for picture in pictures {
            match self.lock().good.get(&version(picture)) {
                Some(size) => judge(picture, Ok(*size)),
                None => new.push(picture),
            }
        }
        let size = |_: &TrialPicture, loaded: &Loaded| Ok((loaded.picture.width(), loaded.picture.height()));
        let ended = self.each_ahead(&new, runtime, size, |at, size| {
            if let Ok(size) = size {
                self.lock().good.insert(version(new[at]), size);
            }
            judge(new[at], size);
            each(new.len() - at - 1);
            ControlFlow::<()>::Continue(())
        });
        assert!(ended.is_continue(), "nothing breaks it off");
        failed
    }

    /// Hands what `make` makes of each picture, on the threads that decode, to `each`, in order.
    pub(super) fn each_ahead<T: Send, B>(
        &self,
        pictures: &[&TrialPicture],
        runtime: &Handle,
        make: impl Fn(&TrialPicture, &Loaded) -> Result<T, PictureError> + Sync,
        mut each: impl FnMut(usize, Result<T, PictureError>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let kept: Vec<Option<Arc<Loaded>>> = {
            let kept = self.lock();
            pictures.iter().map(|picture| kept.pictures.get(&version(picture)).cloned()).collect()
        };
        let to_read = pictures.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
        let to_read = to_read.map(|(picture, _)| (picture.uri.clone(), picture.bytes)).collect();
        let mut read = fetch::ahead(&self.addresses, to_read, &self.limits, runtime);
        let (jobs_in, jobs) = bounded::<Job<'_, T>>(READ_MAX);
        let (places_in, places) = bounded::<Receiver<Result<T, PictureError>>>(READY_MAX);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for (picture, kept) in pictures.iter().zip(kept) {
                    let source = match kept {
                        Some(loaded) => Source::Kept(loaded),
                        None => Source::Read(read.next().expect("every file is read").take()),
                    };
                    let (done, made) = bounded(1);
                    // Where nobody waits any more, the use of the pictures was broken off.
                    if places_in.send(made).is_err() || jobs_in.send(Job { picture, source, done }).is_err() {
                        return;
                    }
                }
            });
            for _ in 0..self.threads {
                let (jobs, make) = (jobs.clone(), &make);
                scope.spawn(move || {
                    for Job { picture, source, done } in jobs {
                        let loaded = self.load(picture, source);
                        let _ = done.send(loaded.and_then(|loaded| make(picture, &loaded)));
                    }
                });
            }
            drop(jobs);
            let places = places; // dropped with this closure, so that the threads end
            for (at, made) in places.iter().enumerate() {
                each(at, made.recv().expect("a decode thread answers every job"))?;
            }
            ControlFlow::Continue(())
        })
    }

    fn load(&self, picture: &TrialPicture, source: Source) -> Result<Arc<Loaded>, PictureError> {
        let bytes = match source {
            Source::Kept(loaded) => return Ok(loaded),
            Source::Read(bytes) => bytes?,
        };
        let picture_of = decode::decode(&bytes, &Limits { side_min: 1, ..self.limits.clone() })?;
        let loaded = Arc::new(Loaded { picture: picture_of, whole: OnceLock::new() });
        let mut kept = self.lock();
        // First come, first kept: an epoch's order is random, so no picture is a better choice than another.
        if kept.bytes + loaded.bytes() <= self.bytes_max
            && kept.pictures.insert(version(picture), loaded.clone()).is_none()
        {
            kept.bytes += loaded.bytes();
        }
        Ok(loaded)
    }

    // What is kept is whole at every unlock, also where a thread panicked.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
