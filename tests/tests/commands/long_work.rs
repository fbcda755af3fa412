//! Work that takes long: what a command says when it is stopped, and what goes on from there.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use dqa_tests::{CommandOutput, TIMEOUT, TestDir, wait_until};

fn setup() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze_for_training();
    dir
}

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["train", "--dataset", "haze.toml", "--model", "model", "--lr", "1e-3"];
    [&usual, more].concat()
}

fn start(dir: &TestDir, arguments: &[&str]) -> Child {
    dir.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap().success());
}

/// Interrupts a command once its standard error has a line with this text, and returns what it said after that.
fn interrupt_after(mut child: Child, text: &str) -> String {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before it said {text}");
    }
    interrupt(&child);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    rest
}

#[test]
fn a_stopped_training_says_which_epochs_are_kept() {
    let dir = setup();
    let arguments = train(&["--test-share", "0.34", "--only-splits", "2", "--epochs", "500", "--test-every", "500"]);
    let said = interrupt_after(start(&dir, &arguments), "epoch 3/500");
    let [.., stopped, kept, hint] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert_eq!((stopped, hint), ("stopped by Ctrl-C", "hint: the same command goes on from there"));
    let epochs = kept.strip_prefix("0 of 1 trainings are kept, and ").and_then(|rest| rest.split(' ').next());
    let epochs: u32 = epochs.unwrap_or_else(|| panic!("{kept}")).parse().unwrap();
    assert!(epochs >= 3 && kept.ends_with(" of 500 epochs of split 2"), "{kept}");
    let rows = dir.run(&["trainings", "--format", "json"]).exits_with(0).json_lines();
    assert_eq!(
        (&rows[0]["state"], &rows[0]["split"], &rows[0]["splits"]),
        (&"unfinished".into(), &2.into(), &10.into())
    );
    let said = interrupt_after(start(&dir, &arguments), "goes on after epoch");
    assert!(said.contains(" of 500 epochs of split 2"), "{said}");
}

#[test]
fn a_stopped_study_says_which_trainings_are_kept() {
    let dir = setup();
    let study = ["study", "ablation", "--datasets", "haze.toml", "--model", "model", "--new-splits", "2"];
    let more = ["--epochs", "1", "--set", "test_every=1", "--set", "batch_size=2"];
    let said = interrupt_after(start(&dir, &[&study[..], &more].concat()), "training 1/");
    let kept = said.lines().rev().nth(1).unwrap();
    assert!(kept.contains(" trainings are kept") && !kept.starts_with('0'), "{said}");
}

#[test]
fn stopped_commands_without_a_run_say_what_is_kept() {
    let dir = setup();
    let demo = start(&dir, &["demo", "make", "demo", "--scenes", "100000", "--width", "176", "--height", "176"]);
    let is_made = || std::fs::read_dir(dir.path("demo/clear")).is_ok_and(|mut files| files.next().is_some());
    wait_until(TIMEOUT, || "no scene is made".to_owned(), is_made);
    interrupt(&demo);
    let said = CommandOutput::new(&demo.wait_with_output().unwrap()).exits_with(130).stderr;
    assert!(said.contains("stopped by Ctrl-C\n") && said.contains(" of 100000 scenes are made and kept\n"), "{said}");
}

#[test]
fn old_names_of_flags_work_with_a_warning() {
    let dir = setup();
    let old = dir.run(&train(&["--dry-run", "--split", "2", "--split-count", "3"])).exits_with(0);
    for warning in ["--split of train is now --only-splits", "--split-count of train is now --new-splits"] {
        assert!(old.stderr.contains(&format!("warning: {warning}\n")), "{}", old.stderr);
    }
    assert!(old.stderr.contains("1 of 3 are trained on"), "{}", old.stderr);
    dir.file("dqa.toml", b"[train]\nsplit = \"2\"\n");
    let file = dir.run(&train(&["--dry-run", "--config", "dqa.toml"])).exits_with(0);
    assert!(
        file.stderr.contains("the key `split` in the configuration dqa.toml is now `only-splits`"),
        "{}",
        file.stderr
    );
    assert!(file.stderr.contains("1 of 10 are trained on"), "{}", file.stderr);
    let output = dir.command(&train(&["--dry-run"])).env("DQA_SPLIT_COUNT", "4").output().unwrap();
    let variable = CommandOutput::new(&output).exits_with(0);
    assert!(variable.stderr.contains("DQA_SPLIT_COUNT is now DQA_NEW_SPLITS"), "{}", variable.stderr);
    assert!(variable.stderr.contains("4 of 4 are trained on"), "{}", variable.stderr);
    let new = dir.run(&train(&["--dry-run", "--only-splits", "2"])).exits_with(0);
    assert!(!new.stderr.contains("warning"), "{}", new.stderr);
}

#[test]
fn a_final_training_uses_all_scenes_and_says_where_its_prompts_are() {
    let dir = setup();
    let output = dir.run(&train(&["--final", "--epochs", "1"])).exits_with(0);
    assert!(output.stderr.contains("6 pictures train, nothing tests"), "{}", output.stderr);
    assert!(output.stdout.starts_with("Trained on all scenes of haze: prompts learned"), "{}", output.stdout);
    assert!(output.stdout.contains("No scene was left to test on"), "{}", output.stdout);
    let line = output.stderr.lines().find_map(|line| line.strip_prefix("prompts: ")).unwrap();
    assert!(dir.path(line).is_file(), "{line}");
    let command = output.stderr.lines().find_map(|line| line.strip_prefix("to score with them: dqa-coord ")).unwrap();
    let command = command.replace("NAMES", "haze.toml");
    dir.run(&command.split(' ').collect::<Vec<_>>()).exits_with(0);

    let tested = dir.run(&train(&["--test-share", "0.34", "--only-splits", "1", "--epochs", "1"])).exits_with(0);
    assert!(tested.stderr.contains("hint: --final trains prompts on all scenes"), "{}", tested.stderr);
    let table = dir.run(&["trainings"]).exits_with(0).stdout;
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[1].iter().any(|cell| cell.trim() == "no test"), "{table}");
    assert!(rows[2].iter().any(|cell| cell.trim() == "1 of 10"), "{table}");
    assert!(dir.run(&["trainings", "--dataset", "other"]).exits_with(0).stderr.contains("has no trainings"));

    for (more, why) in [
        (&["--final", "--tune", "all"][..], "--final trains prompts, and --tune all trains a model"),
        (&["--final", "--select", "best-on-test"], "leaves no scene to test on"),
        (&["--final", "--only-splits", "1"], "cannot be used with"),
        (&["--final", "--test-share", "0.5"], "cannot be used with"),
    ] {
        let refused = dir.run(&train(more)).exits_with(2);
        assert!(refused.stderr.contains(why), "{more:?}: {}", refused.stderr);
    }
}

#[test]
fn what_was_kept_of_a_shard_is_reused_and_removed() {
    let dir = setup();
    let arguments = dir.submit("haze.toml", &["--name", "r"]);
    dir.run(&arguments).exits_with(0);
    let (scores, parts) = (dir.scores(), dir.parts());
    // A process that was killed between two writes leaves a part with some rows, and not the shard's own. Such a part has
    // the beginning of the shard's own name; here it is a copy of it with a name of that form.
    let own = &parts[0];
    let stem = own.file_stem().unwrap().to_str().unwrap();
    let kept = own.with_file_name(format!("{}{}.parquet", &stem[..stem.len() - 16], "0".repeat(16)));
    std::fs::rename(own, &kept).unwrap();
    let again = dir.run(&arguments).exits_with(0);
    assert!(again.stderr.contains("scored 0 pictures"), "{}", again.stderr);
    assert!(again.stderr.contains("3 pictures reused from earlier runs"), "{}", again.stderr);
    assert_eq!((dir.scores(), dir.parts()), (scores, parts), "the kept part is gone");
}
