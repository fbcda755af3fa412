//! Where data sets may be. A coordinator reads, and has workers read, what its users name: only below these.

use std::path::{Component, Path};

use url::Url;

/// What addresses must begin with.
#[derive(Clone, Debug)]
pub struct Roots {
    roots: Vec<Location>,
    /// Where none is listed: whether addresses of this machine are taken too.
    takes_local: bool,
    takes_any: bool,
}

/// An address without another way to write it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Location {
    /// `file` for paths.
    scheme: String,
    host: String,
    folders: Vec<String>,
}

/// An address that is not below a root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is where this coordinator reads no data sets")]
pub struct Elsewhere {
    /// As given.
    pub address: String,
}

impl Roots {
    /// Anywhere: who asks reads with their own rights.
    pub fn anywhere() -> Roots {
        Roots { roots: Vec::new(), takes_local: true, takes_any: true }
    }

    /// Below these; where there are none, in any remote store, and on this machine if `takes_local`.
    ///
    /// # Errors
    /// What is no address.
    pub fn below(roots: &[String], takes_local: bool) -> Result<Roots, Elsewhere> {
        let place = |root: &String| Location::of(root).ok_or_else(|| Elsewhere { address: root.clone() });
        Ok(Roots {
            takes_any: roots.is_empty(),
            roots: roots.iter().map(place).collect::<Result<_, _>>()?,
            takes_local,
        })
    }

    /// Whether an address is below one of them.
    ///
    /// # Errors
    /// Where it is not, or could be read in two ways.
    pub fn check(&self, address: &str) -> Result<(), Elsewhere> {
        let is_below = |place: &Location| {
            let is_open = self.takes_any && (self.takes_local || place.scheme != "file");
            is_open || self.roots.iter().any(|root| place.is_below(root))
        };
        let place = Location::of(address).filter(is_below);
        place.map(drop).ok_or_else(|| Elsewhere { address: address.to_owned() })
    }
}

impl Location {
    /// None for what is no absolute address, or has parts that lead up or are written in escapes.
    fn of(address: &str) -> Option<Location> {
        let is_odd = |c: char| c.is_control() || c == '\\';
        let lower = address.to_ascii_lowercase();
        if address.contains(is_odd) || lower.contains("%2e") || lower.contains("%2f") || lower.contains("%5c") {
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
            return Some(Location { scheme: "file".to_owned(), host: String::new(), folders });
        }
        // Before the parser resolves them.
        if address.split('/').any(|part| part == ".." || part == ".") {
            return None;
        }
        let url = Url::parse(address).ok()?;
        let folders = url.path_segments()?.filter(|part| !part.is_empty());
        let folders = folders.map(percent_decode).collect::<Option<_>>()?;
        let host = url.host_str().unwrap_or_default().to_owned();
        Some(Location { scheme: url.scheme().to_owned(), host, folders })
    }

    fn is_below(&self, root: &Location) -> bool {
        self.scheme == root.scheme && self.host == root.host && self.folders.starts_with(&root.folders)
    }
}

fn percent_decode(part: &str) -> Option<String> {
    Some(percent_encoding::percent_decode_str(part).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(roots: &[&str], takes_local: bool) -> Roots {
        let roots: Vec<String> = roots.iter().map(|root| (*root).to_owned()).collect();
        Roots::below(&roots, takes_local).unwrap()
    }

    #[test]
    fn what_is_listed_is_read_and_nothing_beside_it() {
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

    #[test]
    fn without_a_list_this_machine_is_for_those_on_it() {
        for local in ["/etc", "file:///etc", "FILE:///etc", "File:///etc"] {
            assert!(roots(&[], false).check(local).is_err(), "{local}");
            assert!(roots(&[], true).check(local).is_ok(), "{local}");
        }
        assert!(roots(&[], false).check("s3://bucket/x").is_ok());
        assert!(Roots::anywhere().check("/etc").is_ok());
    }
}
