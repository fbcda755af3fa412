//! One request is one run, whoever answers it: a process of its own or a coordinator on the same store.

#![allow(clippy::unwrap_used)] // helpers too

use dqa_tests::Said;
use dqa_tests::cluster::{Cluster, Programs};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

fn name(said: &Said) -> String {
    let line = said.err.lines().find_map(|line| line.strip_prefix("run ")).unwrap();
    line.split(':').next().unwrap().to_owned()
}

fn runs(cluster: &Cluster) -> usize {
    cluster.store(&["runs", "--format", "json"]).ends_with(0).out.lines().count()
}

#[test]
fn a_run_of_this_process_is_the_coordinator_s_run() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp", "aod"]);
    let requests: [&[&str]; 3] = [&[], &["--algos", "dcp,aod"], &["--algos", "aod", "--shard-windows", "1"]];
    let alone = requests.map(|more| cluster.store(&cluster.submit("haze.toml", more)).ends_with(0));
    assert_eq!(runs(&cluster), 3);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    // There is no worker: what is not there could not be scored.
    for (more, alone) in requests.into_iter().zip(&alone) {
        let asked = cluster.user(&cluster.submit("haze.toml", more)).ends_with(0);
        assert_eq!(name(&asked), name(alone));
        assert_eq!(asked.out, alone.out);
    }
    assert_eq!(runs(&cluster), 3);
}

#[test]
fn a_coordinator_s_run_is_this_process_s_run() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp", "aod"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    let asked = cluster.user(&cluster.submit("haze.toml", &[])).ends_with(0);
    let alone = cluster.store(&cluster.submit("haze.toml", &[])).ends_with(0);
    assert_eq!(name(&alone), name(&asked));
    assert!(alone.err.contains("nothing to score"), "{}", alone.err);
    assert_eq!(runs(&cluster), 1);
    // And it is the coordinator's still.
    cluster.user(&["retry", &name(&asked)]).ends_with(0);

    // What is added costs what is new, under the same name.
    cluster.place.haze(&["dcp", "aod", "mscnn"]);
    let more = cluster.store(&cluster.submit("haze.toml", &[])).ends_with(0);
    assert_eq!(name(&more), name(&asked));
    assert!(more.err.contains("scored 3 pictures"), "{}", more.err);
}
