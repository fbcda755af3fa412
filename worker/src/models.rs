//! Weights and prompts by the name that a user gives them: a path, `hf:OWNER/NAME` of the hub, or `dqa:NAME`, which is in
//! the program. What each is for is in configs/models.

use std::path::{Path, PathBuf};

use dqa_model::{ClipConfig, ClipWeights, Prompts, PromptsError, WeightsError};

use crate::hub::{self, HubError};

/// What a name begins with whose files are in the program.
const SCHEME: &str = "dqa:";

/// A model that is in the program.
struct Shipped {
    name: &'static str,
    config: &'static str,
    weights: &'static [u8],
    prompts: &'static [u8],
    /// What whoever reads its scores must know.
    remark: &'static str,
}

const SHIPPED: [Shipped; 1] = [Shipped {
    name: "dqa:small",
    config: include_str!("../../configs/models/small/config.json"),
    weights: include_bytes!("../../configs/models/small/model.safetensors"),
    prompts: include_bytes!("../../configs/models/small/prompts.safetensors"),
    remark: "dqa:small learned from synthetic pictures and pseudo-labels: it is for trying things out",
}];

/// Why there is no such model, or no such prompts.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A name of nothing that is in the program.
    #[error("`{name}` is not in this program, which has `{}`", SHIPPED[0].name)]
    NotShipped {
        /// As given.
        name: String,
    },
    /// The model is nowhere.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The model's files cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The prompts cannot be read, or are none for this model.
    #[error(transparent)]
    Prompts(#[from] PromptsError),
}

/// CLIP's weights: of a directory or file, `hf:OWNER/NAME[@REVISION]`, or `dqa:NAME`.
///
/// # Errors
/// Every [`OpenError`] but that of prompts.
pub fn weights(model: &str, offline: bool) -> Result<ClipWeights, OpenError> {
    match shipped(model)? {
        Some(own) => Ok(ClipWeights::parse(own.config, own.weights, Path::new(own.name))?),
        None => Ok(ClipWeights::open(&hub::resolve(model, offline)?)?),
    }
}

/// The files of a model's weights, its configuration first; none where they are in the program.
///
/// # Errors
/// As [`weights()`].
pub fn files(model: &str, offline: bool) -> Result<Vec<PathBuf>, OpenError> {
    if shipped(model)?.is_some() {
        return Ok(Vec::new());
    }
    Ok(dqa_model::weight_files(&hub::resolve(model, offline)?)?)
}

/// Prompts for a model of this configuration: of a file, or those that belong to `dqa:NAME`.
///
/// # Errors
/// [`OpenError::NotShipped`] and [`OpenError::Prompts`].
pub fn prompts(file: &Path, config: &ClipConfig) -> Result<Prompts, OpenError> {
    match file.to_str().map_or(Ok(None), shipped)? {
        Some(own) => Ok(Prompts::parse(own.prompts, Path::new(own.name), config)?),
        None => Ok(Prompts::open(file, config)?),
    }
}

/// What results must say of a model that is in the program.
pub fn remark(model: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|own| own.name == model).map(|own| own.remark)
}

/// `None` for what is no name of the program's own.
fn shipped(name: &str) -> Result<Option<&'static Shipped>, OpenError> {
    if !name.starts_with(SCHEME) {
        return Ok(None);
    }
    let found = SHIPPED.iter().find(|own| own.name == name);
    found.map(Some).ok_or_else(|| OpenError::NotShipped { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_program_is_a_model_with_its_prompts() {
        for own in &SHIPPED {
            let weights = weights(own.name, true).unwrap();
            prompts(Path::new(own.name), weights.config()).unwrap();
        }
    }

    #[test]
    fn it_is_small() {
        for own in &SHIPPED {
            assert!(own.weights.len() + own.prompts.len() < 8_000_000, "{} is in the repository", own.name);
        }
    }

    #[test]
    fn another_name_is_told() {
        let error = weights("dqa:smal", true).unwrap_err();
        assert_eq!(error.to_string(), "`dqa:smal` is not in this program, which has `dqa:small`");
        assert!(matches!(weights("small", true), Err(OpenError::Hub(_))), "a path, where it has no such beginning");
    }
}
