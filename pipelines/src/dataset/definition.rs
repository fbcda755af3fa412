//! The definition of a data set by the user: a TOML file, or only a folder. It says where pictures are and how they are laid
//! out, and knows none of them. docs/reference/datasets.md explains the keys.
//!
//! Every address in a definition is a URL, a path relative to the folder of its file, or begins with `$DQA_DATA/`: the folder of
//! data sets, which is the environment variable DQA_DATA (a path or a URL), or `data` in the working directory. Once a
//! definition is read, its addresses are absolute.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::error::DatasetError;
use super::label_error::LabelError;
use super::table_file::TableFormat;
use super::table_file::encoding;
use super::table_file::numbers::Decimal;
use crate::metric::Direction;
use crate::names::{AlgorithmName, DatasetName};
use dqa_metrics::ReferenceKind;

/// The placeholder for the folder of data sets.
const DATA: &str = "$DQA_DATA";

/// A data set as the user describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The data set's name.
    pub name: DatasetName,
    /// The name that `{dataset}` in layouts and the column `dataset` of a manifest stand for. None if it is `name`; another
    /// name is given by `NAME=PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_in_files: Option<DatasetName>,
    /// The folder of all files for which no other folder is given.
    pub root: String,
    /// The layouts of pictures below the root; the first that matches a path is used. If there are none, and neither `importer`
    /// nor `manifest`, the layout is the only common one that matches every picture.
    #[serde(default, deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub layout: Vec<String>,
    /// Layouts of pictures that do not belong to the data set.
    #[serde(default, deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<String>,
    /// The layout that reads the scene from an `{image}`, if the layouts have no `{scene}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<String>,
    /// The importer of a table with names, hazy names and labels. The pictures are those of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importer: Option<Importer>,
    /// A table of pictures below the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The data set's own protocol, by which it is also reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Aliases: names of algorithms by their names in paths and tables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub algorithms: BTreeMap<String, AlgorithmName>,
    /// The labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelsDefinition>,
    /// The hazy inputs of the algorithms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hazy: Option<ReferencesDefinition>,
    /// The clear references. Naming them also keeps them from being taken for the pictures of an algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear: Option<ReferencesDefinition>,
}

/// The labels of a data set: their tables, and their meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelsDefinition {
    /// The folder of the tables, if it is not the data set's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// A table below the root: text with separators, a workbook, Parquet or MATLAB. A layout stands for every file that it
    /// matches; such tables name pictures in their own folder.
    pub file: String,
    /// Another file with the same rows that has the column `image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_file: Option<String>,
    /// The column of pictures' paths (in MATLAB the variable, with its field after a dot). The end of a path is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The column of scenes, if there is no column of pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<String>,
    /// The column of algorithms, if there is no column of pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The column of the scenes' groups, if there is no column of pictures and groups share names of scenes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The column of labels.
    #[serde(default = "mos")]
    pub mos: String,
    /// Whether high or low labels are good.
    #[serde(default)]
    pub direction: Direction,
    /// The minimum and maximum of a label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// The meaning of several rows for one picture. None if they are an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated: Option<Repeated>,
    /// Differences that are ignored between a name in the table and a picture's.
    #[serde(default, deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<Ignore>,
    /// The encoding of text that is not UTF-8: `gbk`, `windows-1252`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// The sheet of a workbook, if it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    /// The decimal separator, if the numbers do not show it: `1,234`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal: Option<Decimal>,
}

/// The meaning of several rows for one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeated {
    /// They are ratings by several people. The label is their mean.
    Mean,
}

/// Differences that are ignored between a name in a table and a picture's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignore {
    /// Leading zeros of a number, which spreadsheets remove: `1` matches `0001`.
    Zeros,
    /// Upper and lower case: `DCP` matches `dcp`.
    Case,
}

/// The folder and layout of hazy or clear pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferencesDefinition {
    /// The folder, if it is not the data set's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The layout, with `{image}`, `{scene}` or `{group}`: what the pictures share with the dehazed ones.
    pub layout: String,
}

/// Importers of data sets whose pictures are numbered, or named only in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Importer {
    /// DHQ: `Dehaze/%04d.png`, seven for each hazy picture.
    Dhq,
    /// SHRQ, regular or aerial: eight for each hazy picture.
    Shrq,
}

/// Report protocols that belong to one data set.
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
    // Each text by itself, so that an error lists the known values.
    texts.into_iter().map(|text| T::deserialize(text.into_deserializer())).collect()
}

pub(super) fn is_table(text: &str) -> bool {
    [".csv", ".tsv", ".parquet"].iter().any(|extension| text.ends_with(extension))
}

pub(super) fn contradiction(definition: &Definition, why: impl Into<String>) -> DatasetError {
    DatasetError::Contradiction { name: definition.name.clone(), why: why.into() }
}

/// Returns an absolute address.
pub(super) fn absolute(address: &str, folder: &Path, data: &str) -> String {
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
    /// Creates the definition of labels in a table with the usual columns, below the data set's root.
    pub(super) fn new(file: &str) -> LabelsDefinition {
        LabelsDefinition {
            root: None,
            file: file.to_owned(),
            image_file: None,
            image: None,
            scene: None,
            algorithm: None,
            group: None,
            mos: mos(),
            direction: Direction::default(),
            range: None,
            repeated: None,
            ignore: Vec::new(),
            encoding: None,
            sheet: None,
            decimal: None,
        }
    }

    /// Returns what the definition says about the format of its tables.
    pub(super) fn table_format(&self) -> TableFormat<'_> {
        TableFormat { encoding: self.encoding.as_deref(), sheet: self.sheet.as_deref(), decimal: self.decimal }
    }
}

impl Definition {
    /// Creates a definition of which only the folder is known.
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

    /// Returns the folder and layout of the references of a kind.
    pub fn references(&self, kind: ReferenceKind) -> Option<&ReferencesDefinition> {
        match kind {
            ReferenceKind::Hazy => self.hazy.as_ref(),
            ReferenceKind::Clear => self.clear.as_ref(),
        }
    }

    /// Returns the name that the data set has in its own files.
    pub fn name_in_files(&self) -> &DatasetName {
        self.name_in_files.as_ref().unwrap_or(&self.name)
    }

    /// Gives the data set another name. Its files keep using the old one.
    #[must_use]
    pub fn renamed(self, name: DatasetName) -> Definition {
        if name == self.name {
            return self;
        }
        let name_in_files = self.name_in_files.or(Some(self.name));
        Definition { name, name_in_files, ..self }
    }

    /// Parses the text of [`Definition::to_toml`], whose addresses are absolute.
    ///
    /// # Errors
    /// If it is not a definition, contradicts itself, or has an address that is not absolute.
    pub fn from_toml(text: &str) -> Result<Definition, DatasetError> {
        let wrong =
            |source| DatasetError::Definition { path: "the text that was sent".to_owned(), source: Box::new(source) };
        let definition = toml::from_str::<Definition>(text).map_err(wrong)?.validated()?;
        let is_relative = |address: &&str| !address.contains("://") && !address.starts_with('/');
        if let Some(address) = definition.addresses().find(is_relative) {
            return Err(contradiction(&definition, format!("`{address}` is not an absolute address")));
        }
        Ok(definition)
    }

    /// Iterates over all folders that the definition reads.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let labels = self.labels.as_ref().and_then(|labels| labels.root.as_deref());
        let references = ReferenceKind::ALL.into_iter().filter_map(|kind| self.references(kind)?.root.as_deref());
        std::iter::once(self.root.as_str()).chain(labels).chain(references)
    }

    /// Encodes the definition as TOML, for a run's record.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a definition has text for keys")
    }

    /// Makes the addresses absolute: relative ones begin at `folder`.
    pub(super) fn resolved(mut self, folder: &Path, data: &str) -> Result<Definition, DatasetError> {
        self.root = absolute(&self.root, folder, data);
        let others = [
            self.labels.as_mut().and_then(|labels| labels.root.as_mut()),
            self.hazy.as_mut().and_then(|hazy| hazy.root.as_mut()),
            self.clear.as_mut().and_then(|clear| clear.root.as_mut()),
        ];
        for root in others.into_iter().flatten() {
            *root = absolute(root, folder, data);
        }
        self.validated()
    }

    fn validated(self) -> Result<Definition, DatasetError> {
        let ways = [!self.layout.is_empty(), self.importer.is_some(), self.manifest.is_some()];
        if ways.iter().filter(|way| **way).count() > 1 {
            return Err(contradiction(&self, "only one of layout, importer and manifest can be given"));
        }
        let encoding = self.labels.as_ref().and_then(|labels| labels.encoding.as_deref());
        if let Some(unknown) = encoding.filter(|name| encoding::find_encoding(name).is_none()) {
            return Err(contradiction(&self, LabelError::Encoding(unknown.to_owned()).to_string()));
        }
        if let Some([low, high]) = self.labels.as_ref().and_then(|labels| labels.range)
            && !(low < high && low.is_finite() && high.is_finite())
        {
            return Err(contradiction(&self, format!("the labels' range {low} to {high} is empty")));
        }
        Ok(self)
    }
}
