//! What a worker has under way: orders, each on a seat at a device, and what became of them until the coordinator knows.
//!
//! It refuses what it cannot do without a wrong result, stops what is for nobody any more, and ends the process where a
//! device does not come back: only that frees it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dqa_engine::shard::operator::{Cause, Scores};
use dqa_engine::shard::{Progress, ShardOutcome, Stop};
use dqa_pipelines::causes;
use dqa_pipelines::parts::{self, Found};
use dqa_pipelines::store::StoreResolver;
use dqa_proto::v1::{DeviceClass, Failure, FailureKind, Finished, Report, Running, Scored, Totals, finished};
use dqa_service::cluster::ShardTask;
use dqa_service::telemetry::metrics;
use dqa_service::wire::kind_name;
use tokio::runtime::Handle;
use tokio::sync::{Notify, RwLock};
use tracing::{Instrument, error, info, info_span, warn};

/// A shard that is past its deadline has this long to notice: a picture's time on the slowest machine. Then its device is
/// taken for wedged.
const NOTICE_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where one shard is scored.
pub struct DeviceSlot {
    /// Which of the devices.
    pub device: usize,
    /// Reads for it.
    pub runtime: Handle,
    /// Told when it is for nobody any more.
    pub stop: Stop,
    /// Counts as it goes.
    pub progress: Arc<Progress>,
    begun: Arc<OnceLock<Instant>>,
}

impl DeviceSlot {
    /// The model is there, and the shard goes to the device: from now on it has its deadline.
    pub fn begin(&self) {
        self.begun.get_or_init(Instant::now);
    }
}

/// Why a shard was not scored.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ShardFailure {
    /// What kind of trouble.
    pub kind: FailureKind,
    /// What happened, with its causes.
    pub message: String,
    /// Whether this process can score no more.
    pub is_fatal: bool,
}

impl ShardFailure {
    /// Of a kind, with all its causes.
    pub fn new(kind: FailureKind, error: impl Into<anyhow::Error>) -> ShardFailure {
        let error: anyhow::Error = error.into();
        ShardFailure { kind, message: causes(error.as_ref()).to_string(), is_fatal: false }
    }
}

/// What scores a shard on a seat. Here it is a model on a device; tests put in others.
pub trait ShardExecutor: Send + Sync + 'static {
    /// What the devices are.
    fn class(&self) -> DeviceClass;

    /// The devices, as they are shown.
    fn devices(&self) -> Vec<String>;

    /// Scores a shard and writes its part. Blocks. Says with [`DeviceSlot::begin`] when it is on the device.
    ///
    /// # Errors
    /// Where it could not, with what kind of trouble it was.
    fn score(&self, order: &ShardTask, seat: &DeviceSlot) -> Result<ShardOutcome, ShardFailure>;
}

/// What a worker has under way.
pub(super) struct Node {
    scorers: Arc<dyn ShardExecutor>,
    runtime: Handle,
    addresses: StoreResolver,
    /// Read by who may have company, written by who must be alone.
    company: RwLock<()>,
    /// Orders on each device.
    load: Vec<AtomicUsize>,
    work: Mutex<Work>,
    changed: Notify,
    is_draining: AtomicBool,
    /// That it drains is in a report.
    has_told: AtomicBool,
    is_broken: AtomicBool,
}

#[derive(Default)]
struct Work {
    running: BTreeMap<u64, Attempt>,
    /// Until the coordinator has acknowledged them.
    finished: BTreeMap<u64, Finished>,
    totals: Totals,
}

struct Attempt {
    part: String,
    since: Instant,
    /// Since when it is on the device.
    begun: Arc<OnceLock<Instant>>,
    deadline: Duration,
    stop: Stop,
    /// Why it was told to stop.
    stopped: Option<FailureKind>,
    progress: Arc<Progress>,
}

impl Node {
    pub(super) fn new(scorers: Arc<dyn ShardExecutor>, runtime: Handle) -> Arc<Node> {
        let load = scorers.devices().iter().map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Node {
            scorers,
            runtime,
            addresses: StoreResolver::default(),
            company: RwLock::new(()),
            load,
            work: Mutex::default(),
            changed: Notify::new(),
            is_draining: AtomicBool::new(false),
            has_told: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
        })
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that the coordinator may want to know.
    pub(super) fn report(&self) -> Report {
        let work = self.work();
        let running = work.running.iter().map(|(attempt, of)| Running {
            attempt: *attempt,
            part: of.part.clone(),
            windows_done: of.progress.windows.load(Relaxed),
            scoring: of.begun.get().is_some(),
        });
        let mut totals = work.totals;
        for of in work.running.values() {
            add(&mut totals, &of.progress);
        }
        let draining = self.is_draining.load(Relaxed);
        self.has_told.store(draining, Relaxed);
        Report {
            running: running.collect(),
            finished: work.finished.values().cloned().collect(),
            draining,
            totals: Some(totals),
        }
    }

    /// Until there is something new to report.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The coordinator knows these outcomes.
    pub(super) fn acknowledge(&self, attempts: &[u64]) {
        self.work().finished.retain(|attempt, _| !attempts.contains(attempt));
        self.changed.notify_one();
    }

    /// These attempts are for nobody any more.
    pub(super) fn stop(&self, attempts: &[u64], why: FailureKind) {
        for (attempt, of) in &mut self.work().running {
            if attempts.contains(attempt) && of.stopped.is_none() {
                info!(attempt, part = of.part, "told to stop");
                of.stopped = Some(why);
                of.stop.stop();
            }
        }
    }

    /// Takes no more orders.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Relaxed);
        self.changed.notify_one();
    }

    /// Gives back what is under way.
    pub(super) fn hand_back(&self) {
        let attempts: Vec<u64> = self.work().running.keys().copied().collect();
        self.stop(&attempts, FailureKind::HandedBack);
    }

    /// Whether nothing is under way, and the coordinator knows all outcomes.
    pub(super) fn is_idle(&self) -> bool {
        let work = self.work();
        work.running.is_empty() && work.finished.is_empty()
    }

    /// Whether the coordinator has been told that it drains.
    pub(super) fn has_told_of_drain(&self) -> bool {
        self.has_told.load(Relaxed)
    }

    /// Whether anything is under way.
    pub(super) fn is_scoring(&self) -> bool {
        !self.work().running.is_empty()
    }

    /// Whether its device can do no more.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Relaxed)
    }

    /// Looks after deadlines on a thread of its own, which nothing that hangs can hold up. Ends the process with `code`
    /// where a shard does not stop.
    pub(super) fn watch(self: &Arc<Node>, code: i32) {
        let node = Arc::downgrade(self);
        std::thread::spawn(move || {
            while let Some(node) = node.upgrade() {
                if let Some(part) = node.overdue() {
                    error!(part, "the device does not come back; this process ends, for its supervisor to start again");
                    std::process::exit(code);
                }
                drop(node);
                std::thread::sleep(LOOK_EVERY);
            }
        });
    }

    /// Stops what is past its deadline; the part of one that was told so and goes on.
    fn overdue(&self) -> Option<String> {
        for (attempt, of) in &mut self.work().running {
            let on_device = of.begun.get().map_or(Duration::ZERO, Instant::elapsed);
            let late = on_device.saturating_sub(of.deadline);
            if late > Duration::ZERO && of.stopped.is_none() {
                warn!(attempt, part = of.part, "past its deadline");
                of.stopped = Some(FailureKind::Deadline);
                of.stop.stop();
            }
            if late > NOTICE_MAX {
                return Some(of.part.clone());
            }
        }
        None
    }

    /// Scores an order on the device that has the least to do.
    async fn attempt(self: &Arc<Node>, order: ShardTask) -> Result<ShardOutcome, ShardFailure> {
        let (alone, beside);
        if order.alone {
            alone = self.company.write().await;
            let _ = &alone;
        } else {
            beside = self.company.read().await;
            let _ = &beside;
        }
        let (stop, progress, begun) = self.of(order.attempt);
        if stop.is_stopped() {
            return Err(ShardFailure {
                kind: FailureKind::Stopped,
                message: "told to stop".to_owned(),
                is_fatal: false,
            });
        }
        if let Some(outcome) = self.done_already(&order).await? {
            return Ok(outcome);
        }
        let device = (0..self.load.len()).min_by_key(|device| self.load[*device].load(Relaxed)).unwrap_or(0);
        self.load[device].fetch_add(1, Relaxed);
        let seat = DeviceSlot { device, runtime: self.runtime.clone(), stop, progress, begun };
        let scorers = self.scorers.clone();
        let span = tracing::Span::current();
        let scored = tokio::task::spawn_blocking(move || span.in_scope(|| scorers.score(&order, &seat))).await;
        self.load[device].fetch_sub(1, Relaxed);
        scored.unwrap_or_else(|panic| Err(ShardFailure::new(FailureKind::Internal, panic)))
    }

    /// Somebody else may have made the part: a worker that was given up too early.
    async fn done_already(&self, order: &ShardTask) -> Result<Option<ShardOutcome>, ShardFailure> {
        if order.shard.retry_failed {
            return Ok(None);
        }
        let of_store = |error| ShardFailure::new(FailureKind::Store, error);
        let store = self.addresses.open(&order.shard.store).map_err(of_store)?;
        let (key, rows) = (order.shard.key(), order.shard.pictures.len() as u64);
        let found = parts::find(&store, &key, rows).await.map_err(of_store)?;
        Ok(match found {
            Found::Whole(counts) => {
                Some(ShardOutcome { key, rows, failed: counts.failed, reused: rows, windows: 0, wall: Duration::ZERO })
            }
            Found::Nothing | Found::Damaged(_) => None,
        })
    }

    fn of(&self, attempt: u64) -> (Stop, Arc<Progress>, Arc<OnceLock<Instant>>) {
        let work = self.work();
        let of = &work.running[&attempt];
        (of.stop.clone(), of.progress.clone(), of.begun.clone())
    }

    fn begin(&self, order: &ShardTask) {
        let attempt = Attempt {
            part: order.shard.part.part.clone(),
            since: Instant::now(),
            begun: Arc::default(),
            deadline: Duration::from_secs(order.deadline_seconds),
            stop: Stop::default(),
            stopped: None,
            progress: Arc::default(),
        };
        self.work().running.insert(order.attempt, attempt);
        self.changed.notify_one();
    }

    fn end(&self, id: u64, part: String, result: &Result<ShardOutcome, ShardFailure>) {
        let mut work = self.work();
        let attempt = work.running.remove(&id);
        if let Some(attempt) = &attempt {
            add(&mut work.totals, &attempt.progress);
            metrics::SHARD_SECONDS.observe(attempt.since.elapsed().as_secs_f64());
        }
        let outcome = match result {
            Ok(outcome) => {
                metrics::SHARDS.with_label_values(&["scored"]).inc();
                metrics::WINDOWS.inc_by(outcome.windows);
                metrics::PICTURES.with_label_values(&["scored"]).inc_by(outcome.rows - outcome.failed);
                metrics::PICTURES.with_label_values(&["failed"]).inc_by(outcome.failed);
                finished::Outcome::Scored(Scored {
                    rows: outcome.rows,
                    failed: outcome.failed,
                    reused: outcome.reused,
                    windows: outcome.windows,
                    seconds: outcome.wall.as_secs_f64(),
                })
            }
            Err(trouble) => {
                let told = attempt.and_then(|attempt| attempt.stopped);
                let kind = told.filter(|_| trouble.kind == FailureKind::Stopped).unwrap_or(trouble.kind);
                metrics::SHARDS.with_label_values(&[kind_name(kind)]).inc();
                warn!(part, kind = kind_name(kind), why = trouble.message, "shard not scored");
                self.is_broken.fetch_or(trouble.is_fatal, Relaxed);
                finished::Outcome::Failure(Failure { kind: kind.into(), message: trouble.message.clone() })
            }
        };
        work.finished.insert(id, Finished { attempt: id, part, outcome: Some(outcome) });
        drop(work);
        self.changed.notify_one();
    }
}

fn add(totals: &mut Totals, progress: &Progress) {
    totals.windows += progress.windows.load(Relaxed);
    totals.pictures += progress.pictures.load(Relaxed);
    totals.pictures_failed += progress.failed.load(Relaxed);
}

/// Ends an attempt however its task ends.
struct Ending<'a> {
    node: &'a Node,
    attempt: u64,
    part: String,
    result: Result<ShardOutcome, ShardFailure>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.node.end(self.attempt, std::mem::take(&mut self.part), &self.result);
    }
}

pub(super) struct Rows(pub(super) Arc<Node>);

#[async_trait]
impl Scores for Rows {
    async fn score(&self, row: &str) -> Result<ShardOutcome, Cause> {
        let order = ShardTask::from_text(row)?;
        let node = self.0.clone();
        let span = info_span!("shard", run = order.run, part = order.shard.part.part, attempt = order.attempt);
        // On the process's own runtime: what reads and writes stores outlives Ballista's.
        let task = self.0.runtime.spawn(async move { node.take(order).await }.instrument(span));
        Ok(task.await??)
    }
}

impl Node {
    async fn take(self: &Arc<Node>, order: ShardTask) -> Result<ShardOutcome, ShardFailure> {
        let lost = ShardFailure {
            kind: FailureKind::Internal,
            message: "its task was broken off".to_owned(),
            is_fatal: false,
        };
        self.begin(&order);
        let (attempt, part) = (order.attempt, order.shard.part.part.clone());
        let mut ending = Ending { node: self, attempt, part, result: Err(lost) };
        let result = if self.is_draining.load(Relaxed) {
            let message = "the worker is ending".to_owned();
            Err(ShardFailure { kind: FailureKind::HandedBack, message, is_fatal: false })
        } else {
            self.attempt(order).await
        };
        let told = match &result {
            Ok(outcome) => Ok(outcome.clone()),
            Err(trouble) => Err(ShardFailure { message: trouble.message.clone(), ..*trouble }),
        };
        ending.result = told;
        drop(ending);
        result
    }
}
