//! `dqa-coord workers`: lists a coordinator's workers with what they score, or drains one.

use dqa_proto::v1;
use dqa_service::program::{ExitStatus, OutputFormat, note};

use crate::cli::coordinator_args::CoordinatorArgs;
use crate::cli::coordinator_client::{print_workers, status_error};

/// Lists a coordinator's workers, or drains one.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    coordinator: CoordinatorArgs,

    /// Drain this worker: it finishes the shards that it has, and ends.
    #[arg(long, value_name = "WORKER")]
    drain: Option<String>,

    /// Format of the list.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

/// Lists the workers, or drains one.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let mut client = args.coordinator.required_client()?;
    if let Some(id) = &args.drain {
        let drained = client.drain_worker(v1::DrainWorkerRequest { id: id.clone() }).await;
        drained.map_err(|status| status_error(&status))?;
        note(format_args!("worker {id} drains"));
        return Ok(ExitStatus::All);
    }
    let workers = client.list_workers(v1::ListWorkersRequest {}).await.map_err(|status| status_error(&status))?;
    print_workers(&workers.into_inner().workers, args.format)?;
    Ok(ExitStatus::All)
}
