//! The service for users. It checks requests and answers them; runs are driven by `lifecycle`.

mod queries;
mod reports;
mod run_control;
mod run_lookup;
mod run_removal;
mod submit;
mod submit_training;
mod training_reports;
mod validation;
mod watch;

use std::pin::Pin;
use std::sync::Arc;

use dqa_pipelines::run::RunRecord;
use dqa_proto::v1;
use dqa_proto::v1::coordinator_service_server::CoordinatorService;
use dqa_proto::{PROTOCOL_VERSION, hint, refused};
use dqa_service::wire::{model_file_from_wire, model_file_to_wire};
use futures::Stream;
use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Handle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::grpc_status::{from_run_error, from_store_error, internal, invalid, invalid_argument};
use super::leader_gate::LeaderGate;
use super::scheduler::Time;
use super::{model_files, run_view, wire};

pub(super) struct Api(pub(super) Arc<LeaderGate>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl CoordinatorService for Api {
    type WatchRunStream = Pin<Box<dyn Stream<Item = Result<v1::WatchRunResponse, Status>> + Send>>;
    type GetTrialFileStream = ReceiverStream<Result<v1::GetTrialFileResponse, Status>>;
    type QueryStream = ReceiverStream<Result<v1::QueryResponse, Status>>;

    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Answer<v1::SubmitResponse> {
        let plane = self.0.plane()?;
        let request =
            request.into_inner().run.ok_or_else(|| invalid_argument("no_run", "the request lacks its run"))?;
        let run = match request.training.is_empty() {
            true => submit::submit(&plane, request).await?,
            false => submit_training::submit(&plane, request).await?,
        };
        Ok(Response::new(v1::SubmitResponse { run: Some(run) }))
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Answer<v1::GetRunResponse> {
        let plane = self.0.plane()?;
        let run = run_lookup::find(&plane, &request.into_inner().name).await?.view(&plane).await?;
        Ok(Response::new(v1::GetRunResponse { run: Some(run) }))
    }

    async fn watch_run(&self, request: Request<v1::WatchRunRequest>) -> Answer<Self::WatchRunStream> {
        let plane = self.0.plane()?;
        let run = run_lookup::find(&plane, &request.into_inner().name).await?;
        Ok(Response::new(watch::watch(plane, run).await?))
    }

    async fn list_runs(&self, _: Request<v1::ListRunsRequest>) -> Answer<v1::ListRunsResponse> {
        let plane = self.0.plane()?;
        let (store, runtime) = (plane.store.clone(), Handle::current());
        // On a thread of its own, because records of large runs take long to parse.
        let read =
            tokio::task::spawn_blocking(move || runtime.block_on(RunRecord::read_all_with_trainings(&store))).await;
        let records = read.map_err(|panic| internal(&panic))?.map_err(from_run_error)?;
        Ok(Response::new(v1::ListRunsResponse { runs: run_view::view_records(&plane, records).await? }))
    }

    async fn cancel_run(&self, request: Request<v1::CancelRunRequest>) -> Answer<v1::CancelRunResponse> {
        let run = run_control::cancel(&self.0.plane()?, &request.into_inner().name).await?;
        Ok(Response::new(v1::CancelRunResponse { run: Some(run) }))
    }

    async fn pause_run(&self, request: Request<v1::PauseRunRequest>) -> Answer<v1::PauseRunResponse> {
        let run = run_control::pause(&self.0.plane()?, &request.into_inner().name).await?;
        Ok(Response::new(v1::PauseRunResponse { run: Some(run) }))
    }

    async fn resume_run(&self, request: Request<v1::ResumeRunRequest>) -> Answer<v1::ResumeRunResponse> {
        let run = run_control::resume(&self.0.plane()?, &request.into_inner().name).await?;
        Ok(Response::new(v1::ResumeRunResponse { run: Some(run) }))
    }

    async fn retry_failed(&self, request: Request<v1::RetryFailedRequest>) -> Answer<v1::RetryFailedResponse> {
        let run = run_control::retry_failed(&self.0.plane()?, &request.into_inner().name).await?;
        Ok(Response::new(v1::RetryFailedResponse { run: Some(run) }))
    }

    async fn remove_runs(&self, request: Request<v1::RemoveRunsRequest>) -> Answer<v1::RemoveRunsResponse> {
        let removal = run_removal::remove(self.0.plane()?, request.into_inner()).await?;
        Ok(Response::new(v1::RemoveRunsResponse { removal: Some(removal) }))
    }

    async fn get_report(&self, request: Request<v1::GetReportRequest>) -> Answer<v1::GetReportResponse> {
        let plane = self.0.plane()?;
        let text = reports::get_report(&plane, request.into_inner()).await?;
        Ok(Response::new(v1::GetReportResponse { text }))
    }

    async fn get_trial_file(&self, request: Request<v1::GetTrialFileRequest>) -> Answer<Self::GetTrialFileStream> {
        let plane = self.0.plane()?;
        let pieces = training_reports::trial_file(&plane, request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(pieces)))
    }

    async fn query(&self, request: Request<v1::QueryRequest>) -> Answer<Self::QueryStream> {
        let plane = self.0.plane()?;
        let pieces = queries::query(&plane, request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(pieces)))
    }

    async fn correlate(&self, request: Request<v1::CorrelateRequest>) -> Answer<v1::CorrelateResponse> {
        let plane = self.0.plane()?;
        let v1::CorrelateRequest { name, metric } = request.into_inner();
        let record = run_lookup::read_record(&plane, &name).await?;
        Ok(Response::new(v1::CorrelateResponse { groups: queries::correlate(&plane, &record, &metric).await? }))
    }

    async fn list_workers(&self, _: Request<v1::ListWorkersRequest>) -> Answer<v1::ListWorkersResponse> {
        let plane = self.0.plane()?;
        let workers = plane.scheduler.read(|scheduler, now| {
            scheduler.workers().map(|worker| wire::worker_to_wire(worker, now, timestamp_before_now)).collect()
        });
        Ok(Response::new(v1::ListWorkersResponse { workers }))
    }

    async fn drain_worker(&self, request: Request<v1::DrainWorkerRequest>) -> Answer<v1::DrainWorkerResponse> {
        let plane = self.0.plane()?;
        let id = request.into_inner().id;
        if !plane.drain_worker(&id) {
            let status = refused(Code::NotFound, "unknown_worker", format!("there is no worker `{id}`"));
            return Err(hint(status, "`dqa-coord workers` lists them"));
        }
        Ok(Response::new(v1::DrainWorkerResponse {}))
    }

    async fn find_model_files(
        &self,
        request: Request<v1::FindModelFilesRequest>,
    ) -> Answer<v1::FindModelFilesResponse> {
        let plane = self.0.plane()?;
        let files: Vec<_> = request.into_inner().files.into_iter().map(model_file_from_wire).collect();
        for file in &files {
            file.check().map_err(|error| invalid("bad_model_file", &error))?;
        }
        let missing =
            model_files::find_missing(&plane.store, &plane.verified_files, files).await.map_err(from_store_error)?;
        let missing = missing.into_iter().map(model_file_to_wire).collect();
        Ok(Response::new(v1::FindModelFilesResponse { missing, protocol_version: PROTOCOL_VERSION }))
    }

    async fn put_model_file(
        &self,
        request: Request<Streaming<v1::PutModelFileRequest>>,
    ) -> Answer<v1::PutModelFileResponse> {
        let plane = self.0.plane()?;
        model_files::receive(&plane.store, request.into_inner()).await?;
        Ok(Response::new(v1::PutModelFileResponse {}))
    }
}

pub(super) fn timestamp_before_now(time: Time) -> String {
    let timestamp = Timestamp::now().checked_sub(SignedDuration::try_from(time).unwrap_or_default());
    timestamp.unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
