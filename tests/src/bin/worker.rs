//! The `dqa-worker` program with fault injection: the variables `FAULT_*` say how a shard fails.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use dqa_engine::shard::ShardOutcome;
use dqa_proto::v1::{DeviceClass, FailureKind};
use dqa_service::cluster::{ShardTask, TrainingTask};
use dqa_service::program;
use dqa_worker::cli::run;
use dqa_worker::cluster::ModelExecutor;
use dqa_worker::cluster::{DeviceSlot, ShardExecutor, ShardFailure, score_blocking};
use futures::future::BoxFuture;

#[derive(Parser)]
#[command(name = "dqa-worker")]
struct Cli {
    #[arg(long, global = true)]
    config: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(Box<run::Args>),
}

fn main() -> ExitCode {
    program::run(std::env::args_os().collect(), |cli: Cli| {
        let Command::Run(args) = cli.command;
        let models = run::model_executor(&args)?;
        run::run_with(&args, Arc::new(FaultyExecutor { models, faults: Faults::from_env() }))
    })
}

/// The faults to inject.
struct Faults {
    /// Delay before a shard is scored.
    delay: Duration,
    /// A shard with this picture aborts the process, as a crash in a driver does.
    poison: Option<String>,
    /// A shard with this picture never returns.
    hang: Option<String>,
    /// A shard with this picture panics.
    panic: Option<String>,
    /// A shard with this picture breaks the device, as on a GPU: everything after it would fail too.
    broken: Option<String>,
}

impl Faults {
    fn from_env() -> Faults {
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let millis = text("FAULT_SLOW_MILLIS").and_then(|millis| millis.parse().ok()).unwrap_or(0);
        Faults {
            delay: Duration::from_millis(millis),
            poison: text("FAULT_POISON"),
            hang: text("FAULT_HANG"),
            panic: text("FAULT_PANIC"),
            broken: text("FAULT_BROKEN"),
        }
    }
}

struct FaultyExecutor {
    models: ModelExecutor,
    faults: Faults,
}

impl ShardExecutor for FaultyExecutor {
    fn class(&self) -> DeviceClass {
        self.models.class()
    }

    fn devices(&self) -> Vec<String> {
        self.models.devices()
    }

    fn score(
        self: Arc<Self>,
        task: ShardTask,
        slot: DeviceSlot,
    ) -> BoxFuture<'static, Result<ShardOutcome, ShardFailure>> {
        score_blocking(move || self.score_shard(&task, &slot))
    }

    fn train(
        self: Arc<Self>,
        task: TrainingTask,
        slot: DeviceSlot,
    ) -> BoxFuture<'static, Result<ShardOutcome, ShardFailure>> {
        score_blocking(move || self.models.run_training(&task, &slot))
    }
}

impl FaultyExecutor {
    fn score_shard(&self, task: &ShardTask, slot: &DeviceSlot) -> Result<ShardOutcome, ShardFailure> {
        let has = |image: &Option<String>| {
            image.as_ref().is_some_and(|image| task.shard.pictures.iter().any(|picture| picture.image.contains(image)))
        };
        slot.begin();
        let until = std::time::Instant::now() + self.faults.delay;
        while std::time::Instant::now() < until && !slot.stop.is_stopped() {
            std::thread::sleep(Duration::from_millis(10));
        }
        if has(&self.faults.poison) {
            std::process::abort();
        }
        while has(&self.faults.hang) {
            std::thread::sleep(Duration::from_secs(1));
        }
        assert!(!has(&self.faults.panic), "an injected panic");
        if has(&self.faults.broken) {
            let message = "CUDA_ERROR_ILLEGAL_ADDRESS, injected".to_owned();
            return Err(ShardFailure { kind: FailureKind::Device, message, is_fatal: true });
        }
        self.models.score_shard(task, slot)
    }
}
