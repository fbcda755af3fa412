//! The files of a model: at a path, or in a repository of the Hugging Face hub, through the hub's own cache.
//!
//! It downloads whole files of one commit and returns their folder. It does not open weights, and it never takes
//! another revision or another model than the requested one. Environment variables, their order and the cache's layout
//! are those of the Python library `huggingface_hub`, so that each of the two uses the other's downloads.

mod cache;
mod client;
mod download;
mod error;
mod progress;
mod retry;
mod settings;

use std::fmt;
use std::path::{Path, PathBuf};

use dqa_model::{ConfigError, PreferredFiles, list_shards, preferred_files};

use cache::RepoCache;
use client::{HubClient, Listing};
pub use error::{HubError, Refusal};
pub use progress::download_line;
pub use settings::{HubSettings, HubToken};

const SCHEME: &str = "hf:";
/// The configuration of transformers, and of other libraries whose models are not supported.
const CONFIG: &str = "config.json";
/// File names in a message: enough to recognize a repository.
const NAMES_MAX: usize = 12;

/// A repository of the hub at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ModelId {
    /// `owner/name`
    repo: String,
    /// A branch, a tag, a `refs/pr/N` or a commit.
    revision: String,
}

/// A model's files in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `owner/name`
    pub repo: String,
    /// The revision as given: a branch, a tag, a `refs/pr/N` or a commit.
    pub revision: String,
    /// The revision's commit.
    pub commit: String,
    /// The folder of the files.
    pub folder: PathBuf,
    /// The model's files in the folder: the configuration, the weights or their index, and the shards. The folder may
    /// have other files too.
    pub files: Vec<String>,
}

impl Snapshot {
    /// Returns the path of the weights or their index, which is the file to open.
    pub fn weights(&self) -> PathBuf {
        self.folder.join(&self.files[1])
    }
}

/// Checks whether a configuration's model is supported, before its weights are downloaded.
pub type Check<'a> = &'a (dyn Fn(&Path) -> Result<(), ConfigError> + Sync);

/// Returns the files of `hf:owner/name[@revision]` in the hub's cache, and None for a path. A model in the cache is
/// used without a request to the hub; another one is downloaded, unless `offline` or the environment forbids it.
///
/// # Errors
/// Fails with any [`HubError`] except [`HubError::NoPath`].
pub fn snapshot(model: &str, offline: bool, check: Check) -> Result<Option<Snapshot>, HubError> {
    // A path needs no environment: a machine may have no home directory.
    let Some(id) = ModelId::parse(model)? else {
        return Ok(None);
    };
    let mut settings = HubSettings::from_env()?;
    if offline {
        settings.offline = Some("--offline");
    }
    snapshot_in(&settings, &id, check).map(Some)
}

/// Returns the files of a model of the hub as [`snapshot`] does, with given settings.
///
/// # Errors
/// Fails as [`snapshot`] does.
pub fn snapshot_with(settings: &HubSettings, model: &str, check: Check) -> Result<Snapshot, HubError> {
    let id = ModelId::parse(model)?.ok_or_else(|| HubError::BadId { id: model.to_owned() })?;
    snapshot_in(settings, &id, check)
}

/// Returns the path of a model on this machine.
///
/// # Errors
/// Fails with [`HubError::NoPath`] if it does not exist.
pub fn existing_path(model: &str) -> Result<PathBuf, HubError> {
    let path = PathBuf::from(model);
    if path.exists() { Ok(path) } else { Err(HubError::NoPath { path }) }
}

fn snapshot_in(settings: &HubSettings, id: &ModelId, check: Check) -> Result<Snapshot, HubError> {
    let cache = RepoCache::new(&settings.cache, &id.repo);
    if let Some(snapshot) = id.cached(&cache)? {
        return Ok(snapshot);
    }
    if let Some(by) = settings.offline {
        if let Some(config) = id.cached_config(&cache) {
            check(&config)?;
        }
        let (repo, revision) = (id.repo.clone(), id.revision.clone());
        return Err(HubError::NotCached {
            has: id.describe_cached(&cache),
            repo,
            revision,
            cache: settings.cache.clone(),
            by,
        });
    }
    // A runtime must not be started within another one, which the caller may run in, so the download has its own
    // thread.
    std::thread::scope(|scope| {
        let downloading = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let cannot = |source| HubError::Cache { path: settings.cache.clone(), source };
            runtime.map_err(cannot)?.block_on(download(settings, id, &cache, check))
        });
        downloading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Asks the hub for the revision's commit and its files, then downloads the model's files of that commit. So a push in
/// the meantime cannot mix two versions in one folder.
async fn download(
    settings: &HubSettings,
    id: &ModelId,
    cache: &RepoCache,
    check: Check<'_>,
) -> Result<Snapshot, HubError> {
    let client = HubClient::new(settings, id, cache)?;
    let Listing { commit, files: listed_files } = client.list().await?;
    let has = |name: &str| listed_files.iter().any(|file| file == name);
    let no_model = || HubError::NoModel {
        repo: id.repo.clone(),
        revision: id.revision.clone(),
        has: listed(listed_files.iter().map(String::as_str)),
    };
    let mut chosen = model_files(has, true).ok_or_else(no_model)?;
    if chosen.config == CONFIG {
        let config = client.get(&commit, CONFIG).await?;
        match model_files(has, false) {
            Some(other) if !is_clip(&config) => chosen = other,
            _ => check(&config)?,
        }
    }
    client.get(&commit, chosen.config).await?;
    let weights = client.get(&commit, chosen.weights).await?;
    let mut files = vec![chosen.config.to_owned(), chosen.weights.to_owned()];
    if chosen.is_index {
        for shard in list_shards(&weights)? {
            if !has(&shard) {
                return Err(HubError::NoFile { file: shard, repo: id.repo.clone(), revision: id.revision.clone() });
            }
            client.get(&commit, &shard).await?;
            files.push(shard);
        }
    }
    // The revision is found in the cache by its name from now on.
    let path = cache.root().join("refs").join(&id.revision);
    cache.set_ref(&id.revision, &commit).map_err(|source| HubError::Cache { path, source })?;
    progress::note(format_args!("{} at {} is commit {commit}", id.repo, id.revision));
    let folder = cache.snapshot(&commit);
    Ok(Snapshot { repo: id.repo.clone(), revision: id.revision.clone(), commit, folder, files })
}

/// Returns the first names of a list, and their number.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.len() {
        0 => "nothing".to_owned(),
        n if n > NAMES_MAX => format!("{}, ... ({n} files)", names[..NAMES_MAX].join(", ")),
        _ => names.join(", "),
    }
}

impl ModelId {
    /// Parses `hf:owner/name[@revision]`. Returns None if the text does not begin with `hf:`.
    fn parse(model: &str) -> Result<Option<ModelId>, HubError> {
        let Some(id) = model.strip_prefix(SCHEME) else {
            return Ok(None);
        };
        let (repo, revision) = id.split_once('@').unwrap_or((id, "main"));
        let names: Vec<&str> = repo.split('/').collect();
        let revision_ok = revision.split('/').all(is_name);
        if names.len() != 2 || !names.into_iter().all(is_name) || !revision_ok {
            return Err(HubError::BadId { id: model.to_owned() });
        }
        Ok(Some(ModelId { repo: repo.to_owned(), revision: revision.to_owned() }))
    }

    /// Returns the model if all its files are in the cache, in any supported form.
    fn cached(&self, cache: &RepoCache) -> Result<Option<Snapshot>, HubError> {
        let Some(commit) = cache.commit(&self.revision) else { return Ok(None) };
        let folder = cache.snapshot(&commit);
        let has = |name: &str| folder.join(name).exists();
        let is_whole = |name: &str| {
            let shards = || list_shards(&folder.join(name)).is_ok_and(|shards| shards.iter().all(|shard| has(shard)));
            has(name) && (!name.ends_with(".index.json") || shards())
        };
        let Some(chosen) = model_files(is_whole, is_clip(&folder.join(CONFIG))) else { return Ok(None) };
        let mut files = vec![chosen.config.to_owned(), chosen.weights.to_owned()];
        if chosen.is_index {
            files.extend(list_shards(&folder.join(chosen.weights))?);
        }
        Ok(Some(Snapshot { repo: self.repo.clone(), revision: self.revision.clone(), commit, folder, files }))
    }

    /// Returns the configuration's path if the cache has it.
    fn cached_config(&self, cache: &RepoCache) -> Option<PathBuf> {
        Some(cache.snapshot(&cache.commit(&self.revision)?).join(CONFIG)).filter(|path| path.exists())
    }

    /// Returns what the cache has of the model, for a message.
    fn describe_cached(&self, cache: &RepoCache) -> String {
        let revisions = cache.revisions();
        match cache.commit(&self.revision) {
            Some(commit) => {
                let entries = std::fs::read_dir(cache.snapshot(&commit)).into_iter().flatten().flatten();
                let mut names: Vec<String> =
                    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
                names.sort();
                format!("it has {}", listed(names.iter().map(String::as_str)))
            }
            None if revisions.is_empty() => "it has nothing of this repository".to_owned(),
            None => format!("it has the revision {}", revisions.join(", ")),
        }
    }
}

/// Returns which of a repository's files are the model. `is_clip`: whether its `config.json` describes a CLIP of
/// transformers.
fn model_files(has: impl Fn(&str) -> bool, is_clip: bool) -> Option<PreferredFiles> {
    preferred_files(|name| has(name) && (is_clip || name != CONFIG))
}

/// Returns whether a `config.json` describes a CLIP of transformers. In an OpenCLIP repository it may be another
/// library's.
fn is_clip(config: &Path) -> bool {
    let text = std::fs::read(config).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    value.get("model_type").and_then(serde_json::Value::as_str) == Some("clip")
}

/// Returns whether `name` is a valid part of an id: the hub allows it, and it stays within the cache's folder.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && !name.starts_with('.') && !name.contains("..") && name.chars().all(allowed)
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} (commit {})", self.repo, self.revision, self.commit)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use dqa_pipelines::Retryable;

    use super::*;

    const COMMIT: &str = "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268";
    const CLIP: &str = r#"{"model_type": "clip"}"#;
    const SINGLE: &str = "model.safetensors";
    const INDEX: &str = "model.safetensors.index.json";

    /// A cache with the given files of `owner/name` at `main`.
    fn cache(files: &[(&str, &str)]) -> (tempfile::TempDir, HubSettings) {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("models--owner--name");
        fs::create_dir_all(root.join("refs")).unwrap();
        fs::write(root.join("refs/main"), COMMIT).unwrap();
        let snapshot = root.join("snapshots").join(COMMIT);
        fs::create_dir_all(&snapshot).unwrap();
        for (name, content) in files {
            fs::write(snapshot.join(name), content).unwrap();
        }
        let settings = HubSettings {
            endpoint: "http://127.0.0.1:9".parse().unwrap(),
            cache: home.path().to_owned(),
            token: None,
            offline: Some("--offline"),
            idle_max: Duration::from_secs(1),
            initial_backoff: Duration::ZERO,
        };
        (home, settings)
    }

    fn offline(settings: &HubSettings, id: &str) -> Result<PathBuf, HubError> {
        snapshot_with(settings, id, &|_| Ok(())).map(|snapshot| snapshot.folder)
    }

    fn resolve(model: &str) -> Result<PathBuf, HubError> {
        match super::snapshot(model, true, &|_| Ok(()))? {
            Some(snapshot) => Ok(snapshot.weights()),
            None => existing_path(model),
        }
    }

    #[test]
    fn a_whole_snapshot_is_found_by_branch_and_by_commit() {
        let (home, cache) = cache(&[(CONFIG, CLIP), (SINGLE, "")]);
        let snapshot = home.path().join("models--owner--name/snapshots").join(COMMIT);
        assert_eq!(offline(&cache, "hf:owner/name").unwrap(), snapshot);
        assert_eq!(offline(&cache, "hf:owner/name@main").unwrap(), snapshot);
        assert_eq!(offline(&cache, &format!("hf:owner/name@{COMMIT}")).unwrap(), snapshot);
    }

    #[test]
    fn shards_are_found_through_their_index() {
        let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
        let all = [(CONFIG, CLIP), (INDEX, index), ("model-1.safetensors", ""), ("model-2.safetensors", "")];
        let (_home, whole) = cache(&all);
        assert!(offline(&whole, "hf:owner/name").is_ok());
        let (_home, partial) = cache(&all[..3]);
        let error = offline(&partial, "hf:owner/name").unwrap_err();
        assert!(matches!(&error, HubError::NotCached { has, .. } if has.contains("model-1.safetensors")), "{error}");
    }

    #[test]
    fn what_is_whole_is_taken_before_what_is_preferred() {
        let index = r#"{"weight_map": {"a": "model-1.safetensors"}}"#;
        let (_home, settings) = cache(&[(CONFIG, CLIP), (INDEX, index), ("pytorch_model.bin", "")]);
        let found = snapshot_with(&settings, "hf:owner/name", &|_| Ok(())).unwrap();
        assert_eq!(found.files, [CONFIG, "pytorch_model.bin"]);
    }

    #[test]
    fn open_clips_files_are_taken_beside_another_librarys() {
        let timm = r#"{"architecture": "vit_base_patch32_clip_224"}"#;
        let open_clip = [("open_clip_config.json", "{}"), ("open_clip_model.safetensors", "")];
        let (_home, settings) = cache(&[&[(CONFIG, timm), (SINGLE, "")], &open_clip[..]].concat());
        let found = snapshot_with(&settings, "hf:owner/name", &|_| Ok(())).unwrap();
        assert_eq!(found.files, ["open_clip_config.json", "open_clip_model.safetensors"]);
        let (_home, settings) = cache(&[&[(CONFIG, CLIP), (SINGLE, "")], &open_clip[..]].concat());
        let found = snapshot_with(&settings, "hf:owner/name", &|_| Ok(())).unwrap();
        assert_eq!(found.files, [CONFIG, SINGLE]);
    }

    #[test]
    fn offline_says_what_is_there_and_how_to_get_the_rest() {
        let (home, cache) = cache(&[(CONFIG, CLIP)]);
        let text = |id| offline(&cache, id).unwrap_err().to_string().replace(home.path().to_str().unwrap(), "CACHE");
        assert_eq!(
            text("hf:owner/name"),
            "the cache `CACHE` has no complete model of `owner/name` at `main` (it has config.json), and dqa is offline \
             (--offline); run it once without, or `hf download owner/name --revision main` on a machine with a network \
             and copy the cache"
        );
        assert!(text("hf:owner/name@refs/pr/21").contains("`owner/name` at `refs/pr/21` (it has the revision main)"));
        assert!(text("hf:other/name").contains("`other/name` at `main` (it has nothing of this repository)"));
    }

    #[test]
    fn a_bad_id_is_told() {
        for id in [
            "hf:",
            "hf:name",
            "hf:a/b/c",
            "hf:owner/",
            "hf:owner/name@",
            "hf:../name",
            "hf:owner/na me",
            "hf:owner/name@../../x",
            "hf:owner/name@refs//x",
        ] {
            let error = resolve(id).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "`{id}` is not the name of a model of the hub: write `hf:owner/name` or `hf:owner/name@revision`"
                )
            );
            assert!(!error.is_retryable());
        }
    }

    #[test]
    fn anything_else_is_a_path() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(resolve(home.path().to_str().unwrap()).unwrap(), home.path());
        let said = |model: &str| resolve(model).unwrap_err().to_string();
        assert_eq!(
            said("owner/name"),
            "there is no file or folder `owner/name`; the hub's model is written `hf:owner/name`"
        );
        let of_url = said("https://huggingface.co/openai/clip-vit-base-patch32/tree/main");
        assert!(of_url.ends_with("the hub's model is written `hf:openai/clip-vit-base-patch32`"), "{of_url}");
        assert!(said("models/clip/x.pt").ends_with("a model of the hub is written `hf:owner/name`"));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let sentence = |why: Refusal| why.sentence("owner/name", "main", "https://huggingface.co/");
        let gated = sentence(Refusal::Gated { token: None });
        assert_eq!(
            gated,
            "it is gated: ask for access at https://huggingface.co/owner/name, then set HF_TOKEN, or run `hf auth login`"
        );
        assert!(sentence(Refusal::Repository { token: Some("HF_TOKEN".to_owned()) }).contains("the token of HF_TOKEN"));
    }
}
