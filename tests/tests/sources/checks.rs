//! What no source file may do again: show an error without its causes. `causes` of dqa-pipelines, and `said` of dqa-service for
//! a gRPC status, are the ways to show one.

use std::path::{Path, PathBuf};

/// Of these crates; those below them cannot use `causes` and log nothing.
const FOLDERS: [&str; 6] = [
    "pipelines/src",
    "pipelines/query/src",
    "worker/src",
    "worker/engine/src",
    "worker/service/src",
    "coordinator/src",
];

/// An error as a field of a log line, or as a text that goes into a status, a record or a row.
const FORBIDDEN: [&str; 15] = [
    "%error",
    "%err,",
    "%err)",
    "%source",
    "?error",
    "?err,",
    "?err)",
    "%status",
    "?status,",
    "= error,",
    "error.to_string()",
    "err.to_string()",
    "status.message()",
    "{error:#}",
    "{:#}\"",
];

/// Where it is right: the file, and what its line contains.
const ALLOWED: [(&str, &str); 5] = [
    // The one way.
    ("pipelines/src/causes.rs", ""),
    ("worker/service/src/net/status_text.rs", "status.message()"),
    // It is read here, not shown.
    ("pipelines/src/store/remote/diagnostics.rs", "let text = error.to_string();"),
    // For people: a TOML error draws the line that it is in.
    ("coordinator/src/cli/dataset.rs", "note(format_args!(\"{:#}\""),
    // Its causes follow, each on a line of its own.
    ("worker/service/src/program/mod.rs", "let mut printed = error.to_string();"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_error_is_shown_without_its_causes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    FOLDERS.iter().for_each(|folder| sources(&root.join(folder), &mut files));
    files.retain(|path| path.file_name().is_none_or(|name| name != "tests.rs"));
    assert!(files.len() > 100, "{}", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (at, line) in code.lines().enumerate() {
            let is_allowed = ALLOWED.iter().any(|(file, says)| name == *file && line.contains(says));
            let is_comment = line.trim_start().starts_with("//");
            if !is_allowed && !is_comment && FORBIDDEN.iter().any(|text| line.contains(text)) {
                wrong.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "show these by `causes(&error)`, or `status_text(&status)`:\n{}", wrong.join("\n"));
}
