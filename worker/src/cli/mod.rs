//! The `dqa-worker` program and its commands.

mod inputs;
mod output;
mod progress;
mod references;
pub mod run;
mod score;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use dqa_service::program;

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
    /// Scores shards for a coordinator.
    Run(Box<run::Args>),
}

const EXIT_CODES: &str = "Exit codes: 0 all scored, or drained; 1 some pictures have no score; 2 could not run; 75 a device was lost, \
    start it again.\n\
    Every flag can be given as an environment variable DQA_<FLAG> and in a configuration file; a flag wins over the \
    environment, and that over the file. RUST_LOG sets what is logged to standard error.";

/// Returns the definition of the command line.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    run_arguments(std::env::args_os().collect())
}

/// Runs the program; the first of `arguments` is its name.
pub fn run_arguments(arguments: Vec<OsString>) -> ExitCode {
    program::run(arguments, |cli: Cli| match cli.command {
        Command::Score(args) => score::run(&args),
        Command::Run(args) => run::run(&args),
    })
}
