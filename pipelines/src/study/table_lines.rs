//! The lines of a study's table: what is trained, on which data set, and what it is tested on. A line aggregates over
//! the splits.

use std::collections::BTreeMap;

use super::definition::{LeaveOut, StudyDefinition, Variant};
use super::evaluation::Pooling;
use super::study_error::StudyError;
use crate::names::{AlgorithmName, DatasetName};
use crate::train::Setup;

/// The properties of a data set that determine the lines.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetFacts {
    /// The data set's name.
    pub name: DatasetName,
    /// The data set's algorithms, sorted by name.
    pub algorithms: Vec<AlgorithmName>,
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Lines of one group are tested on the same pictures and compared with the group's first line.
    pub group: String,
    /// The variant's name.
    pub variant: String,
    /// The initial model.
    pub model: String,
    /// The training setup, or None if nothing is trained.
    pub setup: Option<Setup>,
    /// The setup's seed. It is also set if nothing is trained, because it determines the weights of a new model.
    pub seed: u64,
    /// Index of the data set to train on, or None if nothing is trained.
    pub trained_on: Option<usize>,
    /// Index of the data set with the test pictures.
    pub tested_on: usize,
    /// The algorithms whose pictures are tested, or None for all.
    pub algorithms: Option<Vec<String>>,
    /// The setup's views. They are also set if nothing is trained.
    pub training_views: String,
    /// The views of the test. Unspecified values are those of the training.
    pub views: String,
    /// Whether the test is separate from the training's own test, and its cost is measured.
    pub is_measured: bool,
    /// How the scores of windows are combined into a picture's score.
    pub pool: Pooling,
    /// The paper's figure.
    pub paper: Option<f64>,
}

impl Line {
    /// Returns whether the result of the training's own test is the line's result.
    pub fn is_trials_own_test(&self) -> bool {
        self.trained_on == Some(self.tested_on) && !self.is_measured && self.pool == Pooling::Mean
    }
}

impl StudyDefinition {
    /// Returns the lines, group after group.
    ///
    /// # Errors
    /// The data sets are not sufficient for the study.
    pub fn lines(&self, datasets: &[DatasetFacts]) -> Result<Vec<Line>, StudyError> {
        if datasets.is_empty() {
            return Err(StudyError::Invalid("the study names no data set: give some with --datasets".to_owned()));
        }
        if self.across && datasets.len() < 2 {
            let message = "a study across data sets needs at least two: give them with --datasets, joined by commas";
            return Err(StudyError::Invalid(message.to_owned()));
        }
        let mut lines = Vec::new();
        for (tested_on, dataset) in datasets.iter().enumerate() {
            match &self.leave_out {
                None => self.push_dataset_lines(datasets, tested_on, &mut lines)?,
                Some(leave_out) => {
                    for (family, algorithms) in families(leave_out, dataset)? {
                        self.push_family_lines(
                            tested_on,
                            format!("{}: {family}", dataset.name),
                            &algorithms,
                            &mut lines,
                        )?;
                    }
                }
            }
        }
        Ok(lines)
    }

    /// Adds the lines of every variant tested on one data set: trained on that data set and, if the study is across
    /// data sets, on each other one.
    fn push_dataset_lines(
        &self,
        datasets: &[DatasetFacts],
        tested_on: usize,
        lines: &mut Vec<Line>,
    ) -> Result<(), StudyError> {
        let others = (0..datasets.len()).filter(|index| self.across && *index != tested_on);
        for trained_on in std::iter::once(tested_on).chain(others) {
            for (model, variant) in self.models_and_variants() {
                // An untrained variant has the same result whatever the training data set, so it has one line.
                if !variant.train && trained_on != tested_on {
                    continue;
                }
                let group = datasets[tested_on].name.to_string();
                let line = self.line(variant, model, group)?;
                lines.push(Line { trained_on: variant.train.then_some(trained_on), tested_on, ..line });
            }
        }
        Ok(())
    }

    /// Adds the lines of every variant tested on the pictures of some algorithms: trained with all algorithms, then
    /// without these.
    fn push_family_lines(
        &self,
        tested_on: usize,
        group: String,
        algorithms: &[String],
        lines: &mut Vec<Line>,
    ) -> Result<(), StudyError> {
        for is_seen in [true, false] {
            for (model, variant) in self.models_and_variants() {
                if !variant.train && !is_seen {
                    continue;
                }
                let mut line = self.line(variant, model, group.clone())?;
                if let Some(setup) = line.setup.as_mut() {
                    line.variant += if is_seen { ", seen" } else { ", unseen" };
                    if !is_seen {
                        setup.without.extend(algorithms.iter().cloned());
                    }
                }
                let algorithms = Some(algorithms.to_vec());
                lines.push(Line { trained_on: variant.train.then_some(tested_on), tested_on, algorithms, ..line });
            }
        }
        Ok(())
    }

    fn models_and_variants(&self) -> impl Iterator<Item = (&String, &Variant)> {
        self.models.iter().flat_map(|model| self.variant.iter().map(move |variant| (model, variant)))
    }

    /// Returns a line without its data sets.
    fn line(&self, variant: &Variant, model: &str, group: String) -> Result<Line, StudyError> {
        let setup = self.setup(variant)?;
        Ok(Line {
            group,
            variant: variant.name.clone(),
            model: model.to_owned(),
            training_views: setup.views.clone(),
            views: variant.views.clone().unwrap_or_else(|| setup.views.clone()),
            is_measured: variant.views.is_some(),
            seed: setup.seed,
            setup: variant.train.then_some(setup),
            trained_on: None,
            tested_on: 0,
            algorithms: None,
            pool: variant.pool,
            paper: variant.paper,
        })
    }
}

/// Returns the families of a data set's algorithms that are excluded from training, by name.
fn families(leave_out: &LeaveOut, dataset: &DatasetFacts) -> Result<BTreeMap<String, Vec<String>>, StudyError> {
    let exists = |name: &String| dataset.algorithms.iter().any(|algorithm| algorithm.as_str() == name);
    let families: BTreeMap<String, Vec<String>> = match leave_out {
        LeaveOut::Each(_) => dataset.algorithms.iter().map(|name| (name.to_string(), vec![name.to_string()])).collect(),
        LeaveOut::Families(families) => {
            let existing =
                |members: &Vec<String>| members.iter().filter(|name| exists(name)).cloned().collect::<Vec<_>>();
            let families = families.iter().map(|(family, members)| (family.clone(), existing(members)));
            families.filter(|(_, members)| !members.is_empty()).collect()
        }
    };
    if families.is_empty() || families.values().any(|members| members.len() == dataset.algorithms.len()) {
        let message = "some algorithms must be left out and some must remain";
        return Err(StudyError::Invalid(format!("data set `{}` does not fit the study: {message}", dataset.name)));
    }
    Ok(families)
}

#[cfg(test)]
mod tests {
    use super::super::Overrides;
    use super::*;

    fn facts(name: &str, algorithms: &[&str]) -> DatasetFacts {
        let algorithms = algorithms.iter().map(|algorithm| algorithm.parse().unwrap()).collect();
        DatasetFacts { name: name.parse().unwrap(), algorithms }
    }

    fn study(more: &str) -> StudyDefinition {
        StudyDefinition::parse(&format!("title = \"t\"\nmodels = [\"m\"]\n{more}"), "x").unwrap()
    }

    const TWO: &str = "[[variant]]\nname = \"plain\"\ntrain = false\n[[variant]]\nname = \"learned\"\n";

    fn shown(lines: &[Line]) -> Vec<String> {
        let line = |line: &Line| format!("{} {} {:?}>{}", line.group, line.variant, line.trained_on, line.tested_on);
        lines.iter().map(line).collect()
    }

    #[test]
    fn every_variant_is_tested_on_every_data_set() {
        let datasets = [facts("a", &["x", "y"]), facts("b", &["x"])];
        let lines = study(TWO).lines(&datasets).unwrap();
        assert_eq!(shown(&lines), ["a plain None>0", "a learned Some(0)>0", "b plain None>1", "b learned Some(1)>1"]);
        let across = study(&format!("across = true\n{TWO}")).lines(&datasets).unwrap();
        let of_a = ["a plain None>0", "a learned Some(0)>0", "a learned Some(1)>0"];
        assert_eq!(shown(&across)[..3], of_a);
        assert_eq!(across.len(), 6);
        assert!(across[1].is_trials_own_test() && !across[2].is_trials_own_test());
        assert!(study(&format!("across = true\n{TWO}")).lines(&datasets[..1]).is_err());
    }

    #[test]
    fn algorithms_are_left_out_one_by_one_or_by_family() {
        let datasets = [facts("a", &["x", "y", "z"])];
        let lines = study(&format!("leave_out = \"each\"\n{TWO}")).lines(&datasets).unwrap();
        assert_eq!(lines.len(), 9);
        assert_eq!(
            shown(&lines[..3]),
            ["a: x plain None>0", "a: x learned, seen Some(0)>0", "a: x learned, unseen Some(0)>0"]
        );
        let without = |line: &Line| line.setup.as_ref().unwrap().without.clone();
        assert_eq!((without(&lines[1]), without(&lines[2])), (vec![], vec!["x".to_owned()]));
        assert_eq!(lines[2].algorithms, Some(vec!["x".to_owned()]));

        let families = format!("leave_out = {{ prior = [\"x\", \"z\", \"none\"], absent = [\"none\"] }}\n{TWO}");
        let lines = study(&families).lines(&datasets).unwrap();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2].algorithms, Some(vec!["x".to_owned(), "z".to_owned()]));
        assert!(study(&families).lines(&[facts("b", &["x", "z"])]).is_err(), "nothing would be left");
    }

    #[test]
    fn models_and_tests_of_their_own_are_lines() {
        let text = "[[variant]]\nname = \"a\"\n[[variant]]\nname = \"b\"\nviews = \"grid=4\"\n\
                    [[variant]]\nname = \"c\"\npool = \"median\"\n";
        let overrides = Overrides { models: vec!["m".to_owned(), "n".to_owned()], ..Overrides::default() };
        let lines = study(text).with_overrides(&overrides).unwrap().lines(&[facts("d", &["x"])]).unwrap();
        assert_eq!(lines.iter().map(|line| line.model.as_str()).collect::<String>(), "mmmnnn");
        assert_eq!(lines[..3].iter().map(Line::is_trials_own_test).collect::<Vec<_>>(), [true, false, false]);
        assert!(lines[1].is_measured && lines[1].views == "grid=4");
        assert_eq!(lines[1].setup, lines[0].setup, "one training is tested in many ways");
    }
}
