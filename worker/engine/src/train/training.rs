//! One training on its way: epochs of steps, each epoch tested and its state written; then the kept state and its outcome.

use std::ops::ControlFlow;
use std::time::Instant;

use dqa_model::train::{Example, Step, Trainer, TuneError, TuneOptions, Tunes};
use dqa_model::{INPUT_SIDE, ViewMode, Views, whole_view};
use dqa_pipelines::causes;
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::epochs::EpochRow;
use dqa_pipelines::train::{self, Measures, Select, Setup, Trial, TrialPicture, TrialRecord, Tune};
use dqa_pipelines::trained_on::TrainedOn;
use tokio::runtime::Handle;
use tracing::info;

use super::checkpoint::{Best, CHECKPOINT, History};
use super::outcome::{self, Prediction};
use super::pictures::Loaded;
use super::{Event, Runner, TrainError};
use crate::decode::PictureError;

pub(super) struct Training<'a> {
    pub(super) runner: &'a Runner,
    pub(super) trial: &'a Trial,
    pub(super) store: &'a Store,
    pub(super) runtime: &'a Handle,
    pub(super) views: Views,
    pub(super) trainer: Trainer,
    pub(super) record: TrialRecord,
    pub(super) history: History,
    /// What the last epoch's test said, if that was in this run.
    last: Option<Vec<Prediction>>,
}

impl<'a> Training<'a> {
    /// From the beginning, or from the checkpoint that the store has.
    pub(super) fn begin(
        runner: &'a Runner,
        trial: &'a Trial,
        (store, runtime): (&'a Store, &'a Handle),
        each: &mut dyn FnMut(Event<'_>),
    ) -> Result<Training<'a>, TrainError> {
        let views: Views = trial.setup.views.parse()?;
        check_pictures(runner, trial, views.side_min(), runtime, each)?;
        let mut trainer = trainer(runner, &trial.setup, views)?;
        let name = trial.name();
        let mut history = History::default();
        let key = trial.key(CHECKPOINT);
        match runtime.block_on(store.get(&key)) {
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
            Ok(bytes) => {
                let wrong = |why: String| TrainError::Checkpoint { key: key.clone(), why };
                let (earlier, state) = History::parse(&bytes, &name).map_err(wrong)?;
                trainer.restore(&state).map_err(|error| wrong(causes(&error).to_string()))?;
                history = earlier;
            }
        }
        let learnable = trainer.learnable() as u64;
        let mut trained_on = runner.base.trained_on().clone();
        trained_on.add(&TrainedOn::of_trial(trial));
        let record = match runtime.block_on(TrialRecord::find(store, &name))? {
            // An earlier version may have begun it, which recorded nothing.
            Some(record) => TrialRecord { trained_on, ..record },
            None => TrialRecord::begun(trial, learnable, trained_on, outcome::provenance(&runner.resources)),
        };
        runtime.block_on(record.write(store))?;
        each(Event::Begun { learnable, epochs_done: history.epochs.len() as u32 });
        Ok(Training { runner, trial, store, runtime, views, trainer, record, history, last: None })
    }

    /// The epochs that are left, and then the outcome.
    pub(super) fn run(mut self, each: &mut dyn FnMut(Event<'_>)) -> Result<TrialRecord, TrainError> {
        let setup = &self.trial.setup;
        for epoch in self.history.epochs.len() as u32 + 1..=setup.epochs {
            let mut row = self.learn(epoch, each)?;
            self.last = None;
            if epoch.is_multiple_of(setup.test_every) || epoch == setup.epochs {
                self.test(&mut row, each)?;
            }
            info!(trial = self.record.name, epoch, loss = row.loss, srcc = row.held_out_srcc, "epoch done");
            self.history.epochs.push(row);
            let bytes = self.history.to_bytes(&self.record.name, &self.trainer.save());
            self.runtime.block_on(self.store.put(&self.trial.key(CHECKPOINT), bytes))?;
            each(Event::Epoch(self.history.epochs.last().expect("an epoch was pushed")));
        }
        let last = self.last.take();
        outcome::write(self, last, each)
    }

    /// The steps of an epoch.
    fn learn(&mut self, epoch: u32, each: &mut dyn FnMut(Event<'_>)) -> Result<EpochRow, TrainError> {
        let (trial, views) = (self.trial, self.views);
        let setup = &trial.setup;
        let order: Vec<&TrialPicture> =
            train::order(setup.seed, epoch, trial.train.len()).into_iter().map(|at| &trial.train[at]).collect();
        let steps = trial.steps_per_epoch();
        let make = |picture: &TrialPicture, loaded: &Loaded| example(picture, loaded, &views, (setup.seed, epoch));
        let mut seen = Seen::default();
        let mut batch = Vec::with_capacity(setup.batch_size as usize);
        let trainer = &mut self.trainer;
        let ended = self.runner.pictures.each_ahead(&order, self.runtime, make, |at, made| {
            match made {
                Ok(example) => batch.push(example),
                Err(source) => return ControlFlow::Break(unreadable(trial, &order[at].image, source)),
            }
            if batch.len() < setup.batch_size as usize && at + 1 < order.len() {
                return ControlFlow::Continue(());
            }
            let step = seen.steps + 1;
            let lr = setup.lr_at(u64::from(epoch - 1) * steps + seen.steps, steps);
            let started = Instant::now();
            match trainer.step(&batch, lr) {
                Ok(made) => {
                    each(Event::Step { epoch, step, steps, loss: made.loss });
                    seen.add(&batch, &made, lr, started);
                }
                Err(source @ TuneError::NotFinite { .. }) => {
                    return ControlFlow::Break(TrainError::Diverged { epoch, step, steps, source });
                }
                Err(source) => return ControlFlow::Break(TrainError::Tune(source)),
            }
            batch.clear();
            ControlFlow::Continue(())
        });
        match ended {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(seen.row(&self.record.name, epoch)),
        }
    }

    /// The held-out pictures under the state that the epoch ended with, and whether that is the best.
    fn test(&mut self, row: &mut EpochRow, each: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        let held_out = self.trial.held_out();
        if held_out.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let scorer = outcome::scorer(self, &self.trainer.weights(), &self.trainer.prompts())?;
        let predictions = outcome::predict(self, &scorer, (held_out, row.epoch), each)?;
        let measures = outcome::measures(held_out, &predictions);
        row.held_out = Some(self.held_out_name().to_owned());
        row.held_out_srcc = measures.srcc;
        row.held_out_plcc = measures.plcc;
        row.held_out_krcc = measures.krcc;
        row.held_out_rmse = measures.rmse;
        row.test_seconds = started.elapsed().as_secs_f64();
        if self.trial.setup.select != Select::Last && self.history.is_better(measures.srcc) {
            self.history.best = Some(Best { epoch: row.epoch, srcc: measures.srcc, state: self.trainer.save() });
        }
        self.last = Some(predictions);
        Ok(())
    }

    fn held_out_name(&self) -> &'static str {
        if self.trial.setup.select == Select::BestOnValidation { "validation" } else { "test" }
    }
}

/// Before anything was learned.
pub(super) fn trainer(runner: &Runner, setup: &Setup, views: Views) -> Result<Trainer, TrainError> {
    let prompts = runner.base.prompts(setup)?;
    let device = runner.resources.device.clone();
    let (tunes, patch_lr) = (tunes(setup.tune), setup.patch_lr);
    let options = TuneOptions { tunes, sees: views.sees, patch_lr, device, ..TuneOptions::default() };
    Trainer::new(runner.base.weights(), &prompts, &options).map_err(TrainError::Tune)
}

/// All pictures are decoded once, before anything is learned from some of them.
fn check_pictures(
    runner: &Runner,
    trial: &Trial,
    side_min: u32,
    runtime: &Handle,
    each: &mut dyn FnMut(Event<'_>),
) -> Result<(), TrainError> {
    let mut failed =
        runner.pictures.check(trial.pictures(), side_min, runtime, |left| each(Event::Checking { left })).into_iter();
    match failed.next() {
        None => Ok(()),
        Some((picture, source)) => Err(TrainError::Unreadable {
            count: 1 + failed.count(),
            pictures: trial.pictures().count(),
            image: picture.image.clone(),
            source: Box::new(source),
        }),
    }
}

/// A picture that could be read before.
pub(super) fn unreadable(trial: &Trial, image: &str, source: PictureError) -> TrainError {
    let pictures = trial.pictures().count();
    TrainError::Unreadable { count: 1, pictures, image: image.to_owned(), source: Box::new(source) }
}

fn tunes(tune: Tune) -> Tunes {
    match tune {
        Tune::Text => Tunes::Text,
        Tune::Visual => Tunes::Visual,
        Tune::Prompts => Tunes::Prompts,
        Tune::Vision => Tunes::Vision,
        Tune::All => Tunes::All,
    }
}

/// What is seen of a picture in an epoch: a random window where windows are looked at, the whole where that is.
fn example(
    picture: &TrialPicture,
    loaded: &Loaded,
    views: &Views,
    (seed, epoch): (u64, u32),
) -> Result<Example, PictureError> {
    let (width, height, side_min) = (loaded.picture.width(), loaded.picture.height(), views.side_min());
    let Some(room) = width.checked_sub(side_min).zip(height.checked_sub(side_min)) else {
        // It changed since it was looked at.
        return Err(PictureError::TooSmall { width, height, side_min });
    };
    let window = || {
        let (x, y) = train::crop(seed, epoch, &picture.image, room);
        let window = loaded.picture.crop(x, y, views.window);
        if views.window == INPUT_SIDE { window } else { whole_view(&window, INPUT_SIDE) }
    };
    Ok(Example {
        local: (views.sees != ViewMode::Global).then(window),
        whole: (views.sees != ViewMode::Local).then(|| loaded.whole()),
        target: picture.target,
    })
}

/// What an epoch has seen so far.
#[derive(Default)]
struct Seen {
    steps: u64,
    scores: Vec<f64>,
    targets: Vec<f64>,
    squares: f64,
    seconds: f64,
    lr: f64,
    gradient_norms: f64,
    gradient_norm_max: f64,
}

impl Seen {
    fn add(&mut self, batch: &[Example], step: &Step, lr: f64, started: Instant) {
        self.steps += 1;
        self.scores.extend(step.scores.iter().map(|score| f64::from(*score)));
        self.targets.extend(batch.iter().map(|example| f64::from(example.target)));
        self.squares += step.loss * batch.len() as f64;
        self.seconds += started.elapsed().as_secs_f64();
        self.lr = lr;
        self.gradient_norms += step.gradient_norm;
        self.gradient_norm_max = self.gradient_norm_max.max(step.gradient_norm);
    }

    fn row(&self, trial: &str, epoch: u32) -> EpochRow {
        let windows = self.scores.len() as f64;
        let Measures { srcc, plcc, krcc, .. } = Measures::of(&self.scores, &self.targets);
        EpochRow {
            trial: trial.to_owned(),
            epoch,
            loss: self.squares / windows,
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
