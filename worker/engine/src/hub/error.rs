//! Errors of the hub. Each message says what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dqa_model::{ConfigError, WeightsError};
use dqa_pipelines::Retryable;
use reqwest::Url;

use super::{ModelId, SCHEME};

/// Why a model's files are not available. Reaching a hub that was busy or away, or fetching a damaged
/// file again, may succeed ([`Retryable`]).
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// `hf:` is not followed by a repository and an optional revision.
    #[error("`{id}` is not the name of a model of the hub: write `hf:owner/name` or `hf:owner/name@revision`")]
    BadId {
        /// As given.
        id: String,
    },
    /// A path does not exist.
    #[error("there is no file or folder `{}`{}", path.display(), suggested(path))]
    NoPath {
        /// As given.
        path: PathBuf,
    },
    /// The user's home directory is unknown.
    #[error("the hub's cache has no folder: none of HF_HUB_CACHE, HF_HOME and HOME is set")]
    Home,
    /// HF_ENDPOINT is not an address.
    #[error("HF_ENDPOINT is `{value}`, which is not an address: write it as `https://huggingface.co`")]
    Endpoint {
        /// As given.
        value: String,
    },
    /// A token cannot be sent.
    #[error("the token in {origin} has characters that are invalid in a token: take a new one from the hub's settings")]
    Token {
        /// The variable or the file.
        origin: String,
    },
    /// The token's file exists and cannot be read.
    #[error(
        "cannot read the hub's token in `{}`; HF_HUB_DISABLE_IMPLICIT_TOKEN=1 goes without it, for public models",
        path.display()
    )]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// dqa is offline, and the cache lacks files of the model.
    #[error(
        "the cache `{}` has no complete model of `{repo}` at `{revision}` ({has}), and dqa is offline ({by}); run it once \
         without, or `hf download {repo} --revision {revision}` on a machine with a network and copy the cache",
        cache.display()
    )]
    NotCached {
        /// The files of the model in the cache.
        has: String,
        /// `owner/name`
        repo: String,
        /// The revision as given.
        revision: String,
        /// The cache's folder.
        cache: PathBuf,
        /// The reason for being offline: `--offline`, or a variable.
        by: &'static str,
    },
    /// The repository has no weights in a supported form.
    #[error(
        "`{repo}` at the revision `{revision}` has no model that dqa reads: it has {has}, and needs config.json with \
         model.safetensors or pytorch_model.bin (or shards with their index), or open_clip_config.json with \
         open_clip_model.safetensors or open_clip_pytorch_model.bin; another revision may have them (`hf:{repo}@refs/pr/N`)"
    )]
    NoModel {
        /// `owner/name`
        repo: String,
        /// The revision as given.
        revision: String,
        /// The repository's files.
        has: String,
    },
    /// dqa does not support the configuration of the repository's model; no weights were downloaded.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The repository has no such file, although its index or its list names it.
    #[error("`{repo}` has no `{file}` at the revision `{revision}`, although it is named there")]
    NoFile {
        /// The file.
        file: String,
        /// `owner/name`
        repo: String,
        /// The revision as given.
        revision: String,
    },
    /// The hub denies access.
    #[error("the hub refuses `{repo}` at `{revision}`: {}", why.sentence(repo, revision, endpoint))]
    Refused {
        /// `owner/name`
        repo: String,
        /// The revision as given.
        revision: String,
        /// The hub's address.
        endpoint: String,
        /// The reason.
        why: Box<Refusal>,
    },
    /// The hub or its storage server is temporarily unavailable.
    #[error("{host} answers with the status {status} to {what} of `{repo}`{}", waiting(wait))]
    Busy {
        /// A file, or the list of files.
        what: String,
        /// `owner/name`
        repo: String,
        /// The server.
        host: String,
        /// HTTP status.
        status: u16,
        /// The wait that the server asks for.
        wait: Option<Duration>,
    },
    /// The connection cannot be established, or was interrupted.
    #[error("cannot get {what} from the hub {endpoint} (HF_ENDPOINT is its address, HTTPS_PROXY that of a proxy)")]
    Unreachable {
        /// A file, or the list of files.
        what: String,
        /// The hub's address.
        endpoint: String,
        /// The cause.
        source: Box<reqwest::Error>,
    },
    /// The list of files does not arrive in time.
    #[error("the hub {endpoint} takes more than a minute to list files")]
    Slow {
        /// The hub's address.
        endpoint: String,
    },
    /// The server is not a hub.
    #[error(
        "{url} answers with {found}: it is not a Hugging Face hub, or a proxy or a login page is between; see HF_ENDPOINT"
    )]
    NotAHub {
        /// The requested address without signatures.
        url: String,
        /// What the server sent.
        found: String,
    },
    /// A file ended too early, without an error.
    #[error("`{file}` of `{repo}` ended too early")]
    Short {
        /// The file.
        file: String,
        /// `owner/name`
        repo: String,
    },
    /// A file differs from the hub's description; it was deleted.
    #[error("`{file}` of `{repo}` arrived as {found}, and was thrown away")]
    Corrupt {
        /// The file.
        file: String,
        /// `owner/name`
        repo: String,
        /// The received and the expected content.
        found: String,
    },
    /// The cache cannot be read or written.
    #[error("cannot use `{}` in the hub's cache (HF_HUB_CACHE puts it elsewhere)", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A repository's index of shards is invalid.
    #[error(transparent)]
    Index(#[from] WeightsError),
}

/// Why the hub denies access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The repository does not exist, or is hidden from users without access.
    Repository {
        /// The variable or the file of the token, if one was sent.
        token: Option<String>,
    },
    /// The repository has no such revision.
    Revision,
    /// The owner grants access on request.
    Gated {
        /// The variable or the file of the token, if one was sent.
        token: Option<String>,
    },
    /// The token is invalid.
    Token {
        /// The variable or the file of the token.
        token: Option<String>,
    },
    /// Another reason.
    Forbidden {
        /// The hub's message.
        message: String,
        /// The variable or the file of the token, if one was sent.
        token: Option<String>,
    },
}

impl Refusal {
    pub(super) fn sentence(&self, repo: &str, revision: &str, endpoint: &str) -> String {
        const LOGIN: &str = "set HF_TOKEN, or run `hf auth login`";
        let page = format!("{}/{repo}", endpoint.trim_end_matches('/'));
        match self {
            Refusal::Repository { token: None } => {
                format!(
                    "there is no such model (compare the spelling at {page}), or it is private or gated: then {LOGIN}"
                )
            }
            Refusal::Repository { token: Some(token) } => format!(
                "there is no such model (compare the spelling at {page}), or the token of {token} has no access to it"
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
                    "the token of {token} is invalid or has expired: take a new one, or remove it if the model is public"
                )
            }
            Refusal::Forbidden { message, token } => {
                let reason = if message.is_empty() { "the hub gives no reason" } else { message };
                let token = token.as_ref().map_or(String::new(), |token| format!(" (with the token of {token})"));
                format!("forbidden: {reason}{token}")
            }
        }
    }
}

/// Returns the end of the sentence for a path that looks like a model of the hub.
fn suggested(path: &Path) -> String {
    let text = path.to_string_lossy();
    let prefixes = ["https://huggingface.co/", "http://huggingface.co/", "https://hf.co/", "hf://"];
    let bare = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(&text).trim_end_matches('/');
    let bare = bare.strip_suffix("/tree/main").unwrap_or(bare).replace("/tree/", "@");
    match ModelId::parse(&format!("{SCHEME}{bare}")) {
        Ok(Some(_)) => format!("; the hub's model is written `hf:{bare}`"),
        _ => "; a model of the hub is written `hf:owner/name`".to_owned(),
    }
}

fn waiting(wait: &Option<Duration>) -> String {
    wait.map_or(String::new(), |wait| format!(", and asks to come back in {} s", wait.as_secs()))
}

impl Retryable for HubError {
    fn is_retryable(&self) -> bool {
        matches!(
            self,
            HubError::Unreachable { .. }
                | HubError::Busy { .. }
                | HubError::Slow { .. }
                | HubError::Short { .. }
                | HubError::Corrupt { .. }
        )
    }
}

impl HubError {
    pub(super) fn unreachable(endpoint: &Url, what: &str, source: reqwest::Error) -> HubError {
        // The address of a storage server is signed: it gives access to the file, so it is not shown.
        let source = source.without_url();
        HubError::Unreachable { what: what.to_owned(), endpoint: endpoint.to_string(), source: Box::new(source) }
    }

    /// Returns the error for an answer that no hub gives. The query of `url` is not shown: it may be a signature.
    pub(super) fn not_a_hub(url: &Url, found: &str) -> HubError {
        let mut url = url.clone();
        url.set_query(None);
        HubError::NotAHub { url: url.to_string(), found: found.to_owned() }
    }

    pub(super) fn is_no_connection(&self) -> bool {
        matches!(self, HubError::Unreachable { source, .. } if source.is_connect())
    }
}
