//! What the steps of an epoch have in sum. It is part of a checkpoint that is written within an epoch.

use std::time::Instant;

use dqa_model::train::{Example, Step};
use dqa_pipelines::tables::epochs::EpochRow;
use dqa_pipelines::train::Measures;
use serde::{Deserialize, Serialize};

/// Sums over the steps of an epoch so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct EpochStats {
    pub(super) steps: u64,
    scores: Vec<f64>,
    targets: Vec<f64>,
    squared_errors: f64,
    seconds: f64,
    lr: f64,
    gradient_norms: f64,
    gradient_norm_max: f64,
}

impl EpochStats {
    pub(super) fn add(&mut self, batch: &[Example], step: &Step, lr: f64, started: Instant) {
        self.steps += 1;
        self.scores.extend(step.scores.iter().map(|score| f64::from(*score)));
        self.targets.extend(batch.iter().map(|example| f64::from(example.target)));
        self.squared_errors += step.loss * batch.len() as f64;
        self.seconds += started.elapsed().as_secs_f64();
        self.lr = lr;
        self.gradient_norms += step.gradient_norm;
        self.gradient_norm_max = self.gradient_norm_max.max(step.gradient_norm);
    }

    pub(super) fn row(&self, trial: &str, epoch: u32) -> EpochRow {
        let windows = self.scores.len() as f64;
        let Measures { srcc, plcc, krcc, .. } = Measures::compute(&self.scores, &self.targets);
        EpochRow {
            trial: trial.to_owned(),
            epoch,
            loss: self.squared_errors / windows,
            train_srcc: srcc,
            train_plcc: plcc,
            train_krcc: krcc,
            train_seconds: self.seconds,
            windows_per_second: windows / self.seconds.max(1e-9),
            lr: self.lr,
            gradient_norm: self.gradient_norms / self.steps as f64,
            gradient_norm_max: self.gradient_norm_max,
            ..EpochRow::default()
        }
    }
}
