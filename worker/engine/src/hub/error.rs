//! Why there is no model of the hub: each a sentence that says what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dqa_model::{ConfigError, WeightsError};

use super::{ModelId, SCHEME};

/// Why there are no files of a model. [`HubError::retry`] says whether another try may help.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// `hf:` is not followed by a repository and, at will, a revision.
    #[error("`{id}` is not the name of a model of the hub: write `hf:owner/name` or `hf:owner/name@revision`")]
    BadId {
        /// As given.
        id: String,
    },
    /// A path leads nowhere.
    #[error("there is no file or folder `{}`{}", path.display(), suggested(path))]
    NoPath {
        /// As given.
        path: PathBuf,
    },
    /// Nobody's home is known.
    #[error("the hub's cache has no place: none of HF_HUB_CACHE, HF_HOME and HOME is set")]
    Home,
    /// A variable is no address.
    #[error("HF_ENDPOINT is `{value}`, which is not an address: write it as `https://huggingface.co`")]
    Endpoint {
        /// As given.
        value: String,
    },
    /// A token cannot be sent.
    #[error("the token in {origin} has characters that no token has: take a new one from the hub's settings")]
    Token {
        /// The variable or the file.
        origin: String,
    },
    /// The token's file is there and cannot be read.
    #[error(
        "cannot read the hub's token in `{}`; HF_HUB_DISABLE_IMPLICIT_TOKEN=1 does without, for what is public",
        path.display()
    )]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Offline, and files are not in the cache.
    #[error(
        "the cache `{}` has no complete model of `{repo}` at `{revision}` ({has}), and dqa is offline ({by}); run it once \
         without, or `hf download {repo} --revision {revision}` on a machine with a network and copy the cache",
        cache.display()
    )]
    NotCached {
        /// What is there of it.
        has: String,
        /// `owner/name`
        repo: String,
        /// As asked for.
        revision: String,
        /// The cache's folder.
        cache: PathBuf,
        /// Who said so: `--offline`, or a variable.
        by: &'static str,
    },
    /// The repository has no weights that are read.
    #[error(
        "`{repo}` at the revision `{revision}` has no model that dqa reads: it has {has}, and needs config.json with \
         model.safetensors or pytorch_model.bin (or shards with their index), or open_clip_config.json with \
         open_clip_model.safetensors or open_clip_pytorch_model.bin; another revision may have them (`hf:{repo}@refs/pr/N`)"
    )]
    NoModel {
        /// `owner/name`
        repo: String,
        /// As asked for.
        revision: String,
        /// Its files.
        has: String,
    },
    /// The repository's configuration is of a model that dqa does not run; no weights were downloaded.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The repository has no such file, although its index or its list names it.
    #[error("`{repo}` has no `{file}` at the revision `{revision}`, although it is named there")]
    NoFile {
        /// The file.
        file: String,
        /// `owner/name`
        repo: String,
        /// As asked for.
        revision: String,
    },
    /// The hub does not give it to whoever asks.
    #[error("the hub refuses `{repo}` at `{revision}`: {}", why.sentence(repo, revision, endpoint))]
    Refused {
        /// `owner/name`
        repo: String,
        /// As asked for.
        revision: String,
        /// The hub's address.
        endpoint: String,
        /// Why.
        why: Box<Refusal>,
    },
    /// The hub, or the server that has its files, answers that it cannot answer now.
    #[error("{host} answers with the status {status} to {what} of `{repo}`{}", waiting(wait))]
    Busy {
        /// A file, or the list of files.
        what: String,
        /// `owner/name`
        repo: String,
        /// The server.
        host: String,
        /// Of HTTP.
        status: u16,
        /// How long it wants to be left alone.
        wait: Option<Duration>,
    },
    /// There is no connection, or it broke off.
    #[error("cannot get {what} from the hub {endpoint} (HF_ENDPOINT is its address, HTTPS_PROXY that of a proxy)")]
    Unreachable {
        /// A file, or the list of files.
        what: String,
        /// The hub's address.
        endpoint: String,
        /// What happened.
        source: Box<reqwest::Error>,
    },
    /// The list of files does not come to its end.
    #[error("the hub {endpoint} takes more than a minute to list files")]
    Slow {
        /// The hub's address.
        endpoint: String,
    },
    /// Something else answers there.
    #[error(
        "{url} answers with {found}: it is not a Hugging Face hub, or a proxy or a login page is between; see HF_ENDPOINT"
    )]
    NotAHub {
        /// What was asked, without signatures.
        url: String,
        /// What came.
        found: String,
    },
    /// A file ended too early, without a word.
    #[error("`{file}` of `{repo}` ended too early")]
    Short {
        /// The file.
        file: String,
        /// `owner/name`
        repo: String,
    },
    /// A file is not the one that the hub announced; it is not in the cache.
    #[error("`{file}` of `{repo}` arrived as {found}, and was thrown away")]
    Corrupt {
        /// The file.
        file: String,
        /// `owner/name`
        repo: String,
        /// What came and what should have.
        found: String,
    },
    /// The cache cannot be read or written.
    #[error("cannot use `{}` in the hub's cache (HF_HUB_CACHE puts it elsewhere)", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A repository's index of shards cannot be used.
    #[error(transparent)]
    Index(#[from] WeightsError),
}

/// Why the hub refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is none, or nobody without a right to it may know; `token` is where the token came from.
    Repository {
        /// A variable or a file.
        token: Option<String>,
    },
    /// The repository has no such revision.
    Revision,
    /// Its owner wants to be asked first.
    Gated {
        /// Where the token came from.
        token: Option<String>,
    },
    /// The token is not valid.
    Token {
        /// Where it came from.
        token: Option<String>,
    },
    /// Something else.
    Forbidden {
        /// What the hub said.
        said: String,
        /// Where the token came from.
        token: Option<String>,
    },
}

impl Refusal {
    pub(super) fn sentence(&self, repo: &str, revision: &str, endpoint: &str) -> String {
        const LOGIN: &str = "set HF_TOKEN, or run `hf auth login`";
        let page = format!("{}/{repo}", endpoint.trim_end_matches('/'));
        match self {
            Refusal::Repository { token: None } => {
                format!("there is no such model (is it spelled so at {page}?), or it is private or gated; then {LOGIN}")
            }
            Refusal::Repository { token: Some(token) } => format!(
                "there is no such model (is it spelled so at {page}?), or the token of {token} has no right to see it"
            ),
            Refusal::Revision => {
                format!("it has no branch, tag or commit `{revision}`; {page}/tree/main lists those that it has")
            }
            Refusal::Gated { token: None } => {
                format!("it is gated: ask for access at {page}, then {LOGIN}")
            }
            Refusal::Gated { token: Some(token) } => {
                format!("it is gated, and the account of the token of {token} has no access: ask for it at {page}")
            }
            Refusal::Token { token } => {
                let token = token.as_deref().unwrap_or("this user");
                format!(
                    "the token of {token} is not valid or has expired: take a new one, or remove it for what is public"
                )
            }
            Refusal::Forbidden { said, token } => {
                let said = if said.is_empty() { "it says no more" } else { said };
                let token = token.as_ref().map_or(String::new(), |token| format!(" (asked with the token of {token})"));
                format!("forbidden: {said}{token}")
            }
        }
    }
}

/// A sentence's end for a path that looks like a model of the hub.
fn suggested(path: &Path) -> String {
    let text = path.to_string_lossy();
    let of_url = ["https://huggingface.co/", "http://huggingface.co/", "https://hf.co/", "hf://"];
    let bare = of_url.iter().find_map(|start| text.strip_prefix(start)).unwrap_or(&text).trim_end_matches('/');
    let bare = bare.strip_suffix("/tree/main").unwrap_or(bare).replace("/tree/", "@");
    match ModelId::parse(&format!("{SCHEME}{bare}")) {
        Ok(Some(_)) => format!("; the hub's model is written `hf:{bare}`"),
        _ => "; a model of the hub is written `hf:owner/name`".to_owned(),
    }
}

fn waiting(wait: &Option<Duration>) -> String {
    wait.map_or(String::new(), |wait| format!(", and asks to come back in {} s", wait.as_secs()))
}

impl HubError {
    /// Whether another try may help: when the hub could not be asked, answered that it is busy, or sent something broken.
    pub fn retry(&self) -> bool {
        matches!(
            self,
            HubError::Unreachable { .. }
                | HubError::Busy { .. }
                | HubError::Slow { .. }
                | HubError::Short { .. }
                | HubError::Corrupt { .. }
        )
    }

    pub(super) fn is_no_connection(&self) -> bool {
        matches!(self, HubError::Unreachable { source, .. } if source.is_connect())
    }
}
