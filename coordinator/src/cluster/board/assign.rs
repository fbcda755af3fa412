//! Which shard goes to which worker: the run of the highest priority first; among equals the one that has the fewest
//! windows under way, so that a small run does not wait for a large one. A worker has as many shards as it has slots: what
//! waits, waits here, where it can be given to whoever is free first.

use super::{Attempt, Board, Effect, RunId, ShardId, Time, Worker};

impl Board {
    /// To every worker that has room: first to who has the most.
    pub(super) fn assign(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let mut free: Vec<(u32, String)> =
            self.workers.iter().map(|(id, worker)| (room(worker), id.clone())).filter(|(room, _)| *room > 0).collect();
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
        while self.workers.get(id).map_or(0, room) > 0 && self.assign_one(id, now, effects) {}
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
        self.begin(attempt, Attempt { shard, worker, since: now, deadline, alone, seen: None, windows_done: 0 });
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
        let key = i32::from(class);
        let suspect = self.runs_of(class, |run| !run.suspects.is_empty());
        match suspect {
            None => {
                self.reserved.remove(&key);
            }
            Some(run) => {
                let reserved = self.reserved.entry(key).or_insert_with(|| id.to_owned());
                if reserved == id {
                    if !is_idle {
                        return None;
                    }
                    let at = self.runs.get_mut(&run)?.suspects.pop_front()?;
                    return Some((ShardId { run, at }, true));
                }
            }
        }
        let run = self.runs_of(class, |run| !run.waiting.is_empty())?;
        let at = self.runs.get_mut(&run)?.waiting.pop_front()?;
        Some((ShardId { run, at }, false))
    }

    /// Whose turn it is, of the runs that have such a shard.
    fn runs_of(&self, class: dqa_proto::v1::DeviceClass, has: impl Fn(&super::Run) -> bool) -> Option<RunId> {
        let may = |run: &super::Run| !run.is_paused && run.class == class && has(run);
        let candidates = self.runs.iter().filter(|(_, run)| may(run));
        candidates.min_by_key(|(id, run)| (-i64::from(run.priority), run.windows_running, **id)).map(|(id, _)| *id)
    }
}

/// Shards that a worker can still take.
fn room(worker: &Worker) -> u32 {
    if worker.is_draining || worker.left.is_some() {
        return 0;
    }
    worker.hello.slots.saturating_sub(u32::try_from(worker.attempts.len()).unwrap_or(u32::MAX))
}
