//! Reading results: which run is meant, whose rows a query sees, and that a store and a coordinator answer alike.

#![allow(clippy::unwrap_used)] // helpers too

use std::process::Command;

use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::{Said, TestDir};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// With the runs `paper` and `whole`, of unlike views, over the same 6 pictures; `paper` was submitted once more.
fn place() -> TestDir {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["dcp", "aod"]);
    let paper = place.submit("haze.toml", &["--name", "paper"]);
    place.run(&paper).ends_with(0);
    place.run(&place.submit("haze.toml", &["--name", "whole", "--views", "sees=global"])).ends_with(0);
    let again = place.run(&paper).ends_with(0);
    assert!(again.err.contains("nothing to score"), "{}", again.err);
    place
}

fn csv(place: &TestDir, sql: &str, more: &[&str]) -> Said {
    place.run(&[&["query", sql, "--format", "csv"], more].concat())
}

#[test]
fn the_run_that_was_used_last_is_taken_and_said() {
    let place = place();
    for command in [&["status"][..], &["leaderboard"], &["report"], &["query", "SELECT count(*) AS n FROM scores"]] {
        let said = place.run(command).ends_with(0);
        assert!(said.err.contains("run paper: the one that was used last"), "{command:?}: {}", said.err);
        let named = place.run(&[command, &["paper"]].concat()).ends_with(0);
        assert_eq!((named.out, named.err.as_str()), (said.out, ""), "{command:?}");
    }
    let unlike = place.run(&["leaderboard", "paper", "whole"]).ends_with(2);
    assert!(unlike.err.contains("fingerprint") && !unlike.err.contains("different pictures"), "{}", unlike.err);
    assert!(unlike.err.contains("`dqa-coord compare`"), "{}", unlike.err);
    let one_draw = place.run(&["report", "paper", "--replicates", "1"]).ends_with(2);
    assert!(one_draw.err.contains("invalid value '1' for '--replicates"), "{}", one_draw.err);
    let unused = place.run(&["report", "paper", "--intervals", "jackknife", "--replicates", "100"]).ends_with(0);
    assert!(unused.err.contains("--replicates is not used"), "{}", unused.err);
    // RUN, --run and the variable are one.
    for command in [&["status"][..], &["leaderboard"], &["report"], &["query", "SELECT count(*) AS n FROM scores"]] {
        let positional = place.run(&[command, &["whole"]].concat()).ends_with(0);
        let flag = place.run(&[command, &["--run", "whole"]].concat()).ends_with(0);
        let variable = place.command(command).env("DQA_RUN", "whole").output().unwrap();
        assert_eq!(flag.out, positional.out, "{command:?}");
        assert_eq!(Said::of(&variable).ends_with(0).out, positional.out, "{command:?}");
        let both = Said::of(&place.command(&[command, &["whole"]].concat()).env("DQA_RUN", "paper").output().unwrap());
        assert!(both.err.contains("whole, not paper"), "{command:?}: {}", both.err);
        assert_eq!(both.ends_with(0).out, positional.out, "{command:?}");
    }
}

#[test]
fn the_beginning_of_a_name_is_enough() {
    let place = place();
    place.run(&place.submit("haze.toml", &["--name", "paper-2"])).ends_with(0);
    let begun = place.run(&["status", "wh"]).ends_with(0);
    assert!(begun.out.contains("whole (complete)") && begun.err.contains("run whole"), "{}{}", begun.out, begun.err);
    let exact = place.run(&["status", "paper"]).ends_with(0);
    assert!(exact.out.contains("paper (complete)"), "{}", exact.out);
    for command in [&["status", "pap"][..], &["leaderboard", "pap"], &["query", "SELECT 1", "--run", "pap"]] {
        let said = place.run(command).ends_with(2);
        assert!(said.err.contains("several runs have names that begin with `pap`: paper, paper-2"), "{}", said.err);
        assert!(said.err.contains("hint: give more of the name"), "{}", said.err);
    }
    // What reads a store alone says which one where a coordinator is named for other commands.
    let compare = place.command(&["compare", "paper", "wh"]).env("DQA_COORDINATOR", "http://127.0.0.1:1").output();
    let compared = Said::of(&compare.unwrap());
    assert!(compared.err.contains("reads the store store directly, not through the coordinator"), "{}", compared.err);
    let near = place.run(&["report", "papr"]).ends_with(2);
    assert!(near.err.contains("there is no run `papr`") && near.err.contains("similar names: paper"), "{}", near.err);
}

/// Two models over the same pictures were twice as many rows, and their mean was of nothing.
#[test]
fn a_query_is_of_one_run_unless_several_are_asked() {
    let place = place();
    let count = "SELECT count(*) AS n, count(DISTINCT image) AS pictures FROM scores";
    let one = csv(&place, count, &[]).ends_with(0);
    assert_eq!(one.out, "n,pictures\n6,6\n");
    let by_run =
        "SELECT run, count(*) AS n, count(DISTINCT fingerprint) AS models FROM scores GROUP BY run ORDER BY run";
    assert_eq!(csv(&place, by_run, &[]).ends_with(0).out, "run,n,models\npaper,6,1\n");
    for several in [&["--run", "paper,whole"][..], &["paper", "whole"], &["--all-runs"]] {
        assert_eq!(csv(&place, by_run, several).ends_with(0).out, "run,n,models\npaper,6,1\nwhole,6,1\n");
        let mixed = csv(&place, "SELECT algorithm, avg(score) AS mean FROM scores GROUP BY 1", several).ends_with(2);
        assert!(mixed.err.contains("combines rows of the runs `paper` and `whole`"), "{}", mixed.err);
        assert!(mixed.err.contains("different models (fingerprints "), "{}", mixed.err);
        assert!(mixed.err.contains("hint: add run or fingerprint to GROUP BY"), "{}", mixed.err);
        assert_eq!(mixed.out, "");
        let together = csv(&place, count, &[several, &["--mix-runs"]].concat()).ends_with(0);
        assert_eq!(together.out, "n,pictures\n12,6\n");
        // Of the other tables that hold several runs too.
        let boards = "SELECT avg(mean_score) AS mean FROM leaderboard";
        assert!(
            csv(&place, boards, several).ends_with(2).err.contains("combines rows of the runs `paper` and `whole`")
        );
        let pinned = csv(&place, "SELECT count(*) AS n FROM scores WHERE run LIKE 'pa%'", several).ends_with(0);
        assert_eq!(pinned.out, "n\n6\n");
        let paired = csv(
            &place,
            "SELECT count(*) AS n, count(a.score - b.score) AS pairs FROM scores a JOIN scores b USING (algorithm, image)
             WHERE a.run = 'paper' AND b.run = 'whole'",
            several,
        );
        assert_eq!(paired.ends_with(0).out, "n,pairs\n6,6\n");
    }
    let unquoted = place.run(&["query", "SELECT", "algorithm", "FROM", "scores"]).ends_with(2);
    assert!(unquoted.err.contains("put the whole query in quotes"), "{}", unquoted.err);
    // One model in two runs: their pictures would count twice.
    place.run(&place.submit("haze.toml", &["--name", "small", "--algos", "dcp"])).ends_with(0);
    let twice = csv(&place, count, &["paper", "small"]).ends_with(2);
    assert!(twice.err.contains("which share pictures that would count twice"), "{}", twice.err);
    let by_fingerprint = "SELECT fingerprint, count(*) AS n FROM scores GROUP BY 1";
    let shared = csv(&place, by_fingerprint, &["paper", "small"]).ends_with(2);
    assert!(shared.err.contains("count twice") && shared.err.contains("add run to GROUP BY"), "{}", shared.err);
    assert_eq!(csv(&place, by_run, &["paper", "small"]).ends_with(0).out, "run,n,models\npaper,6,1\nsmall,3,1\n");
}

/// Two workers over a store on disk with the complete runs `r` and `s` of one model, and one in it that the coordinator was
/// not asked for.
fn cluster() -> Cluster {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze_of(6, &["dcp", "aod"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.start_worker(&[]);
    cluster.wait_for_workers(2);
    cluster.user(&cluster.submit("haze.toml", &["--name", "r", "--algos", "dcp"])).ends_with(0);
    cluster.user(&cluster.submit("haze.toml", &["--name", "s", "--shard-windows", "1"])).ends_with(0);
    cluster.store(&cluster.submit("haze.toml", &["--name", "alone", "--views", "sees=global"])).ends_with(0);
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
            let (ours, theirs) = (cluster.store(&command), cluster.user(&command));
            assert_eq!(theirs.out, ours.out, "{command:?}\n{}\n{}", theirs.err, ours.err);
            assert_eq!(theirs.code, ours.code, "{command:?}\n{}\n{}", theirs.err, ours.err);
            let first = |said: &Said| said.err.lines().next().unwrap_or_default().to_owned();
            assert_eq!(first(&theirs), first(&ours), "{command:?}: the same is said first");
        }
    }
    for said in [cluster.store(&commands[8]), cluster.user(&commands[8])] {
        assert!(said.err.contains("the table cross-dataset needs two data sets"), "{}", said.err);
    }
    // `report` writes its tables to the store from there too.
    let table = cluster.place.path("store/leaderboard/by_run=alone/leaderboard.parquet");
    std::fs::remove_file(&table).unwrap();
    cluster.user(&["report", "alone"]).ends_with(0);
    assert!(table.exists());
    let csv = cluster.user(&["workers", "--format", "csv"]).ends_with(0).out;
    assert_eq!(csv.lines().count(), 3, "{csv}");
}

#[test]
fn what_has_no_part_for_a_coordinator_says_so() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["dcp"]);
    let check = ["dataset", "check", "haze.toml"];
    let refused = place.run(&[&check[..], &["--coordinator", "http://127.0.0.1:1"]].concat()).ends_with(2);
    assert!(refused.err.contains("this command only runs on this machine"), "{}", refused.err);
    // A variable that is exported for other commands is no matter.
    let checked = place.command(&check).env("DQA_COORDINATOR", "http://127.0.0.1:1").output().unwrap();
    Said::of(&checked).ends_with(0);
    // Those that read results go where it says, all of them.
    for command in [&["runs"][..], &["status"], &["report"], &["leaderboard"], &["query", "SELECT 1"], &["workers"]] {
        let said = place.command(command).env("DQA_COORDINATOR", "http://127.0.0.1:1").output().unwrap();
        let said = Said::of(&said).ends_with(2);
        assert!(said.err.contains("the coordinator cannot be reached"), "{command:?}: {}", said.err);
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
    let place = place();
    let latest = std::fs::read_to_string(place.path("store/latest.sql")).unwrap();
    assert!(latest.contains("'paper' AS run") && latest.contains("VIEW leaderboard"), "{latest}");
    let of_run = std::fs::read_to_string(place.path("store/runs/whole/scores.sql")).unwrap();
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
    let said = Command::new(python)
        .args(["-c", script])
        .args([place.path("store/runs/whole/scores.sql"), place.path("store/latest.sql")])
        .current_dir("/")
        .output()
        .unwrap();
    let said = Said::of(&said).ends_with(0);
    assert_eq!(said.out, "[('whole', 6, 6, 1)]\n[('paper', 6, 6, 1)]\n[('paper',)] [(True,)]\n[]\n");
}
