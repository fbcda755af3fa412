//! Helpers of the system tests: [`TestDir`] is a folder with a model, data sets and a store, in which a test runs the
//! coordinator's program. The modules add clusters of processes, servers for S3 and the Hugging Face hub, certificates
//! and a network that fails.

#![allow(clippy::unwrap_used)] // only tests use this crate

pub mod certificates;
pub mod cluster;
pub mod hub;
pub mod invented_scores;
pub mod proxy;
pub mod s3;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use dqa_testkit::{Picture, hf};
use serde_json::Value;

/// Deadline of waits: a condition that does not hold by then is taken for a hang.
pub const TIMEOUT: Duration = Duration::from_secs(180);

/// Time between two checks of a condition that a test waits for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Waits until `condition` holds.
///
/// # Panics
/// Panics with `describe()` if the condition does not hold within `timeout`.
#[track_caller]
pub fn wait_until(timeout: Duration, describe: impl Fn() -> String, mut condition: impl FnMut() -> bool) {
    poll_until(timeout, describe, || condition().then_some(()));
}

/// Waits until `check` returns a value, and returns it.
///
/// # Panics
/// Panics with `describe()` if there is no value within `timeout`.
#[track_caller]
pub fn poll_until<T>(timeout: Duration, describe: impl Fn() -> String, mut check: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(started.elapsed() < timeout, "no result within {timeout:?}: {}", describe());
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Returns a text on one line, with single blanks: what it says, however its lines are broken.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the lines that are wider than a terminal of 80 columns. One may be: a line with a long path of the user's own.
pub fn wide_lines(text: &str) -> Vec<&str> {
    let has_long_path = |line: &str| line.split(' ').any(|word| word.contains('/') && word.chars().count() > 30);
    text.lines().filter(|line| line.chars().count() > 80 && !has_long_path(line)).collect()
}

/// A temporary folder for one test: it holds `model` (weights from a formula, with prompts) and what the test adds.
pub struct TestDir {
    dir: tempfile::TempDir,
    program: &'static str,
}

/// The exit code and the output of a command that has ended.
pub struct CommandOutput {
    /// -1 if a signal ended the command.
    pub code: i32,
    /// Standard output as text.
    pub stdout: String,
    /// Standard error as text.
    pub stderr: String,
}

impl CommandOutput {
    /// Converts the output of a process; invalid UTF-8 is replaced.
    pub fn new(output: &Output) -> CommandOutput {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        CommandOutput {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Asserts the exit code, and shows the whole output if it differs.
    #[track_caller]
    pub fn exits_with(self, code: i32) -> CommandOutput {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Parses each line of standard output as JSON (`--format json`).
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns the name of the run that a submit reports on standard error (`run NAME: ...`).
    #[track_caller]
    pub fn run_name(&self) -> String {
        let line = self.stderr.lines().find_map(|line| line.strip_prefix("run "));
        let line = line.unwrap_or_else(|| panic!("no run is named in\n{}", self.stderr));
        line.split(':').next().unwrap().to_owned()
    }
}

impl TestDir {
    /// Creates a folder in which `program` (`env!("CARGO_BIN_EXE_coord")`) runs.
    pub fn new(program: &'static str) -> TestDir {
        let dir = TestDir { dir: tempfile::tempdir().unwrap(), program };
        let model = hf::cached("tiny", "system").canonicalize().unwrap();
        std::os::unix::fs::symlink(model, dir.path("model")).unwrap();
        dir
    }

    /// Returns the path of a file or folder in this folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, and creates the folders above it.
    pub fn file(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Writes a data set `haze` of 3 scenes and the given algorithms: pictures of 224 to 352 pixels, labels and a
    /// definition.
    pub fn haze(&self, algorithms: &[&str]) {
        self.haze_with_scenes(3, algorithms);
    }

    /// Writes the data set of [`haze`](TestDir::haze) with the given number of scenes.
    pub fn haze_with_scenes(&self, scenes: u32, algorithms: &[&str]) {
        for algorithm in algorithms {
            for scene in 0..scenes {
                self.picture(algorithm, scene);
            }
        }
        let labels =
            algorithms.iter().flat_map(|a| (0..scenes).map(move |s| format!("{a}/s{s}.png,{}\n", label(a, s))));
        self.file("haze/labels.csv", ("image,mos\n".to_owned() + &labels.collect::<String>()).as_bytes());
        self.file(
            "haze.toml",
            b"name = \"haze\"\nroot = \"haze\"\nlayout = \"{algorithm}/{scene}.png\"\n[labels]\nfile = \"labels.csv\"\n",
        );
    }

    /// Writes `haze` of two algorithms with what a training asks for: a range of its labels.
    pub fn haze_for_training(&self) {
        self.haze(&["dcp", "aod"]);
        let definition = std::fs::read_to_string(self.path("haze.toml")).unwrap();
        self.file("haze.toml", (definition + "range = [0, 100]\n").as_bytes());
    }

    /// Writes one picture of `haze` if it is missing. Writing it again would give it another version.
    pub fn picture(&self, algorithm: &str, scene: u32) {
        let name = format!("haze/{algorithm}/s{scene}.png");
        if !self.path(&name).exists() {
            let seed = u64::from(scene) * 100 + u64::from(algorithm.bytes().map(u32::from).sum::<u32>());
            self.file(&name, &Picture::synthetic(seed, 224 + 64 * (scene as usize % 8), 288).png());
        }
    }

    /// Returns a command of the program in this folder with the store `store`, without the variables `DQA_*` of the
    /// environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DQA_")) {
            command.env_remove(name);
        }
        command.env_remove("RUST_LOG").env("DQA_STORE", "store").env("COLUMNS", "100");
        command.current_dir(self.dir.path()).stdin(Stdio::null()).args(arguments);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> CommandOutput {
        CommandOutput::new(&self.command(arguments).output().unwrap())
    }

    /// Returns the arguments that submit `dataset` with the model, followed by `more`.
    pub fn submit<'a>(&self, dataset: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let model = ["submit", "--datasets", dataset, "--model", "model", "--prompts", "model/prompts.safetensors"];
        [&model, more].concat()
    }

    /// Returns the rows of a query.
    pub fn query(&self, sql: &str) -> Vec<Value> {
        self.run(&["query", sql, "--format", "json"]).exits_with(0).json_lines()
    }

    /// Returns the score of each picture by `algorithm image`; the scores of failed pictures are null.
    pub fn scores(&self) -> BTreeMap<String, Value> {
        let rows = self.query("SELECT algorithm, image, score FROM scores");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let count = rows.len();
        let scores: BTreeMap<String, Value> = rows
            .into_iter()
            .map(|row| (text(&row["algorithm"]) + " " + &text(&row["image"]), row["score"].clone()))
            .collect();
        assert_eq!(scores.len(), count, "each picture has one row");
        scores
    }

    /// Returns the Parquet files of the table of scores.
    pub fn parts(&self) -> Vec<PathBuf> {
        let mut parts = Vec::new();
        list_files(&self.path("store/scores"), &mut parts);
        parts.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
        parts.sort();
        parts
    }
}

fn label(algorithm: &str, scene: u32) -> f64 {
    f64::from(algorithm.len() as u32 * 7 + scene * 3)
}

fn list_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { list_files(&path, found) } else { found.push(path) }
    }
}

/// Returns a folder of `../shared`, or prints that the test is skipped if it is missing.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(folder);
    let path = path.canonicalize().ok();
    if path.is_none() {
        eprintln!("skipped: there is no ../shared/{folder}");
    }
    path
}
