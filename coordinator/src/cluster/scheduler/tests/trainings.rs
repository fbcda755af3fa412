//! Trainings: tests wait for them, a device has one at a time, and none is made twice for two runs.

use std::collections::BTreeSet;

use dqa_proto::v1::{DeviceClass, FailureKind};

use super::world::{World, failed, scored, seconds};

#[test]
fn a_test_waits_for_its_training() {
    let mut world = World::new(4);
    let run = world.add_trainings("r", DeviceClass::Cpu, 2);
    world.join("a", DeviceClass::Cpu);
    world.join("b", DeviceClass::Cpu);
    assert_eq!(world.scheduler.tally(run).running, 2, "one training for each device");
    let first = world.first("a").unwrap();
    let trained = world.running["a"][&first].clone();
    world.finish("a", first, scored());
    world.report("a");
    let next: Vec<&String> = world.running["a"].values().collect();
    assert_eq!(next, [&format!("{trained}-test")], "the other training is not over");
    world.finish_all(&["a", "b"]);
    assert!(world.ended.contains(&run) && world.quarantined.is_empty());
}

#[test]
fn two_runs_that_need_the_same_training_make_it_once() {
    let mut world = World::new(2);
    let one = world.add_trainings("same", DeviceClass::Cpu, 1);
    let two = world.add_trainings("same", DeviceClass::Cpu, 1);
    for id in ["a", "b", "c"] {
        world.join(id, DeviceClass::Cpu);
    }
    let running = || [one, two].map(|run| world.scheduler.tally(run).running);
    assert_eq!(running(), [1, 0]);
    let worker = ["a", "b", "c"].into_iter().find(|id| world.first(id).is_some()).unwrap();
    let attempt = world.first(worker).unwrap();
    world.finish(worker, attempt, scored());
    world.report(worker);
    assert_eq!([one, two].map(|run| world.scheduler.tally(run).done), [1, 1]);
    world.finish_all(&["a", "b", "c"]);
    assert_eq!(world.ended, BTreeSet::from([one, two]));
}

#[test]
fn what_tests_a_training_that_was_given_up_is_given_up_too() {
    let mut world = World::new(1);
    let run = world.add_trainings("r", DeviceClass::Cpu, 2);
    world.join("a", DeviceClass::Cpu);
    let attempt = world.first("a").unwrap();
    world.finish("a", attempt, failed(FailureKind::Task));
    world.report("a");
    let given_up: Vec<usize> = world.quarantined.iter().map(|shard| shard.index).collect();
    assert_eq!(given_up, [0, 2], "the training and its test, after one attempt");
    world.finish_all(&["a"]);
    assert!(world.ended.contains(&run));
    assert_eq!(world.scheduler.tally(run).quarantined, 2, "the others are done");
}

#[test]
fn a_training_leaves_room_for_shards() {
    let mut world = World::new(2);
    let trainings = world.add_trainings("t", DeviceClass::Cpu, 3);
    world.join("a", DeviceClass::Cpu);
    let run = world.add("r", DeviceClass::Cpu, 0, 5);
    world.pass(seconds(1));
    world.report("a");
    assert_eq!([trainings, run].map(|run| world.scheduler.tally(run).running), [1, 1]);
}
