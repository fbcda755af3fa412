//! The flags that choose a model, a device and the share of the machine that a command may use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use candle_core::Device;
use clap::builder::BoolishValueParser;
use dqa_engine::decode::Limits;
use dqa_engine::inference::InferenceSettings;
use dqa_engine::models::{self, OpenedModel, RecordedTraining};
use dqa_model::{Arithmetic, ClipConfig, ClipWeights, Explainer, Isa, Options, PromptMode, Prompts, Scorer, Views};
use dqa_pipelines::model_spec::ModelSpec;
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_pipelines::text_table::short_fingerprint;
use dqa_pipelines::trained_on::TrainedOn;

use crate::portable_model::{IdentifiedModel, PortableFiles};
use crate::program::help::headings;
use crate::program::{note, with_hint, with_own_hint};

/// Flags that choose the model.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct ModelArgs {
    /// CLIP: a folder or file in Hugging Face's, OpenAI's or OpenCLIP's form; hf:OWNER/NAME[@REVISION], from the hub;
    /// or dqa:small, a small model in the program. `dqa-coord model show` says what it is.
    #[allow(rustdoc::broken_intra_doc_links)] // it is a help text, where brackets are no link
    #[arg(long, help_heading = headings::MODEL, env = "DQA_MODEL", default_value = "", hide_default_value = true, value_name = "MODEL")]
    pub model: String,

    /// Learned prompts: safetensors, or the authors' PyTorch checkpoint [default: those of dqa:small for that model].
    #[arg(long, help_heading = headings::MODEL, env = "DQA_PROMPTS", value_name = "FILE")]
    pub prompts: Option<PathBuf>,

    /// Plain sentences instead of prompts: "bad photo.", "good photo.".
    #[arg(long, help_heading = headings::MODEL, env = "DQA_HANDCRAFTED", value_parser = BoolishValueParser::new())]
    pub handcrafted: bool,

    /// The views of a picture: sees=both|local|global, window=N, and one of stride=N, grid=N,
    /// random=N with seed=N, fragments=N; joined by commas.
    #[arg(long, help_heading = headings::MODEL, env = "DQA_VIEWS", hide_short_help = true, default_value_t = Views::default(), value_name = "VIEWS")]
    pub views: Views,

    /// The model's device: cpu, or cuda:N.
    #[arg(long, help_heading = headings::MODEL, env = "DQA_DEVICE", default_value = "cpu")]
    pub device: String,

    /// Arithmetic: f32 (of record), bf16 or f16.
    #[arg(long, help_heading = headings::MODEL, env = "DQA_DTYPE", hide_short_help = true, value_name = "CLASS", default_value_t = Arithmetic::F32)]
    pub dtype: Arithmetic,

    /// Windows on the device at once [default: as many as fill it; on the CPU 8 per thread, at least 16].
    #[arg(long, help_heading = headings::MODEL, env = "DQA_BATCH", hide_short_help = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch: Option<u32>,

    /// The share of the machine.
    #[command(flatten)]
    pub machine: MachineArgs,

    /// The limits of a picture.
    #[command(flatten)]
    pub limits: LimitArgs,

    /// Take hf: models from the hub's cache only, as HF_HUB_OFFLINE=1 does.
    #[arg(long, help_heading = headings::MODEL, env = "DQA_OFFLINE", hide_short_help = true, value_parser = BoolishValueParser::new())]
    pub offline: bool,
}

/// Flags that limit the share of the machine that a command may use.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct MachineArgs {
    /// Compute threads, on the CPU [default: one per core].
    #[arg(long, help_heading = headings::MACHINE, env = "DQA_THREADS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: Option<u32>,

    /// Decode threads [default: one per core, at most 8 on the CPU].
    #[arg(long, help_heading = headings::MACHINE, env = "DQA_DECODE_THREADS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub decode_threads: Option<u32>,

    /// MiB for pictures in flight; a larger picture is processed alone.
    #[arg(long, help_heading = headings::MACHINE, env = "DQA_PICTURE_MIB", value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub picture_mib: u64,
}

/// Flags that limit a picture's size. A larger picture has no score.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct LimitArgs {
    /// Most pixels of a picture.
    #[arg(long, help_heading = headings::LIMITS, env = "DQA_PIXELS_MAX", value_name = "N", default_value_t = PictureLimits::default().pixels_max, value_parser = clap::value_parser!(u64).range(1..))]
    pub pixels_max: u64,

    /// Longest side of a picture in pixels.
    #[arg(long, help_heading = headings::LIMITS, env = "DQA_SIDE_MAX", value_name = "N", default_value_t = PictureLimits::default().side_max, value_parser = clap::value_parser!(u32).range(1..))]
    pub side_max: u32,

    /// Largest file of a picture in bytes.
    #[arg(long, help_heading = headings::LIMITS, env = "DQA_BYTES_MAX", value_name = "N", default_value_t = PictureLimits::default().bytes_max, value_parser = clap::value_parser!(u64).range(1..))]
    pub bytes_max: u64,
}

/// A model that is ready to score.
pub struct LoadedModel {
    /// The model on its device. None if no metric needs it.
    pub scorer: Option<Arc<Scorer>>,
    /// Settings of inference.
    pub settings: InferenceSettings,
    /// The device with the properties that matter for its speed and arithmetic: `cpu (avx512, 2 threads)`.
    pub device: String,
    /// The model's training data, as far as its files record it.
    pub trained_on: TrainedOn,
}

impl ModelArgs {
    /// Opens the device and loads the model, and describes it on standard error.
    ///
    /// # Errors
    /// Fails if the device is not available, or if the model or the prompts cannot be read or do not fit.
    pub fn load(&self) -> anyhow::Result<LoadedModel> {
        self.machine.start_threads()?;
        let loaded = self.load_quietly()?;
        let LoadedModel { scorer: Some(scorer), device: label, .. } = &loaded else { return Ok(loaded) };
        note(format_args!(
            "model {} with {}, {}, {} on {label}, fingerprint {}",
            self.model,
            self.learned_prompts().map_or("handcrafted prompts".to_owned(), |p| p.display().to_string()),
            self.views,
            self.dtype,
            short_fingerprint(&scorer.fingerprint().to_string())
        ));
        if self.device != "cpu" && self.dtype == Arithmetic::F32 {
            note(format_args!("f32 on a GPU is the check of record, and slow: --dtype f16 runs on kernels of our own"));
        }
        Ok(loaded)
    }

    /// Opens the device and loads the model, and says nothing about it. The caller starts the threads.
    ///
    /// # Errors
    /// Fails as [`ModelArgs::load`] does.
    pub fn load_quietly(&self) -> anyhow::Result<LoadedModel> {
        let device = open_device(&self.device)?;
        let (weights, prompts, options) = open(self, &device)?;
        let trained_on = self.trained_on(&weights);
        let scorer = Arc::new(Scorer::new(&weights, &prompts, &options).context("cannot build the model")?);
        let label = device_label(&device, &self.device);
        let settings = self.machine.settings(self.batch, &device, self.limits.limits());
        Ok(LoadedModel { scorer: Some(scorer), settings, device: label, trained_on })
    }

    /// Returns what scoring needs without a model. The device is the CPU.
    ///
    /// # Errors
    /// Fails if the threads cannot be started.
    pub fn without_model(&self) -> anyhow::Result<LoadedModel> {
        self.machine.start_threads()?;
        let device = device_label(&Device::Cpu, "cpu");
        let mut settings = self.machine.settings(self.batch, &Device::Cpu, self.limits.limits());
        if self.machine.decode_threads.is_none() {
            settings.decode_threads = rayon::current_num_threads();
        }
        Ok(LoadedModel { scorer: None, settings, device, trained_on: TrainedOn::default() })
    }

    /// Checks that a model and its sentences are given.
    fn require_model(&self) -> anyhow::Result<()> {
        let missing = if self.model.is_empty() {
            "--model"
        } else if self.learned_prompts().is_none() && !self.handcrafted {
            "--prompts or --handcrafted"
        } else {
            return Ok(());
        };
        if !self.model.is_empty() && !self.model.starts_with("hf:") {
            // A mistyped name is the reason, and not what is missing beside it.
            open_model(&self.model, self.offline)?;
        }
        let error = anyhow!("{missing} is missing: clip-dqa scores with a model and its prompts");
        Err(with_hint(error, "for example `--model dqa:small`, which has its prompts; other --metrics need none"))
    }

    /// Returns the learned prompts: the given ones, or those that a model of the program has. None with `--handcrafted`,
    /// and if there are none.
    pub fn learned_prompts(&self) -> Option<&Path> {
        let own = || Some(Path::new(&self.model)).filter(|_| models::has_own_prompts(&self.model));
        if self.handcrafted { None } else { self.prompts.as_deref().or_else(own) }
    }

    /// Returns the training data of weights and prompts, as far as their files record it, and warns of an unreadable
    /// record.
    fn trained_on(&self, weights: &ClipWeights) -> TrainedOn {
        let prompts = self.learned_prompts().map_or(RecordedTraining::NotRecorded, RecordedTraining::of_prompts);
        let (trained_on, unreadable) = RecordedTraining::of_weights(&self.model, weights.files()).and(prompts).known();
        if let Some(unreadable) = unreadable {
            note(format_args!("warning: {unreadable}"));
        }
        trained_on
    }

    /// Describes the model for a process that loads it on another machine, with files that are safe to load there. The
    /// files are read, but the model is not built.
    ///
    /// # Errors
    /// Fails if the model or the prompts cannot be read or do not fit.
    pub fn identify(&self) -> anyhow::Result<IdentifiedModel> {
        let (weights, prompts, options) = open(self, &Device::Cpu)?;
        let fingerprint =
            dqa_model::model_fingerprint(&weights, &prompts, &options).context("cannot read the model")?;
        let is_bundled = |path: &&Path| path.to_str().is_some_and(|name| name.starts_with("dqa:"));
        let files = match (&prompts, self.learned_prompts().filter(|path| !is_bundled(path))) {
            (PromptMode::Learned(prompts), Some(path)) => PortableFiles::of(&weights, Some((prompts, path)))?,
            _ => PortableFiles::of(&weights, None)?,
        };
        let PortableFiles { weights, prompts, converted } = files;
        let spec = ModelSpec {
            name: self.model.clone(),
            prompts_name: self.learned_prompts().map(|path| path.display().to_string()),
            weights: weights.iter().map(|(file, _)| file.clone()).collect(),
            prompts: prompts.as_ref().map(|(file, _)| file.clone()),
            views: self.views.to_string(),
            dtype: self.dtype.to_string(),
            fingerprint: fingerprint.to_string(),
        };
        Ok(IdentifiedModel { spec, files: weights.into_iter().chain(prompts).collect(), _converted: converted })
    }

    /// Opens the device and loads the model for attention maps.
    ///
    /// # Errors
    /// Fails as [`ModelArgs::load`] does.
    pub fn explainer(&self) -> anyhow::Result<Explainer> {
        let device = open_device(&self.device)?;
        self.machine.start_threads()?;
        let (weights, prompts, options) = open(self, &device)?;
        Explainer::new(&weights, &prompts, &options).context("cannot build the model")
    }
}

/// Returns a device's name with the properties that matter for its speed and arithmetic.
pub fn device_label(device: &Device, name: &str) -> String {
    if device.is_cpu() {
        return format!("cpu ({}, {} threads)", Isa::current(), rayon::current_num_threads());
    }
    match dqa_model::device::description(device) {
        Some(description) => format!("{name} ({description})"),
        None => name.to_owned(),
    }
}

/// Opens a device by its name: `cpu`, `cuda:0` and so on.
///
/// # Errors
/// Fails if the name is unknown, or the device is not available.
pub fn open_device(name: &str) -> anyhow::Result<Device> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let Some(ordinal) = name.strip_prefix("cuda:").and_then(|n| n.parse::<usize>().ok()) else {
        return Err(with_hint(anyhow!("unknown device `{name}`"), "--device takes cpu, or cuda:0 and so on"));
    };
    if !cfg!(feature = "cuda") {
        let error = anyhow!("device {name} was requested, but this program was built without CUDA");
        return Err(with_hint(error, "build it with --features cuda, or score with --device cpu"));
    }
    dqa_model::device::open_cuda(ordinal).map_err(|error| {
        let hint =
            "nvidia-smi lists the GPUs; CUDA's libraries are searched for in LD_LIBRARY_PATH; --device cpu always works";
        with_hint(anyhow!(error), hint)
    })
}

/// Opens a model by its name.
///
/// # Errors
/// Fails, with a hint, if the model does not exist or cannot be read.
pub fn open_model(model: &str, offline: bool) -> anyhow::Result<OpenedModel> {
    models::open(model, offline).map_err(with_own_hint).with_context(|| format!("cannot open the model {model}"))
}

/// Opens prompts for a model of this configuration. An error has a hint.
fn open_prompts(file: &Path, config: &ClipConfig) -> anyhow::Result<Prompts> {
    models::prompts(file, config)
        .map_err(with_own_hint)
        .with_context(|| format!("cannot open the prompts {}", file.display()))
}

/// Opens weights and prompts, and returns them with the options that they run with.
fn open(args: &ModelArgs, device: &Device) -> anyhow::Result<(ClipWeights, PromptMode, Options)> {
    args.require_model()?;
    let weights = open_model(&args.model, args.offline)?.weights;
    let prompts = match args.learned_prompts() {
        None => PromptMode::Handcrafted,
        Some(file) => PromptMode::Learned(open_prompts(file, weights.config())?),
    };
    let options = Options { views: args.views, arithmetic: args.dtype, device: device.clone(), ..Options::default() };
    Ok((weights, prompts, options))
}

impl MachineArgs {
    /// Starts the compute threads. Call it once, before anything is computed.
    ///
    /// # Errors
    /// Fails if the threads cannot be started.
    pub fn start_threads(&self) -> anyhow::Result<()> {
        let Some(threads) = self.threads else { return Ok(()) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads as usize);
        pool.build_global().context("cannot start threads")
    }

    /// Returns the settings of inference. `batch` is the number of windows on the device at once; None fills the
    /// device.
    pub fn settings(&self, batch: Option<u32>, device: &Device, limits: PictureLimits) -> InferenceSettings {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let decoders = if device.is_cpu() { cores.min(8) } else { cores };
        InferenceSettings {
            batch: batch.map(|b| b as usize),
            decode_threads: self.decode_threads.map_or(decoders, |t| t as usize),
            picture_bytes_max: self.picture_mib << 20,
            limits: Limits::new(limits, Limits::default().side_min),
        }
    }
}

impl LimitArgs {
    /// Returns the limits.
    pub fn limits(&self) -> PictureLimits {
        PictureLimits { pixels_max: self.pixels_max, side_max: self.side_max, bytes_max: self.bytes_max }
    }
}
