//! Gives the pictures their labels from tables, converted so that higher is better. No row disappears: each gives its picture a
//! label, is counted as a fault or in a note, or is an error.

mod matching;
mod score_table;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use arrow::array::{Array, LargeStringArray};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::matching::{LabelTarget, Matcher};
pub(crate) use self::score_table::read_scores;
pub use self::score_table::{ScoreColumns, TableScore};
use super::data_set::DataSet;
use super::definition::{Definition, LabelsDefinition, Repeated, contradiction};
use super::error::{DatasetError, UnlocatedError};
use super::fault::{FaultKind, Faults, NAMED_MAX};
use super::label_error::LabelError;
use super::load_policy::LoadPolicy;
use super::path_index::PathMatch;
use super::picture::{Picture, Raters};
use super::table_file::row_position::RowPosition;
use super::table_file::{self, ROWS_MAX, TABLE_BYTES_MAX, Table, TableFormat};
use crate::metric::Direction;
use crate::store::{Object, Store};

/// Tables that are read at the same time: exBeDDE has one for each of 167 hazy pictures.
const READS_MAX: usize = 64;

/// KiB of tables that are in memory at the same time: one of the longest, or many short ones.
const TABLES_KIB_MAX: u32 = (TABLE_BYTES_MAX >> 10) as u32;

/// Common names for a column of pictures that are not the default. An error suggests one that the table has.
const LIKELY: [&str; 8] = ["filename", "file_name", "file", "image_name", "name", "img", "path", "picture"];

/// Common names for a column of algorithms that are not the default.
const LIKELY_ALGORITHM: [&str; 8] = ["algorithm", "algo", "alg", "method", "methods", "model", "approach", "dehazing"];

/// Common names for a column of scenes that are not the default, beside those for pictures.
const LIKELY_SCENE: [&str; 5] = ["scene", "scene_id", "image", "hazy", "input"];

/// What the user can do about labels that fit more than one picture.
const AMBIGUOUS_REMEDY: &str =
    "a row must say which one it means, by the columns `scene` and `algorithm` or by more of its path";

/// Usual names of tables of labels.
const USUAL_FILES: [&str; 8] = [
    "labels.csv",
    "labels.xlsx",
    "labels.parquet",
    "mos.csv",
    "mos.xlsx",
    "mos.parquet",
    "ratings.csv",
    "ratings.xlsx",
];

/// The label in a row of a table.
#[derive(Debug)]
struct Label {
    /// The index of the table.
    file: usize,
    row: RowPosition,
    subject: LabelTarget,
    /// NaN if the row has no label.
    mos: f64,
}

/// The meaning of stored labels.
#[derive(Clone, Copy, Debug)]
pub(super) struct LabelScale {
    pub(super) direction: Direction,
    pub(super) range: Option<[f64; 2]>,
}

impl LabelScale {
    pub(super) fn from_definition(labels: Option<&LabelsDefinition>) -> LabelScale {
        LabelScale {
            direction: labels.map_or(Direction::Higher, |labels| labels.direction),
            range: labels.and_then(|labels| labels.range),
        }
    }

    /// Converts a label so that higher is better. None if the row has no label.
    pub(super) fn orient(self, row: RowPosition, image: &str, mos: f64) -> Result<Option<f64>, LabelError> {
        if mos.is_nan() {
            return Ok(None);
        }
        if mos.is_infinite() {
            return Err(LabelError::Infinite { row, image: image.to_owned(), mos });
        }
        if let Some([low, high]) = self.range.filter(|[low, high]| !(*low..=*high).contains(&mos)) {
            return Err(LabelError::Range { row, image: image.to_owned(), mos, low, high });
        }
        Ok(Some(match (self.direction, self.range) {
            (Direction::Higher, _) => mos,
            (Direction::Lower, Some([low, high])) => low + high - mos,
            (Direction::Lower, None) => -mos,
        }))
    }
}

/// Where labels are read from.
pub(super) struct LabelSource<'a> {
    pub(super) root: &'a Store,
    /// The tables that match the definition's layout of labels.
    pub(super) files: Vec<Object>,
    /// Whether the pictures' scenes have groups.
    pub(super) has_groups: bool,
}

/// The rows of all tables of labels.
#[derive(Default)]
pub(super) struct LabelRows {
    rows: Vec<Label>,
    /// The number of lines that are comments.
    comments: u64,
    /// The addresses of the tables.
    files: Vec<String>,
}

/// Reads the tables of labels of a definition. Nothing is read if it names none.
pub(super) async fn read(
    source: LabelSource<'_>,
    definition: &Definition,
    policy: &LoadPolicy,
) -> Result<LabelRows, DatasetError> {
    let Some(labels) = &definition.labels else { return Ok(LabelRows::default()) };
    if labels.file.split('/').any(|part| part == "..") {
        let (folder, file) = labels.file.rsplit_once('/').unwrap_or(("..", &labels.file));
        let why = format!(
            "its table of labels is not below its root: write `root = \"{folder}\"` and `file = \"{file}\"` in [labels]"
        );
        return Err(contradiction(definition, why));
    }
    let store = labels.root.as_ref().map(|root| Store::open(root, Path::new(""))).transpose()?;
    let store = store.as_ref().unwrap_or(source.root);
    let is_layout = labels.file.contains('{');
    let files = if is_layout { source.files } else { vec![store.head(&labels.file).await?] };
    if files.is_empty() {
        let why = LabelError::Content("no file matches this layout".to_owned());
        return Err(DatasetError::Labels { file: labels.file.clone(), source: why });
    }
    let form = labels.table_format();
    let names = match &labels.image_file {
        Some(file) => Some(Arc::new(table_file::open_labels(store, file, form, policy).await?)),
        None => None,
    };
    let permits = Arc::new(Semaphore::new(TABLES_KIB_MAX as usize));
    // One after the other, so that a table that waits for its share delays those after it and none before it.
    let reserved = futures::stream::iter(&files).then(|file| reserve(permits.clone(), file));
    let tables = reserved.map(|(file, permit)| async move {
        let table = table_file::open_labels(store, &file.key, form, policy).await?;
        Ok::<_, DatasetError>((file, table, permit))
    });
    let mut tables = pin!(tables.buffered(READS_MAX));
    let mut read = LabelRows::default();
    while let Some((file, table, _permit)) = tables.try_next().await? {
        let address = store.address(&file.key);
        let folder = if is_layout { file.key.rsplit_once('/').map(|(folder, _)| folder) } else { None };
        let columns = Columns { definition, labels, folder, has_groups: source.has_groups };
        let tables = Tables { labels: table, names: names.clone() };
        let rows =
            tables.rows(read.files.len(), &columns).map_err(|misfit| misfit.into_labels_error(address.clone()))?;
        read.rows.extend(rows);
        if read.rows.len() > ROWS_MAX {
            let source = LabelError::Content(format!("it and the tables before it have more than {ROWS_MAX} rows"));
            return Err(DatasetError::Labels { file: address, source });
        }
        read.comments += tables.labels.comments();
        read.files.push(address);
    }
    Ok(read)
}

/// Waits for a table's share of the memory for tables.
async fn reserve(permits: Arc<Semaphore>, file: &Object) -> (&Object, OwnedSemaphorePermit) {
    let kib = u32::try_from(file.bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).clamp(1, TABLES_KIB_MAX);
    (file, permits.acquire_many_owned(kib).await.expect("it is never closed"))
}

/// Gives the pictures, sorted by algorithm and scene, their labels. Returns notes for the user.
pub(super) fn attach(
    definition: &Definition,
    read: LabelRows,
    pictures: &mut [Picture],
    faults: &mut Faults,
) -> Result<Vec<String>, DatasetError> {
    let Some(labels) = &definition.labels else { return Ok(Vec::new()) };
    let mut notes = Vec::new();
    if read.comments > 0 {
        notes.push(format!("{} lines of labels begin with # and are skipped", read.comments));
    }
    let wrong = |file: Option<usize>, source| {
        let file = file.or(Some(0).filter(|_| !labels.file.contains('{')));
        DatasetError::Labels { file: file.map_or(&labels.file, |number| &read.files[number]).clone(), source }
    };
    let assigned = assign(definition, labels, &read.rows, pictures, faults);
    notes.extend(assigned.map_err(|(file, source)| wrong(file, source))?);
    Ok(notes)
}

/// A table of labels, and the table of its pictures' names if that is another.
struct Tables {
    labels: Table,
    names: Option<Arc<Table>>,
}

/// The definition of a table's columns.
struct Columns<'d> {
    definition: &'d Definition,
    labels: &'d LabelsDefinition,
    /// The folder that the table's paths are relative to.
    folder: Option<&'d str>,
    has_groups: bool,
}

impl Tables {
    fn rows(&self, file: usize, columns: &Columns<'_>) -> Result<Vec<Label>, UnlocatedError> {
        let names = self.names.as_deref().unwrap_or(&self.labels);
        let subjects = self.subjects(names, columns)?;
        let mos = self.labels.numbers(&columns.labels.mos).map_err(|error| match error {
            LabelError::Column { column, has } => {
                let hint = "`mos = \"...\"` in [labels] says which column has the labels".to_owned();
                LabelError::Columns { lacks: format!("column `{column}`"), has, hint }
            }
            other => other,
        })?;
        if subjects.len() != mos.len() {
            return Err(LabelError::Lengths { rows: subjects.len(), other: mos.len() }.into());
        }
        let rows = subjects.into_iter().zip(mos.values()).enumerate();
        Ok(rows
            .map(|(index, (subject, mos))| Label { file, row: self.labels.row(index), subject, mos: *mos })
            .collect())
    }

    fn subjects(&self, names: &Table, columns: &Columns<'_>) -> Result<Vec<LabelTarget>, UnlocatedError> {
        let labels = columns.labels;
        let by_scene = labels.scene.is_some() || labels.algorithm.is_some() || labels.group.is_some();
        if by_scene && labels.image.is_some() {
            let why = "labels have a column `image` or the columns `scene` and `algorithm`, not both";
            return Err(contradiction(columns.definition, why).into());
        }
        let image = labels.image.as_deref().unwrap_or("image");
        let [scene, algorithm] = [(&labels.scene, "scene"), (&labels.algorithm, "algorithm")]
            .map(|(name, usual)| name.as_deref().unwrap_or(usual));
        let has_scenes = names.has(scene) && names.has(algorithm);
        if by_scene || (labels.image.is_none() && !names.has(image) && has_scenes) {
            let group = labels.group.as_deref();
            let usual = ["group", "scene_group"].into_iter().find(|usual| columns.has_groups && names.has(usual));
            let groups = group.or(usual).map(|group| names.texts(group)).transpose()?;
            let scenes = texts(names, scene)?.into_iter().zip(texts(names, algorithm)?).enumerate();
            let subject = |(index, (scene, algorithm))| {
                let group = groups.as_ref().filter(|groups| groups.is_valid(index)).map(|groups| groups.value(index));
                LabelTarget::Scene { scene, algorithm, group: group.map(|group| group.trim().to_owned()) }
            };
            return Ok(scenes.map(subject).collect());
        }
        if labels.image.is_none() && !names.has(image) {
            return Err(no_subjects(names).into());
        }
        let within = |path: String| columns.folder.map(|folder| format!("{folder}/{path}")).unwrap_or(path);
        Ok(texts(names, image)?.into_iter().map(|path| LabelTarget::Path(within(path))).collect())
    }
}

/// Returns the error of a table that does not name the pictures of its rows.
fn no_subjects(names: &Table) -> LabelError {
    match names.lacks("image") {
        LabelError::Column { has, .. } => {
            let find = |likely: &[&str]| {
                has.iter().find(|name| likely.contains(&name.trim().to_lowercase().as_str())).map(String::as_str)
            };
            let scene = find(&LIKELY_SCENE).or(find(&LIKELY));
            let hint = match (scene, find(&LIKELY_ALGORITHM)) {
                (Some(scene), Some(algorithm)) => format!(
                    "`scene = \"{scene}\"` and `algorithm = \"{algorithm}\"` in [labels] say which columns name the pictures"
                ),
                _ => format!(
                    "`image = \"{}\"` in [labels] says which column names the pictures; or name two columns by `scene` and \
                     `algorithm`",
                    find(&LIKELY).unwrap_or("...")
                ),
            };
            LabelError::Columns {
                lacks: "column `image`, nor the columns `scene` and `algorithm`".to_owned(),
                has,
                hint,
            }
        }
        other => other,
    }
}

/// A table of labels beside the pictures of a data set whose definition does not name it.
pub(super) struct FoundLabels {
    /// The address of the table's folder.
    pub(super) folder: String,
    /// Whether the table is in the folder above that of the pictures.
    pub(super) is_in_parent: bool,
    pub(super) file: String,
}

/// Returns the address of a table of labels beside the pictures of a data set without labels, for a hint. It is never used
/// without the definition.
pub async fn unused_labels(data: &DataSet) -> Option<String> {
    let found = find_labels(data).await?;
    Some(format!("{}/{}", found.folder.trim_end_matches('/'), found.file))
}

/// Finds a table of labels beside the pictures of a data set without labels.
pub(super) async fn find_labels(data: &DataSet) -> Option<FoundLabels> {
    if data.is_labelled {
        return None;
    }
    let parent = data.root.url().join("..").ok().and_then(|url| Store::open(url.as_str(), Path::new("")).ok());
    for (store, is_in_parent) in [(Some(data.root.clone()), false), (parent, true)] {
        let Some(store) = store else { continue };
        for file in USUAL_FILES {
            let Ok(table) = table_file::open(&store, file, TableFormat::default(), &LoadPolicy::default()).await else {
                continue;
            };
            if table.has("mos") && (table.has("image") || table.has("scene") && table.has("algorithm")) {
                return Some(FoundLabels { folder: store.address(""), is_in_parent, file: file.to_owned() });
            }
        }
    }
    None
}

/// Reads a column in which every row has a text.
pub(super) fn texts(table: &Table, column: &str) -> Result<Vec<String>, LabelError> {
    let texts: LargeStringArray = table.texts(column)?;
    let blank = |index: usize| LabelError::Blank { row: table.row(index), column: column.to_owned() };
    let text = |(index, text): (usize, Option<&str>)| match text.map(str::trim).filter(|text| !text.is_empty()) {
        None => Err(blank(index)),
        Some(text) if text.contains('\n') => {
            let row = table.row(index);
            let why = format!("{row}: its `{column}` spans several lines: a quotation mark is not closed");
            Err(LabelError::Content(why))
        }
        Some(text) => Ok(text.to_owned()),
    };
    texts.iter().enumerate().map(text).collect()
}

/// The mean and spread of the labels of one picture.
#[derive(Clone, Copy, Default)]
struct Ratings {
    count: u32,
    mean: f64,
    /// The sum of squared deviations from the mean.
    squares: f64,
    last: f64,
}

impl Ratings {
    fn add(&mut self, mos: f64) {
        self.count += 1;
        let off = mos - self.mean;
        self.mean += off / f64::from(self.count);
        self.squares += off * (mos - self.mean);
        self.last = mos;
    }

    fn raters(&self) -> Raters {
        let std = (self.count > 1).then(|| (self.squares / f64::from(self.count - 1)).sqrt());
        Raters { count: self.count, std }
    }
}

/// Matches labels to pictures and assigns them. An error has the index of its file, if it concerns one.
fn assign(
    definition: &Definition,
    labels: &LabelsDefinition,
    rows: &[Label],
    pictures: &mut [Picture],
    faults: &mut Faults,
) -> Result<Vec<String>, (Option<usize>, LabelError)> {
    let subjects: Vec<&LabelTarget> = rows.iter().map(|label| &label.subject).collect();
    let matcher = Matcher::new(definition, pictures);
    let (meant, how) = matcher.find(&subjects, &labels.ignore);
    let subjects_with = |kind: PathMatch| {
        subjects.iter().zip(&meant).filter(move |(_, meant)| **meant == kind).map(|(subject, _)| *subject)
    };
    let without: Vec<&LabelTarget> = subjects_with(PathMatch::None).collect();
    let hint = if without.is_empty() { None } else { matcher.explain(&without, accepting_in_labels) };
    let is_any = meant.iter().any(|meant| matches!(meant, PathMatch::One(_)));
    if rows.is_empty() {
        return Err((None, LabelError::Content("it has a header and no rows".to_owned())));
    }
    if !is_any {
        let named = subjects.iter().take(NAMED_MAX).map(|subject| format!("`{}`", subject.text())).collect();
        let ambiguous = subjects_with(PathMatch::Ambiguous).count();
        let fits =
            (ambiguous > 0).then(|| format!("{ambiguous} of them fit more than one picture; {AMBIGUOUS_REMEDY}"));
        let hint = fits.or(hint).map(|hint| format!("; {hint}")).unwrap_or_default();
        return Err((None, LabelError::NoMatch { rows: rows.len() as u64, named, hint }));
    }
    without.iter().for_each(|subject| faults.add(FaultKind::LabelWithoutPicture, subject.text()));
    subjects_with(PathMatch::Ambiguous).for_each(|subject| faults.add(FaultKind::AmbiguousLabel, subject.text()));
    faults.set_hint(FaultKind::AmbiguousLabel, format!("they give no picture a label; {AMBIGUOUS_REMEDY}"));
    if let Some(hint) = hint {
        faults.set_hint(FaultKind::LabelWithoutPicture, hint);
    }
    let mut notes = how.notes(&labels.ignore);
    notes.extend(assign_matched(labels, rows, &meant, pictures)?);
    Ok(notes)
}

/// Says how the definition accepts differences between names.
fn accepting_in_labels(options: &[&str]) -> String {
    let options: Vec<String> = options.iter().map(|option| format!("\"{option}\"")).collect();
    let value = if options.len() == 1 { options[0].clone() } else { format!("[{}]", options.join(", ")) };
    format!("`ignore = {value}` in [labels] accepts these")
}

fn assign_matched(
    labels: &LabelsDefinition,
    rows: &[Label],
    meant: &[PathMatch],
    pictures: &mut [Picture],
) -> Result<Vec<String>, (Option<usize>, LabelError)> {
    let scale = LabelScale::from_definition(Some(labels));
    let mut ratings = vec![Ratings::default(); pictures.len()];
    let (mut blank, mut repeated) = (0_u64, 0_u64);
    for (label, meant) in rows.iter().zip(meant) {
        let PathMatch::One(number) = *meant else { continue };
        let (image, ratings) = (&pictures[number as usize].image, &mut ratings[number as usize]);
        let mos = scale.orient(label.row, image, label.mos).map_err(|error| (Some(label.file), error))?;
        let Some(mos) = mos else {
            blank += 1;
            continue;
        };
        if labels.repeated.is_none() && ratings.count > 0 {
            if ratings.last != mos {
                let (first, second) = (ratings.last, mos);
                let error = LabelError::Duplicate { row: label.row, image: image.to_string(), first, second };
                return Err((Some(label.file), error));
            }
            repeated += 1;
            continue;
        }
        ratings.add(mos);
    }
    if ratings.iter().all(|ratings| ratings.count == 0) {
        return Err((None, LabelError::NoLabel { rows: rows.len() as u64, column: labels.mos.clone() }));
    }
    for (picture, ratings) in pictures.iter_mut().zip(&ratings).filter(|(_, ratings)| ratings.count > 0) {
        picture.mos = Some(ratings.mean);
        picture.raters = labels.repeated.map(|Repeated::Mean| ratings.raters());
    }
    let counts = [
        (blank, "rows have no label (an empty cell, N/A, NaN, -)"),
        (repeated, "rows repeat the label of an earlier row"),
    ];
    let notes = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    Ok(notes.collect())
}
