//! The rows of a study as JSON, CSV and the tables of a store, whatever kind of study made them.

use crate::names::StudyName;
use crate::store::{Store, StoreError};
use crate::tables::studies::{self, STUDIES, StudyRow};
use crate::tables::study_splits::{self, STUDY_SPLITS, StudySplitRow};
use crate::tables::{parquet_file, study_key};

/// Returns the rows as JSON, one object per line.
pub(super) fn json(rows: &[StudyRow]) -> String {
    let line = |row: &StudyRow| serde_json::to_string(row).expect("a row has text for keys") + "\n";
    rows.iter().map(line).collect()
}

/// Returns the rows as CSV with a header. An undefined value is an empty field.
pub(super) fn csv(rows: &[StudyRow]) -> String {
    let mut bytes = Vec::new();
    let batch = studies::to_batch(rows);
    arrow::csv::Writer::new(&mut bytes).write(&batch).expect("memory takes text and numbers");
    String::from_utf8(bytes).expect("what was written is text")
}

/// Writes both tables of a study, replacing those of an earlier study of this name. `definition` is TOML.
///
/// # Errors
/// The store fails.
pub(super) async fn write(
    store: &Store,
    (study, definition): (&StudyName, String),
    provenance: &[(String, String)],
    (rows, split_rows): (&[StudyRow], &[StudySplitRow]),
) -> Result<(), StoreError> {
    let mut metadata = vec![("dqa.study", study.to_string()), ("dqa.definition", definition)];
    metadata.extend(provenance.iter().map(|(key, value)| (key.as_str(), value.clone())));
    for (table, batch) in [(STUDIES, studies::to_batch(rows)), (STUDY_SPLITS, study_splits::to_batch(split_rows))] {
        let file = parquet_file::write(&batch.schema(), std::slice::from_ref(&batch), &metadata);
        store.put(&study_key(table, study), file.expect("memory takes what is made to the schema")).await?;
    }
    Ok(())
}
