//! Which shard goes to which worker: the run of the highest priority first; among equals the one that has the fewest
//! windows under way, so that a small run does not wait for a large one. A worker has as many shards as it has slots: what
//! waits, waits here, where it can be given to whoever is free first.

use super::{Attempt, Effect, RunId, Scheduler, ShardId, Time, Worker};

/// Shards that are looked at for a worker before it is given none: some may have failed on it.
const LOOKS_MAX: usize = 64;

impl Scheduler {
    /// To every worker that has room: first to who has the most.
    pub(super) fn assign(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let room = |(id, worker): (&String, &Worker)| (worker.room(now), id.clone());
        let mut free: Vec<(u32, String)> = self.workers.iter().map(room).filter(|(room, _)| *room > 0).collect();
        free.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        // One each, as long as there is something: slots beyond the first only keep a device from waiting.
        while !free.is_empty() {
            free.retain_mut(|(room, id)| {
                let took = self.assign_one(id, now, effects);
                *room -= 1;
                took && *room > 0
            });
        }
    }

    /// To one worker.
    pub(super) fn assign_to(&mut self, id: &str, now: Time, effects: &mut Vec<Effect>) {
        while self.workers.get(id).map_or(0, |worker| worker.room(now)) > 0 && self.assign_one(id, now, effects) {}
    }

    fn assign_one(&mut self, id: &str, now: Time, effects: &mut Vec<Effect>) -> bool {
        let Some((shard, alone)) = self.next_for(id) else {
            return false;
        };
        let run = &self.runs[&shard.run];
        let deadline = self.policy.deadline(run.shards[shard.at].windows, run.class);
        let attempt = self.next_attempt;
        self.next_attempt += 1;
        let worker = id.to_owned();
        effects.push(Effect::Order { attempt, shard, worker: worker.clone(), alone, deadline });
        let of = Attempt {
            shard,
            worker,
            since: now,
            deadline,
            alone,
            is_fetched: false,
            taken: None,
            begun: None,
            windows_done: 0,
        };
        self.begin(attempt, of);
        true
    }

    /// Takes the next shard for a worker off those that wait.
    fn next_for(&mut self, id: &str) -> Option<(ShardId, bool)> {
        let worker = self.workers.get(id)?;
        let (class, is_idle) = (worker.hello.device(), worker.attempts.is_empty());
        let has_a_lonely_one = worker.attempts.iter().any(|attempt| self.attempts[attempt].alone);
        if has_a_lonely_one {
            return None;
        }
        if let Some(run) = self.runs_of(class, |run| !run.suspects.is_empty()) {
            match self.lonely_one(run, id, is_idle) {
                Lonely::Take(at) => return Some((ShardId { run, at }, true)),
                Lonely::KeepFree => return None,
                Lonely::Elsewhere => {}
            }
        } else {
            self.reserved.remove(&i32::from(class));
        }
        let run = self.runs_of(class, |run| !run.waiting.is_empty())?;
        let at = self.take_waiting(run, id)?;
        Some((ShardId { run, at }, false))
    }

    /// What a worker has to do with a shard that must be alone: an idle one takes it; where none is idle, one is kept
    /// free until it is.
    fn lonely_one(&mut self, run: RunId, id: &str, is_idle: bool) -> Lonely {
        let class = self.runs[&run].class;
        let key = i32::from(class);
        if is_idle {
            self.reserved.remove(&key);
            let at = self.runs.get_mut(&run).and_then(|run| run.suspects.pop_front());
            return at.map_or(Lonely::Elsewhere, Lonely::Take);
        }
        let is_kept = self.reserved.get(&key).is_some_and(|kept| {
            self.workers.get(kept).is_some_and(|worker| !worker.is_draining && !worker.attempts.is_empty())
        });
        if !is_kept {
            self.reserved.insert(key, id.to_owned());
        }
        if self.reserved[&key] == id { Lonely::KeepFree } else { Lonely::Elsewhere }
    }

    /// Takes a shard off those that wait: the first that has not failed on this worker, or for which there is no other.
    fn take_waiting(&mut self, id: RunId, worker: &str) -> Option<usize> {
        let run = &self.runs[&id];
        let may = |at: &usize| {
            let shard = ShardId { run: id, at: *at };
            !run.shards[*at].history.has_failed_on(worker) || self.others(shard, worker) == 0
        };
        let place = run.waiting.iter().take(LOOKS_MAX).position(may)?;
        self.runs.get_mut(&id)?.waiting.remove(place)
    }

    /// Whose turn it is, of the runs that have such a shard.
    fn runs_of(&self, class: dqa_proto::v1::DeviceClass, has: impl Fn(&super::Run) -> bool) -> Option<RunId> {
        let may = |run: &super::Run| !run.is_paused && run.class == class && has(run);
        let candidates = self.runs.iter().filter(|(_, run)| may(run));
        candidates.min_by_key(|(id, run)| (-i64::from(run.priority), run.windows_running, **id)).map(|(id, _)| *id)
    }
}

/// What a worker does for a shard that must be alone.
enum Lonely {
    Take(usize),
    KeepFree,
    Elsewhere,
}
