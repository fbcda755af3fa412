//! A run under random faults: workers and coordinators are killed, the store's server stops, the network is partitioned.
//! The run must complete by itself, have each row once, and have the scores of an undisturbed single process, bit by bit.
//!
//! The faults and their times are drawn from a seed. The test here is small; `tests/soak` runs long tests with many seeds.

#![allow(clippy::unwrap_used)] // helpers too

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::proxy::Proxy;
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// How much of everything there is.
struct Size {
    scenes: u32,
    workers: usize,
    worker_kills: u32,
    coordinator_kills: u32,
    store_stops: u32,
    cuts: u32,
    /// A worker is stopped for so long; then it goes on as if nothing had been.
    stopped: Duration,
    /// A shard takes at least so long.
    slow_millis: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
fn a_run_survives_random_faults() {
    let size = Size {
        scenes: 20,
        workers: 3,
        worker_kills: 4,
        coordinator_kills: 2,
        store_stops: 1,
        cuts: 1,
        stopped: Duration::from_secs(15),
        slow_millis: 1500,
    };
    survive(7, &size);
}

/// `DQA_SOAK_SEED` and `DQA_SOAK_SCENES` say which and how large.
#[test]
#[ignore = "takes many minutes: tests/soak"]
fn soak() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let scenes = u32::try_from(number("DQA_SOAK_SCENES", 200)).unwrap();
    let size = Size {
        scenes,
        workers: 3,
        worker_kills: scenes / 10,
        coordinator_kills: 2 + scenes / 60,
        store_stops: 1 + scenes / 100,
        cuts: 1 + scenes / 60,
        stopped: Duration::from_secs(60),
        slow_millis: 1500,
    };
    survive(number("DQA_SOAK_SEED", 1), &size);
}

fn survive(seed: u64, size: &Size) {
    let mut random = Random(seed);
    let mut cluster = Cluster::with_s3(PROGRAMS);
    let algorithms = ["dcp", "aod", "mscnn"];
    cluster.dir.haze_with_scenes(size.scenes, &algorithms);
    let target = format!("127.0.0.1:{}", cluster.port()).parse().unwrap();
    let network = Proxy::new(target);
    cluster.worker_url = Some(format!("http://{}", network.address()));
    cluster.start_coordinator();
    let poison = format!("aod/s{}.png", random.below(u64::from(size.scenes)));
    let slow = size.slow_millis.to_string();
    let faults = [("FAULT_POISON", poison.as_str()), ("FAULT_SLOW_MILLIS", slow.as_str())];
    for _ in 0..size.workers {
        cluster.start_worker(&faults);
    }
    cluster.wait_for_workers(size.workers);
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    cluster.run(&[&arguments[..], &["--detach"]].concat()).exits_with(0);

    let mut to_come = Vec::new();
    let counts = [
        (Fault::KillWorker, size.worker_kills),
        (Fault::KillCoordinator, size.coordinator_kills),
        (Fault::StopStore, size.store_stops),
        (Fault::PartitionNetwork, size.cuts),
        (Fault::ResetNetwork, size.cuts),
        (Fault::StopWorker, 1),
    ];
    counts.iter().for_each(|(fault, count)| to_come.extend((0..*count).map(|_| *fault)));
    random.shuffle(&mut to_come);
    let mut survived: BTreeMap<String, u32> = BTreeMap::new();
    let started = Instant::now();
    for fault in to_come {
        supervise(&mut cluster, size, &faults, Duration::from_millis(random.below(2500)), &mut survived);
        *survived.entry(format!("{fault:?}")).or_default() += 1;
        let workers = cluster.running_workers();
        let any = workers[random.below(workers.len() as u64) as usize];
        match fault {
            Fault::KillWorker => cluster.kill_worker(any),
            Fault::KillCoordinator => {
                cluster.kill_coordinator();
                std::thread::sleep(Duration::from_millis(random.below(1500)));
                cluster.start_coordinator();
            }
            Fault::StopStore => {
                cluster.s3.as_mut().unwrap().stop();
                supervise(&mut cluster, size, &faults, Duration::from_secs(10), &mut survived);
                cluster.s3.as_mut().unwrap().restart().unwrap();
            }
            Fault::PartitionNetwork => {
                network.partition();
                supervise(&mut cluster, size, &faults, Duration::from_secs(5), &mut survived);
                network.heal();
            }
            Fault::ResetNetwork => network.reset_connections(),
            Fault::StopWorker => {
                cluster.signal(any, "STOP");
                supervise(&mut cluster, size, &faults, size.stopped, &mut survived);
                cluster.signal(any, "CONT");
            }
        }
    }
    let mut last = Value::Null;
    loop {
        supervise(&mut cluster, size, &faults, Duration::from_millis(300), &mut survived);
        if let Some(run) = cluster.run_status("r") {
            if run["state"] == "complete" {
                break;
            }
            last = run;
        }
        let shards = u64::from(size.scenes) * 3;
        assert!(started.elapsed() < Duration::from_secs(300 + shards), "seed {seed}: {last}\n{}", cluster.logs());
    }
    println!(
        "seed {seed}: {} shards in {:.0} s, survived {survived:?}",
        size.scenes * 3,
        started.elapsed().as_secs_f64()
    );
    check(&cluster, size, seed, &arguments, &poison);
}

/// For so long starts workers again that have ended, as a supervisor does.
fn supervise(
    cluster: &mut Cluster,
    size: &Size,
    faults: &[(&str, &str)],
    time: Duration,
    survived: &mut BTreeMap<String, u32>,
) {
    let started = Instant::now();
    loop {
        for _ in cluster.running_workers().len()..size.workers {
            *survived.entry("worker started again".to_owned()).or_default() += 1;
            cluster.start_worker(faults);
        }
        if started.elapsed() >= time {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn check(cluster: &Cluster, size: &Size, seed: u64, arguments: &[&str], poison: &str) {
    let output = || format!("seed {seed}\n{}", cluster.logs());
    let sql = "SELECT algorithm, image, score, error_code FROM scores ORDER BY algorithm, image";
    let rows = cluster.query(sql);
    assert_eq!(rows.len() as u64, u64::from(size.scenes) * 3, "every row once: {}", output());
    // A query reads what the run's record names; this reads every file.
    let checked = cluster.run_on_store(&["store", "check"]);
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, output());
    let mut alone = cluster.dir.command(arguments);
    assert!(alone.env("DQA_STORE", "alone").output().unwrap().status.success());
    let query = ["query", sql, "--format", "json"];
    let expected = cluster.dir.command(&query).env("DQA_STORE", "alone").output().unwrap();
    let expected: Vec<Value> =
        String::from_utf8(expected.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!((&row["algorithm"], &row["image"]), (&expected["algorithm"], &expected["image"]));
        if row["image"] == poison {
            assert_eq!((&row["score"], &row["error_code"]), (&Value::Null, &"worker_died".into()), "{}", output());
        } else {
            assert_eq!(row["score"], expected["score"], "{row} and {expected}: {}", output());
        }
    }
}
