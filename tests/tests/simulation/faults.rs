//! What breaks, when: the schedule of a seed.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use turmoil::Sim;

use super::FAULTS_END;
use super::scoring::Illness;
use super::world::World;

/// Each step has a fault with this probability.
const FAULT_RATE: f64 = 0.02;

/// A machine is down, cut off or ill for at most this long.
const FAULT_MAX_MILLIS: u64 = 45_000;

/// How many faults of each kind there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FaultCounts {
    /// Programs that were killed.
    pub(super) kills: u64,
    /// Links between two machines that were cut.
    pub(super) cuts: u64,
    /// Machines whose requests to the store waited.
    pub(super) pauses: u64,
    /// Workers that could not write, or whose device broke or hung.
    pub(super) illnesses: u64,
}

impl FaultCounts {
    pub(super) fn add(&mut self, other: FaultCounts) {
        self.kills += other.kills;
        self.cuts += other.cuts;
        self.pauses += other.pauses;
        self.illnesses += other.illnesses;
    }
}

/// What is mended later.
#[derive(Clone, Debug)]
enum Broken {
    Down(String),
    Cut(String, String),
    Paused(String),
    Ill(String),
}

/// Breaks and mends machines.
pub(super) struct FaultDriver {
    world: Rc<World>,
    random: ChaCha8Rng,
    broken: BTreeMap<Duration, Vec<Broken>>,
    counts: FaultCounts,
}

impl FaultDriver {
    pub(super) fn new(world: Rc<World>, random: ChaCha8Rng) -> FaultDriver {
        FaultDriver { world, random, broken: BTreeMap::new(), counts: FaultCounts::default() }
    }

    pub(super) fn counts(&self) -> FaultCounts {
        self.counts
    }

    /// Does what is due before a step.
    pub(super) fn step(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        self.world.history.set_time(now);
        for machine in self.world.take_ended() {
            sim.crash(machine.as_str());
            sim.bounce(machine.as_str());
        }
        let later = self.broken.split_off(&(now + Duration::from_nanos(1)));
        for broken in std::mem::replace(&mut self.broken, later).into_values().flatten() {
            self.mend(sim, broken);
        }
        if now < FAULTS_END {
            if self.random.random_bool(FAULT_RATE) {
                self.break_something(sim);
            }
        } else if !self.world.is_mended() {
            for broken in std::mem::take(&mut self.broken).into_values().flatten() {
                self.mend(sim, broken);
            }
            self.world.objects.mend();
            self.world.mend();
            self.world.history.add("everything is mended".to_owned());
        }
    }

    fn break_something(&mut self, sim: &mut Sim<'_>) {
        let (coordinators, workers) = (self.world.coordinators(), self.world.workers());
        let mut pick = |names: &[String]| names.choose(&mut self.random).expect("there are some").clone();
        let (coordinator, worker) = (pick(&coordinators), pick(&workers));
        let broken = match self.random.random_range(0..10) {
            0..3 => Broken::Down(worker),
            3 => Broken::Down(coordinator),
            4..6 => Broken::Cut(coordinator, worker),
            6..8 => Broken::Paused(coordinator),
            _ => Broken::Ill(worker),
        };
        match &broken {
            Broken::Down(machine) => {
                if !sim.is_host_running(machine.as_str()) {
                    return;
                }
                self.counts.kills += 1;
                sim.crash(machine.as_str());
                self.world.set_leading(machine, false);
            }
            Broken::Cut(coordinator, worker) => {
                self.counts.cuts += 1;
                sim.partition(coordinator.as_str(), worker.as_str());
                self.world.exchange.cut(coordinator, worker);
            }
            Broken::Paused(machine) => {
                self.counts.pauses += 1;
                self.world.handle(machine).pause(true);
            }
            Broken::Ill(machine) => {
                self.counts.illnesses += 1;
                let kinds = [Illness::CannotWrite, Illness::BrokenDevice, Illness::Hangs];
                let illness = *kinds.choose(&mut self.random).expect("there are some");
                self.world.handle(machine).set_illness(Some(illness));
                self.world.history.add(format!("{machine} is ill: {illness:?}"));
            }
        }
        self.world.history.add(format!("fault: {broken:?}"));
        let until = sim.elapsed() + Duration::from_millis(self.random.random_range(100..FAULT_MAX_MILLIS));
        self.broken.entry(until).or_default().push(broken);
    }

    fn mend(&self, sim: &mut Sim<'_>, broken: Broken) {
        self.world.history.add(format!("mended: {broken:?}"));
        match broken {
            Broken::Down(machine) => sim.bounce(machine.as_str()),
            Broken::Cut(coordinator, worker) => {
                sim.repair(coordinator.as_str(), worker.as_str());
                self.world.exchange.mend(&coordinator, &worker);
            }
            Broken::Paused(machine) => self.world.handle(&machine).pause(false),
            Broken::Ill(machine) => self.world.handle(&machine).set_illness(None),
        }
    }
}
