//! What the scheduler must never do: lose a shard, count one twice, leave a run without an end, give a worker more than it
//! takes, or let a shard that kills drag others along.

use std::collections::{BTreeMap, BTreeSet};

use dqa_proto::v1::{Failure, Finished, Hello, Report, Running, Scored, finished};
use proptest::prelude::*;

use super::*;

fn hello(id: &str, class: DeviceClass, slots: u32) -> Hello {
    Hello { protocol_version: 1, id: id.to_owned(), device: class.into(), slots, ..Hello::default() }
}

fn pieces(run: &str, count: usize) -> Vec<ShardSummary> {
    (0..count).map(|at| ShardSummary { part: format!("{run}-{at}"), windows: 10 }).collect()
}

fn seconds(time: u64) -> Time {
    Duration::from_secs(time)
}

/// Workers that do what they are told, and what becomes of it. Time is in seconds.
struct World {
    scheduler: Scheduler,
    now: Time,
    /// Attempts that each living worker has: attempt and part.
    has: BTreeMap<String, BTreeMap<u64, String>>,
    finished: BTreeMap<String, Vec<Finished>>,
    class: BTreeMap<String, DeviceClass>,
    slots: u32,
    parts: BTreeMap<ShardId, String>,
    done: BTreeMap<ShardId, u32>,
    given_up: BTreeSet<ShardId>,
    ended: BTreeSet<RunId>,
    broken: BTreeSet<RunId>,
    alone: BTreeSet<u64>,
}

impl World {
    fn new(slots: u32) -> World {
        let mut scheduler = Scheduler::new(Policy::default(), 1);
        scheduler.recovered();
        World {
            scheduler,
            now: Time::ZERO,
            has: BTreeMap::new(),
            finished: BTreeMap::new(),
            class: BTreeMap::new(),
            slots,
            parts: BTreeMap::new(),
            done: BTreeMap::new(),
            given_up: BTreeSet::new(),
            ended: BTreeSet::new(),
            broken: BTreeSet::new(),
            alone: BTreeSet::new(),
        }
    }

    fn add(&mut self, run: &str, class: DeviceClass, priority: i32, count: usize) -> RunId {
        let pieces = pieces(run, count);
        let (id, effects) = self.scheduler.add(class, priority, pieces.clone(), false, self.now);
        self.parts.extend(pieces.into_iter().enumerate().map(|(at, piece)| (ShardId { run: id, at }, piece.part)));
        self.effects(effects);
        id
    }

    fn join(&mut self, id: &str, class: DeviceClass) {
        self.has.insert(id.to_owned(), BTreeMap::new());
        self.finished.entry(id.to_owned()).or_default();
        self.class.insert(id.to_owned(), class);
        let effects = self.scheduler.join(hello(id, class, self.slots), self.now);
        self.effects(effects);
        self.report(id);
    }

    fn report(&mut self, id: &str) {
        let Some(has) = self.has.get(id) else { return };
        let running = has.iter().map(|(attempt, part)| Running {
            attempt: *attempt,
            part: part.clone(),
            windows_done: 0,
            scoring: true,
        });
        let finished = self.finished.get(id).cloned().unwrap_or_default();
        let report = Report { running: running.collect(), finished, draining: false, totals: None };
        let effects = self.scheduler.report(id, report, self.now);
        self.effects(effects);
    }

    /// It has what it was ordered to do, and did not come to say so.
    fn fetch(&mut self, id: &str) {
        self.has[id].keys().for_each(|attempt| self.scheduler.fetched(*attempt));
    }

    fn finish(&mut self, id: &str, attempt: u64, outcome: finished::Outcome) {
        let Some(part) = self.has.get_mut(id).and_then(|has| has.remove(&attempt)) else { return };
        let finished = Finished { attempt, part, outcome: Some(outcome) };
        self.finished.entry(id.to_owned()).or_default().push(finished);
    }

    /// It is gone, and its stream closes; or it is only silent.
    fn lose(&mut self, id: &str, closes: bool) {
        self.has.remove(id);
        self.finished.remove(id);
        if closes {
            let effects = self.scheduler.leave(id, self.now);
            self.effects(effects);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let effects = self.scheduler.tick(self.now);
        self.effects(effects);
    }

    fn effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Order { attempt, shard, worker, alone, .. } => {
                    let class = self.class[&worker];
                    assert_eq!(self.scheduler.runs[&shard.run].class, class, "a run is scored on its class of devices");
                    if alone {
                        self.alone.insert(attempt);
                    }
                    // One that is gone does not take it.
                    if let Some(has) = self.has.get_mut(&worker) {
                        has.insert(attempt, self.parts[&shard].clone());
                    }
                }
                Effect::Stop { worker, attempts } => {
                    if let Some(has) = self.has.get_mut(&worker) {
                        has.retain(|attempt, _| !attempts.contains(attempt));
                    }
                }
                Effect::Acknowledge { worker, attempts } => {
                    if let Some(finished) = self.finished.get_mut(&worker) {
                        finished.retain(|finished| !attempts.contains(&finished.attempt));
                    }
                }
                Effect::Done { shard, .. } => *self.done.entry(shard).or_default() += 1,
                Effect::GiveUp { shard, .. } => {
                    self.given_up.insert(shard);
                    let effects = self.scheduler.given_up(shard, Ok(1), self.now);
                    self.effects(effects);
                }
                Effect::Ended { run } => assert!(self.ended.insert(run), "a run ends once"),
                Effect::Broken { run, .. } => {
                    self.broken.insert(run);
                }
                Effect::Forget { .. } | Effect::Failed { .. } | Effect::Lost { .. } => {}
            }
        }
        for worker in self.scheduler.workers.values() {
            assert!(worker.attempts.len() <= worker.hello.slots as usize, "no more than it takes");
            let alone = worker.attempts.iter().any(|attempt| self.scheduler.attempts[attempt].alone);
            assert!(!alone || worker.attempts.len() == 1, "alone is alone");
        }
    }

    /// Every worker scores what it has, until nothing is left to do.
    fn work_to_the_end(&mut self, ids: &[&str]) {
        for _ in 0..400 {
            for id in ids {
                let attempts: Vec<u64> = self.has.get(*id).into_iter().flatten().map(|(attempt, _)| *attempt).collect();
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

fn happens() -> impl Strategy<Value = SimulatedEvent> {
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
    fn whatever_happens_every_shard_is_over_once_and_every_run_ends(
        happens in proptest::collection::vec(happens(), 0..200),
        slots in 1..4u32,
    ) {
        let mut world = World::new(slots);
        let runs = [world.add("a", DeviceClass::Cpu, 0, 12), world.add("b", DeviceClass::Cpu, 1, 5)];
        let mut generation = 0;
        let mut ids: Vec<String> = (0..4).map(|worker| format!("w{worker}-0")).collect();
        ids.iter().for_each(|id| world.join(id, DeviceClass::Cpu));
        for event in happens {
            let first = |world: &World, worker: usize| world.has.get(&ids[worker])?.keys().next().copied();
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
                    if !world.has.contains_key(&ids[worker]) {
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
        world.work_to_the_end(&living);
        prop_assert_eq!(&world.ended, &runs.into_iter().collect::<BTreeSet<_>>());
        prop_assert_eq!(world.done.len(), 17);
        prop_assert!(world.done.values().all(|count| *count == 1), "{:?}", world.done);
        prop_assert!(world.scheduler.attempts.is_empty());
        prop_assert!(world.broken.is_empty());
        for run in runs {
            let tally = world.scheduler.tally(run);
            prop_assert_eq!((tally.over, tally.running, tally.retrying), (tally.shards, 0, 0));
        }
    }

    #[test]
    fn runs_of_a_priority_share_and_a_higher_one_goes_first(a in 1..30usize, b in 1..30usize) {
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
fn a_shard_that_kills_is_found_and_takes_no_other_with_it() {
    a_killer_is_found(World::report);
}

#[test]
fn a_shard_that_kills_before_its_worker_can_say_a_word_is_found_as_soon() {
    a_killer_is_found(World::fetch);
}

/// `before`: what its worker does of it before it dies.
fn a_killer_is_found(before: fn(&mut World, &str)) {
    let mut world = World::new(2);
    let run = world.add("r", DeviceClass::Cpu, 0, 20);
    let mut deaths = 0;
    for generation in 0..200 {
        let id = format!("w{generation}");
        world.join(&id, DeviceClass::Cpu);
        loop {
            let has = world.has[&id].clone();
            if has.is_empty() {
                break;
            }
            if has.values().any(|part| part == "r-7") {
                deaths += 1;
                before(&mut world, &id);
                world.lose(&id, true);
                break;
            }
            has.keys().for_each(|attempt| {
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
    assert_eq!(world.given_up, BTreeSet::from([ShardId { run, at: 7 }]), "after {deaths} deaths");
    assert!(deaths <= 5, "{deaths}");
    assert_eq!(world.done.len(), 20);
}

#[test]
fn a_shard_that_no_worker_has_fetched_kills_none() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 1);
    for generation in 0..20 {
        let id = format!("w{generation}");
        world.join(&id, DeviceClass::Cpu);
        assert_eq!(world.scheduler.tally(run).running, 1, "it is ordered");
        world.lose(&id, true);
        world.pass(seconds(4));
    }
    assert!(world.given_up.is_empty());
    world.join("last", DeviceClass::Cpu);
    assert!(world.alone.is_empty(), "it is not suspected");
    world.work_to_the_end(&["last"]);
    assert!(world.ended.contains(&run));
}

#[test]
fn what_a_worker_has_from_an_earlier_coordinator_goes_on() {
    let mut scheduler = Scheduler::new(Policy::default(), 2);
    scheduler.join(hello("w", DeviceClass::Cpu, 2), Time::ZERO);
    let running = |part: &str| Running { attempt: 77, part: part.to_owned(), windows_done: 3, scoring: true };
    let report = |part: &str| Report { running: vec![running(part)], ..Report::default() };
    let effects = scheduler.report("w", report("r-1"), seconds(1));
    assert_eq!(effects, [], "its run may still be planned");
    let (run, effects) = scheduler.add(DeviceClass::Cpu, 0, pieces("r", 2), false, seconds(2));
    let orders: Vec<&Effect> = effects.iter().filter(|effect| matches!(effect, Effect::Order { .. })).collect();
    assert!(
        matches!(orders[..], [Effect::Order { shard: ShardId { at: 0, .. }, .. }]),
        "only the other is ordered: {effects:?}"
    );
    let finished = Finished {
        attempt: 77,
        part: "r-1".to_owned(),
        outcome: Some(finished::Outcome::Scored(Scored { rows: 4, ..Scored::default() })),
    };
    let effects = scheduler.report("w", Report { finished: vec![finished], ..Report::default() }, seconds(3));
    let done = Effect::Done { shard: ShardId { run, at: 1 }, failed: 0, after: Some(seconds(1)) };
    assert!(effects.contains(&done), "{effects:?}");
    scheduler.recovered();
    let effects = scheduler.report("w", report("nobody's"), seconds(4));
    assert!(effects.contains(&Effect::Stop { worker: "w".to_owned(), attempts: vec![77] }), "{effects:?}");
}

#[test]
fn an_order_that_was_lost_on_the_way_is_given_again() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 1);
    world.join("w", DeviceClass::Cpu);
    world.has.get_mut("w").unwrap().clear();
    for _ in 0..35 {
        world.pass(seconds(1));
        world.report("w");
    }
    assert_eq!(world.has["w"].len(), 1, "again");
    world.work_to_the_end(&["w"]);
    assert!(world.ended.contains(&run));
}

#[test]
fn a_worker_that_drains_leaves_what_it_never_took_to_others_and_is_not_lost() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 1);
    world.join("w", DeviceClass::Cpu);
    assert_eq!(world.has["w"].len(), 1, "it is ordered");
    let effects = world.scheduler.report("w", Report { draining: true, ..Report::default() }, world.now);
    world.effects(effects);
    world.lose("w", true);
    assert!(!world.scheduler.knows("w"), "it has gone home");
    world.join("other", DeviceClass::Cpu);
    assert_eq!(world.has["other"].len(), 1, "at once");
    world.work_to_the_end(&["other"]);
    assert!(world.ended.contains(&run));
}

#[test]
fn a_store_that_is_away_too_long_stops_the_run_for_people() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 1);
    world.join("w", DeviceClass::Cpu);
    for _ in 0..3000 {
        if let Some(attempt) = world.has["w"].keys().next().copied() {
            let failure = Failure { kind: FailureKind::Store.into(), message: "gone".to_owned() };
            world.finish("w", attempt, finished::Outcome::Failure(failure));
        }
        world.report("w");
        world.pass(seconds(1));
    }
    assert_eq!(world.broken, BTreeSet::from([run]));
    assert!(world.given_up.is_empty(), "its rows are not made up");
}

#[test]
fn a_run_that_is_removed_leaves_nothing() {
    let mut world = World::new(2);
    let run = world.add("r", DeviceClass::Cpu, 0, 9);
    world.join("w", DeviceClass::Cpu);
    assert_eq!(world.has["w"].len(), 2);
    let effects = world.scheduler.remove(run, world.now);
    world.effects(effects);
    assert!(world.has["w"].is_empty(), "it was told to stop");
    assert!(world.scheduler.attempts.is_empty() && world.scheduler.parts.is_empty());
    world.work_to_the_end(&["w"]);
    assert!(world.done.is_empty());
}

#[test]
fn a_sick_worker_does_not_turn_shards_into_failures() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 30);
    world.join("sick", DeviceClass::Cpu);
    world.join("well", DeviceClass::Cpu);
    let mut failures = 0;
    for _ in 0..300 {
        // It fails at once; the other takes three seconds a shard.
        for _ in 0..3 {
            if let Some(attempt) = world.has["sick"].keys().next().copied() {
                failures += 1;
                let failure = Failure { kind: FailureKind::Internal.into(), message: String::new() };
                world.finish("sick", attempt, finished::Outcome::Failure(failure));
            }
            world.report("sick");
            world.report("well");
            world.pass(seconds(1));
        }
        if let Some(attempt) = world.has["well"].keys().next().copied() {
            world.finish("well", attempt, finished::Outcome::Scored(Scored::default()));
        }
        world.report("well");
    }
    assert!(world.ended.contains(&run));
    assert!(world.given_up.is_empty(), "{:?}", world.given_up);
    assert!(failures < 15, "it is left alone: {failures}");
}

#[test]
fn a_connection_that_was_away_is_no_death() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 1);
    world.join("w", DeviceClass::Cpu);
    for _ in 0..20 {
        world.report("w");
        let effects = world.scheduler.leave("w", world.now);
        world.effects(effects);
        world.pass(seconds(5));
        world.has.get_mut("w").unwrap().clear();
        world.join("w", DeviceClass::Cpu);
    }
    assert!(world.given_up.is_empty());
    world.work_to_the_end(&["w"]);
    assert!(world.ended.contains(&run));
}

#[test]
fn what_another_class_has_is_not_adopted() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cuda, 0, 1);
    world.join("w", DeviceClass::Cpu);
    world.has.get_mut("w").unwrap().insert(99, "r-0".to_owned());
    world.report("w");
    assert!(world.has["w"].is_empty(), "it is told to stop");
    assert_eq!(world.scheduler.tally(run).running, 0);
}

#[test]
fn an_order_that_no_worker_takes_stops_the_run_for_people() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 1);
    world.join("w", DeviceClass::Cpu);
    for _ in 0..400 {
        world.has.get_mut("w").unwrap().clear();
        world.report("w");
        world.pass(seconds(1));
    }
    assert!(world.broken.contains(&run));
}
