//! Finds a model's weights in a directory and opens them: safetensors or PyTorch's files, one file or shards.
//!
//! The usual names are tried in a fixed order, safetensors first; if there are none, the directory's only checkpoint is
//! taken, recognised by its content. It knows nothing of a model's tensors.

use std::fs;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, CheckpointError, CheckpointFormat};
use super::error::WeightsError;
use super::file_names::{PreferredFiles, USUAL, preferred_files};
use super::stored_tensor::TensorMap;
use crate::torch::{TorchError, TorchFile};

/// Lists the shards that an index of weights names, each once.
///
/// # Errors
/// Fails when the index cannot be read, or names a file in another folder.
pub fn list_shards(index: &Path) -> Result<Vec<String>, WeightsError> {
    Ok(checkpoint::list_shards(index)?)
}

/// The files that hold a model's weights.
pub(crate) struct WeightsSource {
    /// The file of weights, or the index.
    pub(crate) weights: PathBuf,
    is_index: bool,
    /// The configuration that belongs to a usual name.
    pub(crate) config: Option<PathBuf>,
}

/// The tensors of an open source, before a model is looked for among them.
pub(crate) enum OpenedWeights {
    Safetensors(TensorMap),
    Torch(Box<TorchFile>),
    /// Tensors of shards, and whether the shards are PyTorch's.
    Shards(TensorMap, bool),
}

impl WeightsSource {
    /// Finds the weights at `path`: a file, an index of shards, or a directory with a model.
    pub(crate) fn find(path: &Path) -> Result<WeightsSource, WeightsError> {
        let path = path.to_owned();
        match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(WeightsError::Absent { path }),
            Err(source) => return Err(CheckpointError::Read { path, source }.into()),
            Ok(found) if !found.is_dir() => {
                let is_index = checkpoint::is_index(&path);
                return Ok(WeightsSource { weights: path, is_index, config: None });
            }
            Ok(_) => {}
        }
        let has = |name: &str| path.join(name).exists();
        // Weights without their configuration come last. They give an error that names the missing file.
        let usual = preferred_files(has).or_else(|| USUAL.into_iter().find(|files| has(files.weights)));
        if let Some(PreferredFiles { config, weights, is_index }) = usual {
            let config = has(config).then(|| path.join(config));
            return Ok(WeightsSource { weights: path.join(weights), is_index, config });
        }
        let checkpoints = checkpoints(&path)?;
        match &checkpoints[..] {
            [only] => Ok(WeightsSource { weights: only.clone(), is_index: false, config: None }),
            [] => Err(WeightsError::NoWeights { dir: path }),
            several => {
                let name = |file: &PathBuf| file.file_name().map(|name| format!("`{}`", name.display()));
                let mut names: Vec<String> = several.iter().take(5).filter_map(name).collect();
                if several.len() > names.len() {
                    names.push("...".to_owned());
                }
                Err(WeightsError::SeveralFiles { dir: path, files: names.join(", ") })
            }
        }
    }

    /// Returns the path of a file in the same folder as the weights, if it exists.
    pub(crate) fn sibling(&self, name: &str) -> Option<PathBuf> {
        let path = self.weights.with_file_name(name);
        path.is_file().then_some(path)
    }

    pub(crate) fn open(&self) -> Result<OpenedWeights, CheckpointError> {
        if self.is_index {
            let is_torch = self.files()?.get(1).map(|shard| checkpoint::detect_kind(shard)).transpose()?
                == Some(CheckpointFormat::Torch);
            return Ok(OpenedWeights::Shards(checkpoint::open_shards(&self.weights)?, is_torch));
        }
        Ok(match checkpoint::detect_kind(&self.weights)? {
            CheckpointFormat::Safetensors => OpenedWeights::Safetensors(checkpoint::open(&self.weights)?),
            CheckpointFormat::Torch => OpenedWeights::Torch(Box::new(checkpoint::open_torch(&self.weights)?)),
        })
    }

    /// Returns the files of weights: one, or the index and its shards.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let mut files = vec![self.weights.clone()];
        if self.is_index {
            for shard in checkpoint::list_shards(&self.weights)? {
                let path = self.weights.with_file_name(&shard);
                if !path.exists() {
                    return Err(CheckpointError::NoShard { index: self.weights.clone(), shard });
                }
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// Returns the files in a directory that hold tensors, by their content, sorted by name.
fn checkpoints(dir: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let read = |source| CheckpointError::Read { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        // A file that cannot be read is not one of the user's checkpoints.
        if !is_hidden && path.is_file() && checkpoint::detect_kind(&path).is_ok() {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

impl OpenedWeights {
    /// Returns where the dictionaries of tensors lie, with their names. A file of safetensors, or a set of shards, is
    /// one dictionary.
    pub(crate) fn tensor_sets(&self) -> Vec<(String, Vec<&str>)> {
        match self {
            OpenedWeights::Safetensors(tensors) | OpenedWeights::Shards(tensors, _) => {
                vec![(String::new(), tensors.keys().map(String::as_str).collect())]
            }
            OpenedWeights::Torch(file) => {
                let dictionaries = file.dictionaries().iter();
                dictionaries
                    .map(|found| (found.path.clone(), found.tensors.keys().map(String::as_str).collect()))
                    .collect()
            }
        }
    }

    /// Takes the tensors of set `i` of [`OpenedWeights::tensor_sets`].
    pub(crate) fn take(&mut self, i: usize) -> Result<TensorMap, TorchError> {
        match self {
            OpenedWeights::Safetensors(tensors) | OpenedWeights::Shards(tensors, _) => Ok(std::mem::take(tensors)),
            OpenedWeights::Torch(file) => {
                let tensors = file.dictionaries()[i].tensors.clone();
                file.stored_all(&tensors)
            }
        }
    }

    pub(crate) fn is_torch(&self) -> bool {
        matches!(self, OpenedWeights::Torch(_) | OpenedWeights::Shards(_, true))
    }

    pub(crate) fn is_script(&self) -> bool {
        matches!(self, OpenedWeights::Torch(file) if file.is_script())
    }
}
