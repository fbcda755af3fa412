//! `dqa-worker score`: scores pictures and prints one result each.

use std::io::{BufWriter, Write, stdout};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgGroup;
use clap::builder::BoolishValueParser;
use dqa_engine::fetch::read_file;
use dqa_engine::inference::{self, InferenceReport, InferenceSettings};
use dqa_model::Scorer;
use dqa_service::model_args::{LoadedModel, ModelArgs};
use dqa_service::program::{ExitStatus, OutputError, OutputFormat, note};

use super::inputs::Inputs;
use super::output::Output;
use super::progress::ScoringProgress;

/// Scores pictures and prints one result each.
#[derive(clap::Args)]
#[command(group = ArgGroup::new("sentences").required(true).args(["prompts", "handcrafted"]))]
pub(super) struct Args {
    /// Pictures, folders of pictures (with all below them), or globs.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

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
    let inputs = Inputs::find(&args.paths)?;
    inputs.skipped_lines().for_each(|line| note(format_args!("{line}")));
    let is_complete = inputs.is_complete();
    let LoadedModel { scorer, settings, .. } = args.model.load()?;
    if args.dry_run {
        print_plan(&inputs.pictures)?;
        return Ok(ExitStatus::All);
    }
    let report = score(args, &scorer, &settings, inputs.pictures)?;
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
    scorer: &Arc<Scorer>,
    settings: &InferenceSettings,
    pictures: Vec<PathBuf>,
) -> anyhow::Result<InferenceReport> {
    let mut output = Output::new(args.format, args.windows)?;
    let mut progress = ScoringProgress::new(pictures.len());
    let mut write_error = None;
    let fetch = |path: &PathBuf| read_file(path, args.model.limits.bytes_max);
    let report = inference::run(scorer, settings, pictures.into_iter(), fetch, |path, outcome| {
        progress.add_picture(outcome.score.as_ref().ok().map(|s| s.windows.len()));
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
    note(format_args!(
        "{} pictures ({} failed), {} windows in {:.1} s: {:.1} windows/s, {:.2} pictures/s",
        report.pictures,
        report.failed,
        report.windows,
        report.wall.as_secs_f64(),
        report.windows_per_second(),
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
