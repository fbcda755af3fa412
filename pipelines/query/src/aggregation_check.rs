//! Refuses queries that aggregate rows that do not belong together: scores of different metrics or models are on
//! different scales, and runs that share parts have the same rows twice. The check looks at a query's logical plan
//! before anything is read, and knows the runs of the session and their metrics.
//!
//! Each row has an origin: a run and one of its metrics. The check walks the plan from the tables up and determines the
//! [`RowSource`]s of each step: the origins that its rows may have, and the columns that identify a row's origin. A
//! filter removes origins, and a join on such columns merges two sources. An aggregate or window function must be
//! grouped so that no group can have rows of two conflicting origins. A plan that is not understood counts as mixing.

mod equations;
mod row_source;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, JoinType, ScalarValue};
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Case, Distinct, Expr, Join, LogicalPlan, Union};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use dqa_pipelines::tables::runs::RUNS;
use dqa_pipelines::tables::scores::{METRIC, SCORES};

use self::equations::{Equation, equations};
use self::row_source::{RowKind, RowSource};
use crate::run_conflicts::{RowOrigin, SelectedRuns};
use crate::scores_table::RUN_COLUMN;

const FINGERPRINT: &str = "fingerprint";

/// The longest value of a column that is followed through a plan. Steps such as `SELECT x || x AS x` could make a run's
/// name arbitrarily long.
const VALUE_BYTES_MAX: usize = 4096;

/// Two origins whose rows an aggregate would combine. If they have one metric and one fingerprint, the runs share parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MixedRows {
    /// The aggregate or window function.
    pub(crate) expression: String,
    /// The two origins.
    pub(crate) origins: [RowOrigin; 2],
}

impl SelectedRuns {
    /// Returns an error if the plan aggregates rows of conflicting origins.
    pub(crate) fn check(&self, plan: &LogicalPlan) -> Result<(), MixedRows> {
        if self.has_conflicts() { self.row_sources(plan).map(drop) } else { Ok(()) }
    }

    /// Returns the sources of a plan's rows.
    fn row_sources(&self, plan: &LogicalPlan) -> Result<Vec<RowSource>, MixedRows> {
        self.check_subqueries(plan)?;
        match plan {
            LogicalPlan::TableScan(scan) => {
                let name = scan.table_name.table();
                Ok(self.table_source(name, &scan.projected_schema).into_iter().collect())
            }
            LogicalPlan::Projection(step) => {
                let input = self.row_sources(&step.input)?;
                Ok(input.into_iter().map(|source| self.project(source, &step.expr, step.input.schema())).collect())
            }
            LogicalPlan::Filter(step) => {
                let input = self.row_sources(&step.input)?;
                Ok(self.filter(input, &step.predicate, step.input.schema()))
            }
            LogicalPlan::Aggregate(step) => self.aggregate(step),
            LogicalPlan::Window(step) => {
                let input = self.row_sources(&step.input)?;
                for expr in &step.window_expr {
                    self.check_window(expr, &input, step.input.schema())?;
                }
                Ok(input)
            }
            LogicalPlan::Join(step) => self.join(step),
            LogicalPlan::Union(step) => self.union(step),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.row_sources(input)?;
                Ok(input.into_iter().map(|source| RowSource { is_distinct: true, ..source }).collect())
            }
            LogicalPlan::Distinct(Distinct::On(step)) => {
                let input = self.row_sources(&step.input)?;
                let schema = step.input.schema();
                Ok(input.into_iter().map(|source| self.project(source, &step.select_expr, schema)).collect())
            }
            // These steps keep the columns of their input.
            LogicalPlan::SubqueryAlias(step) => self.row_sources(&step.input),
            LogicalPlan::Subquery(step) => self.row_sources(&step.subquery),
            LogicalPlan::Sort(step) => self.row_sources(&step.input),
            LogicalPlan::Limit(step) => self.row_sources(&step.input),
            LogicalPlan::Repartition(step) => self.row_sources(&step.input),
            other => {
                let mut sources = Vec::new();
                for input in other.inputs() {
                    sources.extend(self.row_sources(input)?);
                }
                Ok(sources.into_iter().map(|source| RowSource { columns: BTreeMap::new(), ..source }).collect())
            }
        }
    }

    /// Returns the source of a table's rows, or None if the rows do not belong to runs.
    fn table_source(&self, name: &str, schema: &DFSchema) -> Option<RowSource> {
        let kind = match name {
            RUNS => RowKind::Runs,
            SCORES => RowKind::Scores,
            _ => RowKind::Report,
        };
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        if kind == RowKind::Report && !names.contains(&RUN_COLUMN) {
            return None;
        }
        let columns =
            names.iter().enumerate().filter_map(|(index, name)| Some((index, self.column_values(kind, name)?)));
        Some(RowSource {
            kind,
            origins: (0..self.origins.len()).collect(),
            columns: columns.collect(),
            is_distinct: false,
            is_pinned: false,
        })
    }

    /// Returns the value of a table's column for each origin, if the origin determines it.
    fn column_values(&self, kind: RowKind, name: &str) -> Option<Vec<ScalarValue>> {
        if kind == RowKind::Runs {
            let column = self.table.column_by_name(name)?;
            return self
                .origins
                .iter()
                .map(|origin| ScalarValue::try_from_array(column, origin.run_row).ok())
                .collect();
        }
        let value: fn(&RowOrigin) -> &str = match name {
            RUN_COLUMN => |origin| &origin.run,
            METRIC => |origin| &origin.metric,
            FINGERPRINT => |origin| &origin.fingerprint,
            _ => return None,
        };
        Some(self.origins.iter().map(|origin| ScalarValue::from(value(origin))).collect())
    }

    fn project(&self, source: RowSource, exprs: &[Expr], schema: &DFSchema) -> RowSource {
        let columns = exprs.iter().enumerate();
        let columns =
            columns.filter_map(|(index, expr)| Some((index, self.values_by_origin(&source, expr, schema)?))).collect();
        RowSource { columns, ..source }
    }

    /// Returns the value of an expression for each origin, if the origin determines it. Origins that are not in the
    /// source have NULL.
    fn values_by_origin(&self, source: &RowSource, expr: &Expr, schema: &DFSchema) -> Option<Vec<ScalarValue>> {
        let value = |origin| {
            if !source.origins.contains(&origin) {
                return Some(ScalarValue::Null);
            }
            match self.simplify_for_origin(source, origin, expr, schema) {
                Expr::Literal(value, _) if value.size() <= VALUE_BYTES_MAX => Some(value),
                _ => None,
            }
        };
        (0..self.origins.len()).map(value).collect()
    }

    /// Simplifies an expression as far as possible for the rows of one origin.
    fn simplify_for_origin(&self, source: &RowSource, origin: usize, expr: &Expr, schema: &DFSchema) -> Expr {
        let replaced = expr.clone().transform(|expr| {
            let value = match &expr {
                Expr::Column(column) => source.column(column, schema).map(|values| values[origin].clone()),
                _ => None,
            };
            match (value, expr) {
                (Some(value), _) => Ok(Transformed::yes(Expr::Literal(value, None))),
                // The simplifier does not evaluate `CASE base WHEN value`, so it is rewritten as `CASE WHEN base =
                // value`.
                (None, Expr::Case(Case { expr: Some(base), when_then_expr, else_expr })) => {
                    let equal =
                        |(when, then): (Box<Expr>, Box<Expr>)| (Box::new(base.as_ref().clone().eq(*when)), then);
                    let when_then_expr = when_then_expr.into_iter().map(equal).collect();
                    Ok(Transformed::yes(Expr::Case(Case { expr: None, when_then_expr, else_expr })))
                }
                (None, expr) => Ok(Transformed::no(expr)),
            }
        });
        let expr = replaced.map_or_else(|_| expr.clone(), |replaced| replaced.data).unalias();
        let context = SimplifyContext::builder().with_schema(schema.clone().into()).build();
        let simplifier = ExprSimplifier::new(context);
        let coerced = simplifier.coerce(expr.clone(), schema).unwrap_or_else(|_| expr.clone());
        simplifier.simplify(coerced).unwrap_or(expr)
    }

    /// Removes the origins that cannot pass a predicate, and merges sources that it equates.
    fn filter(&self, mut sources: Vec<RowSource>, predicate: &Expr, schema: &DFSchema) -> Vec<RowSource> {
        sources.iter_mut().for_each(|source| self.retain_matching_origins(source, predicate, schema));
        let equations = equations(split_conjunction(predicate));
        self.pin_to_outer_row(&mut sources, &equations, schema);
        self.merge_equated(&mut sources, &equations, schema, true);
        // Sources that are not merged know more of each other's columns now.
        sources.iter_mut().for_each(|source| self.retain_matching_origins(source, predicate, schema));
        sources
    }

    fn retain_matching_origins(&self, source: &mut RowSource, predicate: &Expr, schema: &DFSchema) {
        let passes = |origin: &usize| !is_false_or_null(&self.simplify_for_origin(source, *origin, predicate, schema));
        source.origins = source.origins.iter().copied().filter(passes).collect();
    }

    fn aggregate(&self, step: &Aggregate) -> Result<Vec<RowSource>, MixedRows> {
        let schema = step.input.schema();
        let mut output = Vec::new();
        for input in self.row_sources(&step.input)? {
            let source = self.project(input.clone(), &step.group_expr, schema);
            let keys: Vec<Vec<ScalarValue>> = source.columns.values().cloned().collect();
            for expr in &step.aggr_expr {
                self.check_aggregate(expr, &input, &keys, schema)?;
            }
            // Without a group key, the output row has no origin: it is a number that was checked.
            if step.aggr_expr.is_empty() || !keys.is_empty() {
                output.push(RowSource { is_distinct: true, ..source });
            }
        }
        Ok(output)
    }

    fn check_aggregate(
        &self,
        expr: &Expr,
        source: &RowSource,
        keys: &[Vec<ScalarValue>],
        schema: &DFSchema,
    ) -> Result<(), MixedRows> {
        let Expr::AggregateFunction(function) = expr.clone().unalias() else {
            return self.check_groups(expr, source, keys, &source.origins);
        };
        // The number of distinct values does not depend on how often each occurs.
        if function.func.name() == "count" && (function.params.distinct || source.is_distinct) {
            return Ok(());
        }
        let is_in = |origin: &usize| {
            let is_off = |expr: &Expr| is_false_or_null(&self.simplify_for_origin(source, *origin, expr, schema));
            let is_null = |expr: &Expr| is_null(&self.simplify_for_origin(source, *origin, expr, schema));
            !function.params.filter.as_deref().is_some_and(is_off) && !function.params.args.iter().any(is_null)
        };
        let origins = source.origins.iter().copied().filter(is_in).collect();
        self.check_groups(expr, source, keys, &origins)
    }

    fn check_window(&self, expr: &Expr, sources: &[RowSource], schema: &DFSchema) -> Result<(), MixedRows> {
        let Expr::WindowFunction(function) = expr.clone().unalias() else { return Ok(()) };
        if matches!(&function.fun, WindowFunctionDefinition::WindowUDF(fun) if fun.name() == "row_number") {
            return Ok(());
        }
        for source in sources {
            let keys: Vec<Vec<ScalarValue>> = function
                .params
                .partition_by
                .iter()
                .filter_map(|key| self.values_by_origin(source, key, schema))
                .collect();
            self.check_groups(expr, source, &keys, &source.origins)?;
        }
        Ok(())
    }

    fn check_groups(
        &self,
        expr: &Expr,
        source: &RowSource,
        keys: &[Vec<ScalarValue>],
        origins: &BTreeSet<usize>,
    ) -> Result<(), MixedRows> {
        let Some((a, b)) = self.find_conflict(source, keys, origins) else { return Ok(()) };
        let origins = [a, b].map(|origin| self.origins[origin].clone());
        Err(MixedRows { expression: expr.schema_name().to_string(), origins })
    }

    /// Returns two conflicting origins that have equal keys.
    fn find_conflict(
        &self,
        source: &RowSource,
        keys: &[Vec<ScalarValue>],
        origins: &BTreeSet<usize>,
    ) -> Option<(usize, usize)> {
        if source.is_pinned || source.kind == RowKind::Runs {
            return None;
        }
        let mut groups: HashMap<Vec<&ScalarValue>, Vec<usize>> = HashMap::new();
        for origin in origins {
            let group = groups.entry(keys.iter().map(|values| &values[*origin]).collect()).or_default();
            // The latest first: two metrics of one run are named before metrics of two runs.
            if let Some(other) =
                group.iter().rev().find(|other| self.is_conflict(**other, *origin, source.kind == RowKind::Scores))
            {
                return Some((*other, *origin));
            }
            group.push(*origin);
        }
        None
    }

    fn join(&self, step: &Join) -> Result<Vec<RowSource>, MixedRows> {
        let (mut left, mut right) = (self.row_sources(&step.left)?, self.row_sources(&step.right)?);
        let columns = step.left.schema().fields().len();
        for source in &mut right {
            source.columns =
                std::mem::take(&mut source.columns).into_iter().map(|(index, v)| (index + columns, v)).collect();
        }
        let Ok(schema) = step.left.schema().join(step.right.schema()) else {
            left.extend(right);
            return Ok(left.into_iter().map(|source| RowSource { columns: BTreeMap::new(), ..source }).collect());
        };
        let (keeps_left, keeps_right) = match step.join_type {
            JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => (false, false),
            JoinType::Left | JoinType::LeftAnti | JoinType::LeftMark => (true, false),
            JoinType::Right | JoinType::RightAnti | JoinType::RightMark => (false, true),
            JoinType::Full => (true, true),
        };
        let is_anti = matches!(step.join_type, JoinType::LeftAnti | JoinType::RightAnti);
        if let Some(filter) = step.filter.as_ref().filter(|_| !is_anti) {
            let filtered = left.iter_mut().filter(|_| !keeps_left).chain(right.iter_mut().filter(|_| !keeps_right));
            filtered.for_each(|source| self.retain_matching_origins(source, filter, &schema));
        }
        // Unmatched rows are not returned, so the equality only matters for the side that is returned.
        match step.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => return Ok(left),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                let back = |(index, values): (usize, Vec<ScalarValue>)| (index - columns, values);
                let moved = |source: RowSource| {
                    let columns = source.columns.into_iter().map(back).collect();
                    RowSource { columns, ..source }
                };
                return Ok(right.into_iter().map(moved).collect());
            }
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {}
        }
        let mut both = left;
        both.extend(right);
        let of_filter = equations(step.filter.iter().flat_map(split_conjunction));
        let equations: Vec<Equation<'_>> = step.on.iter().map(|(left, right)| (left, right)).chain(of_filter).collect();
        let swapped = || equations.iter().map(|(left, right)| (*right, *left)).collect::<Vec<_>>();
        match step.join_type {
            JoinType::Left => self.merge_equated(&mut both, &equations, &schema, false),
            JoinType::Right => self.merge_equated(&mut both, &swapped(), &schema, false),
            JoinType::Inner => self.merge_equated(&mut both, &equations, &schema, true),
            _ => {}
        }
        Ok(both)
    }

    fn union(&self, step: &Union) -> Result<Vec<RowSource>, MixedRows> {
        let mut all: Option<RowSource> = None;
        for input in &step.inputs {
            let input = self.row_sources(input)?;
            let is_one = input.len() == 1;
            for mut source in input {
                if !is_one {
                    source.columns.clear();
                }
                all = Some(match all.take() {
                    None => source,
                    Some(before) => before.union(source),
                });
            }
        }
        Ok(all.into_iter().collect())
    }

    fn check_subqueries(&self, plan: &LogicalPlan) -> Result<(), MixedRows> {
        let mut found = Vec::new();
        for expr in plan.expressions() {
            let walked = expr.apply(|expr| {
                match expr {
                    Expr::ScalarSubquery(query) => found.push(query.clone()),
                    Expr::Exists(exists) => found.push(exists.subquery.clone()),
                    Expr::InSubquery(query) => found.push(query.subquery.clone()),
                    Expr::SetComparison(query) => found.push(query.subquery.clone()),
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            });
            walked.expect("looking does not fail");
        }
        found.iter().try_for_each(|query| self.row_sources(&query.subquery).map(drop))
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

fn is_false_or_null(expr: &Expr) -> bool {
    is_null(expr) || matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(false)), _))
}

#[cfg(test)]
mod tests;
