//! Scores shards in this process, one after the other, because there is one device.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use dqa_engine::shard::operator::{self, RowScorerExtension};
use dqa_engine::shard::{ShardOutcome, ShardScorer};
use dqa_pipelines::plan::Shard;

/// Scores shards in this process, by the same plan that a cluster runs.
pub struct LocalEngine {
    session: SessionContext,
}

impl LocalEngine {
    /// Returns an engine that scores with a loaded model.
    pub fn new(scorer: Arc<ShardScorer>) -> LocalEngine {
        let scoring = Arc::new(RowScorerExtension::new(scorer));
        LocalEngine { session: SessionContext::new_with_config(SessionConfig::new().with_extension(scoring)) }
    }

    /// Scores a shard.
    ///
    /// # Errors
    /// If the store or the device fails; the error is in the chain of causes.
    pub async fn score(&self, shard: &Shard) -> Result<ShardOutcome, DataFusionError> {
        let batches = collect(operator::plan(shard.to_text())?, self.session.task_ctx()).await?;
        let mut outcomes = operator::outcomes(&batches)?;
        outcomes.pop().ok_or_else(|| DataFusionError::Internal("a shard was scored without an outcome".to_owned()))
    }
}
