//! Prepares a plan for being split into stages. DataFusion does not sort by a column that it knows to be constant.
//! Beyond the boundary of a stage that is no longer known, and a window over such a column then finds its rows
//! unsorted. Ballista restores the order for most stages, but not for the last one, nor for one whose rows are merged.

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

/// Returns the plan with the sorts that each of its stages needs by itself.
///
/// # Errors
/// Errors of DataFusion's optimizer.
pub(super) fn enforce_stage_orderings(
    plan: Arc<dyn ExecutionPlan>,
    config: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    // Requires the order of the whole plan, which the optimizer would otherwise drop as unneeded.
    let plan = OutputRequirements::new_add_mode().optimize(replace_lower_stages(plan, config)?, config)?;
    enforce_requirements(plan, config)
}

/// Returns such a plan for rows that are merged in this order afterwards.
fn enforce_merged_ordering(
    plan: Arc<dyn ExecutionPlan>,
    order: LexOrdering,
    config: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (order, distribution) = (OrderingRequirements::new(order.into()), Distribution::UnspecifiedDistribution);
    let plan = replace_lower_stages(plan, config)?;
    enforce_requirements(Arc::new(OutputRequirementExec::new(plan, Some(order), distribution, None)), config)
}

/// Returns the last stage of a plan, with a [`StageBoundary`] in place of each stage below it.
fn replace_lower_stages(plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
    let last_stage = plan.transform_down(|node| {
        let [input] = node.children()[..] else {
            return Ok(Transformed::no(node));
        };
        let below = if node.is::<RepartitionExec>() || node.is::<CoalescePartitionsExec>() {
            enforce_stage_orderings(input.clone(), config)?
        } else if let Some(merge) = node.downcast_ref::<SortPreservingMergeExec>() {
            enforce_merged_ordering(input.clone(), merge.expr().clone(), config)?
        } else {
            return Ok(Transformed::no(node));
        };
        let recomputed = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let boundary = Arc::new(StageBoundary::new(node.replace_children(vec![below], recomputed)?));
        Ok(Transformed::new(boundary, true, TreeNodeRecursion::Jump))
    });
    Ok(last_stage?.data)
}

/// Adds the sorts that a stage requires, and puts the stages below it back in place.
fn enforce_requirements(plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = EnsureRequirements::default().optimize(plan, config)?;
    let plan = OutputRequirements::new_remove_mode().optimize(plan, config)?;
    let restored = plan.transform_up(|node| {
        Ok(match node.downcast_ref::<StageBoundary>() {
            Some(boundary) => Transformed::yes(boundary.below.clone()),
            None => Transformed::no(node),
        })
    });
    Ok(restored?.data)
}

/// Stands for a stage, with the properties that the stage above knows of it.
#[derive(Debug)]
struct StageBoundary {
    below: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl StageBoundary {
    fn new(below: Arc<dyn ExecutionPlan>) -> StageBoundary {
        let mut equivalences = EquivalenceProperties::new(below.schema());
        // Merged rows keep their order beyond the boundary.
        if let Some(merge) = below.downcast_ref::<SortPreservingMergeExec>() {
            equivalences.add_ordering(merge.expr().clone());
        }
        let properties = PlanProperties::new(
            equivalences,
            below.output_partitioning().clone(),
            below.pipeline_behavior(),
            below.boundedness(),
        );
        StageBoundary { below, properties: Arc::new(properties) }
    }
}

impl DisplayAs for StageBoundary {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StageBoundary")
    }
}

impl ExecutionPlan for StageBoundary {
    fn name(&self) -> &'static str {
        "StageBoundary"
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
        internal_err!("a stage boundary cannot be executed")
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
        let enforced = enforce_stage_orderings(plan.clone(), context.state().config_options()).unwrap();
        let show = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(false).to_string();
        (show(&plan), show(&enforced))
    }

    #[tokio::test]
    async fn a_window_over_a_constant_column_is_sorted_by_it() {
        let window =
            "SELECT k, i, sum(x) OVER (PARTITION BY k, i ORDER BY x) AS s FROM (SELECT k, i, x FROM t WHERE k = 'a')";
        let (before, after) = planned(window).await;
        assert!(before.contains("SortExec: expr=[i@1 ASC NULLS LAST, x@2 ASC NULLS LAST]"), "{before}");
        assert!(after.contains("expr=[k@0 ASC NULLS LAST, i@1 ASC NULLS LAST, x@2 ASC NULLS LAST]"), "{after}");
    }

    #[tokio::test]
    async fn a_plan_that_needs_no_sort_is_unchanged() {
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
