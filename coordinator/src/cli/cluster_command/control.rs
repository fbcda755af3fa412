//! `dqa-coord cancel`, `pause`, `resume` and `retry`: change the state of a coordinator's run.

use dqa_proto::v1;
use dqa_service::program::{ExitStatus, note};

use crate::cli::coordinator_args::CoordinatorArgs;
use crate::cli::coordinator_client::{find_named_run, require_run, run_line, status_error};
use crate::cli::run_selector::NamedRun;

/// A run of a coordinator.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    run: NamedRun,

    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

/// The change to make.
#[derive(Clone, Copy)]
pub(super) enum RunAction {
    Cancel,
    Pause,
    Resume,
    Retry,
}

/// Requests the change from the coordinator, and notes the run's state after it.
pub(super) async fn run(args: &Args, action: RunAction) -> anyhow::Result<ExitStatus> {
    let mut client = args.coordinator.required_client()?;
    let found = find_named_run(&mut client, &args.run).await?;
    let progress = found.progress.unwrap_or_default();
    let has_nothing_to_retry = found.state() == v1::RunState::Complete
        && progress.pictures_failed == 0
        && progress.shards_done == progress.shards;
    if matches!(action, RunAction::Retry) && has_nothing_to_retry {
        note(format_args!("run {} has no failed pictures: there is nothing to score again", found.name));
        return Ok(ExitStatus::All);
    }
    let name = found.name;
    let run = match action {
        RunAction::Cancel => {
            client.cancel_run(v1::CancelRunRequest { name }).await.map(|answer| answer.into_inner().run)
        }
        RunAction::Pause => client.pause_run(v1::PauseRunRequest { name }).await.map(|answer| answer.into_inner().run),
        RunAction::Resume => {
            client.resume_run(v1::ResumeRunRequest { name }).await.map(|answer| answer.into_inner().run)
        }
        RunAction::Retry => {
            client.retry_failed(v1::RetryFailedRequest { name }).await.map(|answer| answer.into_inner().run)
        }
    };
    let run = require_run(run.map_err(|status| status_error(&status))?)?;
    note(format_args!("{}", run_line(&run)));
    Ok(ExitStatus::All)
}
