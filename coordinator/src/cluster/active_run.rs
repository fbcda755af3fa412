//! A run that this coordinator drives: its record, its plan and its progress. It sees the scheduler's counts only as a
//! [`Tally`]; [`super::run_lifecycle`] takes the run from its request to its reports.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use dqa_pipelines::model_spec::ModelSpec;
use dqa_pipelines::names::RunName;
use dqa_pipelines::plan::Shard;
use dqa_pipelines::run::{RecordWriter, RunCounts, RunRecord, RunState};
use dqa_pipelines::store::Store;
use dqa_proto::v1;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, mpsc, watch};
use tokio::time::Instant;

use super::scheduler::{RunId, ShardSummary, Tally};
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
    plan: Option<ScheduledPlan>,
    counts: RunCounts,
    /// Windows of the parts that were in the store when the run was planned.
    windows_reused: u64,
    /// Windows done in the scheduler, by time, within `RATE_WINDOW`.
    samples: VecDeque<(Instant, u64)>,
}

/// The plan of a run, with the shards that are left to score.
pub(super) struct ScheduledPlan {
    scheduler_id: Option<RunId>,
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
        ScheduledPlan { scheduler_id: None, run_plan, missing, facts, parts_done }
    }

    pub(super) fn parts(&self) -> usize {
        self.run_plan.parts().count()
    }

    /// Returns the missing shards for the scheduler.
    pub(super) fn shards(&self) -> Vec<ShardSummary> {
        let summarize = |index: &usize| {
            let shard = &self.run_plan.shards[*index];
            ShardSummary { part: shard.missing_name(), windows: self.run_plan.missing_windows(shard) }
        };
        self.missing.iter().map(summarize).collect()
    }

    fn missing_shard(&self, index: usize) -> Option<&PlannedShard> {
        self.run_plan.shards.get(*self.missing.get(index)?)
    }

    pub(super) fn scheduler_id(&self) -> Option<RunId> {
        self.scheduler_id
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

    /// Returns the name of a scheduled shard.
    pub(super) fn shard_name(&self, index: usize) -> String {
        let progress = self.progress.lock();
        let shard = progress.plan.as_ref().and_then(|plan| plan.missing_shard(index));
        shard.map(PlannedShard::missing_name).unwrap_or_default()
    }

    /// Returns a scheduled shard as it is scored.
    pub(super) fn shard(&self, store: &Store, index: usize) -> Option<Shard> {
        let progress = self.progress.lock();
        let plan = progress.plan.as_ref()?;
        let retry_failed = progress.record.request.as_ref().is_some_and(|request| request.retry_failed);
        let shard = plan.run_plan.shard(plan.missing_shard(index)?, store, retry_failed)?;
        Some(Shard { facts: plan.facts.clone(), ..shard })
    }

    pub(super) fn record_shard_done(&self, index: usize, rows_failed: u64) {
        let mut progress = self.progress.lock();
        let Some(plan) = &mut progress.plan else {
            return;
        };
        let shard = &plan.run_plan.shards[plan.missing[index]];
        let parts = shard.missing().count() as u64;
        let rows = parts * shard.cut.pictures.len() as u64;
        plan.parts_done += parts;
        progress.counts.scored += rows.saturating_sub(rows_failed);
        progress.counts.failed += rows_failed;
        drop(progress);
        self.notify_changed();
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
        let mut progress = self.progress.lock();
        let windows_missing: u64 = plan.run_plan.missing().map(|shard| plan.run_plan.missing_windows(shard)).sum();
        progress.counts = record.counts;
        progress.windows_reused = record.counts.windows - windows_missing;
        progress.samples.clear();
        progress.plan = Some(plan);
        progress.record = record;
        drop(progress);
        self.notify_changed();
    }

    pub(super) fn set_scheduler_id(&self, id: RunId) {
        if let Some(plan) = &mut self.progress.lock().plan {
            plan.scheduler_id = Some(id);
        }
    }

    pub(super) fn take_plan(&self) -> Option<ScheduledPlan> {
        self.progress.lock().plan.take()
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
            if progress.plan.is_some() && progress.counts != record.counts {
                (record.counts, record.counted) = (progress.counts, None);
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

    fn scheduled_run(&self, plan: &ScheduledPlan, tally: Tally, mut run: v1::Run) -> v1::Run {
        let counts = self.counts;
        run.progress = Some(v1::RunProgress {
            shards: plan.parts() as u64,
            shards_done: plan.parts_done,
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
