//! Reading results: which run a command selects, which rows a query sees, and that a store and a coordinator give equal
//! answers.

use std::process::Command;

use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::{CommandOutput, TestDir};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// With the runs `paper` and `whole`, of unlike views, over the same 6 pictures; `paper` was submitted once more.
fn setup() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["dcp", "aod"]);
    let paper = dir.submit("haze.toml", &["--name", "paper"]);
    dir.run(&paper).exits_with(0);
    dir.run(&dir.submit("haze.toml", &["--name", "whole", "--views", "sees=global"])).exits_with(0);
    let again = dir.run(&paper).exits_with(0);
    assert!(again.stderr.contains("nothing to score"), "{}", again.stderr);
    dir
}

fn csv(dir: &TestDir, sql: &str, more: &[&str]) -> CommandOutput {
    dir.run(&[&["query", sql, "--format", "csv"], more].concat())
}

#[test]
fn the_last_used_run_is_selected_and_named() {
    let dir = setup();
    for command in [&["status"][..], &["leaderboard"], &["report"], &["query", "SELECT count(*) AS n FROM scores"]] {
        let output = dir.run(command).exits_with(0);
        assert!(output.stderr.contains("run paper: the one that was used last"), "{command:?}: {}", output.stderr);
        let named = dir.run(&[command, &["paper"]].concat()).exits_with(0);
        assert_eq!((named.stdout, named.stderr.as_str()), (output.stdout, ""), "{command:?}");
    }
    let unlike = dir.run(&["leaderboard", "paper", "whole"]).exits_with(2);
    assert!(
        unlike.stderr.contains("fingerprint") && !unlike.stderr.contains("different pictures"),
        "{}",
        unlike.stderr
    );
    assert!(unlike.stderr.contains("`dqa-coord compare`"), "{}", unlike.stderr);
    let one_draw = dir.run(&["report", "paper", "--replicates", "1"]).exits_with(2);
    assert!(one_draw.stderr.contains("invalid value '1' for '--replicates"), "{}", one_draw.stderr);
    let unused = dir.run(&["report", "paper", "--intervals", "jackknife", "--replicates", "100"]).exits_with(0);
    assert!(unused.stderr.contains("--replicates is not used"), "{}", unused.stderr);
    // RUN, --run and the variable are one.
    for command in [&["status"][..], &["leaderboard"], &["report"], &["query", "SELECT count(*) AS n FROM scores"]] {
        let positional = dir.run(&[command, &["whole"]].concat()).exits_with(0);
        let flag = dir.run(&[command, &["--run", "whole"]].concat()).exits_with(0);
        let variable = dir.command(command).env("DQA_RUN", "whole").output().unwrap();
        assert_eq!(flag.stdout, positional.stdout, "{command:?}");
        assert_eq!(CommandOutput::new(&variable).exits_with(0).stdout, positional.stdout, "{command:?}");
        let both =
            CommandOutput::new(&dir.command(&[command, &["whole"]].concat()).env("DQA_RUN", "paper").output().unwrap());
        assert!(both.stderr.contains("whole, not paper"), "{command:?}: {}", both.stderr);
        assert_eq!(both.exits_with(0).stdout, positional.stdout, "{command:?}");
    }
}

#[test]
fn the_beginning_of_a_name_is_enough() {
    let dir = setup();
    dir.run(&dir.submit("haze.toml", &["--name", "paper-2"])).exits_with(0);
    let begun = dir.run(&["status", "wh"]).exits_with(0);
    assert!(
        begun.stdout.contains("whole (complete)") && begun.stderr.contains("run whole"),
        "{}{}",
        begun.stdout,
        begun.stderr
    );
    let exact = dir.run(&["status", "paper"]).exits_with(0);
    assert!(exact.stdout.contains("paper (complete)"), "{}", exact.stdout);
    for command in [&["status", "pap"][..], &["leaderboard", "pap"], &["query", "SELECT 1", "--run", "pap"]] {
        let output = dir.run(command).exits_with(2);
        assert!(
            output.stderr.contains("several runs have names that begin with `pap`: paper, paper-2"),
            "{}",
            output.stderr
        );
        assert!(output.stderr.contains("hint: give more of the name"), "{}", output.stderr);
    }
    // What reads a store alone says which one where a coordinator is named for other commands.
    let compare = dir.command(&["compare", "paper", "wh"]).env("DQA_COORDINATOR", "http://127.0.0.1:1").output();
    let compared = CommandOutput::new(&compare.unwrap());
    assert!(
        compared.stderr.contains("reads the store store directly, not through the coordinator"),
        "{}",
        compared.stderr
    );
    let near = dir.run(&["report", "papr"]).exits_with(2);
    assert!(
        near.stderr.contains("there is no run `papr`") && near.stderr.contains("similar names: paper"),
        "{}",
        near.stderr
    );
}

/// Two models over the same pictures were twice as many rows, and their mean was of nothing.
#[test]
fn a_query_reads_one_run_unless_several_are_named() {
    let dir = setup();
    let count = "SELECT count(*) AS n, count(DISTINCT image) AS pictures FROM scores";
    let one = csv(&dir, count, &[]).exits_with(0);
    assert_eq!(one.stdout, "n,pictures\n6,6\n");
    let by_run =
        "SELECT run, count(*) AS n, count(DISTINCT fingerprint) AS models FROM scores GROUP BY run ORDER BY run";
    assert_eq!(csv(&dir, by_run, &[]).exits_with(0).stdout, "run,n,models\npaper,6,1\n");
    for several in [&["--run", "paper,whole"][..], &["paper", "whole"], &["--all-runs"]] {
        assert_eq!(csv(&dir, by_run, several).exits_with(0).stdout, "run,n,models\npaper,6,1\nwhole,6,1\n");
        let mixed = csv(&dir, "SELECT algorithm, avg(score) AS mean FROM scores GROUP BY 1", several).exits_with(2);
        assert!(mixed.stderr.contains("combines rows of the runs `paper` and `whole`"), "{}", mixed.stderr);
        assert!(mixed.stderr.contains("different models (fingerprints "), "{}", mixed.stderr);
        assert!(mixed.stderr.contains("hint: add run or fingerprint to GROUP BY"), "{}", mixed.stderr);
        assert_eq!(mixed.stdout, "");
        let together = csv(&dir, count, &[several, &["--mix-runs"]].concat()).exits_with(0);
        assert_eq!(together.stdout, "n,pictures\n12,6\n");
        // Of the other tables that hold several runs too.
        let boards = "SELECT avg(mean_score) AS mean FROM leaderboard";
        assert!(
            csv(&dir, boards, several).exits_with(2).stderr.contains("combines rows of the runs `paper` and `whole`")
        );
        let pinned = csv(&dir, "SELECT count(*) AS n FROM scores WHERE run LIKE 'pa%'", several).exits_with(0);
        assert_eq!(pinned.stdout, "n\n6\n");
        let paired = csv(
            &dir,
            "SELECT count(*) AS n, count(a.score - b.score) AS pairs FROM scores a JOIN scores b USING (algorithm, image)
             WHERE a.run = 'paper' AND b.run = 'whole'",
            several,
        );
        assert_eq!(paired.exits_with(0).stdout, "n,pairs\n6,6\n");
    }
    let unquoted = dir.run(&["query", "SELECT", "algorithm", "FROM", "scores"]).exits_with(2);
    assert!(unquoted.stderr.contains("put the whole query in quotes"), "{}", unquoted.stderr);
    // One model in two runs: their pictures would count twice.
    dir.run(&dir.submit("haze.toml", &["--name", "small", "--algos", "dcp"])).exits_with(0);
    let twice = csv(&dir, count, &["paper", "small"]).exits_with(2);
    assert!(twice.stderr.contains("which share pictures that would count twice"), "{}", twice.stderr);
    let by_fingerprint = "SELECT fingerprint, count(*) AS n FROM scores GROUP BY 1";
    let shared = csv(&dir, by_fingerprint, &["paper", "small"]).exits_with(2);
    assert!(
        shared.stderr.contains("count twice") && shared.stderr.contains("add run to GROUP BY"),
        "{}",
        shared.stderr
    );
    assert_eq!(csv(&dir, by_run, &["paper", "small"]).exits_with(0).stdout, "run,n,models\npaper,6,1\nsmall,3,1\n");
}

/// Two workers over a store on disk with the complete runs `r` and `s` of one model, and one in it that the coordinator was
/// not asked for.
fn cluster() -> Cluster {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze_with_scenes(6, &["dcp", "aod"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.start_worker(&[]);
    cluster.wait_for_workers(2);
    cluster.run(&cluster.submit("haze.toml", &["--name", "r", "--algos", "dcp"])).exits_with(0);
    cluster.run(&cluster.submit("haze.toml", &["--name", "s", "--shard-windows", "1"])).exits_with(0);
    cluster.run_on_store(&cluster.submit("haze.toml", &["--name", "alone", "--views", "sees=global"])).exits_with(0);
    cluster
}

#[test]
fn a_store_and_its_coordinator_answer_alike() {
    let cluster = cluster();
    let commands: [&[&str]; 17] = [
        &["runs"],
        &["status"],
        &["status", "r"],
        &["status", "s"],
        &["status", "nothing"],
        &["report", "s"],
        &["report", "al"],
        &["report", "s", "--table", "leaderboard", "--seed", "3"],
        &["report", "s", "--table", "cross-dataset"],
        &["report"],
        &["leaderboard"],
        &["leaderboard", "r", "s", "--dataset", "haze"],
        &["leaderboard", "--run", "r,s", "--replicates", "100"],
        &["leaderboard", "r", "alone"],
        &["query", "SELECT run, count(*) AS n, count(score) AS scored FROM scores GROUP BY run"],
        &["query", "SELECT run, algorithm, image, score FROM scores ORDER BY 1, 2, 3", "--all-runs"],
        &["query", "SELECT avg(score) AS mean FROM scores", "--run", "s,alone"],
    ];
    for command in commands {
        for format in ["table", "json", "csv"] {
            let command = [command, &["--format", format]].concat();
            let (ours, theirs) = (cluster.run_on_store(&command), cluster.run(&command));
            assert_eq!(theirs.stdout, ours.stdout, "{command:?}\n{}\n{}", theirs.stderr, ours.stderr);
            assert_eq!(theirs.code, ours.code, "{command:?}\n{}\n{}", theirs.stderr, ours.stderr);
            let first = |output: &CommandOutput| output.stderr.lines().next().unwrap_or_default().to_owned();
            assert_eq!(first(&theirs), first(&ours), "{command:?}: the same is said first");
        }
    }
    for said in [cluster.run_on_store(commands[8]), cluster.run(commands[8])] {
        assert!(said.stderr.contains("the table cross-dataset needs two data sets"), "{}", said.stderr);
    }
    // `report` writes its tables to the store from there too.
    let table = cluster.dir.path("store/leaderboard/by_run=alone/leaderboard.parquet");
    std::fs::remove_file(&table).unwrap();
    cluster.run(&["report", "alone"]).exits_with(0);
    assert!(table.exists());
    let csv = cluster.run(&["workers", "--format", "csv"]).exits_with(0).stdout;
    assert_eq!(csv.lines().count(), 3, "{csv}");
}

#[test]
fn local_commands_refuse_a_coordinator() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["dcp"]);
    let check = ["dataset", "check", "haze.toml"];
    let refused = dir.run(&[&check[..], &["--coordinator", "http://127.0.0.1:1"]].concat()).exits_with(2);
    assert!(refused.stderr.contains("this command only runs on this machine"), "{}", refused.stderr);
    // A variable that is exported for other commands is no matter.
    let checked = dir.command(&check).env("DQA_COORDINATOR", "http://127.0.0.1:1").output().unwrap();
    CommandOutput::new(&checked).exits_with(0);
    // Those that read results go where it says, all of them.
    for command in [&["runs"][..], &["status"], &["report"], &["leaderboard"], &["query", "SELECT 1"], &["workers"]] {
        let output = dir.command(command).env("DQA_COORDINATOR", "http://127.0.0.1:1").output().unwrap();
        let output = CommandOutput::new(&output).exits_with(2);
        assert!(output.stderr.contains("cannot reach http"), "{command:?}: {}", output.stderr);
    }
}

/// A Python with DuckDB.
fn python() -> Option<String> {
    let named = std::env::var("DQA_PYTHON").ok();
    let has =
        |python: &String| Command::new(python).args(["-c", "import duckdb"]).output().is_ok_and(|s| s.status.success());
    named.or_else(|| Some("python3".to_owned()).filter(has))
}

#[test]
fn duckdb_reads_one_run_by_its_views() {
    let dir = setup();
    let latest = std::fs::read_to_string(dir.path("store/latest.sql")).unwrap();
    assert!(latest.contains("'paper' AS run") && latest.contains("VIEW leaderboard"), "{latest}");
    let of_run = std::fs::read_to_string(dir.path("store/runs/whole/scores.sql")).unwrap();
    assert!(of_run.contains("'whole' AS run") && !of_run.contains("VIEW leaderboard"), "{of_run}");
    let Some(python) = python() else {
        eprintln!("skipped: neither DQA_PYTHON nor a python3 with duckdb");
        return;
    };
    let script = "
import duckdb, sys
for file in sys.argv[1:]:
    db = duckdb.connect()
    db.execute(open(file).read())
    print(db.sql('SELECT run, count(*), count(DISTINCT image), count(DISTINCT fingerprint) FROM scores GROUP BY run').fetchall())
print(db.sql('SELECT DISTINCT run FROM leaderboard').fetchall(), db.sql('SELECT count(*) > 0 FROM correlations').fetchall())
print([name for name in db.sql('SELECT * FROM scores').columns if name.startswith('by_')])
";
    let output = Command::new(python)
        .args(["-c", script])
        .args([dir.path("store/runs/whole/scores.sql"), dir.path("store/latest.sql")])
        .current_dir("/")
        .output()
        .unwrap();
    let output = CommandOutput::new(&output).exits_with(0);
    assert_eq!(output.stdout, "[('whole', 6, 6, 1)]\n[('paper', 6, 6, 1)]\n[('paper',)] [(True,)]\n[]\n");
}
