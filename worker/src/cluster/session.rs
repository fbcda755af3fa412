//! The worker's stream to its coordinator: it says what is under way, and is told what to stop. It is opened again
//! for ever; each report is the whole state, so that nothing depends on one that was lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use dqa_proto::v1::worker_service_client::WorkerServiceClient;
use dqa_proto::v1::{AttendRequest, AttendResponse, FailureKind, Hello, attend_request, attend_response};
use dqa_service::net::{Caller, said};
use dqa_service::telemetry::metrics;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tracing::{info, warn};

use super::node::Node;

/// Between two tries: at first, and at most.
const AGAIN_MIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// A coordinator on a network that drops packets does not answer; it is not waited for longer than this.
const WELCOME_MAX: Duration = Duration::from_secs(10);

type Client = WorkerServiceClient<InterceptedService<Channel, Caller>>;

/// What the stream is for.
pub(super) struct Session {
    pub(super) node: Arc<Node>,
    pub(super) hello: Hello,
    /// Wakes Ballista's poll.
    pub(super) poll: Arc<Notify>,
    /// Told once this worker is known.
    pub(super) ready: Arc<AtomicBool>,
    /// Set when the coordinator asks for it.
    pub(super) drain: Arc<Notify>,
}

impl Session {
    /// Attends for ever, at one of `coordinators` after the other.
    ///
    /// # Errors
    /// Where the first answer is that this worker is not wanted: another version, a wrong token. Later it may be that
    /// the coordinator is being changed, and there is another try.
    pub(super) async fn attend(&self, coordinators: Vec<(String, Channel)>, caller: Caller) -> Status {
        let mut wait = AGAIN_MIN;
        let mut was_welcome = false;
        for (url, channel) in coordinators.iter().cycle() {
            let client = WorkerServiceClient::with_interceptor(channel.clone(), caller.clone());
            let status = self.session(client, url, &mut wait, &mut was_welcome).await;
            self.ready.store(false, Relaxed);
            metrics::CONNECTED.set(0);
            let is_refusal = matches!(
                status.code(),
                Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition | Code::InvalidArgument
            );
            if is_refusal && !was_welcome {
                return status;
            }
            warn!(coordinator = url, code = ?status.code(), why = said(&status), "no coordinator; trying again");
            let share: f64 = rand::random_range(0.5..1.0);
            tokio::time::sleep(wait.mul_f64(share)).await;
            wait = (wait * 2).min(AGAIN_MAX);
        }
        Status::internal("there is no address of a coordinator")
    }

    /// One stream, to its end; why it ended.
    async fn session(&self, mut client: Client, url: &str, wait: &mut Duration, was_welcome: &mut bool) -> Status {
        // One report waits while another is on its way.
        let (out, requests) = mpsc::channel(2);
        let hello = AttendRequest { message: Some(attend_request::Message::Hello(self.hello.clone())) };
        if out.send(hello).await.is_err() {
            return Status::internal("the stream closed before it began");
        }
        let opened = tokio::time::timeout(WELCOME_MAX, async {
            let mut answers = client.attend(ReceiverStream::new(requests)).await?.into_inner();
            match next(&mut answers).await?.message {
                Some(attend_response::Message::Welcome(welcome)) => Ok((answers, welcome)),
                _ => Err(Status::internal("a coordinator begins with a welcome")),
            }
        });
        let (mut answers, welcome) = match opened.await {
            Err(_) => return Status::deadline_exceeded("it does not answer"),
            Ok(Err(status)) => return status,
            Ok(Ok(opened)) => opened,
        };
        info!(coordinator = url, id = welcome.coordinator_id, "welcome");
        (*wait, *was_welcome) = (AGAIN_MIN, true);
        self.ready.store(true, Relaxed);
        metrics::CONNECTED.set(1);
        let mut every = tokio::time::interval(Duration::from_millis(u64::from(welcome.report_every_millis.max(100))));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                answer = next(&mut answers) => match answer {
                    Err(status) => return status,
                    Ok(AttendResponse { message: Some(message) }) => self.hear(message),
                    Ok(AttendResponse { message: None }) => {}
                },
                _ = every.tick() => {
                    if let Err(status) = self.tell(&out).await { return status }
                }
                () = self.node.changed() => {
                    if let Err(status) = self.tell(&out).await { return status }
                }
            }
        }
    }

    async fn tell(&self, out: &mpsc::Sender<AttendRequest>) -> Result<(), Status> {
        let report = AttendRequest { message: Some(attend_request::Message::Report(self.node.report())) };
        let sent = tokio::time::timeout(WELCOME_MAX, out.send(report)).await;
        sent.map_err(|_| Status::deadline_exceeded("it takes no reports"))?
            .map_err(|_| Status::unavailable("the stream is closed"))
    }

    fn hear(&self, message: attend_response::Message) {
        match message {
            attend_response::Message::Poll(_) => self.poll.notify_one(),
            attend_response::Message::Stop(stop) => self.node.stop(&stop.attempts, FailureKind::Stopped),
            attend_response::Message::Acknowledge(known) => self.node.acknowledge(&known.attempts),
            attend_response::Message::Drain(_) => self.drain.notify_one(),
            attend_response::Message::Welcome(_) => {}
        }
    }
}

async fn next(answers: &mut Streaming<AttendResponse>) -> Result<AttendResponse, Status> {
    answers.message().await?.ok_or_else(|| Status::unavailable("the coordinator closed the stream"))
}
