//! Why scores cannot be imported.

use crate::dataset::{DatasetError, ScoreTableError};
use crate::names::{MetricName, RunName};
use crate::registry::RegistryError;
use crate::run::RunRecordError;
use crate::store::StoreError;
use crate::{Hint, Retryable};

/// Why scores cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// dqa computes a metric of this name, and the user does not say which code made the scores.
    #[error("dqa computes the metric `{name}` itself, and scores by other code may differ")]
    ComputedMetric {
        /// The metric's name.
        name: MetricName,
    },
    /// The name stands for several metrics.
    #[error("`{name}` stands for several metrics")]
    GroupOfMetrics {
        /// The name.
        name: MetricName,
    },
    /// The table cannot be used.
    #[error("cannot import scores from {file}")]
    Table {
        /// The file's address.
        file: String,
        /// Why it cannot be used.
        #[source]
        source: ScoreTableError,
    },
    /// A run of this name has other scores.
    #[error("the store has a run `{run}` of other scores")]
    RunExists {
        /// The run's name.
        run: RunName,
    },
    /// The data set's definition is invalid.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The data set's name stands for another source.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A run's record cannot be read or written.
    #[error(transparent)]
    Run(#[from] RunRecordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Hint for ImportError {
    fn hint(&self) -> Option<String> {
        match self {
            ImportError::ComputedMetric { name } => Some(format!(
                "`--implementation TEXT` says which code made the scores (a package and its version), or give the metric \
                 another name, as `--metric {name}-other`"
            )),
            ImportError::GroupOfMetrics { name } => {
                Some(format!("import one metric, and give it a name of its own, as `--metric {name}-other`"))
            }
            ImportError::Table { source, .. } => table_hint(source),
            ImportError::RunExists { run } => Some(format!(
                "give this run another name, as `--run {run}-2`; the scores of a table that changed are another metric"
            )),
            ImportError::Registry(error) => error.hint(),
            ImportError::Run(error) => error.hint(),
            ImportError::Dataset(_) | ImportError::Store(_) => None,
        }
    }
}

fn table_hint(error: &ScoreTableError) -> Option<String> {
    let hint = match error {
        ScoreTableError::Unknown { .. } => {
            "remove the rows of other pictures from the table; `dqa-coord dataset check` lists the data set's algorithms"
        }
        ScoreTableError::Ambiguous { .. } => "name the pictures with their folders, or by scene and algorithm",
        ScoreTableError::Repeated { .. } => "leave one row for each picture in the table",
        _ => return None,
    };
    Some(hint.to_owned())
}

impl Retryable for ImportError {
    fn is_retryable(&self) -> bool {
        match self {
            ImportError::Table { source: ScoreTableError::Dataset(error), .. } | ImportError::Dataset(error) => {
                error.is_retryable()
            }
            ImportError::Registry(error) => error.is_retryable(),
            ImportError::Run(error) => error.is_retryable(),
            ImportError::Store(error) => error.is_retryable(),
            _ => false,
        }
    }
}
