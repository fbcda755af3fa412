//! `dqa-coord dataset init`: writes the definition of a folder from what is in it. It never replaces a file.

use std::io::{ErrorKind, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use dqa_pipelines::dataset::{NewDefinition, WrittenRoots, split_given_name};
use dqa_pipelines::names::DatasetName;
use dqa_service::program::{ExitStatus, OutputError, note, with_hint};

/// Writes the definition of `folder`, which may be `NAME=FOLDER`, to `output` or into the folder.
pub(super) async fn init(folder: &str, output: Option<&Path>) -> anyhow::Result<ExitStatus> {
    let (name, folder) = split_given_name(folder, Path::new(""));
    let root = address(folder)?;
    let name = name.unwrap_or_else(|| root.trim_end_matches('/').rsplit('/').next().unwrap_or_default());
    let parsed: Result<DatasetName, _> = name.parse();
    let name = parsed.map_err(|error| with_hint(error.into(), format!("give a name by NAME={folder}")))?;
    let found = match NewDefinition::find(name.clone(), &root).await {
        Ok(found) => found,
        Err(error) => {
            let inner = defined_folder_in(&name, &root).await;
            let error = anyhow::Error::from(error).context(format!("cannot define the data set in {folder}"));
            return Err(match inner {
                Some(inner) => {
                    with_hint(error, format!("`dqa-coord dataset init {name}={inner}` defines the pictures there"))
                }
                None => error,
            });
        }
    };
    let file_name = format!("{name}.toml");
    let file = match output {
        Some(output) => output.to_owned(),
        // A remote store's definition is a file of this machine.
        None if root.contains("://") => PathBuf::from(file_name),
        None => Path::new(folder).join(file_name),
    };
    write_new(&file, &found.to_toml(&written_roots(&root, &file)))?;
    writeln!(stdout(), "{}", file.display()).map_err(OutputError::from)?;
    note(format_args!("{}", found.counts()));
    found.data.notes.iter().for_each(|text| note(format_args!("{text}")));
    note(format_args!("next: read the file, then `dqa-coord dataset check {}`", file.display()));
    Ok(ExitStatus::All)
}

/// Returns the only folder directly below a local folder in which pictures of several algorithms are found.
async fn defined_folder_in(name: &DatasetName, root: &str) -> Option<String> {
    let entries = std::fs::read_dir(root).ok()?;
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path()).filter(|path| path.is_dir()));
    let mut defined = Vec::new();
    for folder in folders {
        let folder = folder.display().to_string();
        let found = NewDefinition::find(name.clone(), &folder).await;
        if found.is_ok_and(|found| found.data.algorithms().len() > 1) {
            defined.push(folder);
        }
    }
    let [folder] = &defined[..] else { return None };
    Some(folder.clone())
}

/// Returns a folder's absolute path, or its URL.
fn address(folder: &str) -> anyhow::Result<String> {
    if folder.contains("://") {
        return Ok(folder.to_owned());
    }
    let path = Path::new(folder).canonicalize().with_context(|| format!("cannot read the folder {folder}"))?;
    if !path.is_dir() {
        let error = anyhow!("{folder} is not a folder");
        return Err(with_hint(
            error,
            "give the folder of the pictures; `dataset show` reads definitions and manifests",
        ));
    }
    Ok(path.display().to_string())
}

/// Returns the folders as the definition in `file` writes them.
fn written_roots(root: &str, file: &Path) -> WrittenRoots {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.canonicalize().is_ok_and(|folder| folder == Path::new(root)) {
        return WrittenRoots { root: ".".to_owned(), parent: "..".to_owned() };
    }
    let parent = root.trim_end_matches('/').rsplit_once('/').map_or("/", |(parent, _)| parent);
    WrittenRoots { root: root.to_owned(), parent: parent.to_owned() }
}

fn write_new(file: &Path, text: &str) -> anyhow::Result<()> {
    let shown = file.display();
    let mut opened = match std::fs::File::create_new(file) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let error = anyhow!("{shown} exists already, and is kept");
            return Err(with_hint(error, "give another file with --output, or remove that one"));
        }
        opened => opened.with_context(|| format!("cannot write {shown}"))?,
    };
    opened.write_all(text.as_bytes()).with_context(|| format!("cannot write {shown}"))
}
