//! The runtime of a command: arguments from the command line, the environment and a configuration file; exit status;
//! error messages with causes and hints; logs.

mod config;
pub mod help;
mod renamed_variables;
mod stop_signal;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Parser, ValueEnum};
pub use config::SECTIONS;
pub use dqa_engine::console::{note, progress_bar};
pub use dqa_engine::provenance::{command_line, host};
use dqa_pipelines::Hint;
use dqa_pipelines::store::StoreFault;
pub use stop_signal::{EndOnSignal, StopSignal, end_line, end_on_signal};

use crate::telemetry;

/// The exit status of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Everything succeeded: exit code 0.
    All,
    /// The command finished, and some rows failed: exit code 1.
    SomeFailed,
    /// The process cannot continue, and another one can: exit code 75, EX_TEMPFAIL of sysexits.h.
    Restart,
    /// The command has printed its message and ends with this exit code.
    Exit(u8),
}

impl StopSignal {
    /// Returns the exit status of a command that the signal ended.
    pub fn exit_status(self) -> ExitStatus {
        ExitStatus::Exit(self.exit_code())
    }
}

/// The format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// A table for reading.
    Table,
    /// One JSON object per line.
    Json,
    /// CSV with a header.
    Csv,
}

/// A result cannot be written to standard output.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the results")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Returns whether the reader closed the pipe, which is not a failure: it has read enough.
    fn is_closed_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Runs a program: parses `arguments`, the first of which is the program's name, and calls `command` with the result.
pub fn run<C: Parser>(arguments: Vec<OsString>, command: impl FnOnce(C) -> anyhow::Result<ExitStatus>) -> ExitCode {
    telemetry::log(log_level(&C::command(), &arguments));
    match parse(arguments).and_then(command) {
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

/// Returns the default log filter: commands that run for days log what they do. Ballista's scheduler warns that it
/// cannot call a worker to cancel a task; the coordinator stops the worker's attempt in another way, so that log is
/// off.
fn log_level(program: &clap::Command, arguments: &[OsString]) -> &'static str {
    match config::command_name(program, arguments) {
        Some("serve" | "run") => {
            "warn,dqa_coordinator=info,dqa_engine=info,dqa_service=info,dqa_worker=info,ballista_scheduler::state::executor_manager=off"
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
    let parser = help::with_help(config::parser(program.clone(), &arguments), &arguments);
    let is_known = config::command_name(&program, &arguments).is_some();
    let parsed = parser.try_get_matches_from(config::with_file(&program, arguments)?);
    match parsed.and_then(|matches| C::from_arg_matches(&matches)) {
        Ok(parsed) => Ok(parsed),
        // This also prints help and version, with exit code 0; an invalid argument exits with 2.
        Err(error) if is_known => error.exit(),
        Err(error) => with_inner_commands(error, &program).exit(),
    }
}

/// Lets the error about an unknown command name what has this name within other commands: `runs rm` for `rm`.
fn with_inner_commands(mut error: clap::Error, program: &clap::Command) -> clap::Error {
    if let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidSubcommand) {
        let found = program.get_subcommands().filter_map(|outer| {
            let inner = outer.find_subcommand(unknown).map(|inner| inner.get_name().to_owned());
            Some(format!("{} {}", outer.get_name(), inner.or_else(|| first_word(outer, unknown))?))
        });
        let found: Vec<String> = found.collect();
        if !found.is_empty() {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(found));
        }
    }
    error
}

/// Returns `word` if it is one of those that a command can begin with, as `check` of `dataset check`.
fn first_word(command: &clap::Command, word: &str) -> Option<String> {
    let values = command.get_positionals().next()?.get_possible_values();
    values.iter().any(|value| value.matches(word, false)).then(|| word.to_owned())
}

/// Prints an error, the chain of its causes, and the hint.
pub fn print_error(error: &anyhow::Error) {
    note(format_args!("error: {error}"));
    let mut printed = error.to_string();
    for cause in error.chain().skip(1) {
        // Some causes have several lines: they mark the place in the text below it.
        let cause = cause.to_string();
        // Some errors contain their causes' text already.
        if printed.contains(cause.trim_end()) {
            continue;
        }
        printed.clone_from(&cause);
        note(format_args!("  caused by: {}", cause.trim_end().replace('\n', "\n    ")));
    }
    if let Some(hint) = hint_of(error) {
        note(format_args!("hint: {hint}"));
    }
}

/// Returns the hint of an error: the one that was added to it or to a cause, or what its store's fault knows.
pub fn hint_of(error: &anyhow::Error) -> Option<String> {
    let added = error.chain().find_map(|cause| cause.downcast_ref::<ErrorWithHint>());
    let of_store = || error.chain().find_map(|cause| cause.downcast_ref::<StoreFault>()?.hint());
    added.map(|with_hint| with_hint.hint.clone()).or_else(of_store)
}

/// An error with a hint. It is displayed as the error alone; `print_error` prints the hint last.
#[derive(Debug)]
struct ErrorWithHint {
    error: anyhow::Error,
    hint: String,
}

impl fmt::Display for ErrorWithHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for ErrorWithHint {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Adds the error's own hint to it, if it has one.
pub fn with_own_hint(error: impl Hint + Send + Sync + 'static) -> anyhow::Error {
    match error.hint() {
        Some(hint) => with_hint(error.into(), hint),
        None => error.into(),
    }
}

/// Adds a hint to an error.
pub fn with_hint(error: anyhow::Error, hint: impl Into<String>) -> anyhow::Error {
    ErrorWithHint { error, hint: hint.into() }.into()
}
