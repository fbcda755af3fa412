//! A part holds the rows of a shard as one Parquet file. This module checks "rows in = rows out" when a part is written, and
//! each time a part is accepted as complete. A part with a single changed bit is not complete.

mod file_digest;

use blake3::Hash;
use bytes::Bytes;
use file_digest::{DIGEST, FUNCTION, UNSEALED};
use futures::{StreamExt, TryStreamExt};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::causes;
use crate::digest;
use crate::plan::{Shard, ShardPart};
use crate::run::PartRef;
use crate::store::{Store, StoreError};
use crate::tables::parquet_file;
use crate::tables::scores::{self, PartColumns, ScoreRow};

/// The counts in a part's footer, and the digest of the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartCounts {
    /// All rows, scored and failed.
    pub rows: u64,
    /// Rows without a score.
    pub failed: u64,
    /// The digest of the file.
    pub digest: Hash,
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
    let facts: Vec<(String, String)> = shard.facts.iter().chain(provenance).cloned().collect();
    encode_rows(columns, rows, &facts)
}

/// Encodes a part whose rows are of no shard. `more` goes into its footer.
pub(crate) fn encode_rows(columns: &PartColumns, rows: &[ScoreRow], more: &[(String, String)]) -> Bytes {
    let failed = rows.iter().filter(|row| row.score.is_err()).count();
    let mut facts = vec![(PART, columns.part.clone()), (FAILED, failed.to_string())];
    facts.extend([(FUNCTION, "blake3".to_owned()), (DIGEST, UNSEALED.to_owned())]);
    facts.extend(more.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let batch = scores::to_batch(columns, rows);
    let file = parquet_file::write(&batch.schema(), &[batch], &facts);
    file_digest::seal(file.expect("memory takes what is made to the schema"))
}

/// Reads a part, and compares it with its digest, its name and its number of rows.
///
/// # Errors
/// If the store fails.
pub async fn inspect(store: &Store, key: &str, rows: u64) -> Result<PartState, StoreError> {
    let bytes = match store.get(key).await {
        Err(error) if error.is_not_found() => return Ok(PartState::Missing),
        other => other?,
    };
    Ok(match check(&bytes, key) {
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

/// Checks that a file is the part with a key, as it was written.
fn check(bytes: &Bytes, key: &str) -> Result<PartCounts, ParquetError> {
    let metadata = parquet_file::read_footer(bytes)?;
    let fact = |name: &str| fact(&metadata, name);
    let name = fact(PART).ok_or_else(|| ParquetError::General("it is not a part written by dqa".to_owned()))?;
    if !key.ends_with(&format!("/{name}.parquet")) {
        return Err(ParquetError::General(format!("it is part {name}")));
    }
    let failed = fact(FAILED).and_then(|count| count.parse().ok());
    let failed =
        failed.ok_or_else(|| ParquetError::General("its footer lacks the number of failed rows".to_owned()))?;
    let digest = check_content(bytes, fact)?;
    Ok(PartCounts { rows: u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0), failed, digest })
}

/// Returns the value of an entry in a footer.
fn fact<'m>(metadata: &'m ParquetMetaData, name: &str) -> Option<&'m str> {
    let facts = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    facts.filter(|fact| fact.key == name).find_map(|fact| fact.value.as_deref())
}

/// Checks the content of a file whose footer has these facts, and returns its digest. A footer with the name of the function or
/// with the digest had both. The rows of a part of an older version, which had neither, are decoded instead.
fn check_content<'f>(bytes: &Bytes, fact: impl Fn(&str) -> Option<&'f str>) -> Result<Hash, ParquetError> {
    if fact(FUNCTION).is_none() && fact(DIGEST).is_none() {
        decode(bytes.clone())?;
        return Ok(blake3::hash(bytes));
    }
    fact(DIGEST)
        .and_then(|stated| file_digest::check(bytes, stated))
        .ok_or_else(|| ParquetError::General("its content does not have the digest in its footer".to_owned()))
}

/// Returns one digest of many parts, given as keys and digests.
pub fn digest_of_all<'p>(parts: impl IntoIterator<Item = (&'p str, Hash)>) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("dqa 2026 digest of a run's parts");
    for (key, digest) in parts {
        digest::update_field(&mut hasher, key.as_bytes());
        digest::update_field(&mut hasher, digest.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Inspects the parts of a run, and returns one digest of them. None if one is missing or damaged.
///
/// # Errors
/// If the store fails.
pub async fn find_digest_of_all(store: &Store, parts: &[PartRef]) -> Result<Option<String>, StoreError> {
    let found = inspect_all(store, parts.iter().map(|part| (part.key.clone(), part.rows))).await?;
    let mut digests = Vec::with_capacity(parts.len());
    for (part, state) in parts.iter().zip(found) {
        let PartState::Complete(counts) = state else { return Ok(None) };
        digests.push((part.key.as_str(), counts.digest));
    }
    Ok(Some(digest_of_all(digests)))
}

fn decode(bytes: Bytes) -> Result<Vec<ScoreRow>, ParquetError> {
    let mut rows = Vec::new();
    for batch in &parquet_file::read(bytes)? {
        rows.extend(scores::from_batch(batch)?);
    }
    Ok(rows)
}

/// A whole part.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The counts in its footer, and its digest.
    pub counts: PartCounts,
    /// Its rows.
    pub rows: Vec<ScoreRow>,
}

/// Reads a part, and checks that it is the one with its key, as it was written.
///
/// # Errors
/// If the store fails, or the object is not the part.
pub async fn read_part(store: &Store, key: &str) -> Result<Part, PartError> {
    let damaged = |source| PartError::Damaged { key: key.to_owned(), source };
    let bytes = store.get(key).await?;
    let counts = check(&bytes, key).map_err(damaged)?;
    Ok(Part { counts, rows: decode(bytes).map_err(damaged)? })
}

/// Reads the rows of a part.
///
/// # Errors
/// If the store fails, or the object is not a part.
pub async fn read_rows(store: &Store, key: &str) -> Result<Vec<ScoreRow>, PartError> {
    let damaged = |source| PartError::Damaged { key: key.to_owned(), source };
    let bytes = store.get(key).await?;
    let metadata = parquet_file::read_footer(&bytes).map_err(damaged)?;
    check_content(&bytes, |name| fact(&metadata, name)).map_err(damaged)?;
    decode(bytes).map_err(damaged)
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
            let found = check(&bytes, &shard.parts[0].key()).unwrap();
            prop_assert_eq!((found.rows, found.failed), (rows.len() as u64, failed));
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

    fn whole_part() -> (String, Bytes) {
        let shard = shard(3);
        let rows: Vec<ScoreRow> = shard.pictures.iter().map(|picture| row(picture, Some(0.5))).collect();
        (shard.parts[0].key(), encode(&shard, &shard.parts[0], &rows, &[]))
    }

    #[tokio::test]
    async fn only_the_part_itself_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let (key, bytes) = whole_part();
        assert_eq!(inspect(&store, &key, 3).await.unwrap(), PartState::Missing);
        store.put(&key, bytes.clone()).await.unwrap();
        let found = inspect(&store, &key, 3).await.unwrap();
        assert!(matches!(found, PartState::Complete(PartCounts { rows: 3, failed: 0, .. })), "{found:?}");
        assert!(matches!(inspect(&store, &key, 4).await.unwrap(), PartState::Damaged(_)));
        store.put(&key, bytes.slice(..bytes.len() - 9)).await.unwrap();
        assert!(matches!(inspect(&store, &key, 3).await.unwrap(), PartState::Damaged(_)));
        let other = key.replace("f-s-1", "f-s-2");
        store.put(&other, bytes).await.unwrap();
        assert!(matches!(inspect(&store, &other, 3).await.unwrap(), PartState::Damaged(_)));
    }

    #[tokio::test]
    async fn a_part_with_one_changed_bit_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let (key, bytes) = whole_part();
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << (at % 8);
            assert!(check(&changed.into(), &key).is_err(), "byte {at} of {}", bytes.len());
        }
        let mut changed = bytes.to_vec();
        changed[bytes.len() / 4] ^= 1;
        store.put(&key, changed.into()).await.unwrap();
        assert!(matches!(inspect(&store, &key, 3).await.unwrap(), PartState::Damaged(_)));
        assert!(matches!(read_rows(&store, &key).await.unwrap_err(), PartError::Damaged { .. }));
    }

    #[tokio::test]
    async fn a_part_of_an_older_version_without_a_digest_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let shard = shard(3);
        let rows: Vec<ScoreRow> = shard.pictures.iter().map(|picture| row(picture, Some(0.5))).collect();
        let batch = scores::to_batch(&shard.parts[0].columns, &rows);
        let facts = [(PART, shard.parts[0].columns.part.clone()), (FAILED, "0".to_owned())];
        let bytes = parquet_file::write(&batch.schema(), &[batch], &facts).unwrap();
        store.put(&shard.parts[0].key(), bytes).await.unwrap();
        let found = inspect(&store, &shard.parts[0].key(), 3).await.unwrap();
        assert!(matches!(found, PartState::Complete(_)), "{found:?}");
        assert_eq!(read_rows(&store, &shard.parts[0].key()).await.unwrap(), rows);
    }
}
