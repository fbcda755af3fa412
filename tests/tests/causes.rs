//! What a coordinator's run failed with reaches whoever asked for it: with its causes, and with what to do.

#![allow(clippy::unwrap_used)] // helpers too

use dqa_tests::cluster::{Cluster, Programs};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

#[test]
fn a_failed_run_says_why_and_what_to_do() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp", "aod"]);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    std::fs::remove_file(cluster.place.path("haze/dcp/s1.png")).unwrap();
    let said = cluster.user(&cluster.submit("haze.toml", &["--name", "r"])).ends_with(2);
    assert!(said.err.contains("caused by: data set `haze` is not complete"), "{}", said.err);
    assert!(said.err.contains("hint: --allow-missing scores what is there"), "{}", said.err);

    // Nobody waits for it any more: it is the record that has the causes.
    std::fs::remove_dir_all(cluster.place.path("haze")).unwrap();
    let said = cluster.user(&cluster.submit("haze.toml", &["--name", "gone"])).ends_with(2);
    assert!(said.err.contains("cannot load data set `haze`: cannot open the folder"), "{}", said.err);
    assert!(said.err.contains("No such file or directory"), "{}", said.err);
    assert!(said.err.contains("hint: `dqa-coord resume gone` on its coordinator goes on with it"), "{}", said.err);
    // And so has the log, on one line.
    let log = cluster.said();
    let line = log.lines().find(|line| line.contains("run failed") && line.contains("cannot load")).unwrap();
    assert!(line.contains("No such file or directory"), "{line}");
}
