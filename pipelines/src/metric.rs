//! The metrics of a run: what scores its pictures, in which direction, and with which fingerprint. Two fingerprints are
//! two metrics, even if their names are equal.

use std::str::FromStr;

use bytes::Bytes;
pub use dqa_metrics::Direction;
use dqa_metrics::{Metric, Parameters, ReferenceKind};
use serde::{Deserialize, Serialize};

use crate::digest;
use crate::names::{MetricName, similar_names, suggestion};
use crate::store::{Store, StoreError};

/// The name of the metric of the paper, which needs a model. All other names are of `dqa_metrics` or imported.
pub const CLIP_DQA: &str = "clip-dqa";

/// Names that stand for several metrics.
const GROUPS: [(&str, &[Metric]); 2] = [
    ("psnr", &[Metric::PsnrRgb, Metric::PsnrGray]),
    ("contrast", &[Metric::E, Metric::R, Metric::Sigma, Metric::Sigma255]),
];

/// The name that stands for all metrics that the data sets have the pictures for.
const ALL: &str = "all";

/// A metric of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricSpec {
    /// The name.
    pub name: MetricName,
    /// Digest of everything that determines a value besides the pictures: 64 hexadecimal digits.
    pub fingerprint: String,
    /// Whether high or low values are good.
    pub direction: Direction,
}

impl MetricSpec {
    /// Returns CLIP-DQA with a model's fingerprint.
    pub fn clip_dqa(fingerprint: &str) -> MetricSpec {
        let name = CLIP_DQA.parse().expect("it is a name");
        MetricSpec { name, fingerprint: fingerprint.to_owned(), direction: Direction::Higher }
    }

    /// Returns a metric of `dqa_metrics` with the given parameters.
    pub fn classic(metric: Metric, parameters: &Parameters) -> MetricSpec {
        let mut hasher = blake3::Hasher::new_derive_key("dqa 2026 fingerprint of a metric");
        digest::update_field(&mut hasher, metric.name().as_bytes());
        digest::update_field(&mut hasher, &metric.version().to_le_bytes());
        if let Some(parameters) = parameters.digest(metric) {
            digest::update_field(&mut hasher, parameters.as_bytes());
        }
        MetricSpec {
            name: metric.name().parse().expect("the registry has valid names"),
            fingerprint: hasher.finalize().to_hex().to_string(),
            direction: metric.direction(),
        }
    }

    /// Returns whether the metric is CLIP-DQA, which a model computes.
    pub fn is_clip_dqa(&self) -> bool {
        self.name.as_str() == CLIP_DQA
    }

    /// Returns the metric of `dqa_metrics` with this name. None for CLIP-DQA and for imported scores.
    pub fn classic_metric(&self) -> Option<Metric> {
        Metric::from_str(self.name.as_str()).ok()
    }

    /// Returns the picture that the metric compares with, if it needs one.
    pub fn reference(&self) -> Option<ReferenceKind> {
        self.classic_metric()?.reference()
    }
}

/// Returns the key of the file in a store that has parameters of metrics. `digest` is the BLAKE3 digest of its content.
pub fn parameters_key(digest: &str) -> String {
    format!("metric_parameters/{digest}.json")
}

/// Writes parameters of metrics, as JSON, to a store, and returns their digest.
///
/// # Errors
/// If the store fails.
pub async fn write_parameters(store: &Store, json: &[u8]) -> Result<String, StoreError> {
    let digest = blake3::hash(json).to_hex().to_string();
    store.put(&parameters_key(&digest), Bytes::copy_from_slice(json)).await?;
    Ok(digest)
}

/// The metrics that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricSelection {
    /// Whether CLIP-DQA is one of them.
    pub clip_dqa: bool,
    /// The metrics of `dqa_metrics`, in the order of the registry.
    pub classic: Vec<Metric>,
    /// Whether metrics are left out for which a data set lacks the reference. If not, such a data set is an error.
    pub leaves_out: bool,
}

impl Default for MetricSelection {
    fn default() -> Self {
        MetricSelection { clip_dqa: true, classic: Vec::new(), leaves_out: false }
    }
}

/// A request names an unknown metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown metric `{name}`{}", near_or_all(name))]
pub struct UnknownMetric {
    /// The name that was given.
    pub name: String,
}

/// Returns the names that are similar, or all if none is.
fn near_or_all(name: &str) -> String {
    let similar = similar_names(name, known_names());
    if similar.is_empty() { format!(": expected {}", known_names().join(", ")) } else { suggestion(&similar) }
}

fn known_names() -> Vec<&'static str> {
    let classic = Metric::ALL.into_iter().map(Metric::name);
    [CLIP_DQA].into_iter().chain(classic).chain(GROUPS.map(|(name, _)| name)).chain([ALL]).collect()
}

impl MetricSelection {
    /// Parses names of metrics, of groups (`psnr`, `contrast`) and `all`.
    ///
    /// # Errors
    /// If a name is unknown.
    pub fn parse<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<MetricSelection, UnknownMetric> {
        let mut selection = MetricSelection { clip_dqa: false, classic: Vec::new(), leaves_out: false };
        for name in names {
            if name == ALL {
                selection = MetricSelection { clip_dqa: true, classic: Metric::ALL.to_vec(), leaves_out: true };
            } else if name == CLIP_DQA {
                selection.clip_dqa = true;
            } else if let Some((_, group)) = GROUPS.iter().find(|(group, _)| *group == name) {
                selection.classic.extend_from_slice(group);
            } else {
                let metric = name.parse().map_err(|_| UnknownMetric { name: name.to_owned() })?;
                selection.classic.push(metric);
            }
        }
        selection.classic.sort_unstable();
        selection.classic.dedup();
        Ok(selection)
    }

    /// Returns the specifications, CLIP-DQA first. `model` is the fingerprint of the model, if there is one.
    pub fn specs(&self, model: Option<&str>, parameters: &Parameters) -> Vec<MetricSpec> {
        let clip_dqa = model.filter(|_| self.clip_dqa).map(MetricSpec::clip_dqa);
        clip_dqa.into_iter().chain(self.classic.iter().map(|metric| MetricSpec::classic(*metric, parameters))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_groups_are_metrics() {
        let parse = |text: &str| MetricSelection::parse(text.split(','));
        let contrast = parse("contrast,clip-dqa,e").unwrap();
        assert!(contrast.clip_dqa && !contrast.leaves_out);
        assert_eq!(contrast.classic, [Metric::E, Metric::R, Metric::Sigma, Metric::Sigma255]);
        let all = parse("all").unwrap();
        assert!(all.clip_dqa && all.leaves_out);
        assert_eq!(all.classic, Metric::ALL);
        let error = parse("niqe,lpips").unwrap_err().to_string();
        assert!(error.starts_with("unknown metric `lpips`: expected clip-dqa, psnr_rgb, "), "{error}");
    }

    #[test]
    fn fingerprints_depend_on_the_metric_and_its_parameters() {
        let published = Parameters::default();
        let fingerprint = |metric, parameters: &Parameters| MetricSpec::classic(metric, parameters).fingerprint;
        let all: std::collections::BTreeSet<String> =
            Metric::ALL.into_iter().map(|metric| fingerprint(metric, &published)).collect();
        assert_eq!(all.len(), Metric::ALL.len());
        let mean = vec!["0"; 36].join(",");
        let covariance = vec![format!("[{mean}]"); 36].join(",");
        let json = format!("{{\"niqe\": {{\"mu\": [{mean}], \"cov\": [{covariance}]}}}}");
        let own = Parameters::from_json(&json).unwrap();
        assert_ne!(fingerprint(Metric::Niqe, &own), fingerprint(Metric::Niqe, &published));
        assert_eq!(fingerprint(Metric::Brisque, &own), fingerprint(Metric::Brisque, &published));
    }
}
