//! Laws that hold whatever workers do.

use std::collections::BTreeSet;

use dqa_proto::v1::{DeviceClass, FailureKind};
use proptest::prelude::*;

use super::world::{World, failed, scored, seconds};

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
        Just(FailureKind::Worker),
        Just(FailureKind::Unreadable),
        Just(FailureKind::Device),
        Just(FailureKind::Deadline),
        Just(FailureKind::Internal),
        Just(FailureKind::HandedBack),
        Just(FailureKind::Task),
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
        let runs = [
            world.add("a", DeviceClass::Cpu, 0, 12),
            world.add("b", DeviceClass::Cpu, 1, 5),
            world.add_trainings("c", DeviceClass::Cpu, 4),
        ];
        let mut generation = 0;
        let mut ids: Vec<String> = (0..4).map(|worker| format!("w{worker}-0")).collect();
        ids.iter().for_each(|id| world.join(id, DeviceClass::Cpu));
        for event in events {
            match event {
                SimulatedEvent::Time(time) => world.pass(seconds(time)),
                SimulatedEvent::Report(worker) => world.report(&ids[worker]),
                SimulatedEvent::Scored(worker) => {
                    if let Some(attempt) = world.first(&ids[worker]) {
                        world.finish(&ids[worker], attempt, scored());
                    }
                }
                SimulatedEvent::Fails(worker, kind) => {
                    if let Some(attempt) = world.first(&ids[worker]) {
                        world.finish(&ids[worker], attempt, failed(kind));
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
        prop_assert_eq!(world.done.len(), 25);
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
