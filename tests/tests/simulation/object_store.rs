//! The simulated object store. Each request takes a while, and may fail: before it has an effect, or after.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::scoring::Illness;

/// A request normally takes at most this long.
const LATENCY_MAX_MILLIS: u64 = 60;

/// One in this many requests takes seconds.
const STALLS: u32 = 200;

/// How often a request that waits for its machine looks whether it may go on.
const PAUSE_CHECK: Duration = Duration::from_millis(200);

/// What the store makes of a conditional put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConditionalPuts {
    Kept,
    Ignored,
    Refused,
}

/// The objects with the store's moods.
#[derive(Debug)]
pub(super) struct Objects {
    objects: InMemory,
    conditional: ConditionalPuts,
    /// Of a thousand requests, those that fail.
    failures: AtomicU64,
    random: Mutex<ChaCha8Rng>,
}

/// The fate of a request.
enum Fate {
    Answered,
    /// It has no effect, and an error is the answer.
    Refused,
    /// It has its effect, and an error is the answer.
    AnswerLost,
}

impl Objects {
    pub(super) fn new(random: &mut ChaCha8Rng) -> Objects {
        let conditional = match random.random_range(0..10) {
            0 => ConditionalPuts::Ignored,
            1 => ConditionalPuts::Refused,
            _ => ConditionalPuts::Kept,
        };
        let failures = AtomicU64::new(random.random_range(0..30));
        Objects {
            objects: InMemory::new(),
            conditional,
            failures,
            random: Mutex::new(ChaCha8Rng::seed_from_u64(random.random())),
        }
    }

    /// Makes every request succeed from now on.
    pub(super) fn mend(&self) {
        self.failures.store(0, Relaxed);
    }

    /// Returns the objects without latency and faults.
    pub(super) fn plain(&self) -> &InMemory {
        &self.objects
    }

    async fn fate(&self) -> Fate {
        let (latency, fate) = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            let stalls = self.failures.load(Relaxed) > 0 && random.random_ratio(1, STALLS);
            let millis =
                if stalls { random.random_range(1000..20_000) } else { random.random_range(1..LATENCY_MAX_MILLIS) };
            let fate = match random.random_range(0..1000) < self.failures.load(Relaxed) {
                false => Fate::Answered,
                true if random.random() => Fate::Refused,
                true => Fate::AnswerLost,
            };
            (Duration::from_millis(millis), fate)
        };
        tokio::time::sleep(latency).await;
        fate
    }
}

/// The store as one machine reaches it.
#[derive(Debug)]
pub(super) struct StoreHandle {
    objects: Arc<Objects>,
    is_paused: AtomicBool,
    illness: Mutex<Option<Illness>>,
}

impl StoreHandle {
    pub(super) fn new(objects: Arc<Objects>) -> StoreHandle {
        StoreHandle { objects, is_paused: AtomicBool::new(false), illness: Mutex::default() }
    }

    /// Makes the machine's requests wait before they reach the store, or lets them go on: a process that was stopped writes
    /// what it wanted to write when it continues.
    pub(super) fn pause(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Relaxed);
    }

    /// Returns how the machine is ill.
    pub(super) fn illness(&self) -> Option<Illness> {
        *self.illness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_illness(&self, illness: Option<Illness>) {
        *self.illness.lock().unwrap_or_else(PoisonError::into_inner) = illness;
    }

    async fn request<T>(&self, effect: impl Future<Output = Result<T>>) -> Result<T> {
        let fate = self.objects.fate().await;
        while self.is_paused.load(Relaxed) {
            tokio::time::sleep(PAUSE_CHECK).await;
        }
        match fate {
            Fate::Answered => effect.await,
            Fate::Refused => Err(unavailable()),
            Fate::AnswerLost => {
                let _ = effect.await;
                Err(unavailable())
            }
        }
    }
}

fn unavailable() -> Error {
    Error::Generic { store: "simulated", source: "503 Slow Down".into() }
}

impl fmt::Display for StoreHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a simulated store")
    }
}

#[async_trait]
impl ObjectStore for StoreHandle {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let is_conditional = options.mode != PutMode::Overwrite;
        let options = match self.objects.conditional {
            ConditionalPuts::Refused if is_conditional => {
                return Err(Error::NotImplemented {
                    operation: "put with a condition".to_owned(),
                    implementer: "a simulated store".to_owned(),
                });
            }
            ConditionalPuts::Ignored => PutOptions { mode: PutMode::Overwrite, ..options },
            _ => options,
        };
        self.request(self.objects.objects.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.request(self.objects.objects.put_multipart_opts(location, options)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.request(self.objects.objects.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.request(self.objects.objects.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let handle = Arc::new(StoreHandle::new(self.objects.clone()));
        handle.pause(self.is_paused.load(Relaxed));
        let delete = move |location: Result<Path>| {
            let handle = handle.clone();
            async move {
                let location = location?;
                let one = futures::stream::iter([Ok(location.clone())]).boxed();
                let deleting = handle.objects.objects.delete_stream(one).try_collect::<Vec<_>>();
                handle.request(deleting).await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (objects, prefix) = (self.objects.clone(), prefix.cloned());
        let listing = async move {
            match objects.fate().await {
                Fate::Answered => objects.objects.list(prefix.as_ref()).boxed(),
                _ => futures::stream::iter([Err(unavailable())]).boxed(),
            }
        };
        listing.flatten_stream().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.request(self.objects.objects.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.request(self.objects.objects.copy_opts(from, to, options)).await
    }
}
