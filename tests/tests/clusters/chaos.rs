//! Runs under random faults: workers and coordinators are killed, workers stop and go on, the store's server stops, the
//! network is cut. Two coordinators compete, and two runs share pictures. Both runs must complete by themselves, have each row
//! once, and have the scores of an undisturbed single process, bit by bit; a run that was cancelled stays so; and no file of
//! the store is left over, damaged or missing.
//!
//! The faults and their times are drawn from a seed. The test here is small; `tests/soak` runs long tests with many seeds.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::proxy::Proxy;
use dqa_tests::{CommandOutput, TestDir};
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

const ALGORITHMS: [&str; 3] = ["dcp", "aod", "mscnn"];

/// The second run has these only.
const SHARED_ALGORITHMS: &str = "aod,mscnn";

/// A shard takes at least so long.
const SHARD_MILLIS: &str = "1500";

/// The longest time between two faults.
const GAP_MAX: Duration = Duration::from_millis(2500);

/// Pictures and plans may be given up because too many machines have died with them by chance. Users ask for them again this
/// often.
const RETRIES_MAX: u32 = 20;

/// How much of everything there is.
struct Size {
    seed: u64,
    in_s3: bool,
    scenes: u32,
    workers: usize,
    faults: BTreeMap<Fault, u32>,
    /// A worker is stopped for so long; then it goes on as if nothing had been.
    stopped: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillWorker,
    KillCoordinator,
    StopStore,
    PartitionNetwork,
    ResetNetwork,
    StopWorker,
}

/// Numbers from a seed (SplitMix64): a test repeats what it did, whatever a library does.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ z >> 31) % end
    }

    fn shuffle<T>(&mut self, of: &mut [T]) {
        for last in (1..of.len()).rev() {
            of.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[test]
fn runs_survive_random_faults() {
    use Fault::*;
    let faults = [
        (KillWorker, 4),
        (KillCoordinator, 2),
        (StopStore, 1),
        (PartitionNetwork, 1),
        (ResetNetwork, 1),
        (StopWorker, 1),
    ];
    let stopped = Duration::from_secs(15);
    Chaos::survive(&Size { seed: 7, in_s3: true, scenes: 20, workers: 3, faults: faults.into(), stopped });
}

/// `DQA_SOAK_SEED`, `DQA_SOAK_FAULTS` and `DQA_SOAK_STORE` (`s3` or `local`) say what is done.
#[test]
#[ignore = "takes many minutes: tests/soak"]
fn soak() {
    use Fault::*;
    let number = |name: &str, usual: u32| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let in_s3 = std::env::var("DQA_SOAK_STORE").map_or(true, |store| store == "s3");
    let faults = number("DQA_SOAK_FAULTS", 200);
    let shares = [
        (KillWorker, 50),
        (KillCoordinator, 20),
        (StopStore, if in_s3 { 4 } else { 0 }),
        (PartitionNetwork, 6),
        (ResetNetwork, 14),
        (StopWorker, 6),
    ];
    let size = Size {
        seed: number("DQA_SOAK_SEED", 1).into(),
        in_s3,
        // As many shards as three workers score while the faults come.
        scenes: faults * 2,
        workers: 3,
        faults: shares.map(|(fault, share)| (fault, faults * share / 100)).into(),
        stopped: Duration::from_secs(20),
    };
    Chaos::survive(&size);
}

/// A cluster to which faults happen.
struct Chaos<'a> {
    size: &'a Size,
    cluster: Cluster,
    random: Random,
    network: Proxy,
    /// The variables of every worker.
    worker_faults: [(&'a str, &'a str); 2],
    survived: BTreeMap<String, u32>,
}

impl Chaos<'_> {
    fn survive(size: &Size) {
        let mut random = Random(size.seed);
        let poison = format!("aod/s{}.png", random.below(u64::from(size.scenes)));
        let mut cluster = if size.in_s3 { Cluster::with_s3(PROGRAMS) } else { Cluster::local(PROGRAMS) };
        cluster.dir.haze_with_scenes(size.scenes, &ALGORITHMS);
        write_second_dataset(&cluster.dir);
        let second = cluster.add_coordinator();
        let network = Proxy::new(format!("127.0.0.1:{}", cluster.port()).parse().unwrap());
        cluster.worker_url = Some(format!("http://{},{}", network.address(), cluster.coordinator_url(second)));
        let worker_faults = [("FAULT_POISON", poison.as_str()), ("FAULT_SLOW_MILLIS", SHARD_MILLIS)];
        let mut chaos = Chaos { size, cluster, random, network, worker_faults, survived: BTreeMap::new() };
        chaos.run(second);
        chaos.check(&poison);
    }

    fn run(&mut self, second: usize) {
        let started = Instant::now();
        self.cluster.start_coordinator();
        self.cluster.start_coordinator_number(second);
        self.supervise(Duration::ZERO);
        self.submit("cancelled", "second.toml", &[]);
        self.submit("r", "haze.toml", &[]);
        self.submit("shared", "haze.toml", &["--algos", SHARED_ALGORITHMS]);
        let mut faults: Vec<Fault> =
            self.size.faults.iter().flat_map(|(fault, count)| (0..*count).map(|_| *fault)).collect();
        self.random.shuffle(&mut faults);
        for (done, fault) in faults.iter().enumerate() {
            let gap = Duration::from_millis(self.random.below(GAP_MAX.as_millis() as u64));
            self.supervise(gap);
            self.inflict(*fault);
            if done == faults.len() / 4 {
                self.ask(&["cancel", "cancelled"]);
            }
        }
        let time_max = started.elapsed() + Duration::from_secs(300 + u64::from(self.size.scenes) * 3);
        self.wait_for("r", started, time_max);
        self.wait_for("shared", started, time_max);
        println!(
            "seed {}: {} faults, {} scenes by 3 algorithms in {:.0} s, survived {:?}",
            self.size.seed,
            faults.len(),
            self.size.scenes,
            started.elapsed().as_secs_f64(),
            self.survived
        );
    }

    fn count(&mut self, what: &str) {
        *self.survived.entry(what.to_owned()).or_default() += 1;
    }

    fn submit(&mut self, name: &str, dataset: &str, more: &[&str]) {
        let common = ["--shard-windows", "1", "--name", name, "--detach"];
        let arguments = [self.cluster.submit(dataset, &common), more.to_vec()].concat();
        self.ask(&arguments);
    }

    /// Sends a command until a coordinator that leads has done it.
    fn ask(&mut self, arguments: &[&str]) {
        let started = Instant::now();
        while self.cluster.run_on_leader(arguments).is_none() {
            assert!(started.elapsed() < Duration::from_secs(120), "{arguments:?}\n{}", self.cluster.logs());
            self.supervise(Duration::from_millis(300));
        }
    }

    fn inflict(&mut self, fault: Fault) {
        self.count(&format!("{fault:?}"));
        let workers = self.cluster.running_workers();
        let any = workers[self.random.below(workers.len() as u64) as usize];
        match fault {
            Fault::KillWorker => self.cluster.kill_worker(any),
            Fault::KillCoordinator => {
                let number = self.random.below(2) as usize;
                self.cluster.kill_coordinator_number(number);
                let down = Duration::from_millis(self.random.below(1500));
                self.supervise(down);
                self.cluster.start_coordinator_number(number);
            }
            Fault::StopStore => {
                self.cluster.s3.as_mut().unwrap().stop();
                self.supervise(Duration::from_secs(10));
                self.cluster.s3.as_mut().unwrap().restart().unwrap();
            }
            Fault::PartitionNetwork => {
                self.network.partition();
                self.supervise(Duration::from_secs(5));
                self.network.heal();
            }
            Fault::ResetNetwork => self.network.reset_connections(),
            Fault::StopWorker => {
                self.cluster.signal(any, "STOP");
                self.supervise(self.size.stopped);
                self.cluster.signal(any, "CONT");
            }
        }
    }

    /// For so long starts workers again that have ended, as a supervisor does.
    fn supervise(&mut self, time: Duration) {
        let started = Instant::now();
        loop {
            for _ in self.cluster.running_workers().len()..self.size.workers {
                self.count("worker started");
                self.cluster.start_worker(&self.worker_faults);
            }
            if started.elapsed() >= time {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until a run is complete and has no failed picture but the poison.
    fn wait_for(&mut self, name: &str, started: Instant, time_max: Duration) {
        let (mut last, mut retries) = (Value::Null, 0);
        loop {
            self.supervise(Duration::from_millis(300));
            if let Some(run) = self.cluster.run_status(name) {
                if run["state"] == "complete" {
                    if run["pictures_failed"].as_u64().unwrap() <= 1 || retries == RETRIES_MAX {
                        return;
                    }
                    retries += 1;
                    self.count("retry");
                    self.ask(&["retry", name]);
                }
                // Coordinators that plan it may have been killed three times by chance: users resume it.
                if run["state"] == "failed" && retries < RETRIES_MAX {
                    retries += 1;
                    self.count("resume");
                    self.ask(&["resume", name]);
                }
                last = run;
            }
            let seed = self.size.seed;
            assert!(started.elapsed() < time_max, "seed {seed}: {last}\n{}", self.cluster.logs());
        }
    }

    fn check(&self, poison: &str) {
        let output = || format!("seed {}\n{}", self.size.seed, self.cluster.logs());
        // A query reads what the runs' records name; this reads every file.
        let checked = self.cluster.run_on_store(&["store", "check"]);
        assert_eq!(checked.code, 0, "{}{}", checked.stdout, output());
        assert_eq!(self.cluster.run_status("cancelled").unwrap()["state"], "cancelled", "{}", output());
        let mut alone = self.cluster.dir.command(&self.cluster.submit("haze.toml", &["--name", "r"]));
        assert!(alone.env("DQA_STORE", "alone").output().unwrap().status.success());
        let sql = "SELECT algorithm, image, score, error_code FROM scores ORDER BY algorithm, image";
        let rows_of = |mut command: Command| CommandOutput::new(&command.output().unwrap()).exits_with(0).json_lines();
        let query = ["query", sql, "r", "--format", "json"];
        let mut alone = self.cluster.dir.command(&query);
        alone.env("DQA_STORE", "alone");
        let expected = rows_of(alone);
        for (run, algorithms) in [("r", 3), ("shared", 2)] {
            let rows = rows_of(self.cluster.store_command(&["query", sql, run, "--format", "json"]));
            assert_eq!(rows.len() as u32, self.size.scenes * algorithms, "every row once: {}", output());
            let expected = expected.iter().filter(|row| algorithms == 3 || row["algorithm"] != "dcp");
            assert_eq!(expected.clone().count(), rows.len());
            for (row, expected) in rows.iter().zip(expected) {
                assert_eq!((&row["algorithm"], &row["image"]), (&expected["algorithm"], &expected["image"]));
                if row["image"] == poison {
                    assert_eq!(
                        (&row["score"], &row["error_code"]),
                        (&Value::Null, &"worker_died".into()),
                        "{}",
                        output()
                    );
                } else {
                    assert_eq!(row["score"], expected["score"], "{row} and {expected}: {}", output());
                }
            }
        }
    }
}

/// A data set whose run is cancelled.
fn write_second_dataset(dir: &TestDir) {
    let text = "name = \"second\"\nroot = \"haze\"\nlayout = \"{algorithm}/{scene}.png\"\n";
    dir.file("second.toml", text.as_bytes());
}
