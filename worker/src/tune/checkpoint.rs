//! How far a training is, as one object: the trainer's state after an epoch, the epochs so far, and the best state where the
//! epoch is selected. Written with one atomic put, so a training that was killed goes on from the last whole epoch.

use std::collections::HashMap;

use bytes::Bytes;
use dqa_pipelines::tables::epochs::EpochRow;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

/// Its file in a trial's folder.
pub(super) const CHECKPOINT: &str = "checkpoint.safetensors";

const FACTS: &str = "dqa.checkpoint";
const STATE: &str = "trainer";
const BEST: &str = "best";

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
        let states = [(STATE, Some(state)), (BEST, self.best.as_ref().map(|best| best.state.as_slice()))];
        let views = states.into_iter().filter_map(|(name, bytes)| {
            let bytes = bytes?;
            Some((name, TensorView::new(Dtype::U8, vec![bytes.len()], bytes).expect("bytes have their length")))
        });
        let facts = HashMap::from([(FACTS.to_owned(), facts)]);
        safetensors::serialize(views, Some(facts)).expect("tensors of distinct names").into()
    }

    /// The history and the trainer's state of a checkpoint of this trial.
    ///
    /// # Errors
    /// Where it is none, or of another trial: why.
    pub(super) fn parse(bytes: &[u8], trial: &str) -> Result<(History, Vec<u8>), String> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let facts = metadata.metadata().as_ref().and_then(|facts| facts.get(FACTS)).ok_or("it has no facts of dqa")?;
        let facts: Facts = toml::from_str(facts).map_err(|error| error.to_string())?;
        if facts.trial != trial {
            return Err(format!("it is of trial `{}`", facts.trial));
        }
        let state =
            |name: &str| tensors.tensor(name).map(|tensor| tensor.data().to_vec()).map_err(|error| error.to_string());
        let best = match facts.best {
            None => None,
            Some(BestFacts { epoch, srcc }) => Some(Best { epoch, srcc, state: state(BEST)? }),
        };
        Ok((History { epochs: facts.epochs, best }, state(STATE)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_by_its_trial_alone() {
        let row = |loss| EpochRow { epoch: 1, loss, held_out_srcc: Some(0.380952380952381), ..EpochRow::default() };
        let epochs = vec![row(0.1 + 0.2), row(1e-300 / 3.0)];
        let history = History { epochs, best: Some(Best { epoch: 1, srcc: Some(0.1 + 0.2), state: vec![1, 2, 3] }) };
        let bytes = history.to_bytes("t", &[9; 5]);
        assert_eq!(History::parse(&bytes, "t").unwrap(), (history.clone(), vec![9; 5]));
        assert!(History::parse(&bytes, "u").unwrap_err().contains("`t`"));
        assert!(History::parse(&bytes[..20], "t").is_err());
        assert!(!history.is_better(Some(0.1 + 0.2)) && !history.is_better(None) && history.is_better(Some(0.31)));
        assert!(History::default().is_better(None));
    }
}
