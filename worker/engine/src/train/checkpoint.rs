//! How far a training is, as one object: the trainer's state after an epoch, the epochs so far, and the best state where the
//! epoch is selected. Written with one atomic put, so a training that was killed goes on from the last whole epoch.

use std::collections::HashMap;

use bytes::Bytes;
use dqa_pipelines::causes;
use dqa_pipelines::tables::epochs::EpochRow;
use safetensors::tensor::TensorView;
use safetensors::{SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};

/// Its file in a trial's folder.
pub(super) const CHECKPOINT: &str = "checkpoint.safetensors";

const FACTS: &str = "dqa.checkpoint";

/// What the best state's tensors and facts begin with; those of the last epoch have their plain names.
const BEST: &str = "best.";

/// The epochs that were trained, and the best of them where one is selected.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct History {
    pub(super) epochs: Vec<EpochRow>,
    pub(super) best: Option<Best>,
}

/// The state that is kept if no epoch is better.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Best {
    pub(super) epoch: u32,
    /// None: not defined.
    pub(super) srcc: Option<f64>,
    /// `Trainer::save`.
    pub(super) state: Vec<u8>,
}

/// As TOML, which keeps a number's last digit: `serde_json` reads it to within one.
#[derive(Serialize, Deserialize)]
struct Facts {
    trial: String,
    epochs: Vec<EpochRow>,
    best: Option<BestFacts>,
}

#[derive(Serialize, Deserialize)]
struct BestFacts {
    epoch: u32,
    srcc: Option<f64>,
}

impl History {
    /// Whether an epoch with this SRCC is to be kept: of equal ones the first.
    pub(super) fn is_better(&self, srcc: Option<f64>) -> bool {
        match (self.best.as_ref().map(|best| best.srcc), srcc) {
            (None, _) | (Some(None), Some(_)) => true,
            (Some(Some(best)), Some(srcc)) => srcc > best,
            (Some(_), None) => false,
        }
    }

    /// With the trainer's state after the last epoch.
    pub(super) fn to_bytes(&self, trial: &str, state: &[u8]) -> Bytes {
        let best = self.best.as_ref().map(|best| BestFacts { epoch: best.epoch, srcc: best.srcc });
        let facts = Facts { trial: trial.to_owned(), epochs: self.epochs.clone(), best };
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

    /// The history and the trainer's state of a checkpoint of this trial.
    ///
    /// # Errors
    /// Where it is none, or of another trial: why.
    pub(super) fn parse(bytes: &[u8], trial: &str) -> Result<(History, Vec<u8>), String> {
        let mut file = File::parse(bytes).map_err(|error| causes(&error).to_string())?;
        let facts = file.facts.remove(FACTS).ok_or("it has no facts of dqa")?;
        let facts: Facts = toml::from_str(&facts).map_err(|error| causes(&error).to_string())?;
        if facts.trial != trial {
            return Err(format!("it is of trial `{}`", facts.trial));
        }
        let best = facts.best.map(|BestFacts { epoch, srcc }| {
            let state = file.clone().renamed(|name| name.strip_prefix(BEST).map(str::to_owned)).to_bytes();
            Best { epoch, srcc, state }
        });
        let state = file.renamed(|name| (!name.starts_with(BEST)).then(|| name.to_owned())).to_bytes();
        Ok((History { epochs: facts.epochs, best }, state))
    }
}

/// Tensors and facts of a safetensors file.
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

    /// Under other names; what gets none is left out.
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

    /// As a trainer has it.
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
        let history = History { epochs, best: Some(Best { epoch: 1, srcc: Some(0.1 + 0.2), state: state(1) }) };
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
