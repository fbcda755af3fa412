//! Opens weights and prompts by name: a path, `hf:OWNER/NAME` of the hub, or `dqa:NAME`, which is bundled with the
//! program. configs/models describes the bundled models.

mod model_file_kind;
mod recorded_training;

use std::path::{Path, PathBuf};

use dqa_model::{
    ClipConfig, ClipWeights, ConfigError, Prompts, PromptsError, WeightsError, list_shards, preferred_files,
};
use dqa_pipelines::Hint;

use crate::hub::{self, HubError, Snapshot};
pub use model_file_kind::{FileRole, ModelFileKind, TensorKind};
pub use recorded_training::RecordedTraining;

/// Prefix of the names of bundled models.
const SCHEME: &str = "dqa:";
/// File name of prompts that `dqa-coord train` writes.
const PROMPTS: &str = "prompts.safetensors";
/// File names in a message: enough to recognize a folder.
const NAMES_MAX: usize = 12;

/// A model that is bundled with the program.
struct BundledModel {
    name: &'static str,
    config: &'static str,
    weights: &'static [u8],
    prompts: &'static [u8],
    /// The training data of weights and prompts, a `TrainedOn` as JSON.
    trained_on: &'static str,
    /// Remark that goes with the model's scores.
    remark: &'static str,
}

const BUNDLED: [BundledModel; 1] = [BundledModel {
    name: "dqa:small",
    config: include_str!("../../../configs/models/small/config.json"),
    weights: include_bytes!("../../../configs/models/small/model.safetensors"),
    prompts: include_bytes!("../../../configs/models/small/prompts.safetensors"),
    trained_on: include_str!("../../../configs/models/small/trained_on.json"),
    remark: "dqa:small learned from synthetic pictures and pseudo-labels: it is for trying things out",
}];

/// Why a model or prompts cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No bundled model has the name.
    #[error("`{name}` is not in this program, which has `{}`", BUNDLED[0].name)]
    NotBundled {
        /// The name as given.
        name: String,
    },
    /// The model's files are not available.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A file's kind does not fit the role that it was given in.
    #[error("`{}` is {}", path.display(), kind.mismatch_message(*role))]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// The file's kind.
        kind: ModelFileKind,
        /// The role that it was given in.
        role: FileRole,
    },
    /// A folder was given as prompts.
    #[error("`{}` is a folder, and prompts are a file{}", path.display(), prompts_in(path, *has_prompts))]
    PromptsFolder {
        /// The path as given.
        path: PathBuf,
        /// Whether the folder has a file of the usual name.
        has_prompts: bool,
    },
    /// The model's files are invalid.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The prompts are invalid, or do not fit the model.
    #[error(transparent)]
    Prompts(#[from] PromptsError),
}

impl Hint for OpenError {
    fn hint(&self) -> Option<String> {
        match self {
            OpenError::Weights(WeightsError::NoWeights { dir }) => Some(describe_folder(dir)),
            OpenError::Prompts(PromptsError::Tensors { .. } | PromptsError::Depth { .. }) => Some(
                "prompts fit the model that they were learned with: `dqa-coord model show MODEL` says what a model is"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Returns the end of the sentence for a folder that was given as prompts.
fn prompts_in(folder: &Path, has_prompts: bool) -> String {
    if has_prompts { format!(": give {}", folder.join(PROMPTS).display()) } else { String::new() }
}

/// Describes a folder without weights.
fn describe_folder(folder: &Path) -> String {
    let entries = |folder: &Path| {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    if let Some(commit) = entries(&folder.join("snapshots")).first() {
        return format!(
            "it is a repository in the hub's cache; the model's files are in {}",
            folder.join("snapshots").join(commit).display()
        );
    }
    let names = entries(folder);
    match names.len() {
        0 => "it is empty".to_owned(),
        n if n > NAMES_MAX => format!("it has {}, ... ({n} in all)", names[..NAMES_MAX].join(", ")),
        _ => format!("it has {}", names.join(", ")),
    }
}

/// A model's weights and their origin.
pub struct OpenedModel {
    /// The weights.
    pub weights: ClipWeights,
    /// The origin.
    pub origin: ModelOrigin,
}

/// The origin of a model.
pub enum ModelOrigin {
    /// The model is bundled with the program.
    Program,
    /// A folder or a file.
    Path(PathBuf),
    /// The hub, through its cache.
    Hub(Snapshot),
}

impl ModelOrigin {
    fn find(model: &str, offline: bool) -> Result<ModelOrigin, OpenError> {
        if find_bundled(model)?.is_some() {
            return Ok(ModelOrigin::Program);
        }
        Ok(match hub::snapshot(model, offline, &check_config)? {
            Some(snapshot) => ModelOrigin::Hub(snapshot),
            None => ModelOrigin::Path(hub::existing_path(model)?),
        })
    }

    /// Returns the path to open. None for a bundled model.
    fn path(&self) -> Option<PathBuf> {
        match self {
            ModelOrigin::Program => None,
            ModelOrigin::Path(path) => Some(path.clone()),
            ModelOrigin::Hub(snapshot) => Some(snapshot.weights()),
        }
    }
}

/// Opens a model by its name: a folder or file, `hf:OWNER/NAME[@REVISION]`, or `dqa:NAME`.
///
/// # Errors
/// Fails with any [`OpenError`] except those of prompts.
pub fn open(model: &str, offline: bool) -> Result<OpenedModel, OpenError> {
    let origin = ModelOrigin::find(model, offline)?;
    let weights = match (origin.path(), find_bundled(model)?) {
        (Some(path), _) => {
            check_model_files(&path)?;
            ClipWeights::open(&path)?
        }
        (None, bundled) => {
            let bundled = bundled.expect("a model without a path is bundled");
            ClipWeights::parse(bundled.config, bundled.weights, Path::new(bundled.name))?
        }
    };
    Ok(OpenedModel { weights, origin })
}

/// Opens a model as [`open`] does, and returns its weights alone.
///
/// # Errors
/// Fails as [`open`] does.
pub fn weights(model: &str, offline: bool) -> Result<ClipWeights, OpenError> {
    Ok(open(model, offline)?.weights)
}

/// Fails if the files' kinds show that they are not a model.
fn check_model_files(path: &Path) -> Result<(), OpenError> {
    let (folder, weights) = if path.is_dir() {
        let Some(files) = preferred_files(|name| path.join(name).exists()) else { return Ok(()) };
        check_kind(&path.join(files.config), FileRole::Config)?;
        (path, path.join(files.weights))
    } else {
        (path.parent().unwrap_or(path), path.to_owned())
    };
    if matches!(ModelFileKind::detect(&weights), Ok(ModelFileKind::Json))
        && let Ok(shards) = list_shards(&weights)
    {
        return shards.iter().try_for_each(|shard| check_kind(&folder.join(shard), FileRole::Weights));
    }
    check_kind(&weights, FileRole::Weights)
}

fn check_kind(path: &Path, role: FileRole) -> Result<(), OpenError> {
    match ModelFileKind::detect(path) {
        Ok(kind) if !kind.may_be(role) => Err(OpenError::WrongKind { path: path.to_owned(), kind, role }),
        // A file that cannot be read fails when it is opened.
        _ => Ok(()),
    }
}

/// Checks that the configuration of a model of the hub is supported.
fn check_config(config: &Path) -> Result<(), ConfigError> {
    ClipConfig::read(config).map(drop)
}

/// Opens prompts for a model of this configuration: those of a file, or those of `dqa:NAME`.
///
/// # Errors
/// Fails with [`OpenError::NotBundled`], [`OpenError::WrongKind`], [`OpenError::PromptsFolder`] or
/// [`OpenError::Prompts`].
pub fn prompts(file: &Path, config: &ClipConfig) -> Result<Prompts, OpenError> {
    match file.to_str().map_or(Ok(None), find_bundled)? {
        Some(bundled) => Ok(Prompts::parse(bundled.prompts, Path::new(bundled.name), config)?),
        None if file.is_dir() => {
            Err(OpenError::PromptsFolder { path: file.to_owned(), has_prompts: file.join(PROMPTS).exists() })
        }
        None => {
            check_kind(file, FileRole::Prompts)?;
            Ok(Prompts::open(file, config)?)
        }
    }
}

/// Returns whether a model is bundled with the program together with its prompts.
pub fn has_own_prompts(model: &str) -> bool {
    BUNDLED.iter().any(|bundled| bundled.name == model)
}

/// Returns the remark that goes with the results of a bundled model.
pub fn remark(model: &str) -> Option<&'static str> {
    BUNDLED.iter().find(|bundled| bundled.name == model).map(|bundled| bundled.remark)
}

/// Returns the bundled model of a name. None if the name has not the prefix of bundled models.
fn find_bundled(name: &str) -> Result<Option<&'static BundledModel>, OpenError> {
    if !name.starts_with(SCHEME) {
        return Ok(None);
    }
    let found = BUNDLED.iter().find(|bundled| bundled.name == name);
    found.map(Some).ok_or_else(|| OpenError::NotBundled { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_program_is_a_model_with_its_prompts() {
        for bundled in &BUNDLED {
            let weights = weights(bundled.name, true).unwrap();
            prompts(Path::new(bundled.name), weights.config()).unwrap();
        }
    }

    #[test]
    fn what_is_no_model_is_told_for_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let said = |model: &Path| {
            let error = weights(model.to_str().unwrap(), true).unwrap_err();
            let text = format!("{error} | {}", error.hint().unwrap_or_default());
            text.replace(folder.path().to_str().unwrap(), "DIR")
        };
        let put = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
        assert!(said(folder.path()).ends_with("| it is empty"), "{}", said(folder.path()));
        put("config.json", br#"{"model_type": "clip"}"#);
        put("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 605\n");
        let pointer = "`DIR/model.safetensors` is a Git LFS pointer that stands for a file of 605 bytes, not that file, and not \
                       a model's weights: run `git lfs pull` in the clone that it is in | ";
        assert_eq!(said(folder.path()), pointer);
        assert_eq!(said(&folder.path().join("model.safetensors")), pointer);
        put("config.json", b"<!doctype html>");
        assert!(
            said(folder.path()).starts_with("`DIR/config.json` is an HTML page, and not a model's configuration: ")
        );
        put("ViT-B-32.pt", b"");
        assert!(said(&folder.path().join("ViT-B-32.pt")).ends_with("is an empty file: copy or download it again | "));
        std::fs::create_dir_all(folder.path().join("models--a--b/snapshots/0a")).unwrap();
        let cache = said(&folder.path().join("models--a--b"));
        assert!(cache.ends_with("the model's files are in DIR/models--a--b/snapshots/0a"), "{cache}");
    }

    #[test]
    fn what_is_no_prompts_is_told_for_what_it_is() {
        let small = weights("dqa:small", true).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let said = |file: &Path| {
            let error = prompts(file, small.config()).unwrap_err();
            format!("{error} | {}", error.hint().unwrap_or_default())
        };
        assert!(said(folder.path()).ends_with("is a folder, and prompts are a file | "));
        let bundled = &BUNDLED[0];
        std::fs::write(folder.path().join(PROMPTS), bundled.weights).unwrap();
        assert!(said(folder.path()).contains("are a file: give "));
        let model = said(&folder.path().join(PROMPTS));
        assert!(model.ends_with(": give it with --model, and learned prompts with --prompts | "), "{model}");
        std::fs::write(folder.path().join(PROMPTS), bundled.prompts).unwrap();
        prompts(&folder.path().join(PROMPTS), small.config()).unwrap();
        let error = weights(folder.path().join(PROMPTS).to_str().unwrap(), true).unwrap_err();
        assert!(error.to_string().ends_with(": give it with --prompts, and CLIP with --model"), "{error}");
    }

    #[test]
    fn it_is_small() {
        for bundled in &BUNDLED {
            assert!(bundled.weights.len() + bundled.prompts.len() < 8_000_000, "{} is in the repository", bundled.name);
        }
    }

    #[test]
    fn another_name_is_told() {
        let error = weights("dqa:smal", true).unwrap_err();
        assert_eq!(error.to_string(), "`dqa:smal` is not in this program, which has `dqa:small`");
        assert!(matches!(weights("small", true), Err(OpenError::Hub(_))), "a path, where it has no such beginning");
    }
}
