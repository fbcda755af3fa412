//! A training's checkpoint as one object: the trainer's state after an epoch, the epochs so far, and the best state if
//! the setup selects an epoch. It is written with one atomic put after each epoch, and within a long one every few minutes, so a
//! training that was killed resumes from there.

use std::collections::HashMap;

use bytes::Bytes;
use dqa_pipelines::causes;
use dqa_pipelines::tables::epochs::EpochRow;
use safetensors::tensor::TensorView;
use safetensors::{SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};

use super::epoch_stats::EpochStats;

/// The checkpoint's file in a trial's folder.
pub(super) const CHECKPOINT: &str = "checkpoint.safetensors";

const FACTS: &str = "dqa.checkpoint";

/// Prefix of the names of the best state's tensors and facts; those of the last epoch have no prefix.
const BEST: &str = "best.";

/// The epochs so far, and the best of them if the setup selects one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct History {
    pub(super) epochs: Vec<EpochRow>,
    pub(super) best: Option<Best>,
    /// The steps of the epoch that is under way, if the state is from within it.
    pub(super) within: Option<EpochStats>,
}

/// The best state so far.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Best {
    pub(super) epoch: u32,
    /// None if the SRCC is undefined.
    pub(super) srcc: Option<f64>,
    /// The result of `Trainer::save`.
    pub(super) state: Vec<u8>,
}

/// The checkpoint's metadata, as TOML, which keeps a number's last digit: `serde_json` may change it by one.
#[derive(Serialize, Deserialize)]
struct Facts {
    trial: String,
    epochs: Vec<EpochRow>,
    best: Option<BestFacts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<EpochStats>,
}

#[derive(Serialize, Deserialize)]
struct BestFacts {
    epoch: u32,
    srcc: Option<f64>,
}

impl History {
    /// Returns whether an epoch with this SRCC becomes the best. Of equal epochs the first is the best.
    pub(super) fn is_better(&self, srcc: Option<f64>) -> bool {
        match (self.best.as_ref().map(|best| best.srcc), srcc) {
            (None, _) | (Some(None), Some(_)) => true,
            (Some(Some(best)), Some(srcc)) => srcc > best,
            (Some(_), None) => false,
        }
    }

    /// Returns the checkpoint's bytes, with the trainer's state after the last epoch, or after the last step within the next.
    pub(super) fn to_bytes(&self, trial: &str, state: &[u8]) -> Bytes {
        let best = self.best.as_ref().map(|best| BestFacts { epoch: best.epoch, srcc: best.srcc });
        let (epochs, within) = (self.epochs.clone(), self.within.clone());
        let facts = Facts { trial: trial.to_owned(), epochs, best, within };
        let facts = toml::to_string(&facts).expect("facts have text for keys");
        let file = |state| File::parse(state).expect("a trainer's state is safetensors");
        let mut all = file(state);
        if let Some(best) = &self.best {
            let best = file(&best.state).renamed(|name| Some(format!("{BEST}{name}")));
            all.tensors.extend(best.tensors);
            all.facts.extend(best.facts);
        }
        all.facts.insert(FACTS.to_owned(), facts);
        all.to_bytes().into()
    }

    /// Reads the history and the trainer's state from a checkpoint of this trial.
    ///
    /// # Errors
    /// Fails if the bytes are not a checkpoint, or belong to another trial; the text says why.
    pub(super) fn parse(bytes: &[u8], trial: &str) -> Result<(History, Vec<u8>), String> {
        let mut file = File::parse(bytes).map_err(|error| causes(&error).to_string())?;
        let facts = file.facts.remove(FACTS).ok_or("it has no metadata of dqa")?;
        let facts: Facts = toml::from_str(&facts).map_err(|error| causes(&error).to_string())?;
        if facts.trial != trial {
            return Err(format!("it belongs to trial `{}`", facts.trial));
        }
        let best = facts.best.map(|BestFacts { epoch, srcc }| {
            let state = file.clone().renamed(|name| name.strip_prefix(BEST).map(str::to_owned)).to_bytes();
            Best { epoch, srcc, state }
        });
        let state = file.renamed(|name| (!name.starts_with(BEST)).then(|| name.to_owned())).to_bytes();
        Ok((History { epochs: facts.epochs, best, within: facts.within }, state))
    }
}

/// Tensors and metadata of a safetensors file.
#[derive(Clone)]
struct File<'a> {
    tensors: Vec<(String, TensorView<'a>)>,
    facts: HashMap<String, String>,
}

impl<'a> File<'a> {
    fn parse(bytes: &'a [u8]) -> Result<File<'a>, SafeTensorError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let tensors = SafeTensors::deserialize(bytes)?;
        Ok(File { tensors: tensors.tensors(), facts: metadata.metadata().clone().unwrap_or_default() })
    }

    /// Renames tensors and facts, and drops those for which `name` returns None.
    fn renamed(self, name: impl Fn(&str) -> Option<String>) -> File<'a> {
        File {
            tensors: self.tensors.into_iter().filter_map(|(old, tensor)| Some((name(&old)?, tensor))).collect(),
            facts: self.facts.into_iter().filter_map(|(old, fact)| Some((name(&old)?, fact))).collect(),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let tensors = self.tensors.iter().map(|(name, tensor)| (name, tensor));
        safetensors::serialize(tensors, Some(self.facts.clone())).expect("tensors of distinct names")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use safetensors::Dtype;

    use super::*;

    /// Returns a state in the form that a trainer saves.
    fn state(step: u8) -> Vec<u8> {
        let bytes = [step; 4];
        let tensor = || TensorView::new(Dtype::F32, vec![1], &bytes).unwrap();
        let facts = HashMap::from([("dqa.steps".to_owned(), step.to_string())]);
        let tensors = [("prompts_text.0", tensor()), ("mean.prompts_text.0", tensor())];
        safetensors::serialize(tensors, Some(facts)).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_by_its_trial_alone() {
        let row = |loss| EpochRow { epoch: 1, loss, held_out_srcc: Some(0.380952380952381), ..EpochRow::default() };
        let epochs = vec![row(0.1 + 0.2), row(1e-300 / 3.0)];
        let within = Some(serde_json::from_value(serde_json::json!({
            "steps": 2, "scores": [0.25, 0.1], "targets": [0.5, 1.0], "squared_errors": 0.3, "seconds": 1.5, "lr": 1e-4,
            "gradient_norms": 2.0, "gradient_norm_max": 1.25
        }))
        .unwrap());
        let history = History { epochs, within, best: Some(Best { epoch: 1, srcc: Some(0.1 + 0.2), state: state(1) }) };
        let bytes = history.to_bytes("t", &state(2));
        let names =
            SafeTensors::deserialize(&bytes).unwrap().names().into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
        let wanted = ["prompts_text.0", "mean.prompts_text.0", "best.prompts_text.0", "best.mean.prompts_text.0"];
        assert_eq!(names, wanted.map(str::to_owned).into());
        assert_eq!(History::parse(&bytes, "t").unwrap(), (history.clone(), state(2)));
        assert!(History::parse(&bytes, "u").unwrap_err().contains("`t`"));
        assert!(History::parse(&bytes[..20], "t").is_err());
        assert!(!history.is_better(Some(0.1 + 0.2)) && !history.is_better(None) && history.is_better(Some(0.31)));
        assert!(History::default().is_better(None));
    }
}
