//! Sick workers: whatever they do, a fair worker finishes the runs.

use std::collections::{BTreeMap, BTreeSet};

use dqa_proto::v1::{DeviceClass, FailureKind, Scored, finished};
use proptest::prelude::*;

use super::super::*;
use super::world::{World, failed, scored, seconds};

/// What a sick worker does with the shards that it gets.
#[derive(Clone, Copy, Debug)]
enum Sickness {
    Fails(FailureKind),
    /// It cannot read the pictures, and says so in rows where it may.
    ReadsNothing,
    /// It never confirms that it received a shard.
    ReceivesNothing,
    /// It keeps its shards until their deadline.
    Hangs,
    /// It dies while it loads the model, and is started again.
    DiesLoading,
    /// It dies while it scores, and is started again.
    DiesScoring,
}

/// A machine with a sick worker.
#[derive(Clone, Copy, Debug)]
struct SickMachine {
    sickness: Sickness,
    /// Seconds until it fails.
    after: u64,
}

fn failing() -> impl Strategy<Value = Sickness> {
    let kinds = [
        FailureKind::Store,
        FailureKind::Worker,
        FailureKind::Model,
        FailureKind::Unreadable,
        FailureKind::Device,
        FailureKind::Internal,
        FailureKind::Deadline,
    ];
    prop_oneof![
        8 => proptest::sample::select(kinds.to_vec()).prop_map(Sickness::Fails),
        1 => Just(Sickness::ReadsNothing),
        1 => Just(Sickness::ReceivesNothing),
        1 => Just(Sickness::Hangs),
    ]
}

fn machine(sickness: impl Strategy<Value = Sickness>) -> impl Strategy<Value = SickMachine> {
    (sickness, 0..4u64).prop_map(|(sickness, after)| SickMachine { sickness, after })
}

/// A cluster of sick machines and one fair worker, until its runs end.
struct SickCluster {
    world: World,
    machines: Vec<SickMachine>,
    generations: Vec<u32>,
    /// When each attempt was first seen by its worker.
    since: BTreeMap<u64, Time>,
    /// Seconds that the fair worker takes for a shard.
    pace: u64,
}

impl SickCluster {
    fn new(machines: &[SickMachine], slots: u32, pace: u64) -> SickCluster {
        let mut world = World::new(slots);
        let generations = vec![0; machines.len()];
        (0..machines.len()).for_each(|machine| world.join(&format!("m{machine}-0"), DeviceClass::Cpu));
        SickCluster { world, machines: machines.to_vec(), generations, since: BTreeMap::new(), pace }
    }

    fn run_until_ended(&mut self, runs: usize) {
        for _ in 0..6000 {
            (0..self.machines.len()).for_each(|machine| self.act(machine));
            self.score_fairly();
            self.world.pass(seconds(1));
            if self.world.ended.len() == runs {
                return;
            }
        }
    }

    /// Returns the worker's attempts that are `age` seconds old.
    fn due(&mut self, id: &str, age: u64) -> Vec<u64> {
        let now = self.world.now;
        let attempts: Vec<u64> =
            self.world.running.get(id).into_iter().flatten().map(|(attempt, _)| *attempt).collect();
        attempts
            .into_iter()
            .filter(|attempt| now >= *self.since.entry(*attempt).or_insert(now) + seconds(age))
            .collect()
    }

    fn score_fairly(&mut self) {
        for attempt in self.due("fair", self.pace) {
            self.world.finish("fair", attempt, scored());
        }
        self.world.report("fair");
    }

    fn act(&mut self, machine: usize) {
        let SickMachine { sickness, after } = self.machines[machine];
        let id = format!("m{machine}-{}", self.generations[machine]);
        let due = self.due(&id, after);
        let is_loading = matches!(sickness, Sickness::DiesLoading);
        match sickness {
            Sickness::Fails(kind) => due.iter().for_each(|attempt| self.world.finish(&id, *attempt, failed(kind))),
            Sickness::ReadsNothing => due.iter().for_each(|attempt| {
                let accepts = self.world.accepting.contains(attempt);
                let outcome = if accepts { failed_rows() } else { failed(FailureKind::Unreadable) };
                self.world.finish(&id, *attempt, outcome);
            }),
            Sickness::ReceivesNothing => {
                self.world.running.get_mut(&id).unwrap().clear();
            }
            Sickness::Hangs => {}
            Sickness::DiesLoading | Sickness::DiesScoring if !due.is_empty() => {
                self.world.fetch(&id);
                self.world.report_stage(&id, |_| !is_loading);
                self.world.lose(&id, true);
                self.generations[machine] += 1;
                return self.world.join(&format!("m{machine}-{}", self.generations[machine]), DeviceClass::Cpu);
            }
            Sickness::DiesLoading | Sickness::DiesScoring => {}
        }
        self.world.report_stage(&id, |_| !is_loading);
    }
}

/// The outcome of a shard of which no picture could be read.
fn failed_rows() -> finished::Outcome {
    finished::Outcome::Scored(Scored { rows: 1, failed: 1, windows: 1, ..Scored::default() })
}

/// Has a fair worker finish runs beside sick ones.
fn finishes_despite(machines: &[SickMachine], slots: u32, pace: u64) -> World {
    let mut cluster = SickCluster::new(machines, slots, pace);
    cluster.world.join("fair", DeviceClass::Cpu);
    let runs = [
        cluster.world.add("a", DeviceClass::Cpu, 0, 9),
        cluster.world.add("b", DeviceClass::Cpu, 1, 4),
        cluster.world.add("c", DeviceClass::Cpu, 0, 1),
    ];
    cluster.run_until_ended(runs.len());
    assert!(cluster.world.failed.is_empty(), "no run fails");
    assert_eq!(cluster.world.ended, runs.into_iter().collect(), "every run ends");
    cluster.world
}

proptest! {
    #[test]
    fn with_one_fair_worker_no_run_fails_through_the_faults_of_others(
        machines in proptest::collection::vec(machine(failing()), 1..6),
        slots in 1..4u32,
        pace in 1..40u64,
    ) {
        finishes_despite(&machines, slots, pace);
    }

    #[test]
    fn two_sick_machines_leave_no_trace_in_the_results_of_a_fair_worker(
        machines in proptest::collection::vec(
            machine(prop_oneof![4 => failing(), 1 => Just(Sickness::DiesLoading), 1 => Just(Sickness::DiesScoring)]),
            1..3,
        ),
        slots in 1..4u32,
        pace in 1..40u64,
    ) {
        let world = finishes_despite(&machines, slots, pace);
        prop_assert!(world.quarantined.is_empty(), "{:?}", world.quarantined);
        prop_assert!(world.with_failed_rows.is_empty(), "{:?}", world.with_failed_rows);
    }
}

/// Has every worker in `ids` fail all its shards with one kind for some time.
fn fail_all(world: &mut World, ids: &[&str], kind: FailureKind, time: u64) -> usize {
    let mut failures = 0;
    for _ in 0..time {
        for id in ids {
            while let Some(attempt) = world.first(id) {
                failures += 1;
                world.finish(id, attempt, failed(kind));
            }
            world.report(id);
        }
        world.pass(seconds(1));
    }
    failures
}

#[test]
fn a_worker_that_the_store_refuses_waits_while_others_succeed() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 100);
    world.join("refused", DeviceClass::Cpu);
    world.join("fair", DeviceClass::Cpu);
    let mut failures = 0;
    for _ in 0..30 {
        failures += fail_all(&mut world, &["refused"], FailureKind::Worker, 5);
        let attempt = world.first("fair").unwrap();
        world.finish("fair", attempt, scored());
        world.report("fair");
    }
    assert!(failures < 15, "{failures} failures in 150 s");
    world.finish_all(&["fair", "refused"]);
    assert!(world.ended.contains(&run) && world.failed.is_empty());
}

#[test]
fn nobody_is_benched_while_the_store_is_down_for_all() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 4);
    ["a", "b", "c"].iter().for_each(|id| world.join(id, DeviceClass::Cpu));
    let failures = fail_all(&mut world, &["a", "b", "c"], FailureKind::Store, 240);
    assert!(failures > 20, "they try again and again: {failures}");
    assert!(world.failed.is_empty(), "four minutes are bridged");
    world.finish_all(&["a", "b", "c"]);
    assert!(world.ended.contains(&run));
}

#[test]
fn a_model_fails_its_run_once_every_worker_has_failed_to_load_it() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 9);
    ["a", "b", "c"].iter().for_each(|id| world.join(id, DeviceClass::Cpu));
    for _ in 0..60 {
        fail_all(&mut world, &["a", "b"], FailureKind::Model, 1);
        world.report("c");
    }
    assert!(world.failed.is_empty(), "one worker has not tried");
    let failures = fail_all(&mut world, &["c"], FailureKind::Model, 1);
    assert_eq!((failures, world.failed.contains(&run)), (1, true));
}

#[test]
fn pictures_that_no_worker_reads_become_rows() {
    let mut world = World::new(1);
    let run = world.add("r", DeviceClass::Cpu, 0, 1);
    ["a", "b"].iter().for_each(|id| world.join(id, DeviceClass::Cpu));
    let mut accepting = Vec::new();
    for _ in 0..3 {
        let id = if world.first("a").is_some() { "a" } else { "b" };
        let attempt = world.first(id).unwrap();
        accepting.push(world.accepting.contains(&attempt));
        world.finish(id, attempt, failed(FailureKind::Unreadable));
        world.report(id);
        world.pass(seconds(1));
    }
    assert_eq!(accepting, [false, false, true], "after each has tried");
    world.finish_all(&["a", "b"]);
    assert!(world.ended.contains(&run));
}

#[test]
fn a_death_while_loading_is_held_against_the_run_and_not_its_neighbours() {
    let mut world = World::new(2);
    let old = world.add("old", DeviceClass::Cpu, 0, 20);
    world.join("first", DeviceClass::Cpu);
    world.report("first");
    let new = world.add("new", DeviceClass::Cpu, 0, 20);
    world.lose("first", false);
    for generation in 0..10 {
        world.pass(seconds(20));
        let id = format!("w{generation}");
        world.join(&id, DeviceClass::Cpu);
        world.report_stage(&id, |part| part.starts_with("old"));
        if world.running[&id].values().any(|part| part.starts_with("new")) {
            world.lose(&id, true);
        }
    }
    assert_eq!(world.failed, BTreeSet::from([new]));
    assert!(world.quarantined.is_empty(), "no shard is blamed: {:?}", world.quarantined);
    world.scheduler.remove_run(new, world.now);
    world.join("last", DeviceClass::Cpu);
    world.finish_all(&["last"]);
    assert!(world.ended.contains(&old));
}
