//! A folder with a model, data sets and a store, and the program to run in it. An S3 server beside it: `s3`.

#![allow(clippy::unwrap_used)] // it is for tests alone

pub mod certificates;
pub mod cluster;
pub mod hub;
pub mod proxy;
pub mod s3;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use dqa_testkit::{Picture, hf};
use serde_json::Value;

/// A folder of its own for one test: `model` (formula weights with prompts), and what the test puts there.
pub struct TestDir {
    dir: tempfile::TempDir,
    program: &'static str,
}

/// How the program ended and what it said.
pub struct Said {
    /// Exit code; -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Of a program that has ended.
    pub fn of(output: &Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Asserts the exit code, and shows everything where it is another.
    #[track_caller]
    pub fn ends_with(self, code: i32) -> Said {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }
}

impl TestDir {
    /// With `program` (`env!("CARGO_BIN_EXE_coord")`).
    pub fn new(program: &'static str) -> TestDir {
        let place = TestDir { dir: tempfile::tempdir().unwrap(), program };
        let model = hf::cached("tiny", "system").canonicalize().unwrap();
        std::os::unix::fs::symlink(model, place.path("model")).unwrap();
        place
    }

    /// Below the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, with the folders that it is in.
    pub fn file(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A data set `haze` of 3 scenes and so many algorithms: pictures of 224 to 352 pixels, labels, a definition.
    pub fn haze(&self, algorithms: &[&str]) {
        self.haze_of(3, algorithms);
    }

    /// The same of so many scenes.
    pub fn haze_of(&self, scenes: u32, algorithms: &[&str]) {
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

    /// One picture of `haze`. One that is there stays: written again, it would be another version.
    pub fn picture(&self, algorithm: &str, scene: u32) {
        let name = format!("haze/{algorithm}/s{scene}.png");
        if !self.path(&name).exists() {
            let seed = u64::from(scene) * 100 + u64::from(algorithm.bytes().map(u32::from).sum::<u32>());
            self.file(&name, &Picture::synthetic(seed, 224 + 64 * (scene as usize % 8), 288).png());
        }
    }

    /// The program with the model and the store `store`, without the caller's own settings.
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
    pub fn run(&self, arguments: &[&str]) -> Said {
        Said::of(&self.command(arguments).output().unwrap())
    }

    /// The arguments of a submit of `dataset` with the model.
    pub fn submit<'a>(&self, dataset: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let model = ["submit", "--datasets", dataset, "--model", "model", "--prompts", "model/prompts.safetensors"];
        [&model, more].concat()
    }

    /// The rows of a query.
    pub fn query(&self, sql: &str) -> Vec<Value> {
        let said = self.run(&["query", sql, "--format", "json"]).ends_with(0);
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Each picture's score, by `algorithm/image`; failed ones are null.
    pub fn scores(&self) -> BTreeMap<String, Value> {
        let rows = self.query("SELECT algorithm, image, score FROM scores");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let count = rows.len();
        let scores: BTreeMap<String, Value> = rows
            .into_iter()
            .map(|row| (text(&row["algorithm"]) + " " + &text(&row["image"]), row["score"].clone()))
            .collect();
        assert_eq!(scores.len(), count, "no row is there twice");
        scores
    }

    /// The files of the scores table.
    pub fn parts(&self) -> Vec<PathBuf> {
        let mut parts = Vec::new();
        files(&self.path("store/scores"), &mut parts);
        parts.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
        parts.sort();
        parts
    }
}

fn label(algorithm: &str, scene: u32) -> f64 {
    f64::from(algorithm.len() as u32 * 7 + scene * 3)
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// A folder of `../shared`, where there is one; otherwise says that the test is skipped.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(folder);
    let path = path.canonicalize().ok();
    if path.is_none() {
        eprintln!("skipped: there is no ../shared/{folder}");
    }
    path
}
