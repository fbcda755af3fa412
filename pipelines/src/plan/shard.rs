//! A shard as it is sent to the process that scores it: one row of text, the same locally and on a cluster.

use serde::{Deserialize, Serialize};

use crate::dataset::{DataSet, Picture, Raters, ReferenceKind};
use crate::digest;
use crate::metric::MetricSpec;
use crate::picture_limits::PictureLimits;
use crate::tables::scores::{self, PartColumns};

/// A unit of work: score these pictures by some metrics, write one part for each metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shard {
    /// The address of the store.
    pub store: String,
    /// The parts to write, at least one.
    pub parts: Vec<ShardPart>,
    /// Whether to score pictures again whose rows in older parts have an error.
    pub retry_failed: bool,
    /// The pictures, one for each row of a part, in this order.
    pub pictures: Vec<ShardPicture>,
    /// Windows to score, by the pictures' headers.
    pub windows: u64,
    /// Keys and values for the parts' footers.
    pub facts: Vec<(String, String)>,
    /// The limits on a picture's size. They replace the worker's own limits.
    pub limits: PictureLimits,
    /// The digest of the file in the store that has the metrics' parameters. None for the published ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
}

/// A part that a shard writes: the rows of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardPart {
    /// The columns that are the same in all rows of the part.
    pub columns: PartColumns,
    /// Keys of parts in the store that may already hold some of the rows.
    pub reuse: Vec<String>,
}

/// A picture of a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardPicture {
    /// The name of its scene.
    pub scene: String,
    /// The group of its scene.
    pub scene_group: Option<String>,
    /// Its name within the data set.
    pub image: String,
    /// Its address.
    pub uri: String,
    /// Length in bytes.
    pub bytes: u64,
    /// The version when the shard was planned.
    pub version: String,
    /// The label; higher is better.
    pub mos: Option<f64>,
    /// The ratings that the label is the mean of, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raters: Option<Raters>,
    /// The clear picture of its scene, if a metric compares with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear: Option<ShardReference>,
    /// The picture before it was dehazed, if a metric compares with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hazy: Option<ShardReference>,
}

/// A picture that metrics compare with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardReference {
    /// Its address.
    pub uri: String,
    /// Length in bytes.
    pub bytes: u64,
}

impl ShardPart {
    /// Returns the key of the part's object in the store.
    pub fn key(&self) -> String {
        scores::part_key(&self.columns.dataset, &self.columns.algorithm, &self.columns.part)
    }
}

impl Shard {
    /// Returns a name that two shards share only if they write the same parts: the part's name if there is one part.
    pub fn name(&self) -> String {
        join_part_names(self.parts.iter().map(|part| part.columns.part.as_str()))
    }

    /// Returns the number of rows of all parts together.
    pub fn rows(&self) -> u64 {
        (self.parts.len() * self.pictures.len()) as u64
    }

    /// Encodes the shard as text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a shard has text for keys")
    }

    /// Decodes the text of [`Shard::to_text`].
    ///
    /// # Errors
    /// If the text is not a shard.
    pub fn from_text(text: &str) -> Result<Shard, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// Returns the name of a shard with these parts: a part's own name, or the first part's with a digest of all.
pub fn join_part_names<'p>(parts: impl Iterator<Item = &'p str> + Clone) -> String {
    let first = parts.clone().next().unwrap_or_default();
    if parts.clone().count() == 1 {
        return first.to_owned();
    }
    let mut hasher = blake3::Hasher::new();
    parts.for_each(|part| digest::update_field(&mut hasher, part.as_bytes()));
    format!("{first}+{}", &hasher.finalize().to_hex()[..8])
}

/// Returns the pictures of a shard, with the references that its metrics compare with.
pub fn shard_pictures(dataset: &DataSet, pictures: &[u32], metrics: &[&MetricSpec]) -> Vec<ShardPicture> {
    let needs = |kind| metrics.iter().any(|metric| metric.reference() == Some(kind));
    let reference = |picture: &Picture, kind| {
        let reference = dataset.reference(picture, kind).filter(|_| needs(kind))?;
        Some(ShardReference { uri: dataset.uri(reference), bytes: reference.bytes })
    };
    let pictures = pictures.iter().map(|index| &dataset.pictures[*index as usize]);
    pictures
        .map(|picture| ShardPicture {
            scene: picture.scene.to_string(),
            scene_group: picture.scene_group.as_deref().map(str::to_owned),
            image: picture.image.to_string(),
            uri: dataset.uri(picture),
            bytes: picture.bytes,
            version: picture.version.to_string(),
            mos: picture.mos,
            raters: picture.raters,
            clear: reference(picture, ReferenceKind::Clear),
            hazy: reference(picture, ReferenceKind::Hazy),
        })
        .collect()
}
