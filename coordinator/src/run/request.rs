//! The request that a plan is made from, and the observer of planning.

use dqa_model::Views;
use dqa_pipelines::dataset::{CheckReport, Definition};
use dqa_pipelines::metric::MetricSpec;
use dqa_pipelines::picture_limits::PictureLimits;

use super::allowed_roots::Roots;

/// The pictures to score, and how they are cut into shards.
#[derive(Clone, Debug)]
pub struct PlanRequest {
    /// Definitions of the data sets.
    pub definitions: Vec<Definition>,
    /// Algorithms whose pictures are scored; all if empty.
    pub algorithms: Vec<String>,
    /// Whether the hazy inputs are scored too.
    pub with_hazy: bool,
    /// Whether a matrix with holes is scored as far as it goes.
    pub allow_missing: bool,
    /// Whether pictures that failed before are scored again.
    pub retry_failed: bool,
    /// Most windows of a shard.
    pub shard_windows: u64,
    /// Which parts of a picture the model looks at.
    pub views: Views,
    /// Largest picture that is scored.
    pub limits: PictureLimits,
    /// The metrics.
    pub metrics: Vec<MetricSpec>,
    /// Whether metrics are left out for which a data set lacks the reference. If not, such a data set is an error.
    pub leaves_out_metrics: bool,
    /// The digest of the file in the store that has the metrics' parameters. None for the published ones.
    pub metric_parameters: Option<String>,
    /// Folders and URLs below which pictures must lie.
    pub roots: Roots,
}

/// Observes the progress of planning.
pub trait PlanObserver: Send {
    /// Called when `left` headers of a data set are still to be read.
    fn headers_left(&mut self, dataset: &str, left: usize);

    /// Called when a data set has faults.
    fn faults(&mut self, check: &CheckReport);

    /// Called with a line about a data set that is no fault.
    fn remark(&mut self, dataset: &str, line: &str);
}
