//! Tests `dqa-worker score` from a user's view: exit code, standard output and standard error of each kind of call. To
//! accept changed output, run the tests with `INSTA_UPDATE=always` and review the difference.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use dqa_testkit::{ClipShape, HfDir, Picture, PromptShape, hf};
use insta::assert_snapshot;
use serde_json::Value;

const LEARNED: [&str; 4] = ["--model", "model", "--prompts", "model/prompts.safetensors"];
const HANDCRAFTED: [&str; 3] = ["--model", "model", "--handcrafted"];

/// The folder in which the program runs, so that paths in its output are short and do not depend on the machine.
struct Folder(tempfile::TempDir);

impl Folder {
    /// Creates a folder with `model` and two folders: `good`, and `mixed` with a text file and pictures that cannot be
    /// scored.
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(hf::cached("tiny", "cli").canonicalize().unwrap(), folder.path("model")).unwrap();
        let scene = Picture::synthetic(1, 320, 240).png();
        folder.file("good/a.png", &Picture::synthetic(2, 224, 224).png());
        folder.file("good/sub/b.png", &scene);
        folder.file("mixed/broken.png", &scene[..scene.len() / 2]);
        folder.file("mixed/empty.jpg", b"");
        folder.file("mixed/good.png", &scene);
        folder.file("mixed/notes.txt", b"not a picture, and not named as one");
        folder.file("mixed/other.jp2", b"\0\0\0\x0cjP  \r\n\x87\n");
        folder.file("mixed/small.png", &Picture::synthetic(3, 223, 500).png());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Returns the program's command without the settings of the caller's environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("dqa-worker"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DQA_")) {
            command.env_remove(name);
        }
        for name in ["RUST_LOG", "NO_COLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command.current_dir(self.0.path()).env("COLUMNS", "100").stdin(Stdio::null()).arg("score").args(arguments);
        command
    }

    fn score(&self, inputs: &[&str], more: &[&str]) -> Output {
        self.command(&[inputs, &LEARNED[..], more].concat()).output().unwrap()
    }

    fn json(&self, inputs: &[&str], more: &[&str]) -> Vec<Value> {
        rows(&self.score(inputs, &[&["--format", "json"], more].concat()))
    }

    /// Returns the output and exit codes of calls with only these arguments.
    fn transcript(&self, calls: &[&[&str]]) -> String {
        let mut transcript = String::new();
        for arguments in calls {
            let output = self.command(arguments).output().unwrap();
            writeln!(transcript, "$ dqa-worker score {}\n{}", arguments.join(" "), normalised_output(&output)).unwrap();
        }
        transcript
    }
}

fn rows(output: &Output) -> Vec<Value> {
    serde_json::Deserializer::from_slice(&output.stdout).into_iter().map(Result::unwrap).collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Returns exit code, standard output and standard error, without values that differ between runs or machines.
fn normalised_output(output: &Output) -> String {
    let mut shown = format!("exit {}\n", output.status.code().unwrap());
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        for line in text(bytes).lines() {
            writeln!(shown, "{name}: {}", masked(line)).unwrap();
        }
    }
    shown
}

/// Returns the line with N for times, rates and thread counts, and with an ellipsis for the fingerprint and the last
/// decimals of scores.
fn masked(line: &str) -> String {
    let number = |text: &str| {
        let word = |word: &str| {
            let bare = word.trim_matches(|c: char| !c.is_ascii_digit());
            if bare.is_empty() { word.to_owned() } else { word.replace(bare, "N") }
        };
        text.split(' ').map(word).collect::<Vec<_>>().join(" ")
    };
    if let Some((model, device)) = line.strip_prefix("model ").and_then(|rest| rest.split_once(" on cpu ")) {
        assert!(device.contains(" threads), fingerprint "), "{device}");
        return format!("model {model} on cpu (...), fingerprint ...");
    }
    if let Some((counts, rates)) = line.split_once(" windows in ") {
        return format!("{counts} windows in {}", number(rates));
    }
    if line.starts_with("time: ") {
        return number(line);
    }
    let mut masked = String::new();
    let mut decimals = None;
    for c in line.chars() {
        decimals = match (c, decimals) {
            ('.', _) => Some(0),
            ('0'..='9', Some(n)) => Some(n + 1),
            _ => None,
        };
        match decimals {
            Some(4) => masked.push('…'),
            Some(5..) => {}
            _ => masked.push(c),
        }
    }
    masked
}

#[test]
fn metrics_are_columns_and_need_no_model() {
    let folder = Folder::new();
    folder.file("clear.png", &Picture::synthetic(4, 224, 224).png());
    folder.file("references.csv", b"image,clear\ngood/a.png,clear.png\n");
    let metrics = ["good", "--metrics", "niqe,psnr_gray", "--references", "references.csv"];
    let output = folder.command(&[&metrics[..], &["--format", "json"]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "one picture lacks its clear picture");
    let [first, second] = <[Value; 2]>::try_from(rows(&output)).unwrap();
    assert!(first["score"].is_null() && first["error"].is_null(), "{first}");
    assert!(first["metrics"]["niqe"].is_number() && first["metrics"]["psnr_gray"].is_number(), "{first}");
    assert!(second["metrics"]["niqe"].is_number() && second["metrics"]["psnr_gray"].is_null(), "{second}");
    assert_eq!(second["metric_errors"]["psnr_gray"]["code"], "reference_missing");
    let csv = folder.command(&[&metrics[..], &["--format", "csv"]].concat()).output().unwrap();
    let csv = String::from_utf8(csv.stdout).unwrap();
    let header = "image,score,windows,width,height,error_code,error_message,psnr_gray,niqe,metric_errors";
    assert!(csv.starts_with(header) && csv.contains("psnr_gray: reference_missing"), "{csv}");
}

#[test]
fn pictures_are_scored_in_each_format() {
    let folder = Folder::new();
    for format in ["table", "csv", "json"] {
        let good = folder.score(&["good"], &["--format", format]);
        assert_snapshot!(format!("good_{format}"), normalised_output(&good));
        let mixed = folder.score(&["mixed"], &["--format", format, "--windows"]);
        assert_snapshot!(format!("mixed_{format}"), normalised_output(&mixed));
    }
}

#[test]
fn invalid_calls_are_refused_with_reason_and_hint() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("nothing")).unwrap();
    let other = PromptShape { width_v: 192, ..ClipShape::TINY.prompts() };
    let other = dqa_testkit::formula::weights("cli", &dqa_testkit::spec::prompt_spec(&other));
    hf::write_safetensors(&folder.path("other.safetensors"), &hf::raw(other));
    HfDir { salt: "cut", shape: ClipShape { vocab: 49408, ..ClipShape::TINY }, shards: 1 }.write(&folder.path("cut"));
    folder.file("cut/model.safetensors", b"cut");
    let prompts = "model/prompts.safetensors";
    let with = |more: &[&'static str]| [&["good"], &HANDCRAFTED[..], more].concat();
    let calls: &[&[&str]] = &[
        &[],
        &["good", "--handcrafted"],
        &["good", "--model", "model"],
        &["good", "--model", "model", "--prompts", prompts, "--handcrafted"],
        &with(&["--views", "stride=0"]),
        &with(&["--views", "zoom=2"]),
        &with(&["--dtype", "f64"]),
        &with(&["--device", "gpu"]),
        &["good", "--handcrafted", "--model", "absent"],
        &["good", "--handcrafted", "--model", "good"],
        &["good", "--handcrafted", "--model", "cut"],
        &["good", "--handcrafted", "--model", "hf:owner/name/more"],
        &["good", "--model", "model", "--prompts", "absent.safetensors"],
        &["good", "--model", "model", "--prompts", "other.safetensors"],
        &["good", "--model", "model", "--prompts", "good/a.png"],
        &["nothing", "--model", "model", "--handcrafted"],
        &["good/*.jpg", "--model", "model", "--handcrafted"],
        &["[", "good/***", "--model", "model", "--handcrafted"],
    ];
    assert_snapshot!(folder.transcript(calls));
}

#[cfg(not(feature = "cuda"))]
#[test]
fn without_cuda_a_gpu_is_refused() {
    let arguments = [&["good", "--device", "cuda:0"], &HANDCRAFTED[..]].concat();
    assert_snapshot!(Folder::new().transcript(&[&arguments]));
}

#[test]
fn configuration_errors_name_file_and_location() {
    let folder = Folder::new();
    let wrong = [
        ("key", "[score]\nmodels = \"model\"\n"),
        ("kind", "[score]\nbatch = [1, 2]\n"),
        ("kind-of-flag", "[score]\nwindows = \"yes\"\n"),
        ("value", "[score]\nbatch = 0\n"),
        ("section", "[scores]\nmodel = \"model\"\n"),
        ("no-section", "model = \"model\"\n"),
        ("no-toml", "[score\n"),
    ];
    for (name, content) in wrong {
        folder.file(&format!("{name}.toml"), content.as_bytes());
    }
    let mut names: Vec<String> = wrong.iter().map(|(name, _)| format!("{name}.toml")).collect();
    names.push("absent.toml".into());
    let calls: Vec<[&str; 4]> = names.iter().map(|name| ["good", "--handcrafted", "--config", name.as_str()]).collect();
    let calls: Vec<&[&str]> = calls.iter().map(|call| &call[..]).collect();
    assert_snapshot!(folder.transcript(&calls));
}

#[test]
fn help_fits_in_100_columns() {
    let output = Folder::new().command(&["--help"]).output().unwrap();
    assert!(text(&output.stdout).lines().all(|line| line.len() <= 100));
    assert_snapshot!(normalised_output(&output));
}

#[test]
fn json_rows_have_exactly_the_documented_keys() {
    let folder = Folder::new();
    let keys = |row: &Value| row.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let all = ["error", "height", "image", "score", "width", "windows"];
    for row in folder.json(&["good", "mixed"], &[]) {
        assert_eq!(keys(&row), all);
        assert_eq!(row["score"].is_null(), row["error"].is_object(), "{row}");
        if row["error"].is_object() {
            assert_eq!(keys(&row["error"]), ["code", "message"]);
        }
    }
    for row in folder.json(&["good", "mixed"], &["--windows"]) {
        assert_eq!(keys(&row), [&all[..5], &["window_scores", "windows"]].concat());
        assert_eq!(row["window_scores"].is_null(), row["score"].is_null());
        assert_eq!(row["window_scores"].as_array().map_or(0, Vec::len) as u64, row["windows"].as_u64().unwrap());
    }
}

#[test]
fn csv_can_be_read_back() {
    let folder = Folder::new();
    let name = "a, \"quoted\"\nname.png";
    folder.file(name, &std::fs::read(folder.path("good/a.png")).unwrap());
    let output = folder.score(&[name, "mixed/small.png"], &["--format", "csv", "--windows"]);
    let mut reader = csv::Reader::from_reader(&output.stdout[..]);
    let header = ["image", "score", "windows", "width", "height", "error_code", "error_message", "window_scores"];
    assert_eq!(reader.headers().unwrap(), &header[..]);
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(&rows[0][0], name);
    let score: f64 = rows[0][1].parse().unwrap();
    assert!((0.0..=1.0).contains(&score));
    assert_eq!(rows[0].iter().skip(2).take(5).collect::<Vec<_>>(), ["1", "224", "224", "", ""]);
    assert_eq!(rows[0][7].parse::<f32>().unwrap(), score as f32, "one window: its score is the picture's");
    let failed: Vec<_> = rows[1].iter().collect();
    assert_eq!(failed[..6], ["mixed/small.png", "", "0", "223", "500", "too_small"]);
    assert_eq!(failed[7], "");
}

#[test]
fn files_folders_and_globs_are_scored_and_named_as_given() {
    let folder = Folder::new();
    let images = |inputs: &[&str]| -> Vec<String> {
        folder.json(inputs, &[]).iter().map(|row| row["image"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(images(&["good"]), ["good/a.png", "good/sub/b.png"]);
    assert_eq!(images(&["./good/../good/a.png"]), ["./good/../good/a.png"]);
    assert_eq!(images(&["g*/*.png", "good/**/b.png"]), ["good/a.png", "good/sub/b.png"]);
    assert_eq!(images(&["good/a.png", "good/a.png"]), ["good/a.png", "good/a.png"], "a repeated path is scored twice");
}

#[test]
fn a_path_that_does_not_exist_is_an_error_before_anything_is_scored() {
    let folder = Folder::new();
    for (path, hint) in [
        ("good/aa.png", "hint: similar names in good: a.png"),
        ("nosuch.png", "hint: a PATH is a picture, a folder or a glob; nothing was scored"),
        ("nowhere/a.png", "hint: the folder nowhere does not exist either"),
    ] {
        let missing = folder.score(&["good/a.png", path], &["--format", "json"]);
        assert_eq!((missing.status.code(), text(&missing.stdout)), (Some(2), ""));
        assert_eq!(text(&missing.stderr), format!("error: {path} does not exist\n{hint}\n"));
    }
    // A link is there, and what it leads to is not: its picture has a row that says so.
    std::os::unix::fs::symlink("nowhere", folder.path("link.png")).unwrap();
    assert_eq!(folder.json(&["link.png"], &[])[0]["error"]["code"], "io");
}

#[test]
fn an_endless_file_is_too_large() {
    let rows = Folder::new().json(&["/dev/zero"], &["--bytes-max", "1000"]);
    assert_eq!(rows[0]["error"]["code"], "too_large");
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let folder = Folder::new();
    folder.file("dqa.toml", b"[score]\nmodel = \"model\"\nhandcrafted = true\nformat = \"csv\"\ndtype = \"bf16\"\n");
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        let arguments = [&["good/a.png", "--config", "dqa.toml"], arguments].concat();
        let output = folder.command(&arguments).envs(environment.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let format = match output.stdout[0] {
            b'{' => "json",
            b'i' => "csv",
            _ => "table",
        };
        let dtype = ["f32", "bf16", "f16"].into_iter().find(|d| text(&output.stderr).contains(&format!(", {d} on ")));
        (format, dtype.unwrap())
    };
    assert_eq!(run(&[], &[]), ("csv", "bf16"));
    assert_eq!(run(&["--format=json"], &[]), ("json", "bf16"));
    let environment = [("DQA_FORMAT", "table"), ("DQA_DTYPE", "f16")];
    assert_eq!(run(&[], &environment), ("table", "f16"));
    assert_eq!(run(&["--dtype", "f32", "--format", "json"], &environment), ("json", "f32"));
    assert_eq!(run(&[], &[("DQA_FORMAT", ""), ("DQA_DTYPE", "")]), ("csv", "bf16"), "an empty variable is ignored");
    let output = folder.command(&["good/a.png"]).env("DQA_CONFIG", "dqa.toml").output().unwrap();
    assert!(output.stdout.starts_with(b"image,"));
}

#[test]
fn empty_variables_are_ignored() {
    let folder = Folder::new();
    let arguments = [&["good/a.png"], &LEARNED[..]].concat();
    let empty = ["DQA_WINDOWS", "DQA_HANDCRAFTED", "DQA_DTYPE", "DQA_BATCH", "DQA_CONFIG"].map(|name| (name, ""));
    let output = folder.command(&arguments).envs(empty).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = folder.command(&["good/a.png", "--handcrafted"]).env("DQA_MODEL", "").output().unwrap();
    assert!(text(&output.stderr).contains("--model is missing"), "{}", text(&output.stderr));
}

#[test]
fn prompts_and_handcrafted_override_each_other_by_precedence() {
    let folder = Folder::new();
    folder.file("learned.toml", b"[score]\nmodel = \"model\"\nprompts = \"model/prompts.safetensors\"\n");
    folder.file("handcrafted.toml", b"[score]\nmodel = \"model\"\nhandcrafted = true\n");
    let prompts = "model/prompts.safetensors";
    let sentences = |arguments: &[&str], environment: &[(&str, &str)]| {
        let arguments = [&["good/a.png", "--dry-run", "--model", "model"], arguments].concat();
        let output = folder.command(&arguments).envs(environment.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let handcrafted = text(&output.stderr).contains("with handcrafted prompts");
        if handcrafted { "handcrafted" } else { "learned" }
    };
    let (learned, handcrafted) = (["--config", "learned.toml"], ["--config", "handcrafted.toml"]);
    assert_eq!(sentences(&learned, &[]), "learned");
    assert_eq!(sentences(&handcrafted, &[]), "handcrafted");
    assert_eq!(sentences(&[&learned[..], &["--handcrafted"]].concat(), &[]), "handcrafted");
    assert_eq!(sentences(&[&handcrafted[..], &["--prompts", prompts]].concat(), &[]), "learned");
    assert_eq!(sentences(&learned, &[("DQA_HANDCRAFTED", "1")]), "handcrafted");
    assert_eq!(sentences(&learned, &[("DQA_HANDCRAFTED", "0")]), "learned");
    assert_eq!(sentences(&handcrafted, &[("DQA_PROMPTS", prompts)]), "learned");
    assert_eq!(sentences(&["--handcrafted"], &[("DQA_PROMPTS", prompts)]), "handcrafted");
    assert_eq!(sentences(&["--prompts", prompts], &[("DQA_HANDCRAFTED", "true")]), "learned");
    assert_eq!(sentences(&[], &[("DQA_HANDCRAFTED", "false"), ("DQA_PROMPTS", prompts)]), "learned");
    let mut neither = folder.command(&["good/a.png", "--model", "model"]);
    let neither = neither.env("DQA_HANDCRAFTED", "0").output().unwrap();
    assert!(text(&neither.stderr).contains("--prompts or --handcrafted is missing"), "{}", text(&neither.stderr));
}

#[test]
fn a_dry_run_shows_what_would_be_scored() {
    let folder = Folder::new();
    assert_snapshot!(normalised_output(&folder.score(&["good"], &["--dry-run", "--format", "json"])));
}

#[test]
fn scores_depend_on_model_and_dtype_but_not_on_resources() {
    let folder = Folder::new();
    let score = |rows: &[Value]| rows[1]["score"].as_f64().unwrap();
    let learned = score(&folder.json(&["good"], &[]));
    let bf16 = score(&folder.json(&["good"], &["--dtype", "bf16"]));
    assert!(bf16 != learned && (bf16 - learned).abs() < 5e-3, "{bf16} and {learned}");
    let handcrafted = [&["good", "--format", "json"], &HANDCRAFTED[..]].concat();
    let handcrafted = score(&rows(&folder.command(&handcrafted).output().unwrap()));
    assert!((handcrafted - learned).abs() > 1e-4, "{handcrafted} and {learned}");
    let one =
        folder.json(&["good"], &["--batch", "1", "--decode-threads", "1", "--threads", "1", "--picture-mib", "1"]);
    assert_eq!(score(&one), learned, "batch size, threads and memory do not change scores");
}

#[test]
fn no_color_disables_colours() {
    let folder = Folder::new();
    for arguments in [&["good"][..], &["mixed", "--model", "model", "--handcrafted"]] {
        let output = folder.command(arguments).envs([("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]).output().unwrap();
        assert!(
            !output.stdout.contains(&b'\x1b') && !output.stderr.contains(&b'\x1b'),
            "{}",
            normalised_output(&output)
        );
    }
}

/// Waits for the program and returns its exit code and standard error. A program that does not end within 60 s is
/// killed and fails the test.
fn wait_for_exit(mut program: std::process::Child) -> (Option<i32>, String) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while program.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            program.kill().unwrap();
            panic!("the program continues after its reader has closed the pipe");
        }
        std::thread::yield_now();
    }
    let mut stderr = String::new();
    if let Some(mut pipe) = program.stderr.take() {
        pipe.read_to_string(&mut stderr).unwrap();
    }
    (program.wait().unwrap().code(), stderr)
}

#[test]
fn a_closed_pipe_ends_the_program_with_success() {
    let folder = Folder::new();
    let scene = std::fs::read(folder.path("mixed/good.png")).unwrap();
    for i in 0..200 {
        folder.file(&format!("many/{i}-{}.png", "long".repeat(50)), &scene);
    }
    for more in [&["--format", "table"][..], &["--format", "csv"], &["--format", "json"], &["--dry-run"]] {
        // Listing the folder twice exceeds the 64 KiB that a pipe holds, also in a dry run.
        let mut command = folder.command(&[&["many", "many"], &LEARNED[..], &["--batch", "4"], more].concat());
        let mut program = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        // A buffer of 1 byte reads no more than the line, so the rest does not fit into the pipe.
        BufReader::with_capacity(1, program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        let (code, stderr) = wait_for_exit(program);
        assert_eq!(code, Some(0), "{more:?}: {stderr}");
        assert!(!stderr.contains("pictures ("), "it stopped early: {stderr}");
        assert!(!stderr.contains("error") && !stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn a_closed_standard_error_does_not_stop_scoring() {
    let folder = Folder::new();
    let out = folder.path("scores.csv");
    let arguments = [&["mixed", "--format", "csv"], &LEARNED[..]].concat();
    let mut command = folder.command(&arguments);
    command.env("RUST_LOG", "debug").stdout(std::fs::File::create(&out).unwrap()).stderr(Stdio::piped());
    let mut program = command.spawn().unwrap();
    drop(program.stderr.take());
    assert_eq!(wait_for_exit(program).0, Some(1));
    assert_eq!(csv::Reader::from_path(out).unwrap().records().count(), 5);
}

#[test]
fn a_full_disk_is_an_error() {
    let folder = Folder::new();
    for format in ["table", "csv", "json"] {
        let arguments = [&["good", "--format", format], &LEARNED[..]].concat();
        let mut command = folder.command(&arguments);
        command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{format}");
        let expected = "error: cannot write the results\n  caused by: No space left on device";
        assert!(text(&output.stderr).contains(expected), "{format}: {}", text(&output.stderr));
    }
}

/// Scores the odd and hostile files of public test suites, which are in the folder `shared` next to the repository or
/// in `$DQA_SHARED` (see odd_images.rs).
#[test]
fn each_odd_file_has_a_row() {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("DQA_SHARED").map_or(default, PathBuf::from).join("data/odd-images");
    if !folder.is_dir() {
        eprintln!("skipped: {} does not exist", folder.display());
        return;
    }
    let files = |suite: std::fs::DirEntry| std::fs::read_dir(suite.path()).unwrap().map(|file| file.unwrap().path());
    let mut pictures: Vec<_> = std::fs::read_dir(&folder).unwrap().flat_map(|suite| files(suite.unwrap())).collect();
    pictures.retain(|path| path.extension().is_some()); // the licences have no extension
    pictures.sort();

    let output = Folder::new().score(&[folder.to_str().unwrap()], &["--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
    let rows = rows(&output);
    let mut images: Vec<_> = rows.iter().map(|row| PathBuf::from(row["image"].as_str().unwrap())).collect();
    images.sort();
    assert_eq!(images, pictures);
    for row in &rows {
        assert!(row["score"].is_f64() != row["error"]["code"].is_string(), "{row}");
        assert_ne!(row["error"]["code"], "internal", "{row}");
    }
    assert!(rows.iter().any(|row| row["score"].is_f64()), "some files can be scored");
}
