//! The golden numbers: the results of the PyTorch reference for formula weights and fixed pictures.
//!
//! They are read from the copy beside this crate, or from the folder in the environment variable `DQA_GOLDENS`, which
//! `make_goldens.py` wrote (other weights, other pictures, the same format).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::spec::ClipShape;

/// One folder of goldens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goldens {
    /// The folder of goldens.json.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The name of the formula weights and the pictures.
    pub salt: String,
    /// Token ids of the two sentences, by `bad photo` and `good photo`.
    pub tokens: BTreeMap<String, Vec<u32>>,
    /// The results by kind: `vit-b-32` and `tiny`.
    pub models: BTreeMap<String, ModelGolden>,
}

/// The results of one model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelGolden {
    /// The kind's sizes as the generator wrote them: empty for vit-b-32.
    pub config: BTreeMap<String, usize>,
    /// Some of the model's tensors.
    pub weights: BTreeMap<String, Sampled>,
    /// Some of the prompts' tensors.
    pub prompts: BTreeMap<String, Sampled>,
    /// (2, embed_dim), normalised: bad, good.
    pub text_features: Sampled,
    /// (2, embed_dim), normalised: the two windows of the 320x240 picture.
    #[serde(rename = "image_features of 320x240")]
    pub image_features: Sampled,
    /// The scores by picture's file name.
    pub scores: BTreeMap<String, ScoreGolden>,
    /// A few steps of training over the windows of the 400x300 picture.
    pub training: TrainingGolden,
}

/// A tensor's norm and a few of its values.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampled {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its Euclidean norm in f64.
    pub norm: f64,
    /// The step between the sampled flat indices 0, every, 2 * every, ...
    pub every: usize,
    /// The sampled values, at most 8.
    pub values: Vec<f64>,
}

/// The scores of one picture.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreGolden {
    /// Scores of every window, row-major.
    pub crops: Vec<f64>,
    /// Their mean.
    pub image: f64,
}

/// A few steps of training.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingGolden {
    /// The optimizer in words.
    pub optimizer: String,
    /// The learning rate.
    pub lr: f64,
    /// The target of each window.
    pub targets: Vec<f64>,
    /// The loss before each step.
    pub losses: Vec<f64>,
    /// Norm of each trained tensor's gradient at the first step.
    pub gradient_norms: BTreeMap<String, f64>,
}

impl Goldens {
    /// Reads the committed goldens, or those in the folder in `DQA_GOLDENS`.
    ///
    /// # Panics
    /// Panics when the folder has no goldens.json of this format.
    pub fn load() -> Goldens {
        let folder = std::env::var_os("DQA_GOLDENS")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens"), PathBuf::from);
        Self::read(&folder)
    }

    /// Reads the goldens in `folder`.
    ///
    /// # Panics
    /// Panics when the folder has no goldens.json of this format.
    pub fn read(folder: &Path) -> Goldens {
        let path = folder.join("goldens.json");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
        let mut goldens: Goldens = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        goldens.folder = folder.to_owned();
        goldens
    }

    /// Returns the results of the model of this kind.
    ///
    /// # Panics
    /// Panics when the kind is unknown.
    pub fn model(&self, kind: &str) -> &ModelGolden {
        self.models.get(kind).unwrap_or_else(|| panic!("{} has no kind {kind}", self.folder.display()))
    }

    /// Returns the path of a picture by its file name, as in [`ModelGolden::scores`].
    pub fn picture(&self, name: &str) -> PathBuf {
        self.folder.join("pictures").join(name)
    }

    /// Returns the path of the same picture resized to 224x224 by Pillow.
    pub fn whole(&self, name: &str) -> PathBuf {
        self.picture(&name.replace(".png", ".whole224.png"))
    }
}

impl ModelGolden {
    /// Panics unless the sizes that the generator wrote are those of `shape`.
    pub fn check_shape(&self, shape: &ClipShape) {
        let known = [
            ("layers_v", shape.layers_v),
            ("layers_t", shape.layers_t),
            ("wv", shape.width_v),
            ("wt", shape.width_t),
            ("dim", shape.embed_dim),
            ("vocab", shape.vocab),
            ("heads_v", shape.heads_v),
            ("heads_t", shape.heads_t),
        ];
        for (key, value) in &self.config {
            assert!(known.contains(&(key.as_str(), *value)), "the goldens' {key} is {value}: another model");
        }
    }
}

impl Sampled {
    /// Panics unless `values`, a tensor of `shape`, has these samples and this norm within `tolerance` (relative for
    /// the norm, absolute for the values).
    pub fn check(&self, name: &str, shape: &[usize], values: &[f32], tolerance: f64) {
        assert_eq!(self.shape, shape, "shape of {name}");
        for (i, golden) in self.values.iter().enumerate() {
            let value = f64::from(values[i * self.every]);
            assert!((value - golden).abs() <= tolerance, "{name}[{}] is {value}, golden {golden}", i * self.every);
        }
        let norm = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        assert!((norm - self.norm).abs() <= tolerance * self.norm, "norm of {name} is {norm}, golden {}", self.norm);
    }
}
