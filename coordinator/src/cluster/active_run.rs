//! A run that this coordinator drives: its record, its plan and its progress. It sees the scheduler's counts only as a
//! [`Tally`]; [`super::run_lifecycle`] takes the run from its request to its reports.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use dqa_pipelines::model_spec::ModelSpec;
use dqa_pipelines::names::RunName;
use dqa_pipelines::plan::Shard;
use dqa_pipelines::run::{RecordWriter, RunCounts, RunRecord, RunState, TrainingCounts};
use dqa_pipelines::store::Store;
use dqa_proto::v1;
use dqa_service::cluster::{ShardTask, Task, TrainingTask};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, mpsc, watch};
use tokio::time::Instant;

use super::scheduler::{RunId, ShardSummary, Tally};
use super::training_plan::TrainingPlan;
use super::wire;
use crate::run::{self, PlannedShard, RunPlan};

/// Rates are averaged over this time.
const RATE_WINDOW: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum RunEvent {
    /// All shards are done.
    Done,
    /// The run cannot continue.
    Failed(String),
    Cancelled,
}

/// The events of a run. An event of the scheduler carries the id that the run had then, so that events of an earlier
/// plan are ignored.
pub(super) type RunEvents = mpsc::UnboundedReceiver<(Option<RunId>, RunEvent)>;

pub(super) struct ActiveRun {
    pub(super) name: RunName,
    /// The term of the leader that drives the run.
    term: u64,
    /// Held while the run's state changes, here and in the store.
    control: Arc<tokio::sync::Mutex<()>>,
    progress: Mutex<CommitProgress>,
    event_sender: mpsc::UnboundedSender<(Option<RunId>, RunEvent)>,
    /// Held by the thread that drives the run.
    events: tokio::sync::Mutex<RunEvents>,
    changes: watch::Sender<u64>,
    /// A user has submitted the run again since its plan began: its data sets may have more pictures now.
    is_submitted_again: AtomicBool,
}

struct CommitProgress {
    record: RunRecord,
    plan: Option<ScheduledWork>,
    counts: RunCounts,
    /// Windows of the parts that were in the store when the run was planned.
    windows_reused: u64,
    /// Windows done in the scheduler, by time, within `RATE_WINDOW`.
    samples: VecDeque<(Instant, u64)>,
}

/// The work of a run that is scheduled.
struct ScheduledWork {
    scheduler_id: Option<RunId>,
    work: Work,
}

enum Work {
    Shards(ScheduledPlan),
    Trainings(Box<ScheduledTrainings>),
}

/// The trainings of a run, with those that are left.
struct ScheduledTrainings {
    plan: TrainingPlan,
    done: u64,
    /// The names of trainings that were given up, each with the reason.
    given_up: Vec<(String, String)>,
}

/// An attempt as the scheduler orders it.
pub(super) struct AttemptOrder {
    pub(super) attempt: u64,
    pub(super) deadline: Duration,
    /// The worker must run nothing else meanwhile.
    pub(super) is_exclusive: bool,
    /// Pictures that the worker cannot read become rows with an error, or end a training. Otherwise they fail the attempt.
    pub(super) accepts_unreadable: bool,
}

/// The plan of a run, with the shards that are left to score.
pub(super) struct ScheduledPlan {
    run_plan: RunPlan,
    /// Indices in `run_plan.shards` of the shards with missing parts: the scheduler's shards, in their order.
    missing: Vec<usize>,
    /// Key-value pairs for the metadata of each part.
    facts: Vec<(String, String)>,
    parts_done: u64,
}

impl ScheduledPlan {
    pub(super) fn new(run_plan: RunPlan, facts: Vec<(String, String)>) -> ScheduledPlan {
        let is_missing = |index: &usize| run_plan.shards[*index].missing().next().is_some();
        let missing: Vec<usize> = (0..run_plan.shards.len()).filter(is_missing).collect();
        let parts_missing: usize = run_plan.missing().map(|shard| shard.missing().count()).sum();
        let parts_done = (run_plan.parts().count() - parts_missing) as u64;
        ScheduledPlan { run_plan, missing, facts, parts_done }
    }

    pub(super) fn parts(&self) -> usize {
        self.run_plan.parts().count()
    }

    /// Returns the missing shards for the scheduler.
    pub(super) fn shards(&self) -> Vec<ShardSummary> {
        let summarize = |index: &usize| {
            let shard = &self.run_plan.shards[*index];
            ShardSummary { part: shard.missing_name(), windows: self.run_plan.missing_windows(shard), after: None }
        };
        self.missing.iter().map(summarize).collect()
    }

    fn missing_shard(&self, index: usize) -> Option<&PlannedShard> {
        self.run_plan.shards.get(*self.missing.get(index)?)
    }

    pub(super) fn into_run_plan(self) -> RunPlan {
        self.run_plan
    }
}

impl ActiveRun {
    pub(super) fn new(record: RunRecord, term: u64) -> Arc<ActiveRun> {
        let (event_sender, events) = mpsc::unbounded_channel();
        Arc::new(ActiveRun {
            name: record.name.clone(),
            term,
            control: Arc::default(),
            progress: Mutex::new(CommitProgress {
                counts: record.counts,
                record,
                plan: None,
                windows_reused: 0,
                samples: VecDeque::new(),
            }),
            event_sender,
            events: tokio::sync::Mutex::new(events),
            changes: watch::Sender::new(0),
            is_submitted_again: AtomicBool::new(false),
        })
    }

    /// Has the run planned again before it is complete. The caller has locked the run's state.
    pub(super) fn submit_again(&self) {
        self.is_submitted_again.store(true, Relaxed);
    }

    /// Returns whether the run was submitted again since this was last asked.
    pub(super) fn take_submitted_again(&self) -> bool {
        self.is_submitted_again.swap(false, Relaxed)
    }

    pub(super) fn record(&self) -> RunRecord {
        self.progress.lock().record.clone()
    }

    /// Returns the model, if CLIP-DQA is one of the run's metrics.
    pub(super) fn model(&self) -> Option<ModelSpec> {
        let progress = self.progress.lock();
        progress.record.request.as_ref().expect("a coordinator's run has a request").model.clone()
    }

    pub(super) fn state(&self) -> RunState {
        self.progress.lock().record.state
    }

    pub(super) fn scheduler_id(&self) -> Option<RunId> {
        self.progress.lock().plan.as_ref()?.scheduler_id
    }

    /// Sends an event of the scheduler.
    pub(super) fn signal(&self, id: RunId, event: RunEvent) {
        // The thread that drives the run may have ended.
        let _ = self.event_sender.send((Some(id), event));
    }

    pub(super) fn cancel(&self) {
        let _ = self.event_sender.send((None, RunEvent::Cancelled));
    }

    /// Locks the events. The holder of the lock drives the run.
    pub(super) async fn lock_events(&self) -> tokio::sync::MutexGuard<'_, RunEvents> {
        self.events.lock().await
    }

    /// Locks the run's state: commands and the lifecycle change it one at a time.
    pub(super) async fn lock_control(&self) -> OwnedMutexGuard<()> {
        self.control.clone().lock_owned().await
    }

    /// Subscribes to changes of the run.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn notify_changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Waits until the run is scheduled or has ended.
    pub(super) async fn wait_until_scheduled(self: Arc<ActiveRun>) {
        let mut changes = self.changes();
        while self.scheduler_id().is_none() && self.state().is_active() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Returns the name of a scheduled shard or training.
    pub(super) fn shard_name(&self, index: usize) -> String {
        let progress = self.progress.lock();
        let name = match progress.plan.as_ref().map(|plan| &plan.work) {
            Some(Work::Shards(plan)) => plan.missing_shard(index).map(PlannedShard::missing_name),
            Some(Work::Trainings(trainings)) => trainings.plan.missing_name(index),
            None => None,
        };
        name.unwrap_or_default()
    }

    /// Returns a scheduled shard as it is scored. None for a training.
    pub(super) fn shard(&self, store: &Store, index: usize) -> Option<Shard> {
        let progress = self.progress.lock();
        let Work::Shards(plan) = &progress.plan.as_ref()?.work else { return None };
        let retry_failed = progress.record.request.as_ref().is_some_and(|request| request.retry_failed);
        let shard = plan.run_plan.shard(plan.missing_shard(index)?, store, retry_failed)?;
        Some(Shard { facts: plan.facts.clone(), ..shard })
    }

    /// Returns the task of an attempt at a scheduled shard or training.
    pub(super) fn task(&self, store: &Store, index: usize, order: AttemptOrder) -> Option<Task> {
        let AttemptOrder { attempt, deadline, is_exclusive: alone, accepts_unreadable } = order;
        let (run, deadline_seconds) = (self.name.to_string(), deadline.as_secs());
        if let Some(shard) = self.shard(store, index) {
            let model = self.model();
            let task = ShardTask { attempt, run, model, deadline_seconds, alone, accepts_unreadable, shard };
            return Some(Task::Shard(Box::new(task)));
        }
        let progress = self.progress.lock();
        let Work::Trainings(trainings) = &progress.plan.as_ref()?.work else { return None };
        let (unit, model) = trainings.plan.missing_unit(index)?;
        Some(Task::Training(Box::new(TrainingTask {
            attempt,
            run,
            deadline_seconds,
            alone,
            accepts_unreadable,
            store: store.url().to_string(),
            model: model.clone(),
            limits: progress.record.training()?.limits,
            unit,
        })))
    }

    pub(super) fn record_shard_done(&self, index: usize, rows_failed: u64) {
        let mut progress = self.progress.lock();
        match progress.plan.as_mut().map(|plan| &mut plan.work) {
            Some(Work::Shards(plan)) => {
                let shard = &plan.run_plan.shards[plan.missing[index]];
                let parts = shard.missing().count() as u64;
                let rows = parts * shard.cut.pictures.len() as u64;
                plan.parts_done += parts;
                progress.counts.scored += rows.saturating_sub(rows_failed);
                progress.counts.failed += rows_failed;
            }
            Some(Work::Trainings(trainings)) => trainings.done += 1,
            None => return,
        }
        drop(progress);
        self.notify_changed();
    }

    /// Notes that a training was given up, with the reason. Returns whether it is one.
    pub(super) fn give_up_training(&self, index: usize, reason: &str) -> bool {
        let name = self.shard_name(index);
        let mut progress = self.progress.lock();
        let Some(Work::Trainings(trainings)) = progress.plan.as_mut().map(|plan| &mut plan.work) else { return false };
        trainings.given_up.push((name, reason.to_owned()));
        true
    }

    /// Samples the windows that are done, for the rate.
    pub(super) fn sample_rate(&self, windows_done: u64) {
        let mut progress = self.progress.lock();
        let now = Instant::now();
        let has_changed = progress.samples.back().is_none_or(|(_, before)| *before != windows_done);
        progress.samples.push_back((now, windows_done));
        while progress.samples.front().is_some_and(|(time, _)| now.duration_since(*time) > RATE_WINDOW) {
            progress.samples.pop_front();
        }
        drop(progress);
        if has_changed {
            self.notify_changed();
        }
    }

    /// Sets the plan and the record that describes it.
    pub(super) fn set_plan(&self, record: RunRecord, plan: ScheduledPlan) {
        let missing = plan.run_plan.missing().map(|shard| plan.run_plan.missing_windows(shard)).sum();
        let counts = record.counts;
        self.set_work(record, Work::Shards(plan), (counts, missing));
    }

    /// Sets the plan of trainings and the record that describes it.
    pub(super) fn set_trainings(&self, record: RunRecord, plan: TrainingPlan) {
        let ((windows, missing), done) = (plan.windows(), plan.counts().done);
        let trainings = ScheduledTrainings { plan, done, given_up: Vec::new() };
        let counts = RunCounts { windows, ..RunCounts::default() };
        self.set_work(record, Work::Trainings(Box::new(trainings)), (counts, missing));
    }

    fn set_work(&self, record: RunRecord, work: Work, (counts, windows_missing): (RunCounts, u64)) {
        let mut progress = self.progress.lock();
        progress.counts = counts;
        progress.windows_reused = counts.windows - windows_missing;
        progress.samples.clear();
        progress.plan = Some(ScheduledWork { scheduler_id: None, work });
        progress.record = record;
        drop(progress);
        self.notify_changed();
    }

    pub(super) fn set_scheduler_id(&self, id: RunId) {
        if let Some(plan) = &mut self.progress.lock().plan {
            plan.scheduler_id = Some(id);
        }
    }

    /// Takes the plan off the run.
    pub(super) fn drop_plan(&self) {
        self.progress.lock().plan = None;
    }

    /// Takes the plan of a run that scores.
    pub(super) fn take_plan(&self) -> Option<ScheduledPlan> {
        match self.progress.lock().plan.take()?.work {
            Work::Shards(plan) => Some(plan),
            Work::Trainings(_) => None,
        }
    }

    /// Takes the plan of a run that trains, with what was given up.
    pub(super) fn take_trainings(&self) -> Option<(TrainingPlan, Vec<(String, String)>)> {
        match self.progress.lock().plan.take()?.work {
            Work::Trainings(trainings) => Some((trainings.plan, trainings.given_up)),
            Work::Shards(_) => None,
        }
    }

    /// Sets the record of the complete run. Watchers are notified by the caller, once the reports are written.
    pub(super) fn set_complete(&self, record: RunRecord) {
        let mut progress = self.progress.lock();
        progress.counts = record.counts;
        progress.record = record;
    }

    /// Changes the record, here and in the store.
    ///
    /// # Errors
    /// When a later leader has the run, or the store fails. Nothing is changed then.
    pub(super) async fn update_record(
        &self,
        store: &Store,
        change: impl FnOnce(&mut RunRecord),
    ) -> Result<(), run::RunError> {
        let mut record = {
            let progress = self.progress.lock();
            let mut record = progress.record.clone();
            // The record tells its readers how far the run was at its last change.
            match progress.plan.as_ref().map(|plan| &plan.work) {
                Some(Work::Shards(_)) if progress.counts != record.counts => {
                    (record.counts, record.counted) = (progress.counts, None);
                }
                Some(Work::Trainings(trainings)) => {
                    let units = trainings.plan.counts().units;
                    record.training_counts = Some(TrainingCounts { units, done: trainings.done });
                }
                _ => {}
            }
            record
        };
        change(&mut record);
        record.updated = Timestamp::now();
        record.write_by(store, RecordWriter::Leader { term: self.term }).await?;
        self.progress.lock().record = record;
        self.notify_changed();
        Ok(())
    }

    /// Ends the run here, and only here: its record is what the store has. A run that goes on without this coordinator
    /// counts as interrupted here.
    pub(super) fn end_with(&self, stored: Option<RunRecord>) {
        let mut progress = self.progress.lock();
        let request = progress.record.request.clone();
        let mut record = stored.unwrap_or_else(|| progress.record.clone());
        if record.state.is_active() {
            record.state = RunState::Interrupted;
        }
        // What is under way asks the record for its model.
        record.request = record.request.or(request);
        progress.counts = record.counts;
        progress.record = record;
        drop(progress);
        self.notify_changed();
    }

    /// Returns the run with its progress, or `None` while it is being planned and after it has ended: the store is more
    /// recent then.
    pub(super) fn to_wire(&self, tally: Option<Tally>) -> Option<v1::Run> {
        let progress = self.progress.lock();
        if !progress.record.state.is_active() {
            return None;
        }
        let run = wire::run_from_record(&progress.record);
        match &progress.plan {
            Some(plan) => Some(progress.scheduled_run(plan, tally?, run)),
            None => progress.counting_run(run),
        }
    }
}

impl CommitProgress {
    /// Returns a run whose shards are all done and whose parts are being counted, or `None` if this is not such a run.
    fn counting_run(&self, run: v1::Run) -> Option<v1::Run> {
        let counts = self.counts;
        let is_counting = self.record.state == RunState::Running
            && counts.pictures > 0
            && counts.scored + counts.failed == counts.pictures;
        let parts = self.record.parts.len() as u64;
        let progress = v1::RunProgress {
            shards: parts,
            shards_done: parts,
            windows: counts.windows,
            windows_done: counts.windows,
            pictures: counts.pictures,
            pictures_done: counts.pictures,
            pictures_failed: counts.failed,
            ..v1::RunProgress::default()
        };
        is_counting.then_some(v1::Run { progress: Some(progress), ..run })
    }

    fn scheduled_run(&self, plan: &ScheduledWork, tally: Tally, mut run: v1::Run) -> v1::Run {
        let counts = self.counts;
        let (shards, shards_done) = match &plan.work {
            Work::Shards(plan) => (plan.parts() as u64, plan.parts_done),
            Work::Trainings(trainings) => (trainings.plan.counts().units, trainings.done),
        };
        run.progress = Some(v1::RunProgress {
            shards,
            shards_done,
            shards_running: tally.running as u64,
            shards_retrying: tally.retrying as u64,
            shards_quarantined: tally.quarantined as u64,
            windows: counts.windows,
            windows_done: self.windows_reused + tally.windows_done,
            pictures: counts.pictures,
            pictures_done: counts.scored + counts.failed,
            pictures_failed: counts.failed,
            windows_per_second: self.windows_per_second(),
        });
        let is_waiting = tally.done < tally.shards && tally.running == 0;
        if self.record.state == RunState::Running && is_waiting {
            let device = self.record.request.as_ref().map_or("any", |request| request.device.as_str());
            run.failure = format!("waits for a worker with {device}");
        }
        run
    }

    fn windows_per_second(&self) -> f64 {
        match (self.samples.front(), self.samples.back()) {
            (Some((start, first)), Some((end, last))) if end > start => {
                last.saturating_sub(*first) as f64 / end.duration_since(*start).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}
