//! README and docs promise what the programs do: sessions (blocks of `console`) are run as they are written, and every other
//! command is parsed as the programs parse it.
//!
//! A session is what a terminal of 80 columns shows. Lines that begin with `$ ` are commands, those with `> ` continue one; the
//! rest is the output, in which a line `...` stands for any lines and `[..]` for any text in a line. All sessions are run in one
//! folder, in the order of [`SESSIONS`]. `DQA_UPDATE_SESSIONS=1` writes what the programs print into the pages.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::error::ErrorKind;
use snapbox::{Assert, IntoData};

/// The pages with sessions. A page uses what those before it have made.
const SESSIONS: [&str; 2] = ["README.md", "docs/guides/first-benchmark.md"];

const PROGRAMS: [(&str, &str); 2] =
    [("dqa-coord", env!("CARGO_BIN_EXE_coord")), ("dqa-worker", env!("CARGO_BIN_EXE_worker"))];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the pages of README and docs, by their paths in the repository.
fn pages() -> Vec<(String, String)> {
    let mut files = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "md" => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// A piece of a page: a block of code with its language, or what is between two.
struct Piece<'p> {
    language: Option<&'p str>,
    text: &'p str,
}

fn pieces(page: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for (number, text) in page.split("```").enumerate() {
        let is_code = number % 2 == 1;
        let language = is_code.then(|| text.split_once('\n').map_or("", |(language, _)| language));
        pieces.push(Piece { language, text });
    }
    assert!(pieces.len() % 2 == 1, "a block of code has no end");
    pieces
}

/// A command of a session and what it prints.
#[derive(Default)]
struct Step {
    /// As it is written, with the prompts.
    shown: String,
    command: String,
    output: String,
}

fn steps(session: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in session.lines().skip(1) {
        if let Some(command) = line.strip_prefix("$ ") {
            let step = Step { shown: format!("{line}\n"), command: command.to_owned(), output: String::new() };
            steps.push(step);
            continue;
        }
        let step = steps.last_mut().expect("a session begins with a command");
        match line.strip_prefix("> ") {
            Some(more) if step.output.is_empty() => {
                writeln!(step.shown, "{line}").unwrap();
                write!(step.command, "\n{more}").unwrap();
            }
            _ => writeln!(step.output, "{line}").unwrap(),
        }
    }
    steps
}

/// A folder in which sessions are run, with the programs on the path.
struct Terminal {
    folder: tempfile::TempDir,
    programs: tempfile::TempDir,
}

impl Terminal {
    fn new() -> Terminal {
        let programs = tempfile::tempdir().unwrap();
        for (name, path) in PROGRAMS {
            std::os::unix::fs::symlink(path, programs.path().join(name)).unwrap();
        }
        Terminal { folder: tempfile::tempdir().unwrap(), programs }
    }

    /// Returns what a command prints to both outputs.
    fn run(&self, command: &str) -> String {
        let path = format!("{}:{}", self.programs.path().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DQA_")) {
            shell.env_remove(name);
        }
        shell.env("PATH", path).env("COLUMNS", "80").env_remove("RUST_LOG");
        String::from_utf8(shell.output().unwrap().stdout).unwrap()
    }
}

#[test]
fn sessions_print_what_the_pages_say() {
    let terminal = Terminal::new();
    let is_update = std::env::var_os("DQA_UPDATE_SESSIONS").is_some();
    let mut wrong = Vec::new();
    let mut count = 0;
    for name in SESSIONS {
        let page = std::fs::read_to_string(root().join(name)).unwrap();
        let mut updated = String::new();
        for piece in pieces(&page) {
            let Some(language) = piece.language else {
                updated.push_str(piece.text);
                continue;
            };
            updated.push_str("```");
            if language != "console" {
                updated.push_str(piece.text);
                updated.push_str("```");
                continue;
            }
            updated.push_str("console\n");
            for step in steps(piece.text) {
                let printed = terminal.run(&step.command);
                count += 1;
                if let Err(error) = Assert::new().normalize_paths(false).try_eq(
                    None,
                    printed.as_str().into_data(),
                    step.output.as_str().into_data(),
                ) {
                    wrong.push(format!("{name}: {}\n{error}", step.command));
                }
                updated.push_str(&step.shown);
                updated.push_str(&printed);
            }
            updated.push_str("```");
        }
        if is_update {
            std::fs::write(root().join(name), updated).unwrap();
        }
    }
    assert!(count > 0, "no page has a session");
    assert!(is_update || wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the commands of our programs in a text, as words. What a shell would do with them is left out.
fn commands(text: &str) -> Vec<Vec<String>> {
    const OPERATORS: [&str; 9] = ["|", ">", "&&", "||", ";", "&", "2>", ">>", "<"];
    let joined = text.replace("\\\n", " ");
    let mut commands = Vec::new();
    for line in joined.lines() {
        let line = line.trim_start_matches(['$', '>', ' ']);
        let Some(words) = shlex::split(line) else { continue };
        for part in words.split(|word| OPERATORS.contains(&word.as_str())) {
            let is_setting =
                |word: &String| word.split_once('=').is_some_and(|(name, _)| !name.contains(['-', '/', ' ']));
            let words: Vec<String> = part.iter().skip_while(|word| is_setting(word)).cloned().collect();
            if words.first().is_some_and(|word| PROGRAMS.iter().any(|(name, _)| word == name)) {
                commands.push(words);
            }
        }
    }
    commands
}

#[test]
fn commands_in_pages_are_valid() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, page) in pages() {
        for piece in pieces(&page).iter().filter(|piece| matches!(piece.language, Some("sh" | "console"))) {
            for words in commands(piece.text) {
                count += 1;
                let command = match words[0].as_str() {
                    "dqa-coord" => dqa_coordinator::cli::command(),
                    _ => dqa_worker::cli::command(),
                };
                let Err(error) = command.try_get_matches_from(&words) else { continue };
                if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
                    wrong.push(format!("{name}: {}\n{error}", words.join(" ")));
                }
            }
        }
    }
    assert!(count > 50, "{count} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
