//! The source of a data set: which file is which picture, of which algorithm and scene. Two definitions with the same source
//! name the same pictures in the same way, whatever else they say.
//!
//! Labels, the protocol, hazy and clear inputs, and `skip` do not belong to the source: they add to what is known of a picture,
//! or skip it, but never turn it into another one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use super::data_set::DataSet;
use super::definition::{Definition, Importer};
use super::layout_detection::is_common_layout;
use crate::names::AlgorithmName;

/// The source of a data set's pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetSource {
    /// The address of the root folder, as [`canonical_address`] writes it.
    pub root: String,
    /// The layouts, with the data set's name for `{dataset}`. Empty if the layout is detected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layout: Vec<String>,
    /// The layout that reads the scene from an `{image}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<String>,
    /// The importer whose table names the pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importer: Option<Importer>,
    /// The table of pictures below the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Aliases: names of algorithms by their names in paths and tables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub algorithms: BTreeMap<String, AlgorithmName>,
}

/// One difference between two sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDifference {
    /// The key in the definition.
    pub key: String,
    /// The value in the first source.
    pub first: String,
    /// The value in the second source.
    pub second: String,
}

impl fmt::Display for SourceDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} and {})", self.key, self.first, self.second)
    }
}

impl Definition {
    /// Returns the source of this data set.
    pub fn source(&self) -> DatasetSource {
        let name = self.name_in_files();
        DatasetSource {
            root: canonical_address(&self.root),
            layout: self.layout.iter().map(|layout| layout.replace("{dataset}", name.as_str())).collect(),
            scene: self.scene.clone(),
            importer: self.importer,
            manifest: self.manifest.clone(),
            algorithms: self.algorithms.clone(),
        }
    }
}

impl DataSet {
    /// Returns the source of this data set.
    pub fn source(&self) -> DatasetSource {
        let root = self.root.url().to_string();
        let definition = Definition::from_toml(&self.definition)
            .unwrap_or_else(|_| Definition::new(self.name.clone(), root.clone()));
        Definition { root, ..definition }.source()
    }
}

impl DatasetSource {
    /// Returns the differences between two sources. Empty if they are the same. An additional layout at the end or an
    /// additional alias is not a difference: it adds pictures and changes none. A folder without a layout is the same source
    /// as the folder with the common layout that was detected in it.
    pub fn differences(&self, other: &DatasetSource) -> Vec<SourceDifference> {
        let text = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
        let importer = |source: &DatasetSource| {
            let importer = source.importer?;
            Some(format!("{importer:?}").to_lowercase())
        };
        let mut pairs = vec![("root".to_owned(), self.root.clone(), other.root.clone())];
        if !self.has_layouts_of(other) {
            pairs.push(("layout".to_owned(), self.shown_layout(), other.shown_layout()));
        }
        pairs.push(("scene".to_owned(), text(self.scene.clone()), text(other.scene.clone())));
        pairs.push(("importer".to_owned(), text(importer(self)), text(importer(other))));
        pairs.push(("manifest".to_owned(), text(self.manifest.clone()), text(other.manifest.clone())));
        for (called, name) in &self.algorithms {
            if let Some(other) = other.algorithms.get(called) {
                pairs.push((format!("algorithms.{called}"), name.to_string(), other.to_string()));
            }
        }
        let unlike = pairs.into_iter().filter(|(_, first, second)| first != second);
        unlike.map(|(key, first, second)| SourceDifference { key, first, second }).collect()
    }

    fn has_layouts_of(&self, other: &DatasetSource) -> bool {
        let is_bare =
            |source: &DatasetSource| source.layout.is_empty() && source.importer.is_none() && source.manifest.is_none();
        let is_found = |source: &DatasetSource| matches!(&source.layout[..], [layout] if is_common_layout(layout));
        if is_bare(self) || is_bare(other) {
            return (is_bare(self) || is_found(self)) && (is_bare(other) || is_found(other));
        }
        self.layout.starts_with(&other.layout) || other.layout.starts_with(&self.layout)
    }

    fn shown_layout(&self) -> String {
        match (self.importer, &self.manifest) {
            (Some(importer), _) => format!("the importer {}", format!("{importer:?}").to_lowercase()),
            (None, Some(manifest)) => format!("the manifest {manifest}"),
            (None, None) if self.layout.is_empty() => "that of a bare folder".to_owned(),
            (None, None) => self.layout.join(", "),
        }
    }
}

impl fmt::Display for DatasetSource {
    /// Writes `file:///data/out/ (layout {algorithm}/{scene}.png)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = self.shown_layout();
        let layout = if self.layout.is_empty() { layout } else { format!("layout {layout}") };
        match layout.as_str() {
            "that of a bare folder" => write!(f, "{} (a bare folder)", self.root),
            _ => write!(f, "{} ({layout})", self.root),
        }
    }
}

/// Returns the address of a folder in canonical form: a URL with a slash at its end, and for a local folder without links, `.`
/// and `..`. No remote store is opened, and a local folder need not exist.
pub fn canonical_address(address: &str) -> String {
    let path = match Url::parse(address) {
        Ok(url) if url.scheme() == "file" => url.to_file_path().ok(),
        Ok(mut url) => {
            if !url.path().ends_with('/') {
                url.set_path(&format!("{}/", url.path()));
            }
            return url.into();
        }
        Err(_) => std::path::absolute(address).ok(),
    };
    let url = path.and_then(|path| Url::from_directory_path(resolve_links(&path)).ok());
    url.map_or_else(|| address.to_owned(), Into::into)
}

/// Resolves the links in a path, as far as its folders exist.
fn resolve_links(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|folder| Some((folder, folder.canonicalize().ok()?)));
    let Some((folder, canonical)) = existing else { return path.to_owned() };
    match path.strip_prefix(folder) {
        Ok(rest) if !rest.as_os_str().is_empty() => canonical.join(rest),
        _ => canonical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(text: &str) -> Definition {
        toml::from_str(&format!("name = \"d\"\n{text}")).unwrap()
    }

    fn keys(first: &str, second: &str) -> Vec<String> {
        let differences = definition(first).source().differences(&definition(second).source());
        differences.into_iter().map(|difference| difference.key).collect()
    }

    #[test]
    fn sources_differ_by_what_says_which_picture_is_which() {
        let base = "root = \"s3://b/out\"\nlayout = \"{algorithm}/{scene}.png\"\n";
        let none: Vec<String> = Vec::new();
        assert_eq!(keys(base, base), none);
        assert_eq!(keys(base, &base.replace("b/out", "b/out/")), none);
        assert_eq!(keys(base, &base.replace("b/out", "b/other")), ["root"]);
        assert_eq!(keys(base, &base.replace(".png", ".jpg")), ["layout"]);
        assert_eq!(keys(base, "root = \"s3://b/out\"\n"), ["layout"]);
        assert_eq!(keys(base, "root = \"s3://b/out\"\nmanifest = \"m.csv\"\n"), ["manifest"]);
        assert_eq!(keys(base, &format!("{base}scene = \"{{scene}}_{{}}\"\n")), ["scene"]);
        let more = base
            .replace("\"{algorithm}/{scene}.png\"", "[\"{algorithm}/{scene}.png\", \"{algorithm}.tar/{scene}.png\"]");
        assert_eq!(keys(base, &more), none, "pictures may be added");
        for same in [
            "skip = \"old/{}.png\"\n",
            "protocol = \"exbedde\"\n",
            "[labels]\nfile = \"mos.csv\"\n",
            "[hazy]\nlayout = \"hazy/{scene}.png\"\n",
            "[clear]\nlayout = \"clear/{scene}.png\"\n",
        ] {
            assert_eq!(keys(base, &format!("{base}{same}")), none, "{same}");
        }
        let named = |name: &str| format!("{base}[algorithms]\n{name}\n");
        assert_eq!(keys(base, &named("AOD = \"AOD-Net\"")), none);
        assert_eq!(keys(&named("AOD = \"AOD-Net\""), &named("AOD = \"AOD\"")), ["algorithms.AOD"]);
    }

    #[test]
    fn a_bare_folder_is_what_was_found_in_it() {
        let bare = "root = \"s3://b/out\"\n";
        for (layout, is_same) in [
            ("{algorithm}/{scene}.{ext}", true),
            ("{algorithm}/imgs/{image}.{ext}", true),
            ("{algorithm}/{scene}.png", false),
        ] {
            let found = format!("{bare}layout = \"{layout}\"\n");
            assert_eq!(keys(bare, &found).is_empty(), is_same, "{layout}");
            assert_eq!(keys(&found, bare).is_empty(), is_same, "{layout}");
        }
    }

    #[test]
    fn a_folder_has_one_address() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().canonicalize().unwrap().display().to_string();
        let url = format!("file://{folder}/");
        let dotted = format!("{folder}/./");
        for address in [folder.as_str(), &url, url.trim_end_matches('/'), &dotted] {
            assert_eq!(canonical_address(address), url, "{address}");
        }
        assert_eq!(canonical_address("s3://bucket/a b"), "s3://bucket/a%20b/");
        assert_eq!(canonical_address("/nowhere/at/all"), "file:///nowhere/at/all/");
        let gone = dir.path().join("gone");
        let before = {
            std::fs::create_dir(&gone).unwrap();
            canonical_address(gone.to_str().unwrap())
        };
        std::fs::remove_dir(&gone).unwrap();
        assert_eq!(canonical_address(gone.to_str().unwrap()), before);
    }
}
