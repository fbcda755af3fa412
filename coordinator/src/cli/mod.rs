//! The program `dqa-coord`: its commands, one file or folder each.

mod args;
#[cfg(feature = "cluster")]
mod cluster_command;
mod cluster_training_args;
mod compare;
mod coordinator_args;
#[cfg(feature = "cluster")]
mod coordinator_client;
mod dataset;
mod dataset_init;
mod demo;
mod detach;
mod explain;
mod export;
mod import_scores;
mod kept_trainings;
mod leaderboard;
mod local_only;
mod metrics;
mod model;
mod output;
mod progress;
mod query;
mod redefine_args;
#[cfg(feature = "cluster")]
mod remote_training;
mod report;
mod resource_args;
mod result_format;
mod run_selector;
mod run_summary;
mod run_table;
mod runs;
mod self_check;
mod site;
mod status;
mod store;
mod study;
mod submit;
mod train;
mod training_data;
mod trainings;
mod verify;
mod view;
mod watch_refresh;
#[cfg(not(feature = "cluster"))]
mod without_cluster_feature;

use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use dqa_service::program;

#[cfg(feature = "cluster")]
use cluster_command::ClusterCommand;
#[cfg(not(feature = "cluster"))]
use without_cluster_feature::ClusterCommand;

/// Benchmarks image dehazing: scores data sets of pictures, and reports on them.
#[derive(Parser)]
#[command(name = "dqa-coord", version, after_help = AFTER_HELP)]
struct Cli {
    /// TOML file with values for flags, in sections: `[submit]`.
    #[arg(long, global = true, env = "DQA_CONFIG", hide_env = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Scores data sets and reports on them.
    Submit(Box<submit::Args>),
    /// Trains prompts, or a model, on a data set's labels.
    Train(Box<train::Args>),
    /// Lists the trainings of a store.
    Trainings(trainings::Args),
    /// Checks, shows, defines or lists data sets.
    Dataset(dataset::Args),
    /// Describes a model, and says whether prompts fit it.
    Model(Box<model::Args>),
    /// Lists the metrics that pictures can be scored by.
    Metrics(metrics::Args),
    /// Imports scores that other code made, as a metric of its own.
    ImportScores(Box<import_scores::Args>),
    /// Makes a synthetic data set with pseudo-labels.
    Demo(demo::Args),
    /// Draws where the model looks, with the scores of the windows.
    Explain(Box<explain::Args>),
    /// Makes a run's reports again and shows them.
    Report(report::Args),
    /// Ranks the algorithms of runs.
    Leaderboard(leaderboard::Args),
    /// Compares how runs over the same pictures agree with labels.
    Compare(compare::Args),
    /// Queries a store by SQL.
    Query(query::Args),
    /// Lists the runs of a store.
    Runs(runs::Args),
    /// Shows a run's progress.
    Status(status::Args),
    /// Checks and repairs a store.
    Store(store::Args),
    /// Checks a run's result: computes tables and sampled rows again.
    Verify(verify::Args),
    /// Serves the pages of a store on this machine.
    View(view::Args),
    /// Writes the pages of a run as a folder to publish.
    Site(site::Args),
    /// Writes the tables of a run as files for others.
    Export(export::Args),
    /// Answers a question that takes many trainings, or all metrics.
    Study(Box<study::Args>),
    /// Says what this program and this machine can do.
    SelfCheck(self_check::Args),
    #[command(flatten)]
    Cluster(ClusterCommand),
}

const AFTER_HELP: &str = "\
Begin: `dqa-coord demo make demo`; your own: `dqa-coord dataset init FOLDER`.\n\
Exit codes: 0 done; 1 failed rows or problems; 2 could not run; 75 restart it.\n\
Flags are also variables (DQA_STORE) and keys of --config: `COMMAND --help`.";

/// Returns the definition of the command line.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    run_arguments(std::env::args_os().collect())
}

/// Runs the program; the first of `arguments` is its name.
pub fn run_arguments(arguments: Vec<OsString>) -> ExitCode {
    program::run(arguments, |cli: Cli| match cli.command {
        Command::Submit(args) => block_on(submit::run(&args)),
        Command::Train(args) => block_on(train::run(&args)),
        Command::Trainings(args) => block_on(trainings::run(&args)),
        Command::Dataset(args) => block_on(dataset::run(&args)),
        Command::Model(args) => model::run(&args),
        Command::Metrics(args) => metrics::run(&args),
        Command::ImportScores(args) => block_on(import_scores::run(&args)),
        Command::Demo(args) => demo::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Report(args) => block_on(report::run(&args)),
        Command::Leaderboard(args) => block_on(leaderboard::run(&args)),
        Command::Compare(args) => block_on(compare::run(&args)),
        Command::Query(args) => block_on(query::run(&args)),
        Command::Runs(args) => block_on(runs::run(&args)),
        Command::Status(args) => block_on(status::run(&args)),
        Command::Store(args) => block_on(store::run(&args)),
        Command::Verify(args) => block_on(verify::run(&args)),
        Command::View(args) => block_on(view::run(&args)),
        Command::Site(args) => block_on(site::run(&args)),
        Command::Export(args) => block_on(export::run(&args)),
        Command::Study(args) => block_on(study::run(&args)),
        Command::SelfCheck(args) => block_on(self_check::run(&args)),
        Command::Cluster(command) => block_on(command.run()),
    })
}

fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start threads")?;
    let result = runtime.block_on(future);
    // A coordinator that is stopped does not wait for the threads of its runs.
    runtime.shutdown_background();
    result
}
