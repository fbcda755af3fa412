//! Shows a training's progress on standard error: a line for each epoch, and within an epoch a bar on a terminal or a
//! line every 30 s elsewhere.

use std::time::{Duration, Instant};

use dqa_engine::train::TrainingEvent;
use dqa_pipelines::tables::epochs::EpochRow;
use dqa_pipelines::train::Trial;
use dqa_service::program::{note, progress_bar};
use indicatif::{HumanDuration, ProgressBar};

use crate::cli::kept_trainings::KeptTrainings;

/// Time between two plain lines within an epoch.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

pub(super) struct TrainingProgress {
    bar: Option<ProgressBar>,
    /// Epochs left of the current trial and of the later trials.
    epochs_left: u32,
    /// Epochs of the later trials.
    epochs_of_later_trials: u32,
    epochs_of_trial: u32,
    split: usize,
    started: Option<Instant>,
    /// Epochs that this process trained.
    epochs_trained: u32,
    last_line: Instant,
    /// Pictures of the current trial that were not checked when it began.
    to_check: u64,
    kept: KeptTrainings,
}

impl TrainingProgress {
    pub(super) fn new(trials: &[Trial], kept: KeptTrainings) -> TrainingProgress {
        let bar = progress_bar(None, "{bar:20} {pos}/{len} {wide_msg}");
        let epochs_of_trial = trials.first().map_or(0, |trial| trial.setup.epochs);
        TrainingProgress {
            bar,
            epochs_left: epochs_of_trial * trials.len() as u32,
            epochs_of_later_trials: epochs_of_trial * trials.len() as u32,
            epochs_of_trial,
            split: 0,
            started: None,
            epochs_trained: 0,
            last_line: Instant::now(),
            to_check: 0,
            kept,
        }
    }

    /// Starts the next trial.
    pub(super) fn start_trial(&mut self, trial: &Trial) {
        self.split = trial.split;
        self.to_check = 0;
        self.kept.begin(&format!("split {}", trial.split), trial.setup.epochs);
        self.epochs_of_later_trials -= self.epochs_of_trial;
    }

    /// Finishes the current trial, which may have been trained before.
    pub(super) fn finish_trial(&mut self) {
        if self.epochs_left > self.epochs_of_later_trials {
            note(format_args!("split {}: it was trained before", self.split));
        }
        self.epochs_left = self.epochs_of_later_trials;
        self.kept.finish();
    }

    pub(super) fn on_event(&mut self, event: TrainingEvent<'_>) {
        let split = self.split;
        match event {
            TrainingEvent::Checking { left } => {
                self.to_check = self.to_check.max(left as u64);
                self.show(self.to_check - left as u64, self.to_check, &|| format!("pictures checked, split {split}"));
            }
            TrainingEvent::Begun { epochs_done, .. } => {
                self.started.get_or_insert_with(Instant::now);
                self.epochs_left -= epochs_done;
                self.kept.set_epochs_done(epochs_done);
                if epochs_done > 0 {
                    self.line(&format!("split {split}: goes on after epoch {epochs_done}"));
                }
            }
            TrainingEvent::Step { epoch, step, steps, loss } => {
                self.show(step, steps, &|| format!("steps of epoch {epoch}, split {split}, loss {loss:.4}"));
            }
            TrainingEvent::Testing { done, pictures } => {
                self.show(done, pictures, &|| format!("pictures of the test, split {split}"));
            }
            TrainingEvent::Epoch(row) => self.on_epoch(row),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn on_epoch(&mut self, row: &EpochRow) {
        self.epochs_left = self.epochs_left.saturating_sub(1);
        self.epochs_trained += 1;
        self.kept.set_epochs_done(row.epoch);
        let mut line =
            format!("split {} epoch {}/{}: loss {:.4}", self.split, row.epoch, self.epochs_of_trial, row.loss);
        // A line fits in 80 columns. The table of epochs has the other measures.
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        line += &format!(", SRCC train {}", number(row.train_srcc));
        if let Some(name) = &row.held_out {
            line += &format!(" {name} {}", number(row.held_out_srcc));
        }
        if self.epochs_left > 0 {
            let seconds = self.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
            let left = seconds / f64::from(self.epochs_trained) * f64::from(self.epochs_left);
            line += &format!(", {:#} left", HumanDuration(Duration::from_secs_f64(left.round())));
        }
        self.line(&line);
    }

    fn show(&mut self, done: u64, total: u64, label: &dyn Fn() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(label());
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            self.line(&format!("{done}/{total} {}", label()));
        }
    }

    fn line(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(format_args!("{text}"))),
            None => note(format_args!("{text}")),
        }
        self.last_line = Instant::now();
    }
}
