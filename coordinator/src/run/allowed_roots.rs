//! The folders and URLs below which data sets may lie. A coordinator and its workers read the addresses that users name, and only those below its
//! roots.

use std::path::{Component, Path};

use dqa_pipelines::dataset::LoadPolicy;
use url::Url;

/// Folders and URLs below which addresses must lie.
#[derive(Clone, Debug)]
pub struct Roots {
    roots: Vec<CanonicalAddress>,
    /// Whether files of this machine are allowed when no roots are listed.
    allows_local: bool,
    /// Whether no roots are listed.
    allows_any: bool,
    /// Whether the process reads for its own user alone.
    is_command: bool,
}

/// An address in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CanonicalAddress {
    /// `file` for paths.
    scheme: String,
    /// The container of an address of Azure that names it before the account's host. Empty for all others.
    container: String,
    host: String,
    folders: Vec<String>,
}

/// An address does not lie below a root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} lies outside the folders and stores that this coordinator reads")]
pub struct OutsideRoots {
    /// The address as given.
    pub address: String,
}

impl Roots {
    /// Allows every address: a command reads with its user's own rights.
    pub fn unrestricted() -> Roots {
        Roots { roots: Vec::new(), allows_local: true, allows_any: true, is_command: true }
    }

    /// Allows addresses below these roots. Without roots allows any remote store, and files of this machine if
    /// `allows_local`.
    ///
    /// # Errors
    /// If a root is not an absolute address.
    pub fn new(roots: &[String], allows_local: bool) -> Result<Roots, OutsideRoots> {
        let location =
            |root: &String| CanonicalAddress::parse(root).ok_or_else(|| OutsideRoots { address: root.clone() });
        Ok(Roots {
            allows_any: roots.is_empty(),
            roots: roots.iter().map(location).collect::<Result<_, _>>()?,
            allows_local,
            is_command: false,
        })
    }

    /// Returns the policy for loading the data sets of one run.
    pub fn load_policy(&self) -> LoadPolicy {
        if self.is_command {
            return LoadPolicy::default();
        }
        let roots = self.clone();
        LoadPolicy::restricted(move |address| Ok(roots.check(address)?))
    }

    /// Checks that an address lies below a root.
    ///
    /// # Errors
    /// If it does not, or is ambiguous.
    pub fn check(&self, address: &str) -> Result<(), OutsideRoots> {
        let is_allowed = |location: &CanonicalAddress| {
            let is_open = self.allows_any && (self.allows_local || location.scheme != "file");
            is_open || self.roots.iter().any(|root| location.is_below(root))
        };
        let location = CanonicalAddress::parse(address).filter(is_allowed);
        location.map(drop).ok_or_else(|| OutsideRoots { address: address.to_owned() })
    }
}

impl CanonicalAddress {
    /// Returns None for text that is not an absolute address, or has `.`, `..` or escaped separators in it.
    fn parse(address: &str) -> Option<CanonicalAddress> {
        let is_forbidden = |c: char| c.is_control() || c == '\\';
        let lower = address.to_ascii_lowercase();
        if address.contains(is_forbidden) || lower.contains("%2e") || lower.contains("%2f") || lower.contains("%5c") {
            return None;
        }
        if !address.contains("://") {
            let path = Path::new(address);
            let plain = |part: Component<'_>| match part {
                Component::Normal(name) => Some(Some(name.to_str()?.to_owned())),
                Component::RootDir => Some(None),
                _ => None,
            };
            let folders: Option<Vec<Option<String>>> = path.components().map(plain).collect();
            let folders = folders.filter(|_| path.is_absolute())?.into_iter().flatten().collect();
            return Some(CanonicalAddress {
                scheme: "file".to_owned(),
                container: String::new(),
                host: String::new(),
                folders,
            });
        }
        // The URL parser would resolve these.
        if address.split('/').any(|part| part == ".." || part == ".") {
            return None;
        }
        let url = Url::parse(address).ok()?;
        let has_container = matches!(url.scheme(), "abfs" | "abfss");
        // Stores refuse most of these too. What one of them ignores must not make an address another one.
        if url.password().is_some() || url.port().is_some() || (!has_container && !url.username().is_empty()) {
            return None;
        }
        // A bucket's address may end with its name.
        let folders = url.path_segments().into_iter().flatten().filter(|part| !part.is_empty());
        let folders = folders.map(percent_decode).collect::<Option<_>>()?;
        let (scheme, container) = (url.scheme().to_owned(), percent_decode(url.username())?);
        Some(CanonicalAddress { scheme, container, host: url.host_str().unwrap_or_default().to_owned(), folders })
    }

    fn is_below(&self, root: &CanonicalAddress) -> bool {
        let is_same_store = self.scheme == root.scheme && self.container == root.container && self.host == root.host;
        is_same_store && self.folders.starts_with(&root.folders)
    }
}

fn percent_decode(part: &str) -> Option<String> {
    Some(percent_encoding::percent_decode_str(part).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(roots: &[&str], allows_local: bool) -> Roots {
        let roots: Vec<String> = roots.iter().map(|root| (*root).to_owned()).collect();
        Roots::new(&roots, allows_local).unwrap()
    }

    #[test]
    fn addresses_below_the_roots_are_allowed_and_no_others() {
        let listed = roots(&["s3://bucket/data", "/data/", "file:///more"], false);
        for below in
            ["s3://bucket/data/x", "s3://bucket/data", "S3://bucket/data/x", "/data/x", "file:///data/x", "/more/a b"]
        {
            assert_eq!(listed.check(below), Ok(()), "{below}");
        }
        for other in [
            "s3://bucket/database",
            "s3://bucket",
            "s3://other/data",
            "gs://bucket/data",
            "/datas",
            "/data/../etc",
            "s3://bucket/data/../x",
            "s3://bucket/data/%2e%2e/x",
            "s3://bucket/data/%2E./x",
            "file:///data/%2e%2e/etc",
            "s3://bucket\\data/x",
            "file:///data/.\t./etc",
            "data/x",
            "",
        ] {
            assert!(listed.check(other).is_err(), "{other}");
        }
    }

    /// Azure's addresses name the container before the account: `CONTAINER@ACCOUNT`.
    #[test]
    fn a_root_is_one_container_of_an_account() {
        let listed = roots(&["abfss://data@acct.dfs.core.windows.net/sets", "az://data"], false);
        for below in ["abfss://data@acct.dfs.core.windows.net/sets/x", "az://data/x"] {
            assert_eq!(listed.check(below), Ok(()), "{below}");
        }
        for other in [
            "abfss://secret@acct.dfs.core.windows.net/sets/x",
            "abfss://acct.dfs.core.windows.net/sets/x",
            "abfss://data:key@acct.dfs.core.windows.net/sets/x",
            "abfss://data@acct.dfs.core.windows.net:444/sets/x",
            "abfss://data@other.dfs.core.windows.net/sets/x",
            "abfs://data@acct.dfs.core.windows.net/sets/x",
            "az://data@secret/x",
            "az://secret@data/x",
        ] {
            assert!(listed.check(other).is_err(), "{other}");
        }
        assert!(roots(&[], false).check("s3://user@bucket/x").is_err(), "credentials have no place in an address");
    }

    #[test]
    fn without_roots_files_of_this_machine_are_allowed_on_loopback_alone() {
        for local in ["/etc", "file:///etc", "FILE:///etc", "File:///etc"] {
            assert!(roots(&[], false).check(local).is_err(), "{local}");
            assert!(roots(&[], true).check(local).is_ok(), "{local}");
        }
        assert!(roots(&[], false).check("s3://bucket/x").is_ok());
        assert!(Roots::unrestricted().check("/etc").is_ok());
    }
}
