//! The hub's address, its cache and the token, from the variables that the hub's own tools read, in the order of the
//! Python library `huggingface_hub` (its `constants.py` and `utils/_auth.py`). An empty variable counts as unset.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::HubError;

const ENDPOINT: &str = "https://huggingface.co";
/// Longest silence within a response. The Python library waits 10 s and gives up; dqa resumes.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Wait before the second attempt; each next wait is twice as long.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);

/// How to reach the hub, and where its cache is.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// The hub's address, without a `/` at its end.
    pub endpoint: Url,
    /// The cache's folder, with a folder `models--OWNER--NAME` for each repository.
    pub cache: PathBuf,
    /// The access token, if there is one.
    pub token: Option<HubToken>,
    /// The reason to send no requests, if there is one: `--offline`, or a variable's name.
    pub offline: Option<&'static str>,
    /// Longest silence of a server within a response.
    pub idle_max: Duration,
    /// Wait before the second attempt.
    pub initial_backoff: Duration,
}

/// An access token; it is never printed.
#[derive(Clone)]
pub struct HubToken {
    /// `Bearer` and the token.
    pub(super) header: HeaderValue,
    /// The variable or the file that the token was read from.
    pub(super) origin: String,
}

impl fmt::Debug for HubToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HubToken(from {})", self.origin)
    }
}

impl HubToken {
    /// Creates a token. Returns None for an empty text.
    ///
    /// # Errors
    /// Fails with [`HubError::Token`] if the text cannot be sent in a header.
    pub fn new(text: &str, origin: &str) -> Result<Option<HubToken>, HubError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let unusable = || HubError::Token { origin: origin.to_owned() };
        if text.contains(char::is_whitespace) {
            return Err(unusable());
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| unusable())?;
        header.set_sensitive(true);
        Ok(Some(HubToken { header, origin: origin.to_owned() }))
    }
}

/// Returns a variable's value by its name.
type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl HubSettings {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// Fails with [`HubError::Home`], [`HubError::Endpoint`], [`HubError::Token`] or [`HubError::TokenFile`].
    pub fn from_env() -> Result<HubSettings, HubError> {
        HubSettings::read(&|name| std::env::var_os(name))
    }

    fn read(variables: Variables) -> Result<HubSettings, HubError> {
        let home = folder("HF_HOME", variables).map_or_else(|| default_home(variables), Ok);
        let cache = match folder("HF_HUB_CACHE", variables).or_else(|| folder("HUGGINGFACE_HUB_CACHE", variables)) {
            Some(cache) => cache,
            None => home.as_ref().map_err(|()| HubError::Home)?.join("hub"),
        };
        let idle_max = text("HF_HUB_DOWNLOAD_TIMEOUT", variables).and_then(|seconds| seconds.trim().parse().ok());
        Ok(HubSettings {
            endpoint: endpoint(variables)?,
            cache,
            token: token(home.ok().as_deref(), variables)?,
            offline: offline(variables),
            idle_max: idle_max.filter(|seconds| *seconds > 0).map_or(IDLE_MAX, Duration::from_secs),
            initial_backoff: INITIAL_BACKOFF,
        })
    }

    /// Returns whether an address is the hub's and may receive the token: the endpoint's own, or the public hub's, to
    /// which mirrors redirect.
    pub(super) fn is_hub(&self, url: &Url) -> bool {
        let public = url.scheme() == "https"
            && url.port_or_known_default() == Some(443)
            && matches!(url.host_str(), Some("huggingface.co" | "hf.co"));
        public || url.origin() == self.endpoint.origin()
    }
}

fn value(name: &str, variables: Variables) -> Option<OsString> {
    variables(name).filter(|value| !value.is_empty())
}

fn text(name: &str, variables: Variables) -> Option<String> {
    value(name, variables)?.into_string().ok()
}

fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
}

fn offline(variables: Variables) -> Option<&'static str> {
    // As in the Python library: TRANSFORMERS_OFFLINE counts only if HF_HUB_OFFLINE is unset.
    let names = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];
    let name = names.into_iter().find(|name| value(name, variables).is_some())?;
    text(name, variables).is_some_and(|value| is_true(&value)).then_some(name)
}

fn endpoint(variables: Variables) -> Result<Url, HubError> {
    let text = value("HF_ENDPOINT", variables).map_or_else(|| ENDPOINT.into(), |v| v.to_string_lossy().into_owned());
    let invalid = || HubError::Endpoint { value: text.clone() };
    let url = Url::parse(text.trim().trim_end_matches('/')).map_err(|_| invalid())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(invalid()) }
}

/// Returns the default folder of `huggingface_hub`. Fails if the user has no home directory.
fn default_home(variables: Variables) -> Result<PathBuf, ()> {
    let caches = match folder("XDG_CACHE_HOME", variables) {
        Some(caches) => caches,
        None => user_home(variables).ok_or(())?.join(".cache"),
    };
    Ok(caches.join("huggingface"))
}

fn user_home(variables: Variables) -> Option<PathBuf> {
    value("HOME", variables).map(PathBuf::from).or_else(std::env::home_dir)
}

/// Returns the folder that a variable names, with `~` and variables in it expanded, as the Python library does.
fn folder(name: &str, variables: Variables) -> Option<PathBuf> {
    let value = value(name, variables)?;
    let Some(text) = value.to_str() else {
        return Some(PathBuf::from(value));
    };
    let text = expand(text, variables);
    match (text.strip_prefix('~'), user_home(variables)) {
        (Some(""), Some(home)) => Some(home),
        (Some(rest), Some(home)) if rest.starts_with('/') => Some(home.join(rest.trim_start_matches('/'))),
        _ => Some(PathBuf::from(text)),
    }
}

/// Expands `$NAME` and `${NAME}`; those of unknown variables stay.
fn expand(text: &str, variables: Variables) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        let (name, len) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        match variables(name).filter(|_| !name.is_empty()).and_then(|value| value.into_string().ok()) {
            Some(value) => expanded.push_str(&value),
            None => expanded.push_str(&rest[dollar..dollar + 1 + len]),
        }
        rest = &after[len..];
    }
    expanded + rest
}

fn token(home: Option<&Path>, variables: Variables) -> Result<Option<HubToken>, HubError> {
    if text("HF_HUB_DISABLE_IMPLICIT_TOKEN", variables).is_some_and(|value| is_true(&value)) {
        return Ok(None);
    }
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
        if let Some(value) = value(name, variables) {
            let text = value.into_string().map_err(|_| HubError::Token { origin: name.to_owned() })?;
            // As in the Python library: a blank variable ends the search for a variable, not for the file.
            match HubToken::new(&text, name)? {
                Some(token) => return Ok(Some(token)),
                None => break,
            }
        }
    }
    let Some(path) = folder("HF_TOKEN_PATH", variables).or_else(|| Some(home?.join("token"))) else {
        return Ok(None);
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => HubToken::new(&text, &format!("the file {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HubError::TokenFile { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<HubSettings, HubError> {
        let found = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        HubSettings::read(&found)
    }

    fn cache(variables: &[(&str, &str)]) -> String {
        read(variables).unwrap().cache.display().to_string()
    }

    #[test]
    fn the_cache_is_where_the_python_library_has_it() {
        let all = [
            ("HF_HUB_CACHE", "/a"),
            ("HUGGINGFACE_HUB_CACHE", "/b"),
            ("HF_HOME", "/c"),
            ("XDG_CACHE_HOME", "/d"),
            ("HOME", "/e"),
        ];
        let expected = ["/a", "/b", "/c/hub", "/d/huggingface/hub", "/e/.cache/huggingface/hub"];
        for (from, expected) in expected.into_iter().enumerate() {
            assert_eq!(cache(&all[from..]), expected);
        }
        assert_eq!(cache(&[("HF_HUB_CACHE", ""), ("HF_HOME", "/c")]), "/c/hub", "an empty variable is none");
        assert_eq!(cache(&[("HF_HOME", "~/hf"), ("HOME", "/e")]), "/e/hf/hub");
        assert_eq!(cache(&[("HF_HOME", "$SCRATCH/hf"), ("SCRATCH", "/s")]), "/s/hf/hub");
        assert_eq!(cache(&[("HF_HUB_CACHE", "/x/${USER}$NONE/y"), ("USER", "u")]), "/x/u$NONE/y");
    }

    #[test]
    fn offline_is_said_by_a_true_variable() {
        let offline = |variables: &[(&str, &str)]| {
            let all = [&[("HOME", "/e")], variables].concat();
            read(&all).unwrap().offline
        };
        for value in ["1", "true", "YES", "On"] {
            assert_eq!(offline(&[("HF_HUB_OFFLINE", value)]), Some("HF_HUB_OFFLINE"), "{value}");
        }
        for value in ["0", "false", "", "no"] {
            assert_eq!(offline(&[("HF_HUB_OFFLINE", value)]), None, "{value}");
        }
        assert_eq!(offline(&[("TRANSFORMERS_OFFLINE", "1")]), Some("TRANSFORMERS_OFFLINE"));
        assert_eq!(offline(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")]), None);
    }

    #[test]
    fn the_endpoint_is_a_url() {
        let endpoint = |value: &str| read(&[("HOME", "/e"), ("HF_ENDPOINT", value)]).map(|s| s.endpoint.to_string());
        assert_eq!(endpoint("").unwrap(), "https://huggingface.co/");
        assert_eq!(endpoint("https://hf-mirror.com/").unwrap(), "https://hf-mirror.com/");
        assert_eq!(
            endpoint("hf-mirror.com").unwrap_err().to_string(),
            "HF_ENDPOINT is `hf-mirror.com`, which is not an address: write it as `https://huggingface.co`"
        );
    }

    #[test]
    fn the_token_is_of_the_first_place_that_has_one() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().to_str().unwrap();
        let origin = |variables: &[(&str, &str)]| {
            let all = [&[("HF_HOME", folder)], variables].concat();
            read(&all).map(|settings| settings.token.map(|token| token.origin))
        };
        assert_eq!(origin(&[]).unwrap(), None);
        std::fs::write(home.path().join("token"), "hf_file\n").unwrap();
        let file = Some(format!("the file {folder}/token"));
        assert_eq!(origin(&[]).unwrap(), file);
        assert_eq!(origin(&[("HUGGING_FACE_HUB_TOKEN", "hf_b")]).unwrap().unwrap(), "HUGGING_FACE_HUB_TOKEN");
        assert_eq!(
            origin(&[("HUGGING_FACE_HUB_TOKEN", "hf_b"), ("HF_TOKEN", " hf_a\n")]).unwrap().unwrap(),
            "HF_TOKEN"
        );
        assert_eq!(origin(&[("HF_TOKEN_PATH", "/nowhere/token")]).unwrap(), None);
        assert_eq!(origin(&[("HF_TOKEN", "hf_a"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).unwrap(), None);
        let error = origin(&[("HF_TOKEN", "hf_secret\nmore")]).unwrap_err().to_string();
        assert!(error.contains("HF_TOKEN") && !error.contains("hf_secret"), "{error}");
    }

    #[test]
    fn a_token_is_shown_to_the_hub_alone() {
        let settings = read(&[("HOME", "/e"), ("HF_ENDPOINT", "http://127.0.0.1:8000/hub")]).unwrap();
        let is_hub = |url: &str| settings.is_hub(&Url::parse(url).unwrap());
        assert!(is_hub("http://127.0.0.1:8000/elsewhere") && is_hub("https://huggingface.co/x"));
        for other in
            ["http://127.0.0.1:8001/", "https://127.0.0.1:8000/", "http://huggingface.co/", "https://cdn.hf.co/"]
        {
            assert!(!is_hub(other), "{other}");
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let settings = read(&[("HOME", "/e"), ("HF_TOKEN", "hf_secret")]).unwrap();
        assert!(!format!("{settings:?}").contains("hf_secret"));
    }
}
