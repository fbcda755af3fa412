//! A plan as it must be to be cut into stages. DataFusion sorts by nothing that it knows to be constant; beyond a stage's
//! edge that is not known any more, and a window by a constant then finds its rows unsorted. Ballista sees to it for most
//! stages, but not for the last one, nor for one that is merged.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_optimizer::output_requirements::{OutputRequirementExec, OutputRequirements};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    ReplaceChildrenOptions,
};

/// The plan with what each of its stages requires by itself.
///
/// # Errors
/// DataFusion's own.
pub(super) fn restated(plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
    // The order that the whole has is kept: what nobody seems to need would be left out.
    let plan = OutputRequirements::new_add_mode().optimize(cut(plan, config)?, config)?;
    stated(plan, config)
}

/// The same of what is merged in this order.
fn restated_in(
    plan: Arc<dyn ExecutionPlan>,
    order: LexOrdering,
    config: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (order, anywhere) = (OrderingRequirements::new(order.into()), Distribution::UnspecifiedDistribution);
    stated(Arc::new(OutputRequirementExec::new(cut(plan, config)?, Some(order), anywhere, None)), config)
}

/// The last stage of a plan, above the edges to those below.
fn cut(plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
    let cut = plan.transform_down(|node| {
        let [input] = node.children()[..] else {
            return Ok(Transformed::no(node));
        };
        let below = if node.is::<RepartitionExec>() || node.is::<CoalescePartitionsExec>() {
            restated(input.clone(), config)?
        } else if let Some(merge) = node.downcast_ref::<SortPreservingMergeExec>() {
            restated_in(input.clone(), merge.expr().clone(), config)?
        } else {
            return Ok(Transformed::no(node));
        };
        let recomputed = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let edge = Edge::of(node.replace_children(vec![below], recomputed)?);
        Ok(Transformed::new(edge, true, TreeNodeRecursion::Jump))
    });
    Ok(cut?.data)
}

/// With what the stage requires, and the edges mended.
fn stated(plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = EnsureRequirements::default().optimize(plan, config)?;
    let plan = OutputRequirements::new_remove_mode().optimize(plan, config)?;
    let mended = plan.transform_up(|node| {
        Ok(match node.downcast_ref::<Edge>() {
            Some(edge) => Transformed::yes(edge.below.clone()),
            None => Transformed::no(node),
        })
    });
    Ok(mended?.data)
}

/// In place of what is below, with what is known of it above.
#[derive(Debug)]
struct Edge {
    below: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl Edge {
    fn of(below: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let mut known = EquivalenceProperties::new(below.schema());
        // What is merged is so above the edge.
        if let Some(merge) = below.downcast_ref::<SortPreservingMergeExec>() {
            known.add_ordering(merge.expr().clone());
        }
        let properties = PlanProperties::new(
            known,
            below.output_partitioning().clone(),
            below.pipeline_behavior(),
            below.boundedness(),
        );
        Arc::new(Edge { below, properties: Arc::new(properties) })
    }
}

impl DisplayAs for Edge {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Edge")
    }
}

impl ExecutionPlan for Edge {
    fn name(&self) -> &'static str {
        "Edge"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        internal_err!("an edge between stages is no step")
    }
}

#[cfg(test)]
mod tests {
    use datafusion::datasource::MemTable;
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    async fn planned(sql: &str) -> (String, String) {
        let config = SessionConfig::new().with_target_partitions(2).with_round_robin_repartition(false);
        let context = SessionContext::new_with_config(config);
        let rows = "SELECT * FROM VALUES ('a', 1, 2.0), ('a', 2, 1.0), ('b', 1, 0.5) AS v(k, i, x)";
        let rows = context.sql(rows).await.unwrap().collect().await.unwrap();
        let table = MemTable::try_new(rows[0].schema(), vec![rows.clone(), rows]).unwrap();
        context.register_table("t", Arc::new(table)).unwrap();
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let restated = restated(plan.clone(), context.state().config_options()).unwrap();
        let shown = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(false).to_string();
        (shown(&plan), shown(&restated))
    }

    #[tokio::test]
    async fn a_window_by_a_constant_is_sorted_by_it() {
        let window =
            "SELECT k, i, sum(x) OVER (PARTITION BY k, i ORDER BY x) AS s FROM (SELECT k, i, x FROM t WHERE k = 'a')";
        let (before, after) = planned(window).await;
        assert!(before.contains("SortExec: expr=[i@1 ASC NULLS LAST, x@2 ASC NULLS LAST]"), "{before}");
        assert!(after.contains("expr=[k@0 ASC NULLS LAST, i@1 ASC NULLS LAST, x@2 ASC NULLS LAST]"), "{after}");
    }

    #[tokio::test]
    async fn what_needs_nothing_stays() {
        for sql in [
            "SELECT k, sum(x) FROM t GROUP BY k",
            "SELECT k, sum(x) AS s FROM t GROUP BY k ORDER BY s LIMIT 2",
            "SELECT * FROM t ORDER BY k, x",
            "SELECT k, x FROM (SELECT * FROM t UNION ALL SELECT * FROM t) ORDER BY k LIMIT 2 OFFSET 1",
            "SELECT k, sum(x) AS s FROM t GROUP BY k ORDER BY s DESC, k",
            "SELECT k, rank() OVER (ORDER BY x) AS r FROM t ORDER BY r",
            "SELECT a.k, b.x FROM t a JOIN t b ON a.i = b.i",
            "SELECT a.k, b.x FROM t a JOIN t b ON a.i = b.i ORDER BY 2, 1",
            "SELECT count(*) FROM t WHERE x > 1",
        ] {
            let (before, after) = planned(sql).await;
            assert_eq!(before, after, "{sql}");
        }
    }
}
