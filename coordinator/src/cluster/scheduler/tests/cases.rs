//! Single situations: deaths, lost dispatches, draining, stores that are down.

use std::collections::BTreeSet;

use dqa_proto::v1::{DeviceClass, FailureKind, Finished, Report, Running, Scored, finished};

use super::super::*;
use super::world::{World, failed, new_run, registration, scored, seconds};

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
                world.finish(&id, *attempt, scored());
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
    let running = |part: &str| Running {
        attempt: 77,
        part: part.to_owned(),
        windows_done: 3,
        scoring: true,
        activity: String::new(),
    };
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
        if let Some(attempt) = world.first("w") {
            world.finish("w", attempt, failed(FailureKind::Store));
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
            if let Some(attempt) = world.first("faulty") {
                failures += 1;
                world.finish("faulty", attempt, failed(FailureKind::Internal));
            }
            world.report("faulty");
            world.report("healthy");
            world.pass(seconds(1));
        }
        if let Some(attempt) = world.first("healthy") {
            world.finish("healthy", attempt, scored());
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
