//! The oriented scores of one metric on one data set of a run, in columns, about 28 bytes a row. Reports are computed
//! from them. Loading checks that every part of the run's record is in the store, has the planned number of rows, and has
//! the metric and the fingerprint of the record.
//!
//! The columns do not depend on the size or order of the shards or on the machine that scored them: groups and scenes
//! are numbered by their sorted names, and the rows of an algorithm are sorted by scene, score and label.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::AssertUnwindSafe;

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int32Type, Schema};
use futures::{FutureExt, StreamExt, TryStreamExt};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use super::error::ReportError;
use crate::caught_panic::CaughtPanic;
use crate::metric::{Direction, MetricSpec};
use crate::names::{AlgorithmName, DatasetName};
use crate::run::{PartRef, RunRecord};
use crate::store::Store;
use crate::tables::parquet_file::{self, StoredFile};
use crate::tables::scores::{METRIC, SCHEMA};

/// Parts that are fetched and decoded at once. 16 hide the latency of a remote store and fit in memory.
const PARTS_AT_ONCE: usize = 16;

/// Rows of a record batch while a part is decoded.
const BATCH_ROWS: usize = 1 << 14;

/// The columns that are read. The other columns are not fetched.
const COLUMNS: [&str; 8] = ["dataset", "algorithm", METRIC, "fingerprint", "scene", "scene_group", "score", "mos"];

/// The group number of a scene without a group.
pub(super) const NO_GROUP: u32 = u32::MAX;

/// The rows of a data set, grouped by algorithm.
#[derive(Debug, Default)]
pub(super) struct DatasetScores {
    /// Each algorithm with the range of its rows, sorted by name.
    pub(super) algorithms: Vec<(AlgorithmName, Range<usize>)>,
    /// Names of scene groups with their numbers.
    pub(super) groups: NameIndex,
    /// Names of scenes with their numbers.
    pub(super) scenes: SceneIndex,
    /// The scene number of each row.
    pub(super) scene: Vec<u32>,
    /// The group number of each row's scene, or [`NO_GROUP`].
    pub(super) group: Vec<u32>,
    /// Oriented: higher is better. NaN if the picture failed.
    pub(super) score: Vec<f64>,
    /// NaN if the picture has no label.
    pub(super) mos: Vec<f64>,
}

/// Names with their numbers. Numbers follow the first appearance while rows are read, and the sorted names afterwards.
#[derive(Clone, Debug, Default)]
pub(super) struct NameIndex {
    numbers: HashMap<Box<str>, u32>,
}

impl NameIndex {
    fn get_or_insert(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(name.into(), number);
        number
    }

    /// Renumbers the names in sorted order, starting at `first`, and stores each name's new number in `numbers` at the
    /// old number.
    fn renumber_sorted(&mut self, first: u32, numbers: &mut [u32]) {
        let mut names: Vec<(&Box<str>, &mut u32)> = self.numbers.iter_mut().collect();
        names.sort_unstable();
        for (new, (_, number)) in (first..).zip(names) {
            numbers[*number as usize] = new;
            *number = new;
        }
    }

    /// Returns the names with their numbers, sorted by name.
    pub(super) fn sorted(&self) -> Vec<(&str, u32)> {
        let mut names: Vec<(&str, u32)> = self.numbers.iter().map(|(name, number)| (&**name, *number)).collect();
        names.sort_unstable();
        names
    }
}

/// Scenes with their numbers. Numbers follow the first appearance while rows are read, and the sorted (group, name)
/// afterwards, scenes without a group first. Scenes of two groups are different even if their names are equal.
#[derive(Clone, Debug, Default)]
pub(super) struct SceneIndex {
    by_group: HashMap<u32, NameIndex>,
    count: u32,
}

impl SceneIndex {
    /// Returns the number of the scene `name` in the group with this number, or in [`NO_GROUP`].
    fn get_or_insert(&mut self, group: u32, name: &str) -> u32 {
        let numbers = &mut self.by_group.entry(group).or_default().numbers;
        if let Some(number) = numbers.get(name) {
            return *number;
        }
        let number = self.count;
        numbers.insert(name.into(), number);
        self.count += 1;
        number
    }

    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// Renumbers the scenes by the sorted names of their groups and then their own names. Returns the new number of
    /// each old number.
    fn renumber_sorted(&mut self, groups: &NameIndex) -> Vec<u32> {
        let mut numbers = vec![0; self.len()];
        let by_name = std::iter::once(NO_GROUP).chain(groups.sorted().into_iter().map(|(_, group)| group));
        let mut next = 0;
        for group in by_name {
            let Some(names) = self.by_group.get_mut(&group) else { continue };
            names.renumber_sorted(next, &mut numbers);
            next += names.numbers.len() as u32;
        }
        numbers
    }
}

/// Loads a run's rows of a metric on a data set, with oriented scores.
///
/// # Errors
/// A part is missing, cannot be read, has another number of rows than planned, or is of another metric or fingerprint.
pub(super) async fn load(
    store: &Store,
    record: &RunRecord,
    metric: &MetricSpec,
    dataset: &DatasetName,
) -> Result<DatasetScores, ReportError> {
    let is_wanted = |part: &&PartRef| part.dataset == *dataset && part.is_of(metric);
    let mut parts: Vec<&PartRef> = record.parts.iter().filter(is_wanted).collect();
    parts.sort_by(|a, b| a.algorithm.cmp(&b.algorithm));
    let read = |part: PartRef| {
        let store = store.clone();
        async move { tokio::spawn(read_part(store, part, &COLUMNS)).await.expect("reading does not panic") }
    };
    let mut reads = futures::stream::iter(parts.iter().map(|part| read((*part).clone()))).buffered(PARTS_AT_ONCE);
    let mut rows = DatasetScores::default();
    let mut mismatched = Vec::new();
    for part in &parts {
        let batches = reads.next().await.expect("one for each part")?;
        if let Some(difference) = find_mismatch(&batches, part, metric) {
            mismatched.push(format!("{}: {difference}", part.key));
        } else {
            rows.append(part, &batches, metric.direction);
        }
    }
    if !mismatched.is_empty() {
        return Err(ReportError::MismatchedParts { run: record.name.to_string(), mismatched });
    }
    Ok(tokio::task::spawn_blocking(|| rows.into_sorted()).await.expect("sorting does not panic"))
}

/// Reads some columns of a part.
///
/// # Errors
/// The part is missing, cannot be read, or has another number of rows than planned.
pub async fn read_part(
    store: Store,
    part: PartRef,
    columns: &'static [&'static str],
) -> Result<Vec<RecordBatch>, ReportError> {
    let object = match store.head(&part.key).await {
        Err(error) if error.is_not_found() => return Err(ReportError::MissingPart { key: part.key }),
        other => other?,
    };
    let decode = async {
        let builder = ParquetRecordBatchStreamBuilder::new(StoredFile::new(store, object)).await?;
        if let Some(wrong) = find_wrong_column(builder.schema(), columns) {
            return Err(ParquetError::General(format!("column `{wrong}` is missing or has another type")));
        }
        let columns = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let batches = builder.with_projection(columns).with_batch_size(BATCH_ROWS).build()?;
        batches.try_collect::<Vec<_>>().await
    };
    let decoded = AssertUnwindSafe(decode).catch_unwind().await;
    let decoded =
        decoded.unwrap_or_else(|payload| Err(parquet_file::decoder_panic(&CaughtPanic::from_payload(&*payload))));
    let batches = decoded.map_err(|source| ReportError::Part { key: part.key.clone(), source })?;
    let found = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    if found != part.rows {
        return Err(ReportError::Rows { what: part.key, planned: part.rows, found });
    }
    Ok(batches)
}

/// Returns a column that is missing or has another type. Parts of versions that had one metric lack its name.
fn find_wrong_column(schema: &Schema, columns: &[&'static str]) -> Option<&'static str> {
    let is_wrong = |name: &&'static str| match schema.field_with_name(name) {
        Ok(field) => SCHEMA.field_with_name(name).ok().map(|known| known.data_type()) != Some(field.data_type()),
        Err(_) => *name != METRIC,
    };
    columns.iter().copied().find(is_wrong)
}

/// Returns how a part differs from its record, or None if it matches.
pub(super) fn find_mismatch(batches: &[RecordBatch], part: &PartRef, metric: &MetricSpec) -> Option<String> {
    let expected = [
        ("dataset", part.dataset.as_str()),
        ("algorithm", part.algorithm.as_str()),
        (METRIC, metric.name.as_str()),
        ("fingerprint", metric.fingerprint.as_str()),
    ];
    expected.into_iter().find_map(|(name, expected)| {
        let other = batches.iter().find_map(|batch| {
            // Parts of versions that had one metric lack its name.
            let column = batch.column_by_name(name)?.as_dictionary::<Int32Type>();
            let values = column.values().as_string::<i32>();
            // A part has one value in each of these columns, so its dictionary is enough.
            values.iter().flatten().find(|value| *value != expected).map(str::to_owned)
        });
        other.map(|other| format!("{name} {other} instead of {expected}"))
    })
}

impl DatasetScores {
    pub(super) fn len(&self) -> usize {
        self.scene.len()
    }

    /// Sorts the rows into an order that depends on nothing but the rows themselves.
    fn into_sorted(mut self) -> DatasetScores {
        let scenes = self.scenes.renumber_sorted(&self.groups);
        let mut groups = vec![0; self.groups.numbers.len()];
        self.groups.renumber_sorted(0, &mut groups);
        let by_group = std::mem::take(&mut self.scenes.by_group).into_iter();
        let numbered = |(group, names)| (if group == NO_GROUP { NO_GROUP } else { groups[group as usize] }, names);
        self.scenes.by_group = by_group.map(numbered).collect();
        self.scene.par_iter_mut().for_each(|scene| *scene = scenes[*scene as usize]);
        self.group
            .par_iter_mut()
            .filter(|group| **group != NO_GROUP)
            .for_each(|group| *group = groups[*group as usize]);
        for (_, range) in &self.algorithms {
            let compare = |a: &usize, b: &usize| {
                let by_scene = self.scene[*a].cmp(&self.scene[*b]);
                let by_score = || self.score[*a].total_cmp(&self.score[*b]);
                by_scene.then_with(by_score).then_with(|| self.mos[*a].total_cmp(&self.mos[*b]))
            };
            let mut order: Vec<usize> = range.clone().collect();
            if order.is_sorted_by(|a, b| compare(a, b).is_le()) {
                continue;
            }
            order.par_sort_unstable_by(compare);
            fn permute<T: Copy>(column: &mut [T], order: &[usize], range: &Range<usize>) {
                let moved: Vec<T> = order.iter().map(|&row| column[row]).collect();
                column[range.clone()].copy_from_slice(&moved);
            }
            permute(&mut self.scene, &order, range);
            permute(&mut self.group, &order, range);
            permute(&mut self.score, &order, range);
            permute(&mut self.mos, &order, range);
        }
        self
    }

    fn append(&mut self, part: &PartRef, batches: &[RecordBatch], direction: Direction) {
        for batch in batches {
            self.append_batch(batch, direction);
        }
        let end = self.len();
        match self.algorithms.last_mut() {
            Some((algorithm, rows)) if *algorithm == part.algorithm => rows.end = end,
            _ => {
                let start = self.algorithms.last().map_or(0, |(_, rows)| rows.end);
                self.algorithms.push((part.algorithm.clone(), start..end));
            }
        }
    }

    fn append_batch(&mut self, batch: &RecordBatch, direction: Direction) {
        let text = |name| batch[name].as_string::<i32>();
        let real = |name| batch[name].as_primitive::<Float64Type>();
        let start = self.group.len();
        append_groups(&mut self.group, &mut self.groups, text("scene_group"));
        let scenes = text("scene").iter().zip(&self.group[start..]);
        self.scene.extend(scenes.map(|(scene, group)| self.scenes.get_or_insert(*group, scene.unwrap_or_default())));
        self.score.extend(real("score").iter().map(|score| score.map_or(f64::NAN, |score| direction.orient(score))));
        self.mos.extend(real("mos").iter().map(|mos| mos.unwrap_or(f64::NAN)));
    }
}

/// Appends group numbers. Consecutive rows mostly have the same group, so the previous number is tried first.
fn append_groups(column: &mut Vec<u32>, groups: &mut NameIndex, texts: &StringArray) {
    let mut last: Option<(&str, u32)> = None;
    for text in texts {
        let number = match (text, last) {
            (None, _) => NO_GROUP,
            (Some(text), Some((before, number))) if text == before => number,
            (Some(text), _) => groups.get_or_insert(text),
        };
        last = text.map(|text| (text, number)).or(last);
        column.push(number);
    }
}

impl DatasetScores {
    /// Returns the name of each scene number, as `group/name` or `name`.
    pub(super) fn scene_names(&self) -> Vec<String> {
        let groups: HashMap<u32, &str> =
            self.groups.sorted().into_iter().map(|(name, number)| (number, name)).collect();
        let mut texts = vec![String::new(); self.scenes.len()];
        for (group, names) in &self.scenes.by_group {
            for (name, number) in names.sorted() {
                let group = groups.get(group).map(|group| format!("{group}/"));
                texts[number as usize] = group.unwrap_or_default() + name;
            }
        }
        texts
    }

    /// Returns the rows of the scenes that pass the filter. Scene numbers do not change.
    pub(super) fn filter_scenes(&self, is_wanted: impl Fn(u32) -> bool) -> DatasetScores {
        let mut part =
            DatasetScores { groups: self.groups.clone(), scenes: self.scenes.clone(), ..DatasetScores::default() };
        for (algorithm, range) in &self.algorithms {
            let start = part.len();
            for row in range.clone().filter(|row| is_wanted(self.scene[*row])) {
                part.scene.push(self.scene[row]);
                part.group.push(self.group[row]);
                part.score.push(self.score[row]);
                part.mos.push(self.mos[row]);
            }
            part.algorithms.push((algorithm.clone(), start..part.len()));
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The fuzzer found files on which the libraries panic.
    #[tokio::test]
    async fn a_part_on_which_a_decoder_panics_is_an_error() {
        let file = include_bytes!("../../../tests/fuzz/corpus/part/arrow-schema");
        let first_line = file.iter().position(|byte| *byte == b'\n').unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        store.put("scores/p.parquet", file[first_line + 1..].to_vec().into()).await.unwrap();
        let part = serde_json::json!({"key": "scores/p.parquet", "dataset": "demo", "algorithm": "blur", "rows": 40, "windows": 40});
        let part: PartRef = serde_json::from_value(part).unwrap();
        let error = read_part(store, part, &["image"]).await.unwrap_err();
        assert!(matches!(error, ReportError::Part { .. }), "{error}");
    }
}
