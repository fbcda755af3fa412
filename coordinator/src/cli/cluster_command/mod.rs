//! Commands that only a cluster has. Compiled with the feature `cluster`; without it `without_cluster_feature.rs` has commands of
//! the same names that fail.

mod control;
mod serve;
mod workers;

use clap::Subcommand;
use dqa_service::program::ExitStatus;

use control::RunAction;

/// Commands for a coordinator, its workers and its runs.
#[derive(Subcommand)]
pub(in crate::cli) enum ClusterCommand {
    /// Runs a coordinator, which has workers score the runs of users.
    Serve(Box<serve::Args>),
    /// Lists a coordinator's workers, or drains one.
    Workers(workers::Args),
    /// Cancels a coordinator's run and stops what is being scored.
    Cancel(control::Args),
    /// Pauses a coordinator's run: no more of it is handed to workers.
    Pause(control::Args),
    /// Resumes a coordinator's paused, cancelled or failed run.
    Resume(control::Args),
    /// Scores the failed pictures of a coordinator's run again.
    Retry(control::Args),
}

impl ClusterCommand {
    /// Runs the command.
    pub(in crate::cli) async fn run(&self) -> anyhow::Result<ExitStatus> {
        match self {
            ClusterCommand::Serve(args) => serve::run(args).await,
            ClusterCommand::Workers(args) => workers::run(args).await,
            ClusterCommand::Cancel(args) => control::run(args, RunAction::Cancel).await,
            ClusterCommand::Pause(args) => control::run(args, RunAction::Pause).await,
            ClusterCommand::Resume(args) => control::run(args, RunAction::Resume).await,
            ClusterCommand::Retry(args) => control::run(args, RunAction::Retry).await,
        }
    }
}
