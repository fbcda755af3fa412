//! `dqa-coord cancel`, `pause`, `resume` and `retry`: what becomes of a coordinator's run.

use dqa_proto::v1;
use dqa_service::program::{ExitStatus, note};

use super::remote::{RemoteArgs, given, refusal};
use super::run_selector::NamedRun;
use super::watch;

/// A run of a coordinator.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    run: NamedRun,

    #[command(flatten)]
    remote: RemoteArgs,
}

/// What is to become of it.
#[derive(Clone, Copy)]
pub(super) enum Control {
    Cancel,
    Pause,
    Resume,
    Retry,
}

pub(super) async fn run(args: &Args, control: Control) -> anyhow::Result<ExitStatus> {
    let mut client = args.remote.required()?;
    let name = args.run.remote(&mut client).await?.name;
    let run = match control {
        Control::Cancel => client.cancel_run(v1::CancelRunRequest { name }).await.map(|answer| answer.into_inner().run),
        Control::Pause => client.pause_run(v1::PauseRunRequest { name }).await.map(|answer| answer.into_inner().run),
        Control::Resume => client.resume_run(v1::ResumeRunRequest { name }).await.map(|answer| answer.into_inner().run),
        Control::Retry => {
            client.retry_failed(v1::RetryFailedRequest { name }).await.map(|answer| answer.into_inner().run)
        }
    };
    let run = given(run.map_err(|status| refusal(&status))?)?;
    note(format_args!("{}", watch::line(&run)));
    Ok(ExitStatus::All)
}
