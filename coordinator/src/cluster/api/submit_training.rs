//! Submits trainings: new ones, or some that the store has begun.

use std::sync::Arc;

use dqa_engine::train::BaseModel;
use dqa_pipelines::dataset::Definition;
use dqa_pipelines::registry;
use dqa_pipelines::run::{DatasetSpec, RunCounts, RunRecord, RunRequest, RunSpec, RunState};
use dqa_pipelines::training::{TrainingModel, TrainingRequest, TrainingWork};
use dqa_proto::v1::{self, DeviceClass};
use dqa_proto::{hint, refused};
use dqa_service::wire::device_class_name;
use jiff::Timestamp;
use tonic::{Code, Status};

use super::run_lookup::{self, parse_name};
use super::submit::{parse_dataset_names, require_room, start};
use super::validation;
use crate::cluster::control_plane::ControlPlane;
use crate::cluster::grpc_status::{from_registry_error, from_run_error, invalid, invalid_argument};
use crate::cluster::run_view;

/// The most models of a request.
const MODELS_MAX: usize = 256;

pub(super) async fn submit(plane: &Arc<ControlPlane>, submitted: v1::RunRequest) -> Result<v1::Run, Status> {
    let (definitions, request) = validate(plane, &submitted).await?;
    let name = parse_name(&submitted.name)?;
    let loading = plane.runs.lock_loading().await;
    let active = run_lookup::get_current(plane, &name).await?;
    let stored = RunRecord::find(&plane.store, &name).await.map_err(from_run_error)?;
    let earlier = active.as_ref().map(|run| run.record()).or(stored);
    if let Some(earlier) = earlier.as_ref().filter(|earlier| !earlier.is_training()) {
        let message = format!("run `{}` has scores, and trainings need a name of their own", earlier.name);
        return Err(hint(refused(Code::AlreadyExists, "other_run", message), "give them another with --name"));
    }
    let datasets: Vec<registry::RequestedDataset> = definitions.iter().map(registry::RequestedDataset::new).collect();
    let redefine = parse_dataset_names(&submitted.redefine)?;
    registry::check(&plane.store, &datasets, &redefine).await.map_err(from_registry_error)?;
    if let Some(active) = active {
        drop(loading);
        require_same(&active.record(), &request)?;
        return run_view::view_active(plane, &active).await;
    }
    require_room(plane)?;
    let used_by = format!("run {name}");
    registry::register(&plane.store, &datasets, &redefine, &used_by).await.map_err(from_registry_error)?;
    let now = Timestamp::now();
    let mut record = RunRecord {
        name,
        state: RunState::Planning,
        created: earlier.as_ref().map_or(now, |earlier| earlier.created),
        updated: now,
        spec: spec(&definitions, &request),
        fingerprint: String::new(),
        counts: RunCounts::default(),
        training_counts: None,
        counted: None,
        parts_digest: None,
        term: earlier.and_then(|earlier| earlier.term),
        provenance: crate::run::provenance(),
        parts: Vec::new(),
        request: Some(request),
        failure: None,
        hint: None,
    };
    record.write_by(&plane.store, plane.record_writer()).await.map_err(from_run_error)?;
    start(plane, record).await
}

/// Checks that trainings that are under way are those that are submitted.
fn require_same(active: &RunRecord, request: &RunRequest) -> Result<(), Status> {
    let work = |training: Option<&TrainingRequest>| training.map(|training| training.work.clone());
    if work(active.training()) == work(request.training.as_deref()) {
        return Ok(());
    }
    let message = format!("run `{}` is under way with other settings", active.name);
    let status = refused(Code::AlreadyExists, "other_run", message);
    Err(hint(status, "wait for its end, cancel it, or give the new one another --name"))
}

/// Returns the settings that are shown of a run that trains.
fn spec(definitions: &[Definition], request: &RunRequest) -> RunSpec {
    let datasets = definitions.iter().map(DatasetSpec::requested).collect();
    let mut models: Vec<&str> =
        request.training.iter().flat_map(|training| &training.models).map(|model| model.model.name.as_str()).collect();
    models.dedup();
    RunSpec { model: models.join(","), device: request.device.clone(), ..RunSpec::without_model(datasets, Vec::new()) }
}

async fn validate(plane: &ControlPlane, submitted: &v1::RunRequest) -> Result<(Vec<Definition>, RunRequest), Status> {
    let device = submitted.device();
    if device == DeviceClass::Unspecified {
        return Err(invalid_argument("no_device", "the run lacks its class of devices: cpu or cuda"));
    }
    let training: TrainingRequest =
        serde_json::from_slice(&submitted.training).map_err(|error| invalid("bad_training", &error))?;
    validation::validate_limits(training.limits)?;
    let definitions = validation::parse_definitions(&submitted.definitions, &plane.roots)?;
    check_datasets(&training, &definitions)?;
    if training.models.is_empty() || training.models.len() > MODELS_MAX {
        return Err(invalid_argument("bad_model", format!("trainings have 1 to {MODELS_MAX} models")));
    }
    training.models.iter().try_for_each(check_model)?;
    let files = training.models.iter().flat_map(TrainingModel::files).cloned().collect();
    validation::check_model_files(plane, files).await?;
    let request = RunRequest {
        model: None,
        metrics: Vec::new(),
        algorithms: Vec::new(),
        device: device_class_name(device).to_owned(),
        priority: submitted.priority,
        allow_missing: false,
        retry_failed: false,
        with_hazy: false,
        intervals: Default::default(),
        replicates: 0,
        seed: 0,
        training: Some(Box::new(training)),
        planning_attempts: 0,
    };
    Ok((definitions, request))
}

/// Checks that a study's data sets are those that are defined.
fn check_datasets(training: &TrainingRequest, definitions: &[Definition]) -> Result<(), Status> {
    let bad = |message: String| Err(invalid_argument("bad_datasets", message));
    match &training.work {
        TrainingWork::Study { definition, .. } => {
            let is_defined = |name: &&String| definitions.iter().any(|known| known.name.as_str() == **name);
            if definition.datasets.len() != definitions.len()
                || !definition.datasets.iter().all(|name| is_defined(&name))
            {
                return bad(format!(
                    "the study's data sets are {}, and others are defined",
                    definition.datasets.join(", ")
                ));
            }
            Ok(())
        }
        TrainingWork::Trials { .. } if definitions.len() != 1 => bad("a training has one data set".to_owned()),
        TrainingWork::Trials { .. } => Ok(()),
    }
}

/// Checks that a worker can fetch a model: files by valid names, or what is in the program.
fn check_model(model: &TrainingModel) -> Result<(), Status> {
    for file in model.files() {
        file.check().map_err(|error| invalid("bad_model", &error))?;
    }
    let name = &model.model.name;
    let is_built_in = |name: &str| name.starts_with("dqa:");
    let has_files = match BaseModel::new_config(name) {
        Some(_) => model.weights.len() == 1,
        None => !model.weights.is_empty() || is_built_in(name),
    };
    let lacks_prompts =
        model.prompts.is_none() && model.model.prompts.as_ref().is_some_and(|prompts| !is_built_in(&prompts.name));
    if !has_files || lacks_prompts {
        return Err(invalid_argument("bad_model", format!("files of model {name} are missing")));
    }
    Ok(())
}
