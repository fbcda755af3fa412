//! Which files in a directory are a model's weights, and what they are: safetensors or PyTorch's, one file or shards.
//!
//! The usual names are taken in a fixed order, safetensors first; where there are none, the directory's only checkpoint, told by
//! its content. It knows nothing of a model's tensors.

use std::fs;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, CheckpointError, Kind};
use super::error::WeightsError;
use super::file_names::{PreferredFiles, USUAL, preferred_files};
use super::stored_tensor::TensorMap;
use crate::torch::{TorchError, TorchFile};

/// The shards that an index of weights names, each once.
///
/// # Errors
/// An index that cannot be read, or that names a file elsewhere.
pub fn list_shards(index: &Path) -> Result<Vec<String>, WeightsError> {
    Ok(checkpoint::shards(index)?)
}

/// Where a model's weights are.
pub(crate) struct WeightsSource {
    /// The file, or the index.
    pub(crate) weights: PathBuf,
    is_index: bool,
    /// The configuration that belongs to a usual name.
    pub(crate) config: Option<PathBuf>,
}

/// Tensors that are to be looked through.
pub(crate) enum OpenedWeights {
    Safetensors(TensorMap),
    Torch(Box<TorchFile>),
    /// Of shards, and whether those are PyTorch's.
    Shards(TensorMap, bool),
}

impl WeightsSource {
    /// `path` is a file, an index of shards, or a directory with a model.
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
        // Weights without their configuration are an error that names it, after all that is complete.
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

    /// A file beside the weights.
    pub(crate) fn sibling(&self, name: &str) -> Option<PathBuf> {
        let path = self.weights.with_file_name(name);
        path.is_file().then_some(path)
    }

    pub(crate) fn open(&self) -> Result<OpenedWeights, CheckpointError> {
        if self.is_index {
            let is_torch = self.files()?.get(1).map(|shard| checkpoint::kind(shard)).transpose()? == Some(Kind::Torch);
            return Ok(OpenedWeights::Shards(checkpoint::open_shards(&self.weights)?, is_torch));
        }
        Ok(match checkpoint::kind(&self.weights)? {
            Kind::Safetensors => OpenedWeights::Safetensors(checkpoint::open(&self.weights)?),
            Kind::Torch => OpenedWeights::Torch(Box::new(checkpoint::open_torch(&self.weights)?)),
        })
    }

    /// The files of weights: one, or the index and its shards.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let mut files = vec![self.weights.clone()];
        if self.is_index {
            for shard in checkpoint::shards(&self.weights)? {
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

/// The files in a directory that hold tensors, by their content, in the order of names.
fn checkpoints(dir: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let read = |source| CheckpointError::Read { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        // What cannot be read is no checkpoint of the user's.
        if !is_hidden && path.is_file() && checkpoint::kind(&path).is_ok() {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

impl OpenedWeights {
    /// Where the dictionaries of tensors lie, with their names. A file of safetensors, or shards, is one.
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

    /// The tensors of the set `i` of [`OpenedWeights::sets`].
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
