//! `dqa-worker run`: scores shards for a coordinator on this machine's devices.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use candle_core::Device;
use clap::builder::BoolishValueParser;
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_proto::v1::DeviceClass;
use dqa_service::model_args::{MachineArgs, device_label, open_device};
use dqa_service::net::{TlsArgs, Token, listen_address, url_host};
use dqa_service::program::help::headings;
use dqa_service::program::{ExitStatus, with_hint};
use dqa_service::telemetry;

use crate::cluster::{self, DeviceConfig, ExitReason, ModelExecutor, ShardExecutor, WorkerSettings};

/// EX_TEMPFAIL of sysexits.h: asks the supervisor for a restart.
pub const RESTART: u8 = 75;

/// Scores shards for a coordinator until it is asked to end.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The coordinator: http://HOST:PORT or https://HOST:PORT; or several, joined by commas, one of which leads.
    #[arg(long, env = "DQA_COORDINATOR", value_delimiter = ',', required = true, value_name = "URL")]
    pub coordinator: Vec<String>,

    /// The devices: cpu; or cuda:0, cuda:1 and so on joined by commas; or cuda:all.
    #[arg(long, env = "DQA_DEVICES", default_value = "cpu")]
    pub devices: String,

    /// Shards at once on each device: with two, one is fetched and decoded while another is on the device.
    #[arg(long, env = "DQA_SLOTS", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub slots: u32,

    /// Tasks of cluster queries at once [default: one per core].
    #[arg(long, env = "DQA_QUERY_TASKS", value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1024))]
    pub query_tasks: Option<u32>,

    /// The address to listen on, for metrics, health and shuffled data: HOST:PORT, an IPv6 address in brackets.
    #[arg(long, env = "DQA_LISTEN", default_value = "127.0.0.1:0", value_parser = listen_address, value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// The host under which other workers reach it [default: the address that it listens on, or this machine's name].
    #[arg(long, env = "DQA_ADVERTISE", value_parser = url_host, value_name = "HOST")]
    pub advertise: Option<String>,

    /// A file with the workers' token.
    #[arg(long, env = "DQA_WORKER_TOKEN_FILE", help_heading = headings::SECURITY, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Certificates.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Go without TLS or tokens, on a trusted network.
    #[arg(long, env = "DQA_INSECURE", help_heading = headings::SECURITY, value_parser = BoolishValueParser::new())]
    pub insecure: bool,

    /// The cache of models [default: $XDG_CACHE_HOME/dqa/models, or ~/.cache/dqa/models].
    #[arg(long, env = "DQA_CACHE", value_name = "DIR")]
    pub cache: Option<PathBuf>,

    /// The folder in which queries shuffle [default: the system's folder for temporary files].
    #[arg(long, env = "DQA_WORK_DIR", value_name = "DIR")]
    pub work_dir: Option<PathBuf>,

    /// Seconds that running shards have to finish when the worker is asked to end; after that they are handed back.
    #[arg(long, env = "DQA_DRAIN_WITHIN", default_value_t = 120, value_name = "SECONDS")]
    pub drain_within: u64,

    /// Windows on a device at once [default: as many as fill it; on the CPU 8 per thread, at least 16].
    #[arg(long, env = "DQA_BATCH", help_heading = headings::MACHINE, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch: Option<u32>,

    /// MiB for decoded pictures that the trainings of each device keep between epochs, so that they are not read again.
    #[arg(long, env = "DQA_KEPT_MIB", help_heading = headings::MACHINE, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(0..=1 << 20))]
    pub kept_mib: u64,

    /// The share of the machine.
    #[command(flatten)]
    pub machine: MachineArgs,

    #[command(flatten)]
    limits: RemovedLimitArgs,

    /// A collector of traces (OTLP over gRPC).
    #[arg(long, env = "DQA_OTLP", value_name = "URL")]
    pub otlp: Option<String>,
}

/// Limits of pictures, which a worker had in earlier versions. Limits belong to runs: with its own limits a worker
/// would write a part whose content does not match its name.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
struct RemovedLimitArgs {
    #[arg(long, env = "DQA_PIXELS_MAX", hide = true)]
    pixels_max: Option<String>,

    #[arg(long, env = "DQA_SIDE_MAX", hide = true)]
    side_max: Option<String>,

    #[arg(long, env = "DQA_BYTES_MAX", hide = true)]
    bytes_max: Option<String>,
}

impl RemovedLimitArgs {
    fn refuse(&self) -> anyhow::Result<()> {
        let given = [("pixels-max", &self.pixels_max), ("side-max", &self.side_max), ("bytes-max", &self.bytes_max)];
        let Some((name, _)) = given.iter().find(|(_, value)| value.is_some()) else {
            return Ok(());
        };
        let variable = name.to_uppercase().replace('-', "_");
        let error = anyhow!("a worker takes no --{name} (DQA_{variable}): each run says how large its pictures may be");
        Err(with_hint(error, "give it to `dqa-coord submit`; --picture-mib bounds a worker's memory"))
    }
}

/// Runs a worker with models on its devices.
///
/// # Errors
/// Fails as [`run_with`] and [`model_executor`] do.
pub fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    run_with(args, Arc::new(model_executor(args)?))
}

/// Creates the executor of models on the given devices.
///
/// # Errors
/// Fails if a device is not available, or if the cache cannot be used.
pub fn model_executor(args: &Args) -> anyhow::Result<ModelExecutor> {
    args.limits.refuse()?;
    args.machine.start_threads()?;
    let (class, devices) = open_devices(&args.devices)?;
    let cache = args.cache.clone().map_or_else(default_cache, Ok)?;
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot create the cache {}", cache.display()))?;
    let cache = cache.canonicalize().with_context(|| format!("cannot use the cache {}", cache.display()))?;
    let devices = devices.into_iter().map(|(name, device)| DeviceConfig {
        label: device_label(&device, &name),
        settings: args.machine.settings(args.batch, &device, PictureLimits::default()),
        kept_bytes_max: args.kept_mib << 20,
        device,
    });
    Ok(ModelExecutor::new(class, devices.collect(), cache))
}

/// Runs a worker with a given executor.
///
/// # Errors
/// Fails as [`cluster::run`] does.
pub fn run_with(args: &Args, executor: Arc<dyn ShardExecutor>) -> anyhow::Result<ExitStatus> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let settings = WorkerSettings {
        coordinators: args.coordinator.clone(),
        listen: args.listen,
        advertise: args.advertise.clone(),
        slots: args.slots as usize,
        query_tasks: args.query_tasks.map_or(cores, |tasks| tasks as usize),
        token: args.token_file.as_deref().map(Token::read).transpose()?,
        tls: args.tls.read()?,
        insecure: args.insecure,
        work_dir: args.work_dir.clone().unwrap_or_else(std::env::temp_dir),
        drain_within: Duration::from_secs(args.drain_within),
        restart_code: i32::from(RESTART),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let ended = runtime.block_on(async {
        let _exporter = args.otlp.as_deref().map(|url| telemetry::export("dqa-worker", url)).transpose()?;
        cluster::run(settings, executor).await
    });
    // Do not wait for reads whose results nobody needs any more.
    runtime.shutdown_background();
    Ok(match ended? {
        ExitReason::Drained => ExitStatus::All,
        ExitReason::Broken => ExitStatus::Restart,
    })
}

/// Opens the devices of the flag `--devices`.
fn open_devices(text: &str) -> anyhow::Result<(DeviceClass, Vec<(String, Device)>)> {
    if text == "cpu" {
        return Ok((DeviceClass::Cpu, vec![("cpu".to_owned(), Device::Cpu)]));
    }
    let mut found = Vec::new();
    if text == "cuda:all" {
        for ordinal in 0.. {
            let name = format!("cuda:{ordinal}");
            match open_device(&name) {
                Ok(device) => found.push((name, device)),
                Err(error) if ordinal == 0 => return Err(error),
                Err(_) => break,
            }
        }
        return Ok((DeviceClass::Cuda, found));
    }
    for name in text.split(',').map(str::trim) {
        if !name.starts_with("cuda:") {
            let error = anyhow!("invalid devices `{text}`");
            return Err(with_hint(error, "--devices takes cpu, or cuda:0,cuda:1 and so on, or cuda:all"));
        }
        if found.iter().any(|(other, _)| other == name) {
            bail!("device {name} is given twice");
        }
        found.push((name.to_owned(), open_device(name)?));
    }
    Ok((DeviceClass::Cuda, found))
}

fn default_cache() -> anyhow::Result<PathBuf> {
    let caches = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(caches), _) if !caches.is_empty() => PathBuf::from(caches),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        _ => return Err(with_hint(anyhow!("no folder for caches is known"), "give --cache, or set HOME")),
    };
    Ok(caches.join("dqa/models"))
}
