//! The worker's session with its coordinator: a stream on which it reports its state and receives requests. A lost
//! stream is reopened without limit. Each report is the whole state, so that a lost one does no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use dqa_proto::v1::worker_service_client::WorkerServiceClient;
use dqa_proto::v1::{AttendRequest, AttendResponse, FailureKind, Hello, attend_request, attend_response};
use dqa_service::net::{AuthInterceptor, status_text};
use dqa_service::telemetry::metrics;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tracing::{info, warn};

use super::node::Node;

/// Backoff between attempts to open a session.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Time that the coordinator has to answer, on a network that may drop packets.
const ANSWER_MAX: Duration = Duration::from_secs(10);

type Client = WorkerServiceClient<InterceptedService<Channel, AuthInterceptor>>;

/// The session of a worker.
pub struct Session {
    /// The worker's state.
    pub node: Arc<Node>,
    /// What the worker registers with.
    pub hello: Hello,
    /// Wakes Ballista's poll loop.
    pub poll: Arc<Notify>,
    /// Set while a coordinator knows this worker.
    pub ready: Arc<AtomicBool>,
    /// Notified when the coordinator asks the worker to drain.
    pub drain: Arc<Notify>,
}

impl Session {
    /// Keeps a session with one of `coordinators` after the other. Returns only if the first answer is a refusal:
    /// another version, or an invalid token. A later refusal may be temporary, while the coordinator is replaced, and
    /// is retried.
    pub async fn run(&self, coordinators: Vec<(String, Channel)>, auth: AuthInterceptor) -> Status {
        let mut wait = BACKOFF_MIN;
        let mut was_welcome = false;
        for (tries, (url, channel)) in coordinators.iter().cycle().enumerate() {
            let client = WorkerServiceClient::with_interceptor(channel.clone(), auth.clone());
            let status = self.run_stream(client, url, &mut wait, &mut was_welcome).await;
            self.ready.store(false, Relaxed);
            metrics::CONNECTED.set(0);
            let is_refusal = matches!(
                status.code(),
                Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition | Code::InvalidArgument
            );
            if is_refusal && !was_welcome {
                return status;
            }
            warn!(coordinator = url, code = ?status.code(), why = status_text(&status), "no coordinator; trying again");
            tokio::time::sleep(wait.mul_f64(jitter(&self.hello.id, tries))).await;
            wait = (wait * 2).min(BACKOFF_MAX);
        }
        Status::internal("the list of coordinators is empty")
    }

    /// Runs one stream to its end, and returns why it ended.
    async fn run_stream(&self, mut client: Client, url: &str, wait: &mut Duration, was_welcome: &mut bool) -> Status {
        // One report may wait while another is being sent.
        let (out, requests) = mpsc::channel(2);
        let hello = AttendRequest { message: Some(attend_request::Message::Hello(self.hello.clone())) };
        if out.send(hello).await.is_err() {
            return Status::internal("the stream closed before it began");
        }
        let opened = tokio::time::timeout(ANSWER_MAX, async {
            let mut answers = client.attend(ReceiverStream::new(requests)).await?.into_inner();
            match next_message(&mut answers).await?.message {
                Some(attend_response::Message::Welcome(welcome)) => Ok((answers, welcome)),
                _ => Err(Status::internal("expected a welcome as the coordinator's first message")),
            }
        });
        let (mut answers, welcome) = match opened.await {
            Err(_) => return Status::deadline_exceeded("the coordinator does not answer"),
            Ok(Err(status)) => return status,
            Ok(Ok(opened)) => opened,
        };
        info!(coordinator = url, id = welcome.coordinator_id, "welcome");
        (*wait, *was_welcome) = (BACKOFF_MIN, true);
        self.ready.store(true, Relaxed);
        metrics::CONNECTED.set(1);
        let mut report_timer =
            tokio::time::interval(Duration::from_millis(u64::from(welcome.report_every_millis.max(100))));
        report_timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                answer = next_message(&mut answers) => match answer {
                    Err(status) => return status,
                    Ok(AttendResponse { message: Some(message) }) => self.handle(message),
                    Ok(AttendResponse { message: None }) => {}
                },
                _ = report_timer.tick() => {
                    if let Err(status) = self.send_report(&out).await { return status }
                }
                () = self.node.changed() => {
                    if let Err(status) = self.send_report(&out).await { return status }
                }
            }
        }
    }

    async fn send_report(&self, out: &mpsc::Sender<AttendRequest>) -> Result<(), Status> {
        let report = AttendRequest { message: Some(attend_request::Message::Report(self.node.report())) };
        let sent = tokio::time::timeout(ANSWER_MAX, out.send(report)).await;
        sent.map_err(|_| Status::deadline_exceeded("the coordinator does not accept reports"))?
            .map_err(|_| Status::unavailable("the stream is closed"))
    }

    fn handle(&self, message: attend_response::Message) {
        match message {
            attend_response::Message::Poll(_) => self.poll.notify_one(),
            attend_response::Message::Stop(stop) => self.node.stop(&stop.attempts, FailureKind::Stopped),
            attend_response::Message::Acknowledge(known) => self.node.acknowledge(&known.attempts),
            attend_response::Message::Drain(_) => self.drain.notify_one(),
            attend_response::Message::Welcome(_) => {}
        }
    }
}

/// Returns a factor from 0.5 to 1, which differs between workers, so that they do not all come back at once.
fn jitter(worker: &str, tries: usize) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(worker.as_bytes()).update(&tries.to_le_bytes());
    0.5 + f64::from(hasher.finalize().as_bytes()[0]) / 512.0
}

async fn next_message(answers: &mut Streaming<AttendResponse>) -> Result<AttendResponse, Status> {
    answers.message().await?.ok_or_else(|| Status::unavailable("the coordinator closed the stream"))
}
