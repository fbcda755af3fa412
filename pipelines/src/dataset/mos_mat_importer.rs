//! Imports DHQ and SHRQ, whose pictures are those of `MOS.mat`: a table of dehazed names, hazy names and labels. The names are
//! paths with backslashes. The algorithm of a picture follows from its number (DHQ) or its name.
//!
//! DHQ does not name its seven algorithms: they are `algorithm1` to `algorithm7` unless the definition has aliases.

use futures::TryStreamExt;

use super::definition::{Definition, Importer};
use super::error::{DatasetError, UnlocatedError};
use super::fault::FaultKind;
use super::found_pictures::{FoundPictures, NameInterner, reference_picture};
use super::label_error::LabelError;
use super::labels::{LabelScale, texts};
use super::listing_with_tars::{self, Listing};
use super::load_policy::LoadPolicy;
use super::path_index::{PathIndex, PathMatch, plain};
use super::picture::{Picture, file_stem};
use super::scene::SceneKey;
use super::skipped::ClutterFilter;
use super::table_file::row_position::RowPosition;
use super::table_file::{self, Table};
use crate::file_kinds::is_picture;
use crate::store::{Object, Store};
use dqa_metrics::ReferenceKind;

const FILE: &str = "MOS.mat";

/// Lists the pictures of `MOS.mat`, with their labels.
pub(super) async fn list(
    root: &Store,
    definition: &Definition,
    importer: Importer,
    policy: &LoadPolicy,
) -> Result<FoundPictures, DatasetError> {
    let file = definition.labels.as_ref().map_or(FILE, |labels| &labels.file);
    let into_labels_error = |misfit: UnlocatedError| misfit.into_labels_error(root.address(file));
    let table = table_file::open_labels(root, file, definition.table_format(), policy).await?;
    let mut found = FoundPictures::default();
    let objects = pictures(root, &mut found, policy).await?;
    let mut import = Import { importer, objects: &objects, inputs: vec![None; objects.len()], found };
    let rows = rows(&table, definition, importer).map_err(|error| into_labels_error(error.into()))?;
    import.take(&rows, definition).map_err(into_labels_error)?;
    Ok(import.found)
}

/// Lists all files with the name of a picture, sorted by key.
async fn pictures(root: &Store, found: &mut FoundPictures, policy: &LoadPolicy) -> Result<Vec<Object>, DatasetError> {
    let mut pictures = Vec::new();
    let filter = ClutterFilter::default();
    let mut entries = listing_with_tars::list(root, "", Listing { filter: &filter, policy }, |_| false);
    while let Some(entries) = entries.try_next().await? {
        for entry in entries {
            match found.file(entry, &filter) {
                Some(file) if is_picture(&file.object.key) => {
                    policy.charge(file.memory())?;
                    pictures.push(file.object);
                }
                Some(file) => found.add_other_key(&file.object.key),
                None => {}
            }
        }
    }
    pictures.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(pictures)
}

/// A row of `MOS.mat`.
struct Row {
    position: RowPosition,
    dehazed: String,
    hazy: Option<String>,
    mos: f64,
}

fn rows(table: &Table, definition: &Definition, importer: Importer) -> Result<Vec<Row>, LabelError> {
    let labels = definition.labels.as_ref();
    let mos = table.numbers(labels.map_or("MOS", |labels| &labels.mos))?;
    let image = labels.and_then(|labels| labels.image.as_deref()).unwrap_or("Dehaze_name");
    let dehazed = match importer {
        // Row 1 is `Dehaze/0001.png`.
        Importer::Dhq if !table.has(image) => (1..=mos.len()).map(|number| format!("Dehaze/{number:04}.png")).collect(),
        _ => texts(table, image)?,
    };
    let hazy = ["Haze_name", "Hazy_name"].into_iter().find(|column| table.has(column));
    let hazy = hazy.map(|column| texts(table, column)).transpose()?;
    for other in [Some(dehazed.len()), hazy.as_ref().map(Vec::len)].into_iter().flatten() {
        if other != mos.len() {
            return Err(LabelError::Lengths { rows: mos.len(), other });
        }
    }
    let mut hazy = hazy.map(Vec::into_iter);
    let rows = dehazed.into_iter().zip(mos.values()).enumerate();
    Ok(rows
        .map(|(index, (dehazed, mos))| {
            let hazy = hazy.as_mut().and_then(Iterator::next);
            Row { position: table.row(index), dehazed, hazy, mos: *mos }
        })
        .collect())
}

impl Row {
    /// Returns the name of the algorithm in the file, and the scene.
    fn algorithm_and_scene(&self, importer: Importer) -> Result<(String, String), LabelError> {
        let dehazed = plain(&self.dehazed);
        let hazy = self.hazy.as_deref().map(plain);
        let (image, hazy) = (file_stem(&dehazed), hazy.as_deref().map(file_stem));
        let algorithms = match importer {
            Importer::Dhq => 7,
            Importer::Shrq => 8,
        };
        if let Ok(number @ 1..) = image.parse::<u32>() {
            let (scene, algorithm) = ((number - 1) / algorithms + 1, (number - 1) % algorithms + 1);
            return Ok((format!("algorithm{algorithm}"), hazy.map_or_else(|| format!("{scene:04}"), str::to_owned)));
        }
        let from_hazy = hazy.and_then(|hazy| Some((image.strip_prefix(hazy)?.strip_prefix('_')?, hazy)));
        let from_image = || image.rsplit_once('_').map(|(scene, algorithm)| (algorithm, hazy.unwrap_or(scene)));
        match from_hazy.or_else(from_image) {
            Some((algorithm, scene)) => Ok((algorithm.to_owned(), scene.to_owned())),
            None => Err(LabelError::Content(format!(
                "`{}` has neither a number nor the name of an algorithm",
                self.dehazed
            ))),
        }
    }
}

struct Import<'d> {
    importer: Importer,
    /// The picture files, sorted by key.
    objects: &'d [Object],
    /// The index of the input of each object, if it is one.
    inputs: Vec<Option<u32>>,
    found: FoundPictures,
}

impl Import<'_> {
    fn take(&mut self, rows: &[Row], definition: &Definition) -> Result<(), UnlocatedError> {
        let scale = LabelScale::from_definition(definition.labels.as_ref());
        let paths = PathIndex::new(self.objects.iter().map(|object| object.key.as_str()));
        let mut names = NameInterner::new(definition);
        let mut is_taken = vec![false; self.objects.len()];
        for row in rows {
            let (algorithm, scene) = row.algorithm_and_scene(self.importer)?;
            let (algorithm, scene) = (names.algorithm(&algorithm, &row.dehazed)?, names.text(&scene));
            let PathMatch::One(number) = paths.find(&row.dehazed) else {
                self.found.faults.add(FaultKind::Absent, plain(&row.dehazed));
                self.found.absent.push((algorithm, SceneKey::ungrouped(scene)));
                continue;
            };
            let object = &self.objects[number as usize];
            if std::mem::replace(&mut is_taken[number as usize], true) {
                return Err(LabelError::Content(format!("two rows name `{}`", object.key)).into());
            }
            let hazy = row.hazy.as_ref().and_then(|hazy| self.input(paths.find(hazy)));
            self.found.pictures.push(Picture {
                algorithm,
                scene,
                scene_group: None,
                image: object.key.as_str().into(),
                uri: None,
                bytes: object.bytes,
                version: object.version.as_str().into(),
                mos: scale.orient(row.position, &object.key, row.mos)?,
                raters: None,
                hazy,
                clear: None,
            });
        }
        for ((object, is_taken), input) in self.objects.iter().zip(is_taken).zip(&self.inputs) {
            if !is_taken && input.is_none() {
                self.found.faults.add(FaultKind::Unmatched, object.key.as_str());
            }
        }
        Ok(())
    }

    fn input(&mut self, meant: PathMatch) -> Option<u32> {
        let PathMatch::One(number) = meant else { return None };
        let (object, inputs) = (&self.objects[number as usize], &mut self.found.inputs);
        Some(*self.inputs[number as usize].get_or_insert_with(|| {
            inputs.push(reference_picture(object, ReferenceKind::Hazy));
            inputs.len() as u32 - 1
        }))
    }
}
