//! Where a model's directory is: a path, or a repository of the Hugging Face hub in the hub's own cache.
//!
//! It fetches whole files of one commit and returns the directory that they lie in. It does not open them, and it
//! never takes another revision or another model than the one that was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;

const SCHEME: &str = "hf:";
const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// The hub answers 5xx and cuts connections now and then; hf-hub waits up to 10 s between tries.
const RETRIES: usize = 3;

/// A repository of the hub at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ModelId {
    /// `owner/name`
    repo: String,
    /// A branch, a tag, a `refs/pr/N` or a commit.
    revision: String,
}

/// Why there is no directory for a model. [`HubError::retry`] says whether another try may help.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// `hf:` is not followed by a repository and, at will, a revision.
    #[error("`{id}` is no model of the hub: write `hf:owner/name` or `hf:owner/name@revision`")]
    BadId {
        /// As given.
        id: String,
    },
    /// A path leads nowhere.
    #[error("there is no model directory or file `{}`; a model of the hub is written `hf:owner/name`", path.display())]
    NoDirectory {
        /// As given.
        path: PathBuf,
    },
    /// Offline, and files are not in the cache.
    #[error(
        "the cache `{}` lacks {files} of `{repo}` at `{revision}` and dqa is offline; run once without offline, or \
         `hf download {repo} {files} --revision {revision}` on a machine with a network and copy the cache",
        cache.display()
    )]
    NotCached {
        /// The files that are not there, with spaces between.
        files: String,
        /// `owner/name`
        repo: String,
        /// As asked for.
        revision: String,
        /// The cache's directory.
        cache: PathBuf,
    },
    /// The repository has no such file at this revision.
    #[error(
        "`{repo}` has no `{file}` at the revision `{revision}`; look for one that has, such as the conversion that is \
         offered as a pull request (`hf:{repo}@refs/pr/N`), or convert the weights and give the directory's path"
    )]
    NoFile {
        /// The file.
        file: String,
        /// `owner/name`
        repo: String,
        /// As asked for.
        revision: String,
    },
    /// The hub did not give what was asked for.
    #[error("cannot get {what} of `{repo}` at `{revision}` from the hub")]
    Fetch {
        /// A file, or the list of files.
        what: String,
        /// `owner/name`
        repo: String,
        /// As asked for.
        revision: String,
        /// What the hub's client said.
        source: Box<ApiError>,
    },
    /// The cache cannot be read or written.
    #[error("cannot use `{}` in the hub's cache", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A repository's index of shards is not of the form `{"weight_map": {"tensor": "file"}}`.
    #[error("`{}` is no index of shards", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
}

impl HubError {
    /// Whether another try may help: when the hub could not be asked, or answered that it is busy.
    pub fn retry(&self) -> bool {
        let HubError::Fetch { source, .. } = self else {
            return false;
        };
        // The client's error of a refused request (unknown, private, gated) is told from others by its text alone;
        // 429 is the hub asking to come later.
        let text = source.to_string();
        !text.contains("http status: 4") || text.contains("http status: 429")
    }
}

/// The directory of a model: `model` itself when it is a path, or where the files of `hf:owner/name[@revision]` lie in
/// the hub's cache (`HF_HOME`, else `~/.cache/huggingface`). What is in the cache is taken without asking the hub, as
/// the hub's own tools do; what is not is downloaded, unless `offline`.
///
/// # Errors
/// Every [`HubError`].
pub fn resolve(model: &str, offline: bool) -> Result<PathBuf, HubError> {
    // A path never waits for the environment: a machine may have no home.
    let Some(id) = ModelId::parse(model)? else {
        return local(model);
    };
    resolve_in(&Cache::from_env(), &id, offline)
}

fn local(model: &str) -> Result<PathBuf, HubError> {
    let path = PathBuf::from(model);
    if path.exists() { Ok(path) } else { Err(HubError::NoDirectory { path }) }
}

fn resolve_in(cache: &Cache, id: &ModelId, offline: bool) -> Result<PathBuf, HubError> {
    let absent = match id.cached(cache)? {
        Ok(directory) => return Ok(directory),
        Err(absent) => absent,
    };
    if offline {
        let (repo, revision) = (id.repo.clone(), id.revision.clone());
        return Err(HubError::NotCached { files: absent.join(" "), repo, revision, cache: cache.path().clone() });
    }
    id.download(cache)
}

impl ModelId {
    /// `None` for what does not begin with `hf:`.
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

    fn at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repo.clone(), RepoType::Model, revision.to_owned())
    }

    /// The directory in the cache if all files are there, else those that are not.
    fn cached(&self, cache: &Cache) -> Result<Result<PathBuf, Vec<String>>, HubError> {
        let root = self.folder(cache);
        // A branch is a file that holds a commit; a commit is a directory of its own.
        let commit = match std::fs::read_to_string(root.join("refs").join(&self.revision)) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) => self.revision.clone(),
        };
        let directory = root.join("snapshots").join(commit);
        let index = directory.join(INDEX);
        let mut needed = vec![CONFIG.to_owned()];
        if !directory.join(SINGLE).exists() && index.exists() {
            needed.extend(shards(&index)?);
        } else {
            needed.push(SINGLE.to_owned());
        }
        needed.retain(|file| !directory.join(file).exists());
        Ok(if needed.is_empty() { Ok(directory) } else { Err(needed) })
    }

    /// The repository's part of the cache.
    fn folder(&self, cache: &Cache) -> PathBuf {
        cache.path().join(self.at(&self.revision).folder_name())
    }

    /// Asks the hub for the revision's commit and its list of files, then gets what is needed of that very commit:
    /// a push meanwhile cannot mix two versions in one directory.
    fn download(&self, cache: &Cache) -> Result<PathBuf, HubError> {
        let api = ApiBuilder::from_env()
            .with_cache_dir(cache.path().clone())
            .with_retries(RETRIES)
            .build()
            .map_err(|source| self.fetch("a connection for files", source))?;
        let info =
            api.repo(self.at(&self.revision)).info().map_err(|source| self.fetch("the list of files", source))?;
        let listed: BTreeSet<&str> = info.siblings.iter().map(|file| file.rfilename.as_str()).collect();
        let no_file = |file: &str| HubError::NoFile {
            file: file.to_owned(),
            repo: self.repo.clone(),
            revision: self.revision.clone(),
        };
        if !listed.contains(CONFIG) {
            return Err(no_file(CONFIG));
        }
        let repo = api.repo(self.at(&info.sha));
        let config = self.get(&repo, CONFIG)?;
        if listed.contains(SINGLE) {
            self.get(&repo, SINGLE)?;
        } else if listed.contains(INDEX) {
            for shard in shards(&self.get(&repo, INDEX)?)? {
                if !listed.contains(shard.as_str()) {
                    return Err(no_file(&shard));
                }
                self.get(&repo, &shard)?;
            }
        } else {
            return Err(no_file(SINGLE));
        }
        // So that the revision is found by its name from now on.
        cache
            .repo(self.at(&self.revision))
            .create_ref(&info.sha)
            .map_err(|source| HubError::Cache { path: self.folder(cache).join("refs").join(&self.revision), source })?;
        Ok(config.parent().expect("a file is in a directory").to_owned())
    }

    fn get(&self, repo: &ApiRepo, file: &str) -> Result<PathBuf, HubError> {
        repo.get(file).map_err(|source| self.fetch(&format!("`{file}`"), source))
    }

    fn fetch(&self, what: &str, source: ApiError) -> HubError {
        HubError::Fetch {
            what: what.to_owned(),
            repo: self.repo.clone(),
            revision: self.revision.clone(),
            source: Box::new(source),
        }
    }
}

/// Whether `name` can be one part of an id: what the hub allows, and no way out of the cache's directory.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && !name.starts_with('.') && !name.contains("..") && name.chars().all(allowed)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that an index names.
fn shards(index: &Path) -> Result<BTreeSet<String>, HubError> {
    let text = std::fs::read_to_string(index).map_err(|source| HubError::Cache { path: index.to_owned(), source })?;
    let parsed: Index =
        serde_json::from_str(&text).map_err(|source| HubError::Index { path: index.to_owned(), source })?;
    Ok(parsed.weight_map.into_values().collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const COMMIT: &str = "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268";

    /// A cache with the given files of `owner/name` at `main`.
    fn cache(files: &[(&str, &str)]) -> (tempfile::TempDir, Cache) {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("models--owner--name");
        fs::create_dir_all(root.join("refs")).unwrap();
        fs::write(root.join("refs/main"), COMMIT).unwrap();
        let snapshot = root.join("snapshots").join(COMMIT);
        fs::create_dir_all(&snapshot).unwrap();
        for (name, content) in files {
            fs::write(snapshot.join(name), content).unwrap();
        }
        let cache = Cache::new(home.path().to_owned());
        (home, cache)
    }

    fn offline(cache: &Cache, id: &str) -> Result<PathBuf, HubError> {
        resolve_in(cache, &ModelId::parse(id).unwrap().unwrap(), true)
    }

    #[test]
    fn a_whole_snapshot_is_found_by_branch_and_by_commit() {
        let (home, cache) = cache(&[(CONFIG, "{}"), (SINGLE, "")]);
        let snapshot = home.path().join("models--owner--name/snapshots").join(COMMIT);
        assert_eq!(offline(&cache, "hf:owner/name").unwrap(), snapshot);
        assert_eq!(offline(&cache, "hf:owner/name@main").unwrap(), snapshot);
        assert_eq!(offline(&cache, &format!("hf:owner/name@{COMMIT}")).unwrap(), snapshot);
    }

    #[test]
    fn shards_are_found_through_their_index() {
        let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
        let all = [(CONFIG, "{}"), (INDEX, index), ("model-1.safetensors", ""), ("model-2.safetensors", "")];
        let (_home, whole) = cache(&all);
        assert!(offline(&whole, "hf:owner/name").is_ok());
        let (_home, partial) = cache(&all[..3]);
        let error = offline(&partial, "hf:owner/name").unwrap_err();
        assert!(matches!(&error, HubError::NotCached { files, .. } if files == "model-2.safetensors"), "{error}");
    }

    #[test]
    fn offline_says_what_is_absent_and_how_to_get_it() {
        let (home, cache) = cache(&[(CONFIG, "{}")]);
        let text = |id| offline(&cache, id).unwrap_err().to_string().replace(home.path().to_str().unwrap(), "CACHE");
        assert_eq!(
            text("hf:owner/name"),
            "the cache `CACHE` lacks model.safetensors of `owner/name` at `main` and dqa is offline; run once without \
             offline, or `hf download owner/name model.safetensors --revision main` on a machine with a network and \
             copy the cache"
        );
        let both = "the cache `CACHE` lacks config.json model.safetensors of";
        assert!(text("hf:owner/name@refs/pr/21").starts_with(&format!("{both} `owner/name` at `refs/pr/21` and")));
        assert!(text("hf:other/name").starts_with(&format!("{both} `other/name` at `main` and")));
    }

    #[test]
    fn a_hub_that_cannot_be_asked_is_worth_another_try() {
        let id = ModelId::parse("hf:owner/name").unwrap().unwrap();
        assert!(id.fetch("the list of files", ApiError::LockAcquisition(PathBuf::new())).retry());
        let error = HubError::NoFile { file: SINGLE.to_owned(), repo: id.repo, revision: id.revision };
        assert!(!error.retry());
        assert_eq!(
            error.to_string(),
            "`owner/name` has no `model.safetensors` at the revision `main`; look for one that has, such as the \
             conversion that is offered as a pull request (`hf:owner/name@refs/pr/N`), or convert the weights and \
             give the directory's path"
        );
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
            let error = resolve(id, true).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`{id}` is no model of the hub: write `hf:owner/name` or `hf:owner/name@revision`")
            );
            assert!(!error.retry());
        }
    }

    #[test]
    fn anything_else_is_a_directory() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(resolve(home.path().to_str().unwrap(), true).unwrap(), home.path());
        assert_eq!(
            resolve("owner/name", true).unwrap_err().to_string(),
            "there is no model directory or file `owner/name`; a model of the hub is written `hf:owner/name`"
        );
    }
}
