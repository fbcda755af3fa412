//! A model's files as other machines load them: configurations and safetensors.
//!
//! PyTorch's files stay on the user's machine. They are programs that build a model, so a worker, which loads the files of
//! all users, does not read them.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dqa_engine::train::BaseModel;
use dqa_model::{ClipWeights, Prompts, is_torch};
use dqa_pipelines::model_spec::{ModelFile, ModelSpec};
use dqa_pipelines::training::TrainingModel;
use tempfile::TempDir;

use crate::program::note;

/// A model's description and files, for a process on another machine that loads it.
pub struct IdentifiedModel {
    /// The model's description.
    pub spec: ModelSpec,
    /// The model's files and their paths on this machine.
    pub files: Vec<(ModelFile, PathBuf)>,
    /// Deletes the converted files when it is dropped.
    pub(crate) _converted: Option<TempDir>,
}

/// A model that trainings start from, for processes on other machines that load it.
pub struct IdentifiedTrainingModel {
    /// The model's description.
    pub model: TrainingModel,
    /// The model's files and their paths on this machine.
    pub files: Vec<(ModelFile, PathBuf)>,
    /// Deletes the converted files when it is dropped.
    _converted: Option<TempDir>,
}

impl IdentifiedTrainingModel {
    /// Describes an open model, with files that are safe to load elsewhere. `seed` is that of new weights.
    ///
    /// # Errors
    /// If a file cannot be read, or a file of PyTorch cannot be converted.
    pub fn of(base: &BaseModel, seed: u64) -> anyhow::Result<IdentifiedTrainingModel> {
        let model = base.model();
        let given = model.prompts.as_ref().filter(|prompts| !prompts.name.starts_with("dqa:"));
        let prompts = base.given_prompts().zip(given).map(|(prompts, given)| (prompts, Path::new(&given.name)));
        let files = match BaseModel::new_config(&model.name) {
            Some(config) => PortableFiles {
                weights: vec![describe(config.to_owned())?],
                prompts: prompts.map(|(_, path)| describe(path.to_owned())).transpose()?,
                converted: None,
            },
            None => PortableFiles::of(base.weights(), prompts)?,
        };
        let PortableFiles { weights, prompts, converted } = files;
        let file = |(file, _): &(ModelFile, PathBuf)| file.clone();
        let model = TrainingModel {
            model: model.clone(),
            seed,
            weights: weights.iter().map(file).collect(),
            prompts: prompts.as_ref().map(file),
        };
        Ok(IdentifiedTrainingModel {
            model,
            files: weights.into_iter().chain(prompts).collect(),
            _converted: converted,
        })
    }
}

/// The files of a model that are sent to other machines.
pub(crate) struct PortableFiles {
    pub(crate) weights: Vec<(ModelFile, PathBuf)>,
    pub(crate) prompts: Option<(ModelFile, PathBuf)>,
    pub(crate) converted: Option<TempDir>,
}

impl PortableFiles {
    /// Describes the files of weights, and of prompts with their path. Files of PyTorch are converted.
    pub(crate) fn of(weights: &ClipWeights, prompts: Option<(&Prompts, &Path)>) -> anyhow::Result<PortableFiles> {
        let mut converted = None;
        let mut paths = weights.files().to_vec();
        if has_torch(&paths)? {
            paths = convert_weights(weights, folder(&mut converted)?)?;
        }
        let mut described = None;
        if let Some((prompts, path)) = prompts {
            let path =
                if is_torch(path)? { convert_prompts(prompts, folder(&mut converted)?)? } else { path.to_owned() };
            described = Some(describe(path)?);
        }
        let weights = paths.into_iter().map(describe).collect::<anyhow::Result<_>>()?;
        Ok(PortableFiles { weights, prompts: described, converted })
    }
}

fn has_torch(paths: &[PathBuf]) -> anyhow::Result<bool> {
    for path in paths {
        if is_torch(path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the folder of converted files, which is created when it is first needed.
fn folder(converted: &mut Option<TempDir>) -> anyhow::Result<&Path> {
    if converted.is_none() {
        *converted = Some(tempfile::tempdir().context("cannot create a folder for the converted model")?);
    }
    Ok(converted.as_ref().expect("it was set just now").path())
}

fn convert_weights(weights: &ClipWeights, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    note(format_args!("the model's {} is sent as safetensors", weights.form()));
    let [config, tensors] = ["config.json", "model.safetensors"].map(|name| folder.join(name));
    std::fs::write(&config, weights.config().to_json()).with_context(|| cannot_write(&config))?;
    weights.save(&tensors)?;
    Ok(vec![config, tensors])
}

fn convert_prompts(prompts: &Prompts, folder: &Path) -> anyhow::Result<PathBuf> {
    note(format_args!("the prompts' PyTorch checkpoint is sent as safetensors"));
    let path = folder.join("prompts.safetensors");
    std::fs::write(&path, prompts.to_bytes()?).with_context(|| cannot_write(&path))?;
    Ok(path)
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// Describes a file by its name, digest and size.
fn describe(path: PathBuf) -> anyhow::Result<(ModelFile, PathBuf)> {
    let cannot = || format!("cannot read {}", path.display());
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap_rayon(&path).with_context(cannot)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let bytes = std::fs::metadata(&path).with_context(cannot)?.len();
    let file = ModelFile { name, digest: hasher.finalize().to_hex().to_string(), bytes };
    file.check().with_context(|| format!("{} cannot be sent", path.display()))?;
    Ok((file, path))
}

#[cfg(test)]
mod tests {
    use dqa_testkit::hf::HfDir;
    use dqa_testkit::torch::{Py, TorchSave};
    use dqa_testkit::{ClipShape, NamedTensor};

    use super::*;

    /// Writes tensors as `torch.save` does.
    fn write_torch(path: &Path, tensors: &[NamedTensor]) {
        let mut save = TorchSave::default();
        let entries = tensors.iter().map(|tensor| (tensor.name.clone(), save.floats(&tensor.shape, &tensor.values)));
        let entries = entries.collect();
        save.write(path, &Py::Ordered(entries));
    }

    fn names(files: &[(ModelFile, PathBuf)]) -> Vec<&str> {
        files.iter().map(|(file, _)| file.name.as_str()).collect()
    }

    #[test]
    fn a_model_of_pytorch_is_sent_as_safetensors_of_the_same_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let model = HfDir { salt: "portable", shape: ClipShape::TINY, shards: 1 };
        model.write(dir.path());
        let plain = ClipWeights::open(dir.path()).unwrap();
        let learned = Prompts::open(&dir.path().join("prompts.safetensors"), plain.config()).unwrap();
        let path = dir.path().join("prompts.safetensors");
        let sent = PortableFiles::of(&plain, Some((&learned, &path))).unwrap();
        assert_eq!(names(&sent.weights), ["config.json", "model.safetensors"]);
        assert!(sent.converted.is_none(), "files that others can load are sent as they are");

        std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
        write_torch(&dir.path().join("pytorch_model.bin"), &model.weights());
        let path = dir.path().join("learned.pth");
        write_torch(&path, &model.prompts());
        let weights = ClipWeights::open(dir.path()).unwrap();
        let prompts = Prompts::open(&path, weights.config()).unwrap();
        let sent = PortableFiles::of(&weights, Some((&prompts, &path))).unwrap();
        assert_eq!(names(&sent.weights), ["config.json", "model.safetensors"]);
        let converted = ClipWeights::open(sent.converted.as_ref().unwrap().path()).unwrap();
        assert_eq!(converted.digest(), plain.digest());
        let (file, path) = sent.prompts.unwrap();
        assert!(file.name == "prompts.safetensors" && !is_torch(&path).unwrap());
        let converted = Prompts::open(&path, weights.config()).unwrap();
        assert_eq!(converted.digest().unwrap(), learned.digest().unwrap());
    }
}
