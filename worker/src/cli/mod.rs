//! The `dqa-worker` program: its commands, its exit codes, how it ends.

mod config;
mod inputs;
mod output;
mod progress;
mod score;

use std::ffi::OsString;
use std::fmt;
use std::io::{IsTerminal, Write, stderr};
use std::process::ExitCode;

use clap::{FromArgMatches, Parser, Subcommand};
use output::Unwritten;

/// Scores dehazed pictures with CLIP-DQA, without a reference.
#[derive(Parser)]
#[command(name = "dqa-worker", version, after_help = EXIT_CODES)]
struct Cli {
    /// A TOML file with a value for any flag: `[score]` and then `dtype = "bf16"` and so on.
    #[arg(long, global = true, env = "DQA_CONFIG", value_name = "FILE")]
    config: Option<std::path::PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Scores pictures and prints one result each.
    Score(Box<score::Args>),
}

const EXIT_CODES: &str = "Exit codes: 0 all scored, 1 some pictures have no score, 2 could not run.\n\
    Every flag can be given as an environment variable DQA_<FLAG> and in a configuration file; a flag wins over the \
    environment, and that over the file. RUST_LOG sets what is logged to standard error.";

/// How a command that ran ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    All,
    SomeFailed,
}

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    run_arguments(std::env::args_os().collect())
}

/// Runs the program; the first of `arguments` is its name.
pub fn run_arguments(arguments: Vec<OsString>) -> ExitCode {
    log_to_stderr();
    match run(arguments) {
        Ok(Done::All) => ExitCode::SUCCESS,
        Ok(Done::SomeFailed) => ExitCode::from(1),
        Err(error) if error.downcast_ref().is_some_and(Unwritten::is_closed_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Vec<OsString>) -> anyhow::Result<Done> {
    let parser = config::parser(&arguments);
    let parsed = parser.try_get_matches_from(config::with_file(arguments)?);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        // Prints help and version too; those exit 0, a wrong argument 2.
        Err(error) => error.exit(),
    };
    match cli.command {
        Command::Score(args) => score::run(&args),
    }
}

/// One line for people, on standard error. Nobody need be there to read it: `eprintln!` would panic on the closed pipe
/// of `2>&1 | head`.
fn note(line: fmt::Arguments<'_>) {
    let _ = writeln!(stderr(), "{line}");
}

/// The chain of causes, then what to do.
fn print_error(error: &anyhow::Error) {
    note(format_args!("error: {error}"));
    for cause in error.chain().skip(1) {
        // Some causes draw what they mean under the line that they found it in.
        let cause = cause.to_string();
        note(format_args!("  caused by: {}", cause.trim_end().replace('\n', "\n    ")));
    }
    if let Some(advised) = error.chain().find_map(|cause| cause.downcast_ref::<Advised>()) {
        note(format_args!("hint: {}", advised.hint));
    }
}

/// An error with what to do about it. In a chain of causes it stands for the error alone: the hint comes last.
#[derive(Debug)]
struct Advised {
    error: anyhow::Error,
    hint: &'static str,
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Advised {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Puts a hint with an error.
fn advise(error: anyhow::Error, hint: &'static str) -> anyhow::Error {
    Advised { error, hint }.into()
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .log_internal_errors(false) // it would report a closed pipe to that pipe, and panic
        .with_ansi(stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
}
