//! `submit --coordinator`: the same request, made of a coordinator. Pictures and scores do not pass through here: only the
//! model's files go up, once.

use dqa_pipelines::report::ReportIntervals;
use dqa_proto::v1;
use dqa_service::program::{ExitStatus, note, with_hint};

use super::{Args, definitions, warn_of_leaks};
use crate::cli::remote::{Client, class, given, model, refusal, send_model};
use crate::cli::{report, watch};

/// The first version of the protocol with limits of pictures.
const LIMITS_SINCE: u32 = 2;

/// The first version of the protocol with hazy inputs that are scored, and data sets that are defined anew.
const HAZY_SINCE: u32 = 3;

pub(super) async fn submit(args: &Args, mut client: Client) -> anyhow::Result<ExitStatus> {
    let definitions = definitions(&args.datasets)?;
    let device = class(&args.model.device)?;
    let identified = args.model.identify()?;
    let (report, limits) = (args.report.options(), args.model.limits.limits());
    let run = v1::RunRequest {
        name: args.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        definitions: definitions.iter().map(dqa_pipelines::dataset::Definition::to_toml).collect(),
        algorithms: args.algorithms(),
        model: Some(model(&identified.spec)),
        device: device.into(),
        allow_missing: args.allow_missing,
        retry_failed: args.retry_failed,
        shard_windows: args.shard_windows,
        priority: args.priority,
        remark: args.remark.clone().unwrap_or_default(),
        replicates: if report.intervals == ReportIntervals::Bootstrap { report.replicates } else { 0 },
        seed: report.seed,
        redefine: args.redefine.names().iter().map(ToString::to_string).collect(),
        with_hazy: args.with_hazy,
        limits: Some(v1::PictureLimits {
            pixels_max: limits.pixels_max,
            side_max: limits.side_max,
            bytes_max: limits.bytes_max,
        }),
    };
    if args.dry_run {
        let error = anyhow::anyhow!("a coordinator plans when it is asked to score");
        return Err(with_hint(error, "leave out --dry-run, or --coordinator"));
    }
    let protocol_version = send_model(&mut client, &identified.files).await?;
    if !limits.is_default() && protocol_version < LIMITS_SINCE {
        let error = anyhow::anyhow!(
            "the coordinator is of an older version, which knows no --pixels-max, --side-max or --bytes-max"
        );
        return Err(with_hint(error, "install this version there, or leave them out"));
    }
    if (args.with_hazy || !args.redefine.names().is_empty()) && protocol_version < HAZY_SINCE {
        let error = anyhow::anyhow!("the coordinator is of an older version, which knows no --with-hazy or --redefine");
        return Err(with_hint(error, "install this version there, or leave them out"));
    }
    let answer = client.submit(v1::SubmitRequest { run: Some(run) }).await.map_err(|status| refusal(&status))?;
    let run = given(answer.into_inner().run)?;
    note(format_args!("{}", watch::line(&run)));
    let run = if args.detach {
        watch::until_planned(&mut client, &run.name).await?
    } else {
        watch::watch(&mut client, &run.name).await?
    };
    warn_of_leaks(&run.training_leaks);
    match run.state() {
        v1::RunState::Complete => {}
        _ if args.detach && !watch::has_ended(&run) => {}
        v1::RunState::Cancelled => anyhow::bail!("run {} was called off", run.name),
        _ => {
            let error = anyhow::anyhow!("{}", run.failure).context(format!("run {} failed", run.name));
            let resume = format!("`dqa-coord resume {}` goes on with it", run.name);
            let advice = if run.hint.is_empty() { resume } else { run.hint };
            return Err(with_hint(error, advice));
        }
    }
    if args.detach {
        let coordinator = args.remote.coordinator.as_deref().unwrap_or_default();
        note(format_args!("run {} is planned and goes on there", run.name));
        note(format_args!("`dqa-coord status {} --watch --coordinator {coordinator}` says how far it is", run.name));
        return Ok(ExitStatus::All);
    }
    // As in this process: what is shown is what the store has.
    let request = v1::GetReportRequest { write: true, ..args.report.request(run.name.clone(), &[]) };
    let text = report::fetched(&mut client, request).await?;
    report::print(&text)?;
    let failed = run.progress.is_some_and(|progress| progress.pictures_failed > 0);
    Ok(if failed { ExitStatus::SomeFailed } else { ExitStatus::All })
}
