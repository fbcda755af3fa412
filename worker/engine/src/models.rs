//! Weights and prompts by the name that a user gives them: a path, `hf:OWNER/NAME` of the hub, or `dqa:NAME`, which is in
//! the program. What each is for is in configs/models.

mod sniff;
mod training;

use std::path::{Path, PathBuf};

use dqa_model::{
    ClipConfig, ClipWeights, ConfigError, Prompts, PromptsError, WeightsError, preferred_files, shards_of,
};

use crate::hub::{self, HubError, Snapshot};
pub use sniff::{Kind, Role, Tensors};
pub use training::Training;

/// What a name begins with whose files are in the program.
const SCHEME: &str = "dqa:";
/// What `dqa-coord train` calls prompts.
const PROMPTS: &str = "prompts.safetensors";
/// Names in a message: enough to see what a folder is.
const NAMES_MAX: usize = 12;

/// A model that is in the program.
struct Shipped {
    name: &'static str,
    config: &'static str,
    weights: &'static [u8],
    prompts: &'static [u8],
    /// What both learned from, as `TrainedOn`.
    trained_on: &'static str,
    /// What whoever reads its scores must know.
    remark: &'static str,
}

const SHIPPED: [Shipped; 1] = [Shipped {
    name: "dqa:small",
    config: include_str!("../../../configs/models/small/config.json"),
    weights: include_bytes!("../../../configs/models/small/model.safetensors"),
    prompts: include_bytes!("../../../configs/models/small/prompts.safetensors"),
    trained_on: include_str!("../../../configs/models/small/trained_on.json"),
    remark: "dqa:small learned from synthetic pictures and pseudo-labels: it is for trying things out",
}];

/// Why there is no such model, or no such prompts.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A name of nothing that is in the program.
    #[error("`{name}` is not in this program, which has `{}`", SHIPPED[0].name)]
    NotShipped {
        /// As given.
        name: String,
    },
    /// The model is nowhere.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A file is something else than what it was given as.
    #[error("`{}` is {}", path.display(), kind.instead_of(*role))]
    Other {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: Kind,
        /// What it was given as.
        role: Role,
    },
    /// Prompts are a file.
    #[error("`{}` is a folder, and prompts are a file{}", path.display(), in_folder(path, *has_prompts))]
    PromptsFolder {
        /// As given.
        path: PathBuf,
        /// Whether a file of the usual name is in it.
        has_prompts: bool,
    },
    /// The model's files cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The prompts cannot be read, or are none for this model.
    #[error(transparent)]
    Prompts(#[from] PromptsError),
}

impl OpenError {
    /// What to do about it, where it does not say that itself.
    pub fn hint(&self) -> Option<String> {
        match self {
            OpenError::Weights(WeightsError::NoWeights { dir }) => Some(of_folder(dir)),
            OpenError::Prompts(PromptsError::Tensors { .. } | PromptsError::Depth { .. }) => Some(
                "prompts fit the model that they were learned with: `dqa-coord model show MODEL` says what a model is"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// A sentence's end for a folder that was given as prompts.
fn in_folder(folder: &Path, has_prompts: bool) -> String {
    if has_prompts { format!(": give {}", folder.join(PROMPTS).display()) } else { String::new() }
}

/// What a folder without weights is.
fn of_folder(folder: &Path) -> String {
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

/// A model's weights, and where they are from.
pub struct Opened {
    /// The weights.
    pub weights: ClipWeights,
    /// Where they are from.
    pub origin: Origin,
}

/// Where a model is from.
pub enum Origin {
    /// The program itself.
    Program,
    /// A folder or a file.
    Path(PathBuf),
    /// The hub, through its cache.
    Hub(Snapshot),
}

impl Origin {
    fn find(model: &str, offline: bool) -> Result<Origin, OpenError> {
        if shipped(model)?.is_some() {
            return Ok(Origin::Program);
        }
        Ok(match hub::snapshot(model, offline, &check)? {
            Some(snapshot) => Origin::Hub(snapshot),
            None => Origin::Path(hub::local(model)?),
        })
    }

    /// What is opened; None where it is in the program.
    fn path(&self) -> Option<PathBuf> {
        match self {
            Origin::Program => None,
            Origin::Path(path) => Some(path.clone()),
            Origin::Hub(snapshot) => Some(snapshot.weights()),
        }
    }
}

/// A model by its name: a directory or file, `hf:OWNER/NAME[@REVISION]`, or `dqa:NAME`.
///
/// # Errors
/// Every [`OpenError`] but that of prompts.
pub fn open(model: &str, offline: bool) -> Result<Opened, OpenError> {
    let origin = Origin::find(model, offline)?;
    let weights = match (origin.path(), shipped(model)?) {
        (Some(path), _) => {
            look_at_model(&path)?;
            ClipWeights::open(&path)?
        }
        (None, own) => {
            let own = own.expect("what has no path is in the program");
            ClipWeights::parse(own.config, own.weights, Path::new(own.name))?
        }
    };
    Ok(Opened { weights, origin })
}

/// As [`open`], the weights alone.
///
/// # Errors
/// As [`open`].
pub fn weights(model: &str, offline: bool) -> Result<ClipWeights, OpenError> {
    Ok(open(model, offline)?.weights)
}

/// Refuses files that are no model, and says what they are.
fn look_at_model(path: &Path) -> Result<(), OpenError> {
    let (folder, weights) = if path.is_dir() {
        let Some(files) = preferred_files(|name| path.join(name).exists()) else { return Ok(()) };
        look_at(&path.join(files.config), Role::Config)?;
        (path, path.join(files.weights))
    } else {
        (path.parent().unwrap_or(path), path.to_owned())
    };
    if matches!(Kind::of(&weights), Ok(Kind::Json))
        && let Ok(shards) = shards_of(&weights)
    {
        return shards.iter().try_for_each(|shard| look_at(&folder.join(shard), Role::Weights));
    }
    look_at(&weights, Role::Weights)
}

fn look_at(path: &Path, role: Role) -> Result<(), OpenError> {
    match Kind::of(path) {
        Ok(kind) if !kind.may_be(role) => Err(OpenError::Other { path: path.to_owned(), kind, role }),
        // What cannot be read, whoever opens it says.
        _ => Ok(()),
    }
}

/// Whether the configuration of a model of the hub is of one that is run.
fn check(config: &Path) -> Result<(), ConfigError> {
    ClipConfig::read(config).map(drop)
}

/// The files of a model's weights, its configuration first; none where they are in the program.
///
/// # Errors
/// As [`weights()`].
pub fn files(model: &str, offline: bool) -> Result<Vec<PathBuf>, OpenError> {
    match Origin::find(model, offline)?.path() {
        None => Ok(Vec::new()),
        Some(path) => Ok(dqa_model::weight_files(&path)?),
    }
}

/// Prompts for a model of this configuration: of a file, or those that belong to `dqa:NAME`.
///
/// # Errors
/// [`OpenError::NotShipped`], [`OpenError::Other`], [`OpenError::PromptsFolder`] and [`OpenError::Prompts`].
pub fn prompts(file: &Path, config: &ClipConfig) -> Result<Prompts, OpenError> {
    match file.to_str().map_or(Ok(None), shipped)? {
        Some(own) => Ok(Prompts::parse(own.prompts, Path::new(own.name), config)?),
        None if file.is_dir() => {
            Err(OpenError::PromptsFolder { path: file.to_owned(), has_prompts: file.join(PROMPTS).exists() })
        }
        None => {
            look_at(file, Role::Prompts)?;
            Ok(Prompts::open(file, config)?)
        }
    }
}

/// What results must say of a model that is in the program.
pub fn remark(model: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|own| own.name == model).map(|own| own.remark)
}

/// `None` for what is no name of the program's own.
fn shipped(name: &str) -> Result<Option<&'static Shipped>, OpenError> {
    if !name.starts_with(SCHEME) {
        return Ok(None);
    }
    let found = SHIPPED.iter().find(|own| own.name == name);
    found.map(Some).ok_or_else(|| OpenError::NotShipped { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_program_is_a_model_with_its_prompts() {
        for own in &SHIPPED {
            let weights = weights(own.name, true).unwrap();
            prompts(Path::new(own.name), weights.config()).unwrap();
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
        let own = &SHIPPED[0];
        std::fs::write(folder.path().join(PROMPTS), own.weights).unwrap();
        assert!(said(folder.path()).contains("are a file: give "));
        let model = said(&folder.path().join(PROMPTS));
        assert!(model.ends_with(": give it with --model, and learned prompts with --prompts | "), "{model}");
        std::fs::write(folder.path().join(PROMPTS), own.prompts).unwrap();
        prompts(&folder.path().join(PROMPTS), small.config()).unwrap();
        let error = weights(folder.path().join(PROMPTS).to_str().unwrap(), true).unwrap_err();
        assert!(error.to_string().ends_with(": give it with --prompts, and CLIP with --model"), "{error}");
    }

    #[test]
    fn it_is_small() {
        for own in &SHIPPED {
            assert!(own.weights.len() + own.prompts.len() < 8_000_000, "{} is in the repository", own.name);
        }
    }

    #[test]
    fn another_name_is_told() {
        let error = weights("dqa:smal", true).unwrap_err();
        assert_eq!(error.to_string(), "`dqa:smal` is not in this program, which has `dqa:small`");
        assert!(matches!(weights("small", true), Err(OpenError::Hub(_))), "a path, where it has no such beginning");
    }
}
