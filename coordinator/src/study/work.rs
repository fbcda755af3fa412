//! Makes what a study lacks, and reads its result.

use dqa_engine::study::Evaluator;
use dqa_engine::train::{Event, Runner, TrainingResources};
use dqa_pipelines::names::StudyName;
use dqa_pipelines::store::Store;
use dqa_pipelines::study::{Line, LineOutcome, Outcome, Scored, SplitOutcome, evaluation_key, scored};
use dqa_pipelines::tables::predictions::PREDICTIONS;
use dqa_pipelines::train::{TrialRecord, trial_key};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::StudyRunError;
use super::plan::{Plan, is_there};

/// What happens in a study, for whoever watches.
#[derive(Debug)]
pub enum StudyEvent<'a> {
    /// A training begins, goes on, or is found to be there.
    Trial {
        /// From 1.
        number: usize,
        /// Of so many.
        of: usize,
        /// For which line first.
        line: &'a Line,
        /// On which split.
        split: usize,
    },
    /// In the training.
    Training(Event<'a>),
    /// The training is over; true: it was there.
    Trained(&'a TrialRecord, bool),
    /// A test begins.
    Test {
        /// From 1.
        number: usize,
        /// Of so many.
        of: usize,
        /// For which line first.
        line: &'a Line,
        /// Pictures.
        pictures: usize,
    },
    /// So many of its pictures are scored.
    Tested(usize),
}

impl Plan {
    /// Makes the trials and tests that the store lacks and reads them all. To be called on a runtime of several threads.
    ///
    /// # Errors
    /// Every [`StudyRunError`]; the same call then goes on from what was made.
    pub async fn run(
        &self,
        name: StudyName,
        store: &Store,
        resources: TrainingResources,
        watch: &mut dyn FnMut(StudyEvent<'_>),
    ) -> Result<Outcome, StudyRunError> {
        for divided in &self.datasets {
            divided.splits.keep(store).await?;
        }
        self.train(store, &resources, watch).await?;
        self.test(store, &resources, watch).await?;
        let mut lines = Vec::new();
        for at in 0..self.lines.len() {
            let mut splits = Vec::new();
            for split in 1..=self.cells[at].len() {
                splits.push(self.result(at, split, store).await?);
            }
            lines.push(LineOutcome { line: self.lines[at].clone(), splits });
        }
        Ok(Outcome {
            name,
            definition: self.definition.clone(),
            datasets: self.datasets.iter().map(|divided| divided.data.name.to_string()).collect(),
            test_to_train: self.test_to_train(),
            provenance: vec![
                ("dqa.device".to_owned(), resources.device_name),
                (
                    "dqa.splits".to_owned(),
                    self.datasets.iter().map(|divided| divided.splits.key()).collect::<Vec<_>>().join(", "),
                ),
            ],
            lines,
        }
        .with_means())
    }

    async fn train(
        &self,
        store: &Store,
        resources: &TrainingResources,
        watch: &mut dyn FnMut(StudyEvent<'_>),
    ) -> Result<(), StudyRunError> {
        let Some((_, (first, _))) = self.trials.first() else { return Ok(()) };
        let mut runner = Runner::new(self.start(&self.lines[*first]).clone(), resources.clone());
        for (number, (name, (at, split))) in (1..).zip(&self.trials) {
            let line = &self.lines[*at];
            watch(StudyEvent::Trial { number, of: self.trials.len(), line, split: *split });
            if let Some(record) = TrialRecord::find(store, name).await?.filter(TrialRecord::is_complete) {
                watch(StudyEvent::Trained(&record, true));
                continue;
            }
            let trial = self.trial(*at, *split)?.expect("it was planned");
            runner.restart(self.start(line).clone());
            let trained = block_in_place(|| {
                runner.run(&trial, store, &Handle::current(), &mut |event| watch(StudyEvent::Training(event)))
            });
            let variant = line.variant.clone();
            let record = trained.map_err(|source| StudyRunError::Train { variant, split: *split, source })?;
            watch(StudyEvent::Trained(&record, false));
        }
        Ok(())
    }

    async fn test(
        &self,
        store: &Store,
        resources: &TrainingResources,
        watch: &mut dyn FnMut(StudyEvent<'_>),
    ) -> Result<(), StudyRunError> {
        for (number, (name, (at, split))) in (1..).zip(&self.evaluations) {
            if is_there(store, name).await? {
                continue;
            }
            let line = &self.lines[*at];
            let trial = self.cells[*at][split - 1].trial.as_deref();
            let evaluation = self.evaluation(*at, *split, trial).expect("it was planned");
            let (of, pictures) = (self.evaluations.len(), evaluation.pictures.len());
            watch(StudyEvent::Test { number, of, line, pictures });
            let judge = self.judge(line, trial, store).await?;
            let tested = block_in_place(|| {
                let each = &mut |done| watch(StudyEvent::Tested(done));
                judge.evaluate(&evaluation, (store, &Handle::current()), resources, each)
            });
            tested.map_err(|source| StudyRunError::Evaluate { variant: line.variant.clone(), source })?;
        }
        Ok(())
    }

    async fn judge(&self, line: &Line, trial: Option<&str>, store: &Store) -> Result<Evaluator, StudyRunError> {
        let start = self.start(line);
        let Some(name) = trial else { return Ok(Evaluator::handcrafted(start)) };
        let record = TrialRecord::find(store, name).await?.expect("trials come before tests");
        let judge = Evaluator::of_trial(&record, start, store).await;
        judge.map_err(|source| StudyRunError::Evaluate { variant: line.variant.clone(), source })
    }

    /// What a line got on a split.
    async fn result(&self, at: usize, split: usize, store: &Store) -> Result<SplitOutcome, StudyRunError> {
        let line = &self.lines[at];
        let cell = &self.cells[at][split - 1];
        let key = match (&cell.evaluation, &cell.trial) {
            (Some(evaluation), _) => evaluation_key(evaluation),
            (None, trial) => {
                let trial = trial.as_ref().expect("what is not trained has a test");
                trial_key(trial, &format!("{PREDICTIONS}.parquet"))
            }
        };
        let mut pictures = scored(&key, store.get(&key).await?, line.pool)?;
        let scenes = self.test_scenes(at, split);
        pictures.retain(|picture| {
            let is_asked = |names: &Vec<String>| names.contains(&picture.algorithm);
            scenes.contains(picture.scene.as_str()) && line.algorithms.as_ref().is_none_or(is_asked)
        });
        let record = match &cell.trial {
            Some(trial) => TrialRecord::find(store, trial).await?,
            None => None,
        };
        Ok(SplitOutcome {
            trial: cell.trial.clone(),
            evaluation: cell.evaluation.clone(),
            epoch: record.and_then(|record| record.kept).map(|kept| kept.epoch),
            measures: Scored::measures(&pictures),
            windows: pictures.iter().map(|picture| picture.windows).sum(),
            seconds: pictures.iter().map(|picture| picture.seconds).sum(),
        })
    }
}
