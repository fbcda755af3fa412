//! The `dqa-coord` program and its commands, one file each.

mod answer;
mod compare;
mod control;
mod dataset;
mod demo;
mod detach;
mod explain;
mod here_only;
mod leaderboard;
mod learner;
mod model;
mod named;
mod overview;
mod progress;
mod query;
mod remote;
mod report;
mod run_selector;
mod run_summary;
mod runs;
mod serve;
mod status;
mod study;
mod submit;
mod told_to_end;
mod train;
mod usable;
mod watch;
mod workers;

use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use dqa_pipelines::store::{Store, StoreError};
use dqa_service::program;

use control::Control;

/// Benchmarks image dehazing: scores data sets of dehazed pictures, keeps the results, reports on them.
#[derive(Parser)]
#[command(name = "dqa-coord", version, after_help = EXIT_CODES)]
struct Cli {
    /// A TOML file with a value for any flag: `[submit]` and then `dtype = "bf16"` and so on.
    #[arg(long, global = true, env = "DQA_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Scores data sets and reports on them.
    Submit(Box<submit::Args>),
    /// Learns prompts, or a model, from a data set's labels.
    Train(Box<train::Args>),
    /// Checks a data set, shows it, or lists those that have a definition.
    Dataset(dataset::Args),
    /// Says what a model is, where it is from, and whether prompts fit it.
    Model(Box<model::Args>),
    /// Makes a synthetic data set of dehazed pictures with pseudo-labels.
    Demo(demo::Args),
    /// Draws where the model looks in a picture, and prints its windows' scores.
    Explain(Box<explain::Args>),
    /// Makes the reports of a run again, and shows them.
    Report(report::Args),
    /// Ranks the algorithms of runs.
    Leaderboard(leaderboard::Args),
    /// Says which of several runs agrees better with labels, on the same pictures.
    Compare(compare::Args),
    /// Asks a store by SQL.
    Query(query::Args),
    /// Lists the runs of a store.
    Runs(runs::Args),
    /// Says how far a run is.
    Status(status::Args),
    /// Answers a question that takes many trainings.
    Study(Box<study::Args>),
    /// Takes runs from users and has workers score them.
    Serve(Box<serve::Args>),
    /// Lists a coordinator's workers, or has one end.
    Workers(workers::Args),
    /// Calls a coordinator's run off, and stops what is under way.
    Cancel(control::Args),
    /// Has a coordinator hand out no more of a run.
    Pause(control::Args),
    /// Goes on with a run that was paused, called off, or failed.
    Resume(control::Args),
    /// Scores the pictures of a coordinator's run again that have no score.
    Retry(control::Args),
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 finished with failed rows or problems found, 2 could not run, 75 start it again \
    (serve: another leads, or the store does not answer), 130 and 143 ended by Ctrl-C and by SIGTERM (submit goes on when it is \
    given again).\n\
    Every flag can be given as an environment variable DQA_<FLAG> and in a configuration file; a flag wins over the \
    environment, and that over the file. RUST_LOG sets what is logged to standard error.";

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    run_arguments(std::env::args_os().collect())
}

/// Runs the program; the first of `arguments` is its name.
pub fn run_arguments(arguments: Vec<OsString>) -> ExitCode {
    program::run(arguments, |cli: Cli| match cli.command {
        Command::Submit(args) => block_on(submit::run(&args)),
        Command::Train(args) => block_on(train::run(&args)),
        Command::Dataset(args) => block_on(dataset::run(&args)),
        Command::Model(args) => model::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Report(args) => block_on(report::run(&args)),
        Command::Leaderboard(args) => block_on(leaderboard::run(&args)),
        Command::Compare(args) => block_on(compare::run(&args)),
        Command::Query(args) => block_on(query::run(&args)),
        Command::Runs(args) => block_on(runs::run(&args)),
        Command::Status(args) => block_on(status::run(&args)),
        Command::Study(args) => block_on(study::run(&args)),
        Command::Serve(args) => block_on(serve::run(&args)),
        Command::Workers(args) => block_on(workers::run(&args)),
        Command::Cancel(args) => block_on(control::run(&args, Control::Cancel)),
        Command::Pause(args) => block_on(control::run(&args, Control::Pause)),
        Command::Resume(args) => block_on(control::run(&args, Control::Resume)),
        Command::Retry(args) => block_on(control::run(&args, Control::Retry)),
    })
}

/// Where results are.
#[derive(Clone, Debug, clap::Args)]
struct StoreArgs {
    /// Where results are kept: a folder, or a URL with s3://, gs:// or az://.
    #[arg(long, env = "DQA_STORE", default_value = "dqa-store", value_name = "URL")]
    store: String,
}

impl StoreArgs {
    /// A store to read; a local one must be there.
    async fn open(&self) -> anyhow::Result<Store> {
        StoreArgs::checked(Store::open(&self.store, Path::new(""))).await.context("cannot open the store")
    }

    /// A store to write; a local one is made where there is none.
    async fn create(&self) -> anyhow::Result<Store> {
        StoreArgs::checked(Store::create(&self.store, Path::new(""))).await.context("cannot open the store")
    }

    /// One that answers: said before anything is read or computed.
    async fn checked(store: Result<Store, StoreError>) -> Result<Store, StoreError> {
        let store = store?;
        store.check().await?;
        Ok(store)
    }
}

/// Who works an answer out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// This process, or the coordinator's own.
    Local,
    /// The coordinator's workers.
    Cluster,
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start threads")?;
    let ended = runtime.block_on(work);
    // A coordinator that is told to end does not wait for the runs that it conducts.
    runtime.shutdown_background();
    ended
}
