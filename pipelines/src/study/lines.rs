//! The lines of a study's table: what is trained, on what, and what it is tested on. Each is filled over the splits.

use std::collections::BTreeMap;

use super::definition::{Definition, LeaveOut, StudyError, Variant};
use super::evaluation::Pool;
use crate::names::{AlgorithmName, DatasetName};
use crate::train::Setup;

/// What of a data set decides the lines.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetFacts {
    /// Its name.
    pub name: DatasetName,
    /// Whose pictures it has, by name.
    pub algorithms: Vec<AlgorithmName>,
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What is tested: lines of one group are tested on the same pictures, and compared with the group's first.
    pub group: String,
    /// The variant's name.
    pub variant: String,
    /// The model that it begins with.
    pub model: String,
    /// How it is trained; None: not at all.
    pub setup: Option<Setup>,
    /// Of the setup, also where nothing is trained: a new model's weights are drawn by it.
    pub seed: u64,
    /// Of the data sets: the one that it is trained on; None: nothing is trained.
    pub trained_on: Option<usize>,
    /// Of the data sets: the one that has the test's pictures.
    pub tested_on: usize,
    /// Only their pictures are tested; None: all.
    pub algorithms: Option<Vec<String>>,
    /// Views of the setup, also where nothing is trained.
    pub training_views: String,
    /// Views of the test: what they do not say is as in the training.
    pub views: String,
    /// Whether the test is one of its own, whose cost is measured, and not the training's.
    pub is_measured: bool,
    /// How a picture's score is made of its windows'.
    pub pool: Pool,
    /// The paper's figure.
    pub paper: Option<f64>,
}

impl Line {
    /// Whether what the training says of its own test is the line's result.
    pub fn is_trials_own_test(&self) -> bool {
        self.trained_on == Some(self.tested_on) && !self.is_measured && self.pool == Pool::Mean
    }
}

impl Definition {
    /// The lines, group after group.
    ///
    /// # Errors
    /// Where the data sets do not suffice for what is asked.
    pub fn lines(&self, datasets: &[DatasetFacts]) -> Result<Vec<Line>, StudyError> {
        if datasets.is_empty() {
            return Err(StudyError::Means("the study names no data set: --datasets takes some".to_owned()));
        }
        if self.across && datasets.len() < 2 {
            let message = "a study across data sets takes at least two: --datasets takes them, joined by commas";
            return Err(StudyError::Means(message.to_owned()));
        }
        let mut lines = Vec::new();
        for (tested_on, dataset) in datasets.iter().enumerate() {
            match &self.leave_out {
                None => self.of_dataset(datasets, tested_on, &mut lines)?,
                Some(leave_out) => {
                    for (family, algorithms) in families(leave_out, dataset)? {
                        self.of_family(tested_on, format!("{}: {family}", dataset.name), &algorithms, &mut lines)?;
                    }
                }
            }
        }
        Ok(lines)
    }

    /// Every variant, tested on one data set; trained on it, and where the study is across on each of the others.
    fn of_dataset(&self, datasets: &[DatasetFacts], tested_on: usize, lines: &mut Vec<Line>) -> Result<(), StudyError> {
        let others = (0..datasets.len()).filter(|at| self.across && *at != tested_on);
        for trained_on in std::iter::once(tested_on).chain(others) {
            for (model, variant) in self.models_and_variants() {
                // What is not trained is the same whatever it was not trained on.
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

    /// Every variant, tested on some algorithms' pictures: trained with all, then without those.
    fn of_family(
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

    /// Without the data sets.
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

/// The families of a data set's algorithms that are left out, by name.
fn families(leave_out: &LeaveOut, dataset: &DatasetFacts) -> Result<BTreeMap<String, Vec<String>>, StudyError> {
    let known = |name: &String| dataset.algorithms.iter().any(|algorithm| algorithm.as_str() == name);
    let families: BTreeMap<String, Vec<String>> = match leave_out {
        LeaveOut::Each(_) => dataset.algorithms.iter().map(|name| (name.to_string(), vec![name.to_string()])).collect(),
        LeaveOut::Families(families) => {
            let here = |members: &Vec<String>| members.iter().filter(|name| known(name)).cloned().collect::<Vec<_>>();
            let families = families.iter().map(|(family, members)| (family.clone(), here(members)));
            families.filter(|(_, members)| !members.is_empty()).collect()
        }
    };
    if families.is_empty() || families.values().any(|members| members.len() == dataset.algorithms.len()) {
        let message = "some algorithms must be left out and some must stay";
        return Err(StudyError::Means(format!("data set `{}` cannot be studied so: {message}", dataset.name)));
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

    fn study(more: &str) -> Definition {
        Definition::parse(&format!("title = \"t\"\nmodels = [\"m\"]\n{more}"), "x").unwrap()
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
        let lines = study(text).changed(&overrides).unwrap().lines(&[facts("d", &["x"])]).unwrap();
        assert_eq!(lines.iter().map(|line| line.model.as_str()).collect::<String>(), "mmmnnn");
        assert_eq!(lines[..3].iter().map(Line::is_trials_own_test).collect::<Vec<_>>(), [true, false, false]);
        assert!(lines[1].is_measured && lines[1].views == "grid=4");
        assert_eq!(lines[1].setup, lines[0].setup, "one training is tested in many ways");
    }
}
