//! Shows a training's progress on standard error: a line for each epoch, and within an epoch a bar on a terminal or a
//! line every 30 s elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use dqa_engine::train::TrainingEvent;
use dqa_pipelines::tables::epochs::EpochRow;
use dqa_pipelines::train::Trial;
use dqa_service::program::note;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

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
}

impl TrainingProgress {
    pub(super) fn new(trials: &[Trial]) -> TrainingProgress {
        let bar = stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").expect("the template is well-formed");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
        });
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
        }
    }

    /// Starts the next trial.
    pub(super) fn start_trial(&mut self, trial: &Trial) {
        self.split = trial.split;
        self.epochs_of_later_trials -= self.epochs_of_trial;
    }

    /// Finishes the current trial, which may have been trained before.
    pub(super) fn finish_trial(&mut self) {
        if self.epochs_left > self.epochs_of_later_trials {
            note(format_args!("split {}: it was trained before", self.split));
        }
        self.epochs_left = self.epochs_of_later_trials;
    }

    pub(super) fn on_event(&mut self, event: TrainingEvent<'_>) {
        let split = self.split;
        match event {
            TrainingEvent::Checking { left } => {
                self.show(left as u64, None, &|| format!("pictures to look at, split {split}"))
            }
            TrainingEvent::Begun { epochs_done, .. } => {
                self.started.get_or_insert_with(Instant::now);
                self.epochs_left -= epochs_done;
                if epochs_done > 0 {
                    self.line(&format!("split {split}: goes on after epoch {epochs_done}"));
                }
            }
            TrainingEvent::Step { epoch, step, steps, loss } => {
                self.show(step, Some(steps), &|| format!("steps of epoch {epoch}, split {split}, loss {loss:.4}"));
            }
            TrainingEvent::Testing { done, pictures } => {
                self.show(done, Some(pictures), &|| format!("pictures of the test, split {split}"));
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
        let seconds = self.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
        let left = seconds / f64::from(self.epochs_trained) * f64::from(self.epochs_left);
        let left = HumanDuration(Duration::from_secs_f64(left.round()));
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        let held_out = match &row.held_out {
            None => String::new(),
            Some(name) => format!(
                "  {name} SRCC {} PLCC {} KRCC {}",
                number(row.held_out_srcc),
                number(row.held_out_plcc),
                number(row.held_out_krcc)
            ),
        };
        self.line(&format!(
            "split {} epoch {}/{}  loss {:.5}  train SRCC {} PLCC {} KRCC {}{held_out}  {:.1} windows/s  {left} left",
            self.split,
            row.epoch,
            self.epochs_of_trial,
            row.loss,
            number(row.train_srcc),
            number(row.train_plcc),
            number(row.train_krcc),
            row.windows_per_second
        ));
    }

    fn show(&mut self, done: u64, total: Option<u64>, label: &dyn Fn() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
            bar.set_message(label());
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            let total = total.map_or(String::new(), |total| format!("/{total}"));
            self.line(&format!("{done}{total} {}", label()));
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
