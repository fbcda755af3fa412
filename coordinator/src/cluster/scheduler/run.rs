//! The shards of one run and the queues in which they wait.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use dqa_proto::v1::DeviceClass;

use super::ids::Time;
use super::retry::FailureHistory;
use super::tried_workers::TriedWorkers;
use super::worker::Worker;

/// A run as it is added to the scheduler.
#[derive(Clone, Debug)]
pub(crate) struct NewRun {
    /// The class of devices that scores the run.
    pub(crate) class: DeviceClass,
    pub(crate) priority: i32,
    pub(crate) is_paused: bool,
    /// Workers load a model before they score the shards.
    pub(crate) has_model: bool,
    /// The shards are trials and evaluations, of which a device runs one at a time.
    pub(crate) is_training: bool,
    /// The shards whose parts are missing.
    pub(crate) shards: Vec<ShardSummary>,
}

/// The facts about a shard that the scheduler needs.
#[derive(Clone, Debug)]
pub(crate) struct ShardSummary {
    /// Name of the shard's part.
    pub(crate) part: String,
    /// Planned windows; of a training, what it costs in windows.
    pub(crate) windows: u64,
    /// Index of the shard that must be done before: a test waits for its training.
    pub(crate) after: Option<usize>,
}

/// Counts the shards of a run by their states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// All shards that the run was added with.
    pub(crate) shards: usize,
    /// Shards whose parts are in the store, quarantined ones included.
    pub(crate) done: usize,
    pub(crate) running: usize,
    /// Shards that wait for another attempt.
    pub(crate) retrying: usize,
    pub(crate) quarantined: usize,
    /// Planned windows of shards that are done, plus reported windows of those that run.
    pub(crate) windows_done: u64,
}

#[derive(Debug)]
pub(super) struct ScheduledRun {
    pub(super) class: DeviceClass,
    pub(super) priority: i32,
    pub(super) is_paused: bool,
    pub(super) is_training: bool,
    /// A worker has loaded the run's model, if it has one: what its workers die of is not the model.
    pub(super) is_loaded: bool,
    /// The workers on which the model failed.
    pub(super) model_tried: TriedWorkers,
    /// Deaths of workers that were loading the model.
    pub(super) load_deaths: u32,
    pub(super) shards: Vec<ScheduledShard>,
    pub(super) waiting: VecDeque<usize>,
    /// Shards that wait for a worker that runs nothing else.
    pub(super) waiting_exclusive: VecDeque<usize>,
    pub(super) delayed: BTreeSet<(Time, usize)>,
    pub(super) running: usize,
    pub(super) windows_running: u64,
    pub(super) done: usize,
    pub(super) quarantined: usize,
    pub(super) windows_done: u64,
}

#[derive(Debug)]
pub(super) struct ScheduledShard {
    pub(super) part: String,
    pub(super) windows: u64,
    pub(super) after: Option<usize>,
    pub(super) history: FailureHistory,
    pub(super) state: ShardState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShardState {
    /// Waits for the shard that must be done before.
    Blocked,
    Waiting,
    /// Waits until this time before it is queued again.
    Delayed(Time),
    /// A worker has it, or is about to get it, by this attempt.
    Running(u64),
    /// The coordinator writes its rows, all of them with an error code.
    Quarantined,
    Done,
}

impl ScheduledRun {
    pub(super) fn new(new: NewRun) -> ScheduledRun {
        let shards = new.shards.into_iter().map(|shard| ScheduledShard {
            part: shard.part,
            windows: shard.windows,
            after: shard.after,
            history: FailureHistory::default(),
            state: if shard.after.is_some() { ShardState::Blocked } else { ShardState::Waiting },
        });
        let shards: Vec<ScheduledShard> = shards.collect();
        let is_waiting = |index: &usize| shards[*index].state == ShardState::Waiting;
        ScheduledRun {
            class: new.class,
            priority: new.priority,
            is_paused: new.is_paused,
            is_training: new.is_training,
            is_loaded: !new.has_model,
            model_tried: TriedWorkers::default(),
            load_deaths: 0,
            waiting: (0..shards.len()).filter(is_waiting).collect(),
            shards,
            waiting_exclusive: VecDeque::new(),
            delayed: BTreeSet::new(),
            running: 0,
            windows_running: 0,
            done: 0,
            quarantined: 0,
            windows_done: 0,
        }
    }

    /// Counts the failures of a shard, and of the run's model, on a worker.
    pub(super) fn failures_on(&self, index: usize, worker: &Worker) -> u32 {
        self.shards[index].history.tried.failures_on(worker) + self.model_tried.failures_on(worker)
    }

    /// Returns whether the model must be loaded by a worker that runs nothing else: a worker died while it loaded the
    /// model, and it is unknown whether of the model or of a shard beside it.
    pub(super) fn must_load_alone(&self) -> bool {
        self.load_deaths > 0 && !self.is_loaded
    }

    /// Queues a shard for its next attempt, at once or after a delay.
    pub(super) fn enqueue(&mut self, index: usize, delay: Duration, now: Time) {
        if delay > Duration::ZERO {
            self.shards[index].state = ShardState::Delayed(now + delay);
            self.delayed.insert((now + delay, index));
            return;
        }
        self.shards[index].state = ShardState::Waiting;
        // Before shards that were never attempted: a retried one holds up the end of the run.
        self.queue_for(index).push_front(index);
    }

    /// Returns the shards that wait for this one to be done.
    pub(super) fn followers(&self, index: usize) -> Vec<usize> {
        if !self.is_training {
            return Vec::new();
        }
        let follows =
            |(_, shard): &(usize, &ScheduledShard)| shard.after == Some(index) && shard.state == ShardState::Blocked;
        self.shards.iter().enumerate().filter(follows).map(|(follower, _)| follower).collect()
    }

    /// Removes a shard from the queue in which it waits.
    pub(super) fn dequeue(&mut self, index: usize) {
        match self.shards[index].state {
            ShardState::Delayed(until) => {
                self.delayed.remove(&(until, index));
            }
            ShardState::Waiting => {
                self.waiting.retain(|other| *other != index);
                self.waiting_exclusive.retain(|other| *other != index);
            }
            ShardState::Blocked | ShardState::Running(_) | ShardState::Quarantined | ShardState::Done => {}
        }
    }

    /// Queues the shards whose delay has passed.
    pub(super) fn enqueue_delayed(&mut self, now: Time) {
        while let Some((_, index)) = self.delayed.first().copied().filter(|(until, _)| *until <= now) {
            self.delayed.pop_first();
            self.shards[index].state = ShardState::Waiting;
            self.queue_for(index).push_back(index);
        }
    }

    fn queue_for(&mut self, index: usize) -> &mut VecDeque<usize> {
        if self.shards[index].history.needs_exclusive_worker() {
            &mut self.waiting_exclusive
        } else {
            &mut self.waiting
        }
    }
}
