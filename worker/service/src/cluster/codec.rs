//! Encodes the scoring step of a plan. Ballista encodes the rest.

use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use dqa_engine::shard::operator::ScoreExec;

/// The encoding of the step. Ballista's own steps are protocol buffers, which never begin with a zero byte.
const SCORE: &[u8] = b"\0dqa.ScoreExec.1";

/// Ballista's codec, extended by the scoring step.
#[derive(Debug, Default)]
pub struct Codec {
    ballista: BallistaPhysicalExtensionCodec,
}

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (bytes, inputs) {
            (SCORE, [input]) => Ok(Arc::new(ScoreExec::new(input.clone()))),
            (SCORE, _) => Err(DataFusionError::Internal("ScoreExec takes one input".to_owned())),
            _ => self.ballista.try_decode(bytes, inputs, context, converter),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        if node.is::<ScoreExec>() {
            bytes.extend_from_slice(SCORE);
            return Ok(());
        }
        self.ballista.try_encode(node, bytes, converter)
    }
}
