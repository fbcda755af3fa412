//! The table of `--references`: which clear and hazy picture belongs to each scored picture.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use dqa_service::program::with_hint;

/// Columns of the table. Each row needs the first.
const COLUMNS: [&str; 3] = ["image", "clear", "hazy"];

/// The pictures that metrics compare with, by the scored picture.
#[derive(Debug, Default)]
pub(super) struct References(HashMap<PathBuf, ReferencePaths>);

/// The pictures that one picture is compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReferencePaths {
    pub(super) clear: Option<PathBuf>,
    pub(super) hazy: Option<PathBuf>,
}

impl References {
    /// Reads a CSV table with the columns `image`, `clear` and `hazy`. Paths begin at the table's folder.
    pub(super) fn read(path: &Path) -> anyhow::Result<References> {
        let cannot = || format!("cannot read the references {}", path.display());
        let mut table = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).with_context(cannot)?;
        let header = table.headers().with_context(cannot)?.clone();
        let columns = COLUMNS.map(|name| header.iter().position(|found| found == name));
        if columns[0].is_none() || columns[1].or(columns[2]).is_none() {
            let found: Vec<&str> = header.iter().collect();
            let error = anyhow!("expected the columns image and clear, hazy or both; found {}", found.join(", "));
            let hint = "a row is for example `out/1.png,clear/1.png,hazy/1.png`, with paths from the table's folder";
            return Err(with_hint(error, hint)).with_context(cannot);
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut references = HashMap::new();
        for row in table.records() {
            let row = row.with_context(cannot)?;
            let cell =
                |column: usize| columns[column].and_then(|column| row.get(column)).filter(|cell| !cell.is_empty());
            let file = |column| cell(column).map(|name| folder.join(name));
            let Some(image) = file(0) else { continue };
            let paths = ReferencePaths { clear: file(1), hazy: file(2) };
            let earlier = references.insert(canonical(&image), paths.clone());
            if earlier.is_some_and(|earlier| earlier != paths) {
                let line = row.position().map_or(0, csv::Position::line);
                let error = anyhow!("line {line} gives {} other references than an earlier line", image.display());
                return Err(error).with_context(cannot);
            }
        }
        Ok(References(references))
    }

    /// Returns the references of a picture; none if the table lacks it.
    pub(super) fn find(&self, picture: &Path) -> ReferencePaths {
        self.0.get(&canonical(picture)).cloned().unwrap_or_default()
    }
}

/// Returns the path without links and `..`, or the path itself if the file does not exist.
fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(table: &str) -> (tempfile::TempDir, anyhow::Result<References>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("out.png"), "").unwrap();
        let path = dir.path().join("references.csv");
        std::fs::write(&path, table).unwrap();
        let references = References::read(&path);
        (dir, references)
    }

    #[test]
    fn paths_begin_at_the_table_s_folder() {
        let (dir, references) = read("clear, image\nclear/1.png, out.png\n");
        let found = references.unwrap().find(&dir.path().join("../").join(dir.path()).join("out.png"));
        assert_eq!(found, ReferencePaths { clear: Some(dir.path().join("clear/1.png")), hazy: None });
    }

    #[test]
    fn a_table_without_references_is_an_error() {
        let (_dir, references) = read("picture,clear\na,b\n");
        let error = format!("{:#}", references.unwrap_err());
        assert!(error.contains("expected the columns image and clear, hazy or both; found picture, clear"), "{error}");
        let (_dir, references) = read("image,clear\nout.png,a\nout.png,b\n");
        assert!(format!("{:#}", references.unwrap_err()).contains("line 3 gives"));
    }
}
