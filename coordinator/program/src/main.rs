//! The program `dqa`: `dqa-coord` and `dqa-worker` in one file, so that what they share is there once. It acts by the name that it
//! is called by, as a link to it; called `dqa`, by its first word: `dqa coord`, `dqa worker`.

mod shell_files;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Coordinator,
    Worker,
}

/// Benchmarks image dehazing: all programs of dqa in one file.
#[derive(Parser)]
#[command(name = "dqa", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plans, scores and reports: `dqa-coord`.
    Coord(Arguments),
    /// Scores pictures, or shards for a coordinator: `dqa-worker`.
    Worker(Arguments),
    /// Prints the completions of both programs for a shell.
    Completions {
        /// The shell that sources them.
        shell: Shell,
    },
    /// Writes the manual pages of both programs.
    Manual {
        /// The folder of the pages, such as /usr/local/share/man/man1.
        folder: PathBuf,
    },
}

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(role) = arguments.first().and_then(|name| role_by_name(name)) {
        return run(role, arguments);
    }
    match Cli::parse_from(arguments).command {
        Command::Coord(Arguments { rest }) => run(Role::Coordinator, named("dqa coord", rest)),
        Command::Worker(Arguments { rest }) => run(Role::Worker, named("dqa worker", rest)),
        Command::Completions { shell } => ended(shell_files::print_completions(shell)),
        Command::Manual { folder } => ended(shell_files::write_manual(&folder)),
    }
}

/// Returns the program whose name this process was called by.
fn role_by_name(name: &OsStr) -> Option<Role> {
    match Path::new(name).file_stem()?.to_str()? {
        "dqa-coord" => Some(Role::Coordinator),
        "dqa-worker" => Some(Role::Worker),
        _ => None,
    }
}

fn run(role: Role, arguments: Vec<OsString>) -> ExitCode {
    match role {
        Role::Coordinator => dqa_coordinator::cli::run_arguments(arguments),
        Role::Worker => dqa_worker::cli::run_arguments(arguments),
    }
}

fn named(name: &str, rest: Vec<OsString>) -> Vec<OsString> {
    std::iter::once(name.into()).chain(rest).collect()
}

fn ended(result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_says_which_program_it_is() {
        let role = |name: &str| role_by_name(OsStr::new(name));
        assert_eq!(role("/usr/bin/dqa-coord"), Some(Role::Coordinator));
        assert_eq!(role("dqa-worker.exe"), Some(Role::Worker));
        assert_eq!((role("./dqa"), role("")), (None, None));
    }

    #[test]
    fn what_follows_the_word_is_not_looked_at() {
        let cli = Cli::parse_from(["dqa", "worker", "score", "--help", "-x", "--", "a.png"]);
        let Command::Worker(Arguments { rest }) = cli.command else { panic!("it is the worker") };
        assert_eq!(rest, ["score", "--help", "-x", "--", "a.png"]);
    }
}
