//! Runs' models on this node's devices. A model's files are fetched from the store once a node, checked by their digests,
//! and loaded; a model whose fingerprint is not the run's is never scored with.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use candle_core::Device;
use dqa_engine::inference::Settings;
use dqa_engine::models;
use dqa_engine::shard::{ShardError, ShardOutcome, ShardScorer};
use dqa_model::{ClipWeights, Options, PromptMode, Prompts, Scorer};
use dqa_pipelines::causes;
use dqa_pipelines::model::{ModelFile, ModelSpec};
use dqa_pipelines::store::{Store, StoreError, StoreResolver};
use dqa_proto::v1::{DeviceClass, FailureKind};
use dqa_service::cluster::ShardTask;
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tracing::info;

use super::node::{DeviceSlot, ShardExecutor, ShardFailure};

/// Models kept loaded on each device: a run's, and that of another beside it.
const LOADED_MAX: usize = 2;

/// A device and what may be taken of the machine for it.
pub struct Seats {
    /// The device.
    pub device: Device,
    /// As it is shown.
    pub shown: String,
    /// For each shard on it.
    pub settings: Settings,
}

/// Models on devices.
pub struct Models {
    class: DeviceClass,
    seats: Vec<Seats>,
    /// For each device, by fingerprint; used last, last.
    loaded: Vec<Mutex<Vec<Entry>>>,
    files: Files,
}

/// Loaded by the first who needs it; the others wait.
type Loading = Arc<Mutex<OnceLock<ShardScorer>>>;
type Entry = (String, Loading);

impl Models {
    /// On these devices; files are kept in `cache`.
    pub fn new(class: DeviceClass, seats: Vec<Seats>, cache: PathBuf) -> Models {
        let loaded = seats.iter().map(|_| Mutex::default()).collect();
        Models { class, seats, loaded, files: Files::new(cache) }
    }

    fn scorer(&self, order: &ShardTask, seat: &DeviceSlot) -> Result<ShardScorer, ShardFailure> {
        let loading = {
            let mut entries = self.loaded[seat.device].lock().unwrap_or_else(PoisonError::into_inner);
            let fingerprint = &order.model.fingerprint;
            let entry = match entries.iter().position(|(of, _)| of == fingerprint) {
                Some(at) => entries.remove(at),
                None => (fingerprint.clone(), Loading::default()),
            };
            if entries.len() >= LOADED_MAX {
                entries.remove(0);
            }
            entries.push(entry.clone());
            entry.1
        };
        let slot = loading.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.get().is_none() {
            let _ = slot.set(self.load(order, seat)?);
        }
        Ok(slot.get().expect("it was set just now").counted_in(seat.progress.clone()))
    }

    fn load(&self, order: &ShardTask, seat: &DeviceSlot) -> Result<ShardScorer, ShardFailure> {
        let Seats { device, shown, settings } = &self.seats[seat.device];
        let wrong = |error| ShardFailure::new(FailureKind::Model, error);
        let (weights, prompts) = self.files.open(&order.shard.store, &order.model, &seat.runtime)?;
        // The files are the run's: what fails now is this machine.
        let scorer = build(&order.model, &weights, &prompts, device);
        let scorer = scorer.map_err(|error| ShardFailure::new(FailureKind::Device, error))?;
        let found = scorer.fingerprint().to_string();
        if found != order.model.fingerprint {
            let wanted = &order.model.fingerprint;
            return Err(wrong(anyhow!(
                "model {} has fingerprint {found} here, and the run's is {wanted}",
                order.model.name
            )));
        }
        info!(model = order.model.name, fingerprint = found, device = shown, "model loaded");
        Ok(ShardScorer::new(Arc::new(scorer), settings.clone(), shown.clone()))
    }
}

impl ShardExecutor for Models {
    fn class(&self) -> DeviceClass {
        self.class
    }

    fn devices(&self) -> Vec<String> {
        self.seats.iter().map(|seat| seat.shown.clone()).collect()
    }

    fn score(&self, order: &ShardTask, seat: &DeviceSlot) -> Result<ShardOutcome, ShardFailure> {
        let scorer = self.scorer(order, seat)?;
        seat.begin();
        scorer.score(&order.shard, &seat.runtime, &seat.stop).map_err(|error| {
            let kind = match &error {
                ShardError::Store(_) => FailureKind::Store,
                ShardError::Model { .. } => FailureKind::Device,
                ShardError::OtherModel { .. } => FailureKind::Model,
                ShardError::Stopped { .. } => FailureKind::Stopped,
            };
            // An error poisons a CUDA context: whatever comes after it in this process fails too.
            let is_fatal = kind == FailureKind::Device && !self.seats[seat.device].device.is_cpu();
            ShardFailure { is_fatal, ..ShardFailure::new(kind, error) }
        })
    }
}

fn build(spec: &ModelSpec, weights: &ClipWeights, prompts: &PromptMode, device: &Device) -> anyhow::Result<Scorer> {
    let options = Options {
        views: spec
            .views
            .parse()
            .map_err(|error| anyhow!("`{}` is no choice of views: {}", spec.views, causes(&error)))?,
        arithmetic: spec.dtype.parse().map_err(|error: String| anyhow!(error))?,
        device: device.clone(),
        ..Options::default()
    };
    Ok(Scorer::new(weights, prompts, &options)?)
}

/// Models' files on this node.
struct Files {
    cache: PathBuf,
    addresses: StoreResolver,
    /// One file is fetched at a time: all devices want the same.
    fetching: Mutex<()>,
}

impl Files {
    fn new(cache: PathBuf) -> Files {
        remove_partial(&cache);
        Files { cache, addresses: StoreResolver::default(), fetching: Mutex::default() }
    }

    fn open(&self, store: &str, spec: &ModelSpec, runtime: &Handle) -> Result<(ClipWeights, PromptMode), ShardFailure> {
        let wrong = |error: anyhow::Error| ShardFailure::new(FailureKind::Model, error);
        let fetch = |file: &ModelFile| self.fetch(store, file, runtime);
        let weights = if spec.weights.is_empty() {
            models::weights(&shipped(&spec.name).map_err(wrong)?, true).map_err(|error| wrong(error.into()))?
        } else {
            let files: Vec<PathBuf> = spec.weights.iter().map(fetch).collect::<Result<_, _>>()?;
            let here = |error: anyhow::Error| ShardFailure::new(FailureKind::Internal, error);
            let folder = self.folder(spec, &files).map_err(here)?;
            ClipWeights::open(&folder).map_err(|error| here(error.into()))?
        };
        let prompts = match (&spec.prompts, &spec.prompts_name) {
            (Some(file), _) => Prompts::open(&fetch(file)?, weights.config()).map_err(|error| wrong(error.into()))?,
            (None, None) => return Ok((weights, PromptMode::Handcrafted)),
            (None, Some(name)) => {
                let name = shipped(name).map_err(wrong)?;
                models::prompts(Path::new(&name), weights.config()).map_err(|error| wrong(error.into()))?
            }
        };
        Ok((weights, PromptMode::Learned(prompts)))
    }

    /// A file of this node with the content that the digest says: from the cache, or from the store.
    fn fetch(&self, store: &str, file: &ModelFile, runtime: &Handle) -> Result<PathBuf, ShardFailure> {
        file.check().map_err(|error| ShardFailure::new(FailureKind::Model, error))?;
        // The name's ending says what is in a file.
        let path = self.cache.join(format!("{}-{}", &file.digest[..32], file.name));
        let _alone = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        // A machine that lost power may have kept its beginning alone.
        if path.metadata().is_ok_and(|found| found.len() == file.bytes) {
            return Ok(path);
        }
        let of_store = |error: StoreError| {
            let kind = if error.is_not_found() { FailureKind::Model } else { FailureKind::Store };
            ShardFailure::new(kind, error)
        };
        let store = self.addresses.open(store).map_err(of_store)?;
        match runtime.block_on(download(&store, file, &self.cache)) {
            Ok(whole) => {
                whole.persist(&path).map_err(|error| ShardFailure::new(FailureKind::Internal, error))?;
                info!(file = file.name, bytes = file.bytes, "model's file fetched");
                Ok(path)
            }
            Err(DownloadError::Store(error)) => Err(of_store(error)),
            Err(error @ DownloadError::Content { .. }) => Err(ShardFailure::new(FailureKind::Model, error)),
            Err(error) => Err(ShardFailure::new(FailureKind::Store, error)),
        }
    }

    /// The folder that weights are opened in: the files by their names.
    fn folder(&self, spec: &ModelSpec, files: &[PathBuf]) -> anyhow::Result<PathBuf> {
        let digests: String = spec.weights.iter().map(|file| format!("{} {}\n", file.name, file.digest)).collect();
        let folder = self.cache.join(format!("model-{}", &blake3::hash(digests.as_bytes()).to_hex()[..32]));
        let cannot = || format!("cannot make the folder {}", folder.display());
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

/// What a file is called while it is fetched.
const PARTIAL: &str = "partial-";
/// Such a file that has not grown for so long is of a process that is gone.
const PARTIAL_OLD: Duration = Duration::from_secs(3600);

/// What processes that were killed have left.
fn remove_partial(cache: &Path) {
    for entry in std::fs::read_dir(cache).into_iter().flatten().flatten() {
        let is_partial = entry.file_name().to_string_lossy().starts_with(PARTIAL);
        let changed = entry.metadata().and_then(|of| of.modified()).ok();
        if is_partial && changed.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > PARTIAL_OLD) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A name of what is in the program, and of nothing else: a run must not make a worker open files by their paths.
fn shipped(name: &str) -> anyhow::Result<String> {
    if name.starts_with("dqa:") {
        Ok(name.to_owned())
    } else {
        Err(anyhow!("the files of model {name} are in no store"))
    }
}

#[derive(Debug, thiserror::Error)]
enum DownloadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store broke off in {key}")]
    Broken {
        key: String,
        #[source]
        source: object_store::Error,
    },
    #[error("{key} in the store is not what its name says")]
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
        let piece = piece.map_err(|source| DownloadError::Broken { key: file.key(), source })?;
        hasher.update(&piece);
        out.write_all(&piece).await.map_err(cannot)?;
    }
    out.flush().await.map_err(cannot)?;
    if hasher.finalize().to_hex().as_str() != file.digest {
        return Err(DownloadError::Content { key: file.key() });
    }
    Ok(whole)
}
