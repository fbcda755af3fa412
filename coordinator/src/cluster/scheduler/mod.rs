//! Who scores what: runs' shards on one side, workers' slots on the other, attempts between them. Pure: it knows no
//! network, no store and no clock; what happens comes in with its time, what is to be done comes out as [`Effect`]s.
//!
//! Each shard is in one place: it waits, waits for a time, is attempted by one worker, or is over. An attempt ends by what
//! its worker says, or because the worker is gone; what a worker says of an attempt that has ended changes nothing. So a
//! shard that two workers make is counted once, and none is forgotten.

mod assign;
mod effect;
mod retry;
#[cfg(test)]
mod tests;
mod workers;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use dqa_proto::v1::{DeviceClass, FailureKind};

pub(crate) use effect::Effect;
pub(crate) use retry::{Code, Policy};
pub(crate) use workers::Worker;

use retry::ShardFailure;

/// Since the coordinator started.
pub(crate) type Time = Duration;

/// A run on the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RunId(pub(crate) u64);

/// A shard: its run, and its place in that run's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ShardId {
    /// Whose.
    pub(crate) run: RunId,
    /// Which of the run's.
    pub(crate) at: usize,
}

/// A shard as the scheduler needs it.
#[derive(Clone, Debug)]
pub(crate) struct ShardSummary {
    /// Its part's name.
    pub(crate) part: String,
    /// Windows planned.
    pub(crate) windows: u64,
}

/// The scheduler.
#[derive(Debug)]
pub(crate) struct Scheduler {
    policy: Policy,
    runs: BTreeMap<RunId, Run>,
    workers: BTreeMap<String, Worker>,
    attempts: HashMap<u64, Attempt>,
    /// Where a part is in the plan: what a worker has from an earlier coordinator is known by it.
    parts: HashMap<String, Vec<ShardId>>,
    next_attempt: u64,
    next_run: u64,
    /// Runs are still being planned: what workers have may be theirs.
    is_recovering: bool,
    /// Workers that are kept free for a shard that must be alone, by class.
    reserved: BTreeMap<i32, String>,
    gone: VecDeque<workers::Gone>,
}

#[derive(Debug)]
struct Run {
    class: DeviceClass,
    priority: i32,
    is_paused: bool,
    shards: Vec<Shard>,
    waiting: VecDeque<usize>,
    /// Those that wait alone for a worker.
    suspects: VecDeque<usize>,
    delayed: BTreeSet<(Time, usize)>,
    running: usize,
    windows_running: u64,
    over: usize,
    given_up: usize,
    windows_over: u64,
}

#[derive(Debug)]
struct Shard {
    part: String,
    windows: u64,
    history: retry::History,
    state: ShardState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShardState {
    Waits,
    Delayed(Time),
    Attempted(u64),
    /// Its rows are being written by the coordinator.
    GivenUp,
    Over,
}

#[derive(Debug)]
struct Attempt {
    shard: ShardId,
    worker: String,
    since: Time,
    deadline: Duration,
    alone: bool,
    /// Its worker was answered with it: what ends a process at once leaves it no time to say that it has it.
    is_fetched: bool,
    /// When its worker first said that it has it.
    taken: Option<Time>,
    /// When its worker first said that it is on the device.
    begun: Option<Time>,
    windows_done: u64,
}

impl Attempt {
    /// Whether its worker can die of it.
    fn is_with_worker(&self) -> bool {
        self.is_fetched || self.taken.is_some()
    }

    /// What is wrong with it, if it takes too long.
    fn overdue(&self, policy: &Policy, now: Time) -> Option<(ShardFailure, &'static str)> {
        let late = |since: Time, limit: Duration| now.saturating_sub(since) > limit;
        match (self.taken, self.begun) {
            (None, _) => {
                late(self.since, policy.untaken_max).then_some((ShardFailure::Untaken, "its worker never took it"))
            }
            (Some(taken), None) => late(taken, policy.loading_max)
                .then_some((ShardFailure::Of(FailureKind::Internal), "its worker does not get the model loaded")),
            (_, Some(begun)) => late(begun, self.deadline + policy.late_max).then_some((
                ShardFailure::Of(FailureKind::Deadline),
                "its worker neither finished it nor gave it back",
            )),
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Shards that the scheduler was given.
    pub(crate) shards: usize,
    /// Over, whatever became of them.
    pub(crate) over: usize,
    /// Attempted now.
    pub(crate) running: usize,
    /// Waiting for another try.
    pub(crate) retrying: usize,
    /// Given up.
    pub(crate) given_up: usize,
    /// Windows of those that are over, by plan, and of those under way, by report.
    pub(crate) windows_done: u64,
}

/// How much there is to do, for one class of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Workers.
    pub(crate) workers: usize,
    /// Their slots.
    pub(crate) slots: usize,
    /// Shards that no worker has.
    pub(crate) waiting: usize,
    /// Shards that a worker has.
    pub(crate) running: usize,
}

impl Scheduler {
    /// An empty one. Attempts are numbered from `term` on, so that no two coordinators of a store use one number.
    pub(crate) fn new(policy: Policy, term: u64) -> Scheduler {
        Scheduler {
            policy,
            runs: BTreeMap::new(),
            workers: BTreeMap::new(),
            attempts: HashMap::new(),
            parts: HashMap::new(),
            next_attempt: term << 32,
            next_run: 0,
            is_recovering: true,
            reserved: BTreeMap::new(),
            gone: VecDeque::new(),
        }
    }

    /// Every run that the store knows of is on the scheduler: what else workers have is for nobody.
    pub(crate) fn recovered(&mut self) {
        self.is_recovering = false;
    }

    /// A run's shards, to be scored on this class of devices.
    pub(crate) fn add(
        &mut self,
        class: DeviceClass,
        priority: i32,
        pieces: Vec<ShardSummary>,
        is_paused: bool,
        now: Time,
    ) -> (RunId, Vec<Effect>) {
        let run = RunId(self.next_run);
        self.next_run += 1;
        for (at, piece) in pieces.iter().enumerate() {
            self.parts.entry(piece.part.clone()).or_default().push(ShardId { run, at });
        }
        let shards: Vec<Shard> = pieces
            .into_iter()
            .map(|piece| Shard {
                part: piece.part,
                windows: piece.windows,
                history: retry::History::default(),
                state: ShardState::Waits,
            })
            .collect();
        let mut effects = Vec::new();
        if shards.is_empty() {
            effects.push(Effect::Ended { run });
        }
        let waiting = (0..shards.len()).collect();
        self.runs.insert(
            run,
            Run {
                class,
                priority,
                is_paused,
                shards,
                waiting,
                suspects: VecDeque::new(),
                delayed: BTreeSet::new(),
                running: 0,
                windows_running: 0,
                over: 0,
                given_up: 0,
                windows_over: 0,
            },
        );
        let ids: Vec<String> = self.workers.keys().cloned().collect();
        ids.iter().for_each(|id| self.adopt(id, now));
        self.assign(now, &mut effects);
        (run, effects)
    }

    /// Hands out no more of a run.
    pub(crate) fn pause(&mut self, run: RunId) {
        if let Some(run) = self.runs.get_mut(&run) {
            run.is_paused = true;
        }
    }

    /// Goes on with a run.
    pub(crate) fn resume(&mut self, run: RunId, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(run) = self.runs.get_mut(&run) {
            run.is_paused = false;
        }
        self.assign(now, &mut effects);
        effects
    }

    /// Takes a run off the scheduler, and stops what is under way for it.
    pub(crate) fn remove(&mut self, id: RunId, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(run) = self.runs.remove(&id) else {
            return effects;
        };
        for shard in &run.shards {
            if let Some(of) = self.parts.get_mut(&shard.part) {
                of.retain(|shard| shard.run != id);
                if of.is_empty() {
                    self.parts.remove(&shard.part);
                }
            }
        }
        let attempts: Vec<u64> =
            self.attempts.iter().filter(|(_, of)| of.shard.run == id).map(|(attempt, _)| *attempt).collect();
        for attempt in attempts {
            let Some(of) = self.attempts.remove(&attempt) else { continue };
            if let Some(worker) = self.workers.get_mut(&of.worker) {
                worker.attempts.remove(&attempt);
            }
            effects.push(Effect::Stop { worker: of.worker, attempts: vec![attempt] });
            effects.push(Effect::Forget { attempt });
        }
        self.assign(now, &mut effects);
        effects
    }

    /// A worker that asked for work is answered with this attempt.
    pub(crate) fn fetched(&mut self, attempt: u64) {
        if let Some(attempt) = self.attempts.get_mut(&attempt) {
            attempt.is_fetched = true;
        }
    }

    /// An attempt could not be handed to its worker; a hopeless one cannot be handed to any.
    pub(crate) fn uncarried(&mut self, attempt: u64, message: String, is_hopeless: bool, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        let trouble = if is_hopeless { ShardFailure::Hopeless } else { ShardFailure::Untaken };
        self.failed(attempt, trouble, message, now, &mut effects);
        self.assign(now, &mut effects);
        effects
    }

    /// The rows of a shard that was given up are in the store; or they could not be written, and it waits again.
    pub(crate) fn given_up(&mut self, id: ShardId, rows: Result<u64, ()>, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(shard) = self.runs.get_mut(&id.run).map(|run| &mut run.shards[id.at]) else {
            return effects;
        };
        if shard.state != ShardState::GivenUp {
            return effects;
        }
        match rows {
            Ok(failed) => {
                if let Some(run) = self.runs.get_mut(&id.run) {
                    run.given_up += 1;
                }
                self.over(id, failed, None, &mut effects);
            }
            Err(()) => {
                shard.history = retry::History::default();
                self.wait(id, self.policy.again_max, now);
            }
        }
        effects
    }

    /// An attempt did not succeed.
    fn failed(&mut self, attempt: u64, trouble: ShardFailure, message: String, now: Time, effects: &mut Vec<Effect>) {
        let Some(of) = self.end(attempt) else {
            return;
        };
        effects.push(Effect::Forget { attempt });
        let (shard, worker) = (of.shard, of.worker);
        effects.push(Effect::Failed { shard, worker: worker.clone(), kind: trouble.name(), message: message.clone() });
        if trouble.is_of_worker() {
            self.went_wrong(&worker, now);
        }
        let others = self.others(shard, &worker);
        let Some(run) = self.runs.get_mut(&shard.run) else {
            return;
        };
        match run.shards[shard.at].history.after(trouble, (&worker, attempt), others, &self.policy) {
            retry::Verdict::Again(delay) => self.wait(shard, delay, now),
            retry::Verdict::GiveUp(code) => self.give_up(shard, code, message, effects),
            retry::Verdict::Break => {
                self.wait(shard, self.policy.again_max, now);
                effects.push(Effect::Broken { run: shard.run, message });
            }
        }
    }

    /// Workers of a shard's class on which it has not failed, beside this one.
    fn others(&self, id: ShardId, worker: &str) -> usize {
        let Some(run) = self.runs.get(&id.run) else {
            return 0;
        };
        let history = &run.shards[id.at].history;
        let is_other = |(other, of): &(&String, &Worker)| {
            *other != worker && of.hello.device() == run.class && !of.is_draining && !history.has_failed_on(other)
        };
        self.workers.iter().filter(is_other).count()
    }

    /// Takes an attempt off; its shard is nowhere until its caller says where.
    fn end(&mut self, attempt: u64) -> Option<Attempt> {
        let of = self.attempts.remove(&attempt)?;
        if let Some(worker) = self.workers.get_mut(&of.worker) {
            worker.attempts.remove(&attempt);
        }
        let run = self.runs.get_mut(&of.shard.run)?;
        run.running -= 1;
        run.windows_running -= run.shards[of.shard.at].windows;
        Some(of)
    }

    fn wait(&mut self, id: ShardId, delay: Duration, now: Time) {
        let Some(run) = self.runs.get_mut(&id.run) else {
            return;
        };
        let shard = &mut run.shards[id.at];
        if delay > Duration::ZERO {
            shard.state = ShardState::Delayed(now + delay);
            run.delayed.insert((now + delay, id.at));
            return;
        }
        shard.state = ShardState::Waits;
        // Before those that were never tried: it holds up the run's end.
        if shard.history.must_be_alone() { &mut run.suspects } else { &mut run.waiting }.push_front(id.at);
    }

    fn unwait(&mut self, id: ShardId) {
        let Some(run) = self.runs.get_mut(&id.run) else {
            return;
        };
        match run.shards[id.at].state {
            ShardState::Delayed(when) => {
                run.delayed.remove(&(when, id.at));
            }
            ShardState::Waits => {
                run.waiting.retain(|at| *at != id.at);
                run.suspects.retain(|at| *at != id.at);
            }
            _ => {}
        }
    }

    fn give_up(&mut self, shard: ShardId, code: Code, message: String, effects: &mut Vec<Effect>) {
        if let Some(run) = self.runs.get_mut(&shard.run) {
            run.shards[shard.at].state = ShardState::GivenUp;
        }
        effects.push(Effect::GiveUp { shard, code, message });
    }

    fn over(&mut self, id: ShardId, failed: u64, after: Option<Duration>, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&id.run) else {
            return;
        };
        let shard = &mut run.shards[id.at];
        shard.state = ShardState::Over;
        run.over += 1;
        run.windows_over += shard.windows;
        effects.push(Effect::Done { shard: id, failed, after });
        if run.over == run.shards.len() {
            effects.push(Effect::Ended { run: id.run });
        }
    }

    fn begin(&mut self, attempt: u64, of: Attempt) {
        let run = self.runs.get_mut(&of.shard.run).expect("its shards go with a run");
        run.shards[of.shard.at].state = ShardState::Attempted(attempt);
        run.running += 1;
        run.windows_running += run.shards[of.shard.at].windows;
        if let Some(worker) = self.workers.get_mut(&of.worker) {
            worker.attempts.insert(attempt);
        }
        self.attempts.insert(attempt, of);
    }

    /// The workers, by their names.
    pub(crate) fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// Whether this worker is here.
    pub(crate) fn knows(&self, worker: &str) -> bool {
        self.workers.contains_key(worker)
    }

    /// How far a run is.
    pub(crate) fn tally(&self, id: RunId) -> Tally {
        let Some(run) = self.runs.get(&id) else {
            return Tally::default();
        };
        let under_way = |attempt: &&Attempt| attempt.shard.run == id;
        Tally {
            shards: run.shards.len(),
            over: run.over,
            running: run.running,
            retrying: run.delayed.len() + run.suspects.len(),
            given_up: run.given_up,
            windows_done: run.windows_over
                + self.attempts.values().filter(under_way).map(|attempt| attempt.windows_done).sum::<u64>(),
        }
    }

    /// How much there is to do on this class of devices.
    pub(crate) fn demand(&self, class: DeviceClass) -> Demand {
        let mut demand = Demand::default();
        for worker in self.workers.values().filter(|worker| worker.hello.device() == class) {
            demand.workers += 1;
            demand.slots += worker.hello.slots as usize;
        }
        for run in self.runs.values().filter(|run| run.class == class) {
            demand.running += run.running;
            if !run.is_paused {
                demand.waiting += run.waiting.len() + run.suspects.len() + run.delayed.len();
            }
        }
        demand
    }
}
