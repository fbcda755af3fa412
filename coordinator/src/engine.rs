//! Where shards are scored. Here: in this process, one after the other, for there is one device.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use dqa_engine::shard::operator::{self, Scoring};
use dqa_engine::shard::{ShardOutcome, ShardScorer};
use dqa_pipelines::plan::Shard;

/// Scores shards in this process, as the plan that a cluster would run.
pub struct Local {
    session: SessionContext,
}

impl Local {
    /// With a loaded model.
    pub fn new(scorer: Arc<ShardScorer>) -> Local {
        Local {
            session: SessionContext::new_with_config(
                SessionConfig::new().with_extension(Arc::new(Scoring::by(scorer))),
            ),
        }
    }

    /// Scores a shard.
    ///
    /// # Errors
    /// Where the store or the device fails; what it was is down the chain of causes.
    pub async fn score(&self, shard: &Shard) -> Result<ShardOutcome, DataFusionError> {
        let batches = collect(operator::plan(shard.to_text())?, self.session.task_ctx()).await?;
        let mut outcomes = operator::outcomes(&batches)?;
        outcomes.pop().ok_or_else(|| DataFusionError::Internal("a shard was scored without an outcome".to_owned()))
    }
}
