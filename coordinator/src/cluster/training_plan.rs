//! Plans the trainings of a request: its trials and evaluations by name, which of them the store lacks, and the tables of a study
//! from what the store has. What is planned depends on the request and the data sets alone, so that it is planned again after
//! a restart.

use dqa_pipelines::dataset::{self, DataSet, Definition};
use dqa_pipelines::run::TrainingCounts;
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::study::StudyOutcome;
use dqa_pipelines::train::{SceneNames, Splits, SplitsError, Trial, TrialError, TrialRecord, TrialRecordError};
use dqa_pipelines::training::{TrainedSplits, TrainingModel, TrainingRequest, TrainingUnit, TrainingWork};
use dqa_pipelines::{Hint, Retryable};
use futures::{StreamExt, TryStreamExt};

use super::scheduler::ShardSummary;
use crate::run::{PrepareError, Roots};
use crate::study::{ModelKey, StudyPlan, StudyRunError, StudyUnit};

/// Units that are looked up in the store at the same time.
const LOOKUPS_MAX: usize = 16;

/// The trainings of a request.
pub(super) struct TrainingPlan {
    request: TrainingRequest,
    work: PlannedWork,
    /// Indices of the units that the store lacks: the scheduler's shards, in their order.
    missing: Vec<usize>,
}

enum PlannedWork {
    Study { plan: Box<StudyPlan>, units: Vec<StudyUnit> },
    Trials { trials: Vec<Trial>, splits: Splits },
}

/// Why trainings cannot be planned.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrainingPlanError {
    /// A data set cannot be loaded, or lacks pictures.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error(transparent)]
    Study(#[from] StudyRunError),
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error(transparent)]
    Splits(#[from] SplitsError),
    #[error(transparent)]
    Record(#[from] TrialRecordError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Request(String),
}

impl TrainingPlanError {
    /// Returns whether the request asks for what is not there.
    pub(super) fn is_wrong_request(&self) -> bool {
        match self {
            TrainingPlanError::Prepare(error) => error.is_wrong_request(),
            TrainingPlanError::Splits(SplitsError::Store(_)) => false,
            TrainingPlanError::Study(error) => error.store_error().is_none(),
            TrainingPlanError::Trial(_) | TrainingPlanError::Splits(_) | TrainingPlanError::Request(_) => true,
            TrainingPlanError::Record(_) | TrainingPlanError::Store(_) => false,
        }
    }
}

impl Retryable for TrainingPlanError {
    fn is_retryable(&self) -> bool {
        match self {
            TrainingPlanError::Prepare(error) => error.is_retryable(),
            TrainingPlanError::Study(error) => error.is_retryable(),
            TrainingPlanError::Record(TrialRecordError::Store(error)) | TrainingPlanError::Store(error) => {
                error.is_retryable()
            }
            TrainingPlanError::Splits(SplitsError::Store(error)) => error.is_retryable(),
            TrainingPlanError::Trial(_)
            | TrainingPlanError::Splits(_)
            | TrainingPlanError::Record(_)
            | TrainingPlanError::Request(_) => false,
        }
    }
}

impl Hint for TrainingPlanError {
    fn hint(&self) -> Option<String> {
        match self {
            TrainingPlanError::Prepare(PrepareError::Incomplete { .. }) => {
                Some("`dqa-coord dataset check` lists what is missing; trainings need every picture".to_owned())
            }
            TrainingPlanError::Prepare(error) => error.hint(),
            _ => None,
        }
    }
}

impl TrainingPlan {
    /// Plans the units, writes the splits, and finds the units that the store has.
    ///
    /// # Errors
    /// If a data set is not as the trainings need it, or the store fails.
    pub(super) async fn prepare(
        store: &Store,
        request: &TrainingRequest,
        definitions: &[Definition],
        roots: &Roots,
    ) -> Result<TrainingPlan, TrainingPlanError> {
        let mut plan = TrainingPlan::load(request, definitions, roots).await?;
        plan.write_splits(store).await?;
        plan.find_missing(store).await?;
        Ok(plan)
    }

    /// Loads the data sets and plans the units, all of which count as done.
    ///
    /// # Errors
    /// If a data set is not as the trainings need it.
    pub(super) async fn load(
        request: &TrainingRequest,
        definitions: &[Definition],
        roots: &Roots,
    ) -> Result<TrainingPlan, TrainingPlanError> {
        let policy = roots.load_policy();
        let mut datasets = Vec::new();
        for definition in definitions {
            let loaded = dataset::load_within(definition, &policy).await;
            let name = definition.name.to_string();
            let data = loaded.map_err(|source| PrepareError::Load { dataset: name.clone(), source })?;
            if data.faults.iter().any(|fault| fault.kind.is_missing_data()) {
                return Err(PrepareError::Incomplete { dataset: name }.into());
            }
            datasets.push(data);
        }
        TrainingPlan::new(request.clone(), datasets)
    }

    /// Plans the units of loaded data sets. Pure.
    fn new(request: TrainingRequest, mut datasets: Vec<DataSet>) -> Result<TrainingPlan, TrainingPlanError> {
        let work = match &request.work {
            TrainingWork::Study { definition, .. } => {
                // Lines count data sets in the study's order.
                let place = |data: &DataSet| definition.datasets.iter().position(|name| *name == data.name.as_str());
                datasets.sort_by_key(place);
                let find = &mut |key: &ModelKey| Ok(find_model(&request, key).model.clone());
                for key in crate::study::model_keys(definition)? {
                    require_model(&request, &key)?;
                }
                let plan = StudyPlan::new((**definition).clone(), datasets, request.splits.clone(), find)?;
                let units = plan.units().cloned().collect();
                PlannedWork::Study { plan: Box::new(plan), units }
            }
            TrainingWork::Trials { setup, options, numbers } => {
                let wrong = || TrainingPlanError::Request("a training has one data set and a model".to_owned());
                let (Some(data), None) = (datasets.pop(), datasets.pop()) else { return Err(wrong()) };
                let model = request.models.first().ok_or_else(wrong)?;
                let scenes = SceneNames::new(&data);
                let splits = match request.splits.first() {
                    Some(given) => given.clone().with_scene_names(&scenes)?,
                    None => Splits::draw(&data.name, scenes.labelled(), options)?,
                };
                let all: Vec<usize> = (1..=splits.splits.len()).collect();
                let numbers = if numbers.is_empty() { &all } else { numbers };
                let trials = numbers.iter().map(|number| Trial::plan(&data, (&splits, *number), &model.model, setup));
                PlannedWork::Trials { trials: trials.collect::<Result<_, _>>()?, splits }
            }
        };
        Ok(TrainingPlan { request, work, missing: Vec::new() })
    }

    async fn write_splits(&self, store: &Store) -> Result<(), TrainingPlanError> {
        match &self.work {
            PlannedWork::Study { plan, .. } => Ok(plan.write_splits(store).await?),
            PlannedWork::Trials { splits, .. } => Ok(splits.write_if_missing(store).await?),
        }
    }

    async fn find_missing(&mut self, store: &Store) -> Result<(), TrainingPlanError> {
        let lookups = (0..self.len()).map(|index| {
            let name = self.name(index).to_owned();
            let is_trial = self.is_trial(index);
            async move { Ok::<_, TrialRecordError>((index, TrainingUnit::is_done(store, &name, is_trial).await?)) }
        });
        let lookups: Vec<_> = lookups.collect();
        let found: Vec<(usize, bool)> = futures::stream::iter(lookups).buffered(LOOKUPS_MAX).try_collect().await?;
        self.missing = found.into_iter().filter(|(_, is_done)| !is_done).map(|(index, _)| index).collect();
        Ok(())
    }

    fn len(&self) -> usize {
        match &self.work {
            PlannedWork::Study { units, .. } => units.len(),
            PlannedWork::Trials { trials, .. } => trials.len(),
        }
    }

    fn name(&self, index: usize) -> String {
        match &self.work {
            PlannedWork::Study { units, .. } => units[index].name.clone(),
            PlannedWork::Trials { trials, .. } => trials[index].name(),
        }
    }

    fn is_trial(&self, index: usize) -> bool {
        match &self.work {
            PlannedWork::Study { units, .. } => units[index].is_trial,
            PlannedWork::Trials { .. } => true,
        }
    }

    pub(super) fn counts(&self) -> TrainingCounts {
        TrainingCounts { units: self.len() as u64, done: (self.len() - self.missing.len()) as u64 }
    }

    /// Returns what all units cost in scored windows, and what the missing ones do, by estimate.
    pub(super) fn windows(&self) -> (u64, u64) {
        let all = (0..self.len()).map(|index| self.windows_of(index)).sum();
        (all, self.missing.iter().map(|index| self.windows_of(*index)).sum())
    }

    fn windows_of(&self, index: usize) -> u64 {
        match &self.work {
            PlannedWork::Study { units, .. } => units[index].windows,
            PlannedWork::Trials { trials, .. } => trials[index].windows(),
        }
    }

    /// Returns the missing units for the scheduler.
    pub(super) fn shards(&self) -> Vec<ShardSummary> {
        let names: Vec<String> = self.missing.iter().map(|index| self.name(*index)).collect();
        let summarize = |(place, index): (usize, &usize)| {
            let after = match &self.work {
                PlannedWork::Study { units, .. } => units[*index].after.as_ref(),
                PlannedWork::Trials { .. } => None,
            };
            let after = after.and_then(|trial| names.iter().position(|name| name == trial));
            ShardSummary { part: names[place].clone(), windows: self.windows_of(*index), after }
        };
        self.missing.iter().enumerate().map(summarize).collect()
    }

    /// Returns the name of a scheduled unit.
    pub(super) fn missing_name(&self, place: usize) -> Option<String> {
        Some(self.name(*self.missing.get(place)?))
    }

    /// Returns a scheduled unit, with the model that it starts from.
    pub(super) fn missing_unit(&self, place: usize) -> Option<(TrainingUnit, &TrainingModel)> {
        let index = *self.missing.get(place)?;
        match &self.work {
            PlannedWork::Study { plan, units } => {
                let (unit, model) = plan.unit(&units[index]).ok()?;
                let model = self.request.models.iter().find(|given| given.model == *model)?;
                Some((unit, model))
            }
            PlannedWork::Trials { trials, .. } => {
                Some((TrainingUnit::Trial(Box::new(trials[index].clone())), self.request.models.first()?))
            }
        }
    }

    /// Reads the records of the complete trials of some splits. None for a study.
    ///
    /// # Errors
    /// If the store fails, or a record cannot be read.
    pub(super) async fn trained(&self, store: &Store) -> Result<Option<TrainedSplits>, TrainingPlanError> {
        let PlannedWork::Trials { trials, splits } = &self.work else { return Ok(None) };
        let mut records = Vec::new();
        for trial in trials {
            records.extend(TrialRecord::find(store, &trial.name()).await?.filter(TrialRecord::is_complete));
        }
        Ok(Some(TrainedSplits { splits: splits.clone(), records }))
    }

    /// Reads the results of a study. With `so_far`, those that are not made yet are left out. None if the request is no study.
    ///
    /// # Errors
    /// If the store fails, or lacks a result.
    pub(super) async fn outcome(&self, store: &Store, so_far: bool) -> Result<Option<StudyOutcome>, StudyRunError> {
        let (PlannedWork::Study { plan, .. }, TrainingWork::Study { name, .. }) = (&self.work, &self.request.work)
        else {
            return Ok(None);
        };
        let provenance = self.request.provenance.clone();
        Ok(Some(plan.outcome(name.clone(), store, provenance, so_far).await?))
    }
}

/// Returns the model of a key, which the request has.
fn find_model<'a>(request: &'a TrainingRequest, key: &ModelKey) -> &'a TrainingModel {
    let is_model = |given: &&TrainingModel| given.model.name == key.0 && given.seed == key.1;
    request.models.iter().find(is_model).expect("it was found before")
}

fn require_model(request: &TrainingRequest, (name, seed): &ModelKey) -> Result<(), TrainingPlanError> {
    let has = request.models.iter().any(|given| given.model.name == *name && given.seed == *seed);
    if has { Ok(()) } else { Err(TrainingPlanError::Request(format!("the request lacks the model {name}"))) }
}
