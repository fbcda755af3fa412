//! Plans the query of a user in a process that others depend on, such as a coordinator. Planning evaluates constants,
//! and recurses over trees that a short text can make arbitrarily large, so that a query could exhaust the process's
//! memory or its stack. The text, what it names (`statement_check.rs`) and its plan (`plan_size.rs`) are therefore
//! bounded, and a query is planned on a thread of its own, whose stack is large enough for what the bounds permit.

mod bound_error;
mod plan_size;
mod statement_check;

use std::sync::Arc;
use std::thread;

use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

pub use bound_error::QueryBoundError;

use crate::error::SqlError;
use crate::session::{check_runs, only_reads};

/// The longest text of a query. A constant is not much longer than the text.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// The most words and signs of a query. They bound the depth of the parsed text, which the parser itself bounds only in
/// part: each operator of `1 + 1 + ...` is one level.
const TOKENS_MAX: usize = 2000;
/// The most tables that a query reads, where those of a subquery of WITH count each time that it is named. Each join has the
/// columns of all tables below it.
const TABLES_MAX: usize = 256;
/// The greatest depth of a plan that leaves the planning thread: other threads have stacks of 2 MiB.
const DEPTH_MAX: usize = 256;
/// The most steps and expressions of a plan.
const PLAN_SIZE_MAX: usize = 50_000;

/// The stack of a thread that plans a query: 32 KiB for each level of the deepest text.
const STACK_BYTES: usize = 64 << 20;
/// Queries that are planned at once. Each may take a core, and memory for a plan of `PLAN_SIZE_MAX`.
const PLANNING_MAX: usize = 4;
static PLANNING: Semaphore = Semaphore::const_new(PLANNING_MAX);

/// Plans a query as [`query`](crate::query) does, or with `mixes_runs` as [`query_mixing`](crate::query_mixing) does, if
/// it is within bounds that keep this process from harm.
///
/// # Errors
/// The same as theirs; and [`SqlError::Bound`] if the query is beyond a bound.
pub async fn plan_bounded(
    context: &SessionContext,
    sql: &str,
    mixes_runs: bool,
) -> Result<Arc<dyn ExecutionPlan>, SqlError> {
    statement_check::check_text(sql)?;
    let permit = PLANNING.acquire().await.expect("it is never closed");
    let (context, sql, runtime) = (context.clone(), sql.to_owned(), Handle::current());
    let (sender, planned) = oneshot::channel();
    let plan = move || {
        let planned = runtime.block_on(plan(&context, &sql, mixes_runs));
        drop(permit);
        // An error means that nobody waits any more.
        let _ = sender.send(planned);
    };
    thread::Builder::new()
        .name("query-planning".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(plan)
        .map_err(SqlError::PlanningThread)?;
    planned.await.map_err(|_| SqlError::PlanningPanic)?
}

async fn plan(context: &SessionContext, sql: &str, mixes_runs: bool) -> Result<Arc<dyn ExecutionPlan>, SqlError> {
    let failed = |error: DataFusionError| SqlError::Query(error.into());
    let state = context.state();
    let plan = logical_plan(&state, sql).await?;
    if !mixes_runs {
        check_runs(context, &plan)?;
    }
    let plan = state.optimize(&plan).map_err(failed)?;
    // Filters were joined, and expressions put into each other.
    plan_size::check(&plan)?;
    state.query_planner().create_physical_plan(&plan, &state).await.map_err(failed)
}

async fn logical_plan(state: &SessionState, sql: &str) -> Result<LogicalPlan, SqlError> {
    let failed = |error: DataFusionError| SqlError::Query(error.into());
    let dialect = state.config().options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect).map_err(failed)?;
    statement_check::check_statement(&statement, state)?;
    let plan = state.statement_to_plan(statement).await.map_err(failed)?;
    plan_size::check(&plan)?;
    only_reads().verify_plan(&plan).map_err(failed)?;
    Ok(plan)
}

#[cfg(test)]
mod tests;
