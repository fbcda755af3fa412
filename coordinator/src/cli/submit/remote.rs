//! `submit --coordinator`: submits the run to a coordinator. Pictures and scores do not pass through this process; only
//! the model's files are uploaded, once.

use anyhow::{anyhow, bail};
use dqa_pipelines::dataset::Definition;
use dqa_pipelines::report::ReportIntervals;
use dqa_proto::v1;
use dqa_service::program::{ExitStatus, end_on_signal, note, with_hint};
use dqa_service::wire::{limits_to_wire, model_to_wire};

use super::args::Args;
use super::datasets::{find_definitions, warn_of_training_leaks};
use crate::cli::coordinator_client::{
    Client, device_class, get_report, has_ended, paused_line, report_request, require_run, run_line, status_error,
    upload_model, wait_until_ended, wait_until_planned,
};
use crate::cli::output::print_text;

/// The first version of the protocol with limits of pictures.
const LIMITS_SINCE: u32 = 2;

/// The first version of the protocol with scored hazy inputs, and with data sets that are redefined.
const HAZY_SINCE: u32 = 3;

/// The first version of the protocol with metrics beside CLIP-DQA.
const METRICS_SINCE: u32 = 4;

/// Submits the run, waits until it has ended or with `--detach` until it is planned, and shows its reports.
pub(super) async fn run(args: &Args, mut client: Client) -> anyhow::Result<ExitStatus> {
    let definitions = find_definitions(&args.datasets)?;
    let device = device_class(&args.model.device)?;
    let metrics = args.metrics.selection()?;
    let parameters = args.metrics.parameters.read()?;
    let identified = metrics.clip_dqa.then(|| args.model.identify()).transpose()?;
    if args.dry_run {
        let error = anyhow!("a coordinator only plans runs that it is to score");
        return Err(with_hint(error, "leave out --dry-run, or --coordinator"));
    }
    let end = end_on_signal(|| vec!["the run was not submitted: the same command begins again".to_owned()])?;
    let files = identified.as_ref().map_or(&[][..], |model| &model.files);
    let protocol_version = upload_model(&mut client, files).await?;
    check_version(args, protocol_version)?;
    let request = v1::RunRequest {
        model: identified.map(|model| model_to_wire(model.spec)),
        metric_parameters: parameters.map(|file| file.json).unwrap_or_default(),
        ..run_request(args, &definitions, device)
    };
    let request = v1::SubmitRequest { run: Some(request) };
    let answer = client.submit(request).await.map_err(|status| status_error(&status))?;
    let run = require_run(answer.into_inner().run)?;
    note(format_args!("{}", run_line(&run)));
    drop(end);
    let coordinator = args.coordinator.url.clone().unwrap_or_default();
    let _end = end_on_signal({
        let run = run.name.clone();
        move || goes_on_lines(&run, &coordinator)
    })?;
    let run = if args.detach {
        wait_until_planned(&mut client, &run.name).await?
    } else {
        wait_until_ended(&mut client, &run.name).await?
    };
    warn_of_training_leaks(&run.training_leaks);
    check_state(args, &run)?;
    if args.detach {
        note_detached(args, &run);
        return Ok(ExitStatus::All);
    }
    // As for a run in this process, the report that is shown is the one that the store has.
    let request = report_request(run.name.clone(), &[], &args.report);
    print_text(&get_report(&mut client, v1::GetReportRequest { write: true, ..request }).await?)?;
    let has_failed = run.progress.is_some_and(|progress| progress.pictures_failed > 0);
    Ok(if has_failed { ExitStatus::SomeFailed } else { ExitStatus::All })
}

/// Checks that the run is complete; one that goes on without this process may have any other state but that of a failure.
fn check_state(args: &Args, run: &v1::Run) -> anyhow::Result<()> {
    match run.state() {
        v1::RunState::Complete => {}
        _ if args.detach && !has_ended(run) => {}
        v1::RunState::Cancelled => bail!("run {} was cancelled", run.name),
        _ => {
            let is_planned = run.progress.is_some_and(|progress| progress.shards > 0);
            let what = if is_planned { "failed" } else { "cannot be planned" };
            let error = anyhow!("{}", run.failure).context(format!("run {} {what}", run.name));
            let resume = format!("`dqa-coord resume {}` goes on with it", run.name);
            return Err(with_hint(error, if run.hint.is_empty() { resume } else { run.hint.clone() }));
        }
    }
    Ok(())
}

/// Says how a run that goes on at the coordinator is followed.
fn note_detached(args: &Args, run: &v1::Run) {
    let coordinator = args.coordinator.url.as_deref().unwrap_or_default();
    if run.state() == v1::RunState::Paused {
        note(format_args!("run {} is submitted, and stays paused until it is resumed", run.name));
        note(format_args!("{}", paused_line(run)));
    } else {
        note(format_args!("run {} is planned and goes on there", run.name));
    }
    note(format_args!("`dqa-coord status {} --watch --coordinator {coordinator}` shows its progress", run.name));
}

/// Says that the coordinator's run goes on without this process.
fn goes_on_lines(run: &str, coordinator: &str) -> Vec<String> {
    vec![
        format!("run {run} goes on at the coordinator"),
        format!(
            "hint: `dqa-coord status {run} --watch --coordinator {coordinator}` shows its progress, and `dqa-coord cancel \
             {run} --coordinator {coordinator}` stops it"
        ),
    ]
}

fn run_request(args: &Args, definitions: &[Definition], device: v1::DeviceClass) -> v1::RunRequest {
    let report = args.report.options();
    v1::RunRequest {
        name: args.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        definitions: definitions.iter().map(Definition::to_toml).collect(),
        algorithms: args.algorithms(),
        metrics: if args.metrics.is_default() { Vec::new() } else { args.metrics.metrics.clone() },
        device: device.into(),
        allow_missing: args.allow_missing,
        retry_failed: args.retry_failed,
        shard_windows: args.shard_windows,
        priority: args.priority,
        remark: args.remark.clone().unwrap_or_default(),
        replicates: if report.intervals == ReportIntervals::Bootstrap { report.replicates } else { 0 },
        seed: report.seed,
        redefine: args.redefine.names.iter().map(ToString::to_string).collect(),
        with_hazy: args.with_hazy,
        limits: Some(limits_to_wire(args.model.limits.limits())),
        ..v1::RunRequest::default()
    }
}

/// Checks that the coordinator's version of the protocol has what the flags ask for.
fn check_version(args: &Args, protocol_version: u32) -> anyhow::Result<()> {
    let unknown_flags = if !args.model.limits.limits().is_default() && protocol_version < LIMITS_SINCE {
        "--pixels-max, --side-max and --bytes-max"
    } else if (args.with_hazy || !args.redefine.names.is_empty()) && protocol_version < HAZY_SINCE {
        "--with-hazy and --redefine"
    } else if !args.metrics.is_default() && protocol_version < METRICS_SINCE {
        "--metrics and --metric-parameters"
    } else {
        return Ok(());
    };
    let error = anyhow!("the coordinator has an older version of dqa, without {unknown_flags}");
    Err(with_hint(error, "install this version there, or leave them out"))
}
