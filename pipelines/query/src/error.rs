//! Why a store cannot be queried.

use datafusion::error::DataFusionError;
use dqa_pipelines::Hint;
use dqa_pipelines::metric::CLIP_DQA;
use dqa_pipelines::run::RunRecordError;
use dqa_pipelines::store::StoreError;

use crate::TABLES;
use crate::aggregation_check::MixedRows;
use crate::bounded_query::QueryBoundError;
use crate::run_conflicts::RowOrigin;

/// Why a store cannot be queried.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run's record could not be read.
    #[error(transparent)]
    Run(#[from] RunRecordError),
    /// A complete run lacks a part.
    #[error("run `{run}` is complete, but its part {key} is not in the store")]
    MissingPart {
        /// The run's name.
        run: String,
        /// The missing part's key.
        key: String,
    },
    /// DataFusion rejected a table.
    #[error("cannot register the table `{table}`")]
    Table {
        /// The table's name.
        table: &'static str,
        /// DataFusion's error.
        #[source]
        source: DataFusionMessage,
    },
    /// The query is invalid or not read-only.
    #[error("the query cannot be run")]
    Query(#[source] DataFusionMessage),
    /// The query is beyond what a process that others depend on plans.
    #[error(transparent)]
    Bound(#[from] QueryBoundError),
    /// The thread that would plan a query does not start.
    #[error("cannot start a thread that plans the query")]
    PlanningThread(#[source] std::io::Error),
    /// The thread that planned a query panicked.
    #[error("the query's planning failed by a panic, which is a bug")]
    PlanningPanic,
    /// An aggregate combines rows of conflicting runs.
    #[error("`{expression}` combines rows of the runs `{first}` and `{second}`, {why}")]
    MixedRuns {
        /// The columns that tell the runs apart: grouping by one of them separates their rows.
        columns: &'static str,
        /// The aggregate or window function.
        expression: String,
        /// A run.
        first: String,
        /// Another run.
        second: String,
        /// Why their rows must not be combined.
        why: String,
    },
    /// An aggregate combines rows of different metrics.
    #[error(
        "`{expression}` combines rows of the metrics {}, whose values have different scales",
        metrics_text(first, second)
    )]
    MixedMetrics {
        /// The aggregate or window function.
        expression: String,
        /// A metric, and the run that it belongs to.
        first: MetricOfRun,
        /// Another metric, and its run.
        second: MetricOfRun,
    },
}

/// The names of a metric and of its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricOfRun {
    /// The metric's name.
    pub metric: String,
    /// The run's name.
    pub run: String,
}

fn metrics_text(first: &MetricOfRun, second: &MetricOfRun) -> String {
    let [a, b] = [first, second].map(|origin| match first.run == second.run {
        true => format!("`{}`", origin.metric),
        false => format!("`{}` (run `{}`)", origin.metric, origin.run),
    });
    format!("{a} and {b}")
}

impl Hint for SqlError {
    fn hint(&self) -> Option<String> {
        match self {
            SqlError::Run(error) => error.hint(),
            SqlError::Query(_) => {
                Some(format!("the tables are {}; `DESCRIBE scores` lists a table's columns", TABLES.join(", ")))
            }
            SqlError::MixedRuns { columns, first, .. } => Some(format!(
                "add {columns} to GROUP BY (or PARTITION BY), select one run with WHERE run = '{first}' or --run {first}, \
                 or combine them with --mix-runs"
            )),
            SqlError::MixedMetrics { first, second, .. } => {
                let columns = if first.run == second.run { "metric" } else { "metric or run" };
                Some(format!(
                    "add {columns} to GROUP BY (or PARTITION BY), or select one metric with WHERE metric = '{}'",
                    first.metric
                ))
            }
            SqlError::MissingPart { .. } => {
                Some("submit the run again: only missing parts are scored again".to_owned())
            }
            SqlError::Bound(_) => {
                Some("ask less at once, or query the store on this machine with --engine local".to_owned())
            }
            SqlError::Store(_) | SqlError::Table { .. } | SqlError::PlanningThread(_) | SqlError::PlanningPanic => None,
        }
    }
}

impl From<MixedRows> for SqlError {
    fn from(MixedRows { expression, origins: [a, b] }: MixedRows) -> SqlError {
        if a.metric != b.metric {
            let of_run = |RowOrigin { metric, run, .. }| MetricOfRun { metric, run };
            return SqlError::MixedMetrics { expression, first: of_run(a), second: of_run(b) };
        }
        let (columns, why) = if a.fingerprint == b.fingerprint {
            ("run", "which share pictures that would count twice".to_owned())
        } else {
            let short = |text: &str| text.chars().take(8).collect::<String>();
            let what = match a.metric.as_str() {
                CLIP_DQA => "different models".to_owned(),
                metric => format!("the metric `{metric}` by different code or parameters"),
            };
            let fingerprints = format!("fingerprints {}... and {}...", short(&a.fingerprint), short(&b.fingerprint));
            ("run or fingerprint", format!("which have {what} ({fingerprints})"))
        };
        SqlError::MixedRuns { columns, expression, first: a.run, second: b.run, why }
    }
}

/// The text of a DataFusion error. Such an error prints its causes itself, so its chain of sources would repeat them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DataFusionMessage(String);

impl From<DataFusionError> for DataFusionMessage {
    fn from(error: DataFusionError) -> DataFusionMessage {
        DataFusionMessage(error.strip_backtrace())
    }
}
