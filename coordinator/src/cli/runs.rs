//! `dqa-coord runs`: what a store, or a coordinator, has been asked for.

use dqa_pipelines::status::RunStatus;
use dqa_service::program::{ExitStatus, Format};

use super::remote::RemoteArgs;
use super::run_summary::{self, RunSummary};
use super::{StoreArgs, overview};

/// Lists the runs of a store, or of a coordinator, oldest first.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    remote: RemoteArgs,

    /// How they are written.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let runs = match args.remote.client()? {
        Some(mut client) => overview::runs(&mut client).await?,
        None => {
            let store = args.store.open().await?;
            RunStatus::read_all(&store).await?.iter().map(RunSummary::of_store).collect()
        }
    };
    run_summary::print_all(&runs, args.format)?;
    Ok(ExitStatus::All)
}
