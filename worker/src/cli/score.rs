//! `dqa-worker score`: scores pictures and prints one result each.

use std::io::{BufWriter, Write, stdout};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgGroup;
use clap::builder::BoolishValueParser;
use dqa_engine::fetch::read_file;
use dqa_engine::inference::{self, InferenceReport, InferenceSettings, Measures, PictureInput, Wanted};
use dqa_metrics::{Evaluator, ReferenceKind};
use dqa_pipelines::count_text::counted;
use dqa_service::metric_args::MetricArgs;
use dqa_service::model_args::{LoadedModel, ModelArgs};
use dqa_service::program::{ExitStatus, OutputError, OutputFormat, end_on_signal, note};

use super::inputs::Inputs;
use super::output::Output;
use super::progress::ScoringProgress;
use super::references::{ReferencePaths, References};

/// Scores pictures and prints one result each.
#[derive(clap::Args)]
#[command(group = ArgGroup::new("sentences").args(["prompts", "handcrafted"]))]
pub(super) struct Args {
    /// Pictures, folders of pictures (with all below them), or globs.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    metrics: MetricArgs,

    /// A CSV table with the columns image, clear and hazy: the pictures that metrics compare with. Paths begin at the
    /// table's folder.
    #[arg(long, env = "DQA_REFERENCES", value_name = "FILE")]
    references: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArgs,

    /// Print the score of every window too.
    #[arg(long, env = "DQA_WINDOWS", value_parser = BoolishValueParser::new())]
    windows: bool,

    /// Format of the results.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,

    /// Print what would be scored, and stop.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let end = end_on_signal(|| vec!["no picture was scored: the same command begins again".to_owned()])?;
    let inputs = Inputs::find(&args.paths)?;
    inputs.skipped_lines().for_each(|line| note(format_args!("{line}")));
    let is_complete = inputs.is_complete();
    let metrics = args.metrics.selection()?;
    let references = args.references.as_deref().map(References::read).transpose()?.unwrap_or_default();
    let parameters = args.metrics.parameters.read()?;
    let LoadedModel { scorer, settings, .. } =
        if metrics.clip_dqa { args.model.load()? } else { args.model.without_model()? };
    if args.dry_run {
        print_plan(&inputs.pictures)?;
        return Ok(ExitStatus::All);
    }
    let evaluator = Evaluator::default();
    let evaluator = match parameters {
        Some(file) => evaluator.with_parameters(file.parameters),
        None => evaluator,
    };
    let measures = Measures { clip_dqa: scorer, evaluator };
    drop(end);
    let wanted = Wanted { clip_dqa: metrics.clip_dqa, metrics: metrics.classic };
    let report = score(args, (&measures, &wanted), &references, &settings, inputs.pictures)?;
    print_report(&report, settings.decode_threads);
    Ok(if report.failed == 0 && is_complete { ExitStatus::All } else { ExitStatus::SomeFailed })
}

fn print_plan(pictures: &[PathBuf]) -> Result<(), OutputError> {
    let mut out = BufWriter::new(stdout().lock());
    for picture in pictures {
        writeln!(out, "{}", picture.display())?;
    }
    Ok(out.flush()?)
}

fn score(
    args: &Args,
    (measures, wanted): (&Measures, &Wanted),
    references: &References,
    settings: &InferenceSettings,
    pictures: Vec<PathBuf>,
) -> anyhow::Result<InferenceReport> {
    let mut output = Output::new(args.format, args.windows, &wanted.metrics)?;
    let mut progress = ScoringProgress::new(pictures.len());
    let _end = progress.end_on_signal()?;
    let mut write_error = None;
    let read = |path: &Path| read_file(path, args.model.limits.bytes_max);
    let fetch = |path: &PathBuf| {
        let ReferencePaths { clear, hazy } = references.find(path);
        Ok(PictureInput {
            bytes: read(path)?,
            wanted: wanted.clone(),
            clear: clear.filter(|_| wanted.needs(ReferenceKind::Clear)).map(|path| read(&path)),
            hazy: hazy.filter(|_| wanted.needs(ReferenceKind::Hazy)).map(|path| read(&path)),
        })
    };
    let report = inference::measure(measures, settings, pictures.into_iter(), fetch, |path, outcome| {
        let windows = outcome.measured.as_ref().ok().map(|measured| match &measured.clip_dqa {
            Some(score) => score.as_ref().map_or(0, |score| score.windows.len()),
            None => 1,
        });
        progress.add_picture(windows);
        write_error = progress.suspend(|| output.write(&path, &outcome)).err();
        if write_error.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    progress.finish();
    match write_error {
        Some(error) => Err(error.into()),
        None => Ok(report),
    }
}

fn print_report(report: &InferenceReport, decode_threads: usize) {
    let share = |part: Duration| 100.0 * part.as_secs_f64() / report.wall.as_secs_f64().max(1e-9);
    // Metrics alone see whole pictures: there are no windows.
    let (windows, rate) = match report.windows {
        0 => (String::new(), String::new()),
        windows => {
            (format!(", {}", counted(windows, "window")), format!("{:.1} windows/s, ", report.windows_per_second()))
        }
    };
    note(format_args!(
        "{} ({} failed){windows} in {:.1} s: {rate}{:.2} pictures/s",
        counted(report.pictures, "picture"),
        report.failed,
        report.wall.as_secs_f64(),
        report.pictures_per_second()
    ));
    note(format_args!(
        "time: device {:.0}%, waiting for input {:.0}%; reading {:.1} s, decoding {:.1} s on {} threads",
        share(report.device),
        share(report.waiting),
        report.fetching.as_secs_f64(),
        report.decoding.as_secs_f64(),
        decode_threads
    ));
}
