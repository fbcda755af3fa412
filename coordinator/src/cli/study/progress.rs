//! How far a study is, on standard error: a line for each training that is over and for each test, and within them a bar on a
//! terminal or a line now and then elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use dqa_engine::train::Event;
use dqa_pipelines::train::TrialRecord;
use dqa_service::program::note;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::study::StudyEvent;

/// Between two plain lines within a training or a test.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    /// What is under way: `training 3/40: text, split 2`.
    now: String,
    /// Of the training under way.
    epochs: u32,
    number: usize,
    of: usize,
    /// Trainings made, not found.
    made: u32,
    began: Instant,
    last_line: Instant,
    pictures: usize,
}

impl Progress {
    pub(super) fn new() -> Progress {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").expect("it is well-formed");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
        });
        let now = Instant::now();
        Progress {
            bar,
            now: String::new(),
            epochs: 0,
            number: 0,
            of: 0,
            made: 0,
            began: now,
            last_line: now,
            pictures: 0,
        }
    }

    pub(super) fn happens(&mut self, happens: &StudyEvent<'_>) {
        match happens {
            StudyEvent::Trial { number, of, line, split } => {
                (self.number, self.of) = (*number, *of);
                self.epochs = line.setup.as_ref().map_or(0, |setup| setup.epochs);
                self.now = format!("training {number}/{of}: {} for {}, split {split}", line.variant, line.group);
            }
            StudyEvent::Training(event) => self.training(event),
            StudyEvent::Trained(record, was_there) => self.trained(record, *was_there),
            StudyEvent::Test { number, of, line, pictures } => {
                self.now = format!("test {number}/{of}: {} for {}", line.variant, line.group);
                self.pictures = *pictures;
                self.line(&format!("{}, {pictures} pictures, {}", self.now, line.views));
            }
            StudyEvent::Tested(done) => self.within(*done as u64, self.pictures as u64, "pictures"),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn training(&mut self, event: &Event<'_>) {
        match event {
            Event::Checking { left } => self.within(*left as u64, *left as u64, "pictures to look at"),
            Event::Begun { epochs_done: 0, .. } => {}
            Event::Begun { epochs_done, .. } => self.line(&format!("{}: goes on after epoch {epochs_done}", self.now)),
            Event::Step { epoch, step, steps, loss } => {
                let of = u64::from(self.epochs) * steps;
                self.within(u64::from(epoch - 1) * steps + step, of, &format!("steps, loss {loss:.4}"));
            }
            Event::Testing { done, pictures } => self.within(*done, *pictures, "held-out pictures"),
            Event::Epoch(_) => {}
        }
    }

    fn trained(&mut self, record: &TrialRecord, was_there: bool) {
        let test = record.kept.as_ref().and_then(|kept| kept.test);
        let srcc = test.and_then(|test| test.srcc).map_or("-".to_owned(), |srcc| format!("{srcc:.4}"));
        if was_there {
            self.line(&format!("{}: there, SRCC {srcc}", self.now));
            return;
        }
        self.made += 1;
        // What is there already takes no time, and nobody knows how much of that is to come.
        let left = self.began.elapsed().as_secs_f64() / f64::from(self.made) * (self.of - self.number) as f64;
        let left = HumanDuration(Duration::from_secs_f64(left.round()));
        self.line(&format!("{}: SRCC {srcc}, {left} left at most", self.now));
    }

    fn within(&mut self, at: u64, of: u64, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(of);
            bar.set_position(at);
            bar.set_message(format!("{what}  {}", self.now));
        } else if self.last_line.elapsed() >= PLAIN_EVERY {
            self.line(&format!("{at}/{of} {what}  {}", self.now));
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
