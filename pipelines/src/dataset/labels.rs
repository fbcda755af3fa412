//! Labels: from tables to the pictures that they are of, turned so that higher is better.

use std::path::Path;

use futures::{StreamExt, TryStreamExt};

use super::definition::{Definition, Direction, LabelsDefinition, contradiction};
use super::error::{DatasetError, LabelError, Misfit};
use super::fault::{FaultKind, Faults};
use super::listing::Names;
use super::paths::{Meant, Paths};
use super::table::Table;
use super::{DataSet, Picture};
use crate::place::Place;

/// Tables that are read at once: exBeDDE has one for each of 167 hazy pictures.
const READS_MAX: usize = 64;

/// A row of a table.
struct Label {
    of: Of,
    mos: f64,
}

/// What a label says it is of.
enum Of {
    Path(String),
    Scene { scene: String, algorithm: String },
}

impl Of {
    fn text(&self) -> String {
        match self {
            Of::Path(path) => path.clone(),
            Of::Scene { scene, algorithm } => format!("{scene} by {algorithm}"),
        }
    }
}

/// What stored labels mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) direction: Direction,
    pub(super) range: Option<[f64; 2]>,
}

impl Scale {
    /// A label with higher as better; None for a row that has none.
    pub(super) fn turn(self, image: &str, mos: f64) -> Result<Option<f64>, LabelError> {
        if mos.is_nan() {
            return Ok(None);
        }
        let [low, high] = self.range.unwrap_or([f64::MIN, f64::MAX]);
        if !(low..=high).contains(&mos) {
            return Err(LabelError::Range { image: image.to_owned(), mos, low, high });
        }
        Ok(Some(match (self.direction, self.range) {
            (Direction::Higher, _) => mos,
            (Direction::Lower, Some([low, high])) => low + high - mos,
            (Direction::Lower, None) => -mos,
        }))
    }
}

/// Gives the pictures, sorted by algorithm and scene, their labels. `files` are the tables that the definition's layout
/// of them matches.
pub(super) async fn label(
    root: &Place,
    definition: &Definition,
    files: Vec<String>,
    pictures: &mut [Picture],
    faults: &mut Faults,
) -> Result<(), DatasetError> {
    let Some(labels) = &definition.labels else { return Ok(()) };
    let place = labels.root.as_ref().map(|root| Place::open(root, Path::new(""))).transpose()?;
    let place = place.as_ref().unwrap_or(root);
    let is_layout = labels.file.contains('{');
    let files = if is_layout { files } else { vec![labels.file.clone()] };
    if files.is_empty() {
        let why = LabelError::Content("no file is laid out so".to_owned());
        return Err(DatasetError::Labels { file: labels.file.clone(), source: why });
    }
    let tables = files.into_iter().map(|file| async move {
        let tables = read(place, labels, &file).await?;
        Ok::<_, DatasetError>((file, tables))
    });
    let tables: Vec<(String, Tables)> = futures::stream::iter(tables).buffered(READS_MAX).try_collect().await?;
    let mut rows = Vec::new();
    for (file, tables) in tables {
        let folder = if is_layout { file.rsplit_once('/').map(|(folder, _)| folder) } else { None };
        rows.extend(tables.rows(definition, labels, folder).map_err(|misfit| misfit.of_labels(place.address(&file)))?);
    }
    let scale = Scale { direction: labels.direction, range: labels.range };
    give(definition, &rows, scale, pictures, faults)
        .map_err(|source| DatasetError::Labels { file: place.address(&labels.file), source })
}

/// A file of labels, and that of its pictures' names if it is another.
struct Tables {
    labels: Table,
    names: Option<Table>,
}

async fn read(place: &Place, labels: &LabelsDefinition, file: &str) -> Result<Tables, DatasetError> {
    let table = async |file: &str| {
        let bytes = place.get(file).await?;
        Table::read(file, bytes).map_err(|source| DatasetError::Labels { file: place.address(file), source })
    };
    let names = match &labels.image_file {
        Some(file) => Some(table(file).await?),
        None => None,
    };
    Ok(Tables { labels: table(file).await?, names })
}

impl Tables {
    fn rows(
        &self,
        definition: &Definition,
        labels: &LabelsDefinition,
        folder: Option<&str>,
    ) -> Result<Vec<Label>, Misfit> {
        let mos = self.labels.numbers(&labels.mos)?;
        let names = self.names.as_ref().unwrap_or(&self.labels);
        let by_scene = labels.scene.is_some() || labels.algorithm.is_some();
        if by_scene && labels.image.is_some() {
            let why = "labels have a column `image` or the columns `scene` and `algorithm`, not both";
            return Err(contradiction(definition, why).into());
        }
        let image = labels.image.as_deref().unwrap_or("image");
        let of: Vec<Of> = if by_scene || (labels.image.is_none() && !names.has(image)) {
            let scenes = texts(names, labels.scene.as_deref().unwrap_or("scene"))?;
            let algorithms = texts(names, labels.algorithm.as_deref().unwrap_or("algorithm"))?;
            scenes.into_iter().zip(algorithms).map(|(scene, algorithm)| Of::Scene { scene, algorithm }).collect()
        } else {
            let within = |path: String| folder.map(|folder| format!("{folder}/{path}")).unwrap_or(path);
            texts(names, image)?.into_iter().map(|path| Of::Path(within(path))).collect()
        };
        if of.len() != mos.len() {
            return Err(LabelError::Lengths { rows: of.len(), other: mos.len() }.into());
        }
        Ok(of.into_iter().zip(mos.values()).map(|(of, mos)| Label { of, mos: *mos }).collect())
    }
}

/// A table of labels beside the pictures of a data set that takes none: to hint at, not to guess with.
pub async fn unused_labels(data: &DataSet) -> Option<String> {
    if data.is_labelled {
        return None;
    }
    let parent = data.root.url().join("..").ok().and_then(|url| Place::open(url.as_str(), Path::new("")).ok());
    for place in [Some(data.root.clone()), parent].into_iter().flatten() {
        for file in ["labels.csv", "labels.parquet"] {
            let Ok(bytes) = place.get(file).await else { continue };
            let Ok(table) = Table::read(file, bytes) else { continue };
            if table.has("mos") && (table.has("image") || table.has("scene") && table.has("algorithm")) {
                return Some(place.address(file));
            }
        }
    }
    None
}

/// A column that every row has.
pub(super) fn texts(table: &Table, column: &str) -> Result<Vec<String>, LabelError> {
    let texts = table.texts(column)?;
    let blank = |row: usize| LabelError::Blank { row: row + 1, column: column.to_owned() };
    texts
        .iter()
        .enumerate()
        .map(|(row, text)| text.map(|text| text.trim().to_owned()).ok_or_else(|| blank(row)))
        .collect()
}

fn give(
    definition: &Definition,
    labels: &[Label],
    scale: Scale,
    pictures: &mut [Picture],
    faults: &mut Faults,
) -> Result<(), LabelError> {
    let keys: Vec<Box<str>> = pictures.iter().map(|picture| picture.image.clone()).collect();
    let paths = Paths::new(keys.iter().map(AsRef::as_ref));
    let mut names = Names::new(definition);
    for label in labels {
        let meant = match &label.of {
            Of::Path(path) => paths.find(path),
            Of::Scene { scene, algorithm } => by_scene(pictures, scene, algorithm, &mut names),
        };
        let number = match meant {
            Meant::One(number) => number as usize,
            Meant::Nothing => {
                faults.add(FaultKind::LabelWithoutPicture, label.of.text());
                continue;
            }
            Meant::Several => {
                faults.add(FaultKind::AmbiguousLabel, label.of.text());
                continue;
            }
        };
        let picture = &mut pictures[number];
        let mos = scale.turn(&picture.image, label.mos)?;
        match (picture.mos, mos) {
            (Some(first), Some(second)) if first != second => {
                return Err(LabelError::Twice { image: picture.image.to_string(), first, second });
            }
            _ => picture.mos = mos.or(picture.mos),
        }
    }
    Ok(())
}

fn by_scene(pictures: &[Picture], scene: &str, algorithm: &str, names: &mut Names) -> Meant {
    let Ok(algorithm) = names.algorithm(algorithm, "") else { return Meant::Nothing };
    let at = |picture: &Picture| picture.algorithm.cmp(&algorithm).then_with(|| (*picture.scene).cmp(scene));
    let begin = pictures.partition_point(|picture| at(picture).is_lt());
    match pictures[begin..].iter().take_while(|picture| at(picture).is_eq()).count() {
        0 => Meant::Nothing,
        1 => Meant::One(begin as u32),
        _ => Meant::Several,
    }
}
