//! The configuration of a model with OpenAI's tensor names: from its tensors' shapes, and from OpenCLIP's
//! `open_clip_config.json`.
//!
//! A setting in the file wins; what the file leaves out is read off the shapes, or is OpenCLIP's default. A setting
//! that this crate's towers do not compute is refused, and so is an unknown setting, unless it is off.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::clip_config::{
    Activation, ClipConfig, ConfigError, IMAGE, LAYERS_MAX, LAYERS_NEEDED, SIZE_NEEDED, TextConfig, VOCAB,
    VisionConfig, size,
};
use super::file_names;
use super::stored_tensor::TensorMap;

/// Columns of a head if no setting says otherwise.
const DEFAULT_HEAD_WIDTH: usize = 64;

/// An `open_clip_config.json`.
pub(crate) struct OpenClipConfig {
    path: PathBuf,
    model: Map<String, Value>,
}

/// Settings without an effect on the features of one picture or sentence.
const IGNORED_KEYS: [&str; 12] = [
    "attn_pooler_heads",
    "attn_pooler_queries",
    "cast_dtype",
    "custom_text",
    "init_logit_scale",
    "nonscalar_logit_scale",
    "output_dict",
    "output_tokens",
    "pad_id",
    "patch_dropout",
    "embed_dim",
    "quick_gelu",
];

/// Settings that must have the values that they have in CLIP.
const REQUIRED_VALUES: [(&str, &str); 5] = [
    ("pos_embed_type", "learnable"),
    ("pool_type", "tok"),
    ("proj_type", "linear"),
    ("text_pool_type", "argmax"),
    ("hf_model_name", ""),
];

impl OpenClipConfig {
    /// Parses a configuration of OpenCLIP; `None` if `json` is another kind of file.
    pub(crate) fn parse(json: &Value, path: &Path) -> Option<OpenClipConfig> {
        let model = match json.get("model_cfg") {
            Some(model) => model.as_object()?,
            // The files in OpenCLIP's own folder have this form.
            None if json.get("embed_dim").is_some() && json.get("vision_cfg").is_some() => json.as_object()?,
            None => return None,
        };
        // The settings beside it, of how pictures are prepared, do not matter: CLIP-DQA prepares them in its own way.
        Some(OpenClipConfig { path: path.to_owned(), model: model.clone() })
    }

    fn refuse(&self, key: &str, value: Option<&Value>, needed: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            path: self.path.clone(),
            key: key.to_owned(),
            value: value.map_or_else(|| "absent".to_owned(), Value::to_string),
            needed: needed.into(),
        }
    }
}

/// One object of the file; empty if the file lacks it.
struct Section<'a> {
    file: &'a OpenClipConfig,
    name: &'static str,
    object: Option<&'a Map<String, Value>>,
}

impl Section<'_> {
    fn refuse(&self, key: &str, needed: impl Into<String>) -> ConfigError {
        let key_in_file = if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
        self.file.refuse(&key_in_file, self.get(key), needed)
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.object?.get(key).filter(|value| !value.is_null())
    }

    fn size(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        size(value).map(Some).ok_or_else(|| self.refuse(key, SIZE_NEEDED))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_f64().filter(|number| *number > 0.0 && *number <= 1024.0);
        number.map(Some).ok_or_else(|| self.refuse(key, "a number above 0"))
    }

    fn eps(&self) -> Result<f64, ConfigError> {
        match self.get("norm_kwargs") {
            None => Ok(1e-5),
            Some(Value::Object(arguments)) if arguments.keys().all(|key| key == "eps") => match arguments.get("eps") {
                None => Ok(1e-5),
                Some(eps) => {
                    let eps = eps.as_f64().filter(|eps| (f64::MIN_POSITIVE..1.0).contains(eps));
                    eps.ok_or_else(|| self.refuse("norm_kwargs", "an `eps` between 0 and 1"))
                }
            },
            Some(_) => Err(self.refuse("norm_kwargs", "nothing but an `eps`")),
        }
    }

    /// Refuses a key that is set and not in `used`, unless it is off or as in CLIP.
    fn check(&self, used: &[&str]) -> Result<(), ConfigError> {
        for (key, value) in self.object.into_iter().flatten() {
            let is_off = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Object(object) => object.is_empty(),
                Value::String(text) => text.is_empty(),
                _ => false,
            };
            let key = key.as_str();
            if is_off || used.contains(&key) || IGNORED_KEYS.contains(&key) {
                continue;
            }
            let full = if self.name == "text_cfg" && key == "pool_type" { "text_pool_type" } else { key };
            match REQUIRED_VALUES.iter().find(|(name, _)| *name == full) {
                Some((_, only)) if value.as_str() == Some(only) => {}
                Some((_, "")) => return Err(self.refuse(key, "CLIP's own text tower and no such key")),
                Some((_, only)) => return Err(self.refuse(key, format!("\"{only}\""))),
                None => return Err(self.refuse(key, "no such key: it changes what the model computes")),
            }
        }
        Ok(())
    }
}

/// Why tensors do not give a model's configuration.
pub(crate) enum DeriveError {
    /// A tensor that a size is read from is missing, or has another number of axes.
    Missing(String),
    /// The model is of a kind that dqa does not run.
    NotRun(String),
    Config(ConfigError),
}

/// Returns the configuration of the model with these tensors, whose names begin with `prefix`, those of the text tower
/// with `text_prefix`. `settings` is its configuration file; without one the activation is quick-GELU.
pub(crate) fn derive_config(
    tensors: &TensorMap,
    prefix: &str,
    text_prefix: &str,
    settings: Option<&OpenClipConfig>,
) -> Result<ClipConfig, DeriveError> {
    let shapes = TensorShapes { tensors };
    let nothing = OpenClipConfig { path: PathBuf::new(), model: Map::new() };
    let file = settings.unwrap_or(&nothing);
    let section = |name: &'static str| Section { file, name, object: file.model.get(name).and_then(Value::as_object) };
    let top = Section { file, name: "", object: Some(&file.model) };
    top.check(&["vision_cfg", "text_cfg"]).map_err(DeriveError::Config)?;
    let is_quick = settings.is_none() || top.get("quick_gelu") == Some(&Value::Bool(true));
    let activation = if is_quick { Activation::QuickGelu } else { Activation::Gelu };
    let embed_dim = match top.size("embed_dim").map_err(DeriveError::Config)? {
        Some(dim) => dim,
        None => shapes.dim(&format!("{prefix}visual.proj"), 2, 1)?,
    };
    let vision = vision(&shapes, &format!("{prefix}visual."), &section("vision_cfg"), activation)?;
    let text = text(&shapes, text_prefix, &section("text_cfg"), activation)?;
    Ok(ClipConfig { vision, text, embed_dim })
}

fn vision(
    shapes: &TensorShapes<'_>,
    tower_prefix: &str,
    settings: &Section<'_>,
    activation: Activation,
) -> Result<VisionConfig, DeriveError> {
    let conv = format!("{tower_prefix}conv1.weight");
    let sizes = || -> Result<_, ConfigError> {
        if let Some(name) = settings.get("timm_model_name") {
            return Err(settings.file.refuse(
                "vision_cfg.timm_model_name",
                Some(name),
                "CLIP's own vision transformer",
            ));
        }
        if settings.get("layers").is_some_and(Value::is_array) {
            return Err(settings.refuse("layers", "one number: a vision transformer and no ResNet"));
        }
        settings.check(&["layers", "width", "patch_size", "image_size", "head_width", "mlp_ratio", "norm_kwargs"])?;
        Ok((
            settings.size("width")?,
            settings.size("layers")?,
            settings.size("patch_size")?,
            settings.size("image_size")?,
            settings.size("head_width")?,
            settings.number("mlp_ratio")?,
            settings.eps()?,
        ))
    };
    let (width, layers, patch, image, head, ratio, eps) = sizes().map_err(DeriveError::Config)?;
    let width = width.map_or_else(|| shapes.dim(&conv, 4, 0), Ok)?;
    let patch = patch.map_or_else(|| shapes.dim(&conv, 4, 2), Ok)?;
    let image = match image {
        Some(image) => image,
        None => {
            let places = shapes.dim(&format!("{tower_prefix}positional_embedding"), 2, 0)?;
            places.saturating_sub(1).isqrt() * patch
        }
    };
    if image != IMAGE {
        let why = format!("it takes pictures of {image} x {image} pixels, and dqa cuts windows of {IMAGE} x {IMAGE}");
        return Err(DeriveError::NotRun(why));
    }
    if patch == 0 || !image.is_multiple_of(patch) {
        return Err(DeriveError::NotRun(format!(
            "its patches have {patch} pixels a side, which does not divide {image}"
        )));
    }
    let layers = checked_layers(settings, layers)?.map_or_else(|| shapes.layers(tower_prefix), Ok)?;
    let mlp_width = match ratio {
        Some(ratio) => (width as f64 * ratio) as usize,
        None => shapes.mlp_width(tower_prefix)?,
    };
    let heads = heads("visual", width, head.unwrap_or(DEFAULT_HEAD_WIDTH))?;
    Ok(VisionConfig { width, layers, heads, mlp_width, patch, image, eps, activation })
}

fn text(
    shapes: &TensorShapes<'_>,
    tower_prefix: &str,
    settings: &Section<'_>,
    activation: Activation,
) -> Result<TextConfig, DeriveError> {
    let tokens = format!("{tower_prefix}token_embedding.weight");
    let sizes = || -> Result<_, ConfigError> {
        settings.check(&["layers", "width", "heads", "context_length", "vocab_size", "mlp_ratio", "norm_kwargs"])?;
        Ok((
            settings.size("width")?,
            settings.size("layers")?,
            settings.size("heads")?,
            settings.size("context_length")?,
            settings.size("vocab_size")?,
            settings.number("mlp_ratio")?,
            settings.eps()?,
        ))
    };
    let (width, layers, heads_setting, context, vocab, ratio, eps) = sizes().map_err(DeriveError::Config)?;
    let width = width.map_or_else(|| shapes.dim(&tokens, 2, 1), Ok)?;
    let vocab = vocab.map_or_else(|| shapes.dim(&tokens, 2, 0), Ok)?;
    if vocab != VOCAB {
        let why = format!("it has a vocabulary of {vocab} tokens, and dqa has CLIP's {VOCAB}");
        return Err(DeriveError::NotRun(why));
    }
    let context = context.map_or_else(|| shapes.dim(&format!("{tower_prefix}positional_embedding"), 2, 0), Ok)?;
    let layers = checked_layers(settings, layers)?.map_or_else(|| shapes.layers(tower_prefix), Ok)?;
    let mlp_width = match ratio {
        Some(ratio) => (width as f64 * ratio) as usize,
        None => shapes.mlp_width(tower_prefix)?,
    };
    let heads = match (heads_setting, settings.object) {
        (Some(heads), _) => heads,
        // This is OpenCLIP's default.
        (None, Some(_)) => 8,
        (None, None) => heads("text", width, DEFAULT_HEAD_WIDTH)?,
    };
    if !width.is_multiple_of(heads) {
        return Err(DeriveError::NotRun(format!("its text tower of width {width} cannot have {heads} heads")));
    }
    Ok(TextConfig { width, layers, heads, mlp_width, vocab, context, eps, activation })
}

fn checked_layers(settings: &Section<'_>, layers: Option<usize>) -> Result<Option<usize>, DeriveError> {
    match layers {
        Some(layers) if layers > LAYERS_MAX => Err(DeriveError::Config(settings.refuse("layers", LAYERS_NEEDED))),
        layers => Ok(layers),
    }
}

fn heads(tower: &str, width: usize, head: usize) -> Result<usize, DeriveError> {
    if width >= head && width.is_multiple_of(head) {
        return Ok(width / head);
    }
    Err(DeriveError::NotRun(format!(
        "its {tower} tower of width {width} does not divide into heads of {head}; an `{}` beside it says how many it has",
        file_names::OPEN_CLIP_CONFIG
    )))
}

/// The sizes that tensors' shapes give.
struct TensorShapes<'a> {
    tensors: &'a TensorMap,
}

impl TensorShapes<'_> {
    /// Returns the length of an axis of a tensor that must have `axes` axes.
    fn dim(&self, name: &str, axes: usize, axis: usize) -> Result<usize, DeriveError> {
        let shape = self.tensors.get(name).map(|tensor| tensor.shape.as_slice());
        let shape = shape.filter(|shape| shape.len() == axes && shape.iter().all(|dim| (1..1 << 20).contains(dim)));
        shape.map(|shape| shape[axis]).ok_or_else(|| DeriveError::Missing(name.to_owned()))
    }

    /// Returns one more than the highest layer number.
    fn layers(&self, tower_prefix: &str) -> Result<usize, DeriveError> {
        let start = format!("{tower_prefix}transformer.resblocks.");
        let number = |name: &String| name.strip_prefix(&start)?.split_once('.')?.0.parse::<u16>().ok();
        match self.tensors.keys().filter_map(number).max() {
            // A number that is far off would make a list of as many missing tensors.
            Some(last) if usize::from(last) < LAYERS_MAX => Ok(usize::from(last) + 1),
            _ => Err(DeriveError::Missing(format!("{start}0.attn.in_proj_weight"))),
        }
    }

    fn mlp_width(&self, tower_prefix: &str) -> Result<usize, DeriveError> {
        self.dim(&format!("{tower_prefix}transformer.resblocks.0.mlp.c_fc.weight"), 2, 0)
    }
}
