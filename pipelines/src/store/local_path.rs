//! Local addresses, and files that are created exclusively.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path as FilePath, PathBuf};

use bytes::Bytes;
use url::Url;

use super::error::StoreError;

/// Returns the path that an address means on this machine, or None if the address is remote.
pub(super) fn local_path(address: &str, base: &FilePath) -> Result<Option<PathBuf>, StoreError> {
    if !address.contains("://") {
        return Ok(Some(base.join(address)));
    }
    if !address.starts_with("file://") {
        return Ok(None);
    }
    let invalid = |source| StoreError::Address { address: address.to_owned(), source };
    let url = Url::parse(address).map_err(|source| invalid(source.into()))?;
    url.to_file_path().map(Some).map_err(|()| invalid("it has a host".into()))
}

/// Creates a file exclusively, for file systems without hard links. Readers can see the file before it is complete.
///
/// # Errors
/// If the file exists, or cannot be written.
pub(super) fn create_file(path: &FilePath, bytes: &Bytes) -> std::io::Result<()> {
    let open = || File::create_new(path);
    let mut file = match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(path.parent().unwrap_or(path))?;
            open()?
        }
        other => other?,
    };
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_created_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.json");
        create_file(&path, &"one".into()).unwrap();
        assert_eq!(create_file(&path, &"two".into()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    }
}
