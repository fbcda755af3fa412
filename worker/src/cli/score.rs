//! `dqa-worker score`: pictures in, one result each out.

use std::fs::File;
use std::io::{BufWriter, Read, Write, stdout};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use candle_core::Device;
use clap::ArgGroup;
use clap::builder::BoolishValueParser;
use dqa_model::{Arithmetic, ClipWeights, Isa, Options, PromptMode, Prompts, Scorer, Views};

use super::inputs::Inputs;
use super::output::{Format, Output, Unwritten};
use super::progress::Progress;
use super::{Done, advise, note};
use crate::decode::{Limits, PictureError};
use crate::engine::{self, Report, Settings};
use crate::hub;

/// Scores pictures and prints one result each.
#[derive(clap::Args)]
#[command(group = ArgGroup::new("sentences").required(true).args(["prompts", "handcrafted"]))]
pub(super) struct Args {
    /// Pictures, folders of pictures (with all below them), or globs.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// CLIP in Hugging Face's form: a directory, or hf:OWNER/NAME, or hf:OWNER/NAME@REVISION.
    #[arg(long, env = "DQA_MODEL", value_name = "DIR")]
    model: String,

    /// Learned prompts: safetensors, or the authors' PyTorch checkpoint.
    #[arg(long, env = "DQA_PROMPTS", value_name = "FILE")]
    prompts: Option<PathBuf>,

    /// No learned prompts: the sentences "bad photo." and "good photo." as they are.
    #[arg(long, env = "DQA_HANDCRAFTED", value_parser = BoolishValueParser::new())]
    handcrafted: bool,

    /// Which parts of a picture are looked at: sees=both|local|global, window=N, and one of stride=N, grid=N,
    /// random=N with seed=N; joined by commas.
    #[arg(long, env = "DQA_VIEWS", default_value_t = Views::default(), value_name = "VIEWS")]
    views: Views,

    /// Print the score of every window too.
    #[arg(long, env = "DQA_WINDOWS", value_parser = BoolishValueParser::new())]
    windows: bool,

    /// How results are written.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,

    /// Where the model runs: cpu, or cuda:N.
    #[arg(long, env = "DQA_DEVICE", default_value = "cpu")]
    device: String,

    /// The class of arithmetic: f32 (of record), bf16 or f16.
    #[arg(long, env = "DQA_DTYPE", default_value_t = Arithmetic::F32)]
    dtype: Arithmetic,

    /// Windows on the device at once [default: 8 a thread on the CPU, at least 16; 256 on a GPU].
    #[arg(long, env = "DQA_BATCH", value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: Option<u32>,

    /// Threads that compute, on the CPU [default: one a core].
    #[arg(long, env = "DQA_THREADS", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,

    /// Threads that decode [default: one a core, at most 8].
    #[arg(long, env = "DQA_DECODE_THREADS", value_parser = clap::value_parser!(u32).range(1..=256))]
    decode_threads: Option<u32>,

    /// MiB for pictures on their way; a picture that is larger goes alone.
    #[arg(long, env = "DQA_PICTURE_MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    picture_mib: u64,

    /// Most pixels that a picture may have.
    #[arg(long, env = "DQA_PIXELS_MAX", default_value_t = Limits::default().pixels_max)]
    pixels_max: u64,

    /// Longest side that a picture may have.
    #[arg(long, env = "DQA_SIDE_MAX", default_value_t = Limits::default().side_max)]
    side_max: u32,

    /// Most bytes that a picture's file may have.
    #[arg(long, env = "DQA_BYTES_MAX", default_value_t = Limits::default().bytes_max)]
    bytes_max: u64,

    /// Take hf: models from the local cache alone.
    #[arg(long, env = "DQA_OFFLINE", value_parser = BoolishValueParser::new())]
    offline: bool,

    /// Say what would be scored, and stop.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Done> {
    let inputs = Inputs::of(&args.paths)?;
    if inputs.passed_over > 0 {
        note(format_args!("passed over {} files that are not named as pictures", inputs.passed_over));
    }
    let device = device(&args.device)?;
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global().context("cannot start threads")?;
    }
    let scorer = Arc::new(scorer(args, &device)?);
    let settings = settings(args, &device);
    note(format_args!(
        "model {} with {}, {}, {} on {}, fingerprint {}",
        args.model,
        args.prompts.as_ref().map_or("handcrafted prompts".to_owned(), |p| p.display().to_string()),
        args.views,
        args.dtype,
        if device.is_cpu() {
            format!("cpu ({}, {} threads)", Isa::current(), rayon::current_num_threads())
        } else {
            args.device.clone()
        },
        scorer.fingerprint()
    ));
    if args.dry_run {
        print_plan(&inputs.pictures)?;
        return Ok(Done::All);
    }
    let report = score(args, &scorer, &settings, inputs.pictures)?;
    print_report(&report, settings.decode_threads);
    Ok(if report.failed == 0 { Done::All } else { Done::SomeFailed })
}

fn print_plan(pictures: &[PathBuf]) -> Result<(), Unwritten> {
    let mut out = BufWriter::new(stdout().lock());
    for picture in pictures {
        writeln!(out, "{}", picture.display())?;
    }
    Ok(out.flush()?)
}

fn score(args: &Args, scorer: &Arc<Scorer>, settings: &Settings, pictures: Vec<PathBuf>) -> anyhow::Result<Report> {
    let mut output = Output::new(args.format, args.windows)?;
    let mut progress = Progress::new(pictures.len());
    let mut unwritten = None;
    let fetch = |path: &PathBuf| read(path, args.bytes_max);
    let report = engine::run(scorer, settings, pictures.into_iter(), fetch, |path, outcome| {
        progress.picture(outcome.score.as_ref().ok().map(|s| s.windows.len()));
        unwritten = progress.around(|| output.write(&path, &outcome)).err();
        if unwritten.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    progress.finish();
    match unwritten {
        Some(error) => Err(error.into()),
        None => Ok(report),
    }
}

/// A picture's file, if it is not over the limit.
fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, PictureError> {
    let io = |source| PictureError::Io { path: path.display().to_string(), source };
    let too_large = |what| Err(PictureError::TooLarge { what, limit: bytes_max });
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if length > bytes_max {
        return too_large(format!("{length} bytes"));
    }
    // A pipe or a device has no length: it is read until the limit shows.
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > bytes_max {
        return too_large(format!("{} bytes or more", bytes.len()));
    }
    Ok(bytes)
}

fn device(name: &str) -> anyhow::Result<Device> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let Some(ordinal) = name.strip_prefix("cuda:").and_then(|n| n.parse::<usize>().ok()) else {
        return Err(advise(anyhow!("`{name}` is no device"), "--device takes cpu, or cuda:0 and so on"));
    };
    if !cfg!(feature = "cuda") {
        let error = anyhow!("device {name} was asked for, and this program was built without CUDA");
        return Err(advise(error, "build it with --features cuda, or score with --device cpu"));
    }
    Device::new_cuda(ordinal).with_context(|| format!("cannot open device {name}"))
}

fn scorer(args: &Args, device: &Device) -> anyhow::Result<Scorer> {
    let dir =
        hub::resolve(&args.model, args.offline).with_context(|| format!("cannot find the model {}", args.model))?;
    let weights = ClipWeights::open(&dir).with_context(|| format!("cannot open the model {}", args.model))?;
    let prompts = match &args.prompts {
        None => PromptMode::Handcrafted,
        Some(file) => PromptMode::Learned(
            Prompts::open(file, weights.config())
                .with_context(|| format!("cannot open the prompts {}", file.display()))?,
        ),
    };
    let options = Options { views: args.views, arithmetic: args.dtype, device: device.clone(), ..Options::default() };
    Scorer::new(&weights, &prompts, &options).context("cannot build the model")
}

fn settings(args: &Args, device: &Device) -> Settings {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let batch = if device.is_cpu() { (8 * rayon::current_num_threads()).max(16) } else { 256 };
    Settings {
        batch: args.batch.map_or(batch, |b| b as usize),
        decode_threads: args.decode_threads.map_or(cores.min(8), |t| t as usize),
        picture_bytes_max: args.picture_mib << 20,
        limits: Limits {
            pixels_max: args.pixels_max,
            side_max: args.side_max,
            bytes_max: args.bytes_max,
            ..Limits::default()
        },
    }
}

fn print_report(report: &Report, decode_threads: usize) {
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
