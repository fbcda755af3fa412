//! Which bound a query is beyond.

use super::{DEPTH_MAX, PLAN_SIZE_MAX, TABLES_MAX, TEXT_BYTES_MAX, TOKENS_MAX};

/// Why a query of a user is not planned in a process that others depend on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryBoundError {
    /// The text is too long.
    #[error("the query has {0} bytes, and at most {TEXT_BYTES_MAX} are allowed")]
    TextBytes(usize),
    /// The text has too many words and signs.
    #[error("the query has {0} words and signs, and at most {TOKENS_MAX} are allowed")]
    Tokens(usize),
    /// The query reads too many tables.
    #[error(
        "the query reads more than {TABLES_MAX} tables, which is the limit; those of a subquery count each time that it is named"
    )]
    Tables,
    /// The function's result can be much longer than its arguments.
    #[error("the function `{0}` is not available for queries by a cluster")]
    Function(String),
    /// A value of the type can be much longer than the text that it is made from.
    #[error("the type `{0}` is not available for queries by a cluster")]
    Type(String),
    /// The plan is too deep.
    #[error("the query's expressions or subqueries are nested more than {DEPTH_MAX} levels deep, which is the limit")]
    Depth,
    /// The plan is too large.
    #[error("the query's plan has more than {PLAN_SIZE_MAX} steps and expressions, which is the limit")]
    PlanSize,
}
