//! Ballista's side of a worker: its poll loop over a transport of our own, which carries the token and does not give up.
//! A status that were lost would leave a job running for ever.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::anyhow;
use ballista_core::BALLISTA_PROTOCOL_VERSION;
use ballista_core::extension::SessionConfigExt;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::protobuf::executor_resource::Resource;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{ExecutorRegistration, ExecutorResource, ExecutorSpecification};
use ballista_core::serde::scheduler::ExecutorOperatingSystemSpecification;
use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec};
use ballista_executor::execution_loop;
use ballista_executor::executor::Executor;
use ballista_executor::metrics::ExecutorMetricsCollector;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use dqa_pipelines::causes;
use dqa_query as sql;
use http_body_util::{BodyExt, Full};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tonic::transport::Channel;
use tower::{Service, ServiceExt};
use tracing::debug;

use super::node::{Node, Rows};
use super::{Codec, ShuffleClient};
use crate::net::{Caller, MESSAGE_BYTES_MAX, Tls, Token};
use crate::shard::operator::Scoring;

/// Between two tries of one request.
const AGAIN: Duration = Duration::from_millis(300);

/// A request's answer is not waited for longer: a scheduler answers in milliseconds, or is gone.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A task's outcome is there a little after its end; on a machine that is busy, later.
const SETTLED_AFTER: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(95)];

/// What Ballista must know of a worker.
pub(super) struct Executing {
    /// The worker's, in every message.
    pub(super) id: String,
    /// Where others fetch what it has shuffled.
    pub(super) host: String,
    pub(super) port: u16,
    /// Tasks that it is ready to take: more than its shards, so that a shard never waits for a query's task.
    pub(super) tasks: usize,
    pub(super) work_dir: String,
    pub(super) tls: Tls,
    pub(super) token: Option<Token>,
}

impl Executing {
    /// Polls for ever; why it ended.
    pub(super) async fn run(self, coordinators: Vec<Channel>, node: Arc<Node>, wake: Arc<Notify>) -> anyhow::Error {
        let scoring = Arc::new(Scoring::by(Arc::new(Rows(node))));
        let flight = ShuffleClient::new(self.tls, self.token.as_ref());
        let config = move || flight.configure(SessionConfig::new_with_ballista().with_extension(scoring.clone()));
        let registration = ExecutorRegistration {
            id: self.id,
            host: Some(self.host),
            port: u32::from(self.port),
            grpc_port: 0,
            specification: Some(ExecutorSpecification {
                resources: vec![ExecutorResource {
                    resource: Some(Resource::Vcores(u32::try_from(self.tasks).unwrap_or(u32::MAX))),
                }],
            }),
            os_info: Some(ExecutorOperatingSystemSpecification::default().into()),
            ballista_protocol_version: BALLISTA_PROTOCOL_VERSION,
        };
        let mut functions = BallistaFunctionRegistry::default();
        for function in sql::aggregates::all() {
            functions.aggregate_functions.insert(function.name().to_owned(), Arc::new(function));
        }
        let executor = Arc::new(Executor::with_default_execution_engine(
            registration,
            &self.work_dir,
            Arc::new(|_| sql::runtime()),
            Arc::new(config),
            Arc::new(functions),
            Arc::new(Told { poll: wake.clone(), runtime: Handle::current() }),
            self.tasks,
        ));
        let codec: BallistaCodec<LogicalPlanNode, PhysicalPlanNode> =
            BallistaCodec::new(Arc::new(BallistaLogicalExtensionCodec::default()), Arc::new(Codec::default()));
        let transport = Transport { coordinators: coordinators.into(), caller: Caller::new(self.token.as_ref()) };
        let client = SchedulerGrpcClient::new(transport).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let tasks = Arc::new(Semaphore::new(self.tasks));
        let ended =
            execution_loop::poll_loop(client, executor, codec, Some(wake), Some(tasks), Default::default()).await;
        match ended {
            Ok(()) => anyhow!("Ballista's poll loop ended"),
            Err(error) => anyhow::Error::from(error).context("Ballista's poll loop ended"),
        }
    }
}

/// Polls soon after a task has ended: only a poll tells that it has, and the next would be in a second. Nothing is logged:
/// Ballista would log every plan, and a shard's is always the same.
struct Told {
    poll: Arc<Notify>,
    runtime: Handle,
}

impl ExecutorMetricsCollector for Told {
    fn record_stage(
        &self,
        job: &ballista_core::JobId,
        stage: usize,
        task: usize,
        _: Arc<dyn ballista_executor::execution_engine::QueryStageExecutor>,
    ) {
        debug!(%job, stage, task, "task ended");
        let poll = self.poll.clone();
        self.runtime.spawn(async move {
            // Its outcome is put down after this is called.
            for wait in SETTLED_AFTER {
                tokio::time::sleep(wait).await;
                poll.notify_one();
            }
        });
    }
}

/// Sends each request until somebody has answered it: to the coordinators in turn, with the token.
#[derive(Clone)]
struct Transport {
    coordinators: Arc<[Channel]>,
    caller: Caller,
}

type Request = http::Request<tonic::body::Body>;
type Response = http::Response<tonic::body::Body>;

impl Service<Request> for Transport {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let transport = self.clone();
        Box::pin(async move { Ok(transport.send(request).await) })
    }
}

impl Transport {
    async fn send(self, request: Request) -> Response {
        let (mut head, body) = request.into_parts();
        let header = self.caller.header().and_then(|header| header.to_str().ok()?.parse::<http::HeaderValue>().ok());
        if let Some(mut header) = header {
            header.set_sensitive(true);
            head.headers.insert(http::header::AUTHORIZATION, header);
        }
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let mut tries = 0;
        loop {
            let mut channel = self.coordinators[tries % self.coordinators.len()].clone();
            let whole = Full::new(body.clone()).map_err(|never| match never {});
            let request = http::Request::from_parts(head.clone(), tonic::body::Body::new(whole));
            let answer = tokio::time::timeout(ANSWER_MAX, async { channel.ready().await?.call(request).await }).await;
            match answer {
                Ok(Ok(response)) if !stands_by(&response) => return response,
                Ok(Ok(_)) => debug!(tries, "this coordinator stands by"),
                Ok(Err(error)) => debug!(error = %causes(&error), tries, "a request is sent again"),
                Err(_) => debug!(tries, "a request was not answered and is sent again"),
            }
            tries += 1;
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// gRPC's UNAVAILABLE, as the head of an answer without a body.
fn stands_by(response: &Response) -> bool {
    response.headers().get("grpc-status").is_some_and(|status| status == "14")
}
