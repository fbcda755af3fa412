//! Validates a submitted run before anything is stored or scheduled.

use dqa_metrics::Parameters;
use dqa_model::{Arithmetic, Views};
use dqa_pipelines::dataset::Definition;
use dqa_pipelines::metric::{self, MetricSelection};
use dqa_pipelines::model_spec::{ModelFile, ModelSpec};
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_pipelines::plan::SHARD_WINDOWS_MAX;
use dqa_pipelines::report::{ReportIntervals, ReportOptions};
use dqa_pipelines::run::RunRequest;
use dqa_proto::v1::{self, DeviceClass};
use dqa_proto::{hint, refused};
use dqa_service::wire::device_class_name;
use dqa_service::wire::{limits_from_wire, model_from_wire};
use tonic::{Code, Status};

use crate::cluster::control_plane::ControlPlane;
use crate::cluster::grpc_status::{from_store_error, invalid, invalid_argument};
use crate::cluster::model_files;
use crate::run::{Roots, Submission};

const DATASETS_MAX: usize = 64;
const ALGORITHMS_MAX: usize = 4096;
pub(super) const REPLICATES_MAX: u32 = 100_000;
const SHARD_WINDOWS_LIMIT: u64 = 1 << 20;
/// 12 GiB as RGB, which a worker with a large memory can decode.
const PIXELS_LIMIT: u64 = 1 << 32;
const BYTES_LIMIT: u64 = 64 << 30;

/// Validates a submitted run. Returns the submission that `dqa-coord submit` would have made, and the request that the
/// run's record keeps.
pub(super) async fn validate(
    plane: &ControlPlane,
    submitted: v1::RunRequest,
) -> Result<(Submission, RunRequest), Status> {
    if submitted.replicates > REPLICATES_MAX || submitted.shard_windows > SHARD_WINDOWS_LIMIT {
        let message = format!("at most {REPLICATES_MAX} replicates and {SHARD_WINDOWS_LIMIT} windows per shard");
        return Err(invalid_argument("too_much", message));
    }
    let device = submitted.device();
    if device == DeviceClass::Unspecified {
        return Err(invalid_argument("no_device", "the run lacks its class of devices: cpu or cuda"));
    }
    let (metrics, model) = validate_metrics(&submitted.metrics, submitted.model)?;
    if submitted.algorithms.len() > ALGORITHMS_MAX {
        return Err(invalid_argument("bad_algorithms", format!("a run names at most {ALGORITHMS_MAX} algorithms")));
    }
    let limits = validate_limits(submitted.limits.map_or_else(PictureLimits::default, limits_from_wire))?;
    let definitions = parse_definitions(&submitted.definitions, &plane.roots)?;
    check_model_files(plane, model.iter().flat_map(ModelSpec::files).cloned().collect()).await?;
    let (metric_parameters, parameters) = store_parameters(plane, &submitted.metric_parameters).await?;
    let settings = model.clone().unwrap_or_default();
    let submission = Submission {
        definitions,
        algorithms: submitted.algorithms.clone(),
        with_hazy: submitted.with_hazy,
        metrics: metrics.specs(model.as_ref().map(|model| model.fingerprint.as_str()), &parameters),
        leaves_out_metrics: metrics.leaves_out,
        metric_parameters,
        model: settings.name,
        prompts: settings.prompts_name,
        views: settings.views,
        dtype: settings.dtype,
        fingerprint: settings.fingerprint,
        device: device_class_name(device).to_owned(),
        shard_windows: if submitted.shard_windows == 0 { SHARD_WINDOWS_MAX } else { submitted.shard_windows },
        limits,
        remark: Some(submitted.remark).filter(|remark| !remark.is_empty()),
    };
    let (intervals, replicates) = intervals(submitted.replicates);
    let request = RunRequest {
        model,
        metrics: submitted.metrics,
        algorithms: submitted.algorithms,
        device: device_class_name(device).to_owned(),
        priority: submitted.priority,
        allow_missing: submitted.allow_missing,
        retry_failed: submitted.retry_failed,
        intervals,
        with_hazy: submitted.with_hazy,
        replicates,
        seed: submitted.seed,
        training: None,
        planning_attempts: 0,
    };
    Ok((submission, request))
}

/// Returns the method of the reports' intervals, and the bootstrap's draws.
fn intervals(replicates: u32) -> (ReportIntervals, u32) {
    let default = ReportOptions::default();
    // A request has replicates only if it wants a bootstrap.
    match replicates {
        0 => (default.intervals, default.replicates),
        replicates => (ReportIntervals::Bootstrap, replicates),
    }
}

/// Parses the names of metrics, and validates the model if CLIP-DQA is one of them.
fn validate_metrics(
    names: &[String],
    model: Option<v1::Model>,
) -> Result<(MetricSelection, Option<ModelSpec>), Status> {
    let metrics = match names {
        [] => MetricSelection::default(),
        names => {
            MetricSelection::parse(names.iter().map(String::as_str)).map_err(|error| invalid("bad_metric", &error))?
        }
    };
    let model = model.filter(|_| metrics.clip_dqa).map(validate_model).transpose()?;
    if metrics.clip_dqa && model.is_none() {
        return Err(invalid_argument("no_model", "the run lacks its model"));
    }
    Ok((metrics, model))
}

/// Checks that the store has the model's files.
pub(super) async fn check_model_files(plane: &ControlPlane, files: Vec<ModelFile>) -> Result<(), Status> {
    let missing = model_files::find_missing(&plane.store, &plane.verified_files, files).await;
    if let Some(file) = missing.map_err(from_store_error)?.first() {
        let message = format!("file {} of the model is not in the store", file.name);
        return Err(refused(Code::FailedPrecondition, "no_model_file", message));
    }
    Ok(())
}

/// Writes parameters of metrics to the store. Returns their digest and the parameters; none stand for the published ones.
async fn store_parameters(plane: &ControlPlane, json: &[u8]) -> Result<(Option<String>, Parameters), Status> {
    if json.is_empty() {
        return Ok((None, Parameters::default()));
    }
    let text = std::str::from_utf8(json).map_err(|error| invalid("bad_metric_parameters", &error))?;
    let parameters = Parameters::from_json(text).map_err(|error| invalid("bad_metric_parameters", &error))?;
    let digest = metric::write_parameters(&plane.store, json).await.map_err(from_store_error)?;
    Ok((Some(digest), parameters))
}

fn validate_model(model: v1::Model) -> Result<ModelSpec, Status> {
    let model = model_from_wire(model);
    model_files::check_spec(&model)?;
    model.views.parse::<Views>().map_err(|error| invalid("bad_views", &error))?;
    model.dtype.parse::<Arithmetic>().map_err(|message| invalid_argument("bad_dtype", message))?;
    Ok(model)
}

/// Parses the definitions of data sets, sorted by name.
pub(super) fn parse_definitions(texts: &[String], roots: &Roots) -> Result<Vec<Definition>, Status> {
    if texts.is_empty() || texts.len() > DATASETS_MAX {
        return Err(invalid_argument("bad_datasets", format!("a run has 1 to {DATASETS_MAX} data sets")));
    }
    let mut definitions: Vec<Definition> = Vec::new();
    for text in texts {
        let definition = Definition::from_toml(text).map_err(|error| invalid("bad_dataset", &error))?;
        for address in definition.addresses() {
            roots.check(address).map_err(|elsewhere| {
                let status = refused(Code::PermissionDenied, "root", elsewhere.to_string());
                hint(status, "the coordinator's operator sets with --roots where data sets may be")
            })?;
        }
        if definitions.iter().any(|other| other.name == definition.name) {
            let message = format!("data set `{}` is requested twice", definition.name);
            return Err(invalid_argument("bad_datasets", message));
        }
        definitions.push(definition);
    }
    definitions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(definitions)
}

/// Validates the limits of pictures: zero is surely a mistake, and a worker must survive a picture of the largest size.
pub(super) fn validate_limits(limits: PictureLimits) -> Result<PictureLimits, Status> {
    let PictureLimits { pixels_max, side_max, bytes_max } = limits;
    if pixels_max == 0 || side_max == 0 || bytes_max == 0 {
        return Err(invalid_argument("bad_limits", "limits of a picture's pixels, side and bytes must be at least 1"));
    }
    if pixels_max > PIXELS_LIMIT || bytes_max > BYTES_LIMIT {
        let message =
            format!("a coordinator accepts pictures of at most {PIXELS_LIMIT} pixels and {BYTES_LIMIT} bytes");
        return Err(hint(invalid_argument("too_much", message), "use a smaller --pixels-max and --bytes-max"));
    }
    Ok(limits)
}
