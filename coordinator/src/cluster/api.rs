//! What users ask of a coordinator. It checks and answers; what is done is done by [`super::lifecycle`] and the scheduler.

use std::pin::Pin;
use std::sync::Arc;

use dqa_model::{Arithmetic, Views};
use dqa_pipelines::causes;
use dqa_pipelines::dataset::Definition;
use dqa_pipelines::limits::PictureLimits;
use dqa_pipelines::names::{DatasetName, NameError, RunName};
use dqa_pipelines::plan::SHARD_WINDOWS_MAX;
use dqa_pipelines::registry::{self, RegistryError};
use dqa_pipelines::report::{self, Report, ReportError, ReportIntervals, ReportOptions};
use dqa_pipelines::run::{Request as RunAsked, RunError, RunRecord, RunState};
use dqa_pipelines::sql::Selection;
use dqa_pipelines::store::Store;
use dqa_proto::v1::coordinator_service_server::CoordinatorService;
use dqa_proto::v1::{self, DeviceClass};
use dqa_proto::{PROTOCOL_VERSION, hint, refused};
use dqa_worker::cluster::class_name;
use futures::Stream;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::info;

use super::control_plane::{ControlPlane, unanswered};
use super::lifecycle::{self, ActiveRun};
use super::serve::LeaderGate;
use super::{ask, model_files, view, wire};
use crate::run::{OtherRun, Requested};

const DATASETS_MAX: usize = 64;
const ALGORITHMS_MAX: usize = 4096;
/// Of runs that have not ended: each has a thread.
const ACTIVE_MAX: usize = 1000;
const REPLICATES_MAX: u32 = 100_000;
/// Of one request.
const RUNS_MAX: usize = 256;
const SHARD_WINDOWS_LIMIT: u64 = 1 << 20;
/// 12 GiB as RGB: what a worker with a large memory can decode.
const PIXELS_LIMIT: u64 = 1 << 32;
const BYTES_LIMIT: u64 = 64 << 30;

/// The service of users.
pub(super) struct Api(pub(super) Arc<LeaderGate>);

type Answer<T> = Result<Response<T>, Status>;
type Watched = Pin<Box<dyn Stream<Item = Result<v1::WatchRunResponse, Status>> + Send>>;

fn bad(own: &'static str, why: impl Into<String>) -> Status {
    refused(Code::InvalidArgument, own, why)
}

/// An error with its causes, in a line.
pub(super) fn line(error: impl Into<anyhow::Error>) -> String {
    let error: anyhow::Error = error.into();
    causes(error.as_ref()).to_string()
}

pub(super) fn of_record(error: RunError) -> Status {
    match error {
        RunError::Store(error) => unanswered(&error),
        RunError::Unknown { .. } => advised(Code::NotFound, "unknown_run", error),
        RunError::NoRuns { .. } => advised(Code::NotFound, "no_runs", error),
        RunError::Ambiguous { .. } => advised(Code::InvalidArgument, "ambiguous_run", error),
        RunError::Record { .. } => refused(Code::DataLoss, "bad_record", line(error)),
    }
}

fn advised(code: Code, own: &'static str, error: RunError) -> Status {
    let advice = error.hint();
    let status = refused(code, own, line(error));
    match advice {
        Some(advice) => hint(status, advice),
        None => status,
    }
}

/// Why there is no report, with what to do.
pub(super) fn of_report(error: ReportError) -> Status {
    let advice = error.hint();
    let status = refused(Code::FailedPrecondition, "no_report", line(error));
    match advice {
        Some(advice) => hint(status, &advice),
        None => status,
    }
}

#[tonic::async_trait]
impl CoordinatorService for Api {
    type WatchRunStream = Watched;
    type QueryStream = ReceiverStream<Result<v1::QueryResponse, Status>>;

    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Answer<v1::SubmitResponse> {
        let plane = self.0.plane()?;
        let asked = request.into_inner().run.ok_or_else(|| bad("no_run", "a submit says what run"))?;
        let run = submit(&plane, asked).await?;
        Ok(Response::new(v1::SubmitResponse { run: Some(run) }))
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Answer<v1::GetRunResponse> {
        let plane = self.0.plane()?;
        let run = match found(&plane, &request.into_inner().name).await? {
            Sought::Here(run) => view::of_running(&plane, &run).await?,
            Sought::Stored(record) => view::of_record(&plane, *record).await?,
        };
        Ok(Response::new(v1::GetRunResponse { run: Some(run) }))
    }

    async fn watch_run(&self, request: Request<v1::WatchRunRequest>) -> Answer<Watched> {
        let plane = self.0.plane()?;
        let run = match found(&plane, &request.into_inner().name).await? {
            Sought::Here(run) => run,
            Sought::Stored(record) => {
                let only = Ok(v1::WatchRunResponse { run: Some(view::of_record(&plane, *record).await?) });
                return Ok(Response::new(Box::pin(futures::stream::iter([only]))));
            }
        };
        let (out, answers) = mpsc::channel(2);
        tokio::spawn(watch(plane, run, out));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn list_runs(&self, _: Request<v1::ListRunsRequest>) -> Answer<v1::ListRunsResponse> {
        let plane = self.0.plane()?;
        let (store, runtime) = (plane.store.clone(), Handle::current());
        // Records of large runs are large.
        let read = tokio::task::spawn_blocking(move || runtime.block_on(RunRecord::all(&store))).await;
        let records = read.map_err(|panic| refused(Code::Internal, "internal", line(panic)))?.map_err(of_record)?;
        Ok(Response::new(v1::ListRunsResponse { runs: view::of_records(&plane, records).await? }))
    }

    async fn cancel_run(&self, request: Request<v1::CancelRunRequest>) -> Answer<v1::CancelRunResponse> {
        let plane = self.0.plane()?;
        let (run, _control) = commanded(&plane, &request.into_inner().name).await?;
        active(&run)?;
        run.change(&plane.store, |record| record.state = RunState::Cancelled).await.map_err(changed)?;
        if let Some(id) = run.id() {
            plane.take_off(id);
        }
        run.cancel();
        info!(run = %run.name, "run called off");
        Ok(Response::new(v1::CancelRunResponse { run: Some(view::of_running(&plane, &run).await?) }))
    }

    async fn pause_run(&self, request: Request<v1::PauseRunRequest>) -> Answer<v1::PauseRunResponse> {
        let plane = self.0.plane()?;
        let (run, _control) = commanded(&plane, &request.into_inner().name).await?;
        active(&run)?;
        run.change(&plane.store, |record| record.state = RunState::Paused).await.map_err(changed)?;
        if let Some(id) = run.id() {
            plane.act(|scheduler, _| {
                scheduler.pause(id);
                Vec::new()
            });
        }
        Ok(Response::new(v1::PauseRunResponse { run: Some(view::of_running(&plane, &run).await?) }))
    }

    async fn resume_run(&self, request: Request<v1::ResumeRunRequest>) -> Answer<v1::ResumeRunResponse> {
        let plane = self.0.plane()?;
        let (run, _control) = commanded(&plane, &request.into_inner().name).await?;
        let state = run.state();
        match state {
            RunState::Paused => {
                let id = run.id();
                let state = if id.is_some() { RunState::Running } else { RunState::Planning };
                run.change(&plane.store, |record| record.state = state).await.map_err(changed)?;
                if let Some(id) = id {
                    plane.act(|scheduler, now| scheduler.resume(id, now));
                }
            }
            RunState::Cancelled | RunState::Failed => again(&plane, &run, |_| {}).await?,
            RunState::Planning | RunState::Running | RunState::Complete | RunState::Interrupted => {}
        }
        Ok(Response::new(v1::ResumeRunResponse { run: Some(view::of_running(&plane, &run).await?) }))
    }

    async fn retry_failed(&self, request: Request<v1::RetryFailedRequest>) -> Answer<v1::RetryFailedResponse> {
        let plane = self.0.plane()?;
        let (run, _control) = commanded(&plane, &request.into_inner().name).await?;
        if run.state().is_active() {
            let why = format!("run `{}` is not at its end", run.name);
            return Err(hint(refused(Code::FailedPrecondition, "active_run", why), "wait for it, or cancel it"));
        }
        again(&plane, &run, |request| request.retry_failed = true).await?;
        Ok(Response::new(v1::RetryFailedResponse { run: Some(view::of_running(&plane, &run).await?) }))
    }

    async fn get_report(&self, request: Request<v1::GetReportRequest>) -> Answer<v1::GetReportResponse> {
        let plane = self.0.plane()?;
        let request = request.into_inner();
        if request.more_runs.len() >= RUNS_MAX {
            return Err(bad("too_much", format!("at most {RUNS_MAX} runs are ranked together")));
        }
        let mut records = vec![stored(&plane, &request.name).await?];
        for name in &request.more_runs {
            records.push(stored(&plane, name).await?);
        }
        // It computes for seconds.
        let (store, runtime) = (plane.store.clone(), Handle::current());
        let shown = move || text(runtime.block_on(made(&store, &records, &request))?, &request);
        let text = tokio::task::spawn_blocking(shown)
            .await
            .map_err(|panic| refused(Code::Internal, "internal", line(panic)))??;
        Ok(Response::new(v1::GetReportResponse { text }))
    }

    async fn query(&self, request: Request<v1::QueryRequest>) -> Answer<Self::QueryStream> {
        let plane = self.0.plane()?;
        let request = request.into_inner();
        let selection = selection(&plane, &request).await?;
        let rows = ask::ask(&plane, &request.sql, &selection, request.mix_runs).await?;
        let (out, pieces) = mpsc::channel(ask::PIECES_MAX);
        tokio::spawn(ask::send(rows, out));
        Ok(Response::new(ReceiverStream::new(pieces)))
    }

    async fn correlate(&self, request: Request<v1::CorrelateRequest>) -> Answer<v1::CorrelateResponse> {
        let plane = self.0.plane()?;
        let record = stored(&plane, &request.into_inner().name).await?;
        Ok(Response::new(v1::CorrelateResponse { groups: ask::correlate(&plane, &record).await? }))
    }

    async fn list_workers(&self, _: Request<v1::ListWorkersRequest>) -> Answer<v1::ListWorkersResponse> {
        let plane = self.0.plane()?;
        let workers = plane.look(|scheduler, now| {
            let show = |worker: &super::scheduler::Worker| v1::Worker {
                id: worker.hello.id.clone(),
                host: worker.hello.host.clone(),
                program_version: worker.hello.program_version.clone(),
                device: worker.hello.device,
                devices: worker.hello.devices.clone(),
                slots: worker.hello.slots,
                draining: worker.is_draining,
                since: ago(now.saturating_sub(worker.since)),
                silent_millis: u64::try_from(now.saturating_sub(worker.heard).as_millis()).unwrap_or(u64::MAX),
                running: worker.running.clone(),
                totals: Some(worker.totals),
            };
            scheduler.workers().map(show).collect()
        });
        Ok(Response::new(v1::ListWorkersResponse { workers }))
    }

    async fn drain_worker(&self, request: Request<v1::DrainWorkerRequest>) -> Answer<v1::DrainWorkerResponse> {
        let plane = self.0.plane()?;
        let id = request.into_inner().id;
        if !plane.drain(&id) {
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
        let files: Vec<_> = request.into_inner().files.into_iter().map(wire::file).collect();
        for file in &files {
            file.check().map_err(|error| bad("bad_model_file", line(error)))?;
        }
        let missing = model_files::missing(&plane.store, files).await.map_err(|error| unanswered(&error))?;
        let missing =
            missing.into_iter().map(|file| v1::ModelFile { name: file.name, digest: file.digest, bytes: file.bytes });
        let missing = missing.collect();
        Ok(Response::new(v1::FindModelFilesResponse { missing, protocol_version: PROTOCOL_VERSION }))
    }

    async fn put_model_file(
        &self,
        request: Request<Streaming<v1::PutModelFileRequest>>,
    ) -> Answer<v1::PutModelFileResponse> {
        let plane = self.0.plane()?;
        model_files::put(&plane.store, request.into_inner()).await?;
        Ok(Response::new(v1::PutModelFileResponse {}))
    }
}

fn changed(error: crate::run::RunError) -> Status {
    refused(Code::Unavailable, "store", line(error))
}

fn name(text: &str) -> Result<RunName, Status> {
    text.parse().map_err(|error: NameError| bad("bad_name", line(error)))
}

fn ago(time: std::time::Duration) -> String {
    let then = Timestamp::now().checked_sub(jiff::SignedDuration::try_from(time).unwrap_or_default());
    then.unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// A run that a request names.
enum Sought {
    Here(Arc<ActiveRun>),
    Stored(Box<RunRecord>),
}

/// The run of this name, or the only one whose name begins so, or without a name the one that was used last.
async fn found(plane: &Arc<ControlPlane>, text: &str) -> Result<Sought, Status> {
    if !text.is_empty()
        && let Some(run) = plane.run(&name(text)?)
    {
        return Ok(Sought::Here(run));
    }
    let record = stored(plane, text).await?;
    Ok(plane.run(&record.name).map_or_else(|| Sought::Stored(Box::new(record)), Sought::Here))
}

/// The same, as its record in the store has it.
async fn stored(plane: &Arc<ControlPlane>, text: &str) -> Result<RunRecord, Status> {
    if !text.is_empty() {
        return RunRecord::read(&plane.store, &name(text)?).await.map_err(of_record);
    }
    let (store, runtime) = (plane.store.clone(), Handle::current());
    // Records of large runs are large.
    let last = tokio::task::spawn_blocking(move || runtime.block_on(RunRecord::last_used(&store))).await;
    last.map_err(|panic| refused(Code::Internal, "internal", line(panic)))?.map_err(of_record)
}

/// A run that is here, or is taken from the store; one that has not ended is conducted.
async fn known(plane: &Arc<ControlPlane>, text: &str) -> Result<Arc<ActiveRun>, Status> {
    let named = name(text)?;
    let _finding = plane.finding.lock().await;
    if let Some(run) = plane.run(&named) {
        return Ok(run);
    }
    let record = RunRecord::read(&plane.store, &named).await.map_err(of_record)?;
    let name = record.name.clone();
    if let Some(run) = plane.run(&name) {
        return Ok(run);
    }
    if record.request.is_none() {
        let why = format!("run `{name}` was made by one command, not by a coordinator");
        return Err(hint(refused(Code::FailedPrecondition, "local_run", why), "submit it to the coordinator"));
    }
    let run = ActiveRun::new(record);
    if run.state().is_active() {
        lifecycle::start(plane, run.clone());
    } else {
        plane.keep_run(run.clone());
    }
    Ok(run)
}

/// A run, and the word on what becomes of it.
async fn commanded(plane: &Arc<ControlPlane>, text: &str) -> Result<(Arc<ActiveRun>, OwnedMutexGuard<()>), Status> {
    loop {
        let run = known(plane, text).await?;
        let control = run.control().await;
        // It may have ended, and have been forgotten, while it was waited for.
        if plane.run(&run.name).is_some_and(|kept| Arc::ptr_eq(&kept, &run)) {
            return Ok((run, control));
        }
    }
}

fn active(run: &ActiveRun) -> Result<(), Status> {
    let state = run.state();
    if state.is_active() {
        return Ok(());
    }
    Err(refused(Code::FailedPrecondition, "ended_run", format!("run `{}` is {state} already", run.name)))
}

/// Begins a run again that had ended.
async fn again(
    plane: &Arc<ControlPlane>,
    run: &Arc<ActiveRun>,
    with: impl FnOnce(&mut RunAsked),
) -> Result<(), Status> {
    run.change(&plane.store, |record| {
        record.state = RunState::Planning;
        (record.failure, record.hint) = (None, None);
        record.request.as_mut().map(with);
    })
    .await
    .map_err(changed)?;
    lifecycle::start(plane, run.clone());
    Ok(())
}

async fn submit(plane: &Arc<ControlPlane>, asked: v1::RunRequest) -> Result<v1::Run, Status> {
    let (requested, request) = checked(plane, asked.clone()).await?;
    let given = if asked.name.is_empty() { None } else { Some(name(&asked.name)?) };
    let finding = plane.finding.lock().await;
    let (name, stored) = requested.find(&plane.store, given.as_ref(), None).await.map_err(of_record)?;
    let here = plane.run(&name);
    let earlier = here.as_ref().map(|run| run.record()).or(stored);
    let provenance =
        [("dqa".to_owned(), env!("CARGO_PKG_VERSION").to_owned()), ("host".to_owned(), dqa_worker::program::host())];
    let redefine = redefined(&asked.redefine)?;
    let named: Vec<registry::Requested> = requested.definitions.iter().map(registry::Requested::new).collect();
    registry::check(&plane.store, &named, &redefine).await.map_err(unregistered)?;
    let record = requested
        .record(name.clone(), earlier.as_ref(), provenance.into())
        .map_err(|error| hint(refused(Code::AlreadyExists, "other_run", line(error)), OtherRun::HINT))?;
    let record = RunRecord { request: Some(request.clone()), ..record };
    if here.is_none() && plane.runs().iter().filter(|run| run.state().is_active()).count() >= ACTIVE_MAX {
        let why = format!("{ACTIVE_MAX} runs have not ended");
        return Err(hint(refused(Code::ResourceExhausted, "runs", why), "wait for some, or cancel them"));
    }
    registry::register(&plane.store, &named, &redefine, &format!("run {name}")).await.map_err(unregistered)?;
    if here.is_none() {
        record.write(&plane.store).await.map_err(of_record)?;
        let run = ActiveRun::new(record);
        info!(run = %name, priority = request.priority, device = request.device, "run submitted");
        lifecycle::start(plane, run.clone());
        return view::of_running(plane, &run).await;
    }
    drop(finding);
    let (run, _control) = commanded(plane, name.as_str()).await?;
    if !run.state().is_active() {
        run.change(&plane.store, |own| *own = record).await.map_err(changed)?;
        info!(run = %name, priority = request.priority, device = request.device, "run submitted again");
        lifecycle::start(plane, run.clone());
    } else {
        // It is the run that was used last.
        run.change(&plane.store, |_| {}).await.map_err(changed)?;
    }
    view::of_running(plane, &run).await
}

fn redefined(names: &[String]) -> Result<Vec<DatasetName>, Status> {
    let name = |name: &String| name.parse().map_err(|error: NameError| bad("bad_datasets", line(error)));
    names.iter().map(name).collect()
}

/// A data set whose name stands for another in the store.
fn unregistered(error: RegistryError) -> Status {
    let advice = error.hint();
    let status = match error {
        RegistryError::Store(error) => return unanswered(&error),
        RegistryError::Run(error) => return of_record(error),
        error => refused(Code::AlreadyExists, "other_dataset", line(error)),
    };
    match advice {
        Some(advice) => hint(status, &advice),
        None => status,
    }
}

/// The runs that a query is of.
async fn selection(plane: &Arc<ControlPlane>, request: &v1::QueryRequest) -> Result<Selection, Status> {
    if request.all_runs {
        return Ok(Selection::All);
    }
    let mut texts: Vec<&str> = request.runs.iter().map(String::as_str).collect();
    if texts.is_empty() {
        texts.push(&request.run);
    }
    if texts.len() > RUNS_MAX {
        return Err(bad("too_much", format!("at most {RUNS_MAX} runs are named by a query")));
    }
    let mut runs: Vec<RunName> = Vec::new();
    for text in texts {
        let name = stored(plane, text).await?.name;
        if !runs.contains(&name) {
            runs.push(name);
        }
    }
    Ok(Selection::Runs(runs))
}

/// What is asked for, if it is something that can be done.
async fn checked(plane: &Arc<ControlPlane>, asked: v1::RunRequest) -> Result<(Requested, RunAsked), Status> {
    if asked.replicates > REPLICATES_MAX || asked.shard_windows > SHARD_WINDOWS_LIMIT {
        let why = format!("at most {REPLICATES_MAX} replicates and {SHARD_WINDOWS_LIMIT} windows of a shard");
        return Err(bad("too_much", why));
    }
    let device = asked.device();
    if device == DeviceClass::Unspecified {
        return Err(bad("no_device", "a run says on which class of devices it is scored: cpu or cuda"));
    }
    let model = wire::model(asked.model.ok_or_else(|| bad("no_model", "a run says with which model"))?);
    model_files::check(&model)?;
    model.views.parse::<Views>().map_err(|error| bad("bad_views", line(error)))?;
    model.dtype.parse::<Arithmetic>().map_err(|error| bad("bad_dtype", error.clone()))?;
    if asked.definitions.is_empty() || asked.definitions.len() > DATASETS_MAX {
        return Err(bad("bad_datasets", format!("a run has 1 to {DATASETS_MAX} data sets")));
    }
    if asked.algorithms.len() > ALGORITHMS_MAX {
        return Err(bad("bad_algorithms", format!("a run names at most {ALGORITHMS_MAX} algorithms")));
    }
    let limits = limits(asked.limits)?;
    let mut definitions: Vec<Definition> = Vec::new();
    for text in &asked.definitions {
        let definition = Definition::from_toml(text).map_err(|error| bad("bad_dataset", line(error)))?;
        for address in definition.addresses() {
            plane.roots.check(address).map_err(|elsewhere| {
                let status = refused(Code::PermissionDenied, "root", elsewhere.to_string());
                hint(status, "whoever runs the coordinator says with --roots where data sets may be")
            })?;
        }
        if definitions.iter().any(|other| other.name == definition.name) {
            return Err(bad("bad_datasets", format!("data set `{}` is asked for twice", definition.name)));
        }
        definitions.push(definition);
    }
    definitions.sort_by(|a, b| a.name.cmp(&b.name));
    let missing = model_files::missing(&plane.store, model.files().cloned().collect()).await;
    if let Some(file) = missing.map_err(|error| unanswered(&error))?.first() {
        let why = format!("the model's file {} is not in the store", file.name);
        return Err(refused(Code::FailedPrecondition, "no_model_file", why));
    }
    let usual = ReportOptions::default();
    let requested = Requested {
        definitions,
        algorithms: asked.algorithms.clone(),
        with_hazy: asked.with_hazy,
        model: model.name.clone(),
        prompts: model.prompts_name.clone(),
        views: model.views.clone(),
        dtype: model.dtype.clone(),
        fingerprint: model.fingerprint.clone(),
        device: class_name(device).to_owned(),
        shard_windows: if asked.shard_windows == 0 { SHARD_WINDOWS_MAX } else { asked.shard_windows },
        limits,
        remark: Some(asked.remark).filter(|remark| !remark.is_empty()),
    };
    let request = RunAsked {
        model,
        algorithms: asked.algorithms,
        device: class_name(device).to_owned(),
        priority: asked.priority,
        allow_missing: asked.allow_missing,
        retry_failed: asked.retry_failed,
        // A request names draws where it wants a bootstrap.
        intervals: if asked.replicates == 0 { usual.intervals } else { ReportIntervals::Bootstrap },
        with_hazy: asked.with_hazy,
        replicates: if asked.replicates == 0 { usual.replicates } else { asked.replicates },
        seed: asked.seed,
    };
    Ok((requested, request))
}

/// Limits that are sent. None is nobody's meaning, and a worker must live through a picture of the largest.
fn limits(sent: Option<v1::PictureLimits>) -> Result<PictureLimits, Status> {
    let limits = sent.map_or_else(PictureLimits::default, wire::limits);
    let PictureLimits { pixels_max, side_max, bytes_max } = limits;
    if pixels_max == 0 || side_max == 0 || bytes_max == 0 {
        return Err(bad("bad_limits", "limits of a picture's pixels, side and bytes are 1 or more"));
    }
    if pixels_max > PIXELS_LIMIT || bytes_max > BYTES_LIMIT {
        let why = format!("a coordinator takes pictures of at most {PIXELS_LIMIT} pixels and {BYTES_LIMIT} bytes");
        return Err(hint(bad("too_much", why), "give a smaller --pixels-max and --bytes-max"));
    }
    Ok(limits)
}

/// The run at every change, and once more at its end.
async fn watch(plane: Arc<ControlPlane>, run: Arc<ActiveRun>, out: mpsc::Sender<Result<v1::WatchRunResponse, Status>>) {
    let mut changes = run.changes();
    loop {
        let has_ended = !run.state().is_active();
        let shown = view::of_running(&plane, &run).await;
        let is_broken = shown.is_err();
        let answer = shown.map(|run| v1::WatchRunResponse { run: Some(run) });
        if out.send(answer).await.is_err() || has_ended || is_broken {
            return;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = out.closed() => return,
        }
        // Many shards may end at once.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// The report that is asked for, made now of what is in the store.
async fn made(store: &Store, records: &[RunRecord], request: &v1::GetReportRequest) -> Result<Report, Status> {
    report::require_complete(store, records).await.map_err(of_report)?;
    let options = if request.options.is_empty() {
        ReportOptions::of_run(&records[0])
    } else {
        serde_json::from_str(&request.options).map_err(|error| bad("bad_options", line(error)))?
    };
    if options.replicates > REPLICATES_MAX {
        return Err(bad("too_much", format!("at most {REPLICATES_MAX} replicates")));
    }
    let is_board = request.tables().eq([v1::Table::Leaderboard]) && !request.write;
    if records.len() > 1 && !is_board {
        return Err(bad("many_runs", "several runs are ranked together, and have no other table"));
    }
    let mut report = if is_board {
        let record = report::together(&records[0], &records[1..]).map_err(of_report)?;
        report::rank(store, &record, &options).await.map_err(of_report)?
    } else {
        report::make(store, &records[0], &options).await.map_err(of_report)?
    };
    if request.write {
        report.write(store).await.map_err(of_report)?;
    }
    if !request.dataset.is_empty() {
        let dataset = request.dataset.parse().map_err(|error: NameError| bad("bad_name", line(error)))?;
        report.only(&dataset).map_err(of_report)?;
    }
    Ok(report)
}

/// A report's tables as text.
fn text(mut report: Report, request: &v1::GetReportRequest) -> Result<String, Status> {
    let table = |table: v1::Table| match table {
        v1::Table::Correlations => Ok(report::Table::Correlations),
        v1::Table::Leaderboard => Ok(report::Table::Leaderboard),
        v1::Table::Comparisons => Ok(report::Table::Comparisons),
        v1::Table::CrossDataset => Ok(report::Table::CrossDataset),
        v1::Table::Unspecified => Err(bad("bad_table", "a report has no such table")),
    };
    let mut tables: Vec<report::Table> = request.tables().map(table).collect::<Result<_, _>>()?;
    if tables.is_empty() {
        report.correlations.retain(report::is_in_summary);
        tables = vec![report::Table::Correlations, report::Table::Leaderboard];
    }
    let last = tables[tables.len() - 1];
    Ok(match request.format() {
        v1::TableFormat::Json => report.json(last),
        v1::TableFormat::Csv => report.csv(last),
        v1::TableFormat::Text | v1::TableFormat::Unspecified => {
            let texts = tables.iter().map(|table| report.text(*table)).filter(|text| !text.is_empty());
            texts.map(|text| text + "\n").collect::<String>() + &report.foot()
        }
    })
}
