//! The scheduler with what its decisions act on: workers' streams, Ballista, the runs' plans. Whatever happens goes through
//! [`ControlPlane::act`], one thing at a time; what comes of it is done here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use dqa_pipelines::causes;
use dqa_pipelines::names::RunName;
use dqa_pipelines::plan::Shard;
use dqa_pipelines::progress::Counter;
use dqa_pipelines::store::{Store, StoreError};
use dqa_proto::v1::{Acknowledge, AttendResponse, DeviceClass, Drain, Poll, Stop, attend_response};
use dqa_proto::{hint, refused};
use dqa_worker::cluster::{ShardTask, ShuffleClient, class_name};
use dqa_worker::net::MESSAGE_BYTES_MAX;
use dqa_worker::shard;
use dqa_worker::telemetry::metrics;
use tokio::sync::mpsc;
use tonic::{Code, Status};
use tracing::{error, info, warn};

use super::ballista_backend::BallistaBackend;
use super::lifecycle::{ActiveRun, Event};
use super::scheduler::{Effect, Policy, RunId, Scheduler, ShardId, Time, Worker};
use super::task_binder::{Offer, Workers};
use crate::run::Roots;

/// Messages on their way to one worker; one that takes none of so many is cut off, and comes back.
const MESSAGES_MAX: usize = 1024;
const TICK_EVERY: Duration = Duration::from_millis(500);
/// Of an order; one that is larger cannot be carried.
const ORDER_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 4;
const CLASSES: [DeviceClass; 2] = [DeviceClass::Cpu, DeviceClass::Cuda];

/// A leading coordinator's state. None of it is missed when the process is killed.
pub(super) struct ControlPlane {
    /// The coordinator's name.
    pub(super) id: String,
    pub(super) store: Store,
    /// Counts how far runs are that are not on the scheduler.
    pub(super) counter: Counter,
    pub(super) roots: Roots,
    scheduler: Mutex<Scheduler>,
    started: Instant,
    streams: Mutex<HashMap<String, mpsc::Sender<AttendResponse>>>,
    runs: Mutex<BTreeMap<RunName, Arc<ActiveRun>>>,
    /// Held while a run is looked for and, if it is not here, taken from the store: it must not be here twice.
    pub(super) finding: tokio::sync::Mutex<()>,
    by_id: Mutex<HashMap<RunId, Arc<ActiveRun>>>,
    backend: OnceLock<BallistaBackend>,
}

/// A store's failure as users see it.
pub(super) fn unanswered(error: &StoreError) -> Status {
    let status = refused(Code::Unavailable, "store", causes(error).to_string());
    hint(status, error.hint().unwrap_or("look whether the coordinator can reach its store, and try again"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ControlPlane {
    /// # Errors
    /// Ballista's own.
    pub(super) async fn open(
        id: String,
        store: Store,
        roots: Roots,
        (policy, term): (Policy, u64),
        flight: ShuffleClient,
    ) -> anyhow::Result<Arc<ControlPlane>> {
        let plane = Arc::new(ControlPlane {
            id,
            store,
            counter: Counter::default(),
            roots,
            scheduler: Mutex::new(Scheduler::new(policy, term)),
            started: Instant::now(),
            streams: Mutex::default(),
            runs: Mutex::default(),
            finding: tokio::sync::Mutex::default(),
            by_id: Mutex::default(),
            backend: OnceLock::new(),
        });
        let backend = BallistaBackend::start(Arc::new(Streams(Arc::downgrade(&plane))), flight).await?;
        let _ = plane.backend.set(backend);
        Ok(plane)
    }

    pub(super) fn backend(&self) -> &BallistaBackend {
        self.backend.get().expect("it is set before anyone has the plane")
    }

    fn now(&self) -> Time {
        self.started.elapsed()
    }

    /// Looks at the scheduler.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Scheduler, Time) -> T) -> T {
        at(&locked(&self.scheduler), self.now())
    }

    /// Changes the scheduler, and does what comes of it.
    pub(super) fn act(self: &Arc<ControlPlane>, with: impl FnOnce(&mut Scheduler, Time) -> Vec<Effect>) {
        let effects = with(&mut locked(&self.scheduler), self.now());
        effects.into_iter().for_each(|effect| self.effect(effect));
    }

    /// Puts a run on the scheduler. What comes of it is done once the control plane knows whose run it is.
    pub(super) fn put_on(
        self: &Arc<ControlPlane>,
        run: &Arc<ActiveRun>,
        with: impl FnOnce(&mut Scheduler, Time) -> (RunId, Vec<Effect>),
    ) -> RunId {
        let (id, effects) = {
            let mut scheduler = locked(&self.scheduler);
            let (id, effects) = with(&mut scheduler, self.now());
            locked(&self.by_id).insert(id, run.clone());
            (id, effects)
        };
        effects.into_iter().for_each(|effect| self.effect(effect));
        id
    }

    /// Takes a run off the scheduler, and stops what is under way for it.
    pub(super) fn take_off(self: &Arc<ControlPlane>, id: RunId) {
        self.act(|scheduler, now| scheduler.remove(id, now));
        locked(&self.by_id).remove(&id);
    }

    /// The runs that this coordinator works on, and those that it has ended.
    pub(super) fn run(&self, name: &RunName) -> Option<Arc<ActiveRun>> {
        locked(&self.runs).get(name).cloned()
    }

    pub(super) fn runs(&self) -> Vec<Arc<ActiveRun>> {
        locked(&self.runs).values().cloned().collect()
    }

    pub(super) fn keep_run(&self, run: Arc<ActiveRun>) {
        locked(&self.runs).insert(run.name.clone(), run);
    }

    /// A run that has ended is in the store.
    pub(super) fn forget_run(&self, run: &Arc<ActiveRun>) {
        let mut runs = locked(&self.runs);
        if runs.get(&run.name).is_some_and(|kept| Arc::ptr_eq(kept, run)) {
            runs.remove(&run.name);
        }
    }

    fn of(&self, id: RunId) -> Option<Arc<ActiveRun>> {
        locked(&self.by_id).get(&id).cloned()
    }

    /// `None` if the run has left the scheduler.
    fn shard(&self, id: ShardId) -> Option<(Arc<ActiveRun>, Shard)> {
        let run = self.of(id.run)?;
        let shard = run.shard(&self.store, id.at)?;
        Some((run, shard))
    }

    /// A worker's stream; the one before, if there was one, is closed.
    pub(super) fn stream(&self, worker: &str) -> mpsc::Receiver<AttendResponse> {
        let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
        locked(&self.streams).insert(worker.to_owned(), sender);
        receiver
    }

    /// Says something to a worker; one that does not take it is cut off.
    pub(super) fn tell(&self, worker: &str, message: attend_response::Message) {
        let mut streams = locked(&self.streams);
        let sent = streams.get(worker).is_some_and(|to| to.try_send(AttendResponse { message: Some(message) }).is_ok());
        if !sent {
            streams.remove(worker);
        }
    }

    /// A worker's stream has ended; another that it may have opened since stays.
    pub(super) fn close(&self, worker: &str, ended: &mut mpsc::Receiver<AttendResponse>) {
        let mut streams = locked(&self.streams);
        ended.close();
        if streams.get(worker).is_some_and(mpsc::Sender::is_closed) {
            streams.remove(worker);
        }
    }

    /// Whether a worker has no stream.
    pub(super) fn is_cut_off(&self, worker: &str) -> bool {
        !locked(&self.streams).contains_key(worker)
    }

    /// A worker's stream has ended, and it has opened no other.
    pub(super) fn leave(self: &Arc<ControlPlane>, worker: &str) {
        self.act(|scheduler, now| scheduler.leave(worker, now));
        if !self.look(|scheduler, _| scheduler.knows(worker)) {
            self.gone(worker.to_owned());
        }
    }

    /// A worker comes no more, and queries do not wait for it.
    fn gone(&self, worker: String) {
        let backend = self.backend().clone();
        tokio::spawn(async move { backend.lose(&worker).await });
    }

    pub(super) fn drain(&self, worker: &str) -> bool {
        let is_here = self.look(|scheduler, _| scheduler.knows(worker));
        if is_here {
            self.tell(worker, attend_response::Message::Drain(Drain {}));
        }
        is_here
    }

    fn effect(self: &Arc<ControlPlane>, effect: Effect) {
        match effect {
            Effect::Order { attempt, shard, worker, alone, deadline } => {
                self.order(attempt, shard, worker, alone, deadline);
            }
            Effect::Stop { worker, attempts } => self.tell(&worker, attend_response::Message::Stop(Stop { attempts })),
            Effect::Acknowledge { worker, attempts } => {
                let backend = self.backend().clone();
                let ended = attempts.clone();
                tokio::spawn(async move {
                    futures::future::join_all(ended.into_iter().map(|attempt| backend.ended(attempt))).await;
                });
                self.tell(&worker, attend_response::Message::Acknowledge(Acknowledge { attempts }));
            }
            Effect::Forget { attempt } => {
                let backend = self.backend().clone();
                tokio::spawn(async move { backend.forget(attempt).await });
            }
            Effect::Done { shard, failed, after } => {
                metrics::SHARDS_DONE.inc();
                if let Some(after) = after {
                    metrics::ATTEMPT_SECONDS.observe(after.as_secs_f64());
                }
                if let Some(run) = self.of(shard.run) {
                    run.shard_done(shard.at, failed);
                }
            }
            Effect::GiveUp { shard, code, message } => self.give_up(shard, code.to_string(), message),
            Effect::Failed { shard, worker, kind, message } => {
                metrics::ATTEMPTS_FAILED.with_label_values(&[kind]).inc();
                if let Some(run) = self.of(shard.run) {
                    let (run, part) = (&run.name, run.part(shard.at));
                    warn!(%run, part, worker, kind, why = message, "attempt failed");
                }
            }
            Effect::Ended { run } => self.signal(run, Event::Ended),
            Effect::Broken { run, message } => self.signal(run, Event::Broken(message)),
            Effect::Lost { worker, why } => {
                metrics::WORKERS_LOST.inc();
                locked(&self.streams).remove(&worker);
                warn!(worker, why, "worker lost");
                self.gone(worker);
            }
        }
    }

    fn signal(&self, id: RunId, event: Event) {
        if let Some(run) = self.of(id) {
            run.signal(id, event);
        }
    }

    /// Has Ballista carry an order to its worker.
    fn order(self: &Arc<ControlPlane>, attempt: u64, id: ShardId, worker: String, alone: bool, deadline: Duration) {
        let plane = self.clone();
        tokio::spawn(async move {
            let Some((run, shard)) = plane.shard(id) else { return };
            let order = ShardTask {
                attempt,
                run: run.name.to_string(),
                model: run.model(),
                deadline_seconds: deadline.as_secs(),
                alone,
                shard,
            };
            let text = order.to_text();
            if text.len() > ORDER_BYTES_MAX {
                let why = format!("an order of {} MiB cannot be sent: take fewer --shard-windows", text.len() >> 20);
                plane.act(|scheduler, now| scheduler.uncarried(attempt, why, true, now));
            } else if let Err(error) = plane.backend().carry(attempt, worker, text).await {
                let why = causes(error.as_ref()).to_string();
                plane.act(|scheduler, now| scheduler.uncarried(attempt, why, false, now));
            }
        });
    }

    /// Writes a shard's rows that say why there are no scores.
    fn give_up(self: &Arc<ControlPlane>, id: ShardId, code: String, message: String) {
        metrics::SHARDS_QUARANTINED.inc();
        let plane = self.clone();
        tokio::spawn(async move {
            let Some((run, shard)) = plane.shard(id) else { return };
            error!(run = %run.name, part = shard.part.part, code, why = message, "shard given up: its rows say so");
            let written = plane.write_failed(&shard, &code, &message).await;
            let rows =
                written.map_err(|error| warn!(error = %causes(&error), "its rows are not written; it is tried again"));
            plane.act(|scheduler, now| scheduler.given_up(id, rows, now));
        });
    }

    async fn write_failed(&self, shard: &Shard, code: &str, message: &str) -> Result<u64, StoreError> {
        Ok(shard::write_failed(&self.store, shard, code, message).await?.failed)
    }

    /// Lets time pass on the scheduler until the process ends.
    pub(super) async fn tick(self: &Arc<ControlPlane>) {
        let mut every = tokio::time::interval(TICK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.act(Scheduler::tick);
            self.measure();
        }
    }

    fn measure(&self) {
        for class in CLASSES {
            let demand = self.look(|scheduler, _| scheduler.demand(class));
            let set = |metric: &prometheus::IntGaugeVec, value: usize| {
                metric.with_label_values(&[class_name(class)]).set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            set(&metrics::WORKERS, demand.workers);
            set(&metrics::SLOTS, demand.slots);
            set(&metrics::SHARDS_WAITING, demand.waiting);
            set(&metrics::SHARDS_RUNNING, demand.running);
        }
        let runs = self.runs();
        let active = runs.iter().filter(|run| run.state().is_active()).count();
        metrics::RUNS_ACTIVE.set(i64::try_from(active).unwrap_or(i64::MAX));
        runs.iter().for_each(|run| run.sample(self));
    }

    /// Every run of the store is on the scheduler.
    pub(super) fn recovered(self: &Arc<ControlPlane>) {
        info!("every run of the store is known");
        self.act(|scheduler, _| {
            scheduler.recovered();
            Vec::new()
        });
    }
}

/// The control plane as Ballista needs it.
struct Streams(std::sync::Weak<ControlPlane>);

impl Workers for Streams {
    fn wake(&self, worker: &str) {
        if let Some(plane) = self.0.upgrade() {
            plane.tell(worker, attend_response::Message::Poll(Poll {}));
        }
    }

    fn fetched(&self, attempt: u64) {
        if let Some(plane) = self.0.upgrade() {
            plane.act(|scheduler, _| {
                scheduler.fetched(attempt);
                Vec::new()
            });
        }
    }

    fn knows(&self, worker: &str) -> bool {
        self.0.upgrade().is_some_and(|plane| plane.look(|scheduler, _| scheduler.knows(worker)))
    }

    fn offer(&self, worker: &str) -> Option<Offer> {
        self.0.upgrade()?.look(|scheduler, _| scheduler.workers().find(|of| of.hello.id == worker).and_then(offer))
    }

    fn offers(&self) -> Vec<(String, Offer)> {
        let offers = |scheduler: &Scheduler| {
            scheduler.workers().filter_map(|of| Some((of.hello.id.clone(), offer(of)?))).collect()
        };
        self.0.upgrade().map(|plane| plane.look(|scheduler, _| offers(scheduler))).unwrap_or_default()
    }
}

fn offer(worker: &Worker) -> Option<Offer> {
    let (slots, query_tasks) = (worker.hello.slots as usize, worker.hello.query_tasks as usize);
    let serves_tls = worker.hello.serves_tls;
    (worker.is_here() && !worker.is_draining).then_some(Offer { slots, query_tasks, serves_tls })
}
