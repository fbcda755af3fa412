//! Workers' streams: a hello that is checked, then reports in and orders to stop out, until the stream breaks.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dqa_proto::v1::worker_service_server::WorkerService;
use dqa_proto::v1::{AttendRequest, AttendResponse, DeviceClass, Hello, Welcome, attend_request, attend_response};
use dqa_proto::{PROTOCOL_VERSION, hint, refused};
use dqa_worker::cluster::class_name;
use dqa_worker::net::said;
use dqa_worker::telemetry::metrics;
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::{info, warn};

use super::control_plane::ControlPlane;
use super::serve::LeaderGate;

/// A worker says hello at once, or is none.
const HELLO_MAX: Duration = Duration::from_secs(10);
const REPORT_EVERY_MILLIS: u32 = 2000;
const SLOTS_MAX: u32 = 4096;

/// The service of workers.
pub(super) struct Attending(pub(super) Arc<LeaderGate>);

type Answers = Pin<Box<dyn Stream<Item = Result<AttendResponse, Status>> + Send>>;

#[tonic::async_trait]
impl WorkerService for Attending {
    type AttendStream = Answers;

    async fn attend(&self, request: Request<Streaming<AttendRequest>>) -> Result<Response<Answers>, Status> {
        let plane = self.0.plane()?;
        let mut reports = request.into_inner();
        let hello = tokio::time::timeout(HELLO_MAX, reports.message()).await;
        let hello = hello.map_err(|_| Status::deadline_exceeded("a worker begins with a hello"))??;
        let Some(attend_request::Message::Hello(hello)) = hello.and_then(|hello| hello.message) else {
            return Err(refused(Code::InvalidArgument, "no_hello", "a worker begins with a hello"));
        };
        check(&hello)?;
        let id = hello.id.clone();
        info!(worker = id, slots = hello.slots, devices = ?hello.devices, "worker joins");
        let mut orders = plane.stream(&id);
        plane.act(|scheduler, now| scheduler.join(hello, now));
        let (out, answers) = mpsc::channel(4);
        let welcome = Welcome { coordinator_id: self.0.id().to_owned(), report_every_millis: REPORT_EVERY_MILLIS };
        let welcome = AttendResponse { message: Some(attend_response::Message::Welcome(welcome)) };
        out.send(Ok(welcome)).await.map_err(|_| Status::cancelled("the worker went away"))?;
        tokio::spawn(async move {
            let why = listen(&plane, &id, &mut reports, &mut orders, &out).await;
            drop(orders);
            info!(worker = id, why, "stream ends");
            // Another stream may have taken its place by now; then the worker has not left.
            if plane.is_cut_off(&id) {
                plane.leave(&id);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

/// Hears a worker's reports and hands it what the control plane has to say, until one side stops; why.
async fn listen(
    plane: &Arc<ControlPlane>,
    id: &str,
    reports: &mut Streaming<AttendRequest>,
    orders: &mut mpsc::Receiver<AttendResponse>,
    out: &mpsc::Sender<Result<AttendResponse, Status>>,
) -> String {
    loop {
        tokio::select! {
            heard = reports.message() => match heard {
                Ok(Some(AttendRequest { message: Some(attend_request::Message::Report(report)) })) => {
                    plane.act(|scheduler, now| scheduler.report(id, report, now));
                }
                Ok(Some(_)) => {}
                Ok(None) => { plane.close(id, orders); return "the worker closed it".to_owned() }
                Err(status) => { plane.close(id, orders); return said(&status) }
            },
            order = orders.recv() => match order {
                Some(order) => if out.send(Ok(order)).await.is_err() {
                    plane.close(id, orders);
                    return "the worker is gone".to_owned();
                },
                None => return "it was cut off".to_owned(),
            },
        }
    }
}

fn check(hello: &Hello) -> Result<(), Status> {
    let wrong = |own, why: String| {
        metrics::WORKERS_REFUSED.with_label_values(&[own]).inc();
        warn!(worker = hello.id, host = hello.host, why, "worker refused");
        refused(Code::FailedPrecondition, own, why)
    };
    if hello.protocol_version != PROTOCOL_VERSION {
        let why = format!(
            "worker {} (dqa {}) speaks version {} of the protocol, and this coordinator (dqa {}) version {PROTOCOL_VERSION}",
            hello.id,
            hello.program_version,
            hello.protocol_version,
            env!("CARGO_PKG_VERSION")
        );
        return Err(hint(wrong("protocol_version", why), "install the coordinator's version of dqa-worker"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if hello.id.is_empty() || hello.id.len() > 200 || !hello.id.chars().all(plain) {
        return Err(wrong("worker_id", format!("`{}` is no name of a worker", hello.id.escape_default())));
    }
    if hello.slots == 0 || hello.slots > SLOTS_MAX {
        return Err(wrong("slots", format!("a worker takes 1 to {SLOTS_MAX} shards at once, not {}", hello.slots)));
    }
    if hello.query_tasks > SLOTS_MAX {
        let why = format!("a worker takes at most {SLOTS_MAX} tasks of queries at once, not {}", hello.query_tasks);
        return Err(wrong("query_tasks", why));
    }
    if hello.device() == DeviceClass::Unspecified {
        return Err(wrong("device", format!("a worker has devices of one class, not {}", class_name(hello.device()))));
    }
    Ok(())
}
