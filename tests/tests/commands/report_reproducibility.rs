//! The same rows give the same report, whatever the size and order of the shards, and on a cluster as in one process.

use dqa_tests::CommandOutput;
use dqa_tests::cluster::{Cluster, Programs};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// A run's tables as they are in the store that it was reported to.
fn tables(output: impl Fn(&[&str]) -> CommandOutput) -> Vec<String> {
    ["correlations", "leaderboard"]
        .map(|table| {
            let output = output(&["query", &format!("SELECT * FROM {table}"), "--format", "csv"]).exits_with(0);
            assert!(output.stdout.lines().count() > 12, "{}", output.stdout);
            output.stdout
        })
        .into()
}

#[test]
fn shards_and_engines_do_not_change_a_report() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.run(&["demo", "make", "demo", "--scenes", "6", "--width", "288", "--height", "240"]).exits_with(0);
    let submit = |shard_windows| {
        let model = ["submit", "--datasets", "demo/demo.toml", "--model", "dqa:small", "--prompts", "dqa:small"];
        [&model[..], &["--name", "r", "--shard-windows", shard_windows]].concat()
    };
    let alone = |store: &str, arguments: &[&str]| {
        CommandOutput::new(&cluster.dir.command(arguments).env("DQA_STORE", store).output().unwrap())
    };
    let mut found = Vec::new();
    for shard_windows in ["2048", "16", "7"] {
        let store = format!("store-{shard_windows}");
        alone(&store, &submit(shard_windows)).exits_with(0);
        found.push(tables(|arguments| alone(&store, arguments)));
        let draws = ["report", "--intervals", "bootstrap", "--replicates", "150", "--table", "correlations"];
        let bootstrap = alone(&store, &[&draws[..], &["--format", "csv"]].concat()).exits_with(0);
        assert!(bootstrap.stdout.contains(",bootstrap,"), "{}", bootstrap.stdout);
        found.last_mut().unwrap().push(bootstrap.stdout);
    }
    assert_eq!(found[0], found[1], "shards of 2048 and 16 windows");
    assert_eq!(found[0], found[2], "shards of 2048 and 7 windows");

    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.start_worker(&[]);
    cluster.wait_for_workers(2);
    cluster.run(&submit("7")).exits_with(0);
    let by_cluster = tables(|arguments| cluster.run_on_store(arguments));
    assert_eq!(by_cluster, found[0][..2], "one process and a cluster");
}
