//! `dqa-worker run`: this machine's devices at a coordinator's service.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use candle_core::Device;
use clap::builder::BoolishValueParser;
use dqa_pipelines::limits::PictureLimits;
use dqa_proto::v1::DeviceClass;

use super::model::{MachineArgs, device, shown};
use crate::cluster::models::{Models, Seats};
use crate::cluster::{self, Ended, Settings, ShardExecutor};
use crate::net::{TlsArgs, Token, listen_address, url_host};
use crate::program::{ExitStatus, with_hint};
use crate::telemetry;

/// EX_TEMPFAIL of sysexits.h: start me again.
pub const RESTART: u8 = 75;

/// Scores shards for a coordinator until it is told to end.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The coordinator: http://HOST:PORT or https://HOST:PORT; several, joined by commas, of which one leads.
    #[arg(long, env = "DQA_COORDINATOR", value_delimiter = ',', required = true, value_name = "URL")]
    pub coordinator: Vec<String>,

    /// The devices: cpu; or cuda:0, cuda:1 and so on joined by commas; or cuda:all.
    #[arg(long, env = "DQA_DEVICES", default_value = "cpu")]
    pub devices: String,

    /// Shards at once on each device: with two, one is fetched and decoded while another is on the device.
    #[arg(long, env = "DQA_SLOTS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub slots: u32,

    /// Tasks of cluster queries at once [default: one a core].
    #[arg(long, env = "DQA_QUERY_TASKS", value_parser = clap::value_parser!(u32).range(0..=1024))]
    pub query_tasks: Option<u32>,

    /// Where it listens, for metrics, health and what queries shuffle: HOST:PORT, an IPv6 address in brackets.
    #[arg(long, env = "DQA_LISTEN", default_value = "127.0.0.1:0", value_parser = listen_address, value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// How other workers find it [default: what it listens on, or this machine's name].
    #[arg(long, env = "DQA_ADVERTISE", value_parser = url_host, value_name = "HOST")]
    pub advertise: Option<String>,

    /// A file with the workers' token.
    #[arg(long, env = "DQA_WORKER_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Certificates.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Go without TLS or tokens on a network that is trusted.
    #[arg(long, env = "DQA_INSECURE", value_parser = BoolishValueParser::new())]
    pub insecure: bool,

    /// Where models are kept [default: $XDG_CACHE_HOME/dqa/models, or ~/.cache/dqa/models].
    #[arg(long, env = "DQA_CACHE", value_name = "DIR")]
    pub cache: Option<PathBuf>,

    /// Where queries shuffle [default: the system's folder for temporary files].
    #[arg(long, env = "DQA_WORK_DIR", value_name = "DIR")]
    pub work_dir: Option<PathBuf>,

    /// Seconds that shards under way have to end when it is told to end; after that they are handed back.
    #[arg(long, env = "DQA_DRAIN_WITHIN", default_value_t = 120, value_name = "SECONDS")]
    pub drain_within: u64,

    /// Windows on a device at once [default: as many as fill it: on the CPU 8 a thread, at least 16].
    #[arg(long, env = "DQA_BATCH", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch: Option<u32>,

    /// What of the machine.
    #[command(flatten)]
    pub machine: MachineArgs,

    #[command(flatten)]
    limits: NoLimitArgs,

    /// A collector of traces (OTLP over gRPC).
    #[arg(long, env = "DQA_OTLP", value_name = "URL")]
    pub otlp: Option<String>,
}

/// Limits of pictures, which a worker had in earlier versions. They are the runs' own: with limits of its own a worker would
/// make a part whose name promises another content.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
struct NoLimitArgs {
    #[arg(long, env = "DQA_PIXELS_MAX", hide = true)]
    pixels_max: Option<String>,

    #[arg(long, env = "DQA_SIDE_MAX", hide = true)]
    side_max: Option<String>,

    #[arg(long, env = "DQA_BYTES_MAX", hide = true)]
    bytes_max: Option<String>,
}

impl NoLimitArgs {
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
/// As [`run_with`], and for devices that are not there.
pub fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    run_with(args, Arc::new(models(args)?))
}

/// Models on the devices that are named.
///
/// # Errors
/// Devices that are not there; a cache that cannot be used.
pub fn models(args: &Args) -> anyhow::Result<Models> {
    args.limits.refuse()?;
    args.machine.start_threads()?;
    let (class, devices) = devices(&args.devices)?;
    let cache = args.cache.clone().map_or_else(usual_cache, Ok)?;
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make the cache {}", cache.display()))?;
    let cache = cache.canonicalize().with_context(|| format!("cannot use the cache {}", cache.display()))?;
    let seats = devices.into_iter().map(|(name, device)| Seats {
        shown: shown(&device, &name),
        settings: args.machine.settings(args.batch, &device, PictureLimits::default()),
        device,
    });
    Ok(Models::new(class, seats.collect(), cache))
}

/// Runs a worker that scores with these.
///
/// # Errors
/// As [`cluster::run`].
pub fn run_with(args: &Args, scorers: Arc<dyn ShardExecutor>) -> anyhow::Result<ExitStatus> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let settings = Settings {
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
        cluster::run(settings, scorers).await
    });
    // What reads ahead for nobody any more is not waited for.
    runtime.shutdown_background();
    Ok(match ended? {
        Ended::Drained => ExitStatus::All,
        Ended::Broken => ExitStatus::Restart,
    })
}

fn devices(text: &str) -> anyhow::Result<(DeviceClass, Vec<(String, Device)>)> {
    if text == "cpu" {
        return Ok((DeviceClass::Cpu, vec![("cpu".to_owned(), Device::Cpu)]));
    }
    let mut found = Vec::new();
    if text == "cuda:all" {
        for ordinal in 0.. {
            let name = format!("cuda:{ordinal}");
            match device(&name) {
                Ok(device) => found.push((name, device)),
                Err(error) if ordinal == 0 => return Err(error),
                Err(_) => break,
            }
        }
        return Ok((DeviceClass::Cuda, found));
    }
    for name in text.split(',').map(str::trim) {
        if !name.starts_with("cuda:") {
            let error = anyhow!("`{text}` names no devices that one worker can have");
            return Err(with_hint(error, "--devices takes cpu, or cuda:0,cuda:1 and so on, or cuda:all"));
        }
        if found.iter().any(|(other, _)| other == name) {
            bail!("device {name} is named twice");
        }
        found.push((name.to_owned(), device(name)?));
    }
    Ok((DeviceClass::Cuda, found))
}

fn usual_cache() -> anyhow::Result<PathBuf> {
    let caches = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(caches), _) if !caches.is_empty() => PathBuf::from(caches),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        _ => return Err(with_hint(anyhow!("there is no folder for caches"), "give --cache, or set HOME")),
    };
    Ok(caches.join("dqa/models"))
}
