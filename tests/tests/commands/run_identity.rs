//! One request is one run with one name, whether a single process or a coordinator on the same store executes it.

use dqa_tests::cluster::{Cluster, Programs};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

fn runs(cluster: &Cluster) -> usize {
    cluster.run_on_store(&["runs", "--format", "json"]).exits_with(0).stdout.lines().count()
}

#[test]
fn a_coordinator_finds_the_run_of_a_local_process() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod"]);
    let requests: [&[&str]; 3] = [&[], &["--algos", "dcp,aod"], &["--algos", "aod", "--shard-windows", "1"]];
    let alone = requests.map(|more| cluster.run_on_store(&cluster.submit("haze.toml", more)).exits_with(0));
    assert_eq!(runs(&cluster), 3);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    // There is no worker: what is not there could not be scored.
    for (more, alone) in requests.into_iter().zip(&alone) {
        let asked = cluster.run(&cluster.submit("haze.toml", more)).exits_with(0);
        assert_eq!(asked.run_name(), alone.run_name());
        assert_eq!(asked.stdout, alone.stdout);
    }
    assert_eq!(runs(&cluster), 3);
}

#[test]
fn a_local_process_finds_the_run_of_a_coordinator() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    let asked = cluster.run(&cluster.submit("haze.toml", &[])).exits_with(0);
    let alone = cluster.run_on_store(&cluster.submit("haze.toml", &[])).exits_with(0);
    assert_eq!(alone.run_name(), asked.run_name());
    assert!(alone.stderr.contains("nothing to score"), "{}", alone.stderr);
    assert_eq!(runs(&cluster), 1);
    // And it is the coordinator's still.
    cluster.run(&["retry", &asked.run_name()]).exits_with(0);

    // What is added costs what is new, under the same name.
    cluster.dir.haze(&["dcp", "aod", "mscnn"]);
    let more = cluster.run_on_store(&cluster.submit("haze.toml", &[])).exits_with(0);
    assert_eq!(more.run_name(), asked.run_name());
    assert!(more.stderr.contains("scored 3 pictures"), "{}", more.stderr);
}
