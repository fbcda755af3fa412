//! A study as it is written down: a TOML file in `configs/studies`, or one of the user's. docs/studies.md explains the keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::evaluation::Pool;
use crate::names::{similar_names, suggestion};
use crate::train::{Select, Setup, SetupError};

/// The studies that come with the program: name and text.
pub const READY: [(&str, &str); 6] = [
    ("ablation", include_str!("../../../configs/studies/ablation.toml")),
    ("cross-dataset", include_str!("../../../configs/studies/cross-dataset.toml")),
    ("windows", include_str!("../../../configs/studies/windows.toml")),
    ("unseen-algorithms", include_str!("../../../configs/studies/unseen-algorithms.toml")),
    ("backbones", include_str!("../../../configs/studies/backbones.toml")),
    ("initialisation", include_str!("../../../configs/studies/initialisation.toml")),
];

/// A study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// One line: what it asks.
    pub title: String,
    /// What a reader of its table must know.
    #[serde(default)]
    pub about: String,
    /// Data sets that are trained on: names from configs/datasets, definitions or folders.
    #[serde(default)]
    pub datasets: Vec<String>,
    /// Models that trainings begin with.
    #[serde(default = "models")]
    pub models: Vec<String>,
    /// 80/20 splits by scene of each data set.
    #[serde(default = "splits")]
    pub splits: u32,
    /// What the variants' `paper` figures are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<String>,
    /// Each variant is tested on every data set, not on its own alone.
    #[serde(default)]
    pub across: bool,
    /// Algorithms that are left out of the training and tested on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave_out: Option<LeaveOut>,
    /// What each line is compared with.
    #[serde(default)]
    pub against: Against,
    /// The training setup that all variants begin with.
    #[serde(default)]
    pub base: toml::Table,
    /// What is compared.
    pub variant: Vec<Variant>,
}

/// What a line's `more` and `p` are against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Against {
    /// The first line that is tested on the same pictures.
    #[default]
    First,
    /// The line before: for variants that add one thing after the other.
    Previous,
}

/// Which algorithms are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LeaveOut {
    /// `"each"`: every algorithm of a data set, one at a time.
    Each(Each),
    /// Families by name, one at a time; of a family that a data set has nothing of there is no line.
    Families(BTreeMap<String, Vec<String>>),
}

/// The word `each`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Each {
    /// As it is written.
    Each,
}

/// One of what is compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// What it is called in the table.
    pub name: String,
    /// False: nothing learns, the sentences stand as they are.
    #[serde(default = "yes")]
    pub train: bool,
    /// Keys of the training setup that differ from `base`.
    #[serde(default)]
    pub set: toml::Table,
    /// Views of the test, where they are not those of the training; then its cost is measured too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<String>,
    /// How a picture's score is made of its windows'.
    #[serde(default)]
    pub pool: Pool,
    /// The paper's figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<f64>,
}

fn models() -> Vec<String> {
    vec!["hf:openai/clip-vit-base-patch32".to_owned()]
}

fn splits() -> u32 {
    10
}

fn yes() -> bool {
    true
}

/// What the command line changes of a study; what is empty changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Other data sets.
    pub datasets: Vec<String>,
    /// Other models.
    pub models: Vec<String>,
    /// Another number of splits.
    pub splits: Option<u32>,
    /// Keys of `base`, as `key=value` in TOML; a bare word is a text. What a variant sets itself stays.
    pub set: Vec<String>,
}

/// A study that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("{origin} is no study")]
    Toml {
        /// The file.
        origin: String,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The setup of a variant is none.
    #[error("variant `{variant}` of the study cannot be trained")]
    Setup {
        /// Which.
        variant: String,
        /// Why.
        #[source]
        source: SetupError,
    },
    /// What is said of it means nothing.
    #[error("{0}")]
    Means(String),
    /// No study of this name comes with the program.
    #[error("there is no study `{name}`{}; there are {}, or a path to a .toml", suggestion(similar), READY.map(|(name, _)| name).join(", "))]
    Unknown {
        /// As given.
        name: String,
        /// Names that are like it.
        similar: Vec<String>,
    },
}

impl Definition {
    /// One of [`READY`].
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn ready(name: &str) -> Result<Definition, StudyError> {
        match READY.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Definition::parse(text, name),
            None => {
                let similar = similar_names(name, READY.map(|(name, _)| name));
                Err(StudyError::Unknown { name: name.to_owned(), similar })
            }
        }
    }

    /// From TOML; `origin` says where it came from, for errors.
    ///
    /// # Errors
    /// Where it is no TOML, has an unknown key, or a setup that cannot be trained with.
    pub fn parse(text: &str, origin: &str) -> Result<Definition, StudyError> {
        let wrong = |source| StudyError::Toml { origin: origin.to_owned(), source: Box::new(source) };
        let definition: Definition = toml::from_str(text).map_err(wrong)?;
        definition.check()?;
        Ok(definition)
    }

    /// With what the command line changes.
    ///
    /// # Errors
    /// Where a key is none of a setup's, or its value means nothing.
    pub fn changed(mut self, overrides: &Overrides) -> Result<Definition, StudyError> {
        if !overrides.datasets.is_empty() {
            self.datasets.clone_from(&overrides.datasets);
        }
        if !overrides.models.is_empty() {
            self.models.clone_from(&overrides.models);
        }
        self.splits = overrides.splits.unwrap_or(self.splits);
        for text in &overrides.set {
            let (key, value) = setting(text)?;
            self.base.insert(key, value);
        }
        self.check()?;
        Ok(self)
    }

    fn check(&self) -> Result<(), StudyError> {
        let means = |text: &str| Err(StudyError::Means(text.to_owned()));
        if self.variant.is_empty() || self.models.is_empty() || self.splits == 0 {
            return means("a study takes at least one variant, one model and one split");
        }
        for (at, variant) in self.variant.iter().enumerate() {
            if self.variant[..at].iter().any(|other| other.name == variant.name) {
                return means(&format!("two variants of the study are called `{}`", variant.name));
            }
            if !variant.train && !variant.set.is_empty() {
                return means(&format!("variant `{}` is not trained, so its `set` has no effect", variant.name));
            }
            let setup = self.setup(variant)?;
            if !variant.train && setup.words != Setup::default().words {
                return means(&format!("variant `{}` is not trained, so its sentences are the paper's", variant.name));
            }
        }
        match &self.leave_out {
            Some(_) if self.across => means("a study is either `across` data sets or has `leave_out`, not both"),
            Some(LeaveOut::Families(families)) if families.values().any(Vec::is_empty) => {
                means("a family of `leave_out` takes at least one algorithm")
            }
            _ => Ok(()),
        }
    }

    /// The setup that a variant is trained with.
    ///
    /// # Errors
    /// Where it cannot be.
    pub fn setup(&self, variant: &Variant) -> Result<Setup, StudyError> {
        let mut table = self.base.clone();
        table.extend(variant.set.clone());
        let origin = format!("variant `{}`", variant.name);
        let setup = Setup::parse(&toml::to_string(&table).expect("a table has text for keys"), &origin);
        let setup = setup.map_err(|source| StudyError::Setup { variant: variant.name.clone(), source })?;
        // Nobody looks at the others: a test costs all windows of all its pictures, an epoch one of each.
        let test_every = if setup.select == Select::Last { setup.epochs } else { setup.test_every };
        Ok(Setup { test_every, ..setup })
    }
}

/// `key=value` as TOML; a value that is none is a text.
fn setting(text: &str) -> Result<(String, toml::Value), StudyError> {
    let wrong = || StudyError::Means(format!("`{text}` is no setting: it takes key=value, as in epochs=3"));
    let (key, value) = text.split_once('=').ok_or_else(wrong)?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(wrong());
    }
    let parsed = toml::from_str::<toml::Table>(&format!("{key} = {value}"));
    let parsed = parsed.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove(key));
    Ok((key.to_owned(), parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Tune;

    #[test]
    fn every_study_that_comes_with_the_program_can_be_read() {
        for (name, _) in READY {
            let study = Definition::ready(name).unwrap();
            assert!(!study.title.is_empty() && !study.about.is_empty(), "{name}");
        }
        let error = Definition::ready("ablations").unwrap_err().to_string();
        assert!(error.starts_with("there is no study `ablations`; similar names: ablation"), "{error}");
    }

    #[test]
    fn the_ablation_has_the_papers_figures() {
        let study = Definition::ready("ablation").unwrap();
        let paper: Vec<f64> = study.variant.iter().filter_map(|variant| variant.paper).collect();
        assert_eq!(paper, [0.3630, 0.8392, 0.8925, 0.9179]);
        let tunes: Vec<Tune> = study.variant[1..].iter().map(|variant| study.setup(variant).unwrap().tune).collect();
        assert_eq!(tunes, [Tune::Text, Tune::Prompts, Tune::Prompts, Tune::All]);
    }

    #[test]
    fn the_command_line_changes_the_base_and_not_the_variants() {
        let text =
            "title = \"t\"\n[base]\nepochs = 9\n[[variant]]\nname = \"a\"\n[[variant]]\nname = \"b\"\nset.lr = 0.5\n";
        let set = ["epochs=2", "lr=1e-3", "tune=text", "words=[\"a\", \"b\"]"].map(str::to_owned).to_vec();
        let overrides = Overrides { splits: Some(3), models: vec!["m".to_owned()], set, ..Overrides::default() };
        let study = Definition::parse(text, "x").unwrap().changed(&overrides).unwrap();
        let [a, b] = [0, 1].map(|at| study.setup(&study.variant[at]).unwrap());
        assert_eq!((a.epochs, a.lr, a.tune), (2, 1e-3, Tune::Text));
        assert_eq!(a.words, ["a", "b"]);
        assert_eq!((b.epochs, b.lr), (2, 0.5));
        assert_eq!((study.splits, study.models), (3, vec!["m".to_owned()]));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let refused = |text: &str| dqa_chain(&Definition::parse(text, "x.toml").unwrap_err());
        let variant = "[[variant]]\nname = \"a\"\n";
        assert!(refused(&format!("titel = \"t\"\n{variant}")).contains("titel"));
        assert!(refused(&format!("title = \"t\"\n[base]\nepoch = 1\n{variant}")).contains("epoch"));
        assert!(refused(&format!("title = \"t\"\n{variant}{variant}")).contains("two variants"));
        assert!(refused(&format!("title = \"t\"\n{variant}train = false\nset.lr = 1.0")).contains("not trained"));
        let words = format!("title = \"t\"\n[base]\nwords = [\"a\", \"b\"]\n{variant}train = false");
        assert!(refused(&words).contains("sentences"));
        assert!(refused(&format!("title = \"t\"\nleave_out = \"some\"\n{variant}")).contains("leave_out"));
        assert!(refused(&format!("title = \"t\"\nacross = true\nleave_out = \"each\"\n{variant}")).contains("either"));
        for text in ["lr", "=1", "a b=1"] {
            let set = Overrides { set: vec![text.to_owned()], ..Overrides::default() };
            assert!(Definition::ready("ablation").unwrap().changed(&set).is_err(), "{text}");
        }
    }

    fn dqa_chain(error: &dyn std::error::Error) -> String {
        std::iter::successors(Some(error), |cause| cause.source()).map(|cause| cause.to_string() + ": ").collect()
    }
}
