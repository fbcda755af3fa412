//! Many workers in one process with a fake model: each shard takes a fixed time, and its part has invented scores. It
//! measures the load that a coordinator can handle, not the speed of a worker.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use dqa_engine::shard::ShardOutcome;
use dqa_pipelines::store::StoreResolver;
use dqa_proto::v1::{DeviceClass, FailureKind};
use dqa_service::cluster::{ShardTask, TrainingTask};
use dqa_service::net::Tls;
use dqa_service::program::{self, ExitStatus};
use dqa_tests::invented_scores::write_parts;
use dqa_worker::cluster::{self, DeviceSlot, ShardExecutor, ShardFailure, WorkerSettings, score_blocking};
use futures::future::BoxFuture;

/// Runs many workers that score nothing.
#[derive(Parser)]
#[command(name = "swarm")]
struct Arguments {
    /// URL of the coordinator.
    #[arg(long)]
    coordinator: String,
    /// Number of workers.
    #[arg(long, default_value_t = 250)]
    workers: usize,
    /// Concurrent shards of each worker.
    #[arg(long, default_value_t = 1)]
    slots: usize,
    /// Duration of a shard in milliseconds.
    #[arg(long, default_value_t = 1000)]
    millis: u64,
}

fn main() -> ExitCode {
    program::run(std::env::args_os().collect(), |arguments: Arguments| {
        let runtime = tokio::runtime::Builder::new_multi_thread().max_blocking_threads(4096).enable_all().build()?;
        let executor = Arc::new(FakeExecutor {
            shard_duration: Duration::from_millis(arguments.millis),
            stores: StoreResolver::default(),
        });
        let workers: Vec<_> = (0..arguments.workers)
            .map(|_| {
                let settings = WorkerSettings {
                    coordinators: vec![arguments.coordinator.clone()],
                    listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                    advertise: None,
                    slots: arguments.slots,
                    query_tasks: 0,
                    token: None,
                    tls: Tls::default(),
                    insecure: false,
                    work_dir: std::env::temp_dir(),
                    drain_within: Duration::from_secs(10),
                    restart_code: 75,
                };
                runtime.spawn(cluster::run(settings, executor.clone()))
            })
            .collect();
        for worker in workers {
            runtime.block_on(worker)??;
        }
        runtime.shutdown_background();
        Ok(ExitStatus::All)
    })
}

struct FakeExecutor {
    shard_duration: Duration,
    stores: StoreResolver,
}

impl ShardExecutor for FakeExecutor {
    fn class(&self) -> DeviceClass {
        DeviceClass::Cpu
    }

    fn devices(&self) -> Vec<String> {
        vec!["stand-in".to_owned()]
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
        _task: TrainingTask,
        _slot: DeviceSlot,
    ) -> BoxFuture<'static, Result<ShardOutcome, ShardFailure>> {
        let message = "stand-ins do not train".to_owned();
        Box::pin(async { Err(ShardFailure { kind: FailureKind::Task, message, is_fatal: false }) })
    }
}

impl FakeExecutor {
    fn score_shard(&self, task: &ShardTask, slot: &DeviceSlot) -> Result<ShardOutcome, ShardFailure> {
        let started = Instant::now();
        slot.begin();
        std::thread::sleep(self.shard_duration);
        let shard = &task.shard;
        let store = self.stores.open(&shard.store).map_err(ShardFailure::of_store)?;
        let writing = write_parts(&store, shard, |_, _| 0.5);
        let outcome = slot.runtime.block_on(writing).map_err(ShardFailure::of_store)?;
        Ok(ShardOutcome { wall: started.elapsed(), ..outcome })
    }
}
