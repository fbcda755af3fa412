//! Ballista's gRPC service as workers see it. Workers poll for tasks. The service's other methods are for this
//! process alone and are refused.

use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use ballista_core::serde::protobuf::{self, PollWorkParams, PollWorkResult};
use dqa_proto::refused;
use tonic::{Code, Request, Response, Status};

use super::leader_gate::LeaderGate;

pub(super) struct PollGateway(pub(super) Arc<LeaderGate>);

macro_rules! refuse {
    ($($method:ident: $request:ident -> $response:ident),+ $(,)?) => {
        #[async_trait]
        impl SchedulerGrpc for PollGateway {
            type ExecuteQueryPushStream = futures::stream::Empty<Result<protobuf::GetJobStatusResult, Status>>;

            async fn poll_work(&self, request: Request<PollWorkParams>) -> Result<Response<PollWorkResult>, Status> {
                self.0.plane()?.ballista()?.poll(request).await
            }

            async fn execute_query_push(
                &self,
                _: Request<protobuf::ExecuteQueryParams>,
            ) -> Result<Response<Self::ExecuteQueryPushStream>, Status> {
                Err(not_offered())
            }

            $(
                async fn $method(
                    &self,
                    _: Request<protobuf::$request>,
                ) -> Result<Response<protobuf::$response>, Status> {
                    Err(not_offered())
                }
            )+
        }
    };
}

refuse! {
    register_executor: RegisterExecutorParams -> RegisterExecutorResult,
    heart_beat_from_executor: HeartBeatParams -> HeartBeatResult,
    update_task_status: UpdateTaskStatusParams -> UpdateTaskStatusResult,
    create_update_session: CreateUpdateSessionParams -> CreateUpdateSessionResult,
    remove_session: RemoveSessionParams -> RemoveSessionResult,
    execute_query: ExecuteQueryParams -> ExecuteQueryResult,
    get_job_status: GetJobStatusParams -> GetJobStatusResult,
    get_job_metrics: GetJobMetricsParams -> GetJobMetricsResult,
    executor_stopped: ExecutorStoppedParams -> ExecutorStoppedResult,
    cancel_job: CancelJobParams -> CancelJobResult,
    clean_job_data: CleanJobDataParams -> CleanJobDataResult,
}

fn not_offered() -> Status {
    refused(Code::Unimplemented, "not_offered", "a coordinator does not offer this method to other processes")
}
