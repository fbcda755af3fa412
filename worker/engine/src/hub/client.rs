//! Requests to the hub: the list of a repository's files, and the files. The token is sent to the hub only, never to a
//! server that it redirects to. Every wait is bounded.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{Response, StatusCode, Url, redirect};
use serde::Deserialize;

use super::cache::{self, RepoCache};
use super::download::{Download, LINKED_ETAG, RemoteFile};
use super::retry::{AttemptError, Backoff};
use super::settings::HubSettings;
use super::{HubError, ModelId, Refusal};

const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A list of files is small: an answer that takes longer is given up.
const LIST_MAX: Duration = Duration::from_secs(60);
const LIST_BYTES_MAX: usize = 32 << 20;
const REDIRECTS_MAX: usize = 10;

const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
const ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The files of a repository at a revision.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<String>,
}

/// A client for one repository.
pub(super) struct HubClient<'a> {
    http: reqwest::Client,
    settings: &'a HubSettings,
    id: &'a ModelId,
    cache: &'a RepoCache,
}

impl<'a> HubClient<'a> {
    pub(super) fn new(
        settings: &'a HubSettings,
        id: &'a ModelId,
        cache: &'a RepoCache,
    ) -> Result<HubClient<'a>, HubError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("dqa/", env!("CARGO_PKG_VERSION"), "; rust"))
            .connect_timeout(CONNECT_MAX)
            .read_timeout(settings.idle_max)
            // Redirects are followed here: their headers describe the file, and their target decides who sees the
            // token.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|source| HubError::unreachable(&settings.endpoint, "the hub", source))?;
        Ok(HubClient { http, settings, id, cache })
    }

    /// Returns the revision's commit and its files.
    pub(super) async fn list(&self) -> Result<Listing, HubError> {
        let url = self.url(&["api", "models"], &["revision", &self.id.revision]);
        let what = "the list of files";
        let mut backoff = Backoff::new(self.settings.initial_backoff);
        loop {
            match self.try_list(&url, what).await {
                Ok(listing) => return Ok(listing),
                Err(failure) => backoff.wait(failure, false).await?,
            }
        }
    }

    async fn try_list(&self, url: &Url, what: &str) -> Result<Listing, AttemptError> {
        #[derive(Deserialize)]
        struct Info {
            sha: String,
            #[serde(default)]
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let received = async {
            let (mut response, url) = self.follow(url.clone(), what).await?;
            let mut text = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(|source| self.interrupted(what, source))? {
                text.extend_from_slice(&piece);
                if text.len() > LIST_BYTES_MAX {
                    return Err(HubError::not_a_hub(&url, "an endless answer").into());
                }
            }
            Ok::<_, AttemptError>((text, url))
        };
        let (text, url) = match tokio::time::timeout(LIST_MAX, received).await {
            Ok(answer) => answer?,
            Err(_) => {
                let error = HubError::Slow { endpoint: self.settings.endpoint.to_string() };
                return Err(AttemptError::Transient { error, wait: None });
            }
        };
        let info: Info = serde_json::from_slice(&text).map_err(|_| {
            let is_page = text.trim_ascii_start().first() == Some(&b'<');
            HubError::not_a_hub(&url, if is_page { "a web page" } else { "something other than a list of files" })
        })?;
        if !cache::is_commit(&info.sha) {
            return Err(HubError::not_a_hub(&url, "a list of files without a commit").into());
        }
        Ok(Listing { commit: info.sha, files: info.siblings.into_iter().map(|file| file.rfilename).collect() })
    }

    /// Returns the file's path in the snapshot of `commit`; downloads it if it is missing.
    pub(super) async fn get(&self, commit: &str, file: &str) -> Result<PathBuf, HubError> {
        let path = self.cache.snapshot(commit).join(file);
        if path.exists() {
            return Ok(path);
        }
        let remote = RemoteFile { repo: &self.id.repo, endpoint: &self.settings.endpoint, commit, file };
        let mut download = Download::new(self.cache, remote);
        let mut backoff = Backoff::new(self.settings.initial_backoff);
        loop {
            match self.try_get(&mut download).await {
                Ok(etag) => {
                    return self.cache.link(commit, file, &etag).map_err(|source| HubError::Cache { path, source });
                }
                Err(failure) => {
                    let made_progress = download.made_progress();
                    backoff.wait(failure, made_progress).await?;
                }
            }
        }
    }

    /// Downloads the file's blob into the cache, and returns the blob's name.
    async fn try_get(&self, download: &mut Download<'_>) -> Result<String, AttemptError> {
        let RemoteFile { commit, file, .. } = download.remote;
        let what = format!("`{file}`");
        let mut names = vec!["resolve", commit];
        names.extend(file.split('/'));
        let mut url = self.url(&[], &names);
        for _ in 0..REDIRECTS_MAX {
            let from = download.len();
            let response = self.send(&url, from, &what).await?;
            if let Some(target) = location(&url, &response) {
                let describes_file = response.headers().contains_key(LINKED_ETAG) || !self.settings.is_hub(&target);
                if describes_file && self.settings.is_hub(&url) {
                    // Only the hub's redirect describes the file; a storage server does not know it.
                    download.identify(response.headers(), true, &url).await?;
                    if let Some(etag) = download.finish()? {
                        return Ok(etag);
                    }
                }
                url = target;
                continue;
            }
            if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                download.discard_partial()?; // it is not a part of that file
            }
            let response = self.check_status(&url, response, &what)?;
            if !download.is_known() {
                download.identify(response.headers(), false, &url).await?;
                if let Some(etag) = download.finish()? {
                    return Ok(etag);
                }
                if download.len() > from {
                    return Err(AttemptError::Restart); // from the end of an earlier process's part
                }
            }
            download.receive(response, from, &what).await?;
            return download.finish()?.ok_or_else(|| {
                let error = HubError::Short { file: file.to_owned(), repo: self.id.repo.clone() };
                AttemptError::Transient { error, wait: None }
            });
        }
        Err(HubError::not_a_hub(&url, "too many redirects").into())
    }

    /// Returns the response behind all redirects, and its address.
    async fn follow(&self, mut url: Url, what: &str) -> Result<(Response, Url), AttemptError> {
        for _ in 0..REDIRECTS_MAX {
            let response = self.send(&url, 0, what).await?;
            match location(&url, &response) {
                Some(target) => url = target,
                None => return Ok((self.check_status(&url, response, what)?, url)),
            }
        }
        Err(HubError::not_a_hub(&url, "too many redirects").into())
    }

    async fn send(&self, url: &Url, from: u64, what: &str) -> Result<Response, AttemptError> {
        // The received length is compared with the file's, so nothing may be compressed in transit.
        let mut request = self.http.get(url.clone()).header(header::ACCEPT_ENCODING, "identity");
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        if let Some(token) = self.settings.token.as_ref().filter(|_| self.settings.is_hub(url)) {
            request = request.header(header::AUTHORIZATION, token.header.clone());
        }
        request.send().await.map_err(|source| self.interrupted(what, source))
    }

    /// Returns a successful response, and turns another one into an error.
    fn check_status(&self, url: &Url, response: Response, what: &str) -> Result<Response, AttemptError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let headers = response.headers();
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let busy = |wait| HubError::Busy {
            what: what.to_owned(),
            repo: self.id.repo.clone(),
            host: host(url),
            status: status.as_u16(),
            wait,
        };
        // A storage server's address is signed for some minutes: the next attempt gets another one.
        let is_transient = matches!(status.as_u16(), 408 | 416 | 429 | 500 | 502 | 503 | 504);
        if is_transient || !self.settings.is_hub(url) {
            let wait = retry_after(headers);
            return Err(AttemptError::Transient { error: busy(wait), wait });
        }
        let code = text(ERROR_CODE);
        let token = self.settings.token.as_ref().map(|token| token.origin.clone());
        let why = match (status, code) {
            (_, "RevisionNotFound") => Refusal::Revision,
            (_, "EntryNotFound") => {
                let (repo, revision) = (self.id.repo.clone(), self.id.revision.clone());
                return Err(HubError::NoFile { file: what.trim_matches('`').to_owned(), repo, revision }.into());
            }
            (_, "GatedRepo") => Refusal::Gated { token },
            (StatusCode::UNAUTHORIZED, _) if token.is_some() && code != "RepoNotFound" => Refusal::Token { token },
            (StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND, _) => Refusal::Repository { token },
            (StatusCode::FORBIDDEN, _) => Refusal::Forbidden { message: text(ERROR_MESSAGE).to_owned(), token },
            _ => return Err(HubError::not_a_hub(url, &format!("the status {status}")).into()),
        };
        let (repo, revision) = (self.id.repo.clone(), self.id.revision.clone());
        let endpoint = self.settings.endpoint.to_string();
        Err(HubError::Refused { repo, revision, endpoint, why: Box::new(why) }.into())
    }

    fn interrupted(&self, what: &str, source: reqwest::Error) -> AttemptError {
        AttemptError::Transient { error: HubError::unreachable(&self.settings.endpoint, what, source), wait: None }
    }

    /// Returns the address `ENDPOINT/before/OWNER/NAME/after`.
    fn url(&self, before: &[&str], after: &[&str]) -> Url {
        let mut url = self.settings.endpoint.clone();
        let mut segments = url.path_segments_mut().expect("its scheme is http or https");
        segments.pop_if_empty().extend(before).extend(self.id.repo.split('/')).extend(after);
        drop(segments);
        url
    }
}

/// Returns the target of a redirect.
fn location(url: &Url, response: &Response) -> Option<Url> {
    if !response.status().is_redirection() {
        return None;
    }
    let target = url.join(response.headers().get(header::LOCATION)?.to_str().ok()?).ok()?;
    matches!(target.scheme(), "http" | "https").then_some(target)
}

fn host(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    }
}

/// Returns the wait that the server asks for: seconds or a date, else the rest of a rate limit's window.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(after) = text(header::RETRY_AFTER) {
        if let Ok(seconds) = after.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::parse(after).ok()?.timestamp();
        let seconds = date.as_second() - Timestamp::now().as_second();
        return Some(Duration::from_secs(seconds.max(0) as u64));
    }
    // `"api";r=0;t=55`: requests left, and seconds until there are more.
    let limit = text(RATE_LIMIT)?;
    let field = |name: &str| limit.split(';').find_map(|field| field.trim().strip_prefix(name)?.parse::<u64>().ok());
    if field("r=") == Some(0) { field("t=").map(Duration::from_secs) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn a_wait_is_seconds_a_date_or_the_rest_of_a_window() {
        let after = |value: &str| retry_after(&headers(header::RETRY_AFTER, value));
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let late = after("Fri, 31 Dec 2100 23:59:59 GMT");
        assert!(late.is_some_and(|wait| wait > Duration::from_secs(1 << 30)), "{late:?}");
        assert_eq!(after("soon"), None);
        let limit = |value: &str| retry_after(&headers(RATE_LIMIT, value));
        assert_eq!(limit("\"api\";r=0;t=55"), Some(Duration::from_secs(55)));
        assert_eq!(limit("\"api\";r=3;t=55"), None);
    }
}
