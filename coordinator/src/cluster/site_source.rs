//! The coordinator as its pages see it: runs and workers as they are now, and the requests that a user of a page may make.
//! They go through the users' service, so that a page can do and show nothing that a command cannot.

use std::sync::Arc;
use std::time::Duration;

use dqa_pages::{RunAction, RunningShard, Worker, WorkerFailure};
use dqa_proto::v1;
use dqa_proto::v1::coordinator_service_server::CoordinatorService;
use dqa_service::net::status_text;
use dqa_site::{LiveRun, LiveSource};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tonic::{Request, Status};

use super::api::{Api, timestamp_before_now};
use super::leader_gate::LeaderGate;
use super::{scheduler, wire};

/// The coordinator as its pages see it.
pub(super) struct SiteSource(pub(super) Arc<LeaderGate>);

impl LiveSource for SiteSource {
    fn run<'a>(&'a self, run: &'a str) -> BoxFuture<'a, Option<LiveRun>> {
        async move {
            let request = Request::new(v1::GetRunRequest { name: run.to_owned() });
            let run = Api(self.0.clone()).get_run(request).await.ok()?.into_inner().run?;
            let progress = run.progress?;
            Some(LiveRun {
                shards: progress.shards,
                shards_running: progress.shards_running,
                windows_done: progress.windows_done,
                shards_retrying: progress.shards_retrying,
                shards_quarantined: progress.shards_quarantined,
                windows_per_second: Some(progress.windows_per_second).filter(|rate| *rate > 0.0),
            })
        }
        .boxed()
    }

    fn workers(&self) -> Vec<Worker> {
        let Ok(plane) = self.0.plane() else { return Vec::new() };
        plane.scheduler.read(|scheduler, now| {
            let worker = |worker: &scheduler::Worker| {
                let message = wire::worker_to_wire(worker, now, timestamp_before_now);
                let failure = |(time, message): &(scheduler::Time, String)| WorkerFailure {
                    time: parse_time(&timestamp_before_now(now.saturating_sub(*time))),
                    message: message.clone(),
                };
                let shard = |running: &v1::Running| {
                    let (run, windows) = scheduler.shard_of_attempt(running.attempt).unzip();
                    let run = run.and_then(|id| plane.runs.get_scheduled(id));
                    RunningShard {
                        run: run.map(|run| run.name.to_string()),
                        part: running.part.clone(),
                        windows_done: running.windows_done,
                        windows,
                        is_scoring: running.scoring,
                    }
                };
                let shards = message.running.iter().map(shard).collect();
                let failures = worker.failures.iter().map(failure).collect();
                worker_from_message(message, shards, failures)
            };
            scheduler.workers().map(worker).collect()
        })
    }

    fn act<'a>(&'a self, run: &'a str, action: RunAction) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let (api, name) = (Api(self.0.clone()), run.to_owned());
            let done: Result<(), Status> = match action {
                RunAction::Pause => api.pause_run(Request::new(v1::PauseRunRequest { name })).await.map(drop),
                RunAction::Resume => api.resume_run(Request::new(v1::ResumeRunRequest { name })).await.map(drop),
                RunAction::Retry => api.retry_failed(Request::new(v1::RetryFailedRequest { name })).await.map(drop),
                RunAction::Cancel => api.cancel_run(Request::new(v1::CancelRunRequest { name })).await.map(drop),
            };
            done.map_err(|status| status_text(&status))
        }
        .boxed()
    }

    fn drain<'a>(&'a self, worker: &'a str) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let request = Request::new(v1::DrainWorkerRequest { id: worker.to_owned() });
            Api(self.0.clone()).drain_worker(request).await.map(drop).map_err(|status| status_text(&status))
        }
        .boxed()
    }
}

fn parse_time(text: &str) -> Timestamp {
    text.parse().unwrap_or(Timestamp::UNIX_EPOCH)
}

fn worker_from_message(worker: v1::Worker, shards: Vec<RunningShard>, failures: Vec<WorkerFailure>) -> Worker {
    let totals = worker.totals.unwrap_or_default();
    Worker {
        id: worker.id,
        host: worker.host,
        version: worker.program_version,
        devices: worker.devices,
        slots: worker.slots,
        draining: worker.draining,
        since: parse_time(&worker.since),
        silent: Duration::from_millis(worker.silent_millis),
        shards,
        windows: totals.windows,
        pictures: totals.pictures,
        pictures_failed: totals.pictures_failed,
        failures,
    }
}
