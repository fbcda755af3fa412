//! A study's file, of either kind: one that trains has `[[variant]]`, one of metrics `[[metric]]`.

use super::bundled::BUNDLED;
use super::definition::StudyDefinition;
use super::metric_study::MetricStudy;
use super::study_error::StudyError;
use crate::names::similar_names;

/// A study of either kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Study {
    /// Trains and tests models: its file has `[[variant]]`.
    Trainings(StudyDefinition),
    /// Compares metrics: its file has `[[metric]]`.
    Metrics(MetricStudy),
}

impl Study {
    /// Returns one of [`BUNDLED`].
    ///
    /// # Errors
    /// No bundled study has this name.
    pub fn bundled(name: &str) -> Result<Study, StudyError> {
        match BUNDLED.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Study::parse(text, name),
            None => {
                let similar = similar_names(name, BUNDLED.map(|(name, _)| name));
                Err(StudyError::Unknown { name: name.to_owned(), similar })
            }
        }
    }

    /// Parses a definition from TOML. `origin` names the source in errors.
    ///
    /// # Errors
    /// The text is not TOML, has an unknown key, or has an invalid setup.
    pub fn parse(text: &str, origin: &str) -> Result<Study, StudyError> {
        let invalid = |source| StudyError::Toml { origin: origin.to_owned(), source: Box::new(source) };
        if toml::from_str::<toml::Table>(text).map_err(invalid)?.contains_key("metric") {
            let study: MetricStudy = toml::from_str(text).map_err(invalid)?;
            study.check()?;
            return Ok(Study::Metrics(study));
        }
        StudyDefinition::parse(text, origin).map(Study::Trainings)
    }
}

#[cfg(test)]
mod tests {
    use super::super::definition::Overrides;
    use super::*;

    #[test]
    fn every_study_that_comes_with_the_program_can_be_read() {
        for (name, _) in BUNDLED {
            let (title, about) = match Study::bundled(name).unwrap() {
                Study::Trainings(study) => (study.title, study.about),
                Study::Metrics(study) => (study.title, study.about),
            };
            assert!(!title.is_empty() && !about.is_empty(), "{name}");
        }
        let error = Study::bundled("ablations").unwrap_err().to_string();
        assert!(error.starts_with("there is no study `ablations`; similar names: ablation"), "{error}");
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let refused = |text: &str| dqa_chain(&Study::parse(text, "x.toml").unwrap_err());
        let variant = "[[variant]]\nname = \"a\"\n";
        assert!(refused(&format!("titel = \"t\"\n{variant}")).contains("titel"));
        assert!(refused(&format!("title = \"t\"\n[base]\nepoch = 1\n{variant}")).contains("epoch"));
        assert!(refused(&format!("title = \"t\"\n{variant}{variant}")).contains("two variants"));
        assert!(refused(&format!("title = \"t\"\n{variant}train = false\nset.lr = 1.0")).contains("not trained"));
        let words = format!("title = \"t\"\n[base]\nwords = [\"a\", \"b\"]\n{variant}train = false");
        assert!(refused(&words).contains("sentences"));
        assert!(refused(&format!("title = \"t\"\nleave_out = \"some\"\n{variant}")).contains("leave_out"));
        assert!(refused(&format!("title = \"t\"\nacross = true\nleave_out = \"each\"\n{variant}")).contains("either"));
        let metrics = |text: &str| refused(&format!("title = \"t\"\n{text}"));
        let metric = |name: &str| format!("[[metric]]\nname = \"{name}\"\n");
        assert!(metrics(&metric("niqe")).contains("at least two metrics"));
        assert!(metrics(&(metric("niqe") + &metric("fade") + &metric("niqe"))).contains("metric `niqe` twice"));
        let unknown = metrics(&(metric("niqe") + &metric("fade") + &metric("psnr_grey")));
        assert!(unknown.contains("does not compute metric `psnr_grey`; similar names: psnr_gray"), "{unknown}");
        assert!(metrics(&(metric("niqe") + &metric("fade") + variant)).contains("variant"));
        for text in ["lr", "=1", "a b=1"] {
            let set = Overrides { set: vec![text.to_owned()], ..Overrides::default() };
            assert!(StudyDefinition::parse(BUNDLED[0].1, "ablation").unwrap().with_overrides(&set).is_err(), "{text}");
        }
    }

    fn dqa_chain(error: &dyn std::error::Error) -> String {
        std::iter::successors(Some(error), |cause| cause.source()).map(|cause| cause.to_string() + ": ").collect()
    }
}
