//! Runs the runs' models on this node's devices. A model's files are downloaded from the store once per node, verified
//! by their digests, and loaded. A model with another fingerprint than the run's is never used.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use candle_core::Device;
use dqa_engine::inference::InferenceSettings;
use dqa_engine::models;
use dqa_engine::shard::{ShardError, ShardOutcome, ShardScorer};
use dqa_model::{ClipWeights, Options, PromptMode, Prompts, Scorer};
use dqa_pipelines::causes;
use dqa_pipelines::model_spec::{ModelFile, ModelSpec};
use dqa_pipelines::store::{Store, StoreError, StoreResolver};
use dqa_proto::v1::{DeviceClass, FailureKind};
use dqa_service::cluster::ShardTask;
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tracing::info;

use super::node::{DeviceSlot, ShardExecutor, ShardFailure};

/// Models that stay loaded on each device: those of two concurrent runs.
const LOADED_MAX: usize = 2;

/// A device with its settings.
pub struct DeviceConfig {
    /// The device.
    pub device: Device,
    /// The device's label.
    pub label: String,
    /// Settings of inference for each shard on the device.
    pub settings: InferenceSettings,
}

/// Scores shards with models on devices.
pub struct ModelExecutor {
    class: DeviceClass,
    devices: Vec<DeviceConfig>,
    /// The loaded models of each device by fingerprint, the most recently used last.
    loaded: Vec<Mutex<Vec<LoadedModelEntry>>>,
    files: ModelFiles,
    /// Scores shards of metrics that need no model, with the settings of each device.
    without_model: Vec<ShardScorer>,
}

/// A model that the first shard loads while the others wait.
type SharedModel = Arc<Mutex<OnceLock<ShardScorer>>>;
type LoadedModelEntry = (String, SharedModel);

impl ModelExecutor {
    /// Creates an executor on devices of one class. Models' files are kept in `cache`.
    pub fn new(class: DeviceClass, devices: Vec<DeviceConfig>, cache: PathBuf) -> ModelExecutor {
        let loaded = devices.iter().map(|_| Mutex::default()).collect();
        let without_model =
            |device: &DeviceConfig| ShardScorer::new(None, device.settings.clone(), device.label.clone());
        let without_model = devices.iter().map(without_model).collect();
        ModelExecutor { class, devices, loaded, files: ModelFiles::new(cache), without_model }
    }

    fn scorer(&self, task: &ShardTask, slot: &DeviceSlot) -> Result<ShardScorer, ShardFailure> {
        match &task.model {
            Some(model) => self.model_scorer(task, model, slot),
            None => Ok(self.without_model[slot.device].with_progress(slot.progress.clone())),
        }
    }

    fn model_scorer(
        &self,
        task: &ShardTask,
        model: &ModelSpec,
        slot: &DeviceSlot,
    ) -> Result<ShardScorer, ShardFailure> {
        let shared = {
            let mut entries = self.loaded[slot.device].lock().unwrap_or_else(PoisonError::into_inner);
            let fingerprint = &model.fingerprint;
            let entry = match entries.iter().position(|(loaded, _)| loaded == fingerprint) {
                Some(index) => entries.remove(index),
                None => (fingerprint.clone(), SharedModel::default()),
            };
            if entries.len() >= LOADED_MAX {
                entries.remove(0);
            }
            entries.push(entry.clone());
            entry.1
        };
        let loaded = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.get().is_none() {
            let _ = loaded.set(self.load(task, model, slot)?);
        }
        Ok(loaded.get().expect("it was set just now").with_progress(slot.progress.clone()))
    }

    fn load(&self, task: &ShardTask, model: &ModelSpec, slot: &DeviceSlot) -> Result<ShardScorer, ShardFailure> {
        let DeviceConfig { device, label, settings } = &self.devices[slot.device];
        let model_failure = |error| ShardFailure::new(FailureKind::Model, error);
        let (weights, prompts) = self.files.open(&task.shard.store, model, &slot.runtime)?;
        // The files are the run's, so a failure from here on is this machine's.
        let scorer = build(model, &weights, &prompts, device);
        let scorer = scorer.map_err(|error| ShardFailure::new(FailureKind::Device, error))?;
        let found = scorer.fingerprint().to_string();
        if found != model.fingerprint {
            let wanted = &model.fingerprint;
            return Err(model_failure(anyhow!(
                "model {} has fingerprint {found} on this worker, expected {wanted}",
                model.name
            )));
        }
        info!(model = model.name, fingerprint = found, device = label, "model loaded");
        Ok(ShardScorer::new(Some(Arc::new(scorer)), settings.clone(), label.clone()))
    }
}

impl ShardExecutor for ModelExecutor {
    fn class(&self) -> DeviceClass {
        self.class
    }

    fn devices(&self) -> Vec<String> {
        self.devices.iter().map(|device| device.label.clone()).collect()
    }

    fn score(&self, task: &ShardTask, slot: &DeviceSlot) -> Result<ShardOutcome, ShardFailure> {
        let mut scorer = self.scorer(task, slot)?;
        if !task.accepts_unreadable {
            scorer = scorer.refusing_unreadable();
        }
        slot.begin();
        scorer.score(&task.shard, &slot.runtime, &slot.stop).map_err(|error| {
            let kind = match error {
                ShardError::Store(error) => return ShardFailure::of_store(error),
                ShardError::Unreadable { .. } => FailureKind::Unreadable,
                ShardError::Model { .. } => FailureKind::Device,
                ShardError::OtherMetric { .. } | ShardError::Parameters { .. } => FailureKind::Model,
                ShardError::Stopped { .. } => FailureKind::Stopped,
            };
            // An error poisons a CUDA context: every later call in this process fails too.
            let is_fatal = kind == FailureKind::Device && !self.devices[slot.device].device.is_cpu();
            ShardFailure { is_fatal, ..ShardFailure::new(kind, error) }
        })
    }
}

fn build(spec: &ModelSpec, weights: &ClipWeights, prompts: &PromptMode, device: &Device) -> anyhow::Result<Scorer> {
    let options = Options {
        views: spec.views.parse().map_err(|error| anyhow!("invalid views `{}`: {}", spec.views, causes(&error)))?,
        arithmetic: spec.dtype.parse().map_err(|error: String| anyhow!(error))?,
        device: device.clone(),
        ..Options::default()
    };
    Ok(Scorer::new(weights, prompts, &options)?)
}

/// The models' files on this node.
struct ModelFiles {
    cache: PathBuf,
    resolver: StoreResolver,
    /// Held while a file is downloaded: one at a time, since all devices need the same files.
    fetching: Mutex<()>,
}

impl ModelFiles {
    fn new(cache: PathBuf) -> ModelFiles {
        delete_partial(&cache);
        ModelFiles { cache, resolver: StoreResolver::default(), fetching: Mutex::default() }
    }

    fn open(&self, store: &str, spec: &ModelSpec, runtime: &Handle) -> Result<(ClipWeights, PromptMode), ShardFailure> {
        let model_failure = |error: anyhow::Error| ShardFailure::new(FailureKind::Model, error);
        let fetch = |file: &ModelFile| self.fetch(store, file, runtime);
        let weights = if spec.weights.is_empty() {
            models::weights(&bundled(&spec.name).map_err(model_failure)?, true)
                .map_err(|error| model_failure(error.into()))?
        } else {
            let files: Vec<PathBuf> = spec.weights.iter().map(fetch).collect::<Result<_, _>>()?;
            let internal = |error: anyhow::Error| ShardFailure::new(FailureKind::Internal, error);
            let folder = self.folder(spec, &files).map_err(internal)?;
            ClipWeights::open(&folder).map_err(|error| internal(error.into()))?
        };
        let prompts = match (&spec.prompts, &spec.prompts_name) {
            (Some(file), _) => {
                Prompts::open(&fetch(file)?, weights.config()).map_err(|error| model_failure(error.into()))?
            }
            (None, None) => return Ok((weights, PromptMode::Handcrafted)),
            (None, Some(name)) => {
                let name = bundled(name).map_err(model_failure)?;
                models::prompts(Path::new(&name), weights.config()).map_err(|error| model_failure(error.into()))?
            }
        };
        Ok((weights, PromptMode::Learned(prompts)))
    }

    /// Returns the path of a file with the given digest: from the cache, or downloaded from the store.
    fn fetch(&self, store: &str, file: &ModelFile, runtime: &Handle) -> Result<PathBuf, ShardFailure> {
        file.check().map_err(|error| ShardFailure::new(FailureKind::Model, error))?;
        // The name is kept, since its extension names the file's format.
        let path = self.cache.join(format!("{}-{}", &file.digest[..32], file.name));
        let _lock = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        // After a loss of power the cache may have only the beginning of a file.
        if path.metadata().is_ok_and(|found| found.len() == file.bytes) {
            return Ok(path);
        }
        let store_failure = |error: StoreError| {
            let kind = if error.is_not_found() { FailureKind::Model } else { FailureKind::Store };
            ShardFailure::new(kind, error)
        };
        let store = self.resolver.open(store).map_err(store_failure)?;
        match runtime.block_on(download(&store, file, &self.cache)) {
            Ok(whole) => {
                whole.persist(&path).map_err(|error| ShardFailure::new(FailureKind::Internal, error))?;
                info!(file = file.name, bytes = file.bytes, "model's file fetched");
                Ok(path)
            }
            Err(DownloadError::Store(error)) => Err(store_failure(error)),
            Err(error @ DownloadError::Content { .. }) => Err(ShardFailure::new(FailureKind::Model, error)),
            Err(error) => Err(ShardFailure::new(FailureKind::Store, error)),
        }
    }

    /// Returns a folder with links to the weights' files, by their names.
    fn folder(&self, spec: &ModelSpec, files: &[PathBuf]) -> anyhow::Result<PathBuf> {
        let digests: String = spec.weights.iter().map(|file| format!("{} {}\n", file.name, file.digest)).collect();
        let folder = self.cache.join(format!("model-{}", &blake3::hash(digests.as_bytes()).to_hex()[..32]));
        let cannot = || format!("cannot create the folder {}", folder.display());
        std::fs::create_dir_all(&folder).with_context(cannot)?;
        for (file, path) in spec.weights.iter().zip(files) {
            match std::os::unix::fs::symlink(path, folder.join(&file.name)) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(error).with_context(cannot);
                }
                _ => {}
            }
        }
        Ok(folder)
    }
}

/// Prefix of a file's name during its download.
const PARTIAL: &str = "partial-";
/// A partial file that has not grown for this long belongs to a process that is gone.
const PARTIAL_OLD: Duration = Duration::from_secs(3600);

/// Deletes the partial files of processes that were killed.
fn delete_partial(cache: &Path) {
    for entry in std::fs::read_dir(cache).into_iter().flatten().flatten() {
        let is_partial = entry.file_name().to_string_lossy().starts_with(PARTIAL);
        let changed = entry.metadata().and_then(|found| found.modified()).ok();
        if is_partial && changed.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > PARTIAL_OLD) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Returns the name if it is that of a bundled model: a run must not make a worker open files by their paths.
fn bundled(name: &str) -> anyhow::Result<String> {
    if name.starts_with("dqa:") {
        Ok(name.to_owned())
    } else {
        Err(anyhow!("the files of model {name} are not in the store"))
    }
}

#[derive(Debug, thiserror::Error)]
enum DownloadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the download of {key} was interrupted")]
    Interrupted {
        key: String,
        #[source]
        source: object_store::Error,
    },
    #[error("the digest of {key} in the store does not match its name")]
    Content { key: String },
    #[error("cannot write to the cache {}", path.display())]
    Cache {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

async fn download(store: &Store, file: &ModelFile, cache: &Path) -> Result<tempfile::NamedTempFile, DownloadError> {
    let cannot = |source| DownloadError::Cache { path: cache.to_owned(), source };
    std::fs::create_dir_all(cache).map_err(cannot)?;
    let whole = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(cache).map_err(cannot)?;
    let mut out = tokio::fs::File::from_std(whole.reopen().map_err(cannot)?);
    let mut pieces = store.get_stream(&file.key()).await?;
    let mut hasher = blake3::Hasher::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|source| DownloadError::Interrupted { key: file.key(), source })?;
        hasher.update(&piece);
        out.write_all(&piece).await.map_err(cannot)?;
    }
    out.flush().await.map_err(cannot)?;
    if hasher.finalize().to_hex().as_str() != file.digest {
        return Err(DownloadError::Content { key: file.key() });
    }
    Ok(whole)
}
