//! Scoring by a formula: each picture takes a while, and its score follows from its name, its version and the metric.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dqa_engine::shard::ShardOutcome;
use dqa_pipelines::plan::{ShardPart, ShardPicture};
use dqa_pipelines::store::StoreResolver;
use dqa_pipelines::train::{TrialRecord, TrialRecordError};
use dqa_pipelines::training::TrainingUnit;
use dqa_proto::v1::{DeviceClass, FailureKind};
use dqa_service::cluster::{ShardTask, TrainingTask};
use dqa_tests::invented_scores::write_parts;
use dqa_worker::cluster::{DeviceSlot, ShardExecutor, ShardFailure};
use futures::FutureExt;
use futures::future::BoxFuture;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::object_store::StoreHandle;
use super::training::{self, EPOCH_MAX, TrialAttempt};
use super::world::World;

/// A picture takes at most this long.
const PICTURE_MAX: Duration = Duration::from_millis(1500);

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

    /// Does what the machine's illness does to a device.
    async fn suffer(&self) -> Result<(), ShardFailure> {
        match self.handle.illness() {
            Some(Illness::BrokenDevice) => {
                self.handle.set_illness(None);
                let message = "CUDA_ERROR_ILLEGAL_ADDRESS".to_owned();
                Err(ShardFailure { kind: FailureKind::Device, message, is_fatal: true })
            }
            Some(Illness::Hangs) => {
                self.handle.set_illness(None);
                std::future::pending().await
            }
            Some(Illness::CannotWrite) | None => Ok(()),
        }
    }

    fn require_writable(&self) -> Result<(), ShardFailure> {
        if self.handle.illness() != Some(Illness::CannotWrite) {
            return Ok(());
        }
        let message = "cannot write: 403 Forbidden".to_owned();
        Err(ShardFailure { kind: FailureKind::Store, message, is_fatal: false })
    }

    /// Works for a while, at most for this long, unless the attempt is stopped.
    async fn work(&self, most: Duration, slot: &DeviceSlot) -> Result<(), ShardFailure> {
        let most = u64::try_from(most.as_millis()).expect("it is short");
        let millis = self.random.lock().unwrap_or_else(PoisonError::into_inner).random_range(1..most);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        if slot.stop.is_stopped() {
            let message = "told to stop".to_owned();
            return Err(ShardFailure { kind: FailureKind::Stopped, message, is_fatal: false });
        }
        slot.progress.windows.fetch_add(1, Relaxed);
        Ok(())
    }

    async fn run_training(&self, task: TrainingTask, slot: &DeviceSlot) -> Result<ShardOutcome, ShardFailure> {
        slot.begin();
        self.suffer().await?;
        let store = self.resolver.open(&task.store).map_err(ShardFailure::of_store)?;
        let key = task.unit.name();
        match task.unit {
            TrainingUnit::Evaluation { evaluation, trial } => {
                self.work(EPOCH_MAX, slot).await?;
                self.require_writable()?;
                if let Some(trial) = &trial {
                    let record = TrialRecord::find(&store, trial).await.map_err(failure)?;
                    assert!(record.is_some_and(|record| record.is_complete()), "{trial} is tested before it is made");
                }
                training::evaluate(&store, &evaluation).await.map_err(failure)?;
            }
            TrainingUnit::Trial(trial) => {
                let begun = TrialAttempt::begin(&store, *trial, task.attempt).await.map_err(failure)?;
                if let Some(mut attempt) = begun {
                    while !attempt.is_over() {
                        self.work(EPOCH_MAX, slot).await?;
                        self.suffer().await?;
                        self.require_writable()?;
                        attempt.end_epoch(&store).await.map_err(failure)?;
                    }
                    attempt.complete(&store).await.map_err(failure)?;
                }
            }
        }
        Ok(ShardOutcome { key, rows: 0, failed: 0, reused: 0, windows: 1, wall: Duration::ZERO })
    }

    async fn score_shard(&self, task: &ShardTask, slot: &DeviceSlot) -> Result<ShardOutcome, ShardFailure> {
        slot.begin();
        let shard = &task.shard;
        self.suffer().await?;
        for _ in &shard.pictures {
            self.work(PICTURE_MAX, slot).await?;
            slot.progress.pictures.fetch_add(1, Relaxed);
        }
        self.require_writable()?;
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

    fn train(
        self: Arc<Self>,
        task: TrainingTask,
        slot: DeviceSlot,
    ) -> BoxFuture<'static, Result<ShardOutcome, ShardFailure>> {
        async move { self.run_training(task, &slot).await }.boxed()
    }
}

/// Returns the kind of a failure as the product's executor does.
fn failure(error: TrialRecordError) -> ShardFailure {
    match error {
        TrialRecordError::Store(error) => ShardFailure::of_store(error),
        error @ TrialRecordError::Superseded { .. } => ShardFailure::new(FailureKind::Stopped, error),
        error @ TrialRecordError::Json { .. } => ShardFailure::new(FailureKind::Task, error),
    }
}

/// Returns the score of a picture.
pub(super) fn formula(image: &str, version: &str, metric: &str) -> f64 {
    let digest = blake3::hash(format!("{image} {version} {metric}").as_bytes());
    f64::from(u32::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes")))
        / f64::from(u32::MAX)
}
