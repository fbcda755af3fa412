//! Reads definitions from files, and finds the file that a text on the command line means: a name, a path, or a folder with
//! a definition in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::definition::{Definition, absolute, contradiction, is_table};
use super::error::DatasetError;
use super::ready_definitions;
use crate::names::{DatasetName, NameError, similar_names};

/// The folder where definitions are found by name, relative to the working directory.
const DEFINITIONS: &str = "configs/datasets";

/// The sections of a definition, each with the key that it has at least.
const SECTIONS: [(&str, &str, &str); 4] = [
    ("labels", "file", "mos.csv"),
    ("hazy", "layout", "hazy/{scene}.png"),
    ("clear", "layout", "clear/{scene}.png"),
    ("algorithms", "AOD", "AOD-Net"),
];

/// Finds the definition that `text` means: a name in `configs/datasets` or of a definition in the program, a path to a
/// `.toml`, a folder or a manifest (`.csv`, `.parquet`), or a folder's URL; or `NAME=` and one of these, to give it another
/// name. A folder with one definition in it means that definition. Paths are relative to `base`, the working directory.
///
/// # Errors
/// If nothing is found, with similar names; if a definition cannot be read; if a folder has several definitions.
pub fn find_definition(text: &str, base: &Path) -> Result<Definition, DatasetError> {
    let (Some(name), text_of_set) = split_given_name(text, base) else { return find_named(text, base, None) };
    let name = name.parse().map_err(|source| DatasetError::Name { text: text.to_owned(), source })?;
    Ok(find_named(text_of_set, base, Some(&name))?.renamed(name))
}

/// Splits `NAME=FOLDER` into the name and the rest. The name of an existing file or folder may itself contain `=`.
pub fn split_given_name<'a>(text: &'a str, base: &Path) -> (Option<&'a str>, &'a str) {
    match text.split_once('=') {
        Some((name, rest)) if !name.contains(['/', '\\', ':']) && !base.join(text).exists() => (Some(name), rest),
        _ => (None, text),
    }
}

/// Finds a definition. A folder or a manifest whose own name is invalid gets the name `given`.
fn find_named(text: &str, base: &Path, given: Option<&DatasetName>) -> Result<Definition, DatasetError> {
    let data = std::env::var("DQA_DATA").unwrap_or_else(|_| "data".to_owned());
    let data = absolute(&data, base, "");
    if let Ok(name) = text.parse::<DatasetName>()
        && let Some(definition) = find_by_name(&name, base, &data)?
    {
        return Ok(definition);
    }
    let path = base.join(text);
    if text.ends_with(".toml") && path.is_file() {
        return read(&path, &data);
    }
    if path.is_dir()
        && let Some(file) = definition_in(&path)?
    {
        return read(&file, &data);
    }
    if text.contains("://") || path.is_dir() {
        // `.` and a link are named after the folder that they lead to.
        let root = path.canonicalize().map_or_else(|_| text.to_owned(), |path| path.display().to_string());
        return from_folder(&root, given);
    }
    if is_table(text) && path.is_file() {
        return from_manifest(&path, given);
    }
    let all = definition_names(base);
    let mut similar = similar_names(text, all.iter().map(String::as_str));
    similar.extend(similar_paths(text, base));
    Err(DatasetError::Unknown { text: text.to_owned(), searched: DEFINITIONS.to_owned(), similar })
}

/// Returns the paths in the folder of the path `text` whose last names are similar.
fn similar_paths(text: &str, base: &Path) -> Vec<String> {
    let (folder, name) =
        text.trim_end_matches('/').rsplit_once('/').map_or(("", text), |(folder, name)| (folder, name));
    let entries = base.join(if text.starts_with('/') && folder.is_empty() { "/" } else { folder }).read_dir();
    let names = entries.into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    let similar = similar_names(name, names.iter().map(String::as_str));
    similar.into_iter().map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") }).collect()
}

/// Finds a definition by its name: in a file of the working directory, or else in the program. A folder in the working
/// directory with such a name wins over the program's definition.
fn find_by_name(name: &DatasetName, base: &Path, data: &str) -> Result<Option<Definition>, DatasetError> {
    let path = base.join(DEFINITIONS).join(format!("{name}.toml"));
    if path.is_file() {
        let definition = read(&path, data)?;
        let why = format!("{} should define `{name}`", path.display());
        return if definition.name == *name { Ok(Some(definition)) } else { Err(contradiction(&definition, why)) };
    }
    if base.join(name.as_str()).is_dir() {
        return Ok(None);
    }
    let Some(text) = ready_definitions::text(name.as_str()) else { return Ok(None) };
    parse(text, &format!("the program's definition of `{name}`"))?.resolved(base, data).map(Some)
}

/// Returns the names of the definitions that [`find_definition`] finds, sorted.
pub fn definition_names(base: &Path) -> Vec<String> {
    let mut names: BTreeSet<String> = ready_definitions::names().map(str::to_owned).collect();
    let files = base.join(DEFINITIONS).read_dir().into_iter().flatten();
    let files = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    names.extend(files.filter_map(|file| file.strip_suffix(".toml").map(str::to_owned)));
    names.into_iter().collect()
}

/// Returns the only definition that is a file in a folder. None if there is none.
///
/// # Errors
/// If there are several.
fn definition_in(folder: &Path) -> Result<Option<PathBuf>, DatasetError> {
    let files = folder.read_dir().into_iter().flatten().filter_map(|file| Some(file.ok()?.path()));
    let is_toml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml") && path.is_file();
    let mut files: Vec<PathBuf> = files.filter(is_toml).filter(|path| is_definition(path)).collect();
    files.sort();
    if files.len() > 1 {
        let files = files.iter().map(|file| file.display().to_string()).collect();
        return Err(DatasetError::SeveralDefinitions { folder: folder.display().to_string(), files });
    }
    Ok(files.pop())
}

/// Returns whether a TOML file defines a data set: it has a name and a root.
fn is_definition(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.parse::<Table>().is_ok_and(|table| table.contains_key("name") && table.contains_key("root"))
}

fn read(path: &Path, data: &str) -> Result<Definition, DatasetError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| DatasetError::Read { path: shown.clone(), source })?;
    parse(&text, &shown)?.resolved(path.parent().unwrap_or(Path::new("")), data)
}

/// Parses a definition. Its addresses are as in the file.
fn parse(text: &str, shown: &str) -> Result<Definition, DatasetError> {
    let wrong = |source| DatasetError::Definition { path: shown.to_owned(), source: Box::new(source) };
    let table: Table = text.parse().map_err(wrong)?;
    for (section, key, example) in SECTIONS {
        match table.get(section) {
            None | Some(Value::Table(_)) => {}
            Some(value) => {
                let value = value.as_str().filter(|_| section != "algorithms").unwrap_or(example);
                let line = format!("{key} = {}", Value::String(value.to_owned()));
                return Err(DatasetError::NotASection { path: shown.to_owned(), section, line });
            }
        }
    }
    toml::from_str::<Definition>(text).map_err(wrong)
}

/// Creates the definition of a folder, which is named after its last segment.
fn from_folder(root: &str, given: Option<&DatasetName>) -> Result<Definition, DatasetError> {
    let name = root.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let unnamed = |source| DatasetError::Unnamed { address: root.to_owned(), source };
    Ok(Definition::new(own_name_or(name, given).map_err(unnamed)?, root.to_owned()))
}

/// Creates the definition of a manifest, whose data set is named after the file.
fn from_manifest(path: &Path, given: Option<&DatasetName>) -> Result<Definition, DatasetError> {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let unnamed = |source| DatasetError::Unnamed { address: path.display().to_string(), source };
    let name = own_name_or(&text(path.file_stem()), given).map_err(unnamed)?;
    // `absolute` rejects the empty path, which is the parent of a file in the working directory.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = std::path::absolute(folder).unwrap_or_default();
    Ok(Definition { manifest: Some(text(path.file_name())), ..Definition::new(name, root.display().to_string()) })
}

/// Parses a file's own name, or returns the given one if it is invalid.
fn own_name_or(own: &str, given: Option<&DatasetName>) -> Result<DatasetName, NameError> {
    own.parse().or_else(|error| given.cloned().ok_or(error))
}
