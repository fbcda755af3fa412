//! A training in progress: epochs of steps, each epoch tested and its checkpoint written.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use dqa_model::train::{Example, Trainable, Trainer, TrainerError, TrainerOptions};
use dqa_model::{INPUT_SIDE, Origin, ViewMode, Views, whole_view};
use dqa_pipelines::causes;
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::epochs::EpochRow;
use dqa_pipelines::train::{self, Select, Setup, Trial, TrialPicture, TrialRecord, Tune};
use dqa_pipelines::trained_on::TrainedOn;
use tokio::runtime::Handle;
use tracing::info;

use super::checkpoint::{Best, CHECKPOINT, History};
use super::epoch_stats::EpochStats;
use super::memory;
use super::pictures::DecodedPicture;
use super::predictor::{Prediction, Predictor, measures};
use super::{TrainError, TrainingEvent, TrainingResources, TrialRunner};
use crate::decode::PictureError;
use crate::provenance::{command_line, host};

pub(super) struct Training<'a> {
    pub(super) runner: &'a TrialRunner,
    pub(super) trial: &'a Trial,
    pub(super) store: &'a Store,
    pub(super) runtime: &'a Handle,
    pub(super) views: Views,
    pub(super) trainer: Trainer,
    pub(super) record: TrialRecord,
    pub(super) history: History,
    /// The held-out pictures' scores after the last epoch, if this run tested it.
    pub(super) last: Option<Vec<Prediction>>,
}

impl<'a> Training<'a> {
    /// Starts a training from the beginning, or from the checkpoint in the store.
    pub(super) fn begin(
        runner: &'a TrialRunner,
        trial: &'a Trial,
        (store, runtime): (&'a Store, &'a Handle),
        each: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<Training<'a>, TrainError> {
        let views: Views = trial.setup.views.parse()?;
        memory::check(runner.base.weights().config(), &trial.setup, &runner.resources.device)?;
        check_pictures(runner, trial, views.side_min(), runtime, each)?;
        let mut trainer = trainer(runner, &trial.setup, views)?;
        let name = trial.name();
        let learnable = trainer.learnable() as u64;
        let mut trained_on = runner.base.trained_on().clone();
        trained_on.add(&TrainedOn::from_trial(trial));
        let mut record = match runtime.block_on(TrialRecord::find(store, &name))? {
            // An earlier version of dqa, which did not record it, may have started the trial.
            Some(record) => TrialRecord { trained_on, ..record },
            None => TrialRecord::new(trial, learnable, trained_on, provenance(&runner.resources)),
        };
        runtime.block_on(record.claim(store, runner.attempt))?;
        let mut history = History::default();
        let key = trial.key(CHECKPOINT);
        match runtime.block_on(store.get(&key)) {
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
            Ok(bytes) => {
                let invalid = |why: String| TrainError::Checkpoint { key: key.clone(), why };
                let (earlier, state) = History::parse(&bytes, &name).map_err(invalid)?;
                trainer.restore(&state).map_err(|error| invalid(causes(&error).to_string()))?;
                history = earlier;
            }
        }
        each(TrainingEvent::Begun { learnable, epochs_done: history.epochs.len() as u32 });
        Ok(Training { runner, trial, store, runtime, views, trainer, record, history, last: None })
    }

    /// Makes the epochs that are left.
    pub(super) fn run(&mut self, each: &mut dyn FnMut(TrainingEvent<'_>)) -> Result<(), TrainError> {
        let trial = self.trial;
        let setup = &trial.setup;
        for epoch in self.history.epochs.len() as u32 + 1..=setup.epochs {
            let mut row = self.learn(epoch, each)?;
            self.last = None;
            if epoch.is_multiple_of(setup.test_every) || epoch == setup.epochs {
                self.test(&mut row, each)?;
            }
            info!(trial = self.record.name, epoch, loss = row.loss, srcc = row.held_out_srcc, "epoch done");
            self.history.epochs.push(row);
            self.write_checkpoint()?;
            each(TrainingEvent::Epoch(self.history.epochs.last().expect("an epoch was pushed")));
        }
        Ok(())
    }

    /// Writes the state and the history to the store, unless another attempt has the trial.
    fn write_checkpoint(&self) -> Result<(), TrainError> {
        let bytes = self.history.to_bytes(&self.record.name, &self.trainer.save());
        let (store, key) = (self.store, self.trial.key(CHECKPOINT));
        self.runtime.block_on(async {
            self.record.check_claim(store).await?;
            Ok(store.put(&key, bytes).await?)
        })
    }

    /// Returns what scores pictures under the training's states.
    pub(super) fn predictor(&self) -> Predictor<'a> {
        Predictor {
            trial: self.trial,
            pictures: &self.runner.pictures,
            resources: &self.runner.resources,
            views: self.views,
            runtime: self.runtime,
        }
    }

    /// Makes the steps of an epoch.
    fn learn(&mut self, epoch: u32, each: &mut dyn FnMut(TrainingEvent<'_>)) -> Result<EpochRow, TrainError> {
        let (trial, views) = (self.trial, self.views);
        let setup = &trial.setup;
        let order: Vec<&TrialPicture> = train::shuffled_order(setup.seed, epoch, trial.train.len())
            .into_iter()
            .map(|index| &trial.train[index])
            .collect();
        let steps = trial.steps_per_epoch();
        let make =
            |picture: &TrialPicture, decoded: &DecodedPicture| example(picture, decoded, &views, (setup.seed, epoch));
        // Those of the steps that an earlier process made, if it ended within the epoch.
        let mut epoch_stats = self.history.within.take().unwrap_or_default();
        let left = &order[(epoch_stats.steps as usize * setup.batch_size as usize).min(order.len())..];
        let mut batch = Vec::with_capacity(setup.batch_size as usize);
        let mut written = Instant::now();
        let (runner, runtime) = (self.runner, self.runtime);
        let ended = runner.pictures.each_ahead(left, runtime, make, |index, made| {
            match made {
                Ok(example) => batch.push(example),
                Err(source) => return ControlFlow::Break(TrainError::unreadable(trial, &left[index].image, source)),
            }
            if batch.len() < setup.batch_size as usize && index + 1 < left.len() {
                return ControlFlow::Continue(());
            }
            let step = (epoch, epoch_stats.steps + 1, steps);
            match self.step(&batch, step, &mut epoch_stats, each) {
                Ok(()) => batch.clear(),
                Err(error) => return ControlFlow::Break(error),
            }
            if index + 1 < left.len() && written.elapsed() >= runner.checkpoint_interval {
                self.history.within = Some(epoch_stats.clone());
                if let Err(error) = self.write_checkpoint() {
                    return ControlFlow::Break(error);
                }
                written = Instant::now();
            }
            ControlFlow::Continue(())
        });
        self.history.within = None;
        match ended {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(epoch_stats.row(&self.record.name, epoch)),
        }
    }

    /// Makes a step: its epoch and its number there, from 1, of so many.
    fn step(
        &mut self,
        batch: &[Example],
        (epoch, step, steps): (u32, u64, u64),
        epoch_stats: &mut EpochStats,
        each: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<(), TrainError> {
        self.runner.resources.check_stop()?;
        let lr = self.trial.setup.learning_rate_at(u64::from(epoch - 1) * steps + epoch_stats.steps, steps);
        let started = Instant::now();
        match self.trainer.step(batch, lr) {
            Ok(made) => {
                each(TrainingEvent::Step { epoch, step, steps, loss: made.loss });
                epoch_stats.add(batch, &made, lr, started);
                Ok(())
            }
            Err(source @ TrainerError::NotFinite { .. }) => Err(TrainError::Diverged { epoch, step, steps, source }),
            Err(source) => Err(TrainError::Trainer(source)),
        }
    }

    /// Scores the held-out pictures under the state at the end of the epoch, and keeps the state if it is the best.
    fn test(&mut self, row: &mut EpochRow, each: &mut dyn FnMut(TrainingEvent<'_>)) -> Result<(), TrainError> {
        let held_out = self.trial.held_out();
        if held_out.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let predictor = self.predictor();
        let scorer = predictor.scorer(&self.trainer.weights(), &self.trainer.prompts())?;
        let predictions = predictor.predict(&scorer, (held_out, row.epoch), each)?;
        let measures = measures(held_out, &predictions);
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

/// Returns the trainer of a setup in its initial state.
pub(super) fn trainer(runner: &TrialRunner, setup: &Setup, views: Views) -> Result<Trainer, TrainError> {
    let prompts = runner.base.prompts(setup)?;
    let device = runner.resources.device.clone();
    let (tunes, patch_lr) = (tunes(setup.tune), setup.patch_lr);
    let options = TrainerOptions { trainable: tunes, sees: views.sees, patch_lr, device, ..TrainerOptions::default() };
    Trainer::new(runner.base.weights(), &prompts, &options).map_err(TrainError::Trainer)
}

/// Decodes all pictures once, so that an unreadable one fails the trial before anything is learned.
fn check_pictures(
    runner: &TrialRunner,
    trial: &Trial,
    side_min: u32,
    runtime: &Handle,
    each: &mut dyn FnMut(TrainingEvent<'_>),
) -> Result<(), TrainError> {
    let mut failed = runner
        .pictures
        .check(trial.pictures(), side_min, runtime, |left| each(TrainingEvent::Checking { left }))
        .into_iter();
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

fn tunes(tune: Tune) -> Trainable {
    match tune {
        Tune::Text => Trainable::Text,
        Tune::Visual => Trainable::Visual,
        Tune::Prompts => Trainable::Prompts,
        Tune::Vision => Trainable::Vision,
        Tune::All => Trainable::All,
    }
}

/// Returns what an epoch learns from a picture: a random window, or fragments at random places of their cells, unless the views
/// are global; and the whole picture unless they are local.
fn example(
    picture: &TrialPicture,
    decoded: &DecodedPicture,
    views: &Views,
    (seed, epoch): (u64, u32),
) -> Result<Example, PictureError> {
    let (width, height, side_min) = (decoded.picture.width(), decoded.picture.height(), views.side_min());
    let Some(room) = width.checked_sub(side_min).zip(height.checked_sub(side_min)) else {
        // The picture changed since it was checked.
        return Err(PictureError::TooSmall { width, height, side_min });
    };
    let window = || {
        if let Some(fragments) = views.fragments() {
            let cells = fragments.cells(width, height);
            let margins: Vec<(u32, u32)> = cells.iter().map(|cell| cell.margin).collect();
            let offsets = train::fragment_offsets(seed, epoch, &picture.image, &margins);
            let corners: Vec<Origin> = cells.iter().zip(offsets).map(|(cell, offset)| cell.corner(offset)).collect();
            return fragments.join(&decoded.picture, &corners);
        }
        let (x, y) = train::crop_offset(seed, epoch, &picture.image, room);
        let window = decoded.picture.crop(x, y, views.window);
        if views.window == INPUT_SIDE { window } else { whole_view(&window, INPUT_SIDE) }
    };
    Ok(Example {
        local: (views.sees != ViewMode::Global).then(window),
        whole: (views.sees != ViewMode::Local).then(|| decoded.whole_view()),
        target: picture.target,
    })
}

/// Returns what a trial's record says of this process.
fn provenance(resources: &TrainingResources) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("dqa".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("host".to_owned(), host()),
        ("device".to_owned(), resources.device_name.clone()),
        ("command".to_owned(), command_line()),
    ])
}
