//! The files of models on this node: downloaded from the store once, and verified by their digests each time that a
//! model is loaded, since disks lose power and rot. What does not match its digest is deleted and fetched again.
//!
//! Only configurations and safetensors are read. Reading a file of PyTorch takes a program inside it at its word, which a
//! node that works for several users must not do.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dqa_engine::models::{self, OpenError, RecordedTraining};
use dqa_engine::train::{BaseModel, BaseModelError};
use dqa_model::{
    CheckpointError, ClipConfig, ClipWeights, ConfigError, PromptMode, Prompts, PromptsError, WeightsError, is_torch,
};
use dqa_pipelines::causes;
use dqa_pipelines::model_spec::{ModelFile, ModelFileError, ModelSpec};
use dqa_pipelines::store::{Store, StoreError, StoreResolver};
use dqa_pipelines::training::TrainingModel;
use dqa_proto::v1::FailureKind;
use futures::StreamExt;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tracing::{info, warn};

use super::node::ShardFailure;

/// Prefix of a file's name during its download.
const PARTIAL: &str = "partial-";
/// A partial file that has not grown for this long belongs to a process that is gone.
const PARTIAL_OLD: Duration = Duration::from_secs(3600);

/// Why a model's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ModelFilesError {
    #[error(transparent)]
    Store(StoreError),
    #[error("the download of {key} was interrupted")]
    Interrupted {
        key: String,
        #[source]
        source: object_store::Error,
    },
    #[error("the digest of {key} in the store does not match its name")]
    Content { key: String },
    #[error("cannot use the cache {}", path.display())]
    Cache {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Name(#[from] ModelFileError),
    #[error("the files of model {name} are not in the store")]
    NotStored { name: String },
    #[error("{name} is a file of PyTorch, and workers read safetensors: submit the run again, which converts it")]
    PyTorch { name: String },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Prompts(#[from] PromptsError),
    #[error(transparent)]
    Bundled(#[from] OpenError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Base(#[from] BaseModelError),
}

impl From<ModelFilesError> for ShardFailure {
    fn from(error: ModelFilesError) -> ShardFailure {
        let kind = match error {
            ModelFilesError::Store(error) if !error.is_not_found() => return ShardFailure::of_store(error),
            ModelFilesError::Interrupted { .. } => FailureKind::Store,
            ModelFilesError::Cache { .. } => FailureKind::Worker,
            ModelFilesError::Checkpoint(ref error) if error.is_retryable() => FailureKind::Worker,
            ModelFilesError::Weights(ref error) if error.is_retryable() => FailureKind::Worker,
            ModelFilesError::Prompts(ref error) if error.is_retryable() => FailureKind::Worker,
            _ => FailureKind::Model,
        };
        ShardFailure::new(kind, error)
    }
}

/// The models' files on this node.
pub(super) struct ModelFiles {
    cache: PathBuf,
    resolver: StoreResolver,
    /// Held while a file is downloaded: one at a time, since all devices need the same files.
    fetching: Mutex<()>,
}

impl ModelFiles {
    pub(super) fn new(cache: PathBuf) -> ModelFiles {
        delete_partial(&cache);
        ModelFiles { cache, resolver: StoreResolver::default(), fetching: Mutex::default() }
    }

    /// Opens a run's model.
    pub(super) fn open(
        &self,
        store: &str,
        spec: &ModelSpec,
        runtime: &Handle,
    ) -> Result<(ClipWeights, PromptMode), ModelFilesError> {
        let fetch = |file: &ModelFile| self.fetch(store, file, runtime);
        let weights = if spec.weights.is_empty() {
            models::weights(bundled(&spec.name)?, true)?
        } else {
            let files: Vec<PathBuf> = spec.weights.iter().map(fetch).collect::<Result<_, _>>()?;
            ClipWeights::open(&self.folder(&spec.weights, &files)?)?
        };
        let prompts = match (&spec.prompts, &spec.prompts_name) {
            (Some(file), _) => Prompts::open(&fetch(file)?, weights.config())?,
            (None, None) => return Ok((weights, PromptMode::Handcrafted)),
            (None, Some(name)) => models::prompts(Path::new(bundled(name)?), weights.config())?,
        };
        Ok((weights, PromptMode::Learned(prompts)))
    }

    /// Opens the model that a training starts from.
    pub(super) fn open_training(
        &self,
        store: &str,
        model: &TrainingModel,
        runtime: &Handle,
    ) -> Result<BaseModel, ModelFilesError> {
        let fetch = |file: &ModelFile| self.fetch(store, file, runtime);
        let files: Vec<PathBuf> = model.weights.iter().map(fetch).collect::<Result<_, _>>()?;
        let weights = match (BaseModel::new_config(&model.model.name), &files[..]) {
            (Some(_), [config]) => ClipWeights::initial(ClipConfig::read(config)?, model.seed),
            (None, []) => models::weights(bundled(&model.model.name)?, true)?,
            _ => ClipWeights::open(&self.folder(&model.weights, &files)?)?,
        };
        let mut trained_on = RecordedTraining::of_weights(&model.model.name, &files);
        let prompts = match (&model.prompts, &model.model.prompts) {
            (Some(file), _) => {
                let file = fetch(file)?;
                trained_on = trained_on.and(RecordedTraining::of_prompts(&file));
                Some(Prompts::open(&file, weights.config())?)
            }
            (None, None) => None,
            (None, Some(given)) => {
                let name = Path::new(bundled(&given.name)?);
                trained_on = trained_on.and(RecordedTraining::of_prompts(name));
                Some(models::prompts(name, weights.config())?)
            }
        };
        let (trained_on, unreadable) = trained_on.known();
        if let Some(why) = unreadable {
            warn!(why, "the scenes that the model was trained on are unknown");
        }
        Ok(BaseModel::from_loaded(&model.model, weights, prompts, trained_on)?)
    }

    /// Returns the path of a file with the given digest: from the cache, or downloaded from the store.
    fn fetch(&self, store: &str, file: &ModelFile, runtime: &Handle) -> Result<PathBuf, ModelFilesError> {
        file.check()?;
        // The name is kept, since its extension names the file's format.
        let path = self.cache.join(format!("{}-{}", &file.digest[..32], file.name));
        let _lock = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.has_intact(&path, file)? {
            let store = self.resolver.open(store).map_err(ModelFilesError::Store)?;
            let whole = runtime.block_on(download(&store, file, &self.cache))?;
            self.keep(whole, &path)?;
            info!(file = file.name, bytes = file.bytes, "model's file fetched");
        }
        if is_torch(&path)? {
            return Err(ModelFilesError::PyTorch { name: file.name.clone() });
        }
        Ok(path)
    }

    /// Returns whether the cache has a file with the right content. A damaged file is deleted.
    fn has_intact(&self, path: &Path, file: &ModelFile) -> Result<bool, ModelFilesError> {
        let why = match hash(path) {
            Ok(digest) if digest == file.digest => return Ok(true),
            Ok(digest) => format!("its digest is {digest}"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => causes(&error).to_string(),
        };
        warn!(path = %path.display(), why, "a damaged file in the cache of models is fetched again");
        std::fs::remove_file(path).map_err(|source| self.cache_error(source))?;
        Ok(false)
    }

    /// Gives a downloaded file its name. After a loss of power the name must not stand for less than the content.
    fn keep(&self, whole: NamedTempFile, path: &Path) -> Result<(), ModelFilesError> {
        let kept = || {
            whole.as_file().sync_all()?;
            whole.persist(path)?;
            File::open(&self.cache)?.sync_all()
        };
        kept().map_err(|source| self.cache_error(source))
    }

    /// Returns a folder with links to the weights' files, by their names.
    fn folder(&self, weights: &[ModelFile], files: &[PathBuf]) -> Result<PathBuf, ModelFilesError> {
        let digests: String = weights.iter().map(|file| format!("{} {}\n", file.name, file.digest)).collect();
        let folder = self.cache.join(format!("model-{}", &blake3::hash(digests.as_bytes()).to_hex()[..32]));
        std::fs::create_dir_all(&folder).map_err(|source| self.cache_error(source))?;
        for (file, path) in weights.iter().zip(files) {
            match std::os::unix::fs::symlink(path, folder.join(&file.name)) {
                Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(self.cache_error(source));
                }
                _ => {}
            }
        }
        Ok(folder)
    }

    fn cache_error(&self, source: std::io::Error) -> ModelFilesError {
        ModelFilesError::Cache { path: self.cache.clone(), source }
    }
}

/// Returns the digest of a file's content. The file is read and not mapped: a disk's error must not end the process.
fn hash(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Downloads a file into the cache under a temporary name.
async fn download(store: &Store, file: &ModelFile, cache: &Path) -> Result<NamedTempFile, ModelFilesError> {
    let cannot = |source| ModelFilesError::Cache { path: cache.to_owned(), source };
    std::fs::create_dir_all(cache).map_err(cannot)?;
    let whole = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(cache).map_err(cannot)?;
    let mut out = tokio::fs::File::from_std(whole.reopen().map_err(cannot)?);
    let mut pieces = store.get_stream(&file.key()).await.map_err(ModelFilesError::Store)?;
    let mut hasher = blake3::Hasher::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|source| ModelFilesError::Interrupted { key: file.key(), source })?;
        hasher.update(&piece);
        out.write_all(&piece).await.map_err(cannot)?;
    }
    out.flush().await.map_err(cannot)?;
    if hasher.finalize().to_hex().as_str() != file.digest {
        return Err(ModelFilesError::Content { key: file.key() });
    }
    Ok(whole)
}

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
fn bundled(name: &str) -> Result<&str, ModelFilesError> {
    if name.starts_with("dqa:") { Ok(name) } else { Err(ModelFilesError::NotStored { name: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use dqa_testkit::torch::{Py, TorchSave};

    use super::*;

    /// A store with one model's file, and the cache of a node.
    struct Fixture {
        runtime: tokio::runtime::Runtime,
        dir: tempfile::TempDir,
        files: ModelFiles,
    }

    impl Fixture {
        fn new() -> Fixture {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(dir.path().join("store/models")).unwrap();
            let files = ModelFiles::new(dir.path().join("cache"));
            Fixture { runtime: tokio::runtime::Runtime::new().unwrap(), dir, files }
        }

        /// Puts a file into the store.
        fn stored(&self, name: &str, content: &[u8]) -> ModelFile {
            let digest = blake3::hash(content).to_hex().to_string();
            let file = ModelFile { name: name.to_owned(), digest, bytes: content.len() as u64 };
            std::fs::write(self.dir.path().join("store").join(file.key()), content).unwrap();
            file
        }

        fn fetch(&self, file: &ModelFile) -> Result<PathBuf, ModelFilesError> {
            let store = self.dir.path().join("store");
            self.files.fetch(store.to_str().unwrap(), file, self.runtime.handle())
        }
    }

    #[test]
    fn a_damaged_file_in_the_cache_is_fetched_again() {
        let fixture = Fixture::new();
        let file = fixture.stored("config.json", b"{\"model_type\": \"clip\"}");
        let path = fixture.fetch(&file).unwrap();
        for damaged in [&b"{\"model_type\": \"clap\"}"[..], b"{\"model", b""] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(fixture.fetch(&file).unwrap(), path);
            assert_eq!(std::fs::read(&path).unwrap(), b"{\"model_type\": \"clip\"}");
        }
        std::fs::remove_file(fixture.dir.path().join("store").join(file.key())).unwrap();
        fixture.fetch(&file).unwrap();
        std::fs::write(&path, "").unwrap();
        let failure = ShardFailure::from(fixture.fetch(&file).unwrap_err());
        assert_eq!(failure.kind, FailureKind::Model, "nothing is left of it: {}", failure.message);
    }

    #[test]
    fn a_full_cache_is_the_workers_trouble() {
        let fixture = Fixture::new();
        let file = fixture.stored("config.json", b"{}");
        // A file where the folder should be: nothing can be written to it.
        std::fs::write(fixture.dir.path().join("cache"), "").unwrap();
        let failure = ShardFailure::from(fixture.fetch(&file).unwrap_err());
        assert_eq!(failure.kind, FailureKind::Worker, "{}", failure.message);
    }

    #[test]
    fn a_damaged_object_in_the_store_is_told_from_a_damaged_cache() {
        let fixture = Fixture::new();
        let file = fixture.stored("config.json", b"{}");
        std::fs::write(fixture.dir.path().join("store").join(file.key()), "[]").unwrap();
        assert!(matches!(fixture.fetch(&file), Err(ModelFilesError::Content { .. })));
        assert_eq!(std::fs::read_dir(fixture.dir.path().join("cache")).unwrap().count(), 0, "nothing is kept");
    }

    #[test]
    fn a_pickle_is_not_read() {
        let fixture = Fixture::new();
        let archive = TorchSave::default().archive(&Py::dict(vec![("a", Py::Int(1))]));
        let file = fixture.stored("model.safetensors", &archive);
        let error = fixture.fetch(&file).unwrap_err();
        assert!(matches!(error, ModelFilesError::PyTorch { .. }), "{error}");
        assert_eq!(ShardFailure::from(error).kind, FailureKind::Model);
    }
}
