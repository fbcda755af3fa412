//! What trainings have made: the table of a study, the records of trials, and their files.

use std::sync::Arc;

use dqa_pipelines::causes;
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::store::Store;
use dqa_pipelines::train::trial_key;
use dqa_pipelines::training::TrainedSplits;
use dqa_proto::{hint, refused, v1};
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::{Code, Status};

use crate::cluster::control_plane::ControlPlane;
use crate::cluster::grpc_status::{from_store_error, internal, invalid_argument};
use crate::cluster::lifecycle_steps::definitions;
use crate::cluster::training_plan::{TrainingPlan, TrainingPlanError};
use crate::cluster::wire;
use crate::run::Roots;

/// The files of a trial that are handed out.
const FILES: [&str; 4] = ["trial.json", "prompts.safetensors", "config.json", "model.safetensors"];
/// Pieces of a file that are read ahead.
const PIECES_AHEAD: usize = 4;

/// Returns the table of a study, or the trials of some splits as JSON ([`TrainedSplits`]).
pub(super) async fn get_report(
    plane: &ControlPlane,
    record: RunRecord,
    request: v1::GetReportRequest,
) -> Result<String, Status> {
    let (store, roots, runtime) = (plane.store.clone(), plane.roots.clone(), Handle::current());
    // Data sets are listed again, which takes seconds.
    let made = tokio::task::spawn_blocking(move || runtime.block_on(make_report(&store, &roots, &record, &request)));
    made.await.map_err(|panic| internal(&panic))?
}

async fn make_report(
    store: &Store,
    roots: &Roots,
    record: &RunRecord,
    request: &v1::GetReportRequest,
) -> Result<String, Status> {
    let training = record.training().ok_or_else(|| invalid_argument("no_training", "the run does not train"))?;
    let definitions = definitions(record).map_err(|error| internal(error.as_ref()))?;
    let plan = TrainingPlan::load(training, &definitions, roots).await.map_err(from_plan_error)?;
    if let Some(outcome) = plan.outcome(store, request.so_far).await.map_err(|error| no_result(&error))? {
        return Ok(match wire::table_style(request) {
            Some(style) => outcome.text(style),
            None if request.format() == v1::TableFormat::Json => outcome.json(),
            None => outcome.csv(),
        });
    }
    let trained: Option<TrainedSplits> = plan.trained(store).await.map_err(from_plan_error)?;
    Ok(serde_json::to_string(&trained).expect("records have text for keys"))
}

/// Streams a file of a trial.
pub(super) async fn trial_file(
    plane: &Arc<ControlPlane>,
    request: v1::GetTrialFileRequest,
) -> Result<mpsc::Receiver<Result<v1::GetTrialFileResponse, Status>>, Status> {
    let v1::GetTrialFileRequest { trial, file } = request;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !FILES.contains(&file.as_str()) || trial.is_empty() || trial.starts_with('.') || !trial.chars().all(is_plain) {
        return Err(invalid_argument("bad_file", format!("`{file}` of `{trial}` is no file of a trial")));
    }
    let key = trial_key(&trial, &file);
    let pieces = plane.store.get_stream(&key).await.map_err(|error| match error.is_not_found() {
        true => refused(Code::NotFound, "no_file", format!("there is no {key}")),
        false => from_store_error(error),
    })?;
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(async move {
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.next().await {
            let is_error = piece.is_err();
            let message = piece
                .map(|data| v1::GetTrialFileResponse { data: data.into() })
                .map_err(|error| refused(Code::Unavailable, "store", causes(&error).to_string()));
            if sender.send(message).await.is_err() || is_error {
                return;
            }
        }
    });
    Ok(receiver)
}

fn from_plan_error(error: TrainingPlanError) -> Status {
    refused(Code::FailedPrecondition, "no_report", causes(&error).to_string())
}

fn no_result(error: &(dyn std::error::Error + 'static)) -> Status {
    let status = refused(Code::FailedPrecondition, "no_report", causes(error).to_string());
    hint(status, "--so-far shows what is made of a study that is under way")
}
