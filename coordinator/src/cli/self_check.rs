//! `dqa-coord self-check`: what this program and this machine can do. It is the first command on a new node, and reports of
//! bugs contain its output.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use dqa_engine::hub::HubSettings;
use dqa_engine::models;
use dqa_model::{Batcher, Isa, Options, Prepared, PromptMode, Rgb8, Scorer, Views};
use dqa_pipelines::causes;
use dqa_pipelines::result_page::hanging;
use dqa_pipelines::store::{ConditionalCreate, Store};
use dqa_service::model_args::{MachineArgs, device_label, open_device};
use dqa_service::program::{ExitStatus, OutputFormat};
use serde::Serialize;

use super::output::{print_rows, print_text};

/// The model in the program, with which the kernels are checked.
const MODEL: &str = "dqa:small";

/// The score of [`test_picture`] by [`MODEL`] in f32, on the portable kernels.
const SCORE: f64 = 0.442_305;

/// Largest difference between the scores of two instruction sets.
const SCORE_DIFFERENCE_MAX: f64 = 5e-5;

/// Says what this program and this machine can do.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Device that is checked: cpu, or cuda:N.
    #[arg(long, env = "DQA_DEVICE", default_value = "cpu")]
    device: String,

    /// Store that is checked: an object is written and deleted [default: none].
    #[arg(long, env = "DQA_STORE", value_name = "URL")]
    store: Option<String>,

    #[command(flatten)]
    machine: MachineArgs,

    /// Format of the list.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

/// What was found out about one thing.
#[derive(Default, Serialize)]
struct CheckRow {
    check: &'static str,
    /// `ok`, `failed`, or `-` for what is only said.
    result: &'static str,
    detail: String,
}

impl CheckRow {
    fn says(check: &'static str, detail: impl Into<String>) -> CheckRow {
        CheckRow { check, result: "-", detail: detail.into() }
    }

    fn of(check: &'static str, result: anyhow::Result<String>) -> CheckRow {
        match result {
            Ok(detail) => CheckRow { check, result: "ok", detail },
            Err(error) => CheckRow { check, result: "failed", detail: causes(error.as_ref()).to_string() },
        }
    }
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    args.machine.start_threads()?;
    let mut rows = vec![
        CheckRow::says("program", program()),
        CheckRow::says("system", system()),
        CheckRow::says("cpu", cpu()),
        CheckRow::of("device", open_device(&args.device).map(|device| device_label(&device, &args.device))),
        CheckRow::of("kernels", check_kernels(&args.device)),
        CheckRow::of("hub cache", check_hub_cache()),
    ];
    rows.push(match &args.store {
        Some(url) => CheckRow::of("store", check_store(url).await),
        None => CheckRow::says("store", "not checked: --store names one"),
    });
    rows.push(CheckRow::says("variables", variables()));
    match args.format {
        OutputFormat::Table => print_text(&rows.iter().map(line).collect::<String>())?,
        format => print_rows(&rows, format)?,
    }
    let has_failed = rows.iter().any(|row| row.result == "failed");
    Ok(if has_failed { ExitStatus::SomeFailed } else { ExitStatus::All })
}

fn line(row: &CheckRow) -> String {
    hanging(&format!("{:<11}{:<8}", row.check, row.result), &row.detail)
}

/// Returns the version, for which system it was built, and with what.
fn program() -> String {
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    let libc = if cfg!(target_env = "musl") {
        ", static (musl)"
    } else if cfg!(target_env = "gnu") {
        ", glibc"
    } else {
        ""
    };
    let with = |is_on: bool, what: &str| format!(", {} {what}", if is_on { "with" } else { "without" });
    let build = if cfg!(debug_assertions) { ", not optimised" } else { "" };
    let (cluster, cuda) = (with(cfg!(feature = "cluster"), "clusters"), with(cfg!(feature = "cuda"), "CUDA"));
    format!("dqa {}, {arch} {os}{libc}{cluster}{cuda}{build}", env!("CARGO_PKG_VERSION"))
}

/// Returns the system's name, its kernel and its memory, as far as files say so.
fn system() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (release, memory) = (read("/etc/os-release"), read("/proc/meminfo"));
    let name = value(&release, "PRETTY_NAME=").map(|name| name.trim_matches('"').to_owned());
    let kernel = Some(read("/proc/sys/kernel/osrelease").trim().to_owned()).filter(|kernel| !kernel.is_empty());
    let kib = value(&memory, "MemTotal:").and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let memory = kib.map(|kib| format!("{} GiB of memory", (kib + (1 << 19)) >> 20));
    let known: Vec<String> =
        [name, kernel.map(|kernel| format!("kernel {kernel}")), memory].into_iter().flatten().collect();
    if known.is_empty() { std::env::consts::OS.to_owned() } else { known.join(", ") }
}

/// Returns the CPU's name, its cores, and the instruction sets that the kernels can use.
fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = value(&info, "model name").map_or("unknown CPU", |name| name.trim_start_matches(['\t', ' ', ':']));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let available: Vec<String> = Isa::available().map(|isa| isa.to_string()).collect();
    format!("{name}, {cores} cores; kernels: {} (of {})", Isa::current(), available.join(", "))
}

/// Returns what follows a key at the beginning of a line.
fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

/// Scores a picture by the model in the program, and compares the score with what it is elsewhere.
fn check_kernels(device: &str) -> anyhow::Result<String> {
    let device = open_device(device)?;
    let weights = models::weights(MODEL, true)?;
    let prompts = PromptMode::Learned(models::prompts(Path::new(MODEL), weights.config())?);
    let options = Options { device, ..Options::default() };
    let scorer = Arc::new(Scorer::new(&weights, &prompts, &options).context("cannot build the model")?);
    let picture = Prepared::new(test_picture(), &Views::default()).context("cannot cut the picture")?;
    let begun = Instant::now();
    let mut batcher = Batcher::new(scorer, picture.windows())?;
    batcher.push((), &picture)?;
    batcher.flush()?;
    let ((), score) = batcher.pop().ok_or_else(|| anyhow!("the picture has no score"))?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    let difference = (score.score - SCORE).abs();
    ensure!(
        difference <= SCORE_DIFFERENCE_MAX,
        "{MODEL} scores the test picture {}, and it should be {SCORE}: the arithmetic of this machine is wrong",
        score.score
    );
    Ok(format!("{MODEL} scores the test picture {:.6} as it should, in {milliseconds:.0} ms", score.score))
}

/// Returns a picture of several windows with edges, gradients and noise, the same everywhere.
fn test_picture() -> Rgb8 {
    let (width, height) = (320_u32, 256_u32);
    let mut state = 1_u32;
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = state >> 28;
            let tile = if (x / 32 + y / 32).is_multiple_of(2) { 64 } else { 0 };
            pixels.extend([x / 2 + noise, y / 2 + tile + noise, (x + y) / 4 + noise].map(|level| level.min(255) as u8));
        }
    }
    Rgb8::new(width, height, pixels)
}

fn check_hub_cache() -> anyhow::Result<String> {
    let settings = HubSettings::from_env()?;
    let cache = settings.cache.display();
    let models = std::fs::read_dir(&settings.cache).into_iter().flatten().flatten();
    let models = models.filter(|entry| entry.file_name().to_string_lossy().starts_with("models--")).count();
    if !settings.cache.exists() {
        return Ok(format!("{cache} does not exist yet"));
    }
    tempfile::tempfile_in(&settings.cache).with_context(|| format!("cannot write to {cache}"))?;
    let offline = settings.offline.map_or(String::new(), |why| format!("; offline, by {why}"));
    Ok(format!("{cache}, {}{offline}", dqa_pipelines::count_text::counted(models, "model")))
}

/// Writes and deletes an object, and finds out whether the store keeps two coordinators from leading at once.
async fn check_store(url: &str) -> anyhow::Result<String> {
    let store = Store::open(url, Path::new(""))?;
    store.check().await?;
    let said = match store.probe_conditional_create().await? {
        ConditionalCreate::Supported => "conditional writes are kept".to_owned(),
        ConditionalCreate::SupportedWithoutLinks => "conditional writes are kept, without hard links".to_owned(),
        ConditionalCreate::Ignored => "conditional writes are ignored: run one coordinator at a time".to_owned(),
        ConditionalCreate::Refused(error) => {
            format!("conditional writes are refused: run one coordinator at a time ({})", causes(&error))
        }
    };
    Ok(format!("{}: objects are written and deleted; {said}", store.url()))
}

/// Returns the names of the variables that change what the programs do. Their values may be secret.
fn variables() -> String {
    let matters = |name: &str| {
        ["DQA_", "HF_", "AWS_", "GOOGLE_", "AZURE_", "CUDA_"].iter().any(|prefix| name.starts_with(prefix))
            || ["RUST_LOG", "NO_COLOR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "LD_LIBRARY_PATH"]
                .contains(&name)
    };
    let mut names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    names.retain(|name| matters(name));
    names.sort_unstable();
    if names.is_empty() { "none is set that matters".to_owned() } else { format!("set: {}", names.join(", ")) }
}
