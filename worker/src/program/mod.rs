//! What every program of dqa does alike: arguments from the command line, the environment and a configuration file; exit
//! codes; errors with their causes and what to do; logs.

mod config;
mod renamed_variables;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write, stderr};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use dqa_pipelines::store::StoreFault;

use crate::telemetry;

/// How a command that ran ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// All that was asked for: exit code 0.
    All,
    /// It went to its end, and some rows failed: exit code 1.
    SomeFailed,
    /// It could not go on, and another process can: exit code 75, EX_TEMPFAIL of sysexits.h.
    Restart,
    /// It said why, and ends with this exit code.
    Exit(u8),
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For reading.
    Table,
    /// One object a line.
    Json,
    /// With a header.
    Csv,
}

/// Standard output did not take a result.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the results")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Its reader went away: it has seen what it wanted.
    fn is_closed_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// The machine's name, for the record.
pub fn host() -> String {
    hostname::get().map_or_else(|_| "unknown".to_owned(), |host| host.to_string_lossy().into_owned())
}

/// What this process was started with, for the record. What is not UTF-8 in it is shown as far as it is.
pub fn command_line() -> String {
    std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs a program; the first of `arguments` is its name. `act` gets what the rest say.
pub fn run<C: Parser>(arguments: Vec<OsString>, act: impl FnOnce(C) -> anyhow::Result<ExitStatus>) -> ExitCode {
    telemetry::log(log_level(&C::command(), &arguments));
    match parse(arguments).and_then(act) {
        Ok(ExitStatus::All) => ExitCode::SUCCESS,
        Ok(ExitStatus::SomeFailed) => ExitCode::from(1),
        Ok(ExitStatus::Restart) => ExitCode::from(75),
        Ok(ExitStatus::Exit(code)) => ExitCode::from(code),
        Err(error) if error.chain().any(is_closed_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::from(2)
        }
    }
}

/// Commands that run for days say what they do. Ballista's scheduler complains that it cannot call a worker to cancel a
/// task; the coordinator tells it in another way.
fn log_level(program: &clap::Command, arguments: &[OsString]) -> &'static str {
    match config::name_of_command(program, arguments) {
        Some("serve" | "run") => {
            "warn,dqa_coordinator=info,dqa_worker=info,ballista_scheduler::state::executor_manager=off"
        }
        _ => "warn",
    }
}

fn is_closed_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref().is_some_and(OutputError::is_closed_pipe)
}

fn parse<C: Parser>(arguments: Vec<OsString>) -> anyhow::Result<C> {
    let (program, warnings) = renamed_variables::read_old_names(C::command(), &arguments);
    warnings.iter().for_each(|warning| note(format_args!("{warning}")));
    let parser = config::parser(program.clone(), &arguments);
    let parsed = parser.try_get_matches_from(config::with_file(&program, arguments)?);
    match parsed.and_then(|matches| C::from_arg_matches(&matches)) {
        Ok(parsed) => Ok(parsed),
        // Prints help and version too; those exit 0, a wrong argument 2.
        Err(error) => error.exit(),
    }
}

/// One line for people, on standard error. Nobody need be there to read it: `eprintln!` would panic on the closed pipe
/// of `2>&1 | head`.
pub fn note(line: fmt::Arguments<'_>) {
    let _ = writeln!(stderr(), "{line}");
}

/// The chain of causes, then what to do.
pub fn print_error(error: &anyhow::Error) {
    note(format_args!("error: {error}"));
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        // Some causes draw what they mean under the line that they found it in.
        let cause = cause.to_string();
        // And some errors print their causes themselves.
        if said.contains(cause.trim_end()) {
            continue;
        }
        said.clone_from(&cause);
        note(format_args!("  caused by: {}", cause.trim_end().replace('\n', "\n    ")));
    }
    if let Some(advised) = error.chain().find_map(|cause| cause.downcast_ref::<Advised>()) {
        note(format_args!("hint: {}", advised.hint));
    } else if let Some(hint) = error.chain().find_map(|cause| cause.downcast_ref::<StoreFault>()?.hint()) {
        note(format_args!("hint: {hint}"));
    }
}

/// An error with what to do about it. In a chain of causes it stands for the error alone: the hint comes last.
#[derive(Debug)]
struct Advised {
    error: anyhow::Error,
    hint: String,
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
pub fn with_hint(error: anyhow::Error, hint: impl Into<String>) -> anyhow::Error {
    Advised { error, hint: hint.into() }.into()
}
