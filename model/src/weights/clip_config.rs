//! The sizes and the arithmetic of a CLIP model, read from a Hugging Face `config.json`.
//!
//! It refuses every value that this crate's towers do not compute (another activation, another picture size), so that a
//! [`ClipConfig`] always describes a model that can run. It knows nothing of tensors. It ignores keys that have no
//! effect on a forward pass.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

/// Tokens in CLIP's vocabulary, the only one that sentences are tokenized with.
pub(crate) const VOCAB: usize = 49408;
/// Side of the towers' input in pixels; windows and whole views are resized to it.
pub(crate) const IMAGE: usize = 224;
/// Larger than any size in a CLIP model, and small enough that a product of three does not overflow.
const SIZE_MAX: u64 = 1 << 20;

/// More layers than any model has. Each layer is a list of tensors to look for.
pub(crate) const LAYERS_MAX: usize = 1000;
pub(crate) const LAYERS_NEEDED: &str = "a whole number from 1 to 1000";

/// Sizes and constants of a CLIP model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClipConfig {
    /// The visual tower.
    pub vision: VisionConfig,
    /// The text tower.
    pub text: TextConfig,
    /// Width of the space that both towers project to.
    pub embed_dim: usize,
}

/// The function between the two linear layers of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x sigmoid(1.702 x), in OpenAI's models.
    #[default]
    QuickGelu,
    /// x times the cumulative normal distribution at x, in most of OpenCLIP's models.
    Gelu,
}

impl Activation {
    /// Returns the name in a configuration of transformers.
    pub(crate) fn as_hidden_act(self) -> &'static str {
        match self {
            Activation::QuickGelu => "quick_gelu",
            Activation::Gelu => "gelu",
        }
    }

    // Configurations with quick-GELU keep the hash that they had when it was the only activation.
    fn is_quick(&self) -> bool {
        *self == Activation::QuickGelu
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Activation::QuickGelu => "quick-GELU",
            Activation::Gelu => "GELU",
        })
    }
}

/// Sizes and constants of the visual tower.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VisionConfig {
    /// Width of a token.
    pub width: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Attention heads; `width` is a multiple of it.
    pub heads: usize,
    /// Width between the two linear layers of a block.
    pub mlp_width: usize,
    /// Side of a patch in pixels; `image` is a multiple of it.
    pub patch: usize,
    /// Side of the picture in pixels: 224.
    pub image: usize,
    /// Epsilon of the layer norms.
    pub eps: f64,
    /// The function between the two linear layers of a block.
    #[serde(skip_serializing_if = "Activation::is_quick")]
    pub activation: Activation,
}

/// Sizes and constants of the text tower.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextConfig {
    /// Width of a token.
    pub width: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Attention heads; `width` is a multiple of it.
    pub heads: usize,
    /// Width between the two linear layers of a block.
    pub mlp_width: usize,
    /// Tokens in the vocabulary: 49408.
    pub vocab: usize,
    /// Longest sentence in tokens, start and end included.
    pub context: usize,
    /// Epsilon of the layer norms.
    pub eps: f64,
    /// The function between the two linear layers of a block.
    #[serde(skip_serializing_if = "Activation::is_quick")]
    pub activation: Activation,
}

/// Why a `config.json` does not describe a model that can run. Trying again gives the same error.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing or cannot be read.
    #[error("cannot read the model's configuration `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not JSON.
    #[error("`{}` is not JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// A key has a value that only another kind of model has.
    #[error("`{}`: `{key}` is {value}, but dqa needs {needed}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key with its section, as `text_config.hidden_size`.
        key: String,
        /// The value as JSON, or `absent`.
        value: String,
        /// The value that is expected.
        needed: String,
    },
}

impl VisionConfig {
    /// Returns the patches on a side of the picture: 7 for patches of 32 pixels.
    pub fn grid(&self) -> usize {
        self.image / self.patch
    }

    /// Returns the patches in a picture: 49 for patches of 32 pixels.
    pub fn patches(&self) -> usize {
        self.grid() * self.grid()
    }
}

impl ClipConfig {
    /// Returns the patches on a side of the picture: 7 for patches of 32 pixels.
    pub fn grid(&self) -> usize {
        self.vision.grid()
    }

    /// Returns the patches in a picture: 49 for patches of 32 pixels.
    pub fn patches(&self) -> usize {
        self.vision.patches()
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Every [`ConfigError`].
    pub fn read(path: &Path) -> Result<ClipConfig, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Parses the description of a model; `path` stands for its file in errors.
    ///
    /// # Errors
    /// [`ConfigError::Json`] and [`ConfigError::Value`].
    pub fn parse(json: &str, path: &Path) -> Result<ClipConfig, ConfigError> {
        let root: Value =
            serde_json::from_str(json).map_err(|source| ConfigError::Json { path: path.to_owned(), source })?;
        let file = File { path, root: &root };
        if root.get("model_type").and_then(Value::as_str) != Some("clip") {
            return Err(file.refuse("model_type", root.get("model_type"), "\"clip\""));
        }
        // transformers leaves out keys with its default values, which are those of ViT-B/32.
        let embed_dim = file.top_size("projection_dim", 512)?;
        Ok(ClipConfig {
            vision: file.section("vision_config").vision()?,
            text: file.section("text_config").text()?,
            embed_dim,
        })
    }
}

/// A parsed file, with its path for errors.
#[derive(Clone, Copy)]
struct File<'a> {
    path: &'a Path,
    root: &'a Value,
}

impl<'a> File<'a> {
    fn section(self, name: &'static str) -> Section<'a> {
        Section { file: self, name }
    }

    fn top_size(self, key: &str, default: usize) -> Result<usize, ConfigError> {
        match self.root.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => size(value).ok_or_else(|| self.refuse(key, Some(value), SIZE_NEEDED)),
        }
    }

    fn refuse(self, key: &str, value: Option<&Value>, needed: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            path: self.path.to_owned(),
            key: key.to_owned(),
            value: value.map_or_else(|| "absent".to_owned(), Value::to_string),
            needed: needed.into(),
        }
    }
}

pub(crate) const SIZE_NEEDED: &str = "a whole number from 1 to 1048576";

pub(crate) fn size(value: &Value) -> Option<usize> {
    let number = value.as_u64()?;
    (1..=SIZE_MAX).contains(&number).then_some(number as usize)
}

/// One tower's part of the file: `text_config`, and `text_config_dict` in files of old versions, which repeats some of
/// its values or is null.
#[derive(Clone, Copy)]
struct Section<'a> {
    file: File<'a>,
    name: &'static str,
}

impl<'a> Section<'a> {
    fn vision(self) -> Result<VisionConfig, ConfigError> {
        self.check_kind("clip_vision_model")?;
        let vision = VisionConfig {
            width: self.size("hidden_size", 768)?,
            layers: self.layers()?,
            heads: self.heads("hidden_size", 768, 12)?,
            mlp_width: self.size("intermediate_size", 3072)?,
            patch: self.size("patch_size", 32)?,
            image: self.fixed("image_size", IMAGE, IMAGE)?,
            eps: self.eps()?,
            activation: self.activation()?,
        };
        self.fixed("num_channels", 3, 3)?;
        if !vision.image.is_multiple_of(vision.patch) {
            return self.refuse("patch_size", format!("a divisor of the picture's side {IMAGE}"));
        }
        Ok(vision)
    }

    fn text(self) -> Result<TextConfig, ConfigError> {
        self.check_kind("clip_text_model")?;
        Ok(TextConfig {
            width: self.size("hidden_size", 512)?,
            layers: self.layers()?,
            heads: self.heads("hidden_size", 512, 8)?,
            mlp_width: self.size("intermediate_size", 2048)?,
            vocab: self.fixed("vocab_size", VOCAB, VOCAB)?,
            context: self.size("max_position_embeddings", 77)?,
            eps: self.eps()?,
            activation: self.activation()?,
        })
    }

    /// Returns the value of `key` from whichever of the two objects has it.
    fn get(self, key: &str) -> Result<Option<&'a Value>, ConfigError> {
        let old_name = format!("{}_dict", self.name);
        let mut found: Option<&'a Value> = None;
        for name in [self.name, &old_name] {
            let object = match self.file.root.get(name) {
                None | Some(Value::Null) => continue,
                Some(Value::Object(object)) => object,
                other => return Err(self.file.refuse(name, other, "an object")),
            };
            match (object.get(key), found) {
                (None | Some(Value::Null), _) => {}
                (Some(value), Some(first)) if value != first => {
                    // transformers takes the old object's value here, other libraries the new one's: neither is safe.
                    let needed = format!("{first}, as `{}.{key}` says, or one of the two removed", self.name);
                    return Err(self.file.refuse(&format!("{name}.{key}"), Some(value), needed));
                }
                (Some(value), _) => found = Some(value),
            }
        }
        Ok(found)
    }

    fn size(self, key: &str, default: usize) -> Result<usize, ConfigError> {
        match self.get(key)? {
            None => Ok(default),
            Some(value) => size(value).map_or_else(|| self.refuse(key, SIZE_NEEDED), Ok),
        }
    }

    fn layers(self) -> Result<usize, ConfigError> {
        let key = "num_hidden_layers";
        match self.get(key)? {
            None => Ok(12),
            Some(value) => match size(value).filter(|layers| *layers <= LAYERS_MAX) {
                Some(layers) => Ok(layers),
                None => self.refuse(key, LAYERS_NEEDED),
            },
        }
    }

    fn fixed(self, key: &str, default: usize, only: usize) -> Result<usize, ConfigError> {
        let value = self.size(key, default)?;
        if value == only { Ok(value) } else { self.refuse(key, only.to_string()) }
    }

    fn heads(self, width_key: &str, width_default: usize, default: usize) -> Result<usize, ConfigError> {
        let (width, heads) = (self.size(width_key, width_default)?, self.size("num_attention_heads", default)?);
        if width.is_multiple_of(heads) {
            Ok(heads)
        } else {
            self.refuse("num_attention_heads", format!("a divisor of {width}"))
        }
    }

    fn eps(self) -> Result<f64, ConfigError> {
        match self.get("layer_norm_eps")? {
            None => Ok(1e-5),
            Some(value) => match value.as_f64().filter(|eps| (f64::MIN_POSITIVE..1.0).contains(eps)) {
                Some(eps) => Ok(eps),
                None => self.refuse("layer_norm_eps", "a number between 0 and 1"),
            },
        }
    }

    /// Refuses another kind of tower.
    fn check_kind(self, model_type: &str) -> Result<(), ConfigError> {
        match self.get("model_type")? {
            Some(value) if value.as_str() != Some(model_type) => self.refuse("model_type", format!("\"{model_type}\"")),
            _ => Ok(()),
        }
    }

    fn activation(self) -> Result<Activation, ConfigError> {
        let Some(value) = self.get("hidden_act")? else { return Ok(Activation::QuickGelu) };
        let known = [Activation::QuickGelu, Activation::Gelu];
        match known.into_iter().find(|known| value.as_str() == Some(known.as_hidden_act())) {
            Some(activation) => Ok(activation),
            None => self.refuse("hidden_act", "\"quick_gelu\" or \"gelu\""),
        }
    }

    fn refuse<T>(self, key: &str, needed: impl Into<String>) -> Result<T, ConfigError> {
        Err(self.file.refuse(&format!("{}.{key}", self.name), self.get(key)?, needed))
    }
}
