//! The metrics of a shard's parts: which code computes each, with which parameters. A part whose fingerprint differs from
//! that of this process is never made.

use std::sync::Mutex;

use dqa_metrics::{Evaluator, Metric, Parameters, ReferenceKind};
use dqa_model::Scorer;
use dqa_pipelines::causes;
use dqa_pipelines::metric::{self, MetricSpec};
use dqa_pipelines::plan::{Shard, ShardPart, ShardPicture, ShardReference};
use dqa_pipelines::store::Store;
use tokio::runtime::Handle;

use super::ShardError;
use crate::fetch::{FileToRead, PictureFiles};
use crate::inference::Wanted;

/// The metric of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartMetric {
    ClipDqa,
    Classic(Metric),
}

impl PartMetric {
    /// Finds the metric of a part, and checks that this process computes it as the plan says.
    pub(super) fn find(
        part: &ShardPart,
        scorer: Option<&Scorer>,
        evaluator: &Evaluator,
    ) -> Result<PartMetric, ShardError> {
        let columns = &part.columns;
        let (found, loaded) = if columns.metric == metric::CLIP_DQA {
            (Some(PartMetric::ClipDqa), scorer.map(|scorer| scorer.fingerprint().to_string()))
        } else {
            let metric: Option<Metric> = columns.metric.parse().ok();
            let loaded = metric.map(|metric| MetricSpec::classic(metric, evaluator.parameters()).fingerprint);
            (metric.map(PartMetric::Classic), loaded)
        };
        match found {
            Some(found) if loaded.as_ref() == Some(&columns.fingerprint) => Ok(found),
            _ => Err(ShardError::OtherMetric {
                part: columns.part.clone(),
                metric: columns.metric.clone(),
                wanted: columns.fingerprint.clone(),
                loaded,
            }),
        }
    }
}

/// Returns the files that the wanted metrics of a picture need.
pub(super) fn files(picture: &ShardPicture, wanted: &Wanted) -> PictureFiles {
    let file = |reference: &ShardReference| -> FileToRead { (reference.uri.clone(), reference.bytes) };
    PictureFiles {
        picture: (picture.uri.clone(), picture.bytes),
        clear: picture.clear.as_ref().filter(|_| wanted.needs(ReferenceKind::Clear)).map(file),
        hazy: picture.hazy.as_ref().filter(|_| wanted.needs(ReferenceKind::Hazy)).map(file),
    }
}

/// The evaluator with the parameters of the last shard: all shards of a run have the same.
#[derive(Default)]
pub(super) struct ParameterCache(Mutex<Option<(Option<String>, Evaluator)>>);

impl ParameterCache {
    /// Returns the evaluator of a shard. Reads the parameters from the store if they are not the published ones.
    pub(super) fn evaluator(&self, store: &Store, shard: &Shard, runtime: &Handle) -> Result<Evaluator, ShardError> {
        let mut cached = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((digest, evaluator)) = &*cached
            && *digest == shard.parameters
        {
            return Ok(evaluator.clone());
        }
        let evaluator = match &shard.parameters {
            None => Evaluator::default(),
            Some(digest) => Evaluator::default().with_parameters(read_parameters(store, digest, runtime)?),
        };
        *cached = Some((shard.parameters.clone(), evaluator.clone()));
        Ok(evaluator)
    }
}

fn read_parameters(store: &Store, digest: &str, runtime: &Handle) -> Result<Parameters, ShardError> {
    let key = metric::parameters_key(digest);
    let bytes = runtime.block_on(store.get(&key))?;
    let unusable = |why: String| ShardError::Parameters { key: key.clone(), why };
    if blake3::hash(&bytes).to_hex().as_str() != digest {
        return Err(unusable("its digest does not match its name".to_owned()));
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| unusable(causes(&error).to_string()))?;
    Parameters::from_json(text).map_err(|error| unusable(causes(&error).to_string()))
}
