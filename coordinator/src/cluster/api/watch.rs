//! Streams of a run's state: one message for each change, and a last one at its end.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dqa_proto::v1::WatchRunResponse;
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::run_lookup::FoundRun;
use crate::cluster::active_run::ActiveRun;
use crate::cluster::control_plane::ControlPlane;
use crate::cluster::run_view;

/// Minimum time between two messages, because many shards may end at once.
const MESSAGE_INTERVAL_MIN: Duration = Duration::from_millis(100);

type Messages = Pin<Box<dyn Stream<Item = Result<WatchRunResponse, Status>> + Send>>;

/// Watches a run. A run that is only in the store does not change: its stream has one message.
pub(super) async fn watch(plane: Arc<ControlPlane>, run: FoundRun) -> Result<Messages, Status> {
    match run {
        FoundRun::Active(run) => {
            let (sender, messages) = mpsc::channel(2);
            tokio::spawn(send_changes(plane, run, sender));
            Ok(Box::pin(ReceiverStream::new(messages)))
        }
        FoundRun::Stored(_) => {
            let message = WatchRunResponse { run: Some(run.view(&plane).await?) };
            Ok(Box::pin(futures::stream::iter([Ok(message)])))
        }
    }
}

async fn send_changes(
    plane: Arc<ControlPlane>,
    run: Arc<ActiveRun>,
    sender: mpsc::Sender<Result<WatchRunResponse, Status>>,
) {
    let mut changes = run.changes();
    loop {
        let has_ended = !run.state().is_active();
        let view = run_view::view_active(&plane, &run).await;
        let is_error = view.is_err();
        let message = view.map(|run| WatchRunResponse { run: Some(run) });
        if sender.send(message).await.is_err() || has_ended || is_error {
            return;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
        }
        tokio::time::sleep(MESSAGE_INTERVAL_MIN).await;
    }
}
