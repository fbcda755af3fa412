//! The scores of one data set of a run, in columns: what reports are made of. It owns rows in = rows out: every part of the
//! run's record is there, has the rows that were planned, and is of the record's model. Some 28 bytes a row.
//!
//! The same rows give the same columns, whatever the shards' sizes, their order or who scored them: groups and scenes are
//! numbered by their sorted names, and an algorithm's rows lie by scene, score and label.

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int32Type, Schema};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use super::ReportError;
use crate::names::{AlgorithmName, DatasetName};
use crate::run::{PartRef, RunRecord};
use crate::store::Store;
use crate::tables::parquet_file::StoredFile;
use crate::tables::scores::SCHEMA;

/// Parts that are fetched and decoded at once: enough to hide a remote store's delay, few enough to hold.
const PARTS_AT_ONCE: usize = 16;

/// Rows of a batch while a part is decoded.
const BATCH_ROWS: usize = 1 << 14;

/// What is read of a part; the rest stays in the store.
const COLUMNS: [&str; 7] = ["dataset", "algorithm", "fingerprint", "scene", "scene_group", "score", "mos"];

/// The number of the group of a scene that has none.
pub(super) const NO_GROUP: u32 = u32::MAX;

/// The rows of a data set, those of one algorithm after those of another.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Whose outputs, and which rows those are; by name.
    pub(super) algorithms: Vec<(AlgorithmName, Range<usize>)>,
    /// Groups of scenes by their numbers.
    pub(super) groups: Names,
    /// Scenes by their numbers.
    pub(super) scenes: Scenes,
    /// What each picture shows.
    pub(super) scene: Vec<u32>,
    /// In which group that is, or [`NO_GROUP`].
    pub(super) group: Vec<u32>,
    /// NaN: the picture failed.
    pub(super) score: Vec<f64>,
    /// NaN: there is no label.
    pub(super) mos: Vec<f64>,
}

/// Texts and their numbers: while rows are read in the order of their appearance, then in that of the texts.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Box<str>, u32>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(name.into(), number);
        number
    }

    /// Numbers the texts in their order, from `first`, and says so in `numbers`, by the earlier one.
    fn sort(&mut self, first: u32, numbers: &mut [u32]) {
        let mut names: Vec<(&Box<str>, &mut u32)> = self.numbers.iter_mut().collect();
        names.sort_unstable();
        for (new, (_, number)) in (first..).zip(names) {
            numbers[*number as usize] = new;
            *number = new;
        }
    }

    /// By name.
    pub(super) fn sorted(&self) -> Vec<(&str, u32)> {
        let mut names: Vec<(&str, u32)> = self.numbers.iter().map(|(name, number)| (&**name, *number)).collect();
        names.sort_unstable();
        names
    }
}

/// Scenes and their numbers: while rows are read in the order of their appearance, then in that of (group, name), those
/// without a group first. Those of two groups are two, whatever their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Scenes {
    by_group: HashMap<u32, Names>,
    count: u32,
}

impl Scenes {
    /// Of the scene `name` in the group of this number, or [`NO_GROUP`].
    fn number(&mut self, group: u32, name: &str) -> u32 {
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

    /// Numbers the scenes by the sorted names of their groups and their own. Returns the number of each earlier one.
    fn sort(&mut self, groups: &Names) -> Vec<u32> {
        let mut numbers = vec![0; self.len()];
        let by_name = std::iter::once(NO_GROUP).chain(groups.sorted().into_iter().map(|(_, group)| group));
        let mut next = 0;
        for group in by_name {
            let Some(names) = self.by_group.get_mut(&group) else { continue };
            names.sort(next, &mut numbers);
            next += names.numbers.len() as u32;
        }
        numbers
    }
}

/// A data set's rows of a run.
///
/// # Errors
/// A part that is not there, cannot be read, has other rows than were planned, or is of another model.
pub(super) async fn load(store: &Store, record: &RunRecord, dataset: &DatasetName) -> Result<Rows, ReportError> {
    let mut parts: Vec<&PartRef> = record.parts.iter().filter(|part| part.dataset == *dataset).collect();
    parts.sort_by(|a, b| a.algorithm.cmp(&b.algorithm));
    let read = |part: PartRef| {
        let store = store.clone();
        async move { tokio::spawn(read(store, part, &COLUMNS)).await.expect("reading does not panic") }
    };
    let mut reads = futures::stream::iter(parts.iter().map(|part| read((*part).clone()))).buffered(PARTS_AT_ONCE);
    let mut rows = Rows::default();
    let mut unlike = Vec::new();
    for part in &parts {
        let batches = reads.next().await.expect("one for each part")?;
        if let Some(difference) = difference(&batches, part, &record.fingerprint) {
            unlike.push(format!("{}: {difference}", part.key));
        } else {
            rows.append(part, &batches);
        }
    }
    if !unlike.is_empty() {
        return Err(ReportError::UnlikeParts { run: record.name.to_string(), unlike });
    }
    Ok(tokio::task::spawn_blocking(|| rows.in_order()).await.expect("sorting does not panic"))
}

/// Some of a part's columns; the rest stays in the store.
///
/// # Errors
/// A part that is not there, cannot be read, or has other rows than were planned.
pub(super) async fn read(
    store: Store,
    part: PartRef,
    columns: &'static [&'static str],
) -> Result<Vec<RecordBatch>, ReportError> {
    let object = match store.head(&part.key).await {
        Err(error) if error.is_not_found() => return Err(ReportError::NoPart { key: part.key }),
        other => other?,
    };
    let decode = async {
        let builder = ParquetRecordBatchStreamBuilder::new(StoredFile::new(store, object)).await?;
        let data_type =
            |schema: &Schema, name| schema.field_with_name(name).ok().map(|field| field.data_type().clone());
        if let Some(wrong) = columns.iter().find(|name| data_type(builder.schema(), name) != data_type(&SCHEMA, name)) {
            return Err(ParquetError::General(format!("there is no column `{wrong}` of the table's type")));
        }
        let columns = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let batches = builder.with_projection(columns).with_batch_size(BATCH_ROWS).build()?;
        batches.try_collect::<Vec<_>>().await
    };
    let batches = decode.await.map_err(|source| ReportError::Part { key: part.key.clone(), source })?;
    let found = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    if found != part.rows {
        return Err(ReportError::Rows { what: part.key, planned: part.rows, found });
    }
    Ok(batches)
}

/// What a part is of, where that is not what its record says.
pub(super) fn difference(batches: &[RecordBatch], part: &PartRef, fingerprint: &str) -> Option<String> {
    let expected =
        [("dataset", part.dataset.as_str()), ("algorithm", part.algorithm.as_str()), ("fingerprint", fingerprint)];
    expected.into_iter().find_map(|(name, expected)| {
        let other = batches.iter().find_map(|batch| {
            let column = batch[name].as_dictionary::<Int32Type>();
            let values = column.values().as_string::<i32>();
            // One value in a part: its dictionary says it all.
            values.iter().flatten().find(|value| *value != expected).map(str::to_owned)
        });
        other.map(|other| format!("{name} {other} instead of {expected}"))
    })
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.scene.len()
    }

    /// The rows in the order that depends on nothing but them.
    fn in_order(mut self) -> Rows {
        let scenes = self.scenes.sort(&self.groups);
        let mut groups = vec![0; self.groups.numbers.len()];
        self.groups.sort(0, &mut groups);
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
            fn sorted<T: Copy>(column: &mut [T], order: &[usize], range: &Range<usize>) {
                let moved: Vec<T> = order.iter().map(|&row| column[row]).collect();
                column[range.clone()].copy_from_slice(&moved);
            }
            sorted(&mut self.scene, &order, range);
            sorted(&mut self.group, &order, range);
            sorted(&mut self.score, &order, range);
            sorted(&mut self.mos, &order, range);
        }
        self
    }

    fn append(&mut self, part: &PartRef, batches: &[RecordBatch]) {
        for batch in batches {
            self.append_batch(batch);
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

    fn append_batch(&mut self, batch: &RecordBatch) {
        let text = |name| batch[name].as_string::<i32>();
        let real = |name| batch[name].as_primitive::<Float64Type>();
        let start = self.group.len();
        append_groups(&mut self.group, &mut self.groups, text("scene_group"));
        let scenes = text("scene").iter().zip(&self.group[start..]);
        self.scene.extend(scenes.map(|(scene, group)| self.scenes.number(*group, scene.unwrap_or_default())));
        self.score.extend(real("score").iter().map(|score| score.unwrap_or(f64::NAN)));
        self.mos.extend(real("mos").iter().map(|mos| mos.unwrap_or(f64::NAN)));
    }
}

/// Rows of one group often lie together: the number before is mostly the one.
fn append_groups(column: &mut Vec<u32>, groups: &mut Names, texts: &StringArray) {
    let mut last: Option<(&str, u32)> = None;
    for text in texts {
        let number = match (text, last) {
            (None, _) => NO_GROUP,
            (Some(text), Some((before, number))) if text == before => number,
            (Some(text), _) => groups.number(text),
        };
        last = text.map(|text| (text, number)).or(last);
        column.push(number);
    }
}

impl Rows {
    /// Returns each scene by its number, as `group/name` or `name`.
    pub(super) fn scene_texts(&self) -> Vec<String> {
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

    /// Returns the rows of some scenes, by their numbers, which stay.
    pub(super) fn of_scenes(&self, is_wanted: impl Fn(u32) -> bool) -> Rows {
        let mut part = Rows { groups: self.groups.clone(), scenes: self.scenes.clone(), ..Rows::default() };
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
