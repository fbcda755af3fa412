//! The service for workers. Each worker opens one stream: it registers, then reports what it runs, and gets messages
//! back until the stream breaks.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dqa_proto::v1::worker_service_server::WorkerService;
use dqa_proto::v1::{AttendRequest, AttendResponse, DeviceClass, Hello, Welcome, attend_request, attend_response};
use dqa_proto::{PROTOCOL_VERSION, hint, refused};
use dqa_service::net::status_text;
use dqa_service::telemetry::metrics;
use dqa_service::wire::device_class_name;
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::{info, warn};

use super::control_plane::ControlPlane;
use super::leader_gate::LeaderGate;

/// Time for a worker to register after it opened its stream.
const REGISTRATION_MAX: Duration = Duration::from_secs(10);
const REPORT_EVERY_MILLIS: u32 = 2000;
const SLOTS_MAX: u32 = 4096;
const WORKER_ID_BYTES_MAX: usize = 200;

pub(super) struct SessionService(pub(super) Arc<LeaderGate>);

type Responses = Pin<Box<dyn Stream<Item = Result<AttendResponse, Status>> + Send>>;

#[tonic::async_trait]
impl WorkerService for SessionService {
    type AttendStream = Responses;

    async fn attend(&self, request: Request<Streaming<AttendRequest>>) -> Result<Response<Responses>, Status> {
        let plane = self.0.plane()?;
        let mut requests = request.into_inner();
        let first = tokio::time::timeout(REGISTRATION_MAX, requests.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("expected a hello, found none in time"))??;
        let Some(attend_request::Message::Hello(registration)) = first.and_then(|first| first.message) else {
            return Err(refused(Code::InvalidArgument, "no_hello", "expected a hello as the first message"));
        };
        check_registration(&registration)?;
        let worker = registration.id.clone();
        info!(worker, slots = registration.slots, devices = ?registration.devices, "worker joins");
        let mut messages = plane.streams.open(&worker);
        plane.scheduler.update(|scheduler, now| scheduler.register_worker(registration, now));
        let (sender, responses) = mpsc::channel(4);
        let coordinator_id = self.0.coordinator_id().to_owned();
        let welcome = Welcome { coordinator_id, report_every_millis: REPORT_EVERY_MILLIS };
        let welcome = AttendResponse { message: Some(attend_response::Message::Welcome(welcome)) };
        sender.send(Ok(welcome)).await.map_err(|_| Status::cancelled("the worker closed the stream"))?;
        tokio::spawn(async move {
            let reason = relay(&plane, &worker, &mut requests, &mut messages, &sender).await;
            drop(messages);
            info!(worker, why = reason, "worker's stream ends");
            // If the worker has opened another stream by now, it has not left.
            if !plane.streams.is_open(&worker) {
                plane.disconnect_worker(&worker);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }
}

/// Hands a worker's reports to the scheduler, and messages to the worker, until one side stops. Returns the reason.
async fn relay(
    plane: &Arc<ControlPlane>,
    worker: &str,
    requests: &mut Streaming<AttendRequest>,
    messages: &mut mpsc::Receiver<AttendResponse>,
    sender: &mpsc::Sender<Result<AttendResponse, Status>>,
) -> String {
    let reason = loop {
        tokio::select! {
            request = requests.message() => match request {
                Ok(Some(AttendRequest { message: Some(attend_request::Message::Report(report)) })) => {
                    plane.update_scheduler(|scheduler, now| scheduler.handle_report(worker, report, now));
                }
                Ok(Some(_)) => {}
                Ok(None) => break "the worker closed it".to_owned(),
                Err(status) => break status_text(&status),
            },
            message = messages.recv() => match message {
                Some(message) => if sender.send(Ok(message)).await.is_err() {
                    break "the worker is gone".to_owned();
                },
                None => return "the worker was cut off, or opened another".to_owned(),
            },
        }
    };
    plane.streams.close(worker, messages);
    reason
}

fn check_registration(registration: &Hello) -> Result<(), Status> {
    let refuse = |code, why: String| {
        metrics::WORKERS_REFUSED.with_label_values(&[code]).inc();
        warn!(worker = registration.id, host = registration.host, why, "worker refused");
        refused(Code::FailedPrecondition, code, why)
    };
    let Hello { id, slots, query_tasks, .. } = registration;
    if registration.protocol_version != PROTOCOL_VERSION {
        let why = format!(
            "worker {id} (dqa {}) speaks version {} of the protocol, and this coordinator (dqa {}) version \
             {PROTOCOL_VERSION}",
            registration.program_version,
            registration.protocol_version,
            env!("CARGO_PKG_VERSION")
        );
        return Err(hint(refuse("protocol_version", why), "install the coordinator's version of dqa-worker"));
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if id.is_empty() || id.len() > WORKER_ID_BYTES_MAX || !id.chars().all(is_allowed) {
        let why = format!(
            "invalid worker name `{}`: expected 1 to {WORKER_ID_BYTES_MAX} letters, digits and . _ -",
            id.escape_default()
        );
        return Err(refuse("worker_id", why));
    }
    if *slots == 0 || *slots > SLOTS_MAX {
        return Err(refuse("slots", format!("invalid number of slots {slots}: expected 1 to {SLOTS_MAX}")));
    }
    if *query_tasks > SLOTS_MAX {
        let why = format!("invalid number of query tasks {query_tasks}: expected at most {SLOTS_MAX}");
        return Err(refuse("query_tasks", why));
    }
    if registration.device() == DeviceClass::Unspecified {
        let class = device_class_name(registration.device());
        return Err(refuse("device", format!("a worker has devices of one class, `cpu` or `cuda`, not `{class}`")));
    }
    Ok(())
}
