//! Reads a manifest of pictures: a CSV or Parquet table with the columns `algorithm`, `uri` and, if they are known, `dataset`,
//! `scene`, `scene_group`, `image`, `mos`, `hazy_uri`, `clear_uri`. A URI is a URL or a path relative to the manifest's folder.
//! Rows of other data sets are skipped. Each file is requested once, for its version.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, Float64Array, LargeStringArray};
use futures::{StreamExt, TryStreamExt};

use super::definition::Definition;
use super::error::{DatasetError, UnlocatedError};
use super::fault::FaultKind;
use super::found_pictures::{FoundPictures, NameInterner, reference_picture};
use super::label_error::LabelError;
use super::labels::LabelScale;
use super::load_policy::LoadPolicy;
use super::path_index::plain;
use super::picture::{Picture, file_stem};
use super::scene::SceneKey;
use super::table_file::row_position::RowPosition;
use super::table_file::{self, Table};
use crate::cause;
use crate::store::{Object, Store, StoreError, StoreResolver, member_path};
use dqa_metrics::ReferenceKind;

/// Files whose versions are requested at the same time: a store answers so many requests about as fast as one.
const HEADS_MAX: usize = 64;

/// The columns of a manifest.
struct Columns {
    algorithm: LargeStringArray,
    uri: LargeStringArray,
    dataset: Option<LargeStringArray>,
    scene: Option<LargeStringArray>,
    scene_group: Option<LargeStringArray>,
    image: Option<LargeStringArray>,
    hazy_uri: Option<LargeStringArray>,
    clear_uri: Option<LargeStringArray>,
    mos: Option<Float64Array>,
}

/// Lists the existing pictures of a manifest, with their labels.
pub(super) async fn list(
    root: &Store,
    definition: &Definition,
    file: &str,
    policy: &LoadPolicy,
) -> Result<FoundPictures, DatasetError> {
    let table = table_file::open(root, file, definition.table_format(), policy).await;
    let rows = table.and_then(|table| Columns::from_table(&table)?.rows(definition, &table, policy));
    let rows = rows.map_err(|misfit| misfit.into_pictures_error(root.address(file)))?;
    // Before anything is requested: whether a file exists that must not be read is nobody's business.
    rows.iter().flat_map(Row::uris).try_for_each(|uri| policy.check_address(&address(root, uri)))?;
    let mut found = FoundPictures::default();
    let hazy_uris = rows.iter().filter_map(|row| row.hazy_uri.as_deref());
    let hazy = add_references(root, hazy_uris, ReferenceKind::Hazy, &mut found).await?;
    let clear_uris = rows.iter().filter_map(|row| row.clear_uri.as_deref());
    let clear = add_references(root, clear_uris, ReferenceKind::Clear, &mut found).await?;
    let requests = rows.iter().map(|row| request(root, &row.uri));
    let objects: Vec<FileState> = futures::stream::iter(requests).buffered(HEADS_MAX).try_collect().await?;
    for (row, object) in rows.into_iter().zip(objects) {
        let object = match object {
            FileState::Present(object) => object,
            FileState::Absent(why) => {
                let name = absent_name(&row.uri, why);
                found.add_other_key(&name);
                found.faults.add(FaultKind::Absent, name);
                found.absent.push((row.algorithm, SceneKey { name: row.scene, group: row.scene_group }));
                continue;
            }
        };
        let is_below_root = !is_absolute(&row.uri) && plain(&row.uri) == row.image;
        found.pictures.push(Picture {
            algorithm: row.algorithm,
            scene: row.scene,
            scene_group: row.scene_group,
            uri: if is_below_root { None } else { Some(address(root, &row.uri).into()) },
            image: row.image.into(),
            bytes: object.bytes,
            version: object.version.into(),
            mos: row.mos,
            raters: None,
            hazy: row.hazy_uri.and_then(|uri| hazy.get(&uri).copied()),
            clear: row.clear_uri.and_then(|uri| clear.get(&uri).copied()),
        });
    }
    Ok(found)
}

/// Returns whether a URI does not depend on the manifest's folder.
fn is_absolute(uri: &str) -> bool {
    uri.contains("://") || uri.starts_with('/')
}

fn address(root: &Store, uri: &str) -> String {
    match uri {
        _ if uri.contains("://") => uri.to_owned(),
        _ if uri.starts_with('/') => url::Url::from_file_path(uri).map_or_else(|()| uri.to_owned(), String::from),
        _ => root.address(&plain(uri)),
    }
}

/// The result of requesting a file.
enum FileState {
    Present(Object),
    /// The file is missing, or cannot be read for this reason.
    Absent(Option<String>),
}

/// Requests a file. An error concerns the store and not the file.
async fn request(root: &Store, uri: &str) -> Result<FileState, DatasetError> {
    let result = if is_absolute(uri) {
        static RESOLVER: std::sync::LazyLock<StoreResolver> = std::sync::LazyLock::new(StoreResolver::default);
        RESOLVER.head(&address(root, uri)).await
    } else {
        root.head(&plain(uri)).await
    };
    match result {
        Ok(object) => Ok(FileState::Present(object)),
        Err(error) if error.is_not_found() => Ok(FileState::Absent(None)),
        Err(error) if is_file_specific(&error) => Ok(FileState::Absent(Some(cause(&error).to_string()))),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether an error concerns one file, so that others may be available: it cannot be read, or its address is invalid.
fn is_file_specific(error: &StoreError) -> bool {
    let is_no_url = |source: &(dyn std::error::Error + Send + Sync + 'static)| {
        source.is::<url::ParseError>() || source.is::<std::str::Utf8Error>()
    };
    error.is_object_specific() || matches!(error, StoreError::Address { source, .. } if is_no_url(&**source))
}

/// Returns the name of an absent file for a fault.
fn absent_name(uri: &str, why: Option<String>) -> String {
    why.map_or_else(|| uri.to_owned(), |why| format!("{uri} ({why})"))
}

/// Adds the references of a kind, each once although many pictures share it, and returns their indices by URI.
async fn add_references(
    root: &Store,
    uris: impl Iterator<Item = &str>,
    kind: ReferenceKind,
    found: &mut FoundPictures,
) -> Result<HashMap<String, u32>, DatasetError> {
    let mut uris: Vec<&str> = uris.collect();
    uris.sort_unstable();
    uris.dedup();
    let requests = uris.iter().map(|uri| request(root, uri));
    let objects: Vec<FileState> = futures::stream::iter(requests).buffered(HEADS_MAX).try_collect().await?;
    let mut numbers = HashMap::new();
    for (uri, object) in uris.into_iter().zip(objects) {
        let object = match object {
            FileState::Present(object) => object,
            FileState::Absent(why) => {
                found.faults.add(FaultKind::Absent, absent_name(uri, why));
                continue;
            }
        };
        let references = found.references_mut(kind);
        numbers.insert(uri.to_owned(), references.len() as u32);
        let uri = Some(address(root, uri).into()).filter(|_| is_absolute(uri));
        references.push(Picture { uri, ..reference_picture(&object, kind) });
    }
    Ok(numbers)
}

/// A picture in the manifest.
struct Row {
    algorithm: crate::names::AlgorithmName,
    scene: Arc<str>,
    scene_group: Option<Arc<str>>,
    image: String,
    uri: String,
    hazy_uri: Option<String>,
    clear_uri: Option<String>,
    mos: Option<f64>,
}

impl Row {
    fn uris(&self) -> impl Iterator<Item = &str> {
        [Some(&self.uri), self.hazy_uri.as_ref(), self.clear_uri.as_ref()].into_iter().flatten().map(String::as_str)
    }

    /// Returns about how much memory the row and its picture take, in bytes.
    fn memory(&self) -> usize {
        size_of::<Row>() + size_of::<Picture>() + 2 * (self.image.len() + self.uris().map(str::len).sum::<usize>())
    }
}

impl Columns {
    fn from_table(table: &Table) -> Result<Columns, LabelError> {
        let text = |column: &str| table.has(column).then(|| table.texts(column)).transpose();
        Ok(Columns {
            algorithm: table.texts("algorithm")?,
            uri: table.texts("uri")?,
            dataset: text("dataset")?,
            scene: text("scene")?,
            scene_group: text("scene_group")?,
            image: text("image")?,
            hazy_uri: text("hazy_uri")?,
            clear_uri: text("clear_uri")?,
            mos: table.has("mos").then(|| table.numbers("mos")).transpose()?,
        })
    }

    fn rows(&self, definition: &Definition, table: &Table, policy: &LoadPolicy) -> Result<Vec<Row>, UnlocatedError> {
        let scale = LabelScale::from_definition(definition.labels.as_ref());
        let mut names = NameInterner::new(definition);
        let mut images = HashSet::new();
        let mut rows = Vec::new();
        for index in 0..self.uri.len() {
            if self
                .dataset
                .as_ref()
                .is_some_and(|column| cell(column, index) != Some(definition.name_in_files().as_str()))
            {
                continue;
            }
            let row = self.row((index, table.row(index)), scale, &mut names)?;
            policy.charge(row.memory())?;
            if !images.insert((row.algorithm.clone(), row.image.clone())) {
                let why = format!("two rows name `{}` by {}", row.image, row.algorithm);
                return Err(LabelError::Content(why).into());
            }
            rows.push(row);
        }
        if rows.is_empty() {
            return Err(LabelError::Content(self.no_rows(definition)).into());
        }
        Ok(rows)
    }

    fn row(
        &self,
        (index, row): (usize, RowPosition),
        scale: LabelScale,
        names: &mut NameInterner,
    ) -> Result<Row, UnlocatedError> {
        let required = |column: &LargeStringArray, name: &str| {
            let blank = || LabelError::Blank { row, column: name.to_owned() };
            cell(column, index).map(str::to_owned).ok_or_else(blank)
        };
        let optional = |column: &Option<LargeStringArray>| {
            column.as_ref().and_then(|column| cell(column, index)).map(str::to_owned)
        };
        let (algorithm, uri) = (required(&self.algorithm, "algorithm")?, required(&self.uri, "uri")?);
        let image =
            optional(&self.image).unwrap_or_else(|| if is_absolute(&uri) { member_path(&uri) } else { plain(&uri) });
        let scene = optional(&self.scene).unwrap_or_else(|| file_stem(&image).to_owned());
        let mos = self.mos.as_ref().map(|mos| scale.orient(row, &image, mos.value(index))).transpose()?.flatten();
        Ok(Row {
            algorithm: names.algorithm(&algorithm, &image)?,
            scene: names.text(&scene),
            scene_group: optional(&self.scene_group).map(|group| names.text(&group)),
            image,
            uri,
            hazy_uri: optional(&self.hazy_uri),
            clear_uri: optional(&self.clear_uri),
            mos,
        })
    }

    fn no_rows(&self, definition: &Definition) -> String {
        let Some(column) = &self.dataset else { return "it has no rows".to_owned() };
        let mut all: Vec<&str> = column.iter().flatten().collect();
        all.sort_unstable();
        all.dedup();
        all.truncate(10);
        format!("it has no rows of data set `{}`; it has {}", definition.name_in_files(), all.join(", "))
    }
}

/// Returns a cell's text. None if the cell is empty.
fn cell(column: &LargeStringArray, index: usize) -> Option<&str> {
    column.is_valid(index).then(|| column.value(index).trim()).filter(|text| !text.is_empty())
}
