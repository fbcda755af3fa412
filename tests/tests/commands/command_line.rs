//! What users give to the programs: the help of every command, the configuration file of both programs, built-in data sets
//! and models, and what the programs say about a wrong address.

use dqa_pipelines::result_page::TEXT_WIDTH;
use dqa_service::program::SECTIONS;
use dqa_service::program::help::{self, SCREEN_LINES, headings};
use dqa_tests::{TestDir, one_line};

fn programs() -> [clap::Command; 2] {
    [dqa_coordinator::cli::command(), dqa_worker::cli::command()]
}

#[test]
fn every_help_fits_its_screens() {
    let mut wrong = Vec::new();
    for (is_full, screens) in [(false, 1), (true, 2)] {
        for (command, text) in programs().into_iter().flat_map(|program| help::all(program, is_full)) {
            let lines = text.trim_end().lines().count();
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
            // The program's own help lists its commands, on one screen in any form.
            let screens = if command.contains(' ') { screens } else { 1 };
            if lines > screens * SCREEN_LINES || longest > TEXT_WIDTH {
                wrong.push(format!("{command} (full: {is_full}): {lines} lines, {longest} columns"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A heading of flags that several commands share must not go on over the flags that follow them.
#[test]
fn no_flag_is_under_the_heading_of_others() {
    let certificates =
        ["token-file", "user-token-file", "worker-token-file", "tls-cert", "tls-key", "tls-ca", "insecure"];
    let shared: [(&str, &[&str]); 4] = [
        (headings::SECURITY, &certificates),
        (headings::LIMITS, &["pixels-max", "side-max", "bytes-max"]),
        (headings::COORDINATOR, &["coordinator", "detach", "priority"]),
        (
            headings::MACHINE,
            &["threads", "decode-threads", "picture-mib", "device", "devices", "batch", "slots", "kept-mib", "offline"],
        ),
    ];
    for program in programs() {
        for command in program.get_subcommands() {
            for flag in command.get_arguments() {
                let (Some(long), Some(heading)) = (flag.get_long(), flag.get_help_heading()) else { continue };
                let own = shared.iter().find(|(shared, _)| *shared == heading);
                assert!(
                    own.is_none_or(|(_, flags)| flags.contains(&long)),
                    "{}: --{long} under {heading}",
                    command.get_name()
                );
            }
        }
    }
}

#[test]
fn the_help_has_every_flag_and_the_required_ones_first() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let full = dir.run(&["submit", "--help"]).exits_with(0).stdout;
    let short = dir.run(&["submit", "-h"]).exits_with(0).stdout;
    let program = dqa_coordinator::cli::command();
    let submit = program.find_subcommand("submit").unwrap();
    for flag in submit.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(|arg| arg.get_long()) {
        assert!(full.contains(&format!("\n  --{flag}")), "--{flag} is not in:\n{full}");
    }
    let headings: Vec<&str> = full.lines().filter(|line| line.ends_with(':') && !line.starts_with(' ')).collect();
    assert_eq!(headings[..3], ["Required:", "Options:", "Model:"]);
    assert!(short.contains("--model MODEL") && !short.contains("--pixels-max"), "{short}");
    let words = one_line(&short);
    assert!(words.contains("Limits of pictures ("), "{short}");
    assert_eq!(dir.run(&["help", "submit"]).exits_with(0).stdout, full);
}

#[test]
fn a_machine_is_checked() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    std::fs::create_dir(dir.path("store")).unwrap();
    let rows = dir.run(&["self-check", "--format", "json"]).exits_with(0).json_lines();
    let result = |check: &str| rows.iter().find(|row| row["check"] == check).unwrap()["result"].clone();
    assert_eq!(["device", "kernels", "store"].map(result), ["ok", "ok", "ok"], "{rows:?}");
    assert!(dir.path("store").read_dir().unwrap().next().is_none(), "nothing is left in the store");
    let failed = dir.run(&["self-check", "--store", "nowhere"]).exits_with(1);
    let line = failed.stdout.lines().find(|line| line.starts_with("store ")).unwrap();
    assert!(line.contains("failed") && line.contains("nowhere"), "{}", failed.stdout);
}

#[test]
fn the_sections_of_a_configuration_are_the_programs_commands() {
    for (program, (name, sections)) in programs().into_iter().zip(SECTIONS) {
        assert_eq!(program.get_name(), name);
        let mut commands: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
        let mut sections = sections.to_vec();
        commands.sort_unstable();
        sections.sort_unstable();
        assert_eq!(sections, commands);
    }
}

#[test]
fn a_configuration_serves_both_programs_and_has_lists() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["aod", "dcp"]);
    dir.file(
        "dqa.toml",
        b"[submit]\ndatasets = [\"haze.toml\"]\nalgos = [\"aod\", \"dcp\"]\nmetrics = [\"entropy\"]\n[score]\nwindows = true\n",
    );
    let planned = dir.run(&["submit", "--config", "dqa.toml", "--dry-run"]).exits_with(0);
    assert!(planned.stderr.contains("6 pictures") || planned.stdout.contains("6 pictures"), "{}", planned.stderr);
    dir.file("bad.toml", b"[scoer]\n");
    let unknown = dir.run(&["submit", "--config", "bad.toml"]).exits_with(2).stderr;
    assert!(unknown.contains("has an unknown section `scoer`"), "{unknown}");
}

#[test]
fn a_model_of_the_program_has_its_prompts() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["aod"]);
    let submit = ["submit", "--datasets", "haze.toml", "--model", "dqa:small", "--name", "own"];
    let done = dir.run(&submit).exits_with(0).stderr;
    assert!(done.contains("model dqa:small with dqa:small, "), "{done}");
    let named = dir.run(&["submit", "--datasets", "haze.toml", "--model", "dqa:small", "--prompts", "dqa:small"]);
    let fingerprint = |text: &str| text.split("fingerprint ").nth(1).unwrap()[..12].to_owned();
    assert_eq!(fingerprint(&named.exits_with(0).stderr), fingerprint(&done));
    let sentences = dir.run(&["submit", "--datasets", "haze.toml", "--model", "dqa:small", "--handcrafted"]);
    assert_ne!(fingerprint(&sentences.exits_with(0).stderr), fingerprint(&done));
}

#[test]
fn a_folder_is_defined_and_its_only_definition_is_found() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["aod", "dcp"]);
    let init = dir.run(&["dataset", "init", "haze"]).exits_with(0);
    assert_eq!(init.stdout, "haze/haze.toml\n");
    assert!(init.stderr.starts_with("6 pictures of 3 scenes by 2 algorithms, 6 with a label\n"), "{}", init.stderr);
    insta::assert_snapshot!("new_definition", std::fs::read_to_string(dir.path("haze/haze.toml")).unwrap());
    let shown = dir.run(&["dataset", "show", "haze"]).exits_with(0).stdout;
    assert!(shown.contains("# 6 pictures (6 labelled) of 3 scenes"), "{shown}");
    let again = dir.run(&["dataset", "init", "haze"]).exits_with(2).stderr;
    assert!(again.contains("haze/haze.toml exists already, and is kept\nhint: "), "{again}");
    dir.run(&["dataset", "init", "other=haze", "--output", "other.toml"]).exits_with(0);
    let shown = dir.run(&["dataset", "show", "other.toml"]).exits_with(0).stdout;
    assert!(shown.contains("name = \"other\"") && shown.contains("# 6 pictures (6 labelled)"), "{shown}");
    std::fs::copy(dir.path("haze/haze.toml"), dir.path("haze/second.toml")).unwrap();
    let several = dir.run(&["dataset", "show", "haze"]).exits_with(2).stderr;
    assert!(several.contains("has several definitions: name one of haze/haze.toml, haze/second.toml"), "{several}");
}

#[test]
fn a_manifest_in_this_folder_is_a_data_set() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["aod"]);
    dir.file("pictures.csv", b"algorithm,scene,uri\naod,s0,haze/aod/s0.png\naod,s1,haze/aod/s1.png\n");
    let shown = dir.run(&["dataset", "show", "pictures.csv"]).exits_with(0).stdout;
    assert!(shown.contains("# 2 pictures (0 labelled) of 2 scenes"), "{shown}");
}

#[test]
fn a_key_in_the_place_of_a_section_is_explained() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["aod"]);
    let start = "name = \"haze\"\nroot = \"haze\"\nlayout = \"{algorithm}/{scene}.png\"\n";
    for (line, section) in [
        (
            "hazy = \"in/{scene}.png\"",
            "`hazy` in d.toml is a section: write `[hazy]` and then `layout = \"in/{scene}.png\"`",
        ),
        ("labels = \"mos.csv\"", "`labels` in d.toml is a section: write `[labels]` and then `file = \"mos.csv\"`"),
        (
            "clear = [\"gt\"]",
            "`clear` in d.toml is a section: write `[clear]` and then `layout = \"clear/{scene}.png\"`",
        ),
    ] {
        dir.file("d.toml", format!("{start}{line}\n").as_bytes());
        let stderr = dir.run(&["dataset", "show", "d.toml"]).exits_with(2).stderr;
        assert!(stderr.contains(section), "{stderr}");
    }
}

#[test]
fn a_word_of_another_command_is_suggested_with_that_command() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    for (word, suggested) in [("rm", "'runs rm'"), ("delete", "'runs rm'"), ("check", "'dataset check', 'store check'")]
    {
        let output = dir.run(&[word]).exits_with(2);
        assert!(output.stderr.contains(suggested), "{word}: {}", output.stderr);
    }
    dir.file("store/other", b"");
    for word in ["rm", "remove", "delete"] {
        let output = dir.run(&["runs", word, "other"]).exits_with(2);
        assert!(output.stderr.contains("other"), "{word}: {}", output.stderr);
    }
    let within = dir.run(&["runs", "check"]).exits_with(2);
    assert!(!within.stderr.contains("'dataset check'"), "{}", within.stderr);
}

#[test]
fn an_unknown_label_scale_is_suggested() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze_with_scenes(10, &["aod", "dcp"]);
    let train = ["train", "--dataset", "haze.toml", "--model", "dqa:small", "--dry-run"];
    let stderr = dir.run(&train).exits_with(2).stderr;
    assert!(stderr.contains("error: the label scale of data set `haze` is unknown (labels seen: "), "{stderr}");
    assert!(stderr.contains("hint: add `range = ["), "{stderr}");
}

#[test]
fn a_coordinator_that_does_not_run_is_named() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let stderr = dir.run(&["runs", "--coordinator", &url]).exits_with(2).stderr;
    assert!(stderr.starts_with(&format!("error: cannot reach {url}: connection refused\n")), "{stderr}");
    assert!(stderr.contains("hint: is `dqa-coord serve` running there?"), "{stderr}");
}
