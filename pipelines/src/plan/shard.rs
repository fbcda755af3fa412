//! A shard as it is handed to whoever scores it: one row of text, the same in this process and on a cluster.

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
    /// What is the same in all its rows.
    pub part: PartColumns,
    /// Parts in the store that may hold some of its rows already.
    pub reuse: Vec<String>,
    /// Whether rows with an error are scored again where they are found.
    pub retry_failed: bool,
    /// The pictures, each a row of the part, in this order.
    pub pictures: Vec<ShardPicture>,
    /// Windows to be scored, by the pictures' headers.
    pub windows: u64,
    /// What goes into the part's footer.
    pub facts: Vec<(String, String)>,
    /// How large a picture may be, whatever the limits of whoever scores it.
    #[serde(default)]
    pub limits: PictureLimits,
}

/// A picture of a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardPicture {
    /// What it shows.
    pub scene: String,
    /// The group that its scene is reported in.
    pub scene_group: Option<String>,
    /// Its name within the data set.
    pub image: String,
    /// Where it is.
    pub uri: String,
    /// Length in bytes.
    pub bytes: u64,
    /// The version that was planned.
    pub version: String,
    /// The label; higher is better.
    pub mos: Option<f64>,
    /// Whose mean the label is, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raters: Option<Raters>,
}

impl Shard {
    /// The shard of a cut, to be written to `store` on these settings.
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

    /// The part's object in the store.
    pub fn key(&self) -> String {
        scores::part_key(&self.part.dataset, &self.part.algorithm, &self.part.part)
    }

    /// As text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a shard has text for keys")
    }

    /// From [`Shard::to_text`].
    ///
    /// # Errors
    /// What no shard was written as.
    pub fn from_text(text: &str) -> Result<Shard, serde_json::Error> {
        serde_json::from_str(text)
    }
}
