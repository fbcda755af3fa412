//! A user sees why a run on a coordinator failed: the error with its causes and a hint.

use dqa_tests::cluster::{Cluster, Programs};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

#[test]
fn a_failed_run_reports_causes_and_a_hint() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod"]);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    std::fs::remove_file(cluster.dir.path("haze/dcp/s1.png")).unwrap();
    let output = cluster.run(&cluster.submit("haze.toml", &["--name", "r"])).exits_with(2);
    assert!(output.stderr.contains("caused by: data set `haze` is not complete"), "{}", output.stderr);
    assert!(output.stderr.contains("hint: --allow-missing scores what is there"), "{}", output.stderr);

    // A request that cannot be planned leaves no run.
    std::fs::remove_dir_all(cluster.dir.path("haze")).unwrap();
    let output = cluster.run(&cluster.submit("haze.toml", &["--name", "gone"])).exits_with(2);
    assert!(output.stderr.contains("cannot load data set `haze`: cannot open the folder"), "{}", output.stderr);
    assert!(output.stderr.contains("No such file or directory"), "{}", output.stderr);
    assert!(output.stderr.contains("hint: nothing is kept of the run"), "{}", output.stderr);
    // The log has the causes too, on one line.
    let log = cluster.logs();
    let line = log.lines().find(|line| line.contains("run failed") && line.contains("cannot load")).unwrap();
    assert!(line.contains("No such file or directory"), "{line}");
}
