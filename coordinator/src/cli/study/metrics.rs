//! A study of metrics: scores its data sets as a run, and sets the run's comparison of metrics beside published figures.

use anyhow::bail;
use dqa_model::{Arithmetic, Views};
use dqa_pipelines::plan::SHARD_WINDOWS_MAX;
use dqa_pipelines::report::{self, ReportOptions};
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::store::Store;
use dqa_pipelines::study::{MetricStudy, MetricStudyOutcome};
use dqa_service::model_args::ModelArgs;
use dqa_service::program::{ExitStatus, command_line, end_on_signal, host, note, with_hint, with_own_hint};

use super::{Args, study_name};
use crate::cli::output::print_text;
use crate::cli::result_format::ResultForm;
use crate::cli::submit::{LocalRun, LocalRunEnd, score};

/// Runs the study and shows its table.
pub(super) async fn run(args: &Args, mut study: MetricStudy) -> anyhow::Result<ExitStatus> {
    note_unused(args);
    if !args.datasets.is_empty() {
        study.datasets.clone_from(&args.datasets);
    }
    if study.datasets.is_empty() {
        bail!("the study names no data set: give some with --datasets");
    }
    let store = args.store.create().await?;
    let record = match score_metrics(args, &study, &store).await? {
        LocalRunEnd::Planned => return Ok(ExitStatus::All),
        LocalRunEnd::Stopped(signal) => return Ok(signal.exit_status()),
        LocalRunEnd::Complete(record) => record,
    };
    let _end = end_on_signal(|| vec!["every picture has its row, and the same command makes the table".to_owned()])?;
    let outcome = compare(args, study, &store, &record).await?;
    print_text(&match args.result.form() {
        ResultForm::Tables(style) => outcome.text(style),
        ResultForm::Json => outcome.json(),
        ResultForm::Csv => outcome.csv(),
    })?;
    Ok(if record.counts.failed == 0 { ExitStatus::All } else { ExitStatus::SomeFailed })
}

fn note_unused(args: &Args) {
    let flags = [
        ("--new-splits", args.new_splits.is_some()),
        ("--splits-file", !args.splits_file.is_empty()),
        ("--epochs", args.epochs.is_some()),
        ("--set", !args.set.is_empty()),
        ("--skip-unreadable", args.skip_unreadable),
    ];
    for (flag, _) in flags.iter().filter(|(_, is_given)| *is_given) {
        note(format_args!("{flag} is not used: a study of metrics trains nothing"));
    }
}

async fn score_metrics(args: &Args, study: &MetricStudy, store: &Store) -> anyhow::Result<LocalRunEnd> {
    let has_model = !args.model.is_empty();
    if study.has_clip_dqa() && !has_model {
        note(format_args!("clip-dqa is left out: it needs --model, and --prompts unless the model is dqa:small"));
    }
    if args.model.len() > 1 {
        bail!("a study of metrics has one model, and --model names {}", args.model.len());
    }
    let model = ModelArgs {
        model: args.model.first().cloned().unwrap_or_default(),
        prompts: args.prompts.clone(),
        handcrafted: args.handcrafted,
        views: Views::default(),
        device: args.resources.device.clone(),
        dtype: Arithmetic::F32,
        batch: None,
        machine: args.resources.machine.clone(),
        limits: args.resources.limits.clone(),
        offline: args.resources.offline,
    };
    let run = LocalRun {
        datasets: &study.datasets,
        algorithms: Vec::new(),
        metrics: study.selection(has_model),
        parameters: &args.parameters,
        model: &model,
        name: None,
        remark: None,
        redefine: &args.redefine,
        with_hazy: false,
        allow_missing: false,
        retry_failed: false,
        shard_windows: SHARD_WINDOWS_MAX,
        dry_run: args.dry_run,
    };
    score(&run, store).await
}

/// Makes the run's report and the study's table, and writes both to the store.
async fn compare(
    args: &Args,
    definition: MetricStudy,
    store: &Store,
    record: &RunRecord,
) -> anyhow::Result<MetricStudyOutcome> {
    let mut others = Vec::new();
    for name in &args.with_runs {
        others.push(RunRecord::find_by_prefix(store, name).await.map_err(with_own_hint)?);
    }
    let report = report::compute_with_others(store, record, &others, &ReportOptions::default()).await;
    let report = report.map_err(with_own_hint)?;
    report.write(store).await?;
    let datasets = record.spec.datasets.iter().map(|dataset| dataset.name.as_str());
    let name = study_name(args, datasets)?;
    let rows = definition.rows(&name, &report.metrics);
    if rows.is_empty() {
        let error =
            anyhow::anyhow!("run {} has no two metrics on pictures with labels, so none can be compared", record.name);
        return Err(with_hint(error, "a definition's [labels] names the file of the labels"));
    }
    let provenance = vec![
        ("dqa.run".to_owned(), record.name.to_string()),
        ("dqa.host".to_owned(), host()),
        ("dqa.command".to_owned(), command_line()),
    ];
    let outcome = MetricStudyOutcome { name, definition, provenance, rows };
    outcome.write(store).await?;
    Ok(outcome)
}
