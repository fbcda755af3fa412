//! The scheduler must never lose a shard, count one twice, leave a run without an end, give a worker more shards than
//! it has slots, or let a shard that kills its workers take other shards with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dqa_proto::v1::{DeviceClass, Failure, FailureKind, Finished, Hello, Report, Running, Scored, finished};
use proptest::prelude::*;

use super::*;

fn registration(id: &str, class: DeviceClass, slots: u32) -> Hello {
    Hello { protocol_version: 1, id: id.to_owned(), device: class.into(), slots, ..Hello::default() }
}

fn new_run(name: &str, class: DeviceClass, priority: i32, count: usize) -> NewRun {
    let shard = |index| ShardSummary { part: format!("{name}-{index}"), windows: 10 };
    NewRun { class, priority, is_paused: false, shards: (0..count).map(shard).collect() }
}

fn seconds(time: u64) -> Time {
    Duration::from_secs(time)
}

/// A scheduler with workers that follow its effects.
struct World {
    scheduler: Scheduler,
    now: Time,
    /// The attempts and part names of each living worker.
    running: BTreeMap<String, BTreeMap<u64, String>>,
    finished: BTreeMap<String, Vec<Finished>>,
    class: BTreeMap<String, DeviceClass>,
    slots: u32,
    parts: BTreeMap<ShardId, String>,
    done: BTreeMap<ShardId, u32>,
    quarantined: BTreeSet<ShardId>,
    ended: BTreeSet<RunId>,
    failed: BTreeSet<RunId>,
    exclusive: BTreeSet<u64>,
}

impl World {
    fn new(slots: u32) -> World {
        let mut scheduler = Scheduler::new(Policy::default(), 1);
        scheduler.finish_recovery();
        World {
            scheduler,
            now: Time::ZERO,
            running: BTreeMap::new(),
            finished: BTreeMap::new(),
            class: BTreeMap::new(),
            slots,
            parts: BTreeMap::new(),
            done: BTreeMap::new(),
            quarantined: BTreeSet::new(),
            ended: BTreeSet::new(),
            failed: BTreeSet::new(),
            exclusive: BTreeSet::new(),
        }
    }

    fn add(&mut self, run: &str, class: DeviceClass, priority: i32, count: usize) -> RunId {
        let new = new_run(run, class, priority, count);
        let (id, effects) = self.scheduler.add_run(new.clone(), self.now);
        let shards = new.shards.into_iter().enumerate();
        self.parts.extend(shards.map(|(index, shard)| (ShardId { run: id, index }, shard.part)));
        self.apply(effects);
        id
    }

    fn join(&mut self, id: &str, class: DeviceClass) {
        self.running.insert(id.to_owned(), BTreeMap::new());
        self.finished.entry(id.to_owned()).or_default();
        self.class.insert(id.to_owned(), class);
        self.scheduler.register_worker(registration(id, class, self.slots), self.now);
        self.report(id);
    }

    fn report(&mut self, id: &str) {
        let Some(attempts) = self.running.get(id) else { return };
        let running = attempts.iter().map(|(attempt, part)| Running {
            attempt: *attempt,
            part: part.clone(),
            windows_done: 0,
            scoring: true,
        });
        let finished = self.finished.get(id).cloned().unwrap_or_default();
        let report = Report { running: running.collect(), finished, draining: false, totals: None };
        let effects = self.scheduler.handle_report(id, report, self.now);
        self.apply(effects);
    }

    /// The worker has fetched what was dispatched to it, and has not reported it.
    fn fetch(&mut self, id: &str) {
        self.running[id].keys().for_each(|attempt| self.scheduler.mark_fetched(*attempt));
    }

    fn finish(&mut self, id: &str, attempt: u64, outcome: finished::Outcome) {
        let Some(part) = self.running.get_mut(id).and_then(|attempts| attempts.remove(&attempt)) else { return };
        let finished = Finished { attempt, part, outcome: Some(outcome) };
        self.finished.entry(id.to_owned()).or_default().push(finished);
    }

    /// The worker is gone. Its stream closes, or it only falls silent.
    fn lose(&mut self, id: &str, closes: bool) {
        self.running.remove(id);
        self.finished.remove(id);
        if closes {
            let effects = self.scheduler.disconnect_worker(id, self.now);
            self.apply(effects);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let effects = self.scheduler.tick(self.now);
        self.apply(effects);
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Dispatch { attempt, shard, worker, is_exclusive, .. } => {
                    let class = self.class[&worker];
                    assert_eq!(self.scheduler.runs[&shard.run].class, class, "a run is scored on its class of devices");
                    if is_exclusive {
                        self.exclusive.insert(attempt);
                    }
                    // A worker that is gone does not receive it.
                    if let Some(attempts) = self.running.get_mut(&worker) {
                        attempts.insert(attempt, self.parts[&shard].clone());
                    }
                }
                Effect::Stop { worker, attempts } => {
                    if let Some(running) = self.running.get_mut(&worker) {
                        running.retain(|attempt, _| !attempts.contains(attempt));
                    }
                }
                Effect::Acknowledge { worker, attempts } => {
                    if let Some(finished) = self.finished.get_mut(&worker) {
                        finished.retain(|finished| !attempts.contains(&finished.attempt));
                    }
                }
                Effect::ShardDone { shard, .. } => *self.done.entry(shard).or_default() += 1,
                Effect::Quarantine { shard, .. } => {
                    self.quarantined.insert(shard);
                    let effects = self.scheduler.finish_quarantine(shard, Ok(1), self.now);
                    self.apply(effects);
                }
                Effect::RunDone { run } => assert!(self.ended.insert(run), "a run ends once"),
                Effect::RunFailed { run, .. } => {
                    self.failed.insert(run);
                }
                Effect::CancelJob { .. } | Effect::AttemptFailed { .. } | Effect::WorkerLost { .. } => {}
            }
        }
        for worker in self.scheduler.workers.values() {
            assert!(worker.attempts.len() <= worker.registration.slots as usize, "no more than it has slots");
            let is_exclusive = worker.attempts.iter().any(|attempt| self.scheduler.attempts[attempt].is_exclusive);
            assert!(!is_exclusive || worker.attempts.len() == 1, "an exclusive shard is alone");
        }
    }

    /// Has every worker score what it has until nothing is left to do.
    fn finish_all(&mut self, ids: &[&str]) {
        for _ in 0..400 {
            for id in ids {
                let attempts: Vec<u64> =
                    self.running.get(*id).into_iter().flatten().map(|(attempt, _)| *attempt).collect();
                for attempt in attempts {
                    self.finish(id, attempt, finished::Outcome::Scored(Scored { rows: 1, ..Scored::default() }));
                }
                self.report(id);
            }
            self.pass(seconds(1));
        }
    }
}

#[derive(Clone, Debug)]
enum SimulatedEvent {
    Time(u64),
    Report(usize),
    Scored(usize),
    Fails(usize, FailureKind),
    Dies(usize),
    FallsSilent(usize),
    Starts(usize),
}

fn simulated_event() -> impl Strategy<Value = SimulatedEvent> {
    let worker = 0..4usize;
    let kind = prop_oneof![
        Just(FailureKind::Store),
        Just(FailureKind::Device),
        Just(FailureKind::Deadline),
        Just(FailureKind::Internal),
        Just(FailureKind::HandedBack),
    ];
    prop_oneof![
        4 => (1..5u64).prop_map(SimulatedEvent::Time),
        6 => worker.clone().prop_map(SimulatedEvent::Report),
        6 => worker.clone().prop_map(SimulatedEvent::Scored),
        2 => (worker.clone(), kind).prop_map(|(worker, kind)| SimulatedEvent::Fails(worker, kind)),
        1 => worker.clone().prop_map(SimulatedEvent::Dies),
        1 => worker.clone().prop_map(SimulatedEvent::FallsSilent),
        3 => worker.prop_map(SimulatedEvent::Starts),
    ]
}

proptest! {
    #[test]
    fn every_shard_is_done_once_and_every_run_ends_whatever_workers_do(
        events in proptest::collection::vec(simulated_event(), 0..200),
        slots in 1..4u32,
    ) {
        let mut world = World::new(slots);
        let runs = [world.add("a", DeviceClass::Cpu, 0, 12), world.add("b", DeviceClass::Cpu, 1, 5)];
        let mut generation = 0;
        let mut ids: Vec<String> = (0..4).map(|worker| format!("w{worker}-0")).collect();
        ids.iter().for_each(|id| world.join(id, DeviceClass::Cpu));
        for event in events {
            let first = |world: &World, worker: usize| world.running.get(&ids[worker])?.keys().next().copied();
            match event {
                SimulatedEvent::Time(time) => world.pass(seconds(time)),
                SimulatedEvent::Report(worker) => world.report(&ids[worker]),
                SimulatedEvent::Scored(worker) => {
                    if let Some(attempt) = first(&world, worker) {
                        world.finish(&ids[worker], attempt, finished::Outcome::Scored(Scored::default()));
                    }
                }
                SimulatedEvent::Fails(worker, kind) => {
                    if let Some(attempt) = first(&world, worker) {
                        let failure = Failure { kind: kind.into(), message: String::new() };
                        world.finish(&ids[worker], attempt, finished::Outcome::Failure(failure));
                    }
                }
                SimulatedEvent::Dies(worker) => world.lose(&ids[worker], true),
                SimulatedEvent::FallsSilent(worker) => world.lose(&ids[worker], false),
                SimulatedEvent::Starts(worker) => {
                    if !world.running.contains_key(&ids[worker]) {
                        generation += 1;
                        ids[worker] = format!("w{worker}-{generation}");
                        world.join(&ids[worker], DeviceClass::Cpu);
                    }
                }
            }
        }
        world.join("last", DeviceClass::Cpu);
        let mut living: Vec<&str> = ids.iter().map(String::as_str).collect();
        living.push("last");
        world.finish_all(&living);
        prop_assert_eq!(&world.ended, &runs.into_iter().collect::<BTreeSet<_>>());
        prop_assert_eq!(world.done.len(), 17);
        prop_assert!(world.done.values().all(|count| *count == 1), "{:?}", world.done);
        prop_assert!(world.scheduler.attempts.is_empty());
        prop_assert!(world.failed.is_empty());
        for run in runs {
            let tally = world.scheduler.tally(run);
            prop_assert_eq!((tally.done, tally.running, tally.retrying), (tally.shards, 0, 0));
        }
    }

    #[test]
    fn runs_of_one_priority_share_workers_and_a_higher_priority_goes_first(a in 1..30usize, b in 1..30usize) {
        let mut world = World::new(4);
        let low = world.add("low", DeviceClass::Cpu, 0, 40);
        let (a, b) = (world.add("a", DeviceClass::Cpu, 5, a), world.add("b", DeviceClass::Cpu, 5, b));
        let counts = [a, b].map(|run| world.scheduler.tally(run).shards);
        world.join("w", DeviceClass::Cpu);
        let running = [a, b].map(|run| world.scheduler.tally(run).running);
        prop_assert_eq!(running.iter().sum::<usize>(), counts.iter().sum::<usize>().min(4));
        prop_assert_eq!(world.scheduler.tally(low).running, 4 - running.iter().sum::<usize>());
        if counts.iter().all(|count| *count >= 2) {
            prop_assert_eq!(running, [2, 2]);
        }
    }
}

#[test]
fn a_shard_that_kills_workers_is_quarantined_and_no_other() {
    killer_is_quarantined(World::report);
}

#[test]
fn a_shard_that_kills_before_its_worker_reports_is_quarantined_as_soon() {
    killer_is_quarantined(World::fetch);
}

/// `before` is what the worker does with the shard before it dies.
fn killer_is_quarantined(before: fn(&mut World, &str)) {
    let mut world = World::new(2);
    let run = world.add("r", DeviceClass::Cpu, 0, 20);
    let mut deaths = 0;
    for generation in 0..200 {
        let id = format!("w{generation}");
        world.join(&id, DeviceClass::Cpu);
        loop {
            let running = world.running[&id].clone();
            if running.is_empty() {
                break;
            }
            if running.values().any(|part| part == "r-7") {
                deaths += 1;
                before(&mut world, &id);
                world.lose(&id, true);
                break;
            }
            running.keys().for_each(|attempt| {
                world.finish(&id, *attempt, finished::Outcome::Scored(Scored::default()));
            });
            world.report(&id);
        }
        world.pass(seconds(4));
        if world.ended.contains(&run) {
            break;
        }
        world.lose(&id, false);
    }
    assert!(world.ended.contains(&run));
    assert_eq!(world.quarantined, BTreeSet::from([ShardId { run, index: 7 }]), "after {deaths} deaths");
    assert!(deaths <= 5, "{deaths}");
    assert_eq!(world.done.len(), 20);
}

#[test]
fn a_shard_that_no_worker_has_fetched_is_not_blamed_for_deaths() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 1);
    for generation in 0..20 {
        let id = format!("w{generation}");
        world.join(&id, DeviceClass::Cpu);
        assert_eq!(world.scheduler.tally(run).running, 1, "it is dispatched");
        world.lose(&id, true);
        world.pass(seconds(4));
    }
    assert!(world.quarantined.is_empty());
    world.join("last", DeviceClass::Cpu);
    assert!(world.exclusive.is_empty(), "it is not run exclusively");
    world.finish_all(&["last"]);
    assert!(world.ended.contains(&run));
}

#[test]
fn an_attempt_of_an_earlier_coordinator_continues() {
    let mut scheduler = Scheduler::new(Policy::default(), 2);
    scheduler.register_worker(registration("w", DeviceClass::Cpu, 2), Time::ZERO);
    let running = |part: &str| Running { attempt: 77, part: part.to_owned(), windows_done: 3, scoring: true };
    let report = |part: &str| Report { running: vec![running(part)], ..Report::default() };
    let effects = scheduler.handle_report("w", report("r-1"), seconds(1));
    assert_eq!(effects, [], "its run may still be being planned");
    let (run, effects) = scheduler.add_run(new_run("r", DeviceClass::Cpu, 0, 2), seconds(2));
    let is_dispatch = |effect: &&Effect| matches!(effect, Effect::Dispatch { .. });
    let dispatched: Vec<&Effect> = effects.iter().filter(is_dispatch).collect();
    assert!(
        matches!(dispatched[..], [Effect::Dispatch { shard: ShardId { index: 0, .. }, .. }]),
        "only the other is dispatched: {effects:?}"
    );
    let finished = Finished {
        attempt: 77,
        part: "r-1".to_owned(),
        outcome: Some(finished::Outcome::Scored(Scored { rows: 4, ..Scored::default() })),
    };
    let effects = scheduler.handle_report("w", Report { finished: vec![finished], ..Report::default() }, seconds(3));
    let done = Effect::ShardDone { shard: ShardId { run, index: 1 }, rows_failed: 0, duration: Some(seconds(1)) };
    assert!(effects.contains(&done), "{effects:?}");
    scheduler.finish_recovery();
    let effects = scheduler.handle_report("w", report("unknown"), seconds(4));
    assert!(effects.contains(&Effect::Stop { worker: "w".to_owned(), attempts: vec![77] }), "{effects:?}");
}

#[test]
fn a_dispatch_that_was_lost_is_repeated() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 1);
    world.join("w", DeviceClass::Cpu);
    world.running.get_mut("w").unwrap().clear();
    for _ in 0..35 {
        world.pass(seconds(1));
        world.report("w");
    }
    assert_eq!(world.running["w"].len(), 1, "it is dispatched again");
    world.finish_all(&["w"]);
    assert!(world.ended.contains(&run));
}

#[test]
fn a_draining_worker_leaves_unaccepted_shards_to_others_and_is_not_lost() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 1);
    world.join("w", DeviceClass::Cpu);
    assert_eq!(world.running["w"].len(), 1, "it is dispatched");
    let effects = world.scheduler.handle_report("w", Report { draining: true, ..Report::default() }, world.now);
    world.apply(effects);
    world.lose("w", true);
    assert!(world.scheduler.worker("w").is_none(), "it has left");
    world.join("other", DeviceClass::Cpu);
    assert_eq!(world.running["other"].len(), 1, "at once");
    world.finish_all(&["other"]);
    assert!(world.ended.contains(&run));
}

#[test]
fn a_store_that_is_down_too_long_fails_the_run() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 1);
    world.join("w", DeviceClass::Cpu);
    for _ in 0..3000 {
        if let Some(attempt) = world.running["w"].keys().next().copied() {
            let failure = Failure { kind: FailureKind::Store.into(), message: "gone".to_owned() };
            world.finish("w", attempt, finished::Outcome::Failure(failure));
        }
        world.report("w");
        world.pass(seconds(1));
    }
    assert_eq!(world.failed, BTreeSet::from([run]));
    assert!(world.quarantined.is_empty(), "its rows are not made up");
}

#[test]
fn a_removed_run_leaves_nothing() {
    let mut world = World::new(2);
    let run = world.add("r", DeviceClass::Cpu, 0, 9);
    world.join("w", DeviceClass::Cpu);
    assert_eq!(world.running["w"].len(), 2);
    let effects = world.scheduler.remove_run(run, world.now);
    world.apply(effects);
    assert!(world.running["w"].is_empty(), "it was told to stop");
    assert!(world.scheduler.attempts.is_empty() && world.scheduler.parts.is_empty());
    world.finish_all(&["w"]);
    assert!(world.done.is_empty());
}

#[test]
fn a_faulty_worker_does_not_turn_shards_into_failures() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 30);
    world.join("faulty", DeviceClass::Cpu);
    world.join("healthy", DeviceClass::Cpu);
    let mut failures = 0;
    for _ in 0..300 {
        // It fails at once; the other takes three seconds a shard.
        for _ in 0..3 {
            if let Some(attempt) = world.running["faulty"].keys().next().copied() {
                failures += 1;
                let failure = Failure { kind: FailureKind::Internal.into(), message: String::new() };
                world.finish("faulty", attempt, finished::Outcome::Failure(failure));
            }
            world.report("faulty");
            world.report("healthy");
            world.pass(seconds(1));
        }
        if let Some(attempt) = world.running["healthy"].keys().next().copied() {
            world.finish("healthy", attempt, finished::Outcome::Scored(Scored::default()));
        }
        world.report("healthy");
    }
    assert!(world.ended.contains(&run));
    assert!(world.quarantined.is_empty(), "{:?}", world.quarantined);
    assert!(failures < 15, "it gets no shards for a while: {failures}");
}

#[test]
fn an_interrupted_connection_is_not_a_death() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 1);
    world.join("w", DeviceClass::Cpu);
    for _ in 0..20 {
        world.report("w");
        let effects = world.scheduler.disconnect_worker("w", world.now);
        world.apply(effects);
        world.pass(seconds(5));
        world.running.get_mut("w").unwrap().clear();
        world.join("w", DeviceClass::Cpu);
    }
    assert!(world.quarantined.is_empty());
    world.finish_all(&["w"]);
    assert!(world.ended.contains(&run));
}

#[test]
fn an_attempt_of_another_class_is_not_adopted() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cuda, 0, 1);
    world.join("w", DeviceClass::Cpu);
    world.running.get_mut("w").unwrap().insert(99, "r-0".to_owned());
    world.report("w");
    assert!(world.running["w"].is_empty(), "it is told to stop");
    assert_eq!(world.scheduler.tally(run).running, 0);
}

#[test]
fn a_shard_that_no_worker_receives_fails_the_run() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 1);
    world.join("w", DeviceClass::Cpu);
    for _ in 0..400 {
        world.running.get_mut("w").unwrap().clear();
        world.report("w");
        world.pass(seconds(1));
    }
    assert!(world.failed.contains(&run));
}
