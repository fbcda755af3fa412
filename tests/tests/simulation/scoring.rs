//! Scoring by a formula: each picture takes a while, and its score follows from its name, its version and the metric.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dqa_engine::shard::ShardOutcome;
use dqa_pipelines::plan::{ShardPart, ShardPicture};
use dqa_pipelines::store::StoreResolver;
use dqa_proto::v1::{DeviceClass, FailureKind};
use dqa_service::cluster::ShardTask;
use dqa_tests::invented_scores::write_parts;
use dqa_worker::cluster::{DeviceSlot, ShardExecutor, ShardFailure};
use futures::FutureExt;
use futures::future::BoxFuture;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::object_store::StoreHandle;
use super::world::World;

/// A picture takes at most this long.
const PICTURE_MAX_MILLIS: u64 = 1500;

/// How a machine is ill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Illness {
    /// It cannot write to the store: its disk is full, or its credentials have ended.
    CannotWrite,
    /// Its device fails, and is well again after a restart of the program.
    BrokenDevice,
    /// A shard does not come back.
    Hangs,
}

/// Scores pictures on one machine.
pub(super) struct FormulaExecutor {
    handle: Arc<StoreHandle>,
    resolver: StoreResolver,
    random: Mutex<ChaCha8Rng>,
}

impl FormulaExecutor {
    pub(super) fn new(world: &World, machine: &str) -> FormulaExecutor {
        let random = ChaCha8Rng::seed_from_u64(world.seed ^ world.next_boot() << 32);
        FormulaExecutor {
            handle: world.handle(machine),
            resolver: StoreResolver::default(),
            random: Mutex::new(random),
        }
    }

    async fn score_shard(&self, task: &ShardTask, slot: &DeviceSlot) -> Result<ShardOutcome, ShardFailure> {
        slot.begin();
        let shard = &task.shard;
        match self.handle.illness() {
            Some(Illness::BrokenDevice) => {
                self.handle.set_illness(None);
                let message = "CUDA_ERROR_ILLEGAL_ADDRESS".to_owned();
                return Err(ShardFailure { kind: FailureKind::Device, message, is_fatal: true });
            }
            Some(Illness::Hangs) => {
                self.handle.set_illness(None);
                std::future::pending::<()>().await;
            }
            Some(Illness::CannotWrite) | None => {}
        }
        for _ in &shard.pictures {
            let millis = self.random.lock().unwrap_or_else(PoisonError::into_inner).random_range(1..PICTURE_MAX_MILLIS);
            tokio::time::sleep(Duration::from_millis(millis)).await;
            if slot.stop.is_stopped() {
                let message = "told to stop".to_owned();
                return Err(ShardFailure { kind: FailureKind::Stopped, message, is_fatal: false });
            }
            slot.progress.pictures.fetch_add(1, Relaxed);
            slot.progress.windows.fetch_add(1, Relaxed);
        }
        if self.handle.illness() == Some(Illness::CannotWrite) {
            let message = "cannot write: 403 Forbidden".to_owned();
            return Err(ShardFailure { kind: FailureKind::Store, message, is_fatal: false });
        }
        let store = self.resolver.open(&shard.store).map_err(ShardFailure::of_store)?;
        let score =
            |picture: &ShardPicture, part: &ShardPart| formula(&picture.image, &picture.version, &part.columns.metric);
        write_parts(&store, shard, score).await.map_err(ShardFailure::of_store)
    }
}

impl ShardExecutor for FormulaExecutor {
    fn class(&self) -> DeviceClass {
        DeviceClass::Cpu
    }

    fn devices(&self) -> Vec<String> {
        vec!["simulated".to_owned()]
    }

    fn score(
        self: Arc<Self>,
        task: ShardTask,
        slot: DeviceSlot,
    ) -> BoxFuture<'static, Result<ShardOutcome, ShardFailure>> {
        async move { self.score_shard(&task, &slot).await }.boxed()
    }
}

/// Returns the score of a picture.
pub(super) fn formula(image: &str, version: &str, metric: &str) -> f64 {
    let digest = blake3::hash(format!("{image} {version} {metric}").as_bytes());
    f64::from(u32::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes")))
        / f64::from(u32::MAX)
}
