//! The state of a worker: the attempts that run on its device slots, and the finished ones until the coordinator
//! acknowledges them.
//!
//! A node refuses a shard task whose result would be wrong, stops attempts that the coordinator gave up, and ends the
//! process if a device hangs: nothing else frees the device.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dqa_engine::shard::operator::{BoxError, RowScorer};
use dqa_engine::shard::{ScoringProgress, ShardOutcome, StopFlag};
use dqa_pipelines::causes;
use dqa_pipelines::parts::{self, PartState};
use dqa_pipelines::store::{StoreError, StoreResolver};
use dqa_proto::v1::{DeviceClass, Failure, FailureKind, Finished, Report, Running, Scored, Totals, finished};
use dqa_service::cluster::{ShardTask, Task, TrainingTask};
use dqa_service::telemetry::metrics;
use dqa_service::wire::failure_kind_name;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{Notify, RwLock};
use tokio::time::Instant;
use tracing::{Instrument, error, info, info_span, warn};

/// Time that an attempt past its deadline has to stop: a picture's time on the slowest machine. After that the
/// device counts as hung.
const STOP_MAX: Duration = Duration::from_secs(30);
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A slot on a device, for one shard.
pub struct DeviceSlot {
    /// Index of the device.
    pub device: usize,
    /// The runtime that reads pictures.
    pub runtime: Handle,
    /// Set when the attempt must stop.
    pub stop: StopFlag,
    /// Counters of the attempt.
    pub progress: Arc<ScoringProgress>,
    /// What a training is doing, for people to read.
    pub activity: Arc<Mutex<String>>,
    begun: Arc<OnceLock<Instant>>,
}

impl DeviceSlot {
    /// Marks the beginning of scoring on the device, once the model is loaded. The attempt's deadline counts from it.
    pub fn begin(&self) {
        self.begun.get_or_init(Instant::now);
    }
}

/// Why a shard was not scored.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ShardFailure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// The error with its causes.
    pub message: String,
    /// Whether this process cannot score any more.
    pub is_fatal: bool,
}

impl ShardFailure {
    /// Creates a failure of an error with all its causes.
    pub fn new(kind: FailureKind, error: impl Into<anyhow::Error>) -> ShardFailure {
        let error: anyhow::Error = error.into();
        ShardFailure { kind, message: causes(error.as_ref()).to_string(), is_fatal: false }
    }

    /// Creates the failure of a store, or of this machine if another might succeed.
    pub fn of_store(error: StoreError) -> ShardFailure {
        let kind = if error.depends_on_machine() { FailureKind::Worker } else { FailureKind::Store };
        ShardFailure::new(kind, error)
    }
}

/// Scores a shard on a device slot. The program's executor runs models on devices; tests use others.
pub trait ShardExecutor: Send + Sync + 'static {
    /// Returns the class of the devices.
    fn class(&self) -> DeviceClass;

    /// Returns the devices' labels.
    fn devices(&self) -> Vec<String>;

    /// Scores a shard and writes its part. Calls [`DeviceSlot::begin`] when the shard goes to the device. What blocks
    /// goes through [`score_blocking`].
    ///
    /// # Errors
    /// Fails if the shard cannot be scored, with the kind of failure.
    fn score(
        self: Arc<Self>,
        task: ShardTask,
        slot: DeviceSlot,
    ) -> BoxFuture<'static, Result<ShardOutcome, ShardFailure>>;

    /// Trains or tests, and writes the outcome. As [`ShardExecutor::score`] otherwise; the outcome has no rows.
    ///
    /// # Errors
    /// Fails if it cannot be done, with the kind of failure. What was learned until then is in the store.
    fn train(
        self: Arc<Self>,
        task: TrainingTask,
        slot: DeviceSlot,
    ) -> BoxFuture<'static, Result<ShardOutcome, ShardFailure>>;
}

/// Scores a shard on a thread that may block. A panic is a failure of the shard.
pub fn score_blocking(
    score: impl FnOnce() -> Result<ShardOutcome, ShardFailure> + Send + 'static,
) -> BoxFuture<'static, Result<ShardOutcome, ShardFailure>> {
    let span = tracing::Span::current();
    let scoring = tokio::task::spawn_blocking(move || span.in_scope(score));
    Box::pin(async { scoring.await.unwrap_or_else(|panic| Err(ShardFailure::new(FailureKind::Internal, panic))) })
}

/// A worker without its port and its sessions: it runs tasks of shards, and knows the state of each.
pub struct Node {
    executor: Arc<dyn ShardExecutor>,
    runtime: Handle,
    resolver: StoreResolver,
    /// Shared by ordinary attempts; held exclusively by an attempt that must run alone.
    exclusivity: RwLock<()>,
    /// Number of attempts on each device.
    load: Vec<AtomicUsize>,
    attempts: Mutex<Attempts>,
    changed: Notify,
    is_draining: AtomicBool,
    /// Whether a report has said that the worker drains.
    is_drain_reported: AtomicBool,
    is_broken: AtomicBool,
}

#[derive(Default)]
struct Attempts {
    running: BTreeMap<u64, Attempt>,
    /// Finished attempts that the coordinator has not acknowledged.
    finished: BTreeMap<u64, Finished>,
    totals: Totals,
}

struct Attempt {
    part: String,
    since: Instant,
    /// When scoring on the device began.
    begun: Arc<OnceLock<Instant>>,
    deadline: Duration,
    stop: StopFlag,
    /// Why the attempt was stopped.
    stop_reason: Option<FailureKind>,
    progress: Arc<ScoringProgress>,
    activity: Arc<Mutex<String>>,
}

impl Node {
    /// Creates a node. Pictures are read on `runtime`.
    pub fn new(executor: Arc<dyn ShardExecutor>, runtime: Handle) -> Arc<Node> {
        let load = executor.devices().iter().map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Node {
            executor,
            runtime,
            resolver: StoreResolver::default(),
            exclusivity: RwLock::new(()),
            load,
            attempts: Mutex::default(),
            changed: Notify::new(),
            is_draining: AtomicBool::new(false),
            is_drain_reported: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
        })
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the whole state for the coordinator.
    pub(super) fn report(&self) -> Report {
        let attempts = self.attempts();
        let running = attempts.running.iter().map(|(id, attempt)| Running {
            attempt: *id,
            part: attempt.part.clone(),
            windows_done: attempt.progress.windows.load(Relaxed),
            scoring: attempt.begun.get().is_some(),
            activity: attempt.activity.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        });
        let mut totals = attempts.totals;
        for attempt in attempts.running.values() {
            add_progress(&mut totals, &attempt.progress);
        }
        let draining = self.is_draining.load(Relaxed);
        self.is_drain_reported.store(draining, Relaxed);
        Report {
            running: running.collect(),
            finished: attempts.finished.values().cloned().collect(),
            draining,
            totals: Some(totals),
        }
    }

    /// Waits until there is something new to report.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Forgets these finished attempts, which the coordinator has acknowledged.
    pub(super) fn acknowledge(&self, attempts: &[u64]) {
        self.attempts().finished.retain(|attempt, _| !attempts.contains(attempt));
        self.changed.notify_one();
    }

    /// Stops attempts, with the reason for their failure.
    pub(super) fn stop(&self, ids: &[u64], reason: FailureKind) {
        for (id, attempt) in &mut self.attempts().running {
            if ids.contains(id) && attempt.stop_reason.is_none() {
                info!(attempt = id, part = attempt.part, "told to stop");
                attempt.stop_reason = Some(reason);
                attempt.stop.stop();
            }
        }
    }

    /// Accepts no more shard tasks from now on.
    pub fn drain(&self) {
        self.is_draining.store(true, Relaxed);
        self.changed.notify_one();
    }

    /// Stops all attempts and hands their shards back.
    pub(super) fn hand_back(&self) {
        let ids: Vec<u64> = self.attempts().running.keys().copied().collect();
        self.stop(&ids, FailureKind::HandedBack);
    }

    /// Returns whether no attempt runs and the coordinator has acknowledged all outcomes.
    pub fn is_idle(&self) -> bool {
        let attempts = self.attempts();
        attempts.running.is_empty() && attempts.finished.is_empty()
    }

    /// Returns whether a report has said that the worker drains.
    pub fn is_drain_reported(&self) -> bool {
        self.is_drain_reported.load(Relaxed)
    }

    /// Returns whether any attempt runs.
    pub(super) fn is_scoring(&self) -> bool {
        !self.attempts().running.is_empty()
    }

    /// Returns whether a device is unusable.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Relaxed)
    }

    /// Checks deadlines on a thread of its own, which a hung runtime cannot block. Ends the process with `exit_code` if
    /// an attempt does not stop.
    pub(super) fn watch_deadlines(self: &Arc<Node>, exit_code: i32) {
        let node = Arc::downgrade(self);
        std::thread::spawn(move || {
            while let Some(node) = node.upgrade() {
                if let Some(part) = node.stop_overdue() {
                    error!(part, "the device does not come back; this process ends, for its supervisor to start again");
                    std::process::exit(exit_code);
                }
                drop(node);
                std::thread::sleep(CHECK_EVERY);
            }
        });
    }

    /// Stops attempts that are past their deadline. Returns the part of an attempt that has not stopped in time.
    pub fn stop_overdue(&self) -> Option<String> {
        for (id, attempt) in &mut self.attempts().running {
            let on_device = attempt.begun.get().map_or(Duration::ZERO, Instant::elapsed);
            let late = on_device.saturating_sub(attempt.deadline);
            if late > Duration::ZERO && attempt.stop_reason.is_none() {
                warn!(attempt = id, part = attempt.part, "past its deadline");
                attempt.stop_reason = Some(FailureKind::Deadline);
                attempt.stop.stop();
            }
            if late > STOP_MAX {
                return Some(attempt.part.clone());
            }
        }
        None
    }

    /// Runs a task on the device with the fewest attempts.
    async fn run_on_device(self: &Arc<Node>, task: Task) -> Result<ShardOutcome, ShardFailure> {
        let (exclusive, shared);
        if task.is_alone() {
            exclusive = self.exclusivity.write().await;
            let _ = &exclusive;
        } else {
            shared = self.exclusivity.read().await;
            let _ = &shared;
        }
        let mut slot = self.device_slot(task.attempt());
        if slot.stop.is_stopped() {
            return Err(ShardFailure {
                kind: FailureKind::Stopped,
                message: "told to stop".to_owned(),
                is_fatal: false,
            });
        }
        if let Task::Shard(task) = &task
            && let Some(outcome) = self.find_parts(task).await?
        {
            return Ok(outcome);
        }
        let device = (0..self.load.len()).min_by_key(|device| self.load[*device].load(Relaxed)).unwrap_or(0);
        self.load[device].fetch_add(1, Relaxed);
        slot.device = device;
        let executor = self.executor.clone();
        let ended = match task {
            Task::Shard(task) => executor.score(*task, slot).await,
            Task::Training(task) => executor.train(*task, slot).await,
        };
        self.load[device].fetch_sub(1, Relaxed);
        ended
    }

    /// Returns the outcome of a shard whose parts are in the store already: a worker that was given up too early may
    /// have written them.
    async fn find_parts(&self, task: &ShardTask) -> Result<Option<ShardOutcome>, ShardFailure> {
        if task.shard.retry_failed {
            return Ok(None);
        }
        let store = self.resolver.open(&task.shard.store).map_err(ShardFailure::of_store)?;
        let pictures = task.shard.pictures.len() as u64;
        let keys: Vec<_> = task.shard.parts.iter().map(|part| (part.key(), pictures)).collect();
        let mut failed = 0;
        for found in parts::inspect_all(&store, keys).await.map_err(ShardFailure::of_store)? {
            match found {
                PartState::Complete(counts) => failed += counts.failed,
                PartState::Missing | PartState::Damaged(_) => return Ok(None),
            }
        }
        let (key, rows) = (task.shard.name(), task.shard.rows());
        Ok(Some(ShardOutcome { key, rows, failed, reused: rows, windows: 0, wall: Duration::ZERO }))
    }

    /// Returns the slot of a running attempt, on the first device, with the state that they share.
    fn device_slot(&self, id: u64) -> DeviceSlot {
        let attempts = self.attempts();
        let attempt = &attempts.running[&id];
        DeviceSlot {
            device: 0,
            runtime: self.runtime.clone(),
            stop: attempt.stop.clone(),
            progress: attempt.progress.clone(),
            activity: attempt.activity.clone(),
            begun: attempt.begun.clone(),
        }
    }

    fn insert_attempt(&self, task: &Task) {
        let attempt = Attempt {
            part: task.name(),
            since: Instant::now(),
            begun: Arc::default(),
            deadline: task.deadline(),
            stop: StopFlag::default(),
            stop_reason: None,
            progress: Arc::default(),
            activity: Arc::default(),
        };
        self.attempts().running.insert(task.attempt(), attempt);
        self.changed.notify_one();
    }

    fn finish_attempt(&self, id: u64, part: String, result: &Result<ShardOutcome, ShardFailure>) {
        let mut attempts = self.attempts();
        let attempt = attempts.running.remove(&id);
        if let Some(attempt) = &attempt {
            add_progress(&mut attempts.totals, &attempt.progress);
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
            Err(failure) => {
                let stop_reason = attempt.and_then(|attempt| attempt.stop_reason);
                let kind = stop_reason.filter(|_| failure.kind == FailureKind::Stopped).unwrap_or(failure.kind);
                metrics::SHARDS.with_label_values(&[failure_kind_name(kind)]).inc();
                warn!(part, kind = failure_kind_name(kind), why = failure.message, "shard not scored");
                self.is_broken.fetch_or(failure.is_fatal, Relaxed);
                finished::Outcome::Failure(Failure { kind: kind.into(), message: failure.message.clone() })
            }
        };
        attempts.finished.insert(id, Finished { attempt: id, part, outcome: Some(outcome) });
        drop(attempts);
        self.changed.notify_one();
    }
}

/// Adds an attempt's counters to the totals.
fn add_progress(totals: &mut Totals, progress: &ScoringProgress) {
    totals.windows += progress.windows.load(Relaxed);
    totals.pictures += progress.pictures.load(Relaxed);
    totals.pictures_failed += progress.failed.load(Relaxed);
}

/// Records the end of an attempt when it is dropped, however its task ends.
struct AttemptGuard<'a> {
    node: &'a Node,
    attempt: u64,
    part: String,
    result: Result<ShardOutcome, ShardFailure>,
}

impl Drop for AttemptGuard<'_> {
    fn drop(&mut self) {
        self.node.finish_attempt(self.attempt, std::mem::take(&mut self.part), &self.result);
    }
}

/// Runs rows that are tasks.
pub(super) struct TaskRowScorer(pub(super) Arc<Node>);

#[async_trait]
impl RowScorer for TaskRowScorer {
    async fn score(&self, row: &str) -> Result<ShardOutcome, BoxError> {
        let (node, task) = (self.0.clone(), Task::from_text(row)?);
        // On the process's own runtime: connections to stores outlive Ballista's runtimes.
        let scoring = self.0.runtime.spawn(async move { node.run(task).await });
        Ok(scoring.await??)
    }
}

impl Node {
    /// Runs an attempt. Its outcome is in the node's reports too.
    ///
    /// # Errors
    /// Fails if the shard is not scored, or the training is not done.
    pub async fn run(self: &Arc<Node>, task: Task) -> Result<ShardOutcome, ShardFailure> {
        let (run, part, attempt) = (task.run(), task.name(), task.attempt());
        let span = match &task {
            Task::Shard(_) => info_span!("shard", run, part, attempt),
            Task::Training(_) => info_span!("training", run, part, attempt),
        };
        self.run_in_span(task).instrument(span).await
    }

    async fn run_in_span(self: &Arc<Node>, task: Task) -> Result<ShardOutcome, ShardFailure> {
        let lost =
            ShardFailure { kind: FailureKind::Internal, message: "the task was aborted".to_owned(), is_fatal: false };
        self.insert_attempt(&task);
        let (attempt, part) = (task.attempt(), task.name());
        let mut guard = AttemptGuard { node: self, attempt, part, result: Err(lost) };
        let result = if self.is_draining.load(Relaxed) {
            let message = "the worker is ending".to_owned();
            Err(ShardFailure { kind: FailureKind::HandedBack, message, is_fatal: false })
        } else {
            self.run_on_device(task).await
        };
        guard.result = match &result {
            Ok(outcome) => Ok(outcome.clone()),
            Err(failure) => Err(ShardFailure { message: failure.message.clone(), ..*failure }),
        };
        drop(guard);
        result
    }
}
