//! A run from its request to its reports. What happened is in its record in the store, so that another process can go on
//! where this one was killed.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use dqa_model::Views;
use dqa_pipelines::causes;
use dqa_pipelines::dataset::{Check, Definition};
use dqa_pipelines::model::ModelSpec;
use dqa_pipelines::names::RunName;
use dqa_pipelines::plan::Shard;
use dqa_pipelines::registry::{self, RegistryError};
use dqa_pipelines::report::{self, ReportOptions};
use dqa_pipelines::run::{Counts, RUNS, RunRecord, RunState};
use dqa_pipelines::store::{Store, StoreError};
use dqa_proto::v1::{self, DeviceClass};
use dqa_worker::models::Training;
use futures::FutureExt;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, mpsc, watch};
use tracing::{Instrument, error, info, info_span, warn};

use super::control_plane::ControlPlane;
use super::scheduler::{RunId, ShardSummary};
use super::wire;
use crate::run::{self, Asked, Roots, State, Watch, Work};

/// Between two tries of what the store did not answer; so many of them are some ten minutes.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(60);
const TRIES_MAX: u32 = 15;
/// A run whose parts go away as often as this is not made again.
const PLANS_MAX: u32 = 3;

/// Rates are taken over this time.
const RATE_OVER: Duration = Duration::from_secs(60);

/// What the scheduler says of a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// There is nothing left to do.
    Ended,
    /// It cannot go on.
    Broken(String),
    /// It was called off.
    Cancelled,
}

/// A run that this coordinator works on.
pub(super) struct ActiveRun {
    pub(super) name: RunName,
    /// Held while what the record says is changed, here and in the store: one thing at a time becomes of a run.
    control: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<LiveRun>,
    events: mpsc::UnboundedSender<(Option<RunId>, Event)>,
    inbox: tokio::sync::Mutex<mpsc::UnboundedReceiver<(Option<RunId>, Event)>>,
    changes: watch::Sender<u64>,
}

struct LiveRun {
    record: RunRecord,
    plan: Option<Plan>,
    counts: Counts,
    windows_done_before: u64,
    samples: VecDeque<(Instant, u64)>,
}

/// What is on the scheduler.
struct Plan {
    id: Option<RunId>,
    work: Work,
    /// The parts that were missing, by their places in the plan: the scheduler's shards.
    pieces: Vec<usize>,
    facts: Vec<(String, String)>,
    parts_done: u64,
    parts_total: u64,
}

impl ActiveRun {
    pub(super) fn new(record: RunRecord) -> Arc<ActiveRun> {
        let (events, inbox) = mpsc::unbounded_channel();
        Arc::new(ActiveRun {
            name: record.name.clone(),
            control: Arc::default(),
            state: Mutex::new(LiveRun {
                counts: record.counts,
                record,
                plan: None,
                windows_done_before: 0,
                samples: VecDeque::new(),
            }),
            events,
            inbox: tokio::sync::Mutex::new(inbox),
            changes: watch::Sender::new(0),
        })
    }

    fn live(&self) -> MutexGuard<'_, LiveRun> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self) -> RunRecord {
        self.live().record.clone()
    }

    /// What it scores with.
    pub(super) fn model(&self) -> ModelSpec {
        let live = self.live();
        live.record.request.as_ref().map(|request| request.model.clone()).expect("a coordinator's run has a request")
    }

    pub(super) fn state(&self) -> RunState {
        self.live().record.state
    }

    pub(super) fn id(&self) -> Option<RunId> {
        self.live().plan.as_ref()?.id
    }

    pub(super) fn signal(&self, id: RunId, event: Event) {
        // Who conducts it may have ended.
        let _ = self.events.send((Some(id), event));
    }

    pub(super) fn cancel(&self) {
        let _ = self.events.send((None, Event::Cancelled));
    }

    /// Whoever changes what becomes of it has this.
    pub(super) async fn control(&self) -> OwnedMutexGuard<()> {
        self.control.clone().lock_owned().await
    }

    /// Told whenever something changes.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// The name of the part of a shard on the scheduler.
    pub(super) fn part(&self, at: usize) -> String {
        let live = self.live();
        let part = live.plan.as_ref().and_then(|plan| plan.work.parts.get(*plan.pieces.get(at)?));
        part.map(|part| part.key.clone()).unwrap_or_default()
    }

    /// A shard of the scheduler, as it is scored.
    pub(super) fn shard(&self, store: &Store, at: usize) -> Option<Shard> {
        let live = self.live();
        let plan = live.plan.as_ref()?;
        let part = &plan.work.parts[*plan.pieces.get(at)?];
        let retry_failed = live.record.request.as_ref().is_some_and(|request| request.retry_failed);
        Some(Shard { facts: plan.facts.clone(), ..plan.work.shard(part, store, retry_failed)? })
    }

    /// A shard's part is there.
    pub(super) fn shard_done(&self, at: usize, failed: u64) {
        let mut live = self.live();
        let Some(plan) = &mut live.plan else {
            return;
        };
        let rows = plan.work.parts[plan.pieces[at]].cut.pictures.len() as u64;
        plan.parts_done += 1;
        live.counts.scored += rows.saturating_sub(failed);
        live.counts.failed += failed;
        drop(live);
        self.changed();
    }

    /// Remembers how far it is, for the rate.
    pub(super) fn sample(&self, plane: &ControlPlane) {
        let Some(id) = self.id() else {
            return;
        };
        let done = plane.look(|scheduler, _| scheduler.tally(id).windows_done);
        let mut live = self.live();
        let now = Instant::now();
        let has_changed = live.samples.back().is_none_or(|(_, before)| *before != done);
        live.samples.push_back((now, done));
        while live.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > RATE_OVER) {
            live.samples.pop_front();
        }
        drop(live);
        if has_changed {
            self.changed();
        }
    }

    /// The run by what the scheduler knows of it; None where it is not there: it is being planned, or has ended.
    pub(super) fn on_board(&self, plane: &ControlPlane) -> Option<v1::Run> {
        let tally = self.id().map(|id| plane.look(|scheduler, _| scheduler.tally(id)));
        let live = self.live();
        if !live.record.state.is_active() {
            return None;
        }
        let mut run = wire::run(&live.record);
        let counts = live.counts;
        let Some(plan) = &live.plan else {
            // Its parts are being counted.
            let is_counted = counts.pictures > 0 && counts.scored + counts.failed == counts.pictures;
            let parts = live.record.parts.len() as u64;
            run.progress = Some(v1::RunProgress {
                shards: parts,
                shards_done: parts,
                windows: counts.windows,
                windows_done: counts.windows,
                pictures: counts.pictures,
                pictures_done: counts.pictures,
                pictures_failed: counts.failed,
                ..v1::RunProgress::default()
            });
            return (is_counted && live.record.state == RunState::Running).then_some(run);
        };
        let tally = tally?;
        let rate = match (live.samples.front(), live.samples.back()) {
            (Some((from, first)), Some((to, last))) if to > from => {
                last.saturating_sub(*first) as f64 / to.duration_since(*from).as_secs_f64()
            }
            _ => 0.0,
        };
        run.progress = Some(v1::RunProgress {
            shards: plan.parts_total,
            shards_done: plan.parts_done,
            shards_running: tally.running as u64,
            shards_retrying: tally.retrying as u64,
            shards_quarantined: tally.given_up as u64,
            windows: counts.windows,
            windows_done: live.windows_done_before + tally.windows_done,
            pictures: counts.pictures,
            pictures_done: counts.scored + counts.failed,
            pictures_failed: counts.failed,
            windows_per_second: rate,
        });
        if live.record.state == RunState::Running && tally.over < tally.shards && tally.running == 0 {
            let device = live.record.request.as_ref().map_or("any", |request| request.device.as_str());
            run.failure = format!("waits for a worker with {device}");
        }
        Some(run)
    }

    /// Changes the record, here and in the store.
    ///
    /// # Errors
    /// Where the store fails: then nothing is changed.
    pub(super) async fn change(&self, store: &Store, with: impl FnOnce(&mut RunRecord)) -> Result<(), run::RunError> {
        let mut record = self.record();
        // For those who read the record: how far it was when this became of it.
        let counts = {
            let live = self.live();
            live.plan.is_some().then_some(live.counts)
        };
        if let Some(counts) = counts.filter(|counts| *counts != record.counts) {
            (record.counts, record.counted) = (counts, None);
        }
        with(&mut record);
        record.updated = Timestamp::now();
        record.write(store).await?;
        self.live().record = record;
        self.changed();
        Ok(())
    }

    /// Until it is on the scheduler, or has ended.
    pub(super) async fn planned(self: Arc<ActiveRun>) {
        let mut changes = self.changes();
        while self.id().is_none() && self.state().is_active() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn put(&self, record: RunRecord) {
        self.live().record = record;
        self.changed();
    }
}

/// Conducts a run until it has ended, on a thread of its own: planning, counting and reporting compute for seconds. One
/// that is conducted already is begun again when that has ended, if it is to be.
pub(super) fn start(plane: &Arc<ControlPlane>, run: Arc<ActiveRun>) {
    plane.keep_run(run.clone());
    let (plane, span, runtime) = (plane.clone(), info_span!("run", run = %run.name), Handle::current());
    let thread = std::thread::Builder::new().name("run".to_owned());
    let conducted = thread.spawn(move || {
        let conducting = AssertUnwindSafe(to_the_end(&plane, &run)).catch_unwind();
        if runtime.block_on(conducting.instrument(span)).is_err() {
            error!(run = %run.name, "its conductor panicked; started again, the coordinator takes it up");
        }
    });
    if let Err(error) = conducted {
        error!(error = %causes(&error), "there is no thread for a run; started again, the coordinator takes it up");
    }
}

/// Goes on with the store's runs that have not ended and are not here.
///
/// # Errors
/// Where the store fails.
pub(super) async fn take_up(plane: &Arc<ControlPlane>) -> Result<(), dqa_pipelines::run::RunError> {
    let mut planned = Vec::new();
    for name in plane.store.folders(RUNS).await? {
        let Ok(name) = name.parse() else { continue };
        let _finding = plane.finding.lock().await;
        if plane.run(&name).is_some() {
            continue;
        }
        let found = RunRecord::find(&plane.store, &name).await?;
        let Some(record) = found.filter(|record| record.request.is_some() && record.state.is_active()) else {
            continue;
        };
        info!(run = %record.name, state = %record.state, "run taken up");
        let run = ActiveRun::new(record);
        planned.push(run.clone().planned());
        start(plane, run);
    }
    futures::future::join_all(planned).await;
    Ok(())
}

async fn to_the_end(plane: &Arc<ControlPlane>, run: &Arc<ActiveRun>) {
    let mut inbox = run.inbox.lock().await;
    // What was said of it before it was begun again is old.
    while inbox.try_recv().is_ok() {}
    if !run.state().is_active() {
        return;
    }
    let ended = conduct(plane, run, &mut inbox).await;
    if let Some(id) = run.id() {
        plane.take_off(id);
    }
    run.live().plan = None;
    if let Err(Stopped::Failed(error)) = ended {
        let why = causes(error.as_ref()).to_string();
        warn!(why, "run failed");
        let of_plan = error.downcast_ref().and_then(run::PrepareError::hint).map(str::to_owned);
        let hint = of_plan.or_else(|| error.downcast_ref().and_then(RegistryError::hint));
        fail(plane, run, &why, hint.as_deref()).await;
    }
    // Who has a word on it finds it here, or looks for it again.
    let _control = run.control().await;
    if !run.state().is_active() {
        plane.forget_run(run);
    }
}

/// Writes that a run has failed, unless something else has become of it.
async fn fail(plane: &ControlPlane, run: &ActiveRun, why: &str, hint: Option<&str>) {
    let mut tries = 0;
    loop {
        let control = run.control().await;
        if !run.state().is_active() {
            return;
        }
        let failed = run.change(&plane.store, |record| {
            record.state = RunState::Failed;
            record.failure = Some(why.to_owned());
            record.hint = hint.map(str::to_owned);
        });
        let Err(error) = failed.await else { return };
        drop(control);
        tries += 1;
        warn!(error = %causes(&error), tries, "the store does not take how the run ended");
        tokio::time::sleep(AGAIN_MAX.min(AGAIN * tries)).await;
    }
}

/// Why a run did not come to its end.
enum Stopped {
    Cancelled,
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stopped {
    fn from(error: E) -> Stopped {
        Stopped::Failed(error.into())
    }
}

type Inbox = mpsc::UnboundedReceiver<(Option<RunId>, Event)>;

async fn conduct(plane: &Arc<ControlPlane>, run: &Arc<ActiveRun>, inbox: &mut Inbox) -> Result<(), Stopped> {
    let mut plans = 0;
    loop {
        plans += 1;
        let asked = asked(&run.record(), &plane.roots)?;
        let work = {
            let planned =
                patient(async || run::prepare(&plane.store, &asked, &mut Lines).await, run::PrepareError::may_pass);
            tokio::select! {
                work = planned => work?,
                () = cancelled(inbox) => return Err(Stopped::Cancelled),
            }
        };
        // Their manifests have been read: now it is known whether they have labels.
        let named: Vec<registry::Requested> = asked.definitions.iter().map(registry::Requested::new).collect();
        let (named, used_by) = (work.registered(&named), format!("run {}", run.name));
        patient(async || registry::register(&plane.store, &named, &[], &used_by).await, RegistryError::may_pass)
            .await?;
        begin(plane, run, work).await?;
        let id = run.id();
        loop {
            match inbox.recv().await {
                Some((of, Event::Ended)) if of == id => break,
                Some((of, Event::Broken(message))) if of == id => return Err(anyhow!(message).into()),
                Some((_, Event::Cancelled)) | None => return Err(Stopped::Cancelled),
                Some(_) => {}
            }
        }
        match complete(plane, run).await {
            // Another run of the same pictures has replaced some of them.
            Err(Stopped::Failed(error)) if plans < PLANS_MAX && is_incomplete(&error) => {
                warn!(error = %causes(error.as_ref()), "parts are gone: the run is planned again");
            }
            ended => return ended,
        }
    }
}

fn is_incomplete(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(run::RunError::Incomplete { .. }))
}

async fn cancelled(inbox: &mut Inbox) {
    while let Some((_, event)) = inbox.recv().await {
        if event == Event::Cancelled {
            return;
        }
    }
}

/// Tries until it succeeds, or fails for a reason that stays.
async fn patient<T, E: std::error::Error + Send + Sync + 'static>(
    mut work: impl AsyncFnMut() -> Result<T, E>,
    may_pass: impl Fn(&E) -> bool,
) -> anyhow::Result<T> {
    let mut tries = 0;
    loop {
        match work().await {
            Ok(done) => return Ok(done),
            Err(error) if may_pass(&error) && tries < TRIES_MAX => {
                tries += 1;
                warn!(error = %causes(&error), tries, "the store does not answer");
                tokio::time::sleep(AGAIN_MAX.min(AGAIN * tries)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn asked(record: &RunRecord, roots: &Roots) -> anyhow::Result<Asked> {
    let request = record.request.as_ref().context("the run's record lacks its request")?;
    let definitions = record.spec.datasets.iter().map(|dataset| Definition::from_toml(&dataset.definition));
    let views: Views = record.spec.views.parse().map_err(|error| anyhow!("the run's views: {}", causes(&error)))?;
    Ok(Asked {
        definitions: definitions.collect::<Result<_, _>>()?,
        algorithms: request.algorithms.clone(),
        allow_missing: request.allow_missing,
        retry_failed: request.retry_failed,
        with_hazy: request.with_hazy,
        shard_windows: record.spec.shard_windows_max,
        views,
        limits: record.spec.limits,
        fingerprint: record.fingerprint.clone(),
        roots: roots.clone(),
    })
}

/// Writes the plan into the record, and puts what is missing on the scheduler.
async fn begin(plane: &Arc<ControlPlane>, run: &Arc<ActiveRun>, work: Work) -> Result<(), Stopped> {
    let _control = run.control().await;
    let mut record = run.record();
    let request = record.request.clone().context("the run's record lacks its request")?;
    if !record.state.is_active() {
        return Err(Stopped::Cancelled);
    }
    run::dropped(&record, &work).iter().for_each(|line| info!("{line}"));
    let training =
        patient(async || Training::of_stored(&plane.store, &request.model).await, StoreError::may_pass).await?;
    let (trained_on, unreadable) = training.known();
    if let Some(why) = unreadable {
        warn!(why, "the model's training is not known");
    }
    run::record_plan(&mut record, &work, &trained_on);
    for leak in record.spec.training_leaks() {
        warn!(leak, "scenes were seen in training");
    }
    if record.state != RunState::Paused {
        record.state = RunState::Running;
    }
    record.updated = Timestamp::now();
    patient(async || record.write(&plane.store).await, may_pass).await?;
    let pieces: Vec<usize> =
        (0..work.parts.len()).filter(|at| matches!(work.parts[*at].state, State::Missing { .. })).collect();
    let on_board = pieces.iter().map(|at| {
        let part = &work.parts[*at];
        let name = part.key.rsplit('/').next().unwrap_or_default().trim_end_matches(".parquet");
        ShardSummary { part: name.to_owned(), windows: part.cut.windows }
    });
    let on_board: Vec<ShardSummary> = on_board.collect();
    info!(shards = work.parts.len(), missing = pieces.len(), pictures = record.counts.pictures, "run planned");
    let missing_windows: u64 = on_board.iter().map(|piece| piece.windows).sum();
    {
        let mut live = run.live();
        live.counts = record.counts;
        live.windows_done_before = record.counts.windows - missing_windows;
        live.samples.clear();
        live.plan = Some(Plan {
            id: None,
            facts: run::facts(&record),
            parts_done: (work.parts.len() - pieces.len()) as u64,
            parts_total: work.parts.len() as u64,
            work,
            pieces,
        });
    }
    let is_paused = record.state == RunState::Paused;
    run.put(record);
    let class = match wire::class(&request.device) {
        DeviceClass::Unspecified => return Err(anyhow!("`{}` is no class of devices", request.device).into()),
        class => class,
    };
    plane.put_on(run, |scheduler, now| {
        let (id, effects) = scheduler.add(class, request.priority, on_board, is_paused, now);
        if let Some(plan) = &mut run.live().plan {
            plan.id = Some(id);
        }
        (id, effects)
    });
    run.changed();
    Ok(())
}

fn may_pass(error: &dqa_pipelines::run::RunError) -> bool {
    matches!(error, dqa_pipelines::run::RunError::Store(error) if error.may_pass())
}

/// Counts every part, writes the record and the reports.
async fn complete(plane: &Arc<ControlPlane>, run: &Arc<ActiveRun>) -> Result<(), Stopped> {
    let control = run.control().await;
    if !run.state().is_active() {
        return Err(Stopped::Cancelled);
    }
    let plan = run.live().plan.take().context("a run ends with its plan")?;
    if let Some(id) = plan.id {
        plane.take_off(id);
    }
    let mut work = plan.work;
    let mut record = run.record();
    record.request.as_mut().context("the run's record lacks its request")?.retry_failed = false;
    (record.failure, record.hint) = (None, None);
    let commit = patient(async || run::commit(&plane.store, &mut work, record.clone()).await, run::RunError::may_pass);
    let record = commit.await?;
    drop(work);
    // Before anyone is answered so: whoever sees that a run is complete finds it in the log.
    info!(scored = record.counts.scored, failed = record.counts.failed, "run complete");
    {
        let mut live = run.live();
        live.counts = record.counts;
        live.record = record.clone();
    }
    drop(control);
    let options = ReportOptions::of_run(&record);
    let reported = async {
        let report = report::make(&plane.store, &record, &options).await?;
        report.write(&plane.store).await
    };
    if let Err(error) = reported.await {
        // The scores are there; `report` makes it again.
        warn!(error = %causes(&error), "the run is complete, and has no reports");
    }
    // Who watches sees the end when there are reports.
    run.changed();
    Ok(())
}

/// Tells the log how planning goes.
struct Lines;

impl Watch for Lines {
    fn headers_left(&mut self, dataset: &str, left: usize) {
        info!(dataset, left, "headers to read");
    }

    fn faults(&mut self, check: &Check) {
        info!("{check}");
    }

    fn remark(&mut self, dataset: &str, line: &str) {
        info!(dataset, "{line}");
    }
}
