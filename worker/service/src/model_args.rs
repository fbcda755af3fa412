//! The model that a command scores with, and what of the machine it may take.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use candle_core::Device;
use clap::builder::BoolishValueParser;
use dqa_engine::decode::Limits;
use dqa_engine::inference::Settings;
use dqa_engine::models::{self, OpenError, Opened, Training};
use dqa_model::{Arithmetic, ClipConfig, ClipWeights, Explainer, Isa, Options, PromptMode, Prompts, Scorer, Views};
use dqa_pipelines::limits::PictureLimits;
use dqa_pipelines::model::{ModelFile, ModelSpec};
use dqa_pipelines::trained_on::TrainedOn;

use crate::program::{note, with_hint};

/// Flags that say with what to score.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct ModelArgs {
    /// CLIP: a folder or a file in Hugging Face's, OpenAI's or OpenCLIP's form; hf:OWNER/NAME or hf:OWNER/NAME@REVISION, from the
    /// hub through its cache; or dqa:small, a small model for trying things out. `dqa-coord model show` says what it is.
    #[arg(long, env = "DQA_MODEL", value_name = "MODEL")]
    pub model: String,

    /// Learned prompts: safetensors, or the authors' PyTorch checkpoint; dqa:small for those of that model.
    #[arg(long, env = "DQA_PROMPTS", value_name = "FILE")]
    pub prompts: Option<PathBuf>,

    /// No learned prompts: the sentences "bad photo." and "good photo." as they are.
    #[arg(long, env = "DQA_HANDCRAFTED", value_parser = BoolishValueParser::new())]
    pub handcrafted: bool,

    /// Which parts of a picture are looked at: sees=both|local|global, window=N, and one of stride=N, grid=N,
    /// random=N with seed=N; joined by commas.
    #[arg(long, env = "DQA_VIEWS", default_value_t = Views::default(), value_name = "VIEWS")]
    pub views: Views,

    /// Where the model runs: cpu, or cuda:N.
    #[arg(long, env = "DQA_DEVICE", default_value = "cpu")]
    pub device: String,

    /// The class of arithmetic: f32 (of record), bf16 or f16.
    #[arg(long, env = "DQA_DTYPE", default_value_t = Arithmetic::F32)]
    pub dtype: Arithmetic,

    /// Windows on the device at once [default: as many as fill it: on the CPU 8 a thread, at least 16].
    #[arg(long, env = "DQA_BATCH", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch: Option<u32>,

    /// What of the machine.
    #[command(flatten)]
    pub machine: MachineArgs,

    /// How large a picture may be.
    #[command(flatten)]
    pub limits: LimitArgs,

    /// Take hf: models from the hub's cache alone, as HF_HUB_OFFLINE=1 does.
    #[arg(long, env = "DQA_OFFLINE", value_parser = BoolishValueParser::new())]
    pub offline: bool,
}

/// Flags that say what a command may take of the machine.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct MachineArgs {
    /// Threads that compute, on the CPU [default: one a core].
    #[arg(long, env = "DQA_THREADS", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: Option<u32>,

    /// Threads that decode [default: one a core, at most 8 where the model runs on the CPU].
    #[arg(long, env = "DQA_DECODE_THREADS", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub decode_threads: Option<u32>,

    /// MiB for pictures on their way; a picture that is larger goes alone.
    #[arg(long, env = "DQA_PICTURE_MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub picture_mib: u64,
}

/// Flags that say how large a picture may be. One that is larger has no score.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct LimitArgs {
    /// Most pixels that a picture may have.
    #[arg(long, env = "DQA_PIXELS_MAX", default_value_t = PictureLimits::default().pixels_max, value_parser = clap::value_parser!(u64).range(1..))]
    pub pixels_max: u64,

    /// Longest side that a picture may have.
    #[arg(long, env = "DQA_SIDE_MAX", default_value_t = PictureLimits::default().side_max, value_parser = clap::value_parser!(u32).range(1..))]
    pub side_max: u32,

    /// Most bytes that a picture's file may have.
    #[arg(long, env = "DQA_BYTES_MAX", default_value_t = PictureLimits::default().bytes_max, value_parser = clap::value_parser!(u64).range(1..))]
    pub bytes_max: u64,
}

/// A model that is ready to score.
pub struct Loaded {
    /// The model on its device.
    pub scorer: Arc<Scorer>,
    /// What the engine may take of the machine.
    pub settings: Settings,
    /// The device, with what matters for its speed and arithmetic: `cpu (avx512, 2 threads)`.
    pub device: String,
    /// What it learned from, as far as its files say.
    pub trained_on: TrainedOn,
}

/// A model for those who load it elsewhere.
pub struct Identified {
    /// What it is.
    pub spec: ModelSpec,
    /// Its files, and where they are here.
    pub files: Vec<(ModelFile, PathBuf)>,
}

fn describe(path: &Path) -> anyhow::Result<ModelFile> {
    let cannot = || format!("cannot read {}", path.display());
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap_rayon(path).with_context(cannot)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let bytes = std::fs::metadata(path).with_context(cannot)?.len();
    let file = ModelFile { name, digest: hasher.finalize().to_hex().to_string(), bytes };
    file.check().with_context(|| format!("{} cannot be sent", path.display()))?;
    Ok(file)
}

impl ModelArgs {
    /// Opens the device and loads the model; says on standard error what it is.
    ///
    /// # Errors
    /// A device that is not there; a model or prompts that cannot be read or do not fit.
    pub fn load(&self) -> anyhow::Result<Loaded> {
        let device = device(&self.device)?;
        self.machine.start_threads()?;
        let (weights, prompts, options) = opened(self, &device)?;
        let trained_on = self.trained_on(&weights);
        let scorer = Arc::new(Scorer::new(&weights, &prompts, &options).context("cannot build the model")?);
        let shown = shown(&device, &self.device);
        note(format_args!(
            "model {} with {}, {}, {} on {shown}, fingerprint {}",
            self.model,
            self.prompts.as_ref().map_or("handcrafted prompts".to_owned(), |p| p.display().to_string()),
            self.views,
            self.dtype,
            scorer.fingerprint()
        ));
        if !device.is_cpu() && self.dtype == Arithmetic::F32 {
            note(format_args!("f32 on a GPU is the check of record, and slow: --dtype f16 runs on kernels of our own"));
        }
        let settings = self.machine.settings(self.batch, &device, self.limits.limits());
        Ok(Loaded { scorer, settings, device: shown, trained_on })
    }

    /// What weights and prompts learned from, as far as their files say; what cannot be read is said on standard error.
    fn trained_on(&self, weights: &ClipWeights) -> TrainedOn {
        let prompts = self.prompts.as_deref().map_or(Training::NotRecorded, Training::of_prompts);
        let (trained_on, unreadable) = Training::of_weights(&self.model, weights.files()).and(prompts).known();
        if let Some(unreadable) = unreadable {
            note(format_args!("warning: {unreadable}"));
        }
        trained_on
    }

    /// What the model is, for those who load it elsewhere; its files are read, and it is not made.
    ///
    /// # Errors
    /// A model or prompts that cannot be read or do not fit.
    pub fn identify(&self) -> anyhow::Result<Identified> {
        let (weights, prompts, options) = opened(self, &Device::Cpu)?;
        let fingerprint = dqa_model::fingerprint_of(&weights, &prompts, &options).context("cannot read the model")?;
        let described = |path: PathBuf| Ok((describe(&path)?, path));
        let in_program = |path: &PathBuf| path.to_str().is_some_and(|name| name.starts_with("dqa:"));
        let weights: Vec<_> =
            models::files(&self.model, self.offline)?.into_iter().map(described).collect::<anyhow::Result<_>>()?;
        let prompts = self.prompts.clone().filter(|path| !in_program(path)).map(described).transpose()?;
        let spec = ModelSpec {
            name: self.model.clone(),
            prompts_name: self.prompts.as_ref().map(|path| path.display().to_string()),
            weights: weights.iter().map(|(file, _)| file.clone()).collect(),
            prompts: prompts.as_ref().map(|(file, _)| file.clone()),
            views: self.views.to_string(),
            dtype: self.dtype.to_string(),
            fingerprint: fingerprint.to_string(),
        };
        Ok(Identified { spec, files: weights.into_iter().chain(prompts).collect() })
    }

    /// Opens the device and loads the model, to look at how it scores.
    ///
    /// # Errors
    /// As [`ModelArgs::load`].
    pub fn explainer(&self) -> anyhow::Result<Explainer> {
        let device = device(&self.device)?;
        self.machine.start_threads()?;
        let (weights, prompts, options) = opened(self, &device)?;
        Explainer::new(&weights, &prompts, &options).context("cannot build the model")
    }
}

/// The device with what matters for its speed and arithmetic, where it was asked for by this name.
pub fn shown(device: &Device, name: &str) -> String {
    if device.is_cpu() {
        return format!("cpu ({}, {} threads)", Isa::current(), rayon::current_num_threads());
    }
    match dqa_model::device::description(device) {
        Some(description) => format!("{name} ({description})"),
        None => name.to_owned(),
    }
}

/// The device of this name: `cpu`, or `cuda:0` and so on.
///
/// # Errors
/// Where it is no name of a device, or not there.
pub fn device(name: &str) -> anyhow::Result<Device> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let Some(ordinal) = name.strip_prefix("cuda:").and_then(|n| n.parse::<usize>().ok()) else {
        return Err(with_hint(anyhow!("`{name}` is no device"), "--device takes cpu, or cuda:0 and so on"));
    };
    if !cfg!(feature = "cuda") {
        let error = anyhow!("device {name} was asked for, and this program was built without CUDA");
        return Err(with_hint(error, "build it with --features cuda, or score with --device cpu"));
    }
    dqa_model::device::open_cuda(ordinal).map_err(|error| {
        let hint =
            "nvidia-smi lists the GPUs; CUDA's libraries are looked for in LD_LIBRARY_PATH; --device cpu runs here";
        with_hint(anyhow!(error), hint)
    })
}

/// The model of this name.
///
/// # Errors
/// One that is not there or cannot be read; with what to do.
pub fn open_model(model: &str, offline: bool) -> anyhow::Result<Opened> {
    models::open(model, offline).map_err(advised).with_context(|| format!("cannot open the model {model}"))
}

/// Prompts for a model of this configuration, or an error with what to do.
fn open_prompts(file: &Path, config: &ClipConfig) -> anyhow::Result<Prompts> {
    models::prompts(file, config)
        .map_err(advised)
        .with_context(|| format!("cannot open the prompts {}", file.display()))
}

fn advised(error: OpenError) -> anyhow::Error {
    match error.hint() {
        Some(hint) => with_hint(error.into(), hint),
        None => error.into(),
    }
}

/// Weights and prompts, and how they are to run.
fn opened(args: &ModelArgs, device: &Device) -> anyhow::Result<(ClipWeights, PromptMode, Options)> {
    let weights = open_model(&args.model, args.offline)?.weights;
    let prompts = match &args.prompts {
        None => PromptMode::Handcrafted,
        Some(file) => PromptMode::Learned(open_prompts(file, weights.config())?),
    };
    let options = Options { views: args.views, arithmetic: args.dtype, device: device.clone(), ..Options::default() };
    Ok((weights, prompts, options))
}

impl MachineArgs {
    /// Starts the threads that compute: once, before anything is computed.
    ///
    /// # Errors
    /// Where the system has no threads.
    pub fn start_threads(&self) -> anyhow::Result<()> {
        let Some(threads) = self.threads else { return Ok(()) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads as usize);
        pool.build_global().context("cannot start threads")
    }

    /// What the engine may take, with so many windows on the device at once, if that is said.
    pub fn settings(&self, batch: Option<u32>, device: &Device, limits: PictureLimits) -> Settings {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let decoders = if device.is_cpu() { cores.min(8) } else { cores };
        Settings {
            batch: batch.map(|b| b as usize),
            decode_threads: self.decode_threads.map_or(decoders, |t| t as usize),
            picture_bytes_max: self.picture_mib << 20,
            limits: Limits::of(limits, Limits::default().side_min),
        }
    }
}

impl LimitArgs {
    /// What they say.
    pub fn limits(&self) -> PictureLimits {
        PictureLimits { pixels_max: self.pixels_max, side_max: self.side_max, bytes_max: self.bytes_max }
    }
}
