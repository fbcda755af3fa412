//! Refuses queries that aggregate rows of several runs that do not belong together: scores of different models are on
//! different scales, and runs that share parts have the same rows twice. The check looks at a query's logical plan
//! before anything is read, and knows the runs of the session.
//!
//! The check walks the plan from the tables up and determines the [`RowSource`]s of each step: the runs that its rows
//! may come from, and the columns that identify a row's run. A filter removes runs, and a join on such columns merges
//! two sources. An aggregate or window function must be grouped so that no group can have rows of two conflicting runs.
//! A plan that is not understood counts as mixing runs.

mod row_source;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, JoinType, ScalarValue};
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Case, Distinct, Expr, Join, LogicalPlan, Operator, Union};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use dqa_pipelines::tables::runs::RUNS;
use dqa_pipelines::tables::scores::SCORES;

use self::row_source::{RowKind, RowSource};
use crate::run_conflicts::SelectedRuns;
use crate::scores_table::RUN_COLUMN;

const FINGERPRINT: &str = "fingerprint";

/// Two runs whose rows an aggregate would combine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MixedRuns {
    /// The aggregate or window function.
    pub(crate) expression: String,
    /// The names of the two runs.
    pub(crate) runs: [String; 2],
    /// Their fingerprints, if they differ. If not, the runs share parts.
    pub(crate) fingerprints: Option<[String; 2]>,
}

impl SelectedRuns {
    /// Returns an error if the plan aggregates rows of conflicting runs.
    pub(crate) fn check(&self, plan: &LogicalPlan) -> Result<(), MixedRuns> {
        let unlike = self.rows.windows(2).any(|pair| pair[0].fingerprint != pair[1].fingerprint);
        if unlike || !self.sharing_pairs.is_empty() { self.row_sources(plan).map(drop) } else { Ok(()) }
    }

    /// Returns the sources of a plan's rows.
    fn row_sources(&self, plan: &LogicalPlan) -> Result<Vec<RowSource>, MixedRuns> {
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
        let is_known = |name: &str| match kind {
            RowKind::Runs => true,
            RowKind::Scores | RowKind::Report => [RUN_COLUMN, FINGERPRINT].contains(&name),
        };
        let known = names.iter().enumerate().filter(|(_, name)| is_known(name));
        let columns = known.filter_map(|(index, name)| {
            let column = self.table.column_by_name(name)?;
            let values = (0..self.rows.len()).map(|run| ScalarValue::try_from_array(column, run).ok());
            Some((index, values.collect::<Option<Vec<_>>>()?))
        });
        Some(RowSource {
            kind,
            runs: (0..self.rows.len()).collect(),
            columns: columns.collect(),
            is_distinct: false,
            is_pinned: false,
        })
    }

    fn project(&self, source: RowSource, exprs: &[Expr], schema: &DFSchema) -> RowSource {
        let columns = exprs.iter().enumerate();
        let columns =
            columns.filter_map(|(index, expr)| Some((index, self.values_by_run(&source, expr, schema)?))).collect();
        RowSource { columns, ..source }
    }

    /// Returns the value of an expression for each run, if the run determines it. Runs that are not in the source have
    /// NULL.
    fn values_by_run(&self, source: &RowSource, expr: &Expr, schema: &DFSchema) -> Option<Vec<ScalarValue>> {
        let value = |run| {
            if !source.runs.contains(&run) {
                return Some(ScalarValue::Null);
            }
            match self.simplify_for_run(source, run, expr, schema) {
                Expr::Literal(value, _) => Some(value),
                _ => None,
            }
        };
        (0..self.rows.len()).map(value).collect()
    }

    /// Simplifies an expression as far as possible for the rows of one run.
    fn simplify_for_run(&self, source: &RowSource, run: usize, expr: &Expr, schema: &DFSchema) -> Expr {
        let replaced = expr.clone().transform(|expr| {
            let value = match &expr {
                Expr::Column(column) => source.column(column, schema).map(|values| values[run].clone()),
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

    /// Removes the runs that cannot pass a predicate, and merges sources that it equates.
    fn filter(&self, mut sources: Vec<RowSource>, predicate: &Expr, schema: &DFSchema) -> Vec<RowSource> {
        for source in &mut sources {
            self.retain_matching_runs(source, predicate, schema);
        }
        for conjunct in split_conjunction(predicate) {
            if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = conjunct {
                self.pin_to_outer_row(&mut sources, (left, right), schema);
                self.pin_to_outer_row(&mut sources, (right, left), schema);
                self.merge_equated(&mut sources, (left, right), schema, true);
            }
        }
        sources
    }

    fn retain_matching_runs(&self, source: &mut RowSource, predicate: &Expr, schema: &DFSchema) {
        let passes = |run: &usize| !is_false_or_null(&self.simplify_for_run(source, *run, predicate, schema));
        source.runs = source.runs.iter().copied().filter(passes).collect();
    }

    /// Marks the sources whose rows are limited to one run by equality with a column of an outer query.
    fn pin_to_outer_row(&self, sources: &mut [RowSource], (own, outer): (&Expr, &Expr), schema: &DFSchema) {
        if !outer.contains_outer() || outer.any_column_refs() {
            return;
        }
        for source in sources {
            let values = self.values_by_run(source, own, schema);
            source.is_pinned |=
                values.is_some_and(|values| self.find_conflict(source, &[values], &source.runs).is_none());
        }
    }

    /// Merges two sources whose rows are matched where these expressions are equal, if the matched runs do not
    /// conflict. `is_inner` says that the second source's columns are not NULL in unmatched rows, because there are
    /// none.
    fn merge_equated(
        &self,
        sources: &mut Vec<RowSource>,
        (left, right): (&Expr, &Expr),
        schema: &DFSchema,
        is_inner: bool,
    ) {
        let find = |expr: &Expr| {
            let is_of =
                |source: &RowSource| expr.any_column_refs() && self.values_by_run(source, expr, schema).is_some();
            sources.iter().position(is_of)
        };
        let (Some(first), Some(second)) = (find(left), find(right)) else { return };
        if first == second {
            return;
        }
        // The columns of the table `runs` are added to the rows of the other source, not the reverse.
        let is_swapped = is_inner && sources[first].kind == RowKind::Runs;
        let (first, second, left, right) =
            if is_swapped { (second, first, right, left) } else { (first, second, left, right) };
        let (Some(ours), Some(theirs)) =
            (self.values_by_run(&sources[first], left, schema), self.values_by_run(&sources[second], right, schema))
        else {
            return;
        };
        let matching_runs = |a: usize| -> Vec<usize> {
            sources[second].runs.iter().copied().filter(|b| ours[a] == theirs[*b]).collect()
        };
        let matches: BTreeMap<usize, Vec<usize>> =
            sources[first].runs.iter().map(|a| (*a, matching_runs(*a))).collect();
        if matches.iter().any(|(a, others)| others.iter().any(|b| self.is_conflict(*a, *b, true))) {
            return;
        }
        let first = if second < first { first - 1 } else { first };
        let second = sources.remove(second);
        let first = &mut sources[first];
        if is_inner {
            first.runs.retain(|run| matches.get(run).is_some_and(|others| !others.is_empty()));
            for (index, values) in second.columns {
                let value = |run: usize| -> Option<ScalarValue> {
                    let Some(others) = matches.get(&run).filter(|others| !others.is_empty()) else {
                        return Some(ScalarValue::Null);
                    };
                    let same = others.iter().all(|other| values[*other] == values[others[0]]);
                    same.then(|| values[others[0]].clone())
                };
                if let Some(values) = (0..self.rows.len()).map(value).collect() {
                    first.columns.insert(index, values);
                }
            }
        }
        if second.kind == RowKind::Scores {
            first.kind = RowKind::Scores;
        }
        first.is_distinct &= second.is_distinct;
    }

    fn aggregate(&self, step: &Aggregate) -> Result<Vec<RowSource>, MixedRuns> {
        let schema = step.input.schema();
        let mut output = Vec::new();
        for input in self.row_sources(&step.input)? {
            let source = self.project(input.clone(), &step.group_expr, schema);
            let keys: Vec<Vec<ScalarValue>> = source.columns.values().cloned().collect();
            for expr in &step.aggr_expr {
                self.check_aggregate(expr, &input, &keys, schema)?;
            }
            // Without a group key, the output row belongs to no run: it is a number that was checked.
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
    ) -> Result<(), MixedRuns> {
        let Expr::AggregateFunction(function) = expr.clone().unalias() else {
            return self.check_groups(expr, source, keys, &source.runs);
        };
        // The number of distinct values does not depend on how often each occurs.
        if function.func.name() == "count" && (function.params.distinct || source.is_distinct) {
            return Ok(());
        }
        let is_in = |run: &usize| {
            let is_off = |expr: &Expr| is_false_or_null(&self.simplify_for_run(source, *run, expr, schema));
            let is_null = |expr: &Expr| is_null(&self.simplify_for_run(source, *run, expr, schema));
            !function.params.filter.as_deref().is_some_and(is_off) && !function.params.args.iter().any(is_null)
        };
        let runs = source.runs.iter().copied().filter(is_in).collect();
        self.check_groups(expr, source, keys, &runs)
    }

    fn check_window(&self, expr: &Expr, sources: &[RowSource], schema: &DFSchema) -> Result<(), MixedRuns> {
        let Expr::WindowFunction(function) = expr.clone().unalias() else { return Ok(()) };
        if matches!(&function.fun, WindowFunctionDefinition::WindowUDF(fun) if fun.name() == "row_number") {
            return Ok(());
        }
        for source in sources {
            let keys: Vec<Vec<ScalarValue>> =
                function.params.partition_by.iter().filter_map(|key| self.values_by_run(source, key, schema)).collect();
            self.check_groups(expr, source, &keys, &source.runs)?;
        }
        Ok(())
    }

    fn check_groups(
        &self,
        expr: &Expr,
        source: &RowSource,
        keys: &[Vec<ScalarValue>],
        runs: &BTreeSet<usize>,
    ) -> Result<(), MixedRuns> {
        let Some((a, b)) = self.find_conflict(source, keys, runs) else { return Ok(()) };
        let (a, b) = (&self.rows[a], &self.rows[b]);
        let fingerprints = (a.fingerprint != b.fingerprint).then(|| [a.fingerprint.clone(), b.fingerprint.clone()]);
        let runs = [a.run.clone(), b.run.clone()];
        Err(MixedRuns { expression: expr.schema_name().to_string(), runs, fingerprints })
    }

    /// Returns two conflicting runs that have equal keys.
    fn find_conflict(
        &self,
        source: &RowSource,
        keys: &[Vec<ScalarValue>],
        runs: &BTreeSet<usize>,
    ) -> Option<(usize, usize)> {
        if source.is_pinned || source.kind == RowKind::Runs {
            return None;
        }
        let mut groups: HashMap<Vec<&ScalarValue>, Vec<usize>> = HashMap::new();
        for run in runs {
            let group = groups.entry(keys.iter().map(|values| &values[*run]).collect()).or_default();
            if let Some(other) =
                group.iter().find(|other| self.is_conflict(**other, *run, source.kind == RowKind::Scores))
            {
                return Some((*other, *run));
            }
            group.push(*run);
        }
        None
    }

    fn join(&self, step: &Join) -> Result<Vec<RowSource>, MixedRuns> {
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
            filtered.for_each(|source| self.retain_matching_runs(source, filter, &schema));
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
        let filters = step.filter.iter().flat_map(split_conjunction);
        let equal = filters.filter_map(|conjunct| match conjunct {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => Some((left.as_ref(), right.as_ref())),
            _ => None,
        });
        let equal: Vec<(&Expr, &Expr)> = step.on.iter().map(|(left, right)| (left, right)).chain(equal).collect();
        for (ours, theirs) in equal {
            match step.join_type {
                JoinType::Left => self.merge_equated(&mut both, (ours, theirs), &schema, false),
                JoinType::Right => self.merge_equated(&mut both, (theirs, ours), &schema, false),
                JoinType::Inner => self.merge_equated(&mut both, (ours, theirs), &schema, true),
                _ => {}
            }
        }
        Ok(both)
    }

    fn union(&self, step: &Union) -> Result<Vec<RowSource>, MixedRuns> {
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

    fn check_subqueries(&self, plan: &LogicalPlan) -> Result<(), MixedRuns> {
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
