//! What the user says of a data set: a TOML file, or only a folder. It knows no pictures, only where they are and how
//! they are laid out. docs/datasets.md explains the keys.
//!
//! Every address in a definition is an URL, or a path from the folder that its file is in, or begins with `$DQA_DATA/`:
//! the folder of data sets, which is the environment's DQA_DATA (a path or an URL) or else `data` in the working
//! directory. Once read, addresses are absolute.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::error::DatasetError;
use super::label_error::LabelError;
use super::table::TableFormat;
use super::table::encoding;
use super::table::numbers::Decimal;
use crate::names::{AlgorithmName, DatasetName, NameError, similar_names};

/// Where definitions are looked for by name, from the working directory.
const DEFINITIONS: &str = "configs/datasets";

/// What stands for the folder of data sets.
const DATA: &str = "$DQA_DATA";

/// A data set as the user describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its name.
    pub name: DatasetName,
    /// What `{dataset}` in layouts and a manifest's column `dataset` call it, if that is not its name: it was given another
    /// by `NAME=PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_in_files: Option<DatasetName>,
    /// The folder that everything is in, if nothing else is said.
    pub root: String,
    /// How pictures are laid out below the root; of several, the first that matches a path counts. None, and neither
    /// `importer` nor `manifest`: one of the usual ones, if it is the only one that matches every picture.
    #[serde(default, deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub layout: Vec<String>,
    /// Pictures that are not the data set's.
    #[serde(default, deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<String>,
    /// How the scene is read from an `{image}`, in a layout without `{scene}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<String>,
    /// The pictures are those of a table of names, hazy names and labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importer: Option<Importer>,
    /// The pictures are those of this table below the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The protocol of its own that it is also reported by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Algorithms' names, by what they are called in paths and tables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub algorithms: BTreeMap<String, AlgorithmName>,
    /// Where the labels are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelsDefinition>,
    /// What the algorithms were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hazy: Option<InputsDefinition>,
    /// The same without haze. No measure here compares with them; that they are named keeps them from being taken for an
    /// algorithm's pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear: Option<InputsDefinition>,
}

/// Where labels are and what they mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelsDefinition {
    /// The folder, if it is not the data set's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// CSV and the like, a workbook, Parquet or MATLAB, below the root. A layout stands for every file that it matches; these name pictures
    /// in their own folder.
    pub file: String,
    /// Another file with the same rows, that `image` is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_file: Option<String>,
    /// The column (MATLAB: the variable, with its field after a dot) of pictures' paths; of any path, the end counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The column of scenes, where there is none of pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<String>,
    /// The column of algorithms, where there is none of pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The column of the scenes' groups, where there is none of pictures and groups share names of scenes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The column of labels.
    #[serde(default = "mos")]
    pub mos: String,
    /// Which labels are good.
    #[serde(default)]
    pub direction: Direction,
    /// The least and the most that a label can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// What several rows of one picture are; None: a mistake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated: Option<Repeated>,
    /// What may differ between a name in the table and a picture's.
    #[serde(default, deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<Ignore>,
    /// Of text that is not UTF-8: `gbk`, `windows-1252`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Of a workbook, if it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    /// The decimal sign, where numbers do not show it: `1,234`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal: Option<Decimal>,
}

/// What several rows of one picture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeated {
    /// Ratings by several people, whose mean is the label.
    Mean,
}

/// What may differ between a name in a table and a picture's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignore {
    /// Zeros before a number, which spreadsheets take away: `1` is `0001`.
    Zeros,
    /// Upper and lower case: `DCP` is `dcp`.
    Case,
}

/// Where hazy or clear pictures are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputsDefinition {
    /// The folder, if it is not the data set's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// With `{image}`, `{scene}` or `{group}`: what they share with the dehazed pictures.
    pub layout: String,
}

/// Which labels are good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// High ones.
    #[default]
    Higher,
    /// Low ones: they become the sum of the range's ends less the label; without a range, its negative.
    Lower,
}

/// Data sets whose pictures are numbered, or named in a table only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Importer {
    /// DHQ: `Dehaze/%04d.png`, seven for each hazy picture.
    Dhq,
    /// SHRQ, regular or aerial: eight for each hazy picture.
    Shrq,
}

/// Ways to report that belong to one data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// By hazy picture, mean of each city, mean of the cities.
    Exbedde,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Protocol::Exbedde => "exbedde",
        })
    }
}

fn mos() -> String {
    "mos".to_owned()
}

fn one_or_more<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        More(Vec<String>),
    }
    let texts = match Texts::deserialize(deserializer)? {
        Texts::One(text) => vec![text],
        Texts::More(texts) => texts,
    };
    // Each by itself: an error then says what there is.
    texts.into_iter().map(|text| T::deserialize(text.into_deserializer())).collect()
}

/// The definition that `text` means: a name in `configs/datasets`, else a path to a `.toml`, a folder or a manifest
/// (`.csv`, `.parquet`), or a folder's URL; or `NAME=` and one of these, for another name than its own. PathIndex are taken from
/// `base`, the working directory.
///
/// # Errors
/// With near names, where it means nothing; where a definition cannot be read.
pub fn find_definition(text: &str, base: &Path) -> Result<Definition, DatasetError> {
    match text.split_once('=') {
        // A file's own name may have the sign.
        Some((name, rest)) if !name.contains(['/', '\\', ':']) && !base.join(text).exists() => {
            let name = name.parse().map_err(|source| DatasetError::Name { text: text.to_owned(), source })?;
            Ok(find_named(rest, base, Some(&name))?.renamed(name))
        }
        _ => find_named(text, base, None),
    }
}

/// With the name that a folder or a manifest takes if its own is not one.
fn find_named(text: &str, base: &Path, given: Option<&DatasetName>) -> Result<Definition, DatasetError> {
    let data = std::env::var("DQA_DATA").unwrap_or_else(|_| "data".to_owned());
    let data = absolute(&data, base, "");
    if let Ok(name) = text.parse::<DatasetName>() {
        let path = base.join(DEFINITIONS).join(format!("{name}.toml"));
        if path.is_file() {
            let definition = read(&path, &data)?;
            let why = format!("{} should define `{name}`", path.display());
            return if definition.name == name { Ok(definition) } else { Err(contradiction(&definition, why)) };
        }
    }
    let path = base.join(text);
    if text.ends_with(".toml") && path.is_file() {
        return read(&path, &data);
    }
    if text.contains("://") || path.is_dir() {
        // What `.` and a link are called is where they lead.
        let root = path.canonicalize().map_or_else(|_| text.to_owned(), |path| path.display().to_string());
        return bare(&root, given);
    }
    if is_table(text) && path.is_file() {
        return manifest(&path, given);
    }
    let all = definition_names(base);
    let similar = similar_names(text, all.iter().map(String::as_str));
    Err(DatasetError::Unknown { text: text.to_owned(), searched: DEFINITIONS.to_owned(), similar })
}

/// The names that [`find_definition`] knows definitions of, sorted.
pub fn definition_names(base: &Path) -> Vec<String> {
    let Ok(files) = base.join(DEFINITIONS).read_dir() else { return Vec::new() };
    let files = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = files.filter_map(|file| file.strip_suffix(".toml").map(str::to_owned)).collect();
    names.sort();
    names
}

fn read(path: &Path, data: &str) -> Result<Definition, DatasetError> {
    let file = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| DatasetError::Read { path: file(), source })?;
    let wrong = |source| DatasetError::Definition { path: file(), source: Box::new(source) };
    let folder = path.parent().unwrap_or(Path::new(""));
    toml::from_str::<Definition>(&text).map_err(wrong)?.resolved(folder, data)
}

/// Only a folder: it is named by its last part.
fn bare(root: &str, given: Option<&DatasetName>) -> Result<Definition, DatasetError> {
    let name = root.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let unnamed = |source| DatasetError::Unnamed { address: root.to_owned(), source };
    Ok(Definition::new(own_or(name, given).map_err(unnamed)?, root.to_owned()))
}

/// Only a manifest: the data set is named by its file.
fn manifest(path: &Path, given: Option<&DatasetName>) -> Result<Definition, DatasetError> {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let unnamed = |source| DatasetError::Unnamed { address: path.display().to_string(), source };
    let name = own_or(&text(path.file_stem()), given).map_err(unnamed)?;
    // `absolute` refuses the empty path, which is the parent of a file in the working directory.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = std::path::absolute(folder).unwrap_or_default();
    Ok(Definition { manifest: Some(text(path.file_name())), ..Definition::new(name, root.display().to_string()) })
}

/// The name that a file has, if it is one.
fn own_or(own: &str, given: Option<&DatasetName>) -> Result<DatasetName, NameError> {
    own.parse().or_else(|error| given.cloned().ok_or(error))
}

pub(super) fn is_table(text: &str) -> bool {
    [".csv", ".tsv", ".parquet"].iter().any(|extension| text.ends_with(extension))
}

pub(super) fn contradiction(definition: &Definition, why: impl Into<String>) -> DatasetError {
    DatasetError::Contradiction { name: definition.name.clone(), why: why.into() }
}

/// An address that means the same from everywhere.
fn absolute(address: &str, folder: &Path, data: &str) -> String {
    let address = match address.strip_prefix(DATA) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            format!("{}{rest}", data.strip_suffix('/').unwrap_or(data))
        }
        _ => address.to_owned(),
    };
    if address.contains("://") {
        return address;
    }
    let joined: PathBuf = folder.join(&address);
    std::path::absolute(&joined).unwrap_or(joined).display().to_string()
}

impl LabelsDefinition {
    /// Returns what the definition says about the format of its tables.
    pub(super) fn table_format(&self) -> TableFormat<'_> {
        TableFormat { encoding: self.encoding.as_deref(), sheet: self.sheet.as_deref(), decimal: self.decimal }
    }
}

impl Definition {
    /// Of a folder of which nothing else is known.
    pub fn new(name: DatasetName, root: String) -> Definition {
        Definition {
            name,
            name_in_files: None,
            root,
            layout: Vec::new(),
            skip: Vec::new(),
            scene: None,
            importer: None,
            manifest: None,
            protocol: None,
            algorithms: BTreeMap::new(),
            labels: None,
            hazy: None,
            clear: None,
        }
    }

    /// Returns what the definition says about the format of its tables.
    pub(super) fn table_format(&self) -> TableFormat<'_> {
        self.labels.as_ref().map(LabelsDefinition::table_format).unwrap_or_default()
    }

    /// Returns the name that the data set has in its own files.
    pub fn name_in_files(&self) -> &DatasetName {
        self.name_in_files.as_ref().unwrap_or(&self.name)
    }

    /// Gives the data set another name. Its files go on to call it by the one that it has.
    #[must_use]
    pub fn renamed(self, name: DatasetName) -> Definition {
        if name == self.name {
            return self;
        }
        let name_in_files = self.name_in_files.or(Some(self.name));
        Definition { name, name_in_files, ..self }
    }

    /// From [`Definition::to_toml`]: its addresses are absolute already.
    ///
    /// # Errors
    /// What is no definition, contradicts itself, or has an address that is not absolute.
    pub fn from_toml(text: &str) -> Result<Definition, DatasetError> {
        let wrong = |source| DatasetError::Definition { path: "that was sent".to_owned(), source: Box::new(source) };
        let definition = toml::from_str::<Definition>(text).map_err(wrong)?.held_together()?;
        let is_relative = |address: &&str| !address.contains("://") && !address.starts_with('/');
        if let Some(address) = definition.addresses().find(is_relative) {
            return Err(contradiction(&definition, format!("`{address}` is no absolute address")));
        }
        Ok(definition)
    }

    /// Every folder that it reads.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let labels = self.labels.as_ref().and_then(|labels| labels.root.as_deref());
        let inputs = [&self.hazy, &self.clear].into_iter().flatten().filter_map(|inputs| inputs.root.as_deref());
        std::iter::once(self.root.as_str()).chain(labels).chain(inputs)
    }

    /// As TOML, for the record.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a definition has text for keys")
    }

    fn resolved(mut self, folder: &Path, data: &str) -> Result<Definition, DatasetError> {
        self.root = absolute(&self.root, folder, data);
        let others = [
            self.labels.as_mut().and_then(|labels| labels.root.as_mut()),
            self.hazy.as_mut().and_then(|hazy| hazy.root.as_mut()),
            self.clear.as_mut().and_then(|clear| clear.root.as_mut()),
        ];
        for root in others.into_iter().flatten() {
            *root = absolute(root, folder, data);
        }
        self.held_together()
    }

    fn held_together(self) -> Result<Definition, DatasetError> {
        let ways = [!self.layout.is_empty(), self.importer.is_some(), self.manifest.is_some()];
        if ways.iter().filter(|way| **way).count() > 1 {
            return Err(contradiction(
                &self,
                "of layout, importer and manifest only one can say what the pictures are",
            ));
        }
        let encoding = self.labels.as_ref().and_then(|labels| labels.encoding.as_deref());
        if let Some(unknown) = encoding.filter(|name| encoding::named(name).is_none()) {
            return Err(contradiction(&self, LabelError::Encoding(unknown.to_owned()).to_string()));
        }
        if let Some([low, high]) = self.labels.as_ref().and_then(|labels| labels.range)
            && !(low < high && low.is_finite() && high.is_finite())
        {
            return Err(contradiction(&self, format!("the labels' range {low} to {high} holds no label")));
        }
        Ok(self)
    }
}
