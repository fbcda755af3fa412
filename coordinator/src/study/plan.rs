//! Plans a study: for each line and split the trial and the test whose result it is. Equal trials, and equal tests, are
//! made once.

use std::collections::{BTreeSet, HashMap};

use dqa_engine::train::BaseModel;
use dqa_model::Views;
use dqa_pipelines::dataset::DataSet;
use dqa_pipelines::store::Store;
use dqa_pipelines::study::{DatasetFacts, Evaluation, Line, Pooling, StudyDefinition, StudyError};
use dqa_pipelines::train::{ModelRef, SceneNames, Setup, Splits, SplitsOptions, Trial, TrialPicture};
use dqa_pipelines::training::TrainingUnit;

use super::error::StudyRunError;

/// A study's lines, with the trials and tests that they need.
pub struct StudyPlan {
    /// The study.
    pub definition: StudyDefinition,
    /// The data sets, in the order in which lines count them.
    pub datasets: Vec<SplitDataSet>,
    /// The lines of the study's table.
    pub lines: Vec<Line>,
    /// By line, then by split.
    pub(super) cells: Vec<Vec<Cell>>,
    /// Trials, in the order in which they are made.
    pub(super) trials: Vec<StudyUnit>,
    /// Tests, as trials.
    pub(super) evaluations: Vec<StudyUnit>,
    models: HashMap<ModelKey, ModelRef>,
}

/// A model to start from: its name, and the seed if its weights are new and depend on it, else 0.
pub type ModelKey = (String, u64);

/// A trial or a test of a study, with the first cell that needs it.
#[derive(Clone, Debug)]
pub struct StudyUnit {
    /// Its name.
    pub name: String,
    /// Whether it is a trial.
    pub is_trial: bool,
    /// Index of the line.
    pub line: usize,
    /// The split, from 1.
    pub split: usize,
    /// Its estimated cost in scored windows.
    pub windows: u64,
    /// Name of the trial whose model a test needs, if it needs one.
    pub after: Option<String>,
}

/// A data set with its splits.
pub struct SplitDataSet {
    /// The data set.
    pub data: DataSet,
    /// The splits.
    pub splits: Splits,
    /// All pictures, with their labels scaled to 0 to 1.
    pictures: Vec<TrialPicture>,
}

/// The trial and the test that a line needs on one split.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    /// Name of the trial. None if nothing is trained.
    pub(super) trial: Option<String>,
    /// Name of the test. None if the trial's own test is the result.
    pub(super) evaluation: Option<String>,
}

/// The numbers of trials and tests of a study that the store has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StudyCompletion {
    /// Trials; done if complete.
    pub trials: Completion,
    /// Tests.
    pub evaluations: Completion,
}

/// The number of items that are done, of a total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Number that the store has.
    pub done: usize,
    /// Number that the study needs.
    pub total: usize,
}

impl StudyPlan {
    /// Plans every line. `find_model` returns the name and digests of a model. Splits the data sets that no `splits` are given for; given splits are as
    /// many as the definition says.
    ///
    /// # Errors
    /// If the data sets, splits or models are not as the study needs them.
    pub fn new(
        definition: StudyDefinition,
        datasets: Vec<DataSet>,
        splits: Vec<Splits>,
        find_model: &mut dyn FnMut(&ModelKey) -> Result<ModelRef, StudyRunError>,
    ) -> Result<StudyPlan, StudyRunError> {
        if let Some(other) = splits.iter().find(|splits| datasets.iter().all(|data| data.name != splits.dataset)) {
            let message = format!("splits are given for `{}`, which is none of the study's data sets", other.dataset);
            return Err(StudyError::Invalid(message).into());
        }
        let facts = |data: &DataSet| DatasetFacts { name: data.name.clone(), algorithms: data.algorithms() };
        let lines = definition.lines(&datasets.iter().map(facts).collect::<Vec<_>>())?;
        let lines = lines.into_iter().map(canonical_views).collect::<Result<Vec<_>, _>>()?;
        let setup = definition.setup(&definition.variant[0])?;
        let split = |data: DataSet| {
            let given = splits.iter().find(|splits| splits.dataset == data.name).cloned();
            split_dataset(data, given, definition.splits, &setup)
        };
        let datasets = datasets.into_iter().map(split).collect::<Result<Vec<_>, _>>()?;
        let mut plan = StudyPlan {
            definition,
            datasets,
            lines,
            cells: Vec::new(),
            trials: Vec::new(),
            evaluations: Vec::new(),
            models: HashMap::new(),
        };
        for line in &plan.lines {
            let key = model_key(line);
            if !plan.models.contains_key(&key) {
                plan.models.insert(key.clone(), find_model(&key)?);
            }
        }
        plan.plan_cells()?;
        Ok(plan)
    }

    fn plan_cells(&mut self) -> Result<(), StudyRunError> {
        let (mut trials, mut evaluations) = (BTreeSet::new(), BTreeSet::new());
        for line in 0..self.lines.len() {
            let mut cells = Vec::new();
            for split in 1..=self.definition.splits as usize {
                let unit = |name, windows, after, is_trial| StudyUnit { name, is_trial, line, split, windows, after };
                let trial = self.trial(line, split)?;
                let name = trial.as_ref().map(Trial::name);
                let evaluation = self.evaluation(line, split, name.as_deref());
                if let (Some(trial), Some(name)) = (&trial, &name)
                    && trials.insert(name.clone())
                {
                    self.trials.push(unit(name.clone(), trial.windows(), None, true));
                }
                let trial = name;
                let (evaluation, windows) = match evaluation {
                    Some(evaluation) => (Some(evaluation.name()), evaluation.windows()),
                    None => (None, 0),
                };
                if let Some(name) = evaluation.as_ref().filter(|name| evaluations.insert((*name).clone())) {
                    self.evaluations.push(unit(name.clone(), windows, trial.clone(), false));
                }
                cells.push(Cell { trial, evaluation });
            }
            self.cells.push(cells);
        }
        Ok(())
    }

    /// Returns the trial of a line on a split, if the line is trained.
    pub(super) fn trial(&self, line: usize, split: usize) -> Result<Option<Trial>, StudyRunError> {
        let line = &self.lines[line];
        let (Some(trained_on), Some(setup)) = (line.trained_on, &line.setup) else { return Ok(None) };
        let SplitDataSet { data, splits, .. } = &self.datasets[trained_on];
        let planned = Trial::plan(data, (splits, split), self.model(line), setup);
        planned.map(Some).map_err(|source| StudyRunError::Plan { variant: line.variant.clone(), source })
    }

    /// Returns the test of a line on a split, unless it is the trial's own. A model that is not trained is tested once
    /// on all pictures, for all splits.
    pub(super) fn evaluation(&self, line: usize, split: usize, trial: Option<&str>) -> Option<Evaluation> {
        let scenes = self.test_scenes(line, split);
        let line = &self.lines[line];
        if line.is_trials_own_test() {
            return None;
        }
        let SplitDataSet { data, pictures, .. } = &self.datasets[line.tested_on];
        let (evaluator, pictures) = match trial {
            Some(name) => {
                let tested = pictures.iter().filter(|picture| scenes.contains(picture.scene.as_str()));
                (name.to_owned(), tested.cloned().collect())
            }
            None => (format!("handcrafted-{}", self.model(line).digest), pictures.clone()),
        };
        Some(Evaluation {
            evaluator,
            dataset: data.name.clone(),
            views: line.views.clone(),
            with_attention: line.pool == Pooling::Attention,
            pictures,
        })
    }

    /// Returns the scenes that a line is tested on.
    pub(super) fn test_scenes(&self, line: usize, split: usize) -> BTreeSet<&str> {
        let splits = &self.datasets[self.lines[line].tested_on].splits;
        splits.splits[split - 1].test.iter().map(String::as_str).collect()
    }

    fn model(&self, line: &Line) -> &ModelRef {
        &self.models[&model_key(line)]
    }

    /// Returns the trials and tests that the study needs: trials first, as tests need what they have learned.
    pub fn units(&self) -> impl Iterator<Item = &StudyUnit> {
        self.trials.iter().chain(&self.evaluations)
    }

    /// Returns the trial or test of a unit, and the model that it starts from.
    ///
    /// # Errors
    /// Never: it was planned before.
    pub fn unit(&self, unit: &StudyUnit) -> Result<(TrainingUnit, &ModelRef), StudyRunError> {
        let (line, split) = (unit.line, unit.split);
        let model = self.model(&self.lines[line]);
        let unit = if unit.is_trial {
            TrainingUnit::Trial(Box::new(self.trial(line, split)?.expect("it was planned")))
        } else {
            let evaluation = self.evaluation(line, split, unit.after.as_deref()).expect("it was planned");
            TrainingUnit::Evaluation { evaluation: Box::new(evaluation), trial: unit.after.clone() }
        };
        Ok((unit, model))
    }

    /// Returns for each data set the number of a test's scenes divided by the number of its training's scenes.
    pub(super) fn test_to_train(&self) -> Vec<f64> {
        let ratio = |dataset: &SplitDataSet| {
            let first = &dataset.splits.splits[0];
            first.test.len() as f64 / first.train.len() as f64
        };
        self.datasets.iter().map(ratio).collect()
    }

    /// Counts the trials and tests that the store has.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn completion(&self, store: &Store) -> Result<StudyCompletion, StudyRunError> {
        let mut completion = StudyCompletion {
            trials: Completion { done: 0, total: self.trials.len() },
            evaluations: Completion { done: 0, total: self.evaluations.len() },
        };
        for StudyUnit { name, is_trial, .. } in self.units() {
            let done = if *is_trial { &mut completion.trials.done } else { &mut completion.evaluations.done };
            *done += usize::from(TrainingUnit::is_done(store, name, *is_trial).await?);
        }
        Ok(completion)
    }
}

/// Returns the key of the model that a line starts from.
pub(super) fn model_key(line: &Line) -> ModelKey {
    key_of(&line.model, line.seed)
}

/// Returns the models that a study's trainings may start from, whatever its data sets are.
///
/// # Errors
/// If the setup of a variant is invalid.
pub fn model_keys(definition: &StudyDefinition) -> Result<BTreeSet<ModelKey>, StudyRunError> {
    let mut keys = BTreeSet::new();
    for variant in &definition.variant {
        let seed = definition.setup(variant)?.seed;
        keys.extend(definition.models.iter().map(|model| key_of(model, seed)));
    }
    Ok(keys)
}

fn key_of(model: &str, seed: u64) -> ModelKey {
    (model.to_owned(), if BaseModel::new_config(model).is_some() { seed } else { 0 })
}

/// Writes a line's views in their canonical form, because they are in the names of trials and tests.
fn canonical_views(mut line: Line) -> Result<Line, StudyRunError> {
    let overridden = |base: Views, views: &str| {
        let invalid = |source| StudyRunError::Views { variant: line.variant.clone(), views: views.to_owned(), source };
        base.with_overrides(views).map_err(invalid)
    };
    let trained = overridden(Views::default(), &line.training_views)?;
    line.views = overridden(trained, &line.views)?.to_string();
    line.training_views = trained.to_string();
    if let Some(setup) = line.setup.as_mut() {
        setup.views.clone_from(&line.training_views);
    }
    Ok(line)
}

/// Splits a data set, or checks the splits that are given for it.
fn split_dataset(
    data: DataSet,
    given: Option<Splits>,
    count: u32,
    setup: &Setup,
) -> Result<SplitDataSet, StudyRunError> {
    let scenes = SceneNames::new(&data);
    let options = SplitsOptions { count, ..SplitsOptions::default() };
    let splits = match given {
        Some(splits) => splits.with_scene_names(&scenes)?,
        None => Splits::draw(&data.name, scenes.labelled(), &options)?,
    };
    splits.check_scenes(&data.name, scenes.labelled())?;
    if splits.splits.iter().any(|split| split.test.is_empty()) {
        let message = format!("a split of `{}` has no scene to test on, and a study needs one", data.name);
        return Err(StudyError::Invalid(message).into());
    }
    // Labels become targets in one place, the plan of a trial. This trial has all pictures.
    let all = SplitsOptions { count: 1, test_share: 0.0, ..SplitsOptions::default() };
    let all = Splits::draw(&data.name, scenes.labelled(), &all)?;
    let model = dqa_pipelines::train::ModelRef { name: String::new(), digest: String::new(), prompts: None };
    let setup = Setup { label_range: setup.label_range, ..Setup::default() };
    let planned = Trial::plan(&data, (&all, 1), &model, &setup);
    let failed = |source| StudyRunError::Plan { variant: format!("data set {}", data.name), source };
    let pictures = planned.map_err(failed)?.train;
    Ok(SplitDataSet { data, splits, pictures })
}
