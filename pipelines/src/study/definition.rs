//! The definition of a study: a TOML file in `configs/studies` or a user's file. docs/guides/studies.md explains the keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::evaluation::Pooling;
use super::study_error::StudyError;
use crate::train::{Select, Setup};

/// A study that trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyDefinition {
    /// One line that states the question.
    pub title: String,
    /// What a reader needs to know about the table.
    #[serde(default)]
    pub about: String,
    /// The data sets to train on: names of definitions, or paths of definitions, manifests or folders.
    #[serde(default)]
    pub datasets: Vec<String>,
    /// The models that trainings start from.
    #[serde(default = "default_models")]
    pub models: Vec<String>,
    /// Number of splits of each data set, 80/20 by scene.
    #[serde(default = "default_splits")]
    pub splits: u32,
    /// What the `paper` figures of the variants measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<String>,
    /// Whether each variant is tested on every data set, and not only on the one that it was trained on.
    #[serde(default)]
    pub across: bool,
    /// Algorithms that are excluded from training and tested on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave_out: Option<LeaveOut>,
    /// What each line is compared with.
    #[serde(default)]
    pub against: Baseline,
    /// The training setup that all variants share.
    #[serde(default)]
    pub base: toml::Table,
    /// The variants to compare.
    pub variant: Vec<Variant>,
}

/// The baseline of a line's columns `more` and `p`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Baseline {
    /// The first line that is tested on the same pictures.
    #[default]
    First,
    /// The previous line, for variants that add one change after the other.
    Previous,
}

/// The algorithms to exclude from training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LeaveOut {
    /// `"each"`: every algorithm of a data set, one at a time.
    Each(Each),
    /// Families of algorithms by name, one at a time. A family without algorithms in a data set has no line there.
    Families(BTreeMap<String, Vec<String>>),
}

/// The word `each`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Each {
    /// The only value.
    Each,
}

/// A variant of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The variant's name in the table.
    pub name: String,
    /// False if nothing is trained and the model uses the handcrafted sentences.
    #[serde(default = "default_true")]
    pub train: bool,
    /// Keys of the training setup that differ from `base`.
    #[serde(default)]
    pub set: toml::Table,
    /// Views of the test, if they differ from those of the training. The cost of such a test is measured too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<String>,
    /// How the scores of windows are combined into a picture's score.
    #[serde(default)]
    pub pool: Pooling,
    /// The paper's figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<f64>,
}

fn default_models() -> Vec<String> {
    vec!["hf:openai/clip-vit-base-patch32".to_owned()]
}

fn default_splits() -> u32 {
    10
}

fn default_true() -> bool {
    true
}

/// Changes to a study from the command line. An empty field changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Replaces the data sets.
    pub datasets: Vec<String>,
    /// Replaces the models.
    pub models: Vec<String>,
    /// Replaces the number of splits.
    pub splits: Option<u32>,
    /// Keys of `base`, as `key=value` in TOML. An unquoted word is a string. A variant's own keys take precedence.
    pub set: Vec<String>,
}

impl StudyDefinition {
    /// Parses the definition of a study that trains, as [`super::Study::parse`].
    pub(super) fn parse(text: &str, origin: &str) -> Result<StudyDefinition, StudyError> {
        let invalid = |source| StudyError::Toml { origin: origin.to_owned(), source: Box::new(source) };
        let definition: StudyDefinition = toml::from_str(text).map_err(invalid)?;
        definition.check()?;
        Ok(definition)
    }

    /// Applies changes from the command line.
    ///
    /// # Errors
    /// A key is not one of a setup's, or its value is invalid.
    pub fn with_overrides(mut self, overrides: &Overrides) -> Result<StudyDefinition, StudyError> {
        if !overrides.datasets.is_empty() {
            self.datasets.clone_from(&overrides.datasets);
        }
        if !overrides.models.is_empty() {
            self.models.clone_from(&overrides.models);
        }
        self.splits = overrides.splits.unwrap_or(self.splits);
        for text in &overrides.set {
            let (key, value) = parse_setting(text)?;
            self.base.insert(key, value);
        }
        self.check()?;
        Ok(self)
    }

    fn check(&self) -> Result<(), StudyError> {
        let invalid = |text: &str| Err(StudyError::Invalid(text.to_owned()));
        if self.variant.is_empty() || self.models.is_empty() || self.splits == 0 {
            return invalid("a study needs at least one variant, one model and one split");
        }
        for (index, variant) in self.variant.iter().enumerate() {
            if self.variant[..index].iter().any(|other| other.name == variant.name) {
                return invalid(&format!("two variants of the study have the name `{}`", variant.name));
            }
            if !variant.train && !variant.set.is_empty() {
                return invalid(&format!("variant `{}` is not trained, so its `set` has no effect", variant.name));
            }
            let setup = self.setup(variant)?;
            if !variant.train && setup.words != Setup::default().words {
                return invalid(&format!(
                    "variant `{}` is not trained, so it must use the paper's sentences",
                    variant.name
                ));
            }
        }
        match &self.leave_out {
            Some(_) if self.across => invalid("a study is either `across` data sets or has `leave_out`, not both"),
            Some(LeaveOut::Families(families)) if families.values().any(Vec::is_empty) => {
                invalid("a family of `leave_out` needs at least one algorithm")
            }
            _ => Ok(()),
        }
    }

    /// Returns the training setup of a variant.
    ///
    /// # Errors
    /// The setup is invalid.
    pub fn setup(&self, variant: &Variant) -> Result<Setup, StudyError> {
        let mut table = self.base.clone();
        table.extend(variant.set.clone());
        let origin = format!("variant `{}`", variant.name);
        let setup = Setup::parse(&toml::to_string(&table).expect("a table has text for keys"), &origin);
        let setup = setup.map_err(|source| StudyError::Setup { variant: variant.name.clone(), source })?;
        // If the last epoch is kept, intermediate tests are not used, and they are expensive: a test scores all windows
        // of its pictures, an epoch one window of each picture.
        let test_every = if setup.select == Select::Last { setup.epochs } else { setup.test_every };
        Ok(Setup { test_every, ..setup })
    }
}

/// Parses `key=value` with a TOML value. A value that is not TOML is a string.
fn parse_setting(text: &str) -> Result<(String, toml::Value), StudyError> {
    let invalid = || StudyError::Invalid(format!("invalid setting `{text}`: expected key=value, as in epochs=3"));
    let (key, value) = text.split_once('=').ok_or_else(invalid)?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(invalid());
    }
    let parsed = toml::from_str::<toml::Table>(&format!("{key} = {value}"));
    let parsed = parsed.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove(key));
    Ok((key.to_owned(), parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()))))
}

#[cfg(test)]
mod tests {
    use super::super::bundled::BUNDLED;
    use super::*;
    use crate::train::Tune;

    fn ablation() -> StudyDefinition {
        StudyDefinition::parse(BUNDLED[0].1, "ablation").unwrap()
    }

    #[test]
    fn the_ablation_has_the_papers_figures() {
        let study = ablation();
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
        let study = StudyDefinition::parse(text, "x").unwrap().with_overrides(&overrides).unwrap();
        let [a, b] = [0, 1].map(|index| study.setup(&study.variant[index]).unwrap());
        assert_eq!((a.epochs, a.lr, a.tune), (2, 1e-3, Tune::Text));
        assert_eq!(a.words, ["a", "b"]);
        assert_eq!((b.epochs, b.lr), (2, 0.5));
        assert_eq!((study.splits, study.models), (3, vec!["m".to_owned()]));
    }
}
