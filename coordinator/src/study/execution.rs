//! Runs a study: makes the trials and tests that the store lacks, and reads the results of all.

use dqa_engine::study::Evaluator;
use dqa_engine::train::{BaseModel, TrainingEvent, TrainingResources, TrialRunner};
use dqa_pipelines::names::StudyName;
use dqa_pipelines::store::Store;
use dqa_pipelines::study::{
    Line, LineOutcome, ScoredPicture, SplitOutcome, StudyOutcome, evaluation_key, read_scored_pictures,
};
use dqa_pipelines::tables::predictions::PREDICTIONS;
use dqa_pipelines::train::{TrialRecord, trial_key};
use dqa_pipelines::training::TrainingUnit;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::base_models::BaseModels;
use super::error::StudyRunError;
use super::plan::{StudyPlan, StudyUnit};

/// An event of a running study.
#[derive(Debug)]
pub enum StudyEvent<'a> {
    /// A training starts or is resumed, or the store has it.
    Trial {
        /// Number of the training, from 1.
        number: usize,
        /// Number of trainings.
        total: usize,
        /// The first line that needs it.
        line: &'a Line,
        /// The split, from 1.
        split: usize,
    },
    /// The training reports an event.
    Training(TrainingEvent<'a>),
    /// The training is complete.
    Trained {
        /// Its record.
        record: &'a TrialRecord,
        /// Whether it was made now; otherwise the store had it.
        is_new: bool,
    },
    /// A test starts.
    Test {
        /// Number of the test, from 1.
        number: usize,
        /// Number of tests.
        total: usize,
        /// The first line that needs it.
        line: &'a Line,
        /// Number of pictures to score.
        pictures: usize,
    },
    /// Number of the test's pictures that are scored.
    Tested(usize),
}

impl StudyPlan {
    /// Makes the trials and tests that the store lacks and reads the results of all. Must be called on a multi-threaded
    /// runtime.
    ///
    /// # Errors
    /// Every [`StudyRunError`]. The same call then goes on from what was made.
    pub async fn run(
        &self,
        name: StudyName,
        store: &Store,
        resources: TrainingResources,
        models: &BaseModels,
        observe: &mut dyn FnMut(StudyEvent<'_>),
    ) -> Result<StudyOutcome, StudyRunError> {
        self.write_splits(store).await?;
        self.train(store, &resources, models, observe).await?;
        self.test(store, &resources, models, observe).await?;
        let provenance = vec![("dqa.device".to_owned(), resources.device_name)];
        self.outcome(name, store, provenance, false).await
    }

    /// Reads the results of all lines. `so_far`: those that are not made yet are left out.
    ///
    /// # Errors
    /// If the store fails, or lacks a result.
    pub async fn outcome(
        &self,
        name: StudyName,
        store: &Store,
        mut provenance: Vec<(String, String)>,
        so_far: bool,
    ) -> Result<StudyOutcome, StudyRunError> {
        let mut lines = Vec::new();
        for line in 0..self.lines.len() {
            let mut splits = Vec::new();
            for split in 1..=self.cells[line].len() {
                splits.push(match self.result(line, split, store).await {
                    Err(StudyRunError::Store(error)) if so_far && error.is_not_found() => SplitOutcome::default(),
                    result => result?,
                });
            }
            lines.push(LineOutcome { line: self.lines[line].clone(), splits });
        }
        let splits = self.datasets.iter().map(|dataset| dataset.splits.key()).collect::<Vec<_>>().join(", ");
        provenance.push(("dqa.splits".to_owned(), splits));
        Ok(StudyOutcome {
            name,
            definition: self.definition.clone(),
            datasets: self.datasets.iter().map(|dataset| dataset.data.name.to_string()).collect(),
            test_to_train: self.test_to_train(),
            provenance,
            lines,
        }
        .with_means())
    }

    /// Writes the splits that trials name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn write_splits(&self, store: &Store) -> Result<(), StudyRunError> {
        for dataset in &self.datasets {
            dataset.splits.write_if_missing(store).await?;
        }
        Ok(())
    }

    async fn train(
        &self,
        store: &Store,
        resources: &TrainingResources,
        models: &BaseModels,
        observe: &mut dyn FnMut(StudyEvent<'_>),
    ) -> Result<(), StudyRunError> {
        let Some(first) = self.trials.first() else { return Ok(()) };
        let mut runner = TrialRunner::new(models.get(&self.lines[first.line]).clone(), resources.clone());
        for (number, StudyUnit { name, line, split, .. }) in (1..).zip(&self.trials) {
            let (index, line) = (*line, &self.lines[*line]);
            observe(StudyEvent::Trial { number, total: self.trials.len(), line, split: *split });
            if let Some(record) = TrialRecord::find(store, name).await?.filter(TrialRecord::is_complete) {
                observe(StudyEvent::Trained { record: &record, is_new: false });
                continue;
            }
            let trial = self.trial(index, *split)?.expect("it was planned");
            runner.set_base(models.get(line).clone());
            let trained = block_in_place(|| {
                runner.run(&trial, store, &Handle::current(), &mut |event| observe(StudyEvent::Training(event)))
            });
            let variant = line.variant.clone();
            let record = trained.map_err(|source| StudyRunError::Train { variant, split: *split, source })?;
            observe(StudyEvent::Trained { record: &record, is_new: true });
        }
        Ok(())
    }

    async fn test(
        &self,
        store: &Store,
        resources: &TrainingResources,
        models: &BaseModels,
        observe: &mut dyn FnMut(StudyEvent<'_>),
    ) -> Result<(), StudyRunError> {
        for (number, StudyUnit { name, line, split, .. }) in (1..).zip(&self.evaluations) {
            if TrainingUnit::is_done(store, name, false).await? {
                continue;
            }
            let (index, line) = (*line, &self.lines[*line]);
            let trial = self.cells[index][split - 1].trial.as_deref();
            let evaluation = self.evaluation(index, *split, trial).expect("it was planned");
            let (total, pictures) = (self.evaluations.len(), evaluation.pictures.len());
            observe(StudyEvent::Test { number, total, line, pictures });
            let evaluator = evaluator(line, models.get(line), trial, store).await?;
            let tested = block_in_place(|| {
                let on_scored = &mut |done| observe(StudyEvent::Tested(done));
                evaluator.evaluate(&evaluation, (store, &Handle::current()), resources, on_scored)
            });
            tested.map_err(|source| StudyRunError::Evaluate { variant: line.variant.clone(), source })?;
        }
        Ok(())
    }

    /// Reads the result of a line on a split.
    async fn result(&self, index: usize, split: usize, store: &Store) -> Result<SplitOutcome, StudyRunError> {
        let (line, cell) = (&self.lines[index], &self.cells[index][split - 1]);
        let key = match (&cell.evaluation, &cell.trial) {
            (Some(evaluation), _) => evaluation_key(evaluation),
            (None, trial) => {
                let trial = trial.as_ref().expect("a line that is not trained has a test");
                trial_key(trial, &format!("{PREDICTIONS}.parquet"))
            }
        };
        let mut pictures = read_scored_pictures(&key, store.get(&key).await?, line.pool)?;
        let scenes = self.test_scenes(index, split);
        pictures.retain(|picture| {
            let is_tested = |names: &Vec<String>| names.contains(&picture.algorithm);
            scenes.contains(picture.scene.as_str()) && line.algorithms.as_ref().is_none_or(is_tested)
        });
        let record = match &cell.trial {
            Some(trial) => TrialRecord::find(store, trial).await?,
            None => None,
        };
        Ok(SplitOutcome {
            trial: cell.trial.clone(),
            evaluation: cell.evaluation.clone(),
            epoch: record.and_then(|record| record.kept).map(|kept| kept.epoch),
            measures: ScoredPicture::measures(&pictures),
            windows: pictures.iter().map(|picture| picture.windows).sum(),
            seconds: pictures.iter().map(|picture| picture.seconds).sum(),
        })
    }
}

/// Returns the evaluator of a line: of its trained model, or of its base model with handcrafted prompts.
async fn evaluator(
    line: &Line,
    base_model: &BaseModel,
    trial: Option<&str>,
    store: &Store,
) -> Result<Evaluator, StudyRunError> {
    let Some(name) = trial else { return Ok(Evaluator::handcrafted(base_model)) };
    let record = TrialRecord::find(store, name).await?.expect("trials are made before tests");
    let evaluator = Evaluator::of_trial(&record, base_model, store).await;
    evaluator.map_err(|source| StudyRunError::Evaluate { variant: line.variant.clone(), source })
}
