//! A part holds the rows of a shard as one Parquet file. This module checks "rows in = rows out" when a part is written, and
//! each time a part is accepted as complete.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;

use crate::causes;
use crate::plan::{Shard, ShardPart};
use crate::store::{Store, StoreError};
use crate::tables::parquet_file;
use crate::tables::scores::{self, ScoreRow};

/// The counts in a part's footer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartCounts {
    /// All rows, scored and failed.
    pub rows: u64,
    /// Rows without a score.
    pub failed: u64,
}

/// The state of a part in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartState {
    /// The part exists with all its rows.
    Complete(PartCounts),
    /// The part does not exist.
    Missing,
    /// The object is not the part, for this reason. It must be written again.
    Damaged(String),
}

/// Why a part's rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object is not a part.
    #[error("part {key} cannot be read")]
    Damaged {
        /// The object's key.
        key: String,
        /// Why it is invalid.
        #[source]
        source: ParquetError,
    },
}

/// Parts that are inspected at the same time: a store answers each request in tens of milliseconds.
const INSPECTIONS_MAX: usize = 64;

const PART: &str = "dqa.part";
const FAILED: &str = "dqa.failed";

/// Encodes one of a shard's parts. `provenance` goes into its footer: the programs and machines that made it.
///
/// # Panics
/// If `rows` are not the shard's pictures, one row for each, in their order: such a part must never be written.
pub fn encode(shard: &Shard, part: &ShardPart, rows: &[ScoreRow], provenance: &[(String, String)]) -> Bytes {
    let ShardPart { columns, .. } = part;
    let same = shard.pictures.iter().map(|picture| &picture.image).eq(rows.iter().map(|row| &row.image));
    assert!(same, "rows in = rows out: part {} has {} of {}", columns.part, rows.len(), shard.pictures.len());
    let failed = rows.iter().filter(|row| row.score.is_err()).count();
    let mut facts = vec![(PART, columns.part.clone()), (FAILED, failed.to_string())];
    facts.extend(shard.facts.iter().chain(provenance).map(|(name, value)| (name.as_str(), value.clone())));
    let batch = scores::to_batch(columns, rows);
    parquet_file::write(&batch.schema(), &[batch], &facts).expect("memory takes what is made to the schema")
}

/// Reads the footer of a part and compares it with the part's name and number of rows.
///
/// # Errors
/// If the store fails.
pub async fn inspect(store: &Store, key: &str, rows: u64) -> Result<PartState, StoreError> {
    let bytes = match store.get(key).await {
        Err(error) if error.is_not_found() => return Ok(PartState::Missing),
        other => other?,
    };
    Ok(match read_footer(&bytes, key) {
        Ok(counts) if counts.rows == rows => PartState::Complete(counts),
        Ok(counts) => PartState::Damaged(format!("it has {} of {rows} rows", counts.rows)),
        Err(error) => PartState::Damaged(causes(&error).to_string()),
    })
}

/// Inspects many parts, given as keys and numbers of rows, and returns their states in the same order.
///
/// # Errors
/// If the store fails.
pub async fn inspect_all(
    store: &Store,
    parts: impl IntoIterator<Item = (String, u64)>,
) -> Result<Vec<PartState>, StoreError> {
    let one = |(key, rows): (String, u64)| async move { inspect(store, &key, rows).await };
    futures::stream::iter(parts).map(one).buffered(INSPECTIONS_MAX).try_collect().await
}

fn read_footer(bytes: &Bytes, key: &str) -> Result<PartCounts, ParquetError> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(bytes)?;
    let file = metadata.file_metadata();
    let fact = |name: &str| {
        let facts = file.key_value_metadata().into_iter().flatten();
        facts.filter(|fact| fact.key == name).find_map(|fact| fact.value.as_deref())
    };
    let name = fact(PART).ok_or_else(|| ParquetError::General("it is not a part written by dqa".to_owned()))?;
    if !key.ends_with(&format!("/{name}.parquet")) {
        return Err(ParquetError::General(format!("it is part {name}")));
    }
    let failed = fact(FAILED).and_then(|count| count.parse().ok());
    let failed =
        failed.ok_or_else(|| ParquetError::General("its footer lacks the number of failed rows".to_owned()))?;
    Ok(PartCounts { rows: u64::try_from(file.num_rows()).unwrap_or(0), failed })
}

/// Reads the rows of a part.
///
/// # Errors
/// If the store fails, or the object is not a part.
pub async fn read_rows(store: &Store, key: &str) -> Result<Vec<ScoreRow>, PartError> {
    let damaged = |source| PartError::Damaged { key: key.to_owned(), source };
    let batches = parquet_file::read(store.get(key).await?).map_err(damaged)?;
    let mut rows = Vec::new();
    for batch in &batches {
        rows.extend(scores::from_batch(batch).map_err(|error| damaged(error.into()))?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::ShardPicture;
    use crate::tables::scores::{PartColumns, ScoreStatistics, ScoringFailure};

    fn shard(pictures: usize) -> Shard {
        let picture = |i: usize| ShardPicture {
            scene: format!("s{i}"),
            scene_group: i.is_multiple_of(3).then(|| "g".to_owned()),
            image: format!("{i}.png"),
            uri: format!("file:///{i}.png"),
            bytes: 1,
            version: "v".to_owned(),
            mos: i.is_multiple_of(2).then_some(i as f64),
            raters: None,
            clear: None,
            hazy: None,
        };
        Shard {
            store: "file:///".to_owned(),
            parts: vec![ShardPart { columns: columns(), reuse: Vec::new() }],
            retry_failed: false,
            pictures: (0..pictures).map(picture).collect(),
            windows: 1,
            facts: vec![("dqa.host".to_owned(), "here".to_owned())],
            limits: crate::picture_limits::PictureLimits::default(),
            parameters: None,
        }
    }

    fn columns() -> PartColumns {
        let [dataset, algorithm, metric, fingerprint, part] = ["d", "a", "clip-dqa", "f", "f-s-1"].map(str::to_owned);
        PartColumns { dataset, algorithm, metric, fingerprint, part }
    }

    fn row(picture: &ShardPicture, score: Option<f64>) -> ScoreRow {
        ScoreRow {
            scene: picture.scene.clone(),
            scene_group: picture.scene_group.clone(),
            image: picture.image.clone(),
            uri: picture.uri.clone(),
            version: picture.version.clone(),
            digest: score.map(|_| "00".to_owned()),
            width: score.map(|_| 224),
            height: score.map(|_| 300),
            windows: score.map_or(0, |_| 3),
            score: score
                .map(|score| ScoreStatistics { score, std: 0.1, min: 0.0, max: 1.0 })
                .ok_or_else(|| ScoringFailure { code: "io".to_owned(), message: "gone".to_owned() }),
            mos: picture.mos,
            raters: picture.raters,
            flat_share: None,
        }
    }

    proptest! {
        #[test]
        fn a_part_gives_its_rows_back(scores in proptest::collection::vec(proptest::option::of(0.0..1.0), 1..50)) {
            let shard = shard(scores.len());
            let rows: Vec<ScoreRow> = shard.pictures.iter().zip(&scores).map(|(p, s)| row(p, *s)).collect();
            let bytes = encode(&shard, &shard.parts[0], &rows, &[]);
            let failed = scores.iter().filter(|score| score.is_none()).count() as u64;
            prop_assert_eq!(read_footer(&bytes, &shard.parts[0].key()).unwrap(), PartCounts { rows: rows.len() as u64, failed });
            let batches = parquet_file::read(bytes).unwrap();
            let back: Vec<ScoreRow> = batches.iter().flat_map(|batch| scores::from_batch(batch).unwrap()).collect();
            prop_assert_eq!(back, rows);
        }
    }

    #[test]
    #[should_panic(expected = "rows in = rows out")]
    fn a_part_with_a_missing_row_is_never_written() {
        let shard = shard(2);
        encode(&shard, &shard.parts[0], &[row(&shard.pictures[0], None)], &[]);
    }

    #[tokio::test]
    async fn only_the_part_itself_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let shard = shard(3);
        let rows: Vec<ScoreRow> = shard.pictures.iter().map(|picture| row(picture, Some(0.5))).collect();
        let (key, bytes) = (shard.parts[0].key(), encode(&shard, &shard.parts[0], &rows, &[]));
        assert_eq!(inspect(&store, &key, 3).await.unwrap(), PartState::Missing);
        store.put(&key, bytes.clone()).await.unwrap();
        assert_eq!(inspect(&store, &key, 3).await.unwrap(), PartState::Complete(PartCounts { rows: 3, failed: 0 }));
        assert!(matches!(inspect(&store, &key, 4).await.unwrap(), PartState::Damaged(_)));
        store.put(&key, bytes.slice(..bytes.len() - 9)).await.unwrap();
        assert!(matches!(inspect(&store, &key, 3).await.unwrap(), PartState::Damaged(_)));
        let other = key.replace("f-s-1", "f-s-2");
        store.put(&other, bytes).await.unwrap();
        assert!(matches!(inspect(&store, &other, 3).await.unwrap(), PartState::Damaged(_)));
    }
}
