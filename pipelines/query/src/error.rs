//! Why a store cannot be queried.

use datafusion::error::DataFusionError;
use dqa_pipelines::Hint;
use dqa_pipelines::run::RunRecordError;
use dqa_pipelines::store::StoreError;

use crate::TABLES;
use crate::aggregation_check::MixedRuns;

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
            SqlError::MissingPart { .. } => {
                Some("submit the run again: only missing parts are scored again".to_owned())
            }
            SqlError::Store(_) | SqlError::Table { .. } => None,
        }
    }
}

impl From<MixedRuns> for SqlError {
    fn from(mixed: MixedRuns) -> SqlError {
        let [first, second] = mixed.runs;
        let (columns, why) = match mixed.fingerprints {
            Some([a, b]) => {
                let short = |text: &str| text.chars().take(8).collect::<String>();
                let why = format!("which have different models (fingerprints {}... and {}...)", short(&a), short(&b));
                ("run or fingerprint", why)
            }
            None => ("run", "which share pictures that would count twice".to_owned()),
        };
        SqlError::MixedRuns { columns, expression: mixed.expression, first, second, why }
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
