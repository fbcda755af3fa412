//! Bounds the depth and the size of a plan. The size counts each expression as often as an optimizer may repeat it: to
//! filter rows before a projection instead of after it, a filter's columns are replaced by the projection's expressions,
//! so that a few steps such as `SELECT x || x AS x` grow a filter on `x` without bound.

use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use super::{DEPTH_MAX, PLAN_SIZE_MAX, QueryBoundError};

/// Checks the depth and the size of a plan.
pub(super) fn check(plan: &LogicalPlan) -> Result<(), QueryBoundError> {
    PlanSize { size: 0 }.add_plan(plan, 0).map(drop)
}

struct PlanSize {
    size: usize,
}

/// The inputs of a step, with the size of the expression behind each column.
type Inputs<'a> = [(&'a LogicalPlan, Vec<usize>)];

impl PlanSize {
    fn add(&mut self, size: usize, depth: usize) -> Result<usize, QueryBoundError> {
        if depth > DEPTH_MAX {
            return Err(QueryBoundError::Depth);
        }
        self.size = self.size.saturating_add(size);
        if self.size > PLAN_SIZE_MAX { Err(QueryBoundError::PlanSize) } else { Ok(size) }
    }

    /// Adds the steps and expressions of a plan. Returns the size of the expression behind each of its columns.
    fn add_plan(&mut self, plan: &LogicalPlan, depth: usize) -> Result<Vec<usize>, QueryBoundError> {
        self.add(1, depth)?;
        let mut inputs = Vec::new();
        for input in plan.inputs() {
            inputs.push((input, self.add_plan(input, depth + 1)?));
        }
        let (mut sizes, mut added) = (Vec::new(), Ok(()));
        let applied = plan.apply_expressions(|expr| {
            added = self.add_expr(expr, &inputs, depth + 1).map(|size| sizes.push(size));
            Ok(if added.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        applied.expect("the closure does not fail");
        added?;
        Ok(column_sizes(plan, &inputs, sizes))
    }

    /// Adds an expression of a step, and returns its size.
    fn add_expr(&mut self, expr: &Expr, inputs: &Inputs<'_>, depth: usize) -> Result<usize, QueryBoundError> {
        let mut size = match expr {
            Expr::Column(column) => self.add(column_size(column, inputs), depth)?,
            _ => self.add(1, depth)?,
        };
        if let Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. })
        | Expr::SetComparison(SetComparison { subquery, .. })
        | Expr::ScalarSubquery(subquery) = expr
        {
            self.add_plan(&subquery.subquery, depth + 1)?;
        }
        let mut added = Ok(());
        let applied = expr.apply_children(|child| {
            added = self.add_expr(child, inputs, depth + 1).map(|child| size += child);
            Ok(if added.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        applied.expect("the closure does not fail");
        added.map(|()| size)
    }
}

/// Returns the size of the expression behind a column. A column of no input is one of an outer query.
fn column_size(column: &Column, inputs: &Inputs<'_>) -> usize {
    let size =
        |(plan, sizes): &(&LogicalPlan, Vec<usize>)| sizes.get(plan.schema().maybe_index_of_column(column)?).copied();
    inputs.iter().find_map(size).unwrap_or(1)
}

/// Returns the size of the expression behind each column of a step, whose own expressions have the sizes `exprs`.
fn column_sizes(plan: &LogicalPlan, inputs: &Inputs<'_>, exprs: Vec<usize>) -> Vec<usize> {
    let columns = plan.schema().fields().len();
    let of_inputs: Vec<usize> = inputs.iter().flat_map(|(_, sizes)| sizes.iter().copied()).collect();
    let padded = |mut sizes: Vec<usize>| {
        sizes.resize(columns, 1);
        sizes
    };
    match plan {
        LogicalPlan::Projection(_) => exprs,
        // The results of aggregates are computed once, whatever is done with them.
        LogicalPlan::Aggregate(step) if !step.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) => {
            padded(exprs[..step.group_expr.len()].to_vec())
        }
        // These steps have the columns of their inputs, and then their own.
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => padded(of_inputs),
        LogicalPlan::Join(_) if of_inputs.len() <= columns => padded(of_inputs),
        _ => vec![of_inputs.into_iter().chain(exprs).max().unwrap_or(1); columns],
    }
}
