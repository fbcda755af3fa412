//! The `dqa-worker` program with faults to order: what a shard does to its process is said in the environment.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use dqa_engine::shard::ShardOutcome;
use dqa_proto::v1::{DeviceClass, FailureKind};
use dqa_service::cluster::ShardTask;
use dqa_service::program;
use dqa_worker::cli::run;
use dqa_worker::cluster::ModelExecutor;
use dqa_worker::cluster::{DeviceSlot, ShardExecutor, ShardFailure};

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
        run::run_with(&args, Arc::new(Faulty { models, faults: Faults::from_env() }))
    })
}

/// What goes wrong.
struct Faults {
    /// Before a shard is scored.
    slow: Duration,
    /// A shard with this picture ends the process, as a crash in a driver does.
    poison: Option<String>,
    /// A shard with this picture does not come back.
    hang: Option<String>,
    /// A shard with this picture panics.
    panic: Option<String>,
    /// A shard with this picture breaks the device: whatever it would do next fails too, as on a GPU.
    broken: Option<String>,
}

impl Faults {
    fn from_env() -> Faults {
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let millis = text("FAULT_SLOW_MILLIS").and_then(|millis| millis.parse().ok()).unwrap_or(0);
        Faults {
            slow: Duration::from_millis(millis),
            poison: text("FAULT_POISON"),
            hang: text("FAULT_HANG"),
            panic: text("FAULT_PANIC"),
            broken: text("FAULT_BROKEN"),
        }
    }
}

struct Faulty {
    models: ModelExecutor,
    faults: Faults,
}

impl ShardExecutor for Faulty {
    fn class(&self) -> DeviceClass {
        self.models.class()
    }

    fn devices(&self) -> Vec<String> {
        self.models.devices()
    }

    fn score(&self, order: &ShardTask, seat: &DeviceSlot) -> Result<ShardOutcome, ShardFailure> {
        let has = |image: &Option<String>| {
            image.as_ref().is_some_and(|image| order.shard.pictures.iter().any(|picture| picture.image.contains(image)))
        };
        seat.begin();
        let until = std::time::Instant::now() + self.faults.slow;
        while std::time::Instant::now() < until && !seat.stop.is_stopped() {
            std::thread::sleep(Duration::from_millis(10));
        }
        if has(&self.faults.poison) {
            std::process::abort();
        }
        while has(&self.faults.hang) {
            std::thread::sleep(Duration::from_secs(1));
        }
        assert!(!has(&self.faults.panic), "a panic to order");
        if has(&self.faults.broken) {
            let message = "CUDA_ERROR_ILLEGAL_ADDRESS, to order".to_owned();
            return Err(ShardFailure { kind: FailureKind::Device, message, is_fatal: true });
        }
        self.models.score(order, seat)
    }
}
