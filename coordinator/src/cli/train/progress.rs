//! How far a training is, on standard error: a line for each epoch, and within one a bar on a terminal or a line now and
//! then elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use dqa_engine::train::Event;
use dqa_pipelines::tables::epochs::EpochRow;
use dqa_pipelines::train::Trial;
use dqa_service::program::note;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two plain lines within an epoch.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    /// Epochs that are left of all trials, this one's and the later ones'.
    epochs_left: u32,
    epochs_of_later: u32,
    epochs_of_one: u32,
    split: usize,
    began: Option<Instant>,
    epochs_made: u32,
    last_line: Instant,
}

impl Progress {
    pub(super) fn new(trials: &[Trial]) -> Progress {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").expect("it is well-formed");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
        });
        let epochs_of_one = trials.first().map_or(0, |trial| trial.setup.epochs);
        Progress {
            bar,
            epochs_left: epochs_of_one * trials.len() as u32,
            epochs_of_later: epochs_of_one * trials.len() as u32,
            epochs_of_one,
            split: 0,
            began: None,
            epochs_made: 0,
            last_line: Instant::now(),
        }
    }

    /// The next trial begins.
    pub(super) fn trial(&mut self, trial: &Trial) {
        self.split = trial.split;
        self.epochs_of_later -= self.epochs_of_one;
    }

    /// It is done, or was.
    pub(super) fn trial_done(&mut self) {
        if self.epochs_left > self.epochs_of_later {
            note(format_args!("split {}: it was trained before", self.split));
        }
        self.epochs_left = self.epochs_of_later;
    }

    pub(super) fn event(&mut self, event: Event<'_>) {
        let split = self.split;
        match event {
            Event::Checking { left } => {
                self.within(left as u64, None, &|| format!("pictures to look at, split {split}"))
            }
            Event::Begun { epochs_done, .. } => {
                self.began.get_or_insert_with(Instant::now);
                self.epochs_left -= epochs_done;
                if epochs_done > 0 {
                    self.line(&format!("split {split}: goes on after epoch {epochs_done}"));
                }
            }
            Event::Step { epoch, step, steps, loss } => {
                self.within(step, Some(steps), &|| format!("steps of epoch {epoch}, split {split}, loss {loss:.4}"));
            }
            Event::Testing { done, pictures } => {
                self.within(done, Some(pictures), &|| format!("pictures of the test, split {split}"));
            }
            Event::Epoch(row) => self.epoch(row),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn epoch(&mut self, row: &EpochRow) {
        self.epochs_left = self.epochs_left.saturating_sub(1);
        self.epochs_made += 1;
        let taken = self.began.map_or(0.0, |began| began.elapsed().as_secs_f64());
        let left = taken / f64::from(self.epochs_made) * f64::from(self.epochs_left);
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
            self.epochs_of_one,
            row.loss,
            number(row.train_srcc),
            number(row.train_plcc),
            number(row.train_krcc),
            row.windows_per_second
        ));
    }

    fn within(&mut self, at: u64, of: Option<u64>, what: &dyn Fn() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_length(of.unwrap_or(at));
            bar.set_position(at);
            bar.set_message(what());
        } else if self.last_line.elapsed() >= PLAIN_EVERY {
            let of = of.map_or(String::new(), |of| format!("/{of}"));
            self.line(&format!("{at}{of} {}", what()));
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
