//! The download of a file into the cache: into a partial file next to the blob, which gets the blob's name once its
//! length and digest are those that the hub stated. A download resumes a partial file that an earlier process left. One
//! process writes at a time if the file system has locks.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{Response, StatusCode, Url};

use super::HubError;
use super::cache::{self, RepoCache};
use super::progress::{DownloadProgress, note};
use super::retry::AttemptError;

/// Longer than a server may be silent: after this the other process's download is stuck.
const LOCK_IDLE_MAX: Duration = Duration::from_secs(120);
const LOCK_POLL_EVERY: Duration = Duration::from_millis(200);
const REPO_COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
pub(super) const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");

/// A file of a repository at a commit.
#[derive(Clone, Copy)]
pub(super) struct RemoteFile<'a> {
    /// `owner/name`
    pub(super) repo: &'a str,
    /// The hub's address.
    pub(super) endpoint: &'a Url,
    pub(super) commit: &'a str,
    pub(super) file: &'a str,
}

/// A file on its way into the cache.
pub(super) struct Download<'a> {
    cache: &'a RepoCache,
    pub(super) remote: RemoteFile<'a>,
    content: Option<Content>,
    /// Largest length so far, so that a server that breaks off at the same place each time is given up.
    len_max: u64,
    corrupted: u32,
}

/// The content as the hub describes it, and the partial file.
struct Content {
    etag: String,
    size: Option<u64>,
    partial: PathBuf,
    /// Held while this process writes `partial`. None if another process holds it; then `partial` is this process's
    /// own.
    _lock: Option<File>,
}

impl<'a> Download<'a> {
    /// Creates a download of unknown content.
    pub(super) fn new(cache: &'a RepoCache, remote: RemoteFile<'a>) -> Download<'a> {
        Download { cache, remote, content: None, len_max: 0, corrupted: 0 }
    }

    /// Returns whether the hub has described the content.
    pub(super) fn is_known(&self) -> bool {
        self.content.is_some()
    }

    /// Returns the length of the partial file.
    pub(super) fn len(&self) -> u64 {
        self.content.as_ref().and_then(|content| fs::metadata(&content.partial).ok()).map_or(0, |found| found.len())
    }

    /// Returns whether the partial file is longer than at any earlier call.
    pub(super) fn made_progress(&mut self) -> bool {
        let len = self.len();
        let made_progress = len > self.len_max;
        self.len_max = self.len_max.max(len);
        made_progress
    }

    /// Reads the file's ETag and length from a response's headers. The `Content-Length` of a redirect is ignored: it is
    /// the redirect's own.
    pub(super) async fn identify(
        &mut self,
        headers: &HeaderMap,
        is_redirect: bool,
        url: &Url,
    ) -> Result<(), AttemptError> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        if text(REPO_COMMIT).is_some_and(|commit| commit != self.remote.commit) {
            return Err(HubError::not_a_hub(url, "a file of another commit").into());
        }
        let etag = text(LINKED_ETAG).or_else(|| text(header::ETAG));
        let etag = etag.map(|etag| etag.trim().trim_start_matches("W/").trim_matches('"'));
        let Some(etag) = etag.filter(|etag| cache::is_blob_name(etag)) else {
            if is_redirect {
                return Ok(()); // to a mirror, whose own response describes the file
            }
            return Err(HubError::not_a_hub(url, "a file without an ETag").into());
        };
        if self.content.as_ref().is_some_and(|content| content.etag == etag) {
            return Ok(());
        }
        let length = text(header::CONTENT_LENGTH).filter(|_| !is_redirect);
        let size = text(LINKED_SIZE).or(length).and_then(|size| size.parse().ok());
        self.content = None;
        let blobs = self.cache.blob("");
        fs::create_dir_all(&blobs).map_err(|source| HubError::Cache { path: blobs, source })?;
        let lock = lock(self.cache, etag, self.remote.file).await?;
        let name = match &lock {
            Some(_) => format!("{etag}.incomplete"),
            None => format!("{etag}.{}.incomplete", std::process::id()),
        };
        let partial = self.cache.blob(&name);
        self.content = Some(Content { etag: etag.to_owned(), size, partial, _lock: lock });
        Ok(())
    }

    /// Deletes the partial file.
    pub(super) fn discard_partial(&self) -> Result<(), HubError> {
        let Some(content) = &self.content else { return Ok(()) };
        match fs::remove_file(&content.partial) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(HubError::Cache { path: content.partial.clone(), source })
            }
            _ => Ok(()),
        }
    }

    /// Appends a response's body to the partial file.
    pub(super) async fn receive(&mut self, mut response: Response, from: u64, what: &str) -> Result<(), AttemptError> {
        let content = self.content.as_ref().expect("the file was identified by the headers");
        let start =
            if response.status() == StatusCode::PARTIAL_CONTENT { range_start(response.headers()) } else { Some(0) };
        let Some(mut position) = start.filter(|start| *start <= from) else {
            self.discard_partial()?;
            let error = HubError::not_a_hub(response.url(), "another part of the file than was requested");
            return Err(AttemptError::Transient { error, wait: None });
        };
        let cannot = |source| HubError::Cache { path: content.partial.clone(), source };
        let mut out =
            File::options().create(true).write(true).truncate(false).open(&content.partial).map_err(cannot)?;
        // The bytes behind the start are not known to be the same.
        out.set_len(position).and_then(|()| out.seek(SeekFrom::Start(position))).map_err(cannot)?;
        let total = content.size.or_else(|| Some(position + response.content_length()?));
        let mut progress =
            DownloadProgress::new(&format!("{} of {}", self.remote.file, self.remote.repo), position, total);
        let interrupted = |source| AttemptError::Transient {
            error: HubError::unreachable(self.remote.endpoint, what, source),
            wait: None,
        };
        while let Some(piece) = response.chunk().await.map_err(interrupted)? {
            out.write_all(&piece).map_err(cannot)?;
            position += piece.len() as u64;
            progress.set_position(position);
            if content.size.is_some_and(|size| position > size) {
                break; // it is not this file
            }
        }
        // After a loss of power a blob's name must not stand for a file without its content.
        out.sync_all().map_err(cannot)?;
        Ok(())
    }

    /// Returns the blob's name if the blob exists, or if the partial file is complete and becomes it. A partial file
    /// that is too long or has another digest is deleted.
    pub(super) fn finish(&mut self) -> Result<Option<String>, AttemptError> {
        let Some(Content { etag, size, partial, .. }) = &self.content else { return Ok(None) };
        let blob = self.cache.blob(etag);
        if blob.exists() {
            return Ok(Some(etag.clone()));
        }
        if !partial.exists() || size.is_some_and(|size| self.len() < size) {
            return Ok(None);
        }
        let cannot = |source| HubError::Cache { path: partial.clone(), source };
        let found = if size.is_some_and(|size| self.len() > size) {
            Some(format!("{} bytes and more, not {}", self.len(), size.unwrap_or_default()))
        } else if is_sha256(etag) {
            let digest = sha256(partial).map_err(cannot)?;
            (digest != *etag).then(|| format!("a content with the SHA-256 {digest}, not {etag}"))
        } else {
            None
        };
        let Some(found) = found else {
            fs::rename(partial, &blob).map_err(cannot)?;
            return Ok(Some(etag.clone()));
        };
        self.discard_partial()?;
        self.corrupted += 1;
        self.len_max = 0;
        let error = HubError::Corrupt { file: self.remote.file.to_owned(), repo: self.remote.repo.to_owned(), found };
        // The first time an earlier process's part or the transfer may be at fault; the second time it is the server.
        if self.corrupted > 1 { Err(error.into()) } else { Err(AttemptError::Transient { error, wait: None }) }
    }
}

/// Waits for the lock on a blob. Returns None if another process holds it without progress, or if the file system has
/// no locks: this process then downloads into a partial file of its own.
async fn lock(cache: &RepoCache, etag: &str, file: &str) -> Result<Option<File>, HubError> {
    let open = cache.lock_file(etag);
    let lock = open.map_err(|source| HubError::Cache { path: cache.root().join("../.locks"), source })?;
    let mut last_growth = (0, tokio::time::Instant::now());
    let mut is_noted = false;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Some(lock)),
            Err(fs::TryLockError::Error(_)) => return Ok(None),
            Err(fs::TryLockError::WouldBlock) => {}
        }
        if !is_noted {
            note(format_args!("another process downloads {file}; waiting for it"));
            is_noted = true;
        }
        let len = partial_bytes(cache, etag);
        if len != last_growth.0 {
            last_growth = (len, tokio::time::Instant::now());
        } else if last_growth.1.elapsed() > LOCK_IDLE_MAX {
            note(format_args!("the other process does not go on with {file}; downloading it here"));
            return Ok(None);
        }
        tokio::time::sleep(LOCK_POLL_EVERY).await;
    }
}

/// Returns the length of all partial files of a blob, of all processes.
fn partial_bytes(cache: &RepoCache, etag: &str) -> u64 {
    let entries = fs::read_dir(cache.blob("")).into_iter().flatten().flatten();
    let partial = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(etag) && name.ends_with(".incomplete")
    });
    partial.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}

/// Returns the first position of a range: 100 for `bytes 100-199/200`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

/// Returns whether an ETag is a SHA-256 digest. That of a file in Git LFS is; that of another file is Git's own.
fn is_sha256(etag: &str) -> bool {
    etag.len() == 64 && etag.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            n => context.update(&piece[..n]),
        }
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_RANGE, value.parse().unwrap())])
    }

    #[test]
    fn a_range_begins_where_it_says() {
        assert_eq!(range_start(&range("bytes 100-199/200")), Some(100));
        assert_eq!(range_start(&range("bytes */200")), None);
    }

    #[test]
    fn the_digest_of_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc").unwrap();
        let digest = sha256(file.path()).unwrap();
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(is_sha256(&digest) && !is_sha256("ba7816bf8f01cfea414140de5dae2223b00361a3"));
    }
}
