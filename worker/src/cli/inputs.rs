//! Which files a command line means: files as named, folders with the pictures below them, globs; and their bytes.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use walkdir::WalkDir;

use crate::decode::PictureError;

/// What in a folder is taken for a picture. The list is wide, so that a picture of a kind we do not read has a row that
/// says so; a file that is named outright is taken whatever it is called.
const PICTURES: [&str; 30] = [
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib", "tif", "tiff", "webp", "gif", "avif", "heic", "heif",
    "jp2", "j2k", "jpx", "jxl", "psd", "ico", "ppm", "pgm", "pbm", "pnm", "tga", "exr", "hdr", "qoi", "dng",
];

/// The pictures to score, in the order of the arguments and by name within one; and how many files were passed over.
pub(super) struct Inputs {
    pub(super) pictures: Vec<PathBuf>,
    pub(super) passed_over: usize,
}

impl Inputs {
    /// A file that is not there is taken as it is named: it becomes a row with an error. An argument that names no
    /// picture at all ends the command.
    pub(super) fn of(arguments: &[PathBuf]) -> anyhow::Result<Inputs> {
        let mut inputs = Inputs { pictures: Vec::new(), passed_over: 0 };
        for argument in arguments {
            let before = inputs.pictures.len();
            if argument.is_dir() {
                inputs.add_folder(argument)?;
            } else if argument.exists() || !is_glob(argument) {
                inputs.pictures.push(argument.clone());
            } else {
                inputs.add_glob(argument)?;
            }
            if inputs.pictures.len() == before {
                bail!("no picture in {}", argument.display());
            }
        }
        Ok(inputs)
    }

    fn add_folder(&mut self, folder: &Path) -> anyhow::Result<()> {
        for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name() {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            if !entry.file_type().is_file() {
                continue;
            }
            if is_picture(entry.path()) {
                self.pictures.push(entry.into_path());
            } else {
                self.passed_over += 1;
            }
        }
        Ok(())
    }

    fn add_glob(&mut self, pattern: &Path) -> anyhow::Result<()> {
        let text = pattern.to_str().with_context(|| format!("the glob {} is no UTF-8", pattern.display()))?;
        let paths = glob::glob(text).with_context(|| format!("`{text}` is no glob"))?;
        for path in paths {
            let path = path.with_context(|| format!("cannot list `{text}`"))?;
            if path.is_dir() {
                self.add_folder(&path)?;
            } else {
                self.pictures.push(path);
            }
        }
        Ok(())
    }
}

fn is_glob(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.contains(['*', '?', '[']))
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    extension.is_some_and(|extension| PICTURES.contains(&extension.as_str()))
}

/// A picture's file, if it is not over the limit.
///
/// # Errors
/// A file that cannot be read, or is larger.
pub fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, PictureError> {
    let io = |source| PictureError::Io { path: path.display().to_string(), source };
    let too_large = |what| Err(PictureError::TooLarge { what, limit: bytes_max });
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if length > bytes_max {
        return too_large(format!("{length} bytes"));
    }
    // A pipe or a device has no length: it is read until the limit shows.
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > bytes_max {
        return too_large(format!("{} bytes or more", bytes.len()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[PathBuf]) -> Vec<String> {
        let inputs = Inputs::of(arguments).unwrap();
        inputs.pictures.iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn folders_globs_and_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        for name in ["b.PNG", "a.jpg", "labels.csv", "sub/c.webp", "odd[1].png"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(names(&[dir.path().into()]), ["a.jpg", "b.PNG", "odd[1].png", "c.webp"]);
        assert_eq!(Inputs::of(&[dir.path().into()]).unwrap().passed_over, 1);
        assert_eq!(names(&[dir.path().join("*.jpg"), dir.path().join("labels.csv")]), ["a.jpg", "labels.csv"]);
        assert_eq!(names(&[dir.path().join("odd[1].png")]), ["odd[1].png"], "a file's name before a glob");
        assert_eq!(names(&[dir.path().join("none.png")]), ["none.png"], "a row with an error");
        let none = Inputs::of(&[dir.path().join("*.gif")]).err().unwrap();
        assert!(none.to_string().starts_with("no picture in "));
    }
}
