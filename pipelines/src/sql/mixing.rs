//! What keeps an aggregate from taking rows of several runs together that do not belong together: scores of unlike models
//! are on unlike scales, and runs that share parts have the same rows twice. It looks at a query's logical plan, before
//! anything is read, and knows which runs a session has.
//!
//! From below, each step of a plan is given its [`Source`]s: the runs whose rows may reach it, and the columns that say
//! which run a row is of. A filter removes runs, a join by such columns makes two sources one, and an aggregate or window
//! function must be grouped so that no group has two runs that must not be together. What is not understood counts as
//! mixed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, ScalarValue};
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, BinaryExpr, Case, Distinct, Expr, Join, LogicalPlan, Operator, Union};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use crate::run::RunState;
use crate::status::{RunStatus, shortfall};
use crate::tables::runs::{self, RUNS, RunRow};
use crate::tables::scores::SCORES;

const FINGERPRINT: &str = "fingerprint";
const RUN: &str = super::run_scores::RUN;

/// The runs of a session.
#[derive(Debug)]
pub(super) struct SelectedRuns {
    rows: Vec<RunRow>,
    /// The table `runs`: what a run's name determines.
    table: RecordBatch,
    /// Pairs of runs, the lower one first, that share parts.
    shared: BTreeSet<(usize, usize)>,
    /// A sentence for each run that is not complete.
    pub(super) incomplete: Vec<String>,
}

/// Rows of two runs that an aggregate would take together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mixed {
    /// The aggregate or window function.
    pub(super) expression: String,
    /// The two runs.
    pub(super) runs: [String; 2],
    /// Their fingerprints, if they are unlike; if not, the runs share parts.
    pub(super) fingerprints: Option<[String; 2]>,
}

impl SelectedRuns {
    pub(super) fn new(statuses: &[RunStatus]) -> SelectedRuns {
        let rows: Vec<RunRow> = statuses.iter().map(RunRow::from).collect();
        let mut by_part: HashMap<&str, Vec<usize>> = HashMap::new();
        for (run, status) in statuses.iter().enumerate() {
            for part in &status.record.parts {
                by_part.entry(&part.key).or_default().push(run);
            }
        }
        let mut shared = BTreeSet::new();
        for runs in by_part.values() {
            for (at, first) in runs.iter().enumerate() {
                shared.extend(runs[at + 1..].iter().filter(|second| *second != first).map(|second| (*first, *second)));
            }
        }
        let incomplete = statuses.iter().filter(|status| status.state != RunState::Complete);
        let incomplete =
            incomplete.map(|run| shortfall(run.record.name.as_str(), &run.state.to_string(), &run.progress));
        SelectedRuns { table: runs::to_batch(&rows), rows, shared, incomplete: incomplete.collect() }
    }

    /// Looks for an aggregate over rows that must not be together.
    pub(super) fn check(&self, plan: &LogicalPlan) -> Result<(), Mixed> {
        let unlike = self.rows.windows(2).any(|pair| pair[0].fingerprint != pair[1].fingerprint);
        if unlike || !self.shared.is_empty() { self.sources(plan).map(drop) } else { Ok(()) }
    }

    /// Whether rows of these two must not be taken together. `with_shared`: not if they share rows either.
    fn conflict(&self, a: usize, b: usize, with_shared: bool) -> bool {
        let is_shared = || with_shared && self.shared.contains(&(a.min(b), a.max(b)));
        a != b && (self.rows[a].fingerprint != self.rows[b].fingerprint || is_shared())
    }

    /// The sources whose rows are in what a plan gives.
    fn sources(&self, plan: &LogicalPlan) -> Result<Vec<Source>, Mixed> {
        self.check_subqueries(plan)?;
        match plan {
            LogicalPlan::TableScan(scan) => {
                let name = scan.table_name.table();
                Ok(self.scanned(name, &scan.projected_schema).into_iter().collect())
            }
            LogicalPlan::Projection(step) => {
                let below = self.sources(&step.input)?;
                Ok(below.into_iter().map(|source| self.project(source, &step.expr, step.input.schema())).collect())
            }
            LogicalPlan::Filter(step) => {
                let below = self.sources(&step.input)?;
                Ok(self.filter(below, &step.predicate, step.input.schema()))
            }
            LogicalPlan::Aggregate(step) => self.aggregate(step),
            LogicalPlan::Window(step) => {
                let below = self.sources(&step.input)?;
                for expr in &step.window_expr {
                    self.check_window(expr, &below, step.input.schema())?;
                }
                Ok(below)
            }
            LogicalPlan::Join(step) => self.join(step),
            LogicalPlan::Union(step) => self.union(step),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let below = self.sources(input)?;
                Ok(below.into_iter().map(|source| Source { is_distinct: true, ..source }).collect())
            }
            LogicalPlan::Distinct(Distinct::On(step)) => {
                let below = self.sources(&step.input)?;
                let schema = step.input.schema();
                Ok(below.into_iter().map(|source| self.project(source, &step.select_expr, schema)).collect())
            }
            // The columns are those of the input.
            LogicalPlan::SubqueryAlias(step) => self.sources(&step.input),
            LogicalPlan::Subquery(step) => self.sources(&step.subquery),
            LogicalPlan::Sort(step) => self.sources(&step.input),
            LogicalPlan::Limit(step) => self.sources(&step.input),
            LogicalPlan::Repartition(step) => self.sources(&step.input),
            other => {
                let mut below = Vec::new();
                for input in other.inputs() {
                    below.extend(self.sources(input)?);
                }
                Ok(below.into_iter().map(|source| Source { columns: BTreeMap::new(), ..source }).collect())
            }
        }
    }

    /// A table's source, if its rows are of runs.
    fn scanned(&self, name: &str, schema: &DFSchema) -> Option<Source> {
        let kind = match name {
            RUNS => Kind::Runs,
            SCORES => Kind::Scores,
            _ => Kind::Report,
        };
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        if kind == Kind::Report && !names.contains(&RUN) {
            return None;
        }
        let is_known = |name: &str| match kind {
            Kind::Runs => true,
            Kind::Scores | Kind::Report => [RUN, FINGERPRINT].contains(&name),
        };
        let known = names.iter().enumerate().filter(|(_, name)| is_known(name));
        let columns = known.filter_map(|(at, name)| {
            let column = self.table.column_by_name(name)?;
            let values = (0..self.rows.len()).map(|run| ScalarValue::try_from_array(column, run).ok());
            Some((at, values.collect::<Option<Vec<_>>>()?))
        });
        Some(Source {
            kind,
            runs: (0..self.rows.len()).collect(),
            columns: columns.collect(),
            is_distinct: false,
            is_pinned: false,
        })
    }

    fn project(&self, source: Source, exprs: &[Expr], schema: &DFSchema) -> Source {
        let columns = exprs.iter().enumerate();
        let columns = columns.filter_map(|(at, expr)| Some((at, self.values(&source, expr, schema)?))).collect();
        Source { columns, ..source }
    }

    /// What an expression is for each run, if the run determines it. A run that is not among the source's has NULL.
    fn values(&self, source: &Source, expr: &Expr, schema: &DFSchema) -> Option<Vec<ScalarValue>> {
        let of = |run| {
            if !source.runs.contains(&run) {
                return Some(ScalarValue::Null);
            }
            match self.restricted(source, run, expr, schema) {
                Expr::Literal(value, _) => Some(value),
                _ => None,
            }
        };
        (0..self.rows.len()).map(of).collect()
    }

    /// An expression for the rows of one run, as far as it can be simplified.
    fn restricted(&self, source: &Source, run: usize, expr: &Expr, schema: &DFSchema) -> Expr {
        let replaced = expr.clone().transform(|expr| {
            let value = match &expr {
                Expr::Column(column) => source.column(column, schema).map(|values| values[run].clone()),
                _ => None,
            };
            match (value, expr) {
                (Some(value), _) => Ok(Transformed::yes(Expr::Literal(value, None))),
                // The simplifier does not compare a CASE's own expression with what it is to be.
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

    /// Leaves the runs that may pass a predicate, and makes one of sources that it equates.
    fn filter(&self, mut sources: Vec<Source>, predicate: &Expr, schema: &DFSchema) -> Vec<Source> {
        for source in &mut sources {
            self.keep(source, predicate, schema);
        }
        for conjunct in split_conjunction(predicate) {
            if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = conjunct {
                self.pin(&mut sources, (left, right), schema);
                self.pin(&mut sources, (right, left), schema);
                self.equate(&mut sources, (left, right), schema, true);
            }
        }
        sources
    }

    fn keep(&self, source: &mut Source, predicate: &Expr, schema: &DFSchema) {
        let passes = |run: &usize| !is_false_or_null(&self.restricted(source, *run, predicate, schema));
        source.runs = source.runs.iter().copied().filter(passes).collect();
    }

    /// A row of an outer query is of one run.
    fn pin(&self, sources: &mut [Source], (own, outer): (&Expr, &Expr), schema: &DFSchema) {
        if !outer.contains_outer() || outer.any_column_refs() {
            return;
        }
        for source in sources {
            let values = self.values(source, own, schema);
            source.is_pinned |= values.is_some_and(|values| self.clash(source, &[values], &source.runs).is_none());
        }
    }

    /// Makes one source of two of which rows meet where these are equal, if they are then of runs that may be together.
    /// `with_columns`: the second's columns are as they are, and not NULL where nothing met.
    fn equate(&self, sources: &mut Vec<Source>, (left, right): (&Expr, &Expr), schema: &DFSchema, with_columns: bool) {
        let find = |expr: &Expr| {
            let is_of = |source: &Source| expr.any_column_refs() && self.values(source, expr, schema).is_some();
            sources.iter().position(is_of)
        };
        let (Some(first), Some(second)) = (find(left), find(right)) else { return };
        if first == second {
            return;
        }
        // What is known of runs is put to the rows of runs.
        let is_swapped = with_columns && sources[first].kind == Kind::Runs;
        let (first, second, left, right) =
            if is_swapped { (second, first, right, left) } else { (first, second, left, right) };
        let (Some(ours), Some(theirs)) =
            (self.values(&sources[first], left, schema), self.values(&sources[second], right, schema))
        else {
            return;
        };
        let meets = |a: usize| -> Vec<usize> {
            sources[second].runs.iter().copied().filter(|b| ours[a] == theirs[*b]).collect()
        };
        let met: BTreeMap<usize, Vec<usize>> = sources[first].runs.iter().map(|a| (*a, meets(*a))).collect();
        if met.iter().any(|(a, others)| others.iter().any(|b| self.conflict(*a, *b, true))) {
            return;
        }
        let first = if second < first { first - 1 } else { first };
        let second = sources.remove(second);
        let first = &mut sources[first];
        if with_columns {
            first.runs.retain(|run| met.get(run).is_some_and(|others| !others.is_empty()));
            for (at, values) in second.columns {
                let value = |run: usize| -> Option<ScalarValue> {
                    let Some(others) = met.get(&run).filter(|others| !others.is_empty()) else {
                        return Some(ScalarValue::Null);
                    };
                    let same = others.iter().all(|other| values[*other] == values[others[0]]);
                    same.then(|| values[others[0]].clone())
                };
                if let Some(values) = (0..self.rows.len()).map(value).collect() {
                    first.columns.insert(at, values);
                }
            }
        }
        if second.kind == Kind::Scores {
            first.kind = Kind::Scores;
        }
        first.is_distinct &= second.is_distinct;
    }

    fn aggregate(&self, step: &Aggregate) -> Result<Vec<Source>, Mixed> {
        let schema = step.input.schema();
        let mut above = Vec::new();
        for below in self.sources(&step.input)? {
            let source = self.project(below.clone(), &step.group_expr, schema);
            let keys: Vec<Vec<ScalarValue>> = source.columns.values().cloned().collect();
            for expr in &step.aggr_expr {
                self.check_aggregate(expr, &below, &keys, schema)?;
            }
            // Without a key, rows above are of no run: each is a number that was checked.
            if step.aggr_expr.is_empty() || !keys.is_empty() {
                above.push(Source { is_distinct: true, ..source });
            }
        }
        Ok(above)
    }

    fn check_aggregate(
        &self,
        expr: &Expr,
        source: &Source,
        keys: &[Vec<ScalarValue>],
        schema: &DFSchema,
    ) -> Result<(), Mixed> {
        let Expr::AggregateFunction(function) = expr.clone().unalias() else {
            return self.refuse(expr, source, keys, &source.runs);
        };
        // How many unlike values there are is the same however often each is there.
        if function.func.name() == "count" && (function.params.distinct || source.is_distinct) {
            return Ok(());
        }
        let is_in = |run: &usize| {
            let is_off = |expr: &Expr| is_false_or_null(&self.restricted(source, *run, expr, schema));
            let is_null = |expr: &Expr| is_null(&self.restricted(source, *run, expr, schema));
            !function.params.filter.as_deref().is_some_and(is_off) && !function.params.args.iter().any(is_null)
        };
        let runs = source.runs.iter().copied().filter(is_in).collect();
        self.refuse(expr, source, keys, &runs)
    }

    fn check_window(&self, expr: &Expr, sources: &[Source], schema: &DFSchema) -> Result<(), Mixed> {
        let Expr::WindowFunction(function) = expr.clone().unalias() else { return Ok(()) };
        if matches!(&function.fun, WindowFunctionDefinition::WindowUDF(fun) if fun.name() == "row_number") {
            return Ok(());
        }
        for source in sources {
            let keys: Vec<Vec<ScalarValue>> =
                function.params.partition_by.iter().filter_map(|key| self.values(source, key, schema)).collect();
            self.refuse(expr, source, &keys, &source.runs)?;
        }
        Ok(())
    }

    fn refuse(
        &self,
        expr: &Expr,
        source: &Source,
        keys: &[Vec<ScalarValue>],
        runs: &BTreeSet<usize>,
    ) -> Result<(), Mixed> {
        let Some((a, b)) = self.clash(source, keys, runs) else { return Ok(()) };
        let (a, b) = (&self.rows[a], &self.rows[b]);
        let fingerprints = (a.fingerprint != b.fingerprint).then(|| [a.fingerprint.clone(), b.fingerprint.clone()]);
        let runs = [a.run.clone(), b.run.clone()];
        Err(Mixed { expression: expr.schema_name().to_string(), runs, fingerprints })
    }

    /// Two runs that have the same keys and must not be together.
    fn clash(&self, source: &Source, keys: &[Vec<ScalarValue>], runs: &BTreeSet<usize>) -> Option<(usize, usize)> {
        if source.is_pinned || source.kind == Kind::Runs {
            return None;
        }
        let mut groups: HashMap<Vec<&ScalarValue>, Vec<usize>> = HashMap::new();
        for run in runs {
            let group = groups.entry(keys.iter().map(|values| &values[*run]).collect()).or_default();
            if let Some(other) = group.iter().find(|other| self.conflict(**other, *run, source.kind == Kind::Scores)) {
                return Some((*other, *run));
            }
            group.push(*run);
        }
        None
    }

    fn join(&self, step: &Join) -> Result<Vec<Source>, Mixed> {
        let (mut left, mut right) = (self.sources(&step.left)?, self.sources(&step.right)?);
        let columns = step.left.schema().fields().len();
        for source in &mut right {
            source.columns = std::mem::take(&mut source.columns).into_iter().map(|(at, v)| (at + columns, v)).collect();
        }
        let Ok(schema) = step.left.schema().join(step.right.schema()) else {
            left.extend(right);
            return Ok(left.into_iter().map(|source| Source { columns: BTreeMap::new(), ..source }).collect());
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
            filtered.for_each(|source| self.keep(source, filter, &schema));
        }
        // Rows that met no others are left alone, so that what is equal has to do with the side that goes on without.
        match step.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => return Ok(left),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                let back = |(at, values): (usize, Vec<ScalarValue>)| (at - columns, values);
                let moved = |source: Source| {
                    let columns = source.columns.into_iter().map(back).collect();
                    Source { columns, ..source }
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
                JoinType::Left => self.equate(&mut both, (ours, theirs), &schema, false),
                JoinType::Right => self.equate(&mut both, (theirs, ours), &schema, false),
                JoinType::Inner => self.equate(&mut both, (ours, theirs), &schema, true),
                _ => {}
            }
        }
        Ok(both)
    }

    fn union(&self, step: &Union) -> Result<Vec<Source>, Mixed> {
        let mut all: Option<Source> = None;
        for input in &step.inputs {
            let below = self.sources(input)?;
            let is_one = below.len() == 1;
            for mut source in below {
                if !is_one {
                    source.columns.clear();
                }
                all = Some(match all.take() {
                    None => source,
                    Some(before) => before.and(source),
                });
            }
        }
        Ok(all.into_iter().collect())
    }

    fn check_subqueries(&self, plan: &LogicalPlan) -> Result<(), Mixed> {
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
        found.iter().try_for_each(|query| self.sources(&query.subquery).map(drop))
    }
}

/// What rows are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Scores: of runs that share parts the same rows are there twice.
    Scores,
    /// A table of reports, of which each run has its own.
    Report,
    /// The table `runs` itself.
    Runs,
}

/// The rows of runs, as they are in what a step of a plan gives.
#[derive(Clone, Debug)]
struct Source {
    kind: Kind,
    /// Those whose rows may be there.
    runs: BTreeSet<usize>,
    /// The columns that a row's run determines, by their places, and what they are for each run.
    columns: BTreeMap<usize, Vec<ScalarValue>>,
    /// No row is there twice.
    is_distinct: bool,
    /// All rows are of one run, whichever it is.
    is_pinned: bool,
}

impl Source {
    fn column(&self, column: &Column, schema: &DFSchema) -> Option<&Vec<ScalarValue>> {
        self.columns.get(&schema.maybe_index_of_column(column)?)
    }

    /// The rows of both.
    fn and(mut self, other: Source) -> Source {
        let both: Vec<usize> = self.runs.intersection(&other.runs).copied().collect();
        let mut columns = BTreeMap::new();
        for (at, mut values) in std::mem::take(&mut self.columns) {
            let Some(others) = other.columns.get(&at) else { continue };
            if both.iter().any(|run| values[*run] != others[*run]) {
                continue;
            }
            for run in &other.runs {
                values[*run].clone_from(&others[*run]);
            }
            columns.insert(at, values);
        }
        Source {
            kind: if self.kind == Kind::Runs { other.kind } else { self.kind },
            runs: self.runs.union(&other.runs).copied().collect(),
            columns,
            is_distinct: false,
            is_pinned: false,
        }
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

fn is_false_or_null(expr: &Expr) -> bool {
    is_null(expr) || matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(false)), _))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::datasource::empty::EmptyTable;
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::progress::Progress;
    use crate::run::RunRecord;
    use crate::tables::leaderboard::{self, LEADERBOARD};

    /// A run with its fingerprint and its parts.
    fn record(name: &str, fingerprint: &str, parts: &[&str]) -> RunRecord {
        let part =
            |key: &&str| serde_json::json!({ "key": key, "dataset": "d", "algorithm": "dcp", "rows": 1, "windows": 1 });
        let time = "2026-01-01T00:00:00Z";
        let spec = serde_json::json!({
            "datasets": [], "model": format!("model-{fingerprint}"), "prompts": null, "views": "both", "dtype": "f32",
            "device": "cpu", "shard_windows_max": 1, "remark": null,
        });
        let record = serde_json::json!({
            "name": name, "state": "complete", "created": time, "updated": time, "spec": spec, "fingerprint": fingerprint,
            "counts": { "pictures": 1, "windows": 1, "scored": 1, "failed": 0 }, "provenance": {},
            "parts": parts.iter().map(part).collect::<Vec<_>>(),
        });
        serde_json::from_value(record).unwrap()
    }

    async fn checked(records: &[RunRecord], sql: &str) -> Result<(), Mixed> {
        let context = SessionContext::new();
        super::super::aggregates::register(&context);
        for (name, schema) in [
            (SCORES, super::super::run_scores::SCHEMA.clone()),
            (RUNS, runs::SCHEMA.clone()),
            (LEADERBOARD, leaderboard::SCHEMA.clone()),
        ] {
            context.register_table(name, Arc::new(EmptyTable::new(schema))).unwrap();
        }
        let frame = context.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let status = |record: &RunRecord| RunStatus {
            record: record.clone(),
            state: record.state,
            progress: Progress::default(),
            conductor: None,
        };
        let statuses: Vec<RunStatus> = records.iter().map(status).collect();
        SelectedRuns::new(&statuses).check(frame.logical_plan())
    }

    /// Two runs of one model, and one of another.
    fn two_models() -> Vec<RunRecord> {
        vec![record("a", "aa11", &["p1"]), record("a2", "aa11", &["p2"]), record("b", "bb22", &["p3"])]
    }

    #[tokio::test]
    async fn rows_of_two_models_are_not_taken_together() {
        for sql in [
            "SELECT avg(score) FROM scores",
            "SELECT count(*) FROM scores",
            "SELECT algorithm, srcc(score, mos) FROM scores GROUP BY 1",
            "SELECT avg(score) FROM scores WHERE algorithm = 'dcp' OR run = 'a'",
            "SELECT avg(score) FROM scores WHERE run IN ('a', 'b')",
            "SELECT avg(score) FROM scores WHERE fingerprint LIKE '%2' OR run LIKE 'a_'",
            "SELECT avg(s) FROM (SELECT score AS s FROM scores)",
            "SELECT avg(m) FROM (SELECT run, avg(score) AS m FROM scores GROUP BY run)",
            "SELECT avg(score) FROM (SELECT DISTINCT image, score FROM scores)",
            "SELECT image, rank() OVER (ORDER BY score) FROM scores",
            "SELECT image, score - avg(score) OVER (PARTITION BY algorithm) FROM scores",
            "SELECT algorithm FROM scores GROUP BY algorithm HAVING avg(score) > 0.5",
            "SELECT run, avg(score) FROM scores GROUP BY ROLLUP (run)",
            "SELECT image FROM scores WHERE score > (SELECT avg(score) FROM scores)",
            "WITH best AS (SELECT algorithm, max(score) AS m FROM scores GROUP BY 1) SELECT * FROM best",
            "SELECT avg(a.score - b.score) FROM scores a JOIN scores b ON a.image = b.image WHERE a.run = 'a'",
            "SELECT avg(a.score) FROM scores a LEFT JOIN scores b ON a.image = b.image AND a.run = 'a'",
            "SELECT avg(score) FROM (SELECT * FROM scores WHERE run = 'a' UNION ALL SELECT * FROM scores WHERE run = 'b')",
            "SELECT avg(score) FILTER (WHERE run <> 'a') FROM scores",
            "SELECT substr(fingerprint, 3, 0) AS f, avg(score) FROM scores GROUP BY 1",
            "SELECT r.state, avg(s.score) FROM scores s JOIN runs r USING (run) GROUP BY r.state",
            "SELECT avg(mean_score) FROM leaderboard",
            "SELECT avg(l.mean_score) FROM leaderboard l JOIN scores s ON l.algorithm = s.algorithm WHERE s.run = 'a'",
            "SELECT avg(score) FROM (SELECT * FROM scores ORDER BY score LIMIT 5)",
        ] {
            let mixed = checked(&two_models(), sql).await.expect_err(sql);
            assert!(mixed.fingerprints.is_some(), "{sql}: {mixed:?}");
            // Of one model, whatever runs, all is answered.
            assert_eq!(checked(&two_models()[..2], sql).await, Ok(()), "{sql}");
        }
    }

    #[tokio::test]
    async fn what_tells_the_models_apart_is_answered() {
        for sql in [
            "SELECT * FROM scores",
            "SELECT image, score FROM scores ORDER BY score DESC LIMIT 5",
            "SELECT run, avg(score) FROM scores GROUP BY run",
            "SELECT fingerprint, algorithm, avg(score), count(*) FROM scores GROUP BY 1, 2",
            "SELECT left(fingerprint, 2) AS f, avg(score) FROM scores GROUP BY f",
            "SELECT CASE WHEN run = 'b' THEN 'other' ELSE 'ours' END AS which, avg(score) FROM scores GROUP BY 1",
            "SELECT avg(score) FROM scores WHERE run = 'a'",
            "SELECT avg(score) FROM scores WHERE fingerprint LIKE 'aa%'",
            "SELECT avg(score) FROM scores WHERE run IN ('a', 'a2') AND algorithm = 'dcp'",
            "SELECT avg(score) FROM scores WHERE run <> 'b'",
            "SELECT avg(score) FROM scores WHERE (run = 'a' AND mos > 1) OR (run = 'a2' AND mos < 1)",
            "SELECT algorithm, avg(score) FILTER (WHERE run = 'a') - avg(score) FILTER (WHERE run = 'b') FROM scores GROUP BY 1",
            "SELECT avg(d) FROM (SELECT algorithm, avg(score) FILTER (WHERE run = 'a') - avg(score) FILTER (WHERE run = 'b')
             AS d FROM scores GROUP BY 1)",
            "SELECT avg(CASE WHEN run = 'a' THEN score END) AS a, avg(CASE run WHEN 'b' THEN score END) AS b FROM scores",
            "SELECT count(DISTINCT image) FROM scores",
            "SELECT count(*) FROM (SELECT DISTINCT algorithm FROM scores)",
            "SELECT DISTINCT algorithm FROM scores",
            "SELECT algorithm FROM scores GROUP BY algorithm",
            "SELECT image, rank() OVER (PARTITION BY run ORDER BY score) FROM scores",
            "SELECT row_number() OVER (ORDER BY image) FROM scores",
            "SELECT which, avg(score) FROM (SELECT 'a' AS which, score FROM scores WHERE run = 'a'
             UNION ALL SELECT 'b', score FROM scores WHERE run = 'b') GROUP BY which",
            "SELECT avg(a.score - b.score) FROM scores a JOIN scores b ON a.image = b.image WHERE a.run = 'a' AND b.run = 'b'",
            "SELECT avg(a.score - b.score) FROM scores a JOIN scores b ON a.image = b.image AND a.run = 'a' AND b.run = 'b'",
            "SELECT a.run, avg(a.score * b.score) FROM scores a JOIN scores b ON a.image = b.image AND a.run = b.run GROUP BY 1",
            "SELECT a.run, avg(a.score * b.score) FROM scores a, scores b WHERE a.image = b.image AND b.run = a.run GROUP BY 1",
            "SELECT r.model, avg(s.score) FROM scores s JOIN runs r USING (run) GROUP BY r.model",
            "SELECT r.model, avg(s.score) FROM runs r JOIN scores s ON r.run = s.run GROUP BY r.model",
            "SELECT avg(s.score) FROM runs r JOIN scores s ON r.run = s.run WHERE r.model = 'model-bb22'",
            "SELECT count(*), max(updated) FROM runs",
            "SELECT run, max(mean_score) FROM leaderboard GROUP BY run",
            "WITH m AS (SELECT run, avg(score) AS mean FROM scores GROUP BY run)
             SELECT s.image FROM scores s JOIN m ON s.run = m.run WHERE s.score > m.mean",
            "SELECT image FROM scores s WHERE score > (SELECT avg(score) FROM scores t WHERE t.run = s.run)",
            "SELECT l.run, l.algorithm, avg(s.score) FROM leaderboard l JOIN scores s ON l.run = s.run AND l.algorithm = s.algorithm
             GROUP BY l.run, l.algorithm",
            "SELECT avg(value) FROM generate_series(1, 3)",
        ] {
            assert_eq!(checked(&two_models(), sql).await, Ok(()), "{sql}");
        }
    }

    #[tokio::test]
    async fn rows_that_two_runs_share_do_not_count_twice() {
        let records = [record("a", "aa11", &["p1"]), record("more", "aa11", &["p1", "p2"])];
        for sql in ["SELECT avg(score) FROM scores", "SELECT fingerprint, count(*) FROM scores GROUP BY 1"] {
            let mixed = checked(&records, sql).await.expect_err(sql);
            assert_eq!((mixed.runs, mixed.fingerprints), (["a".to_owned(), "more".to_owned()], None), "{sql}");
        }
        for sql in ["SELECT run, avg(score) FROM scores GROUP BY 1", "SELECT avg(mean_score) FROM leaderboard"] {
            assert_eq!(checked(&records, sql).await, Ok(()), "{sql}");
        }
    }
}
