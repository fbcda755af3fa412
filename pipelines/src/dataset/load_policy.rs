//! What loading a data set may read, and how much memory it may take. A command reads what its user may read. A coordinator
//! reads for users who must neither see what it sees nor exhaust its memory, of which each restart would be the next victim.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::error::DatasetError;

/// The most memory for the files that are found for all data sets of a run: about eight million pictures.
const FOUND_BYTES_MAX: u64 = 2 << 30;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;
type AddressCheck = dyn Fn(&str) -> Result<(), BoxedError> + Send + Sync;

/// What may be read of the data sets of one run. The default permits everything.
#[derive(Clone, Default)]
pub struct LoadPolicy(Option<Restriction>);

#[derive(Clone)]
struct Restriction {
    check: Arc<AddressCheck>,
    /// Bytes of `FOUND_BYTES_MAX` that are left.
    found_left: Arc<AtomicU64>,
}

impl LoadPolicy {
    /// Creates a policy for definitions of other users: `check` refuses addresses, memory is bounded, and files are not read
    /// whose readers trust them.
    pub fn restricted(check: impl Fn(&str) -> Result<(), BoxedError> + Send + Sync + 'static) -> LoadPolicy {
        let found_left = Arc::new(AtomicU64::new(FOUND_BYTES_MAX));
        LoadPolicy(Some(Restriction { check: Arc::new(check), found_left }))
    }

    /// Returns whether definitions may be those of other users.
    pub(super) fn is_restricted(&self) -> bool {
        self.0.is_some()
    }

    /// Checks that an address may be read, before anything is asked of its store.
    pub(super) fn check_address(&self, address: &str) -> Result<(), DatasetError> {
        let Some(restriction) = &self.0 else { return Ok(()) };
        // Without the fragment that names a member of a tar.
        let object = if address.contains("://") { address.split('#').next().unwrap_or_default() } else { address };
        (restriction.check)(object).map_err(|source| DatasetError::NotAllowed { address: address.to_owned(), source })
    }

    /// Counts memory for what is found of a data set.
    pub(super) fn charge(&self, bytes: usize) -> Result<(), DatasetError> {
        let Some(restriction) = &self.0 else { return Ok(()) };
        let left = |left: u64| left.checked_sub(bytes as u64);
        let charged = restriction.found_left.fetch_update(Relaxed, Relaxed, left);
        charged.map(drop).map_err(|_| DatasetError::TooManyFiles { limit: FOUND_BYTES_MAX })
    }
}

impl fmt::Debug for LoadPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_restricted() { "LoadPolicy::restricted" } else { "LoadPolicy::default" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Definition, load_within};

    /// A manifest names a file that exists, and one that does not: the answer is the same.
    #[tokio::test]
    async fn nothing_is_asked_of_files_that_must_not_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("set");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(dir.path().join("secret.png"), "secret").unwrap();
        let definition = Definition {
            manifest: Some("named.csv".to_owned()),
            ..Definition::new("d".parse().unwrap(), root.display().to_string())
        };
        let allowed = root.display().to_string();
        let policy = LoadPolicy::restricted(move |address| match address.contains(&allowed) {
            true => Ok(()),
            false => Err("it is elsewhere".into()),
        });
        for column in ["uri", "hazy_uri", "clear_uri"] {
            for file in ["secret.png", "nothing.png"] {
                let outside = dir.path().join(file).display().to_string();
                let table = match column {
                    "uri" => format!("algorithm,uri\na,{outside}\n"),
                    _ => format!("algorithm,uri,{column}\na,1.png,{outside}\n"),
                };
                std::fs::write(root.join("named.csv"), table).unwrap();
                let error = load_within(&definition, &policy).await.unwrap_err();
                assert!(matches!(error, DatasetError::NotAllowed { .. }), "{column} {file}: {error}");
            }
        }
        let elsewhere = Definition { root: dir.path().display().to_string(), ..definition };
        assert!(matches!(load_within(&elsewhere, &policy).await, Err(DatasetError::NotAllowed { .. })));
    }

    #[test]
    fn memory_is_counted_for_all_data_sets_of_a_run() {
        let policy = LoadPolicy::restricted(|_| Ok(()));
        policy.clone().charge(FOUND_BYTES_MAX as usize - 10).unwrap();
        policy.charge(10).unwrap();
        assert!(matches!(policy.charge(1), Err(DatasetError::TooManyFiles { .. })));
        LoadPolicy::default().charge(usize::MAX).unwrap();
    }
}
