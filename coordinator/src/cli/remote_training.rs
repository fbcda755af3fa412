//! Submits trainings to a coordinator and waits for their end. Pictures and what is learned do not pass through this process;
//! only the models' files are uploaded, once.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use dqa_pipelines::dataset::Definition;
use dqa_pipelines::training::TrainingRequest;
use dqa_proto::v1;
use dqa_service::portable_model::IdentifiedTrainingModel;
use dqa_service::program::{end_on_signal, note, with_hint};
use tokio::io::AsyncWriteExt;

use super::cluster_training_args::ClusterTrainingArgs;
use super::coordinator_client::{
    Client, device_class, has_ended, require_run, run_line, status_error, upload_model, wait_until_ended,
    wait_until_planned,
};
use super::redefine_args::RedefineArgs;
use super::resource_args::TrainingResourceArgs;

/// The first version of the protocol with trainings.
const TRAININGS_SINCE: u32 = 6;

/// Trainings for a coordinator.
pub(super) struct RemoteTraining<'a> {
    /// The name of their run.
    pub(super) name: String,
    /// The request; its models are filled in when it is submitted.
    pub(super) request: TrainingRequest,
    /// The models, which are uploaded.
    pub(super) models: Vec<IdentifiedTrainingModel>,
    pub(super) definitions: Vec<Definition>,
    pub(super) resources: &'a TrainingResourceArgs,
    pub(super) redefine: &'a RedefineArgs,
    pub(super) cluster: &'a ClusterTrainingArgs,
}

impl RemoteTraining<'_> {
    /// Submits the trainings and waits until they have ended, or with `detach` until they are planned. Returns whether they are
    /// complete.
    pub(super) async fn run(self, client: &mut Client) -> anyhow::Result<bool> {
        let end = end_on_signal(|| vec!["nothing was submitted: the same command begins again".to_owned()])?;
        let files: Vec<_> = self.models.iter().flat_map(|model| model.files.clone()).collect();
        if upload_model(client, &files).await? < TRAININGS_SINCE {
            let error = anyhow!("the coordinator has an older version of dqa, which does not train");
            return Err(with_hint(error, "install this version there, or leave out --coordinator"));
        }
        let models = self.models.iter().map(|model| model.model.clone()).collect();
        let training = TrainingRequest { models, ..self.request };
        let run = v1::RunRequest {
            name: self.name,
            definitions: self.definitions.iter().map(Definition::to_toml).collect(),
            device: device_class(&self.resources.device)?.into(),
            priority: self.cluster.priority,
            redefine: self.redefine.names.iter().map(ToString::to_string).collect(),
            training: serde_json::to_vec(&training).context("the request cannot be written as JSON")?,
            ..v1::RunRequest::default()
        };
        let answer = client.submit(v1::SubmitRequest { run: Some(run) }).await;
        let run = require_run(answer.map_err(|status| status_error(&status))?.into_inner().run)?;
        note(format_args!("{}", run_line(&run)));
        drop(end);
        let _end = end_on_signal({
            let (run, coordinator) = (run.name.clone(), self.cluster.coordinator.url.clone().unwrap_or_default());
            move || goes_on_lines(&run, &coordinator)
        })?;
        let run = match self.cluster.detach {
            true => wait_until_planned(client, &run.name).await?,
            false => wait_until_ended(client, &run.name).await?,
        };
        if self.cluster.detach && !has_ended(&run) {
            note(format_args!("run {} is planned and goes on there", run.name));
            note(format_args!("the same command without --detach follows it and shows its results"));
            return Ok(false);
        }
        require_complete(&run)?;
        Ok(true)
    }
}

/// Says that the trainings go on without this process.
fn goes_on_lines(run: &str, coordinator: &str) -> Vec<String> {
    vec![
        format!("run {run} goes on at the coordinator: the same command shows it again"),
        format!("hint: `dqa-coord cancel {run} --coordinator {coordinator}` stops it; what was learned is kept"),
    ]
}

fn require_complete(run: &v1::Run) -> anyhow::Result<()> {
    match run.state() {
        v1::RunState::Complete => Ok(()),
        v1::RunState::Cancelled => bail!("run {} was cancelled", run.name),
        _ => {
            let error = anyhow!("{}", run.failure).context(format!("run {} failed", run.name));
            let resume = format!("`dqa-coord resume {}` goes on with it; what was learned is kept", run.name);
            Err(with_hint(error, if run.hint.is_empty() { resume } else { run.hint.clone() }))
        }
    }
}

/// Copies a file of a trial to this machine. Returns whether the trial has one.
pub(super) async fn copy_trial_file(client: &mut Client, trial: &str, file: &str, path: &Path) -> anyhow::Result<bool> {
    let cannot_write = || format!("cannot write {}", path.display());
    let request = v1::GetTrialFileRequest { trial: trial.to_owned(), file: file.to_owned() };
    let mut pieces = match client.get_trial_file(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) if status.code() == tonic::Code::NotFound => return Ok(false),
        Err(status) => return Err(status_error(&status)),
    };
    let mut out = tokio::fs::File::create(path).await.with_context(cannot_write)?;
    while let Some(piece) = pieces.message().await.map_err(|status| status_error(&status))? {
        out.write_all(&piece.data).await.with_context(cannot_write)?;
    }
    out.flush().await.with_context(cannot_write)?;
    Ok(true)
}
