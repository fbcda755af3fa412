//! Who scores what: runs' shards on one side, workers' slots on the other, attempts between them. Pure: it knows no
//! network, no store and no clock; what happens comes in with its time, what is to be done comes out as [`Effect`]s.
//!
//! Each shard is in one place: it waits, waits for a time, is attempted by one worker, or is over. An attempt ends by what
//! its worker says, or because the worker is gone; what a worker says of an attempt that has ended changes nothing. So a
//! shard that two workers make is counted once, and none is forgotten.

mod assign;
mod retry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use dqa_proto::v1::{DeviceClass, FailureKind, Finished, Hello, Report, Totals, finished};

pub(crate) use retry::{Code, Policy};

/// Since the coordinator started.
pub(crate) type Time = Duration;

/// A run on the board.
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

/// A shard as the board needs it.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Its part's name.
    pub(crate) part: String,
    /// Windows planned.
    pub(crate) windows: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Hand a shard to a worker.
    Order {
        /// Another for every try.
        attempt: u64,
        /// Which shard.
        shard: ShardId,
        /// To whom.
        worker: String,
        /// With nothing beside it.
        alone: bool,
        /// Until when.
        deadline: Duration,
    },
    /// Tell a worker that nobody needs these any more.
    Stop {
        /// Whom.
        worker: String,
        /// Which.
        attempts: Vec<u64>,
    },
    /// Tell a worker that its outcomes are known.
    Acknowledge {
        /// Whom.
        worker: String,
        /// Which.
        attempts: Vec<u64>,
    },
    /// Nobody waits for this attempt any more.
    Forget {
        /// Which.
        attempt: u64,
    },
    /// A shard's part is in the store, so many rows of it without a score.
    Done {
        /// Which.
        shard: ShardId,
        /// Rows without a score.
        failed: u64,
        /// From its assignment, where this coordinator made it.
        after: Option<Duration>,
    },
    /// A shard is given up: write rows that say so, then [`Board::given_up`].
    GiveUp {
        /// Which.
        shard: ShardId,
        /// What its rows say.
        code: Code,
        /// And why.
        message: String,
    },
    /// An attempt did not succeed; for logs and metrics.
    Failed {
        /// Which shard.
        shard: ShardId,
        /// On which worker.
        worker: String,
        /// What kind of trouble.
        kind: &'static str,
        /// What it said.
        message: String,
    },
    /// A run has nothing left to do.
    Ended {
        /// Which.
        run: RunId,
    },
    /// A run cannot go on.
    Broken {
        /// Which.
        run: RunId,
        /// Why.
        message: String,
    },
    /// A worker went away.
    Lost {
        /// Which.
        worker: String,
        /// How that was noticed.
        why: &'static str,
    },
}

/// The board.
#[derive(Debug)]
pub(crate) struct Board {
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
    /// Workers that are kept free for a shard that must be alone.
    reserved: BTreeMap<i32, String>,
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
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
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
    /// When its worker first said that it has it.
    seen: Option<Time>,
    windows_done: u64,
}

/// A worker as the board knows it.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    /// What it said of itself.
    pub(crate) hello: Hello,
    /// Since when it is here.
    pub(crate) since: Time,
    /// When it was last heard of.
    pub(crate) heard: Time,
    /// It takes no more shards.
    pub(crate) is_draining: bool,
    /// What it has done.
    pub(crate) totals: Totals,
    /// What it has, by its last report.
    pub(crate) running: Vec<dqa_proto::v1::Running>,
    attempts: BTreeSet<u64>,
    /// When its stream ended, if it has.
    left: Option<Time>,
}

impl Worker {
    /// Whether its stream is open.
    pub(crate) fn is_here(&self) -> bool {
        self.left.is_none()
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Shards that the board was given.
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

impl Board {
    /// An empty one. Attempts are numbered from `term` on, so that no two coordinators of a store use one number.
    pub(crate) fn new(policy: Policy, term: u64) -> Board {
        Board {
            policy,
            runs: BTreeMap::new(),
            workers: BTreeMap::new(),
            attempts: HashMap::new(),
            parts: HashMap::new(),
            next_attempt: term << 32,
            next_run: 0,
            is_recovering: true,
            reserved: BTreeMap::new(),
        }
    }

    /// Every run that the store knows of is on the board: what else workers have is for nobody.
    pub(crate) fn recovered(&mut self) {
        self.is_recovering = false;
    }

    /// A run's shards, to be scored on this class of devices.
    pub(crate) fn add(
        &mut self,
        class: DeviceClass,
        priority: i32,
        pieces: Vec<Piece>,
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
                place: Place::Waits,
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

    /// Takes a run off the board, and stops what is under way for it.
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

    /// A worker is here, for the first time or again.
    pub(crate) fn join(&mut self, hello: Hello, now: Time) -> Vec<Effect> {
        let id = hello.id.clone();
        match self.workers.get_mut(&id) {
            Some(worker) => {
                worker.hello = hello;
                worker.heard = now;
                worker.left = None;
            }
            None => {
                let worker = Worker {
                    hello,
                    since: now,
                    heard: now,
                    is_draining: false,
                    totals: Totals::default(),
                    running: Vec::new(),
                    attempts: BTreeSet::new(),
                    left: None,
                };
                self.workers.insert(id, worker);
            }
        }
        // It is given shards with its first report, which says what it has already.
        Vec::new()
    }

    /// A worker's stream has ended. It may open another.
    pub(crate) fn leave(&mut self, id: &str, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(worker) = self.workers.get_mut(id) {
            // One that drained and owes nothing has gone home.
            if worker.is_draining && worker.attempts.is_empty() {
                self.workers.remove(id);
                self.reserved.retain(|_, reserved| reserved != id);
            } else {
                worker.left.get_or_insert(now);
            }
        }
        self.tick_into(now, &mut effects);
        effects
    }

    /// What a worker says of itself.
    pub(crate) fn report(&mut self, id: &str, report: Report, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(worker) = self.workers.get_mut(id) else {
            return effects;
        };
        worker.heard = now;
        worker.left = None;
        worker.is_draining |= report.draining;
        worker.totals = report.totals.unwrap_or_default();
        worker.running.clone_from(&report.running);
        let finished: Vec<u64> = report.finished.iter().map(|finished| finished.attempt).collect();
        for finished in report.finished {
            self.finished(id, finished, now, &mut effects);
        }
        if !finished.is_empty() {
            effects.push(Effect::Acknowledge { worker: id.to_owned(), attempts: finished });
        }
        for running in &report.running {
            if let Some(attempt) = self.attempts.get_mut(&running.attempt) {
                attempt.seen.get_or_insert(now);
                attempt.windows_done = running.windows_done;
            }
        }
        self.adopt(id, now);
        if !self.is_recovering {
            let is_unknown = |attempt: &u64| self.attempts.get(attempt).is_none_or(|of| of.worker != id);
            let unknown: Vec<u64> = report.running.iter().map(|running| running.attempt).filter(is_unknown).collect();
            if !unknown.is_empty() {
                effects.push(Effect::Stop { worker: id.to_owned(), attempts: unknown });
            }
        }
        self.assign_to(id, now, &mut effects);
        effects
    }

    /// Ballista says that it cannot carry an attempt out.
    pub(crate) fn uncarried(&mut self, attempt: u64, message: String, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.attempts.contains_key(&attempt) {
            self.failed(attempt, FailureKind::Internal, message, now, &mut effects);
            self.assign(now, &mut effects);
        }
        effects
    }

    /// The rows of a shard that was given up are in the store; or they could not be written, and it waits again.
    pub(crate) fn given_up(&mut self, id: ShardId, rows: Result<u64, ()>, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(shard) = self.runs.get_mut(&id.run).map(|run| &mut run.shards[id.at]) else {
            return effects;
        };
        if shard.place != Place::GivenUp {
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

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.tick_into(now, &mut effects);
        self.assign(now, &mut effects);
        effects
    }

    fn tick_into(&mut self, now: Time, effects: &mut Vec<Effect>) {
        for run in self.runs.values_mut() {
            while let Some((_, at)) = run.delayed.first().copied().filter(|(when, _)| *when <= now) {
                run.delayed.pop_first();
                run.shards[at].place = Place::Waits;
                if run.shards[at].history.must_be_alone() { &mut run.suspects } else { &mut run.waiting }.push_back(at);
            }
        }
        let policy = self.policy.clone();
        let gone = |worker: &Worker| {
            let closed = worker.left.is_some_and(|left| now.saturating_sub(left) >= policy.closed_max);
            let silent = now.saturating_sub(worker.heard) >= policy.silent_max;
            if closed { Some("its connection closed") } else { silent.then_some("it is silent") }
        };
        let gone: Vec<(String, &'static str)> =
            self.workers.iter().filter_map(|(id, worker)| Some((id.clone(), gone(worker)?))).collect();
        for (id, why) in gone {
            self.lose(&id, why, now, effects);
        }
        let overdue = |attempt: &Attempt| match attempt.seen {
            None => now.saturating_sub(attempt.since) > policy.unseen_max,
            Some(seen) => now.saturating_sub(seen) > attempt.deadline + policy.late_max,
        };
        let overdue: Vec<(u64, bool)> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| overdue(attempt))
            .map(|(id, attempt)| (*id, attempt.seen.is_some()))
            .collect();
        for (attempt, was_seen) in overdue {
            let worker = self.attempts[&attempt].worker.clone();
            effects.push(Effect::Stop { worker, attempts: vec![attempt] });
            let (kind, message) = if was_seen {
                (FailureKind::Deadline, "its worker neither finished it nor gave it back")
            } else {
                (FailureKind::HandedBack, "its worker never took it")
            };
            self.failed(attempt, kind, message.to_owned(), now, effects);
        }
    }

    /// What an attempt's worker says became of it.
    fn finished(&mut self, worker: &str, finished: Finished, now: Time, effects: &mut Vec<Effect>) {
        let Finished { attempt, part, outcome } = finished;
        let is_its = self.attempts.get(&attempt).is_some_and(|of| of.worker == worker);
        match outcome {
            Some(finished::Outcome::Scored(scored)) if is_its => {
                let of = self.end(attempt).expect("it is there");
                self.over(of.shard, scored.failed, Some(now.saturating_sub(of.since)), effects);
            }
            // Of an earlier coordinator, or of one that was given up too early: the part is there all the same.
            Some(finished::Outcome::Scored(scored)) => {
                for shard in self.parts.get(&part).cloned().unwrap_or_default() {
                    let place = self.runs[&shard.run].shards[shard.at].place;
                    if matches!(place, Place::Waits | Place::Delayed(_)) {
                        self.unwait(shard);
                        self.over(shard, scored.failed, None, effects);
                    }
                }
            }
            Some(finished::Outcome::Failure(failure)) if is_its => {
                self.failed(attempt, failure.kind(), failure.message, now, effects);
            }
            None if is_its => {
                self.failed(attempt, FailureKind::Internal, "its worker did not say".to_owned(), now, effects);
            }
            _ => {}
        }
    }

    /// A worker is gone with all that it had.
    fn lose(&mut self, id: &str, why: &'static str, now: Time, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.remove(id) else {
            return;
        };
        self.reserved.retain(|_, reserved| reserved != id);
        effects.push(Effect::Lost { worker: id.to_owned(), why });
        let has_died = worker.left.is_some() && !worker.is_draining;
        let seen = worker.attempts.iter().filter(|attempt| self.attempts[attempt].seen.is_some()).count();
        for attempt in worker.attempts {
            effects.push(Effect::Forget { attempt });
            let Some(of) = self.end(attempt) else { continue };
            let death = (has_died && of.seen.is_some()).then_some(of.alone || seen == 1);
            let shard = &mut self.runs.get_mut(&of.shard.run).expect("its attempts go with a run").shards[of.shard.at];
            shard.history.lost(death);
            effects.push(Effect::Failed {
                shard: of.shard,
                worker: id.to_owned(),
                kind: if has_died { "worker_died" } else { "worker_silent" },
                message: why.to_owned(),
            });
            match shard.history.fatal(&self.policy) {
                Some(code) => self.give_up(of.shard, code, format!("{why}, again and again"), effects),
                None => self.wait(of.shard, Duration::ZERO, now),
            }
        }
    }

    /// An attempt did not succeed.
    fn failed(&mut self, attempt: u64, kind: FailureKind, message: String, now: Time, effects: &mut Vec<Effect>) {
        effects.push(Effect::Forget { attempt });
        let Some(of) = self.end(attempt) else {
            return;
        };
        effects.push(Effect::Failed {
            shard: of.shard,
            worker: of.worker,
            kind: retry::kind_name(kind),
            message: message.clone(),
        });
        let run = self.runs.get_mut(&of.shard.run).expect("its attempts go with a run");
        match run.shards[of.shard.at].history.after(kind, attempt, &self.policy) {
            retry::Verdict::Again(delay) => self.wait(of.shard, delay, now),
            retry::Verdict::GiveUp(code) => self.give_up(of.shard, code, message, effects),
            retry::Verdict::Break => {
                self.wait(of.shard, self.policy.again_max, now);
                effects.push(Effect::Broken { run: of.shard.run, message });
            }
        }
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
            shard.place = Place::Delayed(now + delay);
            run.delayed.insert((now + delay, id.at));
            return;
        }
        shard.place = Place::Waits;
        // Before those that were never tried: it holds up the run's end.
        if shard.history.must_be_alone() { &mut run.suspects } else { &mut run.waiting }.push_front(id.at);
    }

    fn unwait(&mut self, id: ShardId) {
        let Some(run) = self.runs.get_mut(&id.run) else {
            return;
        };
        match run.shards[id.at].place {
            Place::Delayed(when) => {
                run.delayed.remove(&(when, id.at));
            }
            Place::Waits => {
                run.waiting.retain(|at| *at != id.at);
                run.suspects.retain(|at| *at != id.at);
            }
            _ => {}
        }
    }

    fn give_up(&mut self, shard: ShardId, code: Code, message: String, effects: &mut Vec<Effect>) {
        if let Some(run) = self.runs.get_mut(&shard.run) {
            run.shards[shard.at].place = Place::GivenUp;
        }
        effects.push(Effect::GiveUp { shard, code, message });
    }

    fn over(&mut self, id: ShardId, failed: u64, after: Option<Duration>, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&id.run) else {
            return;
        };
        let shard = &mut run.shards[id.at];
        shard.place = Place::Over;
        run.over += 1;
        run.windows_over += shard.windows;
        effects.push(Effect::Done { shard: id, failed, after });
        if run.over == run.shards.len() {
            effects.push(Effect::Ended { run: id.run });
        }
    }

    /// What a worker has from an earlier coordinator and is on this board goes on under its number.
    fn adopt(&mut self, id: &str, now: Time) {
        let Some(worker) = self.workers.get(id) else {
            return;
        };
        let is_new = |running: &&dqa_proto::v1::Running| !self.attempts.contains_key(&running.attempt);
        let strange: Vec<_> = worker.running.iter().filter(is_new).cloned().collect();
        for running in strange {
            let waits = |shard: &&ShardId| self.runs[&shard.run].shards[shard.at].place == Place::Waits;
            let Some(shard) = self.parts.get(&running.part).into_iter().flatten().find(waits).copied() else {
                continue;
            };
            self.unwait(shard);
            let run = &self.runs[&shard.run];
            let deadline = self.policy.deadline(run.shards[shard.at].windows, run.class);
            let (worker, windows_done) = (id.to_owned(), running.windows_done);
            let seen = Some(now);
            self.begin(
                running.attempt,
                Attempt { shard, worker, since: now, deadline, alone: false, seen, windows_done },
            );
        }
    }

    fn begin(&mut self, attempt: u64, of: Attempt) {
        let run = self.runs.get_mut(&of.shard.run).expect("its shards go with a run");
        run.shards[of.shard.at].place = Place::Attempted(attempt);
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
