//! Opens a model's weights: finds the files, recognises the names of the tensors, and reads the configuration that
//! belongs to them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::checkpoint::CheckpointError;
use super::clip_config::{ClipConfig, ConfigError};
use super::clip_weights::{ClipWeights, WeightsForm};
use super::error::WeightsError;
use super::file_names::{CONFIG, OPEN_CLIP_CONFIG};
use super::mismatch::{self, Mismatch};
use super::name_mapping::{self as names, NamingScheme};
use super::open_clip_config::{self as open_clip, DeriveError, OpenClipConfig};
use super::source::{OpenedWeights, WeightsSource};
use super::stored_tensor::TensorMap;

impl ClipWeights {
    /// Opens a directory or a file with a model in any of the forms of [`WeightsForm`], recognised by its content and
    /// not its name: Hugging Face's with `config.json`, OpenAI's archives, OpenCLIP's with `open_clip_config.json`. The
    /// files are mapped, not read; they must not change while in use.
    ///
    /// # Errors
    /// Every [`WeightsError`]. A tensor that is missing, unexpected, of another shape, or not F32, F16 or BF16 is an
    /// error.
    pub fn open(path: &Path) -> Result<ClipWeights, WeightsError> {
        open(path)
    }
}

/// Buffers of OpenAI's archives. They repeat what the shapes say.
const SIZES: [&str; 3] = ["input_resolution", "context_length", "vocab_size"];

/// Tensors of one model, under the names of their file.
struct FoundTensors {
    scheme: NamingScheme,
    prefix: String,
    tensors: TensorMap,
    is_torch: bool,
    is_script: bool,
}

/// A parsed configuration file.
enum ConfigFile {
    HuggingFace(ClipConfig),
    OpenClip(OpenClipConfig),
}

fn open(path: &Path) -> Result<ClipWeights, WeightsError> {
    let source = WeightsSource::find(path)?;
    // The configuration of a usual name is read first, so that a model of another kind is refused with what its
    // configuration says.
    let config = source.config.as_deref().map(ConfigFile::read).transpose()?;
    let origin = format!("`{}`", path.display());
    let found = FoundTensors::choose(&source, &origin)?;
    let loader = Loader { source: &source, origin: &origin };
    let (mut weights, config_path) = match found.scheme {
        NamingScheme::HuggingFace => loader.hugging_face(found, config)?,
        NamingScheme::OpenAi => loader.open_ai(found, config)?,
    };
    weights.files = config_path.into_iter().chain(source.files()?).collect();
    Ok(weights)
}

impl ConfigFile {
    fn read(path: &Path) -> Result<ConfigFile, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let json: Value =
            serde_json::from_str(&text).map_err(|source| ConfigError::Json { path: path.to_owned(), source })?;
        match OpenClipConfig::parse(&json, path) {
            Some(config) => Ok(ConfigFile::OpenClip(config)),
            None => Ok(ConfigFile::HuggingFace(ClipConfig::parse(&text, path)?)),
        }
    }
}

impl FoundTensors {
    /// Chooses the tensors in the source that are a CLIP model's.
    fn choose(source: &WeightsSource, origin: &str) -> Result<FoundTensors, WeightsError> {
        let mut content = source.open()?;
        let (is_torch, is_script) = (content.is_torch(), content.is_script());
        let not_run = |why: String| WeightsError::NotRun { origin: origin.to_owned(), why };
        let (chosen, places) = {
            let sets = content.tensor_sets();
            let mut chosen = Vec::new();
            for (i, (_, names)) in sets.iter().enumerate() {
                let names: BTreeSet<&str> = names.iter().copied().collect();
                if let Some(why) = names::unsupported(&names) {
                    return Err(not_run(why.to_owned()));
                }
                if let Some((scheme, prefix)) = names::scheme(&names) {
                    chosen.push((i, scheme, prefix));
                }
            }
            if chosen.is_empty() {
                return Err(not_run(describe_content(&content)));
            }
            let place = |(i, ..): &(usize, NamingScheme, String)| format!("`{}`", sets[*i].0);
            let places: Vec<String> = chosen.iter().take(3).map(place).collect();
            (chosen, places)
        };
        let path = || source.weights.clone();
        let mut taken: Vec<TensorMap> = Vec::new();
        let several = chosen.len() > MODELS_MAX;
        for (i, ..) in chosen.iter().take(MODELS_MAX) {
            let tensors = content.take(*i);
            let tensors = tensors.map_err(|source| CheckpointError::Torch { path: path(), source })?;
            taken.push(tensors);
        }
        // One model that is stored twice counts as one.
        if several || taken.windows(2).any(|pair| pair[0] != pair[1]) {
            let places = places.join(" and ");
            return Err(not_run(format!("it holds more than one, under {places}: save the one that is meant alone")));
        }
        let (_, scheme, prefix) = chosen.into_iter().next().expect("there is one at least");
        Ok(FoundTensors { scheme, prefix, tensors: taken.swap_remove(0), is_torch, is_script })
    }
}

/// Copies of one model in a checkpoint that are compared. More are taken to be several models.
const MODELS_MAX: usize = 4;

/// Describes the content of a file that holds no CLIP model.
fn describe_content(content: &OpenedWeights) -> String {
    const SHOWN: usize = 5;
    let sets = content.tensor_sets();
    let names: Vec<&str> = sets.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    if names.iter().any(|name| name.contains("prompts_text.") || name.contains("prompts_vis.")) {
        return "it holds prompts, which are given as --prompts".to_owned();
    }
    if names.is_empty() {
        return "it has no tensors".to_owned();
    }
    let shown = names[..names.len().min(SHOWN)].join(", ");
    let rest = if names.len() > SHOWN { ", ..." } else { "" };
    format!("it has no tensors of CLIP: its {} tensors are {shown}{rest}", names.len())
}

/// The source of the weights, and its name in errors.
struct Loader<'a> {
    source: &'a WeightsSource,
    origin: &'a str,
}

type Opened = (ClipWeights, Option<PathBuf>);

impl Loader<'_> {
    fn hugging_face(&self, found: FoundTensors, config: Option<ConfigFile>) -> Result<Opened, WeightsError> {
        let (config, path) = match (config, &self.source.config) {
            (Some(ConfigFile::HuggingFace(config)), Some(path)) => (config, path.clone()),
            _ => {
                let weights = self.source.weights.clone();
                let path = self.source.sibling(CONFIG).ok_or(WeightsError::NoConfig { weights, config: CONFIG })?;
                (ClipConfig::read(&path)?, path)
            }
        };
        let form = if found.is_torch { WeightsForm::HfPyTorch } else { WeightsForm::HfSafetensors };
        let weights = ClipWeights::checked(config, found.tensors, &found.prefix, self.origin)?;
        Ok((ClipWeights { form, ..weights }, Some(path)))
    }

    fn open_ai(&self, mut found: FoundTensors, config: Option<ConfigFile>) -> Result<Opened, WeightsError> {
        let sizes: Vec<Option<i64>> = SIZES
            .iter()
            .map(|name| found.tensors.remove(&format!("{}{name}", found.prefix)))
            .map(|buffer| buffer.map(|buffer| buffer.number().unwrap_or(-1)))
            .collect();
        // Only OpenAI's archives have these buffers, so the model is one of OpenAI's, whatever file lies beside it.
        let is_open_ai = sizes.iter().all(Option::is_some);
        let (config, path) = if is_open_ai { (None, None) } else { self.configuration(config)? };
        let config = match config {
            Some(ConfigFile::HuggingFace(config)) => config,
            Some(ConfigFile::OpenClip(settings)) => self.derived(&found, Some(&settings))?,
            None => self.derived(&found, None)?,
        };
        let wanted = [config.vision.image, config.text.context, config.text.vocab];
        for ((name, size), wanted) in SIZES.iter().zip(&sizes).zip(wanted) {
            if size.is_some_and(|size| size != wanted as i64) {
                let why = format!("its `{name}` is not {wanted}, as its tensors have it");
                return Err(WeightsError::NotRun { origin: self.origin.to_owned(), why });
            }
        }
        let context = config.text.context;
        found.tensors.retain(|name, tensor| !(name.ends_with("attn_mask") && tensor.is_causal_mask(context)));
        let tensors = names::from_open_ai(&config, &found.tensors, &found.prefix);
        let tensors = tensors.map_err(|source| self.mismatch(source))?;
        let form = match (is_open_ai, found.is_script, found.is_torch) {
            (true, true, _) => WeightsForm::OpenAiTorchScript,
            (true, false, true) => WeightsForm::OpenAiPyTorch,
            (true, false, false) => WeightsForm::OpenAiSafetensors,
            (false, true, _) => WeightsForm::OpenClipTorchScript,
            (false, false, true) => WeightsForm::OpenClipPyTorch,
            (false, false, false) => WeightsForm::OpenClipSafetensors,
        };
        Ok((ClipWeights { form, ..ClipWeights::from_stored(config, tensors) }, path))
    }

    /// Returns the configuration beside the weights, which tells their activation.
    fn configuration(&self, known: Option<ConfigFile>) -> Result<(Option<ConfigFile>, Option<PathBuf>), WeightsError> {
        if let Some(path) = self.source.sibling(OPEN_CLIP_CONFIG) {
            return Ok((Some(ConfigFile::read(&path)?), Some(path)));
        }
        if known.is_some() {
            return Ok((known, self.source.config.clone()));
        }
        // A `config.json` of a model other than CLIP may lie there by chance.
        match self.source.sibling(CONFIG).map(|path| (ConfigFile::read(&path), path)) {
            Some((Ok(config), path)) => Ok((Some(config), Some(path))),
            _ => Err(WeightsError::NoActivation { weights: self.source.weights.clone() }),
        }
    }

    fn derived(&self, found: &FoundTensors, settings: Option<&OpenClipConfig>) -> Result<ClipConfig, WeightsError> {
        let text_prefix = names::text_prefix(found.tensors.keys(), &found.prefix);
        open_clip::derive_config(&found.tensors, &found.prefix, &text_prefix, settings).map_err(|error| match error {
            DeriveError::Config(error) => error.into(),
            DeriveError::NotRun(why) => WeightsError::NotRun { origin: self.origin.to_owned(), why },
            DeriveError::Missing(name) => match found.tensors.get(&name) {
                None => self.mismatch(Mismatch { missing: vec![name], ..Mismatch::default() }),
                Some(tensor) => {
                    let misshapen = vec![format!("{name} is {}", mismatch::dims(&tensor.shape))];
                    self.mismatch(Mismatch { misshapen, ..Mismatch::default() })
                }
            },
        })
    }

    fn mismatch(&self, source: Mismatch) -> WeightsError {
        WeightsError::Tensors { origin: self.origin.to_owned(), source }
    }
}
