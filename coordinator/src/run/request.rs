//! What a plan is made from, and who is told about its progress.

use dqa_model::Views;
use dqa_pipelines::dataset::{CheckReport, Definition};
use dqa_pipelines::picture_limits::PictureLimits;

use super::roots::Roots;

/// What is to be scored, and how it is cut into shards.
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
    /// Fingerprint of the model.
    pub fingerprint: String,
    /// Where pictures may lie.
    pub roots: Roots,
}

/// Is told about the progress of planning.
pub trait PlanObserver: Send {
    /// `left` headers of a data set are still to be read.
    fn headers_left(&mut self, dataset: &str, left: usize);

    /// A data set has faults.
    fn faults(&mut self, check: &CheckReport);

    /// A data set without faults has something that is worth a line.
    fn remark(&mut self, dataset: &str, line: &str);
}
