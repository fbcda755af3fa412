//! Recomputes the tables of a run's report from the rows of its parts, and compares them with the tables in the store.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use bytes::Bytes;
use parquet::errors::ParquetError;

use super::compute_report::compute_with_others;
use super::error::ReportError;
use super::options::ReportOptions;
use super::{Report, ReportIntervals};
use crate::causes;
use crate::names::RunName;
use crate::run::RunRecord;
use crate::store::Store;
use crate::tables::{parquet_file, report_key};

/// The entry of a table's footer with the options of the report.
pub(super) const OPTIONS: &str = "dqa.report_options";
/// The entry with the names of the runs whose metrics the report compares with, joined by commas.
pub(super) const COMPARED_WITH: &str = "dqa.compared_with";
/// The entry with the digest of the parts that the report was computed from.
pub(super) const PARTS_DIGEST: &str = "dqa.parts_digest";

/// A table of a report in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTable {
    /// The table's name.
    pub table: &'static str,
    /// The key of its object.
    pub key: String,
    /// How it compares with the recomputed one.
    pub state: StoredTableState,
}

/// How a stored table compares with the recomputed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredTableState {
    /// It is the same.
    Same,
    /// It is not in the store.
    Missing,
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// It says that it was computed from other parts.
    OtherParts,
    /// It has other rows, as this sentence says.
    Differs(String),
}

/// Recomputes the report of a run, with the options that its tables in the store name, and compares each table.
///
/// # Errors
/// The report cannot be computed; the store fails.
pub async fn verify_tables(store: &Store, record: &RunRecord) -> Result<Vec<StoredTable>, ReportError> {
    let first = report_key(crate::tables::correlations::CORRELATIONS, &record.name);
    let footer = match store.get(&first).await {
        Err(error) if error.is_not_found() => None,
        bytes => Some(bytes?),
    };
    let fact = |name: &str| footer.as_ref().and_then(|bytes| parquet_file::footer_value(bytes, name).ok().flatten());
    let mut others = Vec::new();
    for name in fact(COMPARED_WITH).unwrap_or_default().split(',').filter_map(|name| name.parse::<RunName>().ok()) {
        others.extend(RunRecord::find(store, &name).await?);
    }
    let report = compute_with_others(store, record, &others, &stored_options(record, fact)).await?;
    let mut tables = Vec::new();
    for (table, batch) in report.tables() {
        let key = report_key(table, &record.name);
        let computed = report.encode(&batch).map_err(|source| ReportError::Write { table, source })?;
        let state = match store.get(&key).await {
            Err(error) if error.is_not_found() => StoredTableState::Missing,
            stored => compare(&report, stored?, computed),
        };
        tables.push(StoredTable { table, key, state });
    }
    Ok(tables)
}

/// Returns the options that a stored table names. Tables of older versions name those of the bootstrap.
fn stored_options(record: &RunRecord, fact: impl Fn(&str) -> Option<String>) -> ReportOptions {
    let recorded = fact(OPTIONS).and_then(|text| serde_json::from_str(&text).ok());
    recorded.unwrap_or_else(|| {
        let default = ReportOptions::from_run(record);
        let number = |name| fact(name).and_then(|text| text.parse().ok());
        match (number("dqa.replicates"), number("dqa.seed")) {
            (Some(replicates), Some(seed)) => {
                ReportOptions { intervals: ReportIntervals::Bootstrap, replicates, seed, ..default }
            }
            _ => default,
        }
    })
}

fn compare(report: &Report, stored: Bytes, computed: Bytes) -> StoredTableState {
    let made_from = parquet_file::footer_value(&stored, PARTS_DIGEST).ok().flatten();
    if made_from.is_some() && made_from != report.record.parts_digest {
        return StoredTableState::OtherParts;
    }
    match (read(stored), read(computed)) {
        (Ok(stored), Ok(computed)) => {
            difference(&stored, &computed).map_or(StoredTableState::Same, StoredTableState::Differs)
        }
        (Err(error), _) | (_, Err(error)) => StoredTableState::Unreadable(causes(&error).to_string()),
    }
}

fn read(file: Bytes) -> Result<Option<RecordBatch>, ParquetError> {
    let batches = parquet_file::read(file)?;
    let Some(first) = batches.first() else { return Ok(None) };
    Ok(Some(concat_batches(&first.schema(), &batches)?))
}

/// Returns a sentence about how a stored table differs from the computed one. None if they are the same.
fn difference(stored: &Option<RecordBatch>, computed: &Option<RecordBatch>) -> Option<String> {
    let count = |table: &Option<RecordBatch>| table.as_ref().map_or(0, RecordBatch::num_rows);
    if count(stored) != count(computed) {
        return Some(format!("it has {} rows, and {} were computed", count(stored), count(computed)));
    }
    let (Some(stored), Some(computed)) = (stored, computed) else { return None };
    if stored.schema().fields() != computed.schema().fields() {
        return Some("it has other columns: another version of dqa wrote it".to_owned());
    }
    let schema = stored.schema();
    let differing: Vec<&str> = (0..stored.num_columns())
        .filter(|column| stored.column(*column) != computed.column(*column))
        .map(|column| schema.field(column).name().as_str())
        .collect();
    let rows = (0..stored.num_rows()).filter(|row| stored.slice(*row, 1) != computed.slice(*row, 1)).count();
    (!differing.is_empty()).then(|| format!("{rows} of its rows differ, in {}", differing.join(", ")))
}
