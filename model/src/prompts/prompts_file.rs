//! Reads and writes files of prompts: safetensors, or the PyTorch checkpoints that the authors' code saves.
//!
//! It finds the prompts' tensors in a file and gives them their plain names. It does not check whether they are
//! complete.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tracing::info;

use super::error::{PromptsError, WORDS_KEY};
use super::tensor_names::PromptTensorName;
use super::tokens::Words;
use crate::torch::Dictionary;
use crate::weights::checkpoint::{self, CheckpointError, CheckpointFormat};
use crate::weights::mismatch::Mismatch;
use crate::weights::stored_tensor::{StoredTensor, TensorMap};

/// The two buffers that the authors' module saves with its prompts: rows of CLIP's token embedding.
const BUFFERS: [&str; 2] = ["token_prefix", "token_suffix"];

/// Prefixes of the other tensors in a checkpoint of a training: Adam's moments, and the best epoch's tensors.
const OPTIMIZER_PREFIXES: [&str; 3] = ["mean.", "square.", "best."];

/// Reads the prompts' tensors in a file, by their plain names, and the words.
pub(crate) fn read(path: &Path) -> Result<(BTreeMap<String, Tensor>, Words), PromptsError> {
    match checkpoint::detect_kind(path)? {
        CheckpointFormat::Torch => Ok((read_torch(path)?, Words::default())),
        CheckpointFormat::Safetensors => {
            let origin = format!("`{}`", path.display());
            Ok((extract(&checkpoint::open(path)?, &origin)?, words(&checkpoint::map_file(path)?, path)?))
        }
    }
}

/// Parses a safetensors file in memory, like [`read`]; `origin` stands for its path in errors.
pub(crate) fn parse(file: &[u8], origin: &Path) -> Result<(BTreeMap<String, Tensor>, Words), PromptsError> {
    let tensors = extract(&checkpoint::parse(file, origin)?, &format!("`{}`", origin.display()))?;
    Ok((tensors, words(file, origin)?))
}

/// Takes the prompts from a file's tensors.
fn extract(stored: &TensorMap, origin: &str) -> Result<BTreeMap<String, Tensor>, PromptsError> {
    let selected = select(stored.keys(), origin)?;
    let tensor = |(name, plain): (&str, &str)| Ok((plain.to_owned(), tensor(&stored[name], name, plain, origin)?));
    selected.into_iter().map(tensor).collect()
}

/// Returns the tensor called `name`, which is `plain` without its prefix, as f32 on the CPU.
fn tensor(stored: &StoredTensor, name: &str, plain: &str, origin: &str) -> Result<Tensor, PromptsError> {
    if !stored.info().readable {
        let unreadable = vec![format!("{plain} is {}", stored.dtype_name())];
        let source = Mismatch { unreadable, ..Mismatch::default() };
        return Err(PromptsError::Tensors { origin: origin.to_owned(), source });
    }
    let values = stored.values(0..stored.shape.iter().product());
    Tensor::from_vec(values, stored.shape.as_slice(), &Device::Cpu)
        .map_err(|source| PromptsError::Tensor { name: name.to_owned(), source })
}

/// Returns the words beside a safetensors file's tensors; the paper's if there are none.
fn words(file: &[u8], path: &Path) -> Result<Words, PromptsError> {
    let metadata = checkpoint::metadata(file, path)?;
    let Some(words) = metadata.get(WORDS_KEY) else { return Ok(Words::default()) };
    serde_json::from_str(words)
        .map_err(|source| PromptsError::WordsForm { origin: format!("`{}`", path.display()), source })
}

/// A tensor's f32 values, little-endian.
pub(crate) struct TensorData<'a> {
    pub(crate) name: &'a str,
    pub(crate) shape: &'a [usize],
    pub(crate) bytes: Vec<u8>,
}

/// Writes a safetensors file.
pub(crate) fn to_bytes(tensors: &[TensorData], words: &Words) -> Vec<u8> {
    let views = tensors.iter().map(|TensorData { name, shape, bytes }| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes).expect("as many bytes as the shape says");
        (*name, view)
    });
    let words = serde_json::to_string(words).expect("two texts are JSON");
    let metadata = HashMap::from([(WORDS_KEY.to_owned(), words)]);
    safetensors::serialize(views, Some(metadata)).expect("each tensor has a name of its own")
}

/// Different sets of prompts in one checkpoint that are listed: enough to say that there are several.
const SETS_SHOWN: usize = 3;

/// Reads prompts from the dictionary of the checkpoint that holds them, under whatever keys it lies. A dictionary that
/// occurs several times, or several with equal prompts, count as one.
fn read_torch(path: &Path) -> Result<BTreeMap<String, Tensor>, PromptsError> {
    let origin = format!("`{}`", path.display());
    let mut file = checkpoint::open_torch(path)?;
    let dictionaries: Vec<Dictionary> =
        file.dictionaries().iter().filter(|found| has_prompts(found)).cloned().collect();
    let mut sets: Vec<(&str, BTreeMap<String, StoredTensor>)> = Vec::new();
    for Dictionary { path: key_path, tensors } in &dictionaries {
        let mut set = BTreeMap::new();
        // Only the selected tensors are read: the authors' buffers are slices of a larger tensor.
        for (name, plain) in select(tensors.keys(), &origin)? {
            let stored = file.stored(name, &tensors[name]);
            let stored = stored.map_err(|source| CheckpointError::Torch { path: path.to_owned(), source })?;
            set.insert(plain.to_owned(), stored);
        }
        if sets.iter().all(|(_, other)| *other != set) {
            sets.push((key_path, set));
        }
        if sets.len() > SETS_SHOWN {
            break;
        }
    }
    match &sets[..] {
        [(_, set)] => {
            let tensor =
                |(plain, stored): (&String, &StoredTensor)| Ok((plain.clone(), tensor(stored, plain, plain, &origin)?));
            set.iter().map(tensor).collect()
        }
        [] => Err(PromptsError::NoPrompts { found: describe_dictionaries(file.dictionaries()), origin }),
        _ => {
            let places: Vec<String> =
                sets.iter().take(SETS_SHOWN).map(|(key_path, _)| format!("`{key_path}`")).collect();
            Err(PromptsError::Several { origin, prefixes: places.join(" and ") })
        }
    }
}

/// Returns whether a dictionary holds prompts, and not an optimizer's values for prompts.
fn has_prompts(dictionary: &Dictionary) -> bool {
    let is_optimizer = dictionary.path.split('.').any(|key| key.starts_with("optim"));
    !is_optimizer && dictionary.tensors.keys().any(|name| name_prefix(name).is_some())
}

/// Describes where prompts were looked for in vain.
fn describe_dictionaries(dictionaries: &[Dictionary]) -> String {
    const SHOWN: usize = 5;
    match dictionaries {
        [] => "it has no tensors".to_owned(),
        [only] => {
            let names: Vec<&str> = only.tensors.keys().take(SHOWN).map(String::as_str).collect();
            describe_names(only.tensors.len(), &names)
        }
        _ => {
            let places: Vec<String> =
                dictionaries.iter().take(SHOWN).map(|found| format!("`{}`", found.path)).collect();
            let rest = if dictionaries.len() > SHOWN { ", ..." } else { "" };
            format!("none in its {} dictionaries of tensors, {}{rest}", dictionaries.len(), places.join(", "))
        }
    }
}

/// Lists `names`, the first of `count`.
fn describe_names(count: usize, names: &[&str]) -> String {
    let rest = if count > names.len() { ", ..." } else { "" };
    format!("its {count} tensors are {}{rest}", names.join(", "))
}

/// Selects the prompts among `names`, with their plain names. Leaves out the authors' two buffers, Adam's moments and,
/// if prompts have a prefix, the names without it. Other names beside the prompts stay, to be refused later.
pub(crate) fn select<'a>(
    names: impl IntoIterator<Item = &'a String>,
    origin: &str,
) -> Result<Vec<(&'a str, &'a str)>, PromptsError> {
    let mut names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    names.retain(|name| !OPTIMIZER_PREFIXES.iter().any(|prefix| name.starts_with(prefix)));
    names.sort_unstable();
    let prefixes: BTreeSet<&str> = names.iter().filter_map(|name| name_prefix(name)).collect();
    let prefix = match prefixes.iter().collect::<Vec<_>>()[..] {
        [prefix] => *prefix,
        [] => {
            let found = describe_names(names.len(), &names[..names.len().min(5)]);
            return Err(PromptsError::NoPrompts { origin: origin.to_owned(), found });
        }
        _ => {
            let prefixes: Vec<String> = prefixes.iter().map(|prefix| format!("`{prefix}`")).collect();
            return Err(PromptsError::Several { origin: origin.to_owned(), prefixes: prefixes.join(" and ") });
        }
    };
    let inside: Vec<(&str, &str)> = names.iter().filter_map(|name| Some((*name, name.strip_prefix(prefix)?))).collect();
    let left_out = names.len() - inside.len();
    if left_out > 0 {
        info!(origin, prefix, left_out, "took the prompts from a larger checkpoint");
    }
    Ok(inside.into_iter().filter(|(_, plain)| !BUFFERS.contains(plain)).collect())
}

/// Returns the prefix of a learnable tensor's name: empty, or ending with a dot. `None` for other tensors.
fn name_prefix(name: &str) -> Option<&str> {
    let starts = std::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
    starts
        .map(|start| name.split_at(start))
        .find(|(_, plain)| PromptTensorName::parse(plain).is_some())
        .map(|(prefix, _)| prefix)
}
