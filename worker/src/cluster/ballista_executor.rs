//! Ballista's executor in a worker: its poll loop over a transport of our own, which adds the token and retries without
//! limit. A lost task status would leave a job running forever.

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
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use dqa_engine::shard::operator::RowScorerExtension;
use dqa_pipelines::causes;
use dqa_query as sql;
use dqa_service::cluster::{Codec, ShuffleClient};
use dqa_service::net::{AuthInterceptor, MESSAGE_BYTES_MAX, Tls, Token};
use http_body_util::{BodyExt, Full};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tonic::transport::Channel;
use tower::{Service, ServiceExt};
use tracing::debug;

use super::node::{Node, TaskRowScorer};

/// Wait between attempts at one request.
const RETRY_AFTER: Duration = Duration::from_millis(300);

/// Time that the scheduler has to answer a request: it answers in milliseconds, or is gone.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Ballista records a task's status a few milliseconds after the task's end, and later on a busy machine.
const POLL_AFTER: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(95)];

/// Ballista's executor.
pub(super) struct BallistaExecutor {
    /// The worker's id, which every message has.
    pub(super) id: String,
    /// The host from which others fetch shuffled data.
    pub(super) host: String,
    pub(super) port: u16,
    /// Tasks at once: more than the shards at once, so that a shard never waits for a query's task.
    pub(super) task_slots: usize,
    pub(super) work_dir: String,
    pub(super) tls: Tls,
    pub(super) token: Option<Token>,
}

impl BallistaExecutor {
    /// Polls without end; returns an error if Ballista's loop ends.
    pub(super) async fn run(self, coordinators: Vec<Channel>, node: Arc<Node>, wake: Arc<Notify>) -> anyhow::Error {
        let scorer = Arc::new(RowScorerExtension::new(Arc::new(TaskRowScorer(node))));
        let shuffle = ShuffleClient::new(self.tls, self.token.as_ref());
        let config = move || shuffle.configure(SessionConfig::new_with_ballista().with_extension(scorer.clone()));
        let registration = ExecutorRegistration {
            id: self.id,
            host: Some(self.host),
            port: u32::from(self.port),
            grpc_port: 0,
            specification: Some(ExecutorSpecification {
                resources: vec![ExecutorResource {
                    resource: Some(Resource::Vcores(u32::try_from(self.task_slots).unwrap_or(u32::MAX))),
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
            Arc::new(|_| sql::new_runtime(Arc::new(UnboundedMemoryPool::default()))),
            Arc::new(config),
            Arc::new(functions),
            Arc::new(TaskEndNotifier { poll: wake.clone(), runtime: Handle::current() }),
            self.task_slots,
        ));
        let codec: BallistaCodec<LogicalPlanNode, PhysicalPlanNode> =
            BallistaCodec::new(Arc::new(BallistaLogicalExtensionCodec::default()), Arc::new(Codec::default()));
        let transport =
            Transport { coordinators: coordinators.into(), auth: AuthInterceptor::new(self.token.as_ref()) };
        let client = SchedulerGrpcClient::new(transport).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let tasks = Arc::new(Semaphore::new(self.task_slots));
        let ended =
            execution_loop::poll_loop(client, executor, codec, Some(wake), Some(tasks), Default::default()).await;
        match ended {
            Ok(()) => anyhow!("Ballista's poll loop ended"),
            Err(error) => anyhow::Error::from(error).context("Ballista's poll loop ended"),
        }
    }
}

/// Wakes the poll loop after a task has ended: only a poll reports the end, and the next one would be in a second. It
/// replaces Ballista's collector, which would log every plan, although a shard's plan is always the same.
struct TaskEndNotifier {
    poll: Arc<Notify>,
    runtime: Handle,
}

impl ExecutorMetricsCollector for TaskEndNotifier {
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
            // Ballista records the status after this call.
            for wait in POLL_AFTER {
                tokio::time::sleep(wait).await;
                poll.notify_one();
            }
        });
    }
}

/// Sends each request, with the token, to the coordinators in turn until one answers.
#[derive(Clone)]
struct Transport {
    coordinators: Arc<[Channel]>,
    auth: AuthInterceptor,
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
        let header = self.auth.header().and_then(|header| header.to_str().ok()?.parse::<http::HeaderValue>().ok());
        if let Some(mut header) = header {
            header.set_sensitive(true);
            head.headers.insert(http::header::AUTHORIZATION, header);
        }
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let mut attempt = 0;
        loop {
            let mut channel = self.coordinators[attempt % self.coordinators.len()].clone();
            let body = Full::new(body.clone()).map_err(|never| match never {});
            let request = http::Request::from_parts(head.clone(), tonic::body::Body::new(body));
            let answer = tokio::time::timeout(ANSWER_MAX, async { channel.ready().await?.call(request).await }).await;
            match answer {
                Ok(Ok(response)) if !is_refused(&response) => return response,
                Ok(Ok(_)) => debug!(tries = attempt, "the coordinator is on standby, or refuses this worker"),
                Ok(Err(error)) => {
                    debug!(error = %causes(&error), tries = attempt, "a request failed and is sent again")
                }
                Err(_) => debug!(tries = attempt, "a request was not answered and is sent again"),
            }
            attempt += 1;
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}

/// Returns whether a response is gRPC's UNAVAILABLE, which a coordinator on standby sends in the headers, without a
/// body; or a refusal, PERMISSION_DENIED or UNAUTHENTICATED. The worker's session gets the same refusal, and ends the
/// program with an error about it; Ballista would log one of its own again and again.
fn is_refused(response: &Response) -> bool {
    response.headers().get("grpc-status").is_some_and(|status| ["14", "7", "16"].iter().any(|code| status == code))
}
