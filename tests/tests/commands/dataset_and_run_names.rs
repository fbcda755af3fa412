//! Names of data sets and runs: a data set's name stands for its source, a run's name for its request.

use std::process::Stdio;

use dqa_testkit::Picture;
use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::{CommandOutput, TestDir};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

fn setup() -> TestDir {
    TestDir::new(env!("CARGO_BIN_EXE_coord"))
}

fn submit(dir: &TestDir, dataset: &str, more: &[&str]) -> CommandOutput {
    dir.run(&dir.submit(dataset, more))
}

/// A picture with content of its own.
fn picture(dir: &TestDir, name: &str, width: usize) {
    let seed = name.bytes().fold(7u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    dir.file(name, &Picture::synthetic(seed, width, 224).png());
}

/// A folder of so many scenes of each algorithm.
fn folder(dir: &TestDir, name: &str, algorithms: &[&str], scenes: usize) {
    for algorithm in algorithms {
        (0..scenes).for_each(|scene| picture(dir, &format!("{name}/{algorithm}/s{scene}.png"), 224));
    }
}

#[track_caller]
fn has(output: &CommandOutput, parts: &[&str]) {
    for part in parts {
        assert!(output.stderr.contains(part), "{part}\n--- stderr\n{}", output.stderr);
    }
}

#[test]
fn two_folders_of_one_name_are_two_data_sets() {
    let dir = setup();
    folder(&dir, "o1/out", &["a", "b"], 2);
    folder(&dir, "o2/out", &["a", "b"], 2);
    let first = submit(&dir, "o1/out", &[]).exits_with(0);
    let scores = dir.scores();

    let refused = submit(&dir, "o2/out", &[]).exits_with(2);
    has(&refused, &["`out`", "o1/out/", "o2/out/", &first.run_name(), "--datasets out-2=PATH", "--redefine out"]);
    has(&submit(&dir, "o2/out", &["--dry-run"]).exits_with(2), &["o1/out/"]);
    assert_eq!(dir.scores(), scores, "nothing was merged");

    let named = submit(&dir, "second=o2/out", &[]).exits_with(0);
    has(&named, &["scored 4 pictures"]);
    let sql = "SELECT dataset, count(*) AS n FROM scores GROUP BY 1 ORDER BY 1";
    let counts = dir.run(&["query", sql, "--all-runs", "--format", "csv"]).exits_with(0);
    assert_eq!(counts.stdout, "dataset,n\nout,4\nsecond,4\n");

    let both = submit(&dir, "o1/out,o2/out", &[]).exits_with(2);
    has(&both, &["asked for twice", "o1/out", "o2/out", "out-2=PATH"]);
    submit(&dir, "o1/out,second=o2/out", &[]).exits_with(0);
}

#[test]
fn a_data_set_is_given_a_name_wherever_one_is_named() {
    let dir = setup();
    dir.haze(&["dcp", "aod"]);
    folder(&dir, "k=v/my out", &["a"], 2);
    let shown = dir.run(&["dataset", "show", "x=haze.toml"]).exits_with(0);
    assert!(
        shown.stdout.contains("name = \"x\"") && shown.stdout.contains("6 pictures (6 labelled)"),
        "{}",
        shown.stdout
    );
    let checked = dir.run(&["dataset", "check", "x=k=v/my out"]).exits_with(0);
    assert!(checked.stdout.contains("data set x"), "{}", checked.stdout);
    // A path may have the sign in it.
    std::fs::rename(dir.path("k=v/my out"), dir.path("k=v/out")).unwrap();
    let checked = dir.run(&["dataset", "check", "k=v/out"]).exits_with(0);
    assert!(checked.stdout.contains("data set out"), "{}", checked.stdout);
    std::fs::rename(dir.path("k=v"), dir.path("a=b")).unwrap();
    picture(&dir, "a=b/top.png", 224);
    let output = dir.run(&["dataset", "check", "a=b"]).exits_with(2);
    has(&output, &["a=b"]);
    has(&dir.run(&["dataset", "check", "b c=haze.toml"]).exits_with(2), &["b c"]);
    has(&dir.run(&["dataset", "check", "x=hase.toml"]).exits_with(2), &["hase.toml"]);

    // Layouts and manifests go on to call it by its own name.
    folder(&dir, "own/own", &["a/imgs", "b/imgs"], 2);
    let detected = dir.run(&["dataset", "show", "x=own"]).exits_with(0);
    assert!(detected.stdout.contains("# a: 2"), "{}", detected.stdout);
    dir.file("m.csv", b"dataset,algorithm,uri,mos\nm,dcp,haze/dcp/s0.png,1\nother,dcp,haze/dcp/s1.png,2\n");
    let manifest = dir.run(&["dataset", "show", "x=m.csv"]).exits_with(0);
    assert!(manifest.stdout.contains("# 1 picture "), "{}", manifest.stdout);
}

#[test]
fn naming_the_folder_does_not_drop_labels() {
    let dir = setup();
    dir.haze(&["dcp", "aod"]);
    let first = submit(&dir, "haze.toml", &[]).exits_with(0);
    let refused = submit(&dir, "haze", &[]).exits_with(2);
    has(&refused, &["`haze`", "a bare folder", "{algorithm}/{scene}.png", "but without the labels (labels.csv)"]);
    let labelled = dir.query("SELECT count(mos) AS n FROM scores");
    assert_eq!(labelled[0]["n"], 6);
    let again = submit(&dir, "haze.toml", &[]).exits_with(0);
    assert_eq!(again.stdout, first.stdout);
}

#[test]
fn labels_can_be_added_to_a_bare_folder_but_not_dropped() {
    let dir = setup();
    dir.haze(&["dcp", "aod"]);
    let bare = submit(&dir, "haze", &[]).exits_with(0);
    let definition = std::fs::read_to_string(dir.path("haze.toml")).unwrap();
    dir.file("haze.toml", definition.replace("{scene}.png", "{scene}.{ext}").as_bytes());
    let more = submit(&dir, "haze.toml", &[]).exits_with(0);
    has(&more, &["scored 0 pictures"]);
    assert_eq!(more.run_name(), bare.run_name());
    let refused = submit(&dir, "haze", &[]).exits_with(2);
    has(&refused, &["labels.csv", "has none now", "--redefine haze"]);
    assert_eq!(dir.query("SELECT count(mos) AS n FROM scores")[0]["n"], 6);
    submit(&dir, "haze", &["--redefine", "haze"]).exits_with(0);

    // A manifest whose column of labels is gone.
    dir.file("m.csv", b"algorithm,uri,mos\ndcp,haze/dcp/s0.png,1\ndcp,haze/dcp/s1.png,2\n");
    submit(&dir, "m.csv", &[]).exits_with(0);
    dir.file("m.csv", b"algorithm,uri\ndcp,haze/dcp/s0.png\ndcp,haze/dcp/s1.png\n");
    has(&submit(&dir, "m.csv", &[]).exits_with(2), &["had labels", "m.csv"]);
}

#[test]
fn a_moved_data_set_is_not_scored_again() {
    let dir = setup();
    folder(&dir, "mnt/one/out", &["a", "b"], 2);
    submit(&dir, "mnt/one/out", &[]).exits_with(0);
    let scores = dir.scores();
    std::fs::rename(dir.path("mnt/one"), dir.path("mnt/two")).unwrap();
    has(&submit(&dir, "mnt/two/out", &[]).exits_with(2), &["--redefine out"]);
    let moved = submit(&dir, "mnt/two/out", &["--redefine", "out"]).exits_with(0);
    has(&moved, &["scored 0 pictures"]);
    submit(&dir, "mnt/two/out", &[]).exits_with(0);
    assert_eq!(dir.scores(), scores);
    // Mounted at the first place again, or at both: it is known.
    std::fs::rename(dir.path("mnt/two"), dir.path("mnt/one")).unwrap();
    has(&submit(&dir, "mnt/one/out", &[]).exits_with(0), &["nothing to score"]);
    has(&submit(&dir, "mnt/one/out", &["--redefine", "oout"]).exits_with(2), &["--redefine names `oout`"]);
}

#[test]
fn one_of_two_concurrent_submits_gets_the_name() {
    let dir = setup();
    folder(&dir, "o1/out", &["a"], 1);
    folder(&dir, "o2/out", &["a"], 1);
    let arguments = ["o1/out", "o2/out"].map(|dataset| dir.submit(dataset, &[]));
    let started = arguments
        .map(|arguments| dir.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let ended = started.map(|child| CommandOutput::new(&child.wait_with_output().unwrap()));
    let mut codes = [ended[0].code, ended[1].code];
    codes.sort_unstable();
    assert_eq!(codes, [0, 2], "{}\n{}", ended[0].stderr, ended[1].stderr);
    assert_eq!(dir.scores().len(), 1);
    assert_eq!(dir.parts().len(), 1);
}

#[test]
fn an_older_store_knows_its_data_sets() {
    let dir = setup();
    folder(&dir, "o1/out", &["a"], 2);
    folder(&dir, "o2/out", &["a"], 2);
    let first = submit(&dir, "o1/out", &[]).exits_with(0);
    // As an older version left it: with records of runs, and without the data sets'.
    std::fs::remove_dir_all(dir.path("store/datasets")).unwrap();
    has(&submit(&dir, "o2/out", &[]).exits_with(2), &["o1/out/", &first.run_name()]);
    // With parts alone.
    let runs = dir.path("store/runs");
    std::fs::rename(&runs, dir.path("runs")).unwrap();
    has(&submit(&dir, "o2/out", &[]).exits_with(2), &["o1/out/", &first.run_name()]);
    std::fs::rename(dir.path("runs"), &runs).unwrap();
    has(&submit(&dir, "o1/out", &[]).exits_with(0), &["nothing to score"]);
    assert!(dir.path("store/datasets/out.json").exists());
}

#[test]
fn a_run_s_name_is_not_taken_by_another() {
    let dir = setup();
    folder(&dir, "one", &["a", "b"], 2);
    folder(&dir, "two", &["a", "b"], 2);
    let exp = |dataset: &str, more: &[&str]| submit(&dir, dataset, &[&["--name", "exp"], more].concat());
    exp("one", &["--algos", "a"]).exits_with(0);
    let other = exp("two", &[]).exits_with(2);
    has(&other, &["run `exp`", "data sets (one and two)", "another --name"]);
    let other = exp("one", &["--algos", "b"]).exits_with(2);
    has(&other, &["algorithms of one (a and b)"]);
    let other = exp("one", &["--views", "sees=global"]).exits_with(2);
    has(&other, &["views (sees=both"]);
    assert_eq!(dir.query("SELECT DISTINCT dataset FROM scores").len(), 1, "nothing was scored");
    // More of the same goes on.
    has(&exp("one", &["--algos", "a,b"]).exits_with(0), &["scored 2 pictures"]);
    has(&exp("one,two", &[]).exits_with(0), &["scored 4 pictures"]);
    has(&exp("one", &[]).exits_with(2), &["data sets (one, two and one)"]);
}

#[test]
fn one_request_has_one_name_however_it_is_written() {
    let dir = setup();
    folder(&dir, "d/one", &["a", "b"], 1);
    folder(&dir, "d/two", &["a", "b"], 1);
    dir.file("d/def.toml", b"name = \"def\"\nroot = \"one\"\nlayout = \"{algorithm}/{scene}.png\"\n");
    std::os::unix::fs::symlink(dir.path("d"), dir.path("link")).unwrap();
    let absolute = dir.path("d/one").canonicalize().unwrap().display().to_string();
    let planned =
        |dataset: &str, more: &[&str]| submit(&dir, dataset, &[&["--dry-run"], more].concat()).exits_with(0).run_name();
    let name = planned("d/one", &[]);
    let forms = [
        "d/one/",
        "./d/one",
        "d/../d/one/.",
        "link/one",
        &absolute,
        &format!("{absolute}/"),
        &format!("file://{absolute}"),
        &format!("file://{absolute}/"),
        &format!("one={absolute}"),
    ];
    for form in forms {
        assert_eq!(planned(form, &[]), name, "{form}");
    }
    let definition = planned("d/def.toml", &[]);
    for form in ["./d/def.toml", "d/../d/def.toml", "link/def.toml", &format!("{absolute}/../def.toml")] {
        assert_eq!(planned(form, &[]), definition, "{form}");
    }
    assert_eq!(planned("d/one,d/two", &["--algos", "a,b"]), planned("d/two,d/one", &["--algos", "b,a"]));
    // And one run in either order.
    submit(&dir, "d/one,d/two", &[]).exits_with(0);
    has(&submit(&dir, "d/two,d/one", &[]).exits_with(0), &["nothing to score"]);
}

#[test]
fn missing_algorithms_are_reported() {
    let dir = setup();
    folder(&dir, "one", &["a", "both"], 2);
    folder(&dir, "two", &["bee", "both"], 2);
    let refused = submit(&dir, "one,two", &["--algos", "a,both"]).exits_with(2);
    has(&refused, &["`two`", "`a`", "--allow-missing"]);
    let refused = submit(&dir, "one,two", &["--algos", "bo,beee"]).exits_with(2);
    has(&refused, &["`one` has no algorithm `bo`", "`two` has no algorithm `beee`", "similar names: bee"]);
    let taken = submit(&dir, "one,two", &["--algos", "a", "--allow-missing"]).exits_with(0);
    has(&taken, &["data set two: it lacks the algorithms `a`, and is left out of the run"]);
    let taken = submit(&dir, "one,two", &["--algos", "a,both", "--allow-missing"]).exits_with(0);
    has(&taken, &["data set two: it lacks the algorithms `a`\n"]);
    submit(&dir, "one", &["--algos", "c", "--allow-missing"]).exits_with(2);
}

/// With inputs that a definition names, one of another size than its picture.
fn with_inputs(dir: &TestDir) {
    folder(dir, "set", &["a", "b"], 3);
    for scene in 0..3 {
        picture(dir, &format!("inputs/s{scene}.png"), if scene == 1 { 288 } else { 224 });
    }
    dir.file(
        "set.toml",
        b"name = \"set\"\nroot = \"set\"\nlayout = \"{algorithm}/{scene}.png\"\n[hazy]\nroot = \"inputs\"\nlayout = \"{scene}.png\"\n",
    );
}

#[test]
fn submit_and_check_see_the_same_sizes() {
    let dir = setup();
    with_inputs(&dir);
    let checked = dir.run(&["dataset", "check", "set.toml"]).exits_with(1);
    let submitted = submit(&dir, "set.toml", &[]).exits_with(0);
    let counts = |text: &str| {
        let lines =
            text.lines().filter(|line| line.starts_with("a  ") || line.starts_with("b  ") || line.contains("hazy"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(counts(&submitted.stderr), counts(&checked.stdout));
    has(&submitted, &["its hazy input 288x224"]);
}

#[test]
fn hazy_inputs_are_scored_on_request() {
    let dir = setup();
    with_inputs(&dir);
    let without = submit(&dir, "set.toml", &[]).exits_with(0);
    let with = submit(&dir, "set.toml", &["--with-hazy"]).exits_with(0);
    has(&with, &["scored 3 pictures"]);
    assert_ne!(with.run_name(), without.run_name());
    let rows = dir.query("SELECT scene FROM scores WHERE algorithm = 'hazy' ORDER BY 1");
    assert_eq!(rows.len(), 3);
    let record = std::fs::read_to_string(dir.path(&format!("store/runs/{}/run.json", with.run_name()))).unwrap();
    assert!(record.contains("\"hazy\": \"hazy\""), "{record}");
    let record = std::fs::read_to_string(dir.path(&format!("store/runs/{}/run.json", without.run_name()))).unwrap();
    assert!(!record.contains("\"hazy\": \""), "{record}");
    has(&submit(&dir, "set.toml", &["--with-hazy"]).exits_with(0), &["nothing to score"]);

    // Under a given name they are added, and not dropped again.
    submit(&dir, "set.toml", &["--name", "exp", "--algos", "a"]).exits_with(0);
    submit(&dir, "set.toml", &["--name", "exp", "--algos", "a", "--with-hazy"]).exits_with(0);
    has(&submit(&dir, "set.toml", &["--name", "exp", "--algos", "a"]).exits_with(2), &["--with-hazy"]);

    folder(&dir, "none", &["a"], 1);
    has(&submit(&dir, "none", &["--with-hazy"]).exits_with(2), &["`none` names no hazy inputs", "[hazy]"]);
}

#[test]
fn folders_of_inputs_and_references_are_not_algorithms() {
    let dir = setup();
    folder(&dir, "out", &["a", "b", "hazy", "GT"], 2);
    picture(&dir, "out/hazy/more.png", 224);
    let checked = dir.run(&["dataset", "check", "out"]).exits_with(0);
    assert!(checked.stdout.contains("2 algorithms x 2 scenes"), "{}", checked.stdout);
    assert!(checked.stdout.contains("`hazy` (3 pictures) is taken for the hazy inputs"), "{}", checked.stdout);
    assert!(checked.stdout.contains("`GT` (2 pictures) is taken for references"), "{}", checked.stdout);
    let output = submit(&dir, "out", &[]).exits_with(0);
    has(&output, &["scored 4 pictures", "`GT` (2 pictures)", "--algos all,hazy"]);
    let with = submit(&dir, "out", &["--with-hazy"]).exits_with(0);
    has(&with, &["scored 2 pictures", "1 hazy inputs are not scored"]);
    let ranked = submit(&dir, "out", &["--algos", "a,GT"]).exits_with(0);
    has(&ranked, &["scored 2 pictures"]);
    assert!(ranked.stdout.contains("GT"), "{}", ranked.stdout);
    let all = submit(&dir, "out", &["--algos", "all,GT"]).exits_with(0);
    assert!(all.stdout.contains("GT") && all.stdout.contains("  b "), "{}", all.stdout);

    // Alone they are what is to be scored; an alias makes an algorithm of one.
    folder(&dir, "inputs", &["hazy"], 2);
    has(&submit(&dir, "inputs", &[]).exits_with(0), &["scored 2 pictures"]);
    dir.file(
        "named.toml",
        b"name = \"named\"\nroot = \"out\"\nlayout = \"{algorithm}/{scene}.png\"\n[algorithms]\nGT = \"truth\"\n",
    );
    let shown = dir.run(&["dataset", "show", "named.toml"]).exits_with(0);
    assert!(shown.stdout.contains("# truth: 2") && !shown.stdout.contains("# hazy: "), "{}", shown.stdout);
}

#[test]
fn a_run_that_ranked_a_folder_of_references_says_what_changed() {
    let dir = setup();
    folder(&dir, "out", &["a", "b", "clear"], 2);
    // As an older version did it: it took every folder for an algorithm's.
    let older = submit(&dir, "out", &["--algos", "all,clear", "--name", "exp"]).exits_with(0);
    assert!(older.stdout.contains("clear"), "{}", older.stdout);
    let now = submit(&dir, "out", &["--name", "exp"]).exits_with(0);
    has(&now, &["run exp had ranked `clear` of data set out", "--algos all,clear"]);
}

#[test]
fn training_uses_names_as_scoring_does() {
    let dir = setup();
    dir.haze(&["dcp", "aod"]);
    submit(&dir, "haze.toml", &[]).exits_with(0);
    folder(&dir, "other/haze", &["dcp", "aod"], 3);
    let definition = std::fs::read_to_string(dir.path("haze.toml")).unwrap();
    dir.file("other/haze.toml", definition.as_bytes());
    dir.file("other/haze/labels.csv", &std::fs::read(dir.path("haze/labels.csv")).unwrap());
    let train = |dataset: &str, more: &[&str]| {
        dir.run(
            &[&["train", "--dataset", dataset, "--model", "model", "--label-range", "0,100", "--dry-run"], more]
                .concat(),
        )
    };
    has(&train("other/haze.toml", &[]).exits_with(2), &["`haze`", "other/haze/", "--redefine haze"]);
    train("haze.toml", &[]).exits_with(0);
    train("other=other/haze.toml", &[]).exits_with(0);
    train("other/haze.toml", &["--redefine", "haze"]).exits_with(0);
}

#[test]
fn a_coordinator_keeps_names_as_a_process_does() {
    let mut cluster = Cluster::local(PROGRAMS);
    with_inputs(&cluster.dir);
    folder(&cluster.dir, "o1/out", &["a"], 2);
    folder(&cluster.dir, "o2/out", &["a"], 2);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    let asked = cluster.run(&cluster.submit("o1/out", &[])).exits_with(0);
    let refused = cluster.run(&cluster.submit("o2/out", &[])).exits_with(2);
    has(&refused, &["`out`", "o1/out/", "o2/out/", &asked.run_name(), "--redefine out"]);
    has(&cluster.run_on_store(&cluster.submit("o2/out", &[])).exits_with(2), &["o1/out/"]);
    cluster.run(&cluster.submit("second=o2/out", &[])).exits_with(0);
    let exp = |dataset: &'static str, more: &[&'static str]| {
        cluster.run(&cluster.submit(dataset, &[&["--name", "exp"], more].concat()))
    };
    exp("o1/out", &[]).exits_with(0);
    has(&exp("second=o2/out", &[]).exits_with(2), &["run `exp`", "data sets (out and second)", "another --name"]);

    let with = cluster.run(&cluster.submit("set.toml", &["--with-hazy"])).exits_with(0);
    let alone = cluster.run_on_store(&cluster.submit("set.toml", &["--with-hazy"])).exits_with(0);
    assert_eq!(with.run_name(), alone.run_name());
    has(&alone, &["nothing to score"]);
    let rows = cluster.query("SELECT scene FROM scores WHERE algorithm = 'hazy'");
    assert_eq!(rows.len(), 3);

    // Moved: the coordinator takes the other place for the same data set.
    std::fs::rename(cluster.dir.path("o1"), cluster.dir.path("o3")).unwrap();
    has(&cluster.run(&cluster.submit("o3/out", &[])).exits_with(2), &["--redefine out"]);
    cluster.run(&cluster.submit("o3/out", &["--redefine", "out"])).exits_with(0);
}
