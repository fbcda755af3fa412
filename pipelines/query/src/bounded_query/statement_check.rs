//! Bounds what a query's text names, before any of it is evaluated: its length, tables, functions and types.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{DataType, Expr, ObjectName, ObjectNamePart, Query, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::{QueryBoundError, TABLES_MAX, TEXT_BYTES_MAX, TOKENS_MAX};

/// The scalar functions that a query may call: those whose result is at most a few times longer than their arguments
/// together. Others could make a constant of any length from a short text, such as `repeat`, or `replace` if it is
/// nested.
const FUNCTIONS: [&str; 5] = [
    // Of any value.
    "arrow_typeof coalesce get_field greatest ifnull least named_struct nullif nvl nvl2 row struct",
    // Of numbers.
    "abs acos acosh asin asinh atan atan2 atanh cbrt ceil cos cosh cot degrees exp factorial floor gcd isnan \
     iszero lcm ln log log10 log2 nanvl pi pow power radians rand random round signum sin sinh sqrt tan tanh \
     trunc",
    // Of text.
    "ascii bit_length btrim char_length character_length chr concat contains ends_with find_in_set initcap instr \
     left length levenshtein lower ltrim octet_length overlay position regexp_count regexp_instr regexp_like \
     regexp_match reverse right rtrim split_part starts_with strpos substr substr_index substring substring_index \
     to_hex translate trim upper uuid",
    // Of times.
    "current_date current_time current_timestamp date_bin date_format date_part date_trunc datepart datetrunc \
     from_unixtime make_date make_time now to_char to_date to_local_time to_time to_timestamp to_timestamp_micros \
     to_timestamp_millis to_timestamp_nanos to_timestamp_seconds to_unixtime today",
    // Of arrays.
    "array_avg array_distinct array_element array_has array_has_all array_has_any array_length array_max \
     array_min array_position array_slice array_sort array_sum cardinality make_array unnest",
];

/// Checks the length of a query's text.
pub(super) fn check_text(sql: &str) -> Result<(), QueryBoundError> {
    if sql.len() > TEXT_BYTES_MAX {
        return Err(QueryBoundError::TextBytes(sql.len()));
    }
    // The parser finds the same error in a text that has no tokens, and says more about it.
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap_or_default();
    match tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).count() {
        ..=TOKENS_MAX => Ok(()),
        tokens => Err(QueryBoundError::Tokens(tokens)),
    }
}

/// Checks the tables, functions and types that a query names. Aggregates and window functions of the session may be
/// called: workers evaluate them.
pub(super) fn check_statement(statement: &Statement, state: &SessionState) -> Result<(), QueryBoundError> {
    match statement {
        Statement::Explain(explain) => check_statement(&explain.statement, state),
        Statement::Statement(statement) => {
            match statement.visit(&mut NameCheck { state, queries: Vec::new(), subqueries: HashMap::new() }) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(error) => Err(error),
            }
        }
        // These are not queries, and are refused as such.
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => Ok(()),
    }
}

/// Visits everything that a statement names.
struct NameCheck<'a> {
    state: &'a SessionState,
    /// The queries that are being visited, the innermost last.
    queries: Vec<QueryTables>,
    /// The tables of each subquery of WITH. A plan has its steps wherever it is named, so that a chain of subqueries, each of
    /// which names the one before it twice, doubles the plan at each link.
    subqueries: HashMap<String, usize>,
}

struct QueryTables {
    /// The names of its subqueries of WITH that are not visited yet, the last first. They are visited before its body.
    unvisited: Vec<String>,
    tables: usize,
}

impl Visitor for NameCheck<'_> {
    type Break = QueryBoundError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<QueryBoundError> {
        let subqueries = query.with.iter().flat_map(|with| with.cte_tables.iter().rev());
        let unvisited = subqueries.map(|subquery| subquery.alias.name.value.to_lowercase()).collect();
        self.queries.push(QueryTables { unvisited, tables: 0 });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<QueryBoundError> {
        let query = self.queries.pop().expect("its visit began");
        match self.queries.last_mut().map(|outer| outer.unvisited.pop()) {
            Some(Some(name)) => {
                self.subqueries.insert(name, query.tables.max(1));
                ControlFlow::Continue(())
            }
            Some(None) => self.add_tables(query.tables),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<QueryBoundError> {
        let name = last_part(relation);
        self.add_tables(self.subqueries.get(&name).copied().unwrap_or(1))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<QueryBoundError> {
        match expr {
            Expr::Function(function) => self.check_function(&function.name),
            Expr::Cast { data_type, .. } | Expr::Convert { data_type: Some(data_type), .. } => check_type(data_type),
            Expr::TypedString(text) => check_type(&text.data_type),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl NameCheck<'_> {
    fn add_tables(&mut self, tables: usize) -> ControlFlow<QueryBoundError> {
        let Some(query) = self.queries.last_mut() else { return ControlFlow::Continue(()) };
        query.tables = query.tables.saturating_add(tables);
        if query.tables > TABLES_MAX { ControlFlow::Break(QueryBoundError::Tables) } else { ControlFlow::Continue(()) }
    }

    fn check_function(&self, name: &ObjectName) -> ControlFlow<QueryBoundError> {
        let name = last_part(name);
        let is_of_rows =
            self.state.aggregate_functions().contains_key(&name) || self.state.window_functions().contains_key(&name);
        if is_of_rows || FUNCTIONS.iter().any(|names| names.split(' ').any(|allowed| allowed == name)) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(QueryBoundError::Function(name))
        }
    }
}

/// Returns the last part of a name in lower case, without quotation marks.
fn last_part(name: &ObjectName) -> String {
    let last = name.0.last().and_then(ObjectNamePart::as_ident);
    last.map(|ident| ident.value.to_lowercase()).unwrap_or_default()
}

/// Refuses arrays with a fixed number of elements, such as `INT[1000000]`: NULL of that type takes the space of all
/// elements.
fn check_type(data_type: &DataType) -> ControlFlow<QueryBoundError> {
    let text = data_type.to_string();
    let is_fixed = text.split('[').skip(1).any(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    if is_fixed { ControlFlow::Break(QueryBoundError::Type(text)) } else { ControlFlow::Continue(()) }
}
