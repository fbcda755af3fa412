//! Shows a study's progress on standard error: a line for each training that has ended and for each test, and within
//! them a bar on a terminal or a line every 30 s elsewhere.

use std::time::{Duration, Instant};

use dqa_engine::train::TrainingEvent;
use dqa_pipelines::count_text::counted;
use dqa_pipelines::train::TrialRecord;
use dqa_service::program::{note, progress_bar};
use indicatif::{HumanDuration, ProgressBar};

use crate::cli::kept_trainings::KeptTrainings;
use crate::study::StudyEvent;

/// Time between two plain lines within a training or a test.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

pub(super) struct StudyProgress {
    bar: Option<ProgressBar>,
    /// The training or test that is running: `training 3/40: text, split 2`.
    current: String,
    /// Epochs of the current training.
    epochs: u32,
    /// Number of the current training, from 1.
    trial: usize,
    trials: usize,
    /// Trainings that this process made; the store had the others.
    trials_made: u32,
    started: Instant,
    last_line: Instant,
    /// Pictures of the current test.
    pictures: usize,
    /// Pictures of the current training that were not checked when it began.
    to_check: u64,
    kept: KeptTrainings,
}

impl StudyProgress {
    pub(super) fn new(kept: KeptTrainings) -> StudyProgress {
        let bar = progress_bar(None, "{bar:20} {pos}/{len} {wide_msg}");
        let now = Instant::now();
        StudyProgress {
            bar,
            current: String::new(),
            epochs: 0,
            trial: 0,
            trials: 0,
            trials_made: 0,
            started: now,
            last_line: now,
            pictures: 0,
            to_check: 0,
            kept,
        }
    }

    pub(super) fn on_event(&mut self, event: &StudyEvent<'_>) {
        match event {
            StudyEvent::Trial { number, total, line, split } => {
                (self.trial, self.trials, self.to_check) = (*number, *total, 0);
                self.epochs = line.setup.as_ref().map_or(0, |setup| setup.epochs);
                self.current = format!("training {number}/{total}, split {split}: {} for {}", line.variant, line.group);
                self.kept.set_trainings(*total);
                self.kept.begin(&format!("training {number}"), self.epochs);
            }
            StudyEvent::Training(event) => self.on_training_event(event),
            StudyEvent::Trained { record, is_new } => self.on_trained(record, *is_new),
            StudyEvent::Test { number, total, line, pictures } => {
                self.current = format!("test {number}/{total}: {} for {}", line.variant, line.group);
                self.pictures = *pictures;
                self.line(&format!("{}, {}, {}", self.current, counted(pictures, "picture"), line.views));
            }
            StudyEvent::Tested(done) => self.show(*done as u64, self.pictures as u64, "pictures"),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn on_training_event(&mut self, event: &TrainingEvent<'_>) {
        match event {
            TrainingEvent::Checking { left } => {
                self.to_check = self.to_check.max(*left as u64);
                self.show(self.to_check - *left as u64, self.to_check, "pictures checked");
            }
            TrainingEvent::Begun { epochs_done: 0, .. } => {}
            TrainingEvent::Begun { epochs_done, .. } => {
                self.kept.set_epochs_done(*epochs_done);
                self.line(&format!("{}: goes on after epoch {epochs_done}", self.current))
            }
            TrainingEvent::Step { epoch, step, steps, loss } => {
                let total = u64::from(self.epochs) * steps;
                self.show(u64::from(epoch - 1) * steps + step, total, &format!("steps, loss {loss:.4}"));
            }
            TrainingEvent::Testing { done, pictures } => self.show(*done, *pictures, "held-out pictures"),
            TrainingEvent::Epoch(row) => self.kept.set_epochs_done(row.epoch),
        }
    }

    fn on_trained(&mut self, record: &TrialRecord, is_new: bool) {
        self.kept.finish();
        let test = record.kept.as_ref().and_then(|kept| kept.test);
        let srcc = test.and_then(|test| test.srcc).map_or("-".to_owned(), |srcc| format!("{srcc:.4}"));
        if !is_new {
            self.line(&format!("{}: kept from earlier, SRCC {srcc}", self.current));
            return;
        }
        self.trials_made += 1;
        if self.trial == self.trials {
            self.line(&format!("{}: SRCC {srcc}", self.current));
            return;
        }
        // An upper bound: the store may have some of the trainings that are left, and those take no time.
        let seconds_each = self.started.elapsed().as_secs_f64() / f64::from(self.trials_made);
        let left = seconds_each * (self.trials - self.trial) as f64;
        let left = HumanDuration(Duration::from_secs_f64(left.round()));
        self.line(&format!("{}: SRCC {srcc}, < {left} left", self.current));
    }

    fn show(&mut self, done: u64, total: u64, unit: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(format!("{unit}  {}", self.current));
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            self.line(&format!("{done}/{total} {unit}  {}", self.current));
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
