//! Whole rows of parts, by their place. Parts of usual size are decoded once and kept; of a large one the file is kept, and only
//! the rows are decoded.

use std::sync::Arc;

use bytes::Bytes;
use dqa_pipelines::run::PartRef;
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::parquet_file;
use dqa_pipelines::tables::scores::{self, ScoreRow};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::errors::ParquetError;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::error::SiteError;
use crate::table_files::read;

/// A part with more rows is not decoded as a whole: a page needs few of them.
const WHOLE_ROWS_MAX: u64 = 5_000;

/// Decoded rows that are kept: about 100 MB.
const KEPT_ROWS_MAX: u64 = 200_000;

/// Bytes of large parts' files that are kept.
const KEPT_BYTES_MAX: u64 = 64 << 20;

#[derive(Clone)]
struct BySize;

impl Weighter<String, Arc<Vec<ScoreRow>>> for BySize {
    fn weight(&self, _: &String, rows: &Arc<Vec<ScoreRow>>) -> u64 {
        rows.len().max(1) as u64
    }
}

impl Weighter<String, Bytes> for BySize {
    fn weight(&self, _: &String, file: &Bytes) -> u64 {
        file.len().max(1) as u64
    }
}

/// The rows of parts that pages have asked for.
pub(crate) struct PartRows {
    decoded: Cache<String, Arc<Vec<ScoreRow>>, BySize>,
    files: Cache<String, Bytes, BySize>,
}

impl Default for PartRows {
    fn default() -> PartRows {
        PartRows {
            decoded: Cache::with_weighter(4096, KEPT_ROWS_MAX, BySize),
            files: Cache::with_weighter(64, KEPT_BYTES_MAX, BySize),
        }
    }
}

impl PartRows {
    /// Returns rows of a part by their numbers, which are in order and different. Numbers beyond the part's end have no row.
    pub(crate) async fn rows(
        &self,
        store: &Store,
        part: &PartRef,
        numbers: &[usize],
    ) -> Result<Vec<ScoreRow>, SiteError> {
        let key = &part.key;
        if part.rows > WHOLE_ROWS_MAX {
            let file = self.files.get_or_insert_async(key, async { Ok::<_, SiteError>(store.get(key).await?) }).await?;
            let rows = parquet_file::decode(|| read_rows(file, numbers));
            return rows.map_err(|source| SiteError::Table { key: key.clone(), source });
        }
        let reading = async { Ok::<_, SiteError>(Arc::new(read(store, key, scores::from_batch).await?)) };
        let all = self.decoded.get_or_insert_async(key, reading).await?;
        Ok(numbers.iter().map_while(|row| all.get(*row).cloned()).collect())
    }
}

/// Decodes rows of a part's file, up to its last.
fn read_rows(file: Bytes, numbers: &[usize]) -> Result<Vec<ScoreRow>, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let count = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let ranges = numbers.iter().take_while(|row| **row < count).map(|row| *row..*row + 1);
    let selection = RowSelection::from_consecutive_ranges(ranges, count);
    let mut rows = Vec::new();
    for batch in builder.with_row_selection(selection).build()? {
        rows.extend(scores::from_batch(&batch?)?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use dqa_pipelines::tables::scores::{PartColumns, ScoringFailure, to_batch};

    use super::*;

    #[test]
    fn some_rows_are_read_as_among_all() {
        let failure = ScoringFailure { code: "missing".to_owned(), message: "it is missing".to_owned() };
        let row = |index: usize| ScoreRow {
            scene: format!("s{index}"),
            scene_group: index.is_multiple_of(2).then(|| "city".to_owned()),
            image: format!("a/{index}.png"),
            uri: format!("file:///a/{index}.png"),
            version: String::new(),
            digest: None,
            width: Some(index as i32),
            height: None,
            windows: 1,
            score: Err(failure.clone()),
            mos: Some(index as f64),
            raters: None,
            flat_share: None,
        };
        let rows: Vec<ScoreRow> = (0..3000).map(row).collect();
        let name = || "x".to_owned();
        let part =
            PartColumns { dataset: name(), algorithm: name(), metric: name(), fingerprint: name(), part: name() };
        let batch = to_batch(&part, &rows);
        let file = parquet_file::write(&batch.schema(), std::slice::from_ref(&batch), &[]).unwrap();
        for numbers in [&[0][..], &[0, 1, 2], &[1, 1500, 2999, 3000], &[3000]] {
            let expected: Vec<&ScoreRow> = numbers.iter().filter_map(|index| rows.get(*index)).collect();
            assert_eq!(read_rows(file.clone(), numbers).unwrap().iter().collect::<Vec<_>>(), expected);
        }
    }
}
