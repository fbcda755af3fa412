//! A shard as it is sent to the process that scores it: one row of text, the same locally and on a cluster.

use serde::{Deserialize, Serialize};

use super::{ScoringSettings, ShardCut, part_name};
use crate::dataset::{DataSet, Raters};
use crate::picture_limits::PictureLimits;
use crate::tables::scores::{self, PartColumns};

/// A unit of work: score these pictures, write one part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shard {
    /// The address of the store.
    pub store: String,
    /// The columns that are the same in all rows of the part.
    pub part: PartColumns,
    /// Names of parts in the store that may already hold some of the rows.
    pub reuse: Vec<String>,
    /// Whether to score pictures again whose rows in those parts have an error.
    pub retry_failed: bool,
    /// The pictures, one for each row of the part, in this order.
    pub pictures: Vec<ShardPicture>,
    /// Windows to score, by the pictures' headers.
    pub windows: u64,
    /// Keys and values for the part's footer.
    pub facts: Vec<(String, String)>,
    /// The limits on a picture's size. They replace the worker's own limits.
    #[serde(default)]
    pub limits: PictureLimits,
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
}

impl Shard {
    /// Creates the shard of a cut, whose part is written to `store`.
    pub fn new(dataset: &DataSet, cut: &ShardCut, store: &str, settings: &ScoringSettings) -> Shard {
        let pictures: Vec<_> = cut.pictures.iter().map(|index| &dataset.pictures[*index as usize]).collect();
        Shard {
            store: store.to_owned(),
            part: PartColumns {
                dataset: dataset.name.to_string(),
                algorithm: pictures[0].algorithm.to_string(),
                fingerprint: settings.fingerprint.clone(),
                part: part_name(dataset, cut, settings),
            },
            reuse: Vec::new(),
            retry_failed: false,
            pictures: pictures
                .into_iter()
                .map(|picture| ShardPicture {
                    scene: picture.scene.to_string(),
                    scene_group: picture.scene_group.as_deref().map(str::to_owned),
                    image: picture.image.to_string(),
                    uri: dataset.uri(picture),
                    bytes: picture.bytes,
                    version: picture.version.to_string(),
                    mos: picture.mos,
                    raters: picture.raters,
                })
                .collect(),
            windows: cut.windows,
            facts: Vec::new(),
            limits: settings.limits,
        }
    }

    /// Returns the key of the part's object in the store.
    pub fn key(&self) -> String {
        scores::part_key(&self.part.dataset, &self.part.algorithm, &self.part.part)
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
