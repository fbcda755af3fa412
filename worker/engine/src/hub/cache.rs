//! One repository in the hub's cache, in the layout of the Python library `huggingface_hub`:
//!
//! ```text
//! models--OWNER--NAME/refs/main                    the commit of a branch or a tag
//! models--OWNER--NAME/blobs/ETAG                   contents
//! models--OWNER--NAME/snapshots/COMMIT/config.json links to blobs
//! .locks/models--OWNER--NAME/ETAG.lock             locked by the process that writes ETAG
//! ```
//!
//! A blob is complete: a file gets a blob's name only once it has been checked.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A repository's folders.
#[derive(Clone, Debug)]
pub(super) struct RepoCache {
    cache: PathBuf,
    /// `models--OWNER--NAME`
    folder: String,
}

impl RepoCache {
    pub(super) fn new(cache: &Path, repo: &str) -> RepoCache {
        RepoCache { cache: cache.to_owned(), folder: format!("models--{}", repo.replace('/', "--")) }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.cache.join(&self.folder)
    }

    /// Returns the commit of a branch, a tag or a commit, as far as the cache knows it.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        let named = fs::read_to_string(self.root().join("refs").join(revision)).ok();
        let commit = named.map_or_else(|| revision.to_owned(), |text| text.trim().to_owned());
        is_commit(&commit).then_some(commit)
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root().join("snapshots").join(commit)
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.root().join("blobs").join(etag)
    }

    /// Returns the branches and tags that the cache knows.
    pub(super) fn revisions(&self) -> Vec<String> {
        let refs = self.root().join("refs");
        let files = walkdir::WalkDir::new(&refs).into_iter().flatten().filter(|entry| entry.file_type().is_file());
        let mut names: Vec<String> =
            files.filter_map(|entry| Some(entry.path().strip_prefix(&refs).ok()?.to_str()?.to_owned())).collect();
        names.sort();
        names
    }

    /// Records the commit of a branch or a tag.
    pub(super) fn set_ref(&self, revision: &str, commit: &str) -> io::Result<()> {
        let path = self.root().join("refs").join(revision);
        if revision == commit || fs::read_to_string(&path).is_ok_and(|text| text == commit) {
            return Ok(());
        }
        let folder = path.parent().expect("it is below `refs`");
        fs::create_dir_all(folder)?;
        // Another process may read the file at the same time, so it is replaced in one step.
        let mut new = tempfile::Builder::new().permissions(default_permissions()).tempfile_in(folder)?;
        io::Write::write_all(&mut new, commit.as_bytes())?;
        new.persist(&path)?;
        Ok(())
    }

    /// Opens the file that a process locks while it writes a blob.
    pub(super) fn lock_file(&self, etag: &str) -> io::Result<File> {
        let folder = self.cache.join(".locks").join(&self.folder);
        fs::create_dir_all(&folder)?;
        File::options().create(true).append(true).open(folder.join(format!("{etag}.lock")))
    }

    /// Links `file` of a commit's snapshot to a blob.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> io::Result<PathBuf> {
        let path = self.snapshot(commit).join(file);
        let folder = path.parent().expect("it is below the snapshot");
        fs::create_dir_all(folder)?;
        let up = "../".repeat(2 + file.matches('/').count());
        let target = format!("{up}blobs/{etag}");
        loop {
            match std::os::unix::fs::symlink(&target, &path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if path.exists() {
                        return Ok(path); // another process was faster
                    }
                    fs::remove_file(&path)?; // a link to a blob that was deleted
                }
                // The file system has no links; the Python library copies too.
                Err(_) => {
                    let copy = tempfile::Builder::new().permissions(default_permissions()).tempfile_in(folder)?;
                    fs::copy(self.blob(etag), copy.path())?;
                    copy.persist(&path)?;
                    return Ok(path);
                }
            }
        }
    }
}

/// Returns the permissions of a file that is created without any given; the system applies the process's umask.
fn default_permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

/// Returns whether a text is the name of a commit, and so of a snapshot's folder.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Returns whether an ETag can be a blob's name.
pub(super) fn is_blob_name(etag: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !etag.is_empty() && etag.len() <= 200 && !etag.starts_with('.') && etag.chars().all(plain)
}
