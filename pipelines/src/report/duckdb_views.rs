//! SQL views for reading a store with DuckDB. The folder `scores` holds the rows of all runs, so a run's `scores.sql` names exactly
//! the run's parts. `latest.sql` has the views of the complete run that was used last.
//!
//! The views are derived from the records and can be written again at any time. dqa itself does not read them.

use std::fmt::Write;

use super::error::ReportError;
use crate::metric::CLIP_DQA;
use crate::run::{RUNS, RunRecord, RunState};
use crate::store::Store;
use crate::tables::comparisons::COMPARISONS;
use crate::tables::correlations::CORRELATIONS;
use crate::tables::cross_dataset::CROSS_DATASET;
use crate::tables::leaderboard::LEADERBOARD;
use crate::tables::metric_differences::METRIC_DIFFERENCES;
use crate::tables::metric_disagreements::METRIC_DISAGREEMENTS;
use crate::tables::metric_matrix::METRIC_MATRIX;
use crate::tables::metric_ranks::METRIC_RANKS;
use crate::tables::metrics::METRICS;
use crate::tables::report_key;
use crate::tables::scores::{METRIC, SCORES};

/// The key of the latest run's views, at the top of the store.
const LATEST: &str = "latest.sql";

/// The report tables. A run has at most one file of each.
const REPORTS: [&str; 9] = [
    CORRELATIONS,
    LEADERBOARD,
    COMPARISONS,
    CROSS_DATASET,
    METRICS,
    METRIC_DIFFERENCES,
    METRIC_MATRIX,
    METRIC_RANKS,
    METRIC_DISAGREEMENTS,
];

/// Writes the views of a complete run, and `latest.sql` for the complete run that was used last.
///
/// # Errors
/// The store fails.
pub(super) async fn write(store: &Store, record: &RunRecord) -> Result<(), ReportError> {
    let key = format!("{RUNS}/{}/{SCORES}.sql", record.name);
    store.put(&key, scores(store, record).into()).await?;
    let records = RunRecord::read_all(store).await?;
    let complete = records.iter().filter(|record| record.state == RunState::Complete);
    if let Some(last) = complete.max_by_key(|record| (record.updated, record.created)) {
        let mut text = scores(store, last);
        for table in REPORTS {
            let key = report_key(table, &last.name);
            match store.head(&key).await {
                Ok(_) => text += &report(store, table, &key),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        store.put(LATEST, text.into()).await?;
    }
    Ok(())
}

/// Returns the view of a run's rows. Hive partitioning is off: the folders' keys are not columns of the table `scores`.
/// Parts of versions that had one metric lack the column `metric`; a relation without rows adds it if all parts do.
fn scores(store: &Store, record: &RunRecord) -> String {
    let (run, updated) = (&record.name, record.updated);
    let mut text =
        format!("-- The scores of run {run}, as of {updated:.0}: the rows of exactly its parts. For DuckDB.\n");
    let _ = writeln!(
        text,
        "CREATE OR REPLACE VIEW {SCORES} AS SELECT {} AS run, * REPLACE (coalesce({METRIC}, {}) AS {METRIC}) FROM (\n\
         SELECT * FROM read_parquet([",
        quoted(run.as_str()),
        quoted(CLIP_DQA)
    );
    for part in &record.parts {
        let _ = writeln!(text, "  {},", quoted(&address(store, &part.key)));
    }
    let _ = writeln!(text, "], union_by_name = true, hive_partitioning = false)");
    let _ = writeln!(text, "UNION ALL BY NAME SELECT CAST(NULL AS VARCHAR) AS {METRIC} WHERE false);");
    text
}

fn report(store: &Store, table: &str, key: &str) -> String {
    let file = quoted(&address(store, key));
    format!("CREATE OR REPLACE VIEW {table} AS SELECT * FROM read_parquet({file}, hive_partitioning = false);\n")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns an object's address as DuckDB expects it: a path, or a URL without percent-encoding.
fn address(store: &Store, key: &str) -> String {
    let url = store.url();
    if let (true, Ok(folder)) = (store.is_local(), url.to_file_path()) {
        return folder.join(key).display().to_string();
    }
    format!("{}://{}/{}", url.scheme(), url.host_str().unwrap_or_default(), store.object_path(key))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use url::Url;

    use super::*;

    #[test]
    fn objects_are_named_as_duckdb_names_them() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().canonicalize().unwrap().join("a store é");
        std::fs::create_dir(&folder).unwrap();
        let local = Store::open(folder.to_str().unwrap(), Path::new("")).unwrap();
        assert_eq!(address(&local, "scores/p.parquet"), folder.join("scores/p.parquet").display().to_string());
        let remote = Store::from_object_store(Arc::new(InMemory::new()), Url::parse("s3://bucket/").unwrap());
        assert_eq!(address(&remote, "scores/p.parquet"), "s3://bucket/scores/p.parquet");
        assert_eq!(quoted("o'hare"), "'o''hare'");
    }
}
