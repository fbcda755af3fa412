//! What names stand for: a data set is its source, a run is what was asked for.

#![allow(clippy::unwrap_used)] // helpers too

use std::process::Stdio;

use dqa_testkit::Picture;
use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::{Said, TestDir};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

fn place() -> TestDir {
    TestDir::new(env!("CARGO_BIN_EXE_coord"))
}

fn submit(place: &TestDir, dataset: &str, more: &[&str]) -> Said {
    place.run(&place.submit(dataset, more))
}

/// A picture with content of its own.
fn picture(place: &TestDir, name: &str, width: usize) {
    let seed = name.bytes().fold(7u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    place.file(name, &Picture::synthetic(seed, width, 224).png());
}

/// A folder of so many scenes of each algorithm.
fn folder(place: &TestDir, name: &str, algorithms: &[&str], scenes: usize) {
    for algorithm in algorithms {
        (0..scenes).for_each(|scene| picture(place, &format!("{name}/{algorithm}/s{scene}.png"), 224));
    }
}

fn run_name(said: &Said) -> String {
    let line = said.err.lines().find_map(|line| line.strip_prefix("run ")).unwrap();
    line.split(':').next().unwrap().to_owned()
}

#[track_caller]
fn has(said: &Said, parts: &[&str]) {
    for part in parts {
        assert!(said.err.contains(part), "{part}\n--- stderr\n{}", said.err);
    }
}

#[test]
fn two_folders_of_one_name_are_two_data_sets() {
    let place = place();
    folder(&place, "o1/out", &["a", "b"], 2);
    folder(&place, "o2/out", &["a", "b"], 2);
    let first = submit(&place, "o1/out", &[]).ends_with(0);
    let scores = place.scores();

    let refused = submit(&place, "o2/out", &[]).ends_with(2);
    has(&refused, &["`out`", "o1/out/", "o2/out/", &run_name(&first), "--datasets out-2=PATH", "--redefine out"]);
    has(&submit(&place, "o2/out", &["--dry-run"]).ends_with(2), &["o1/out/"]);
    assert_eq!(place.scores(), scores, "nothing was merged");

    let named = submit(&place, "second=o2/out", &[]).ends_with(0);
    has(&named, &["scored 4 pictures"]);
    let sql = "SELECT dataset, count(*) AS n FROM scores GROUP BY 1 ORDER BY 1";
    let counts = place.run(&["query", sql, "--all-runs", "--format", "csv"]).ends_with(0);
    assert_eq!(counts.out, "dataset,n\nout,4\nsecond,4\n");

    let both = submit(&place, "o1/out,o2/out", &[]).ends_with(2);
    has(&both, &["asked for twice", "o1/out", "o2/out", "out-2=PATH"]);
    submit(&place, "o1/out,second=o2/out", &[]).ends_with(0);
}

#[test]
fn a_data_set_is_given_a_name_wherever_one_is_named() {
    let place = place();
    place.haze(&["dcp", "aod"]);
    folder(&place, "k=v/my out", &["a"], 2);
    let shown = place.run(&["dataset", "show", "x=haze.toml"]).ends_with(0);
    assert!(shown.out.contains("name = \"x\"") && shown.out.contains("6 pictures (6 labelled)"), "{}", shown.out);
    let checked = place.run(&["dataset", "check", "x=k=v/my out"]).ends_with(0);
    assert!(checked.out.contains("data set x"), "{}", checked.out);
    // A path may have the sign in it.
    std::fs::rename(place.path("k=v/my out"), place.path("k=v/out")).unwrap();
    let checked = place.run(&["dataset", "check", "k=v/out"]).ends_with(0);
    assert!(checked.out.contains("data set out"), "{}", checked.out);
    std::fs::rename(place.path("k=v"), place.path("a=b")).unwrap();
    picture(&place, "a=b/top.png", 224);
    let said = place.run(&["dataset", "check", "a=b"]).ends_with(2);
    has(&said, &["a=b"]);
    has(&place.run(&["dataset", "check", "b c=haze.toml"]).ends_with(2), &["b c"]);
    has(&place.run(&["dataset", "check", "x=hase.toml"]).ends_with(2), &["hase.toml"]);

    // Layouts and manifests go on to call it by its own name.
    folder(&place, "own/own", &["a/imgs", "b/imgs"], 2);
    let detected = place.run(&["dataset", "show", "x=own"]).ends_with(0);
    assert!(detected.out.contains("# a: 2"), "{}", detected.out);
    place.file("m.csv", b"dataset,algorithm,uri,mos\nm,dcp,haze/dcp/s0.png,1\nother,dcp,haze/dcp/s1.png,2\n");
    let manifest = place.run(&["dataset", "show", "x=m.csv"]).ends_with(0);
    assert!(manifest.out.contains("# 1 pictures"), "{}", manifest.out);
}

#[test]
fn labels_do_not_vanish_by_naming_the_folder() {
    let place = place();
    place.haze(&["dcp", "aod"]);
    let first = submit(&place, "haze.toml", &[]).ends_with(0);
    let refused = submit(&place, "haze", &[]).ends_with(2);
    has(&refused, &["`haze`", "a bare folder", "{algorithm}/{scene}.png", "but without the labels (labels.csv)"]);
    let labelled = place.query("SELECT count(mos) AS n FROM scores");
    assert_eq!(labelled[0]["n"], 6);
    let again = submit(&place, "haze.toml", &[]).ends_with(0);
    assert_eq!(again.out, first.out);
}

#[test]
fn labels_come_to_a_bare_folder_and_do_not_go_again() {
    let place = place();
    place.haze(&["dcp", "aod"]);
    let bare = submit(&place, "haze", &[]).ends_with(0);
    let definition = std::fs::read_to_string(place.path("haze.toml")).unwrap();
    place.file("haze.toml", definition.replace("{scene}.png", "{scene}.{ext}").as_bytes());
    let more = submit(&place, "haze.toml", &[]).ends_with(0);
    has(&more, &["scored 0 pictures"]);
    assert_eq!(run_name(&more), run_name(&bare));
    let refused = submit(&place, "haze", &[]).ends_with(2);
    has(&refused, &["labels.csv", "has none now", "--redefine haze"]);
    assert_eq!(place.query("SELECT count(mos) AS n FROM scores")[0]["n"], 6);
    submit(&place, "haze", &["--redefine", "haze"]).ends_with(0);

    // A manifest whose column of labels is gone.
    place.file("m.csv", b"algorithm,uri,mos\ndcp,haze/dcp/s0.png,1\ndcp,haze/dcp/s1.png,2\n");
    submit(&place, "m.csv", &[]).ends_with(0);
    place.file("m.csv", b"algorithm,uri\ndcp,haze/dcp/s0.png\ndcp,haze/dcp/s1.png\n");
    has(&submit(&place, "m.csv", &[]).ends_with(2), &["had labels", "m.csv"]);
}

#[test]
fn a_data_set_that_moved_goes_on_without_scoring() {
    let place = place();
    folder(&place, "mnt/one/out", &["a", "b"], 2);
    submit(&place, "mnt/one/out", &[]).ends_with(0);
    let scores = place.scores();
    std::fs::rename(place.path("mnt/one"), place.path("mnt/two")).unwrap();
    has(&submit(&place, "mnt/two/out", &[]).ends_with(2), &["--redefine out"]);
    let moved = submit(&place, "mnt/two/out", &["--redefine", "out"]).ends_with(0);
    has(&moved, &["scored 0 pictures"]);
    submit(&place, "mnt/two/out", &[]).ends_with(0);
    assert_eq!(place.scores(), scores);
    // Mounted at the first place again, or at both: it is known.
    std::fs::rename(place.path("mnt/two"), place.path("mnt/one")).unwrap();
    has(&submit(&place, "mnt/one/out", &[]).ends_with(0), &["nothing to score"]);
    has(&submit(&place, "mnt/one/out", &["--redefine", "oout"]).ends_with(2), &["--redefine names `oout`"]);
}

#[test]
fn of_two_submits_at_once_one_has_the_name() {
    let place = place();
    folder(&place, "o1/out", &["a"], 1);
    folder(&place, "o2/out", &["a"], 1);
    let arguments = ["o1/out", "o2/out"].map(|dataset| place.submit(dataset, &[]));
    let started = arguments
        .map(|arguments| place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let ended = started.map(|child| Said::of(&child.wait_with_output().unwrap()));
    let mut codes = [ended[0].code, ended[1].code];
    codes.sort_unstable();
    assert_eq!(codes, [0, 2], "{}\n{}", ended[0].err, ended[1].err);
    assert_eq!(place.scores().len(), 1);
    assert_eq!(place.parts().len(), 1);
}

#[test]
fn an_older_store_knows_its_data_sets() {
    let place = place();
    folder(&place, "o1/out", &["a"], 2);
    folder(&place, "o2/out", &["a"], 2);
    let first = submit(&place, "o1/out", &[]).ends_with(0);
    // As an older version left it: with records of runs, and without the data sets'.
    std::fs::remove_dir_all(place.path("store/datasets")).unwrap();
    has(&submit(&place, "o2/out", &[]).ends_with(2), &["o1/out/", &run_name(&first)]);
    // With parts alone.
    let runs = place.path("store/runs");
    std::fs::rename(&runs, place.path("runs")).unwrap();
    has(&submit(&place, "o2/out", &[]).ends_with(2), &["o1/out/", &run_name(&first)]);
    std::fs::rename(place.path("runs"), &runs).unwrap();
    has(&submit(&place, "o1/out", &[]).ends_with(0), &["nothing to score"]);
    assert!(place.path("store/datasets/out.json").exists());
}

#[test]
fn a_run_s_name_is_not_taken_by_another() {
    let place = place();
    folder(&place, "one", &["a", "b"], 2);
    folder(&place, "two", &["a", "b"], 2);
    let exp = |dataset: &str, more: &[&str]| submit(&place, dataset, &[&["--name", "exp"], more].concat());
    exp("one", &["--algos", "a"]).ends_with(0);
    let other = exp("two", &[]).ends_with(2);
    has(&other, &["run `exp`", "data sets (one and two)", "another --name"]);
    let other = exp("one", &["--algos", "b"]).ends_with(2);
    has(&other, &["algorithms of one (a and b)"]);
    let other = exp("one", &["--views", "sees=global"]).ends_with(2);
    has(&other, &["views (sees=both"]);
    assert_eq!(place.query("SELECT DISTINCT dataset FROM scores").len(), 1, "nothing was scored");
    // More of the same goes on.
    has(&exp("one", &["--algos", "a,b"]).ends_with(0), &["scored 2 pictures"]);
    has(&exp("one,two", &[]).ends_with(0), &["scored 4 pictures"]);
    has(&exp("one", &[]).ends_with(2), &["data sets (one, two and one)"]);
}

#[test]
fn one_request_has_one_name_however_it_is_written() {
    let place = place();
    folder(&place, "d/one", &["a", "b"], 1);
    folder(&place, "d/two", &["a", "b"], 1);
    place.file("d/def.toml", b"name = \"def\"\nroot = \"one\"\nlayout = \"{algorithm}/{scene}.png\"\n");
    std::os::unix::fs::symlink(place.path("d"), place.path("link")).unwrap();
    let absolute = place.path("d/one").canonicalize().unwrap().display().to_string();
    let planned = |dataset: &str, more: &[&str]| {
        run_name(&submit(&place, dataset, &[&["--dry-run"], more].concat()).ends_with(0))
    };
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
    submit(&place, "d/one,d/two", &[]).ends_with(0);
    has(&submit(&place, "d/two,d/one", &[]).ends_with(0), &["nothing to score"]);
}

#[test]
fn algorithms_that_a_data_set_lacks_are_said() {
    let place = place();
    folder(&place, "one", &["a", "both"], 2);
    folder(&place, "two", &["bee", "both"], 2);
    let refused = submit(&place, "one,two", &["--algos", "a,both"]).ends_with(2);
    has(&refused, &["`two`", "`a`", "--allow-missing"]);
    let refused = submit(&place, "one,two", &["--algos", "bo,beee"]).ends_with(2);
    has(&refused, &["`one` has no algorithm `bo`", "`two` has no algorithm `beee`", "near to it: bee"]);
    let taken = submit(&place, "one,two", &["--algos", "a", "--allow-missing"]).ends_with(0);
    has(&taken, &["data set two: it lacks the algorithms `a`, and is left out of the run"]);
    let taken = submit(&place, "one,two", &["--algos", "a,both", "--allow-missing"]).ends_with(0);
    has(&taken, &["data set two: it lacks the algorithms `a`\n"]);
    submit(&place, "one", &["--algos", "c", "--allow-missing"]).ends_with(2);
}

/// With inputs that a definition names, one of another size than its picture.
fn with_inputs(place: &TestDir) {
    folder(place, "set", &["a", "b"], 3);
    for scene in 0..3 {
        picture(place, &format!("inputs/s{scene}.png"), if scene == 1 { 288 } else { 224 });
    }
    place.file(
        "set.toml",
        b"name = \"set\"\nroot = \"set\"\nlayout = \"{algorithm}/{scene}.png\"\n[hazy]\nroot = \"inputs\"\nlayout = \"{scene}.png\"\n",
    );
}

#[test]
fn submit_and_check_see_the_same_sizes() {
    let place = place();
    with_inputs(&place);
    let checked = place.run(&["dataset", "check", "set.toml"]).ends_with(1);
    let submitted = submit(&place, "set.toml", &[]).ends_with(0);
    let counts = |text: &str| {
        let lines =
            text.lines().filter(|line| line.starts_with("a  ") || line.starts_with("b  ") || line.contains("hazy"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(counts(&submitted.err), counts(&checked.out));
    has(&submitted, &["its hazy input 288x224"]);
}

#[test]
fn the_hazy_inputs_are_rows_where_they_are_asked_for() {
    let place = place();
    with_inputs(&place);
    let without = submit(&place, "set.toml", &[]).ends_with(0);
    let with = submit(&place, "set.toml", &["--with-hazy"]).ends_with(0);
    has(&with, &["scored 3 pictures"]);
    assert_ne!(run_name(&with), run_name(&without));
    let rows = place.query("SELECT scene FROM scores WHERE algorithm = 'hazy' ORDER BY 1");
    assert_eq!(rows.len(), 3);
    let record = std::fs::read_to_string(place.path(&format!("store/runs/{}/run.json", run_name(&with)))).unwrap();
    assert!(record.contains("\"hazy\": \"hazy\""), "{record}");
    let record = std::fs::read_to_string(place.path(&format!("store/runs/{}/run.json", run_name(&without)))).unwrap();
    assert!(!record.contains("\"hazy\": \""), "{record}");
    has(&submit(&place, "set.toml", &["--with-hazy"]).ends_with(0), &["nothing to score"]);

    // Under a given name they are added, and not dropped again.
    submit(&place, "set.toml", &["--name", "exp", "--algos", "a"]).ends_with(0);
    submit(&place, "set.toml", &["--name", "exp", "--algos", "a", "--with-hazy"]).ends_with(0);
    has(&submit(&place, "set.toml", &["--name", "exp", "--algos", "a"]).ends_with(2), &["--with-hazy"]);

    folder(&place, "none", &["a"], 1);
    has(&submit(&place, "none", &["--with-hazy"]).ends_with(2), &["`none` names no hazy inputs", "[hazy]"]);
}

#[test]
fn folders_of_inputs_and_references_are_no_algorithms() {
    let place = place();
    folder(&place, "out", &["a", "b", "hazy", "GT"], 2);
    picture(&place, "out/hazy/more.png", 224);
    let checked = place.run(&["dataset", "check", "out"]).ends_with(0);
    assert!(checked.out.contains("2 algorithms x 2 scenes"), "{}", checked.out);
    assert!(checked.out.contains("`hazy` (3 pictures) is taken for the hazy inputs"), "{}", checked.out);
    assert!(checked.out.contains("`GT` (2 pictures) is taken for references"), "{}", checked.out);
    let said = submit(&place, "out", &[]).ends_with(0);
    has(&said, &["scored 4 pictures", "`GT` (2 pictures)", "--algos all,hazy"]);
    let with = submit(&place, "out", &["--with-hazy"]).ends_with(0);
    has(&with, &["scored 2 pictures", "1 hazy inputs are not scored"]);
    let ranked = submit(&place, "out", &["--algos", "a,GT"]).ends_with(0);
    has(&ranked, &["scored 2 pictures"]);
    assert!(ranked.out.contains("GT"), "{}", ranked.out);
    let all = submit(&place, "out", &["--algos", "all,GT"]).ends_with(0);
    assert!(all.out.contains("GT") && all.out.contains("  b "), "{}", all.out);

    // Alone they are what is to be scored; an alias makes an algorithm of one.
    folder(&place, "inputs", &["hazy"], 2);
    has(&submit(&place, "inputs", &[]).ends_with(0), &["scored 2 pictures"]);
    place.file(
        "named.toml",
        b"name = \"named\"\nroot = \"out\"\nlayout = \"{algorithm}/{scene}.png\"\n[algorithms]\nGT = \"truth\"\n",
    );
    let shown = place.run(&["dataset", "show", "named.toml"]).ends_with(0);
    assert!(shown.out.contains("# truth: 2") && !shown.out.contains("# hazy: "), "{}", shown.out);
}

#[test]
fn a_run_that_ranked_a_folder_of_references_says_what_changed() {
    let place = place();
    folder(&place, "out", &["a", "b", "clear"], 2);
    // As an older version did it: it took every folder for an algorithm's.
    let older = submit(&place, "out", &["--algos", "all,clear", "--name", "exp"]).ends_with(0);
    assert!(older.out.contains("clear"), "{}", older.out);
    let now = submit(&place, "out", &["--name", "exp"]).ends_with(0);
    has(&now, &["run exp had ranked `clear` of data set out", "--algos all,clear"]);
}

#[test]
fn training_uses_names_as_scoring_does() {
    let place = place();
    place.haze(&["dcp", "aod"]);
    submit(&place, "haze.toml", &[]).ends_with(0);
    folder(&place, "other/haze", &["dcp", "aod"], 3);
    let definition = std::fs::read_to_string(place.path("haze.toml")).unwrap();
    place.file("other/haze.toml", definition.as_bytes());
    place.file("other/haze/labels.csv", &std::fs::read(place.path("haze/labels.csv")).unwrap());
    let train = |dataset: &str, more: &[&str]| {
        place.run(
            &[&["train", "--dataset", dataset, "--model", "model", "--label-range", "0,100", "--dry-run"], more]
                .concat(),
        )
    };
    has(&train("other/haze.toml", &[]).ends_with(2), &["`haze`", "other/haze/", "--redefine haze"]);
    train("haze.toml", &[]).ends_with(0);
    train("other=other/haze.toml", &[]).ends_with(0);
    train("other/haze.toml", &["--redefine", "haze"]).ends_with(0);
}

#[test]
fn a_coordinator_keeps_names_as_a_process_does() {
    let mut cluster = Cluster::local(PROGRAMS);
    with_inputs(&cluster.place);
    folder(&cluster.place, "o1/out", &["a"], 2);
    folder(&cluster.place, "o2/out", &["a"], 2);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    let asked = cluster.user(&cluster.submit("o1/out", &[])).ends_with(0);
    let refused = cluster.user(&cluster.submit("o2/out", &[])).ends_with(2);
    has(&refused, &["`out`", "o1/out/", "o2/out/", &run_name(&asked), "--redefine out"]);
    has(&cluster.store(&cluster.submit("o2/out", &[])).ends_with(2), &["o1/out/"]);
    cluster.user(&cluster.submit("second=o2/out", &[])).ends_with(0);
    let exp = |dataset: &'static str, more: &[&'static str]| {
        cluster.user(&cluster.submit(dataset, &[&["--name", "exp"], more].concat()))
    };
    exp("o1/out", &[]).ends_with(0);
    has(&exp("second=o2/out", &[]).ends_with(2), &["run `exp`", "data sets (out and second)", "another --name"]);

    let with = cluster.user(&cluster.submit("set.toml", &["--with-hazy"])).ends_with(0);
    let alone = cluster.store(&cluster.submit("set.toml", &["--with-hazy"])).ends_with(0);
    assert_eq!(run_name(&with), run_name(&alone));
    has(&alone, &["nothing to score"]);
    let rows = cluster.query("SELECT scene FROM scores WHERE algorithm = 'hazy'");
    assert_eq!(rows.len(), 3);

    // Moved: the coordinator takes the other place for the same data set.
    std::fs::rename(cluster.place.path("o1"), cluster.place.path("o3")).unwrap();
    has(&cluster.user(&cluster.submit("o3/out", &[])).ends_with(2), &["--redefine out"]);
    cluster.user(&cluster.submit("o3/out", &["--redefine", "out"])).ends_with(0);
}
