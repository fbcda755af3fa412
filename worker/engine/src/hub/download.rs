//! A file's way into the cache: written beside its blob, and given the blob's name when its length and its digest are those that the
//! hub stated. What an earlier process left is gone on with. One process writes at a time, where the file system has locks.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{Response, StatusCode, Url};

use super::HubError;
use super::cache::{self, RepoCache};
use super::client::{Client, LINKED_ETAG};
use super::patience::Failure;
use super::progress::{Progress, note};

/// Longer than a server's silence: after that another process's download does not go on.
const LOCK_IDLE_MAX: Duration = Duration::from_secs(120);
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(200);
const REPO_COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");

/// A file on its way into the cache.
pub(super) struct Download<'a> {
    cache: &'a RepoCache,
    pub(super) file: &'a str,
    pub(super) commit: &'a str,
    content: Option<Content>,
    /// The most bytes that were there, so that a server that breaks off at the same place each time is given up.
    furthest: u64,
    corrupted: u32,
}

/// What the hub says of a file's content, and where it is written.
struct Content {
    etag: String,
    size: Option<u64>,
    partial: PathBuf,
    /// Held while this process writes `partial`; None where another one does, which has another `partial`.
    _lock: Option<File>,
}

impl<'a> Download<'a> {
    /// Nothing is known of its content yet.
    pub(super) fn new(cache: &'a RepoCache, commit: &'a str, file: &'a str) -> Download<'a> {
        Download { cache, file, commit, content: None, furthest: 0, corrupted: 0 }
    }

    /// Whether its content is known.
    pub(super) fn is_known(&self) -> bool {
        self.content.is_some()
    }

    /// Bytes that are here.
    pub(super) fn len(&self) -> u64 {
        self.content.as_ref().and_then(|content| fs::metadata(&content.partial).ok()).map_or(0, |found| found.len())
    }

    /// Whether there is more than ever before.
    pub(super) fn gained(&mut self) -> bool {
        let len = self.len();
        let gained = len > self.furthest;
        self.furthest = self.furthest.max(len);
        gained
    }

    /// Takes from an answer's headers what the file is. Of a redirect, its length is the redirect's own.
    pub(super) async fn learn(
        &mut self,
        headers: &HeaderMap,
        is_redirect: bool,
        url: &Url,
        client: &Client<'_>,
    ) -> Result<(), Failure> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        if text(REPO_COMMIT).is_some_and(|commit| commit != self.commit) {
            return Err(client.not_a_hub(url, "a file of another commit").into());
        }
        let etag = text(LINKED_ETAG).or_else(|| text(header::ETAG));
        let etag = etag.map(|etag| etag.trim().trim_start_matches("W/").trim_matches('"'));
        let Some(etag) = etag.filter(|etag| cache::is_blob_name(etag)) else {
            if is_redirect {
                return Ok(()); // to a mirror, which says it itself
            }
            return Err(client.not_a_hub(url, "a file without an ETag").into());
        };
        if self.content.as_ref().is_some_and(|content| content.etag == etag) {
            return Ok(());
        }
        let length = text(header::CONTENT_LENGTH).filter(|_| !is_redirect);
        let size = text(LINKED_SIZE).or(length).and_then(|size| size.parse().ok());
        self.content = None;
        let blobs = self.cache.blob("");
        fs::create_dir_all(&blobs).map_err(|source| HubError::Cache { path: blobs, source })?;
        let lock = lock(self.cache, etag, self.file).await?;
        let name = match &lock {
            Some(_) => format!("{etag}.incomplete"),
            None => format!("{etag}.{}.incomplete", std::process::id()),
        };
        let partial = self.cache.blob(&name);
        self.content = Some(Content { etag: etag.to_owned(), size, partial, _lock: lock });
        Ok(())
    }

    /// Removes what is here.
    pub(super) fn forget(&self) -> Result<(), HubError> {
        let Some(content) = &self.content else { return Ok(()) };
        match fs::remove_file(&content.partial) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(HubError::Cache { path: content.partial.clone(), source })
            }
            _ => Ok(()),
        }
    }

    /// Writes an answer's body behind what is here.
    pub(super) async fn receive(
        &mut self,
        mut response: Response,
        from: u64,
        client: &Client<'_>,
        what: &str,
    ) -> Result<(), Failure> {
        let content = self.content.as_ref().expect("what the file is was learned from the headers");
        let at =
            if response.status() == StatusCode::PARTIAL_CONTENT { range_start(response.headers()) } else { Some(0) };
        let Some(mut at) = at.filter(|at| *at <= from) else {
            self.forget()?;
            let error = client.not_a_hub(response.url(), "another part of the file than was asked for");
            return Err(Failure::Again { error, wait: None });
        };
        let cannot = |source| HubError::Cache { path: content.partial.clone(), source };
        let mut out =
            File::options().create(true).write(true).truncate(false).open(&content.partial).map_err(cannot)?;
        // From here on what is behind is not known to be the same.
        out.set_len(at).and_then(|()| out.seek(SeekFrom::Start(at))).map_err(cannot)?;
        let total = content.size.or_else(|| Some(at + response.content_length()?));
        let mut progress = Progress::new(&format!("{} of {}", self.file, client.id.repo), at, total);
        while let Some(piece) = response.chunk().await.map_err(|source| client.broken(what, source))? {
            out.write_all(&piece).map_err(cannot)?;
            at += piece.len() as u64;
            progress.at(at);
            if content.size.is_some_and(|size| at > size) {
                break; // it is not this file
            }
        }
        // A machine that loses power must not keep a blob's name without its content.
        out.sync_all().map_err(cannot)?;
        Ok(())
    }

    /// The blob's name, if it is there, or if what is here is the whole file. What is too long or another content goes.
    pub(super) fn finish(&mut self, client: &Client<'_>) -> Result<Option<String>, Failure> {
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
        self.forget()?;
        self.corrupted += 1;
        self.furthest = 0;
        let error = HubError::Corrupt { file: self.file.to_owned(), repo: client.id.repo.clone(), found };
        // Once may be a part of an earlier process, or a cable; twice is the same content again.
        if self.corrupted > 1 { Err(error.into()) } else { Err(Failure::Again { error, wait: None }) }
    }
}

/// The right to write a blob, once nobody else has it. None where another process has it and does not go on, or where the
/// file system has no locks: this one then downloads for itself.
async fn lock(cache: &RepoCache, etag: &str, file: &str) -> Result<Option<File>, HubError> {
    let open = cache.lock_file(etag);
    let lock = open.map_err(|source| HubError::Cache { path: cache.root().join("../.locks"), source })?;
    let mut looked = (0, tokio::time::Instant::now());
    let mut is_said = false;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Some(lock)),
            Err(fs::TryLockError::Error(_)) => return Ok(None),
            Err(fs::TryLockError::WouldBlock) => {}
        }
        if !is_said {
            note(format_args!("another process downloads {file}; waiting for it"));
            is_said = true;
        }
        let len = partial_bytes(cache, etag);
        if len != looked.0 {
            looked = (len, tokio::time::Instant::now());
        } else if looked.1.elapsed() > LOCK_IDLE_MAX {
            note(format_args!("the other process does not go on with {file}; downloading it here"));
            return Ok(None);
        }
        tokio::time::sleep(LOCK_LOOK_EVERY).await;
    }
}

/// Bytes of a blob that processes write, of whatever kind they are.
fn partial_bytes(cache: &RepoCache, etag: &str) -> u64 {
    let entries = fs::read_dir(cache.blob("")).into_iter().flatten().flatten();
    let of_it = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(etag) && name.ends_with(".incomplete")
    });
    of_it.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}

/// The first byte of `bytes 100-199/200`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

/// The ETag of a file in Git LFS is its content's digest; that of another file is Git's.
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
