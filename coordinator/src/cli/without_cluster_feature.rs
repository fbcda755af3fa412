//! Takes the place of `coordinator_client` and `cluster_command` in a build without the feature `cluster`: every
//! command that needs a coordinator ends with an error that says how to get a program that has one.

use std::ffi::OsString;
use std::path::Path;

use anyhow::anyhow;
use clap::Subcommand;
use dqa_service::program::ExitStatus;

/// Commands that this build lacks.
#[derive(Subcommand)]
pub(super) enum ClusterCommand {
    /// Missing from this build: runs a coordinator.
    Serve(AnyArgs),
    /// Missing from this build: lists a coordinator's workers, or drains one.
    Workers(AnyArgs),
    /// Missing from this build: cancels a coordinator's run.
    Cancel(AnyArgs),
    /// Missing from this build: pauses a coordinator's run.
    Pause(AnyArgs),
    /// Missing from this build: resumes a coordinator's run.
    Resume(AnyArgs),
    /// Missing from this build: scores the failed pictures of a coordinator's run again.
    Retry(AnyArgs),
}

/// Arguments that are not looked at.
#[derive(clap::Args)]
pub(super) struct AnyArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

impl ClusterCommand {
    /// Fails: the command needs the feature `cluster`.
    pub(super) async fn run(&self) -> anyhow::Result<ExitStatus> {
        Err(no_cluster())
    }
}

/// A client of a coordinator, of which there is none in this build.
pub(super) enum Client {}

/// Fails: a coordinator can only be reached with the feature `cluster`.
pub(super) fn connect(_token_file: Option<&Path>, _insecure: bool) -> anyhow::Result<Client> {
    Err(no_cluster())
}

/// Stands for every command's `remote::run`, which has no client to run with.
pub(super) async fn run<A>(_args: &A, client: Client) -> anyhow::Result<ExitStatus> {
    match client {}
}

fn no_cluster() -> anyhow::Error {
    anyhow!(
        "this build of dqa-coord cannot use a cluster: install one with the feature `cluster`, as \
         `cargo install --locked --path coordinator` does by default"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinator_is_refused_with_a_way_to_get_one() {
        let refused = connect(None, false).err().unwrap();
        assert!(refused.to_string().contains("cargo install --locked --path coordinator"), "{refused}");
    }
}
