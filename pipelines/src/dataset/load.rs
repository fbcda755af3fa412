//! Loads a data set: opens its store, finds its pictures in the way that the definition names, and labels them.

use std::path::Path;

use super::data_set::{DataSet, scenes, sort};
use super::definition::Definition;
use super::error::DatasetError;
use super::found_pictures::FoundPictures;
use super::labels::{self, LabelSource};
use super::layout::Layout;
use super::layout_detection::detect_layout;
use super::load_policy::LoadPolicy;
use super::{excluded_folders, manifest_reader, mos_mat_importer, picture_scan, skipped};
use crate::store::Store;
use dqa_metrics::ReferenceKind;

/// The note that a data set whose pictures are those of a table has clear pictures by a layout.
const UNUSED_CLEAR: &str = "nothing is compared with the clear pictures of [clear]: it is for pictures that are found by \
                            layouts; in a manifest the column `clear_uri` names them";

/// Loads the data set that a definition describes: lists its stores and reads its labels, but no picture.
///
/// # Errors
/// If the definition contradicts itself or the files; if a store or a table cannot be read; if there are no pictures.
pub async fn load(definition: &Definition) -> Result<DataSet, DatasetError> {
    load_within(definition, &LoadPolicy::default()).await
}

/// Loads a data set as [`load`] does, and reads only what a policy permits.
///
/// # Errors
/// The same as [`load`]; and if the definition or a table names an address that must not be read, or there are too many files.
pub async fn load_within(definition: &Definition, policy: &LoadPolicy) -> Result<DataSet, DatasetError> {
    definition.addresses().try_for_each(|address| policy.check_address(address))?;
    load_from_store(Store::open(&definition.root, Path::new(""))?, definition, policy).await
}

/// Loads a data set as [`load_within`] does, from a store that is already open.
///
/// # Errors
/// The same as [`load_within`].
pub async fn load_from_store(
    root: Store,
    definition: &Definition,
    policy: &LoadPolicy,
) -> Result<DataSet, DatasetError> {
    let mut definition = definition.clone();
    let has_layout = !definition.layout.is_empty();
    let mut found = if let Some(importer) = definition.importer {
        mos_mat_importer::list(&root, &definition, importer, policy).await?
    } else if let Some(file) = &definition.manifest {
        manifest_reader::list(&root, &definition, file, policy).await?
    } else {
        if definition.layout.is_empty() {
            definition.layout = vec![detect_layout(&root, &definition, policy).await?];
        }
        let layout = |text: &String| Layout::new(text, definition.name_in_files().as_str());
        let layouts = definition.layout.iter().map(layout).collect::<Result<Vec<_>, _>>()?;
        picture_scan::list(&root, &definition, &layouts, policy).await?
    };
    if found.pictures.is_empty() {
        return Err(no_pictures(&root, &definition, found));
    }
    sort(&mut found.pictures);
    let has_own_labels = definition.importer.is_some() || definition.manifest.is_some();
    if !has_own_labels {
        let files = std::mem::take(&mut found.label_files);
        let has_groups = found.pictures.iter().any(|picture| picture.scene_group.is_some());
        let source = LabelSource { root: &root, files, has_groups };
        let read = labels::read(source, &definition, policy).await?;
        found.notes.extend(labels::attach(&definition, read, &mut found.pictures, &mut found.faults)?);
    }
    let mut data = DataSet {
        name: definition.name.clone(),
        scenes: Vec::new(),
        is_labelled: definition.labels.is_some() || found.pictures.iter().any(|picture| picture.mos.is_some()),
        protocol: definition.protocol,
        definition: definition.to_toml(),
        root,
        pictures: found.pictures,
        inputs: found.inputs,
        clear_pictures: found.clear_pictures,
        inputs_from: None,
        hazy_rows: None,
        excluded: Vec::new(),
        faults: found.faults.into_sorted(),
        skipped: found.skipped.into_sorted(),
        notes: found.notes,
    };
    // A table names the algorithm of each picture, so that no folder is excluded.
    if !has_own_labels {
        excluded_folders::exclude(&mut data, &definition);
    } else if definition.clear.is_some() {
        data.notes.push(UNUSED_CLEAR.to_owned());
    }
    data.scenes = scenes(&data.pictures, &found.absent);
    if !has_own_labels {
        add_notes(&mut data, &definition, has_layout);
    }
    Ok(data)
}

/// Adds notes on what the definition may have missed: references that it names and no file is; algorithms if the layout was
/// guessed.
fn add_notes(data: &mut DataSet, definition: &Definition, has_layout: bool) {
    if !has_layout {
        note_single_algorithm(data);
    }
    for (section, named, kind) in
        [("hazy", &definition.hazy, ReferenceKind::Hazy), ("clear", &definition.clear, ReferenceKind::Clear)]
    {
        if let Some(references) = named.as_ref().filter(|_| data.references(kind).is_empty()) {
            data.notes.push(format!("[{section}] matches no file: its layout is `{}`", references.layout));
        }
    }
}

/// Notes that a folder whose layout was guessed has one algorithm: the pictures' own names may say which made them.
fn note_single_algorithm(data: &mut DataSet) {
    if let [algorithm] = &data.algorithms()[..] {
        data.notes.push(format!(
            "all pictures are taken for those of one algorithm, `{algorithm}`; if their names say another, `dqa-coord dataset \
             init` finds the layout"
        ));
    }
}

/// Returns the error of a data set without pictures.
fn no_pictures(root: &Store, definition: &Definition, found: FoundPictures) -> DatasetError {
    if let Some(broken) = found.broken_tar {
        return broken;
    }
    let skipped = skipped::lines(&found.skipped.into_sorted());
    let seen = if !found.other_keys.is_empty() {
        let layouts = if definition.layout.is_empty() {
            String::new()
        } else {
            format!(", not {}", definition.layout.join(", "))
        };
        format!("{} has {}{layouts}", root.url(), found.other_keys.join(", "))
    } else if skipped.is_empty() {
        format!("{} has no files", root.url())
    } else {
        format!("{} only has {}", root.url(), skipped.join("; "))
    };
    DatasetError::Empty { name: definition.name.clone(), seen }
}
