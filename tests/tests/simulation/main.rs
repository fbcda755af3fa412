//! A cluster in one process, on a simulated clock, network and store. The coordinators, workers' sessions and nodes are the
//! product's; only Ballista, scoring, the network and the store are stand-ins. From a seed follow the machines, what users
//! ask, and what breaks: processes are killed and started again, cut off, or wait for the store; the store is slow, fails,
//! or answers with an error after it has done what it was asked.
//!
//! [`simulate`] runs one seed until its users are content, and checks the laws of [`laws`]. A seed that breaks a law prints its
//! history; `DQA_SIMULATION_SEED=N` runs one seed, and `DQA_SIMULATION_SEEDS=N` the first ones.

mod coordinator_host;
mod data;
mod exchange;
mod faults;
mod history;
mod laws;
mod net;
mod object_store;
mod scoring;
mod training;
mod user_host;
mod worker_host;
mod world;

use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use faults::{FaultCounts, FaultDriver};
use world::World;

/// Seeds of an ordinary test: half a minute on two cores.
const SEEDS: u64 = 40;

/// One step of all machines. Messages take at least one step.
const STEP: Duration = Duration::from_millis(100);

/// Machines fail for this long; then everything is mended.
const FAULTS_END: Duration = Duration::from_secs(240);

/// By then every run must have ended.
const END_MAX: Duration = Duration::from_secs(3600);

/// What a seed's cluster did.
#[derive(Debug)]
struct Outcome {
    /// What was done to the cluster.
    faults: FaultCounts,
    /// Laws that were broken, as sentences.
    violations: Vec<String>,
    /// What happened, in order.
    history: String,
}

/// Simulates the cluster of a seed.
fn simulate(seed: u64) -> Outcome {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let world = Rc::new(World::new(seed, &mut random));
    let mut builder = turmoil::Builder::new();
    builder.tick_duration(STEP).simulation_duration(END_MAX * 2).rng_seed(seed);
    builder.min_message_latency(Duration::from_millis(1)).max_message_latency(STEP);
    let mut sim = builder.build();
    for name in world.coordinators() {
        let world = world.clone();
        sim.host(name.clone(), move || coordinator_host::run(world.clone(), name.clone()));
    }
    for name in world.workers() {
        let world = world.clone();
        sim.host(name.clone(), move || worker_host::run(world.clone(), name.clone()));
    }
    sim.client("user", user_host::run(world.clone()));
    let mut driver = FaultDriver::new(world.clone(), random);
    let mut violations = Vec::new();
    loop {
        driver.step(&mut sim);
        match sim.step() {
            Ok(true) => break,
            Ok(false) if sim.elapsed() < END_MAX => {}
            Ok(false) => {
                violations.push(format!("not all runs have ended after {END_MAX:?}"));
                break;
            }
            Err(error) => {
                violations.push(format!("a machine's program ended: {error}"));
                break;
            }
        }
    }
    drop(sim);
    violations.extend(laws::check(&world));
    Outcome { faults: driver.counts(), violations, history: world.history.text() }
}

#[test]
fn no_seed_breaks_a_law() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("DQA_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DQA_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let (seeds, broken, faults) = (Mutex::new(seeds), Mutex::new(Vec::new()), Mutex::new(FaultCounts::default()));
    let work = || {
        loop {
            let Some(seed) = seeds.lock().unwrap().next() else { return };
            let outcome = simulate(seed);
            faults.lock().unwrap().add(outcome.faults);
            if !outcome.violations.is_empty() {
                let Outcome { history, violations, .. } = outcome;
                broken.lock().unwrap().push(format!("seed {seed}:\n{history}\n{}", violations.join("\n")));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    println!("{:?}", faults.into_inner().unwrap());
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{} seeds break a law\n\n{}", broken.len(), broken.join("\n\n"));
}
