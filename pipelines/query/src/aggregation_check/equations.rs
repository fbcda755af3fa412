//! What the equations of a filter or a join say about the origins of rows: sources that they match are merged, and
//! otherwise each source knows the equal columns of the other. Equations of two sources count together: rows that agree
//! on the run may still have two metrics.

use std::collections::BTreeMap;

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::row_source::{RowKind, RowSource};
use crate::run_conflicts::SelectedRuns;

/// Two expressions that are equal in all rows.
pub(super) type Equation<'e> = (&'e Expr, &'e Expr);

/// The values by origin of the expressions of an [`Equation`], each by the origins of its source.
type EqualValues = (Vec<ScalarValue>, Vec<ScalarValue>);

/// Returns the equations among conditions that all hold.
pub(super) fn equations<'e>(conditions: impl IntoIterator<Item = &'e Expr>) -> Vec<Equation<'e>> {
    let equation = |condition: &'e Expr| match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => Some((left.as_ref(), right.as_ref())),
        _ => None,
    };
    conditions.into_iter().filter_map(equation).collect()
}

impl SelectedRuns {
    /// Marks the sources whose rows are limited to one origin by equality with columns of an outer query.
    pub(super) fn pin_to_outer_row(&self, sources: &mut [RowSource], equations: &[Equation<'_>], schema: &DFSchema) {
        let is_outer = |expr: &Expr| expr.contains_outer() && !expr.any_column_refs();
        let both_ways = equations.iter().flat_map(|(left, right)| [(*left, *right), (*right, *left)]);
        let own: Vec<&Expr> = both_ways.filter(|(_, outer)| is_outer(outer)).map(|(own, _)| own).collect();
        for source in sources {
            let keys: Vec<_> = own.iter().filter_map(|expr| self.values_by_origin(source, expr, schema)).collect();
            source.is_pinned |= !keys.is_empty() && self.find_conflict(source, &keys, &source.origins).is_none();
        }
    }

    /// Merges sources whose rows are matched where these expressions are equal, if the matched origins do not conflict.
    /// `is_inner` says that there are no unmatched rows, in which the second source's columns are NULL.
    pub(super) fn merge_equated(
        &self,
        sources: &mut Vec<RowSource>,
        equations: &[Equation<'_>],
        schema: &DFSchema,
        is_inner: bool,
    ) {
        let is_merged = |sources: &mut Vec<RowSource>| {
            let pairs = self.equated_pairs(sources, equations, schema, is_inner);
            pairs.into_iter().any(|(pair, equal_values)| self.merge_pair(sources, pair, &equal_values, is_inner))
        };
        while is_merged(sources) {}
        if is_inner {
            self.share_equated_columns(sources, equations, schema);
        }
    }

    /// Returns the pairs of sources that expressions equate, with the values of both sides by origin.
    fn equated_pairs(
        &self,
        sources: &[RowSource],
        equations: &[Equation<'_>],
        schema: &DFSchema,
        is_inner: bool,
    ) -> BTreeMap<(usize, usize), Vec<EqualValues>> {
        let find = |expr: &Expr| {
            let values = |source| self.values_by_origin(source, expr, schema);
            let found = sources.iter().map(values).enumerate().find_map(|(index, values)| Some((index, values?)));
            found.filter(|_| expr.any_column_refs())
        };
        let mut pairs: BTreeMap<(usize, usize), Vec<EqualValues>> = BTreeMap::new();
        for (left, right) in equations {
            let (Some(mut first), Some(mut second)) = (find(left), find(right)) else { continue };
            // The columns of the table `runs` are added to the rows of the other source, not the reverse.
            let rank = |index: usize| (sources[index].kind == RowKind::Runs, index);
            if is_inner && rank(second.0) < rank(first.0) {
                std::mem::swap(&mut first, &mut second);
            }
            if first.0 != second.0 {
                pairs.entry((first.0, second.0)).or_default().push((first.1, second.1));
            }
        }
        pairs
    }

    /// Merges the second source into the first. Returns false if matched origins conflict.
    fn merge_pair(
        &self,
        sources: &mut Vec<RowSource>,
        (first, second): (usize, usize),
        equal_values: &[EqualValues],
        is_inner: bool,
    ) -> bool {
        let matching_origins = |a: usize| -> Vec<usize> {
            let is_match = |b: &usize| equal_values.iter().all(|(ours, theirs)| ours[a] == theirs[*b]);
            sources[second].origins.iter().copied().filter(is_match).collect()
        };
        let matches: BTreeMap<usize, Vec<usize>> =
            sources[first].origins.iter().map(|a| (*a, matching_origins(*a))).collect();
        // A run's row in the table `runs` is of all its metrics.
        let is_of_runs = [first, second].iter().any(|index| sources[*index].kind == RowKind::Runs);
        let is_same_run = |a: usize, b: usize| is_of_runs && self.origins[a].run_row == self.origins[b].run_row;
        let is_conflict = |a: usize, b: usize| !is_same_run(a, b) && self.is_conflict(a, b, true);
        if matches.iter().any(|(a, others)| others.iter().any(|b| is_conflict(*a, *b))) {
            return false;
        }
        let first = if second < first { first - 1 } else { first };
        let second = sources.remove(second);
        let first = &mut sources[first];
        if is_inner {
            self.add_columns(first, second.columns, &matches);
        } else if first.kind == RowKind::Runs {
            // The rows of runs without a match have no values of a metric.
            first.origins = matches.into_values().flatten().collect();
        }
        if first.kind == RowKind::Runs || second.kind == RowKind::Scores {
            first.kind = second.kind;
        }
        first.is_distinct &= second.is_distinct;
        true
    }

    /// Adds the columns of the matching origins to a source, and removes the origins without a match.
    fn add_columns(
        &self,
        source: &mut RowSource,
        columns: BTreeMap<usize, Vec<ScalarValue>>,
        matches: &BTreeMap<usize, Vec<usize>>,
    ) {
        source.origins.retain(|origin| matches.get(origin).is_some_and(|others| !others.is_empty()));
        for (index, values) in columns {
            let value = |origin: usize| -> Option<ScalarValue> {
                let Some(others) = matches.get(&origin).filter(|others| !others.is_empty()) else {
                    return Some(ScalarValue::Null);
                };
                let same = others.iter().all(|other| values[*other] == values[others[0]]);
                same.then(|| values[others[0]].clone())
            };
            if let Some(values) = (0..self.origins.len()).map(value).collect() {
                source.columns.insert(index, values);
            }
        }
    }

    /// Gives sources that are not merged each other's columns where these are equal: in `a.run = b.run` the rows of `b`
    /// determine `a.run` too.
    fn share_equated_columns(&self, sources: &mut [RowSource], equations: &[Equation<'_>], schema: &DFSchema) {
        for (left, right) in equations.iter().flat_map(|(left, right)| [(left, right), (right, left)]) {
            let Expr::Column(column) = right else { continue };
            let Some(index) = schema.maybe_index_of_column(column) else { continue };
            for source in sources.iter_mut().filter(|source| !source.columns.contains_key(&index)) {
                if let Some(values) = self.values_by_origin(source, left, schema).filter(|_| left.any_column_refs()) {
                    source.columns.insert(index, values);
                }
            }
        }
    }
}
