//! What a study takes: for each line and split the trial and the test whose result it is. Equal ones are one.

use std::collections::{BTreeSet, HashMap};

use dqa_engine::train::BaseModel;
use dqa_model::Views;
use dqa_pipelines::dataset::DataSet;
use dqa_pipelines::store::Store;
use dqa_pipelines::study::{DatasetFacts, Definition, Evaluation, Line, Pool, evaluation_key};
use dqa_pipelines::train::{SceneTexts, Setup, Splits, SplitsOptions, Trial, TrialPicture, TrialRecord};

use super::{StudyError, StudyRunError};

/// A study's lines with what each takes.
pub struct Plan {
    /// The study.
    pub definition: Definition,
    /// The data sets, in the order that lines count them in.
    pub datasets: Vec<Divided>,
    /// The lines of its table.
    pub lines: Vec<Line>,
    /// By line, then by split from 1.
    pub(super) cells: Vec<Vec<Cell>>,
    /// Trials by name, in the order they are made in, each with a cell that takes it: (line, split from 1).
    pub(super) trials: Vec<(String, (usize, usize))>,
    /// Tests by name, as trials.
    pub(super) evaluations: Vec<(String, (usize, usize))>,
    starts: HashMap<(String, u64), BaseModel>,
}

/// A data set with its splits.
pub struct Divided {
    /// The data set.
    pub data: DataSet,
    /// Its splits.
    pub splits: Splits,
    /// All pictures with their labels from 0 to 1.
    pictures: Vec<TrialPicture>,
}

/// What a line takes on one split.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    /// The trial's name; None: nothing is trained.
    pub(super) trial: Option<String>,
    /// The test's name; None: the trial's own.
    pub(super) evaluation: Option<String>,
}

/// What is there and what is to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Trials that are complete, and all.
    pub trials: (usize, usize),
    /// Tests that are there, and all.
    pub evaluations: (usize, usize),
}

impl Plan {
    /// Opens the models and plans every line. Data sets that no `splits` are given for are split anew; those that are have as
    /// many as the definition says.
    ///
    /// # Errors
    /// Where the data sets, splits or models are not as the study needs them.
    pub fn make(
        definition: Definition,
        datasets: Vec<DataSet>,
        splits: Vec<Splits>,
        offline: bool,
    ) -> Result<Plan, StudyRunError> {
        if let Some(other) = splits.iter().find(|splits| datasets.iter().all(|data| data.name != splits.dataset)) {
            let message = format!("splits are given for `{}`, which is none of the study's data sets", other.dataset);
            return Err(StudyError::Means(message).into());
        }
        let facts = |data: &DataSet| DatasetFacts { name: data.name.clone(), algorithms: data.algorithms() };
        let lines = definition.lines(&datasets.iter().map(facts).collect::<Vec<_>>())?;
        let lines = lines.into_iter().map(plain_views).collect::<Result<Vec<_>, _>>()?;
        let setup = definition.setup(&definition.variant[0])?;
        let divide = |data: DataSet| {
            let given = splits.iter().find(|splits| splits.dataset == data.name).cloned();
            divide(data, given, definition.splits, &setup)
        };
        let datasets = datasets.into_iter().map(divide).collect::<Result<Vec<_>, _>>()?;
        let mut plan = Plan {
            definition,
            datasets,
            lines,
            cells: Vec::new(),
            trials: Vec::new(),
            evaluations: Vec::new(),
            starts: HashMap::new(),
        };
        plan.open_models(offline)?;
        plan.fill()?;
        Ok(plan)
    }

    fn open_models(&mut self, offline: bool) -> Result<(), StudyRunError> {
        for line in &self.lines {
            let (model, seed) = start_key(line);
            if !self.starts.contains_key(&(model.clone(), seed)) {
                let opened = BaseModel::open(&model, None, seed, offline);
                let start = opened.map_err(|source| StudyRunError::BaseModel { model: model.clone(), source })?;
                self.starts.insert((model, seed), start);
            }
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<(), StudyRunError> {
        let (mut trials, mut evaluations) = (BTreeSet::new(), BTreeSet::new());
        for at in 0..self.lines.len() {
            let mut cells = Vec::new();
            for split in 1..=self.definition.splits as usize {
                let trial = self.trial(at, split)?.map(|trial| trial.name());
                let evaluation = self.evaluation(at, split, trial.as_deref()).map(|evaluation| evaluation.name());
                if let Some(name) = trial.as_ref().filter(|name| trials.insert((*name).clone())) {
                    self.trials.push((name.clone(), (at, split)));
                }
                if let Some(name) = evaluation.as_ref().filter(|name| evaluations.insert((*name).clone())) {
                    self.evaluations.push((name.clone(), (at, split)));
                }
                cells.push(Cell { trial, evaluation });
            }
            self.cells.push(cells);
        }
        Ok(())
    }

    /// The trial of a line on a split, if it is trained.
    pub(super) fn trial(&self, at: usize, split: usize) -> Result<Option<Trial>, StudyRunError> {
        let line = &self.lines[at];
        let (Some(trained_on), Some(setup)) = (line.trained_on, &line.setup) else { return Ok(None) };
        let Divided { data, splits, .. } = &self.datasets[trained_on];
        let planned = Trial::plan(data, (splits, split), self.start(line).model(), setup);
        planned.map(Some).map_err(|source| StudyRunError::Plan { variant: line.variant.clone(), source })
    }

    /// The test of a line on a split, where it is not the trial's own. What has not learned is tested once on all pictures,
    /// for all splits.
    pub(super) fn evaluation(&self, at: usize, split: usize, trial: Option<&str>) -> Option<Evaluation> {
        let line = &self.lines[at];
        if line.is_trials_own_test() {
            return None;
        }
        let Divided { data, pictures, .. } = &self.datasets[line.tested_on];
        let (judge, pictures) = match trial {
            Some(name) => {
                let scenes = self.test_scenes(at, split);
                let tested = pictures.iter().filter(|picture| scenes.contains(picture.scene.as_str()));
                (name.to_owned(), tested.cloned().collect())
            }
            None => (format!("handcrafted-{}", self.start(line).model().digest), pictures.clone()),
        };
        Some(Evaluation {
            judge,
            dataset: data.name.clone(),
            views: line.views.clone(),
            looks: line.pool == Pool::Attention,
            pictures,
        })
    }

    /// The scenes that a line is tested on.
    pub(super) fn test_scenes(&self, at: usize, split: usize) -> BTreeSet<&str> {
        let splits = &self.datasets[self.lines[at].tested_on].splits;
        splits.splits[split - 1].test.iter().map(String::as_str).collect()
    }

    /// What a line begins with.
    pub(super) fn start(&self, line: &Line) -> &BaseModel {
        &self.starts[&start_key(line)]
    }

    /// Scenes of a test over scenes of its training, of each data set.
    pub(super) fn test_to_train(&self) -> Vec<f64> {
        let ratio = |divided: &Divided| {
            let first = &divided.splits.splits[0];
            first.test.len() as f64 / first.train.len() as f64
        };
        self.datasets.iter().map(ratio).collect()
    }

    /// What the store has of it.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn look(&self, store: &Store) -> Result<Counts, StudyRunError> {
        let mut counts = Counts { trials: (0, self.trials.len()), evaluations: (0, self.evaluations.len()) };
        for (name, _) in &self.trials {
            let record = TrialRecord::find(store, name).await?;
            counts.trials.0 += usize::from(record.is_some_and(|record| record.is_complete()));
        }
        for (name, _) in &self.evaluations {
            counts.evaluations.0 += usize::from(is_there(store, name).await?);
        }
        Ok(counts)
    }
}

/// Whether the store has a test.
pub(super) async fn is_there(store: &Store, evaluation: &str) -> Result<bool, StudyRunError> {
    match store.head(&evaluation_key(evaluation)).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// New weights depend on the seed, others do not.
fn start_key(line: &Line) -> (String, u64) {
    let seed = if line.model.starts_with("new:") { line.seed } else { 0 };
    (line.model.clone(), seed)
}

/// One text for one meaning: views are in the names of trials and tests.
fn plain_views(mut line: Line) -> Result<Line, StudyRunError> {
    let over = |base: Views, views: &str| {
        let wrong = |source| StudyRunError::Views { variant: line.variant.clone(), views: views.to_owned(), source };
        base.over(views).map_err(wrong)
    };
    let trained = over(Views::default(), &line.training_views)?;
    line.views = over(trained, &line.views)?.to_string();
    line.training_views = trained.to_string();
    if let Some(setup) = line.setup.as_mut() {
        setup.views.clone_from(&line.training_views);
    }
    Ok(line)
}

fn divide(data: DataSet, given: Option<Splits>, count: u32, setup: &Setup) -> Result<Divided, StudyRunError> {
    let scenes = SceneTexts::new(&data);
    let options = SplitsOptions { count, ..SplitsOptions::default() };
    let splits = match given {
        Some(splits) => splits.resolved(&scenes)?,
        None => Splits::make(&data.name, scenes.labelled(), &options)?,
    };
    splits.check_scenes(&data.name, scenes.labelled())?;
    if splits.splits.iter().any(|split| split.test.is_empty()) {
        let message = format!("a split of `{}` has no scene to test on, which a study is about", data.name);
        return Err(StudyError::Means(message).into());
    }
    // Labels become targets in one place: where a training is planned. This one has all pictures.
    let all = SplitsOptions { count: 1, test_share: 0.0, ..SplitsOptions::default() };
    let all = Splits::make(&data.name, scenes.labelled(), &all)?;
    let model = dqa_pipelines::train::ModelRef { name: String::new(), digest: String::new(), prompts: None };
    let setup = Setup { label_range: setup.label_range, ..Setup::default() };
    let planned = Trial::plan(&data, (&all, 1), &model, &setup);
    let wrong = |source| StudyRunError::Plan { variant: format!("data set {}", data.name), source };
    let pictures = planned.map_err(wrong)?.train;
    Ok(Divided { data, splits, pictures })
}
