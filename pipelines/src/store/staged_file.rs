//! Files of a local store, written so that they survive a crash of the machine: a file is complete and on the disk before
//! it has its name, and a call returns when the name is on the disk too. So a reader finds the old content or the new one,
//! never a part of it.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Result, Write};
use std::path::{Path as FilePath, PathBuf};

use bytes::Bytes;

/// Digits of the number at the end of a staged file's name: those of the largest number.
const NUMBER_DIGITS: usize = 20;

/// A file that is being written next to its final place. Its name ends in `#` and a number, so no listing shows it. It is
/// removed when it is dropped before it has its final name.
#[derive(Debug)]
pub(super) struct StagedFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
}

impl StagedFile {
    /// Creates an empty file for `target`, and the folders above it.
    ///
    /// # Errors
    /// If a folder or the file cannot be created.
    pub(super) fn create(target: PathBuf) -> Result<StagedFile> {
        loop {
            let number = RandomState::new().hash_one(std::process::id());
            let mut path = target.clone().into_os_string();
            path.push(format!("#{number:0NUMBER_DIGITS$}"));
            match File::create_new(&path) {
                Ok(file) => return Ok(StagedFile { file, path: path.into(), target }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == ErrorKind::NotFound => create_folder(folder(&target))?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns another handle of the file, to write to it.
    ///
    /// # Errors
    /// If the process can open no more files.
    pub(super) fn writer(&self) -> Result<File> {
        self.file.try_clone()
    }

    /// Gives the file its final name, and replaces a file that has it.
    ///
    /// # Errors
    /// If the file cannot be written to the disk or renamed.
    pub(super) fn replace(self) -> Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, &self.target)?;
        sync_folder(folder(&self.target))
    }

    /// Gives the file its final name if no file has it. Needs a file system with hard links.
    ///
    /// # Errors
    /// If a file has the name; if the file cannot be written to the disk or linked.
    pub(super) fn link(self) -> Result<()> {
        self.file.sync_all()?;
        std::fs::hard_link(&self.path, &self.target)?;
        sync_folder(folder(&self.target))
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // It fails if the file was renamed. Otherwise the file has no meaning, and nothing lists it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Returns whether a file has the name of one that is being written.
pub(super) fn is_staged(path: &FilePath) -> bool {
    let number = path.to_str().and_then(|path| Some(path.rsplit_once('#')?.1));
    number.is_some_and(|number| number.len() == NUMBER_DIGITS && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Writes a file, and replaces one that exists.
///
/// # Errors
/// If it cannot be written.
pub(super) fn replace(path: PathBuf, bytes: &Bytes) -> Result<()> {
    let staged = StagedFile::create(path)?;
    staged.writer()?.write_all(bytes)?;
    staged.replace()
}

/// Writes a file if none exists.
///
/// # Errors
/// If one exists, or it cannot be written.
pub(super) fn create(path: PathBuf, bytes: &Bytes) -> Result<()> {
    let staged = StagedFile::create(path.clone())?;
    staged.writer()?.write_all(bytes)?;
    match staged.link() {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => create_without_links(&path, bytes),
        linked => linked,
    }
}

/// Creates a file exclusively, for file systems without hard links. Readers can see the file before it is complete.
fn create_without_links(path: &FilePath, bytes: &Bytes) -> Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_folder(folder(path))
}

fn folder(path: &FilePath) -> &FilePath {
    path.parent().unwrap_or(path)
}

/// Creates a folder with those above it, so that each has its name on the disk.
fn create_folder(path: &FilePath) -> Result<()> {
    let above = folder(path);
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && above != path => {
            create_folder(above)?;
            create_folder(path)
        }
        // Another process created it.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        created => created.and_then(|()| sync_folder(above)),
    }
}

/// Writes the names in a folder to the disk. Some file systems have no such operation.
fn sync_folder(path: &FilePath) -> Result<()> {
    match File::open(path)?.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_complete_and_a_staged_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c.json");
        let staged = StagedFile::create(path.clone()).unwrap();
        staged.writer().unwrap().write_all(b"one").unwrap();
        assert!(!path.exists(), "it has no name before it is complete");
        drop(staged);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
        replace(path.clone(), &"one".into()).unwrap();
        replace(path.clone(), &"two".into()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_created_once() {
        let dir = tempfile::tempdir().unwrap();
        type Way = fn(&FilePath, &Bytes) -> Result<()>;
        let ways: [Way; 2] = [|path, bytes| create(path.to_owned(), bytes), create_without_links];
        for create in ways {
            let path = dir.path().join("b.json");
            create(&path, &"one".into()).unwrap();
            assert_eq!(create(&path, &"two".into()).unwrap_err().kind(), ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
            std::fs::remove_file(&path).unwrap();
        }
    }
}
