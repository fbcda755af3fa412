//! Finds the pictures of a command line: files, folders with all pictures below them, and globs.
//!
//! Other files beside pictures do not fail the command: files that cannot be scored are counted and reported, and the
//! rest is scored. A file that is given by name is always scored.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use dqa_pipelines::file_kinds::{clutter_kind, is_picture};
use dqa_pipelines::names::similar_names;
use dqa_service::program::with_hint;
use glob::Pattern;
use walkdir::WalkDir;

/// Names that are reported of each kind of skipped entry.
const NAMES_MAX: usize = 5;

/// The pictures to score, in the order of the arguments and by name within each; and the skipped entries.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    pub(super) pictures: Vec<PathBuf>,
    skipped: BTreeMap<SkipReason, Skipped>,
}

/// Why an entry is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SkipReason {
    /// A folder or a file that cannot be read.
    Unreadable,
    /// A broken or circular link, a pipe, a socket or a device.
    NotAFile,
    /// A hidden file or folder, or one of an operating system or a tool.
    Clutter,
    /// A file whose name is not a picture's.
    OtherName,
}

#[derive(Debug, Default)]
struct Skipped {
    count: usize,
    /// The first names, at most [`NAMES_MAX`].
    names: Vec<String>,
}

impl Inputs {
    /// Finds the pictures of the arguments. A path that does not exist is an error of the command, before anything is
    /// scored, because it is mistyped more often than not; so is an argument without any picture.
    pub(super) fn find(arguments: &[PathBuf]) -> anyhow::Result<Inputs> {
        let mut inputs = Inputs::default();
        for argument in arguments {
            let before = inputs.pictures.len();
            if argument.is_dir() {
                inputs.add_folder(argument);
            } else if argument.exists() || argument.is_symlink() {
                inputs.pictures.push(argument.clone());
            } else if is_glob(argument) {
                inputs.add_glob(argument)?;
            } else {
                return Err(missing(argument));
            }
            if inputs.pictures.len() == before {
                let skipped: Vec<String> = inputs.skipped_lines().collect();
                let skipped = if skipped.is_empty() { String::new() } else { format!(" ({})", skipped.join("; ")) };
                bail!("no picture in {}{skipped}", argument.display());
            }
        }
        Ok(inputs)
    }

    /// Returns a line for each kind of skipped entry.
    pub(super) fn skipped_lines(&self) -> impl Iterator<Item = String> {
        let line = |(reason, Skipped { count, names }): (&SkipReason, &Skipped)| {
            let more = if *count > names.len() { ", ..." } else { "" };
            let names = names.join(", ");
            match reason {
                SkipReason::Unreadable => format!("{count} folders or files cannot be read: {names}{more}"),
                SkipReason::NotAFile => format!("{count} entries are not files: {names}{more}"),
                SkipReason::Clutter => {
                    format!("skipped {count} hidden files and folders, or of systems and tools: {names}{more}")
                }
                SkipReason::OtherName => format!("skipped {count} files that are not named as pictures"),
            }
        };
        self.skipped.iter().map(line)
    }

    /// Returns whether every folder could be read, so that no picture is missing.
    pub(super) fn is_complete(&self) -> bool {
        !self.skipped.contains_key(&SkipReason::Unreadable)
    }

    fn skip(&mut self, reason: SkipReason, name: impl fmt::Display) {
        let skipped = self.skipped.entry(reason).or_default();
        skipped.count += 1;
        if skipped.names.len() < NAMES_MAX {
            skipped.names.push(name.to_string());
        }
    }

    /// Adds all files below a folder that are named as pictures, in the order of their names. Clutter is skipped,
    /// except for the folder itself, which the user named.
    fn add_folder(&mut self, folder: &Path) {
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let mut entries = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.skip_unreadable(&error);
                    continue;
                }
            };
            let (path, is_folder) = (entry.path(), entry.file_type().is_dir());
            if entry.depth() == 0 {
                continue;
            }
            if is_clutter(entry.file_name()) {
                self.skip(SkipReason::Clutter, path.display());
                if is_folder {
                    entries.skip_current_dir();
                }
            } else if is_folder {
                // The walk detects a link's own circle; a link to a folder above this one would take in the whole disk.
                if entry.path_is_symlink() && path.canonicalize().is_ok_and(|target| whole.starts_with(target)) {
                    self.skip(SkipReason::NotAFile, format_args!("{} ({CIRCLE})", path.display()));
                    entries.skip_current_dir();
                }
            } else if !entry.file_type().is_file() {
                self.skip(SkipReason::NotAFile, format_args!("{} ({SPECIAL})", path.display()));
            } else if is_picture(&path.to_string_lossy()) {
                self.pictures.push(entry.into_path());
            } else {
                self.skip(SkipReason::OtherName, path.display());
            }
        }
    }

    /// Skips an entry that cannot be read. A broken link that is named as a picture counts as a missing picture.
    fn skip_unreadable(&mut self, error: &walkdir::Error) {
        let path = error.path().unwrap_or(Path::new(""));
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        let cause = || error.io_error().map(ToString::to_string).unwrap_or_default();
        if error.depth() > 0 && is_clutter(path.file_name().unwrap_or_default()) {
            self.skip(SkipReason::Clutter, path.display());
        } else if error.loop_ancestor().is_some() {
            self.skip(SkipReason::NotAFile, format_args!("{} ({CIRCLE})", path.display()));
        } else if is_link && is_picture(&path.to_string_lossy()) {
            self.pictures.push(path.to_owned());
        } else {
            let reason = if is_link { SkipReason::NotAFile } else { SkipReason::Unreadable };
            self.skip(reason, format_args!("{} ({})", path.display(), cause()));
        }
    }

    fn add_glob(&mut self, pattern: &Path) -> anyhow::Result<()> {
        let text = pattern.to_str().with_context(|| format!("the glob {} is not valid UTF-8", pattern.display()))?;
        let paths = glob::glob(text).with_context(|| format!("`{text}` is not a valid glob"))?;
        let names = |part: &OsStr| {
            let part = part.to_string_lossy();
            text.split('/').any(|wanted| {
                let is_hidden =
                    wanted.starts_with('.') && Pattern::new(wanted).is_ok_and(|wanted| wanted.matches(&part));
                is_hidden || part == wanted
            })
        };
        for path in paths {
            let path = match path {
                Ok(path) => path,
                Err(error) => {
                    self.skip(SkipReason::Unreadable, format_args!("{} ({})", error.path().display(), error.error()));
                    continue;
                }
            };
            if path.iter().any(|part| is_clutter(part) && !names(part)) {
                self.skip(SkipReason::Clutter, path.display());
            } else if path.is_dir() {
                self.add_folder(&path);
            } else if path.exists() && !path.is_file() {
                self.skip(SkipReason::NotAFile, format_args!("{} ({SPECIAL})", path.display()));
            } else {
                self.pictures.push(path);
            }
        }
        self.add_names_beyond_utf8(pattern);
        Ok(())
    }

    /// Adds the pictures whose names are not valid UTF-8, which globs skip silently.
    fn add_names_beyond_utf8(&mut self, pattern: &Path) {
        let Some(Ok(last)) = pattern.file_name().and_then(OsStr::to_str).map(Pattern::new) else { return };
        let parent = pattern.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folders = glob::glob(&parent.to_string_lossy()).into_iter().flatten().flatten();
        for folder in folders {
            let entries = folder.read_dir().into_iter().flatten().flatten();
            let is_meant = |name: &OsStr| name.to_str().is_none() && last.matches(&name.to_string_lossy());
            let mut paths: Vec<PathBuf> =
                entries.filter(|entry| is_meant(&entry.file_name())).map(|entry| entry.path()).collect();
            paths.sort();
            for path in paths {
                if path.is_dir() { self.add_folder(&path) } else { self.pictures.push(path) }
            }
        }
    }
}

/// Returns the error of a path that does not exist, with the names in its folder that are similar.
fn missing(path: &Path) -> anyhow::Error {
    let error = anyhow!("{} does not exist", path.display());
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return with_hint(error, format!("the folder {} does not exist either", folder.display()));
    }
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match &similar_names(&name, names.iter().map(String::as_str))[..] {
        [] => with_hint(error, "a PATH is a picture, a folder or a glob; nothing was scored"),
        similar => with_hint(error, format!("similar names in {}: {}", folder.display(), similar.join(", "))),
    }
}

const CIRCLE: &str = "a link to a folder that contains it";
const SPECIAL: &str = "a pipe, a socket or a device";

fn is_glob(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.contains(['*', '?', '[']))
}

fn is_clutter(name: &OsStr) -> bool {
    clutter_kind(&name.to_string_lossy()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[PathBuf]) -> Vec<String> {
        let inputs = Inputs::find(arguments).unwrap();
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
        let lines: Vec<String> = Inputs::find(&[dir.path().into()]).unwrap().skipped_lines().collect();
        assert_eq!(lines, ["skipped 1 files that are not named as pictures"]);
        assert_eq!(names(&[dir.path().join("*.jpg"), dir.path().join("labels.csv")]), ["a.jpg", "labels.csv"]);
        assert_eq!(names(&[dir.path().join("odd[1].png")]), ["odd[1].png"], "a file's name before a glob");
        let missing = Inputs::find(&[dir.path().join("a.jpeg")]).err().unwrap();
        assert_eq!(missing.to_string(), format!("{} does not exist", dir.path().join("a.jpeg").display()));
        let none = Inputs::find(&[dir.path().join("*.gif")]).err().unwrap();
        assert!(none.to_string().starts_with("no picture in "));
    }

    #[test]
    fn clutter_is_counted_and_takes_nothing_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("results");
        for name in
            ["1.png", "2.JFIF", "3.heic", "._1.png", "Thumbs.db", ".ipynb_checkpoints/1.png", "@eaDir/1.png/X.jpg"]
        {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), "").unwrap();
        }
        assert_eq!(names(std::slice::from_ref(&root)), ["1.png", "2.JFIF", "3.heic"]);
        assert_eq!(names(&[root.join("*")]), ["1.png", "2.JFIF", "3.heic"]);
        assert_eq!(names(&[root.join("._*")]), ["._1.png"], "as it was asked for");
        assert_eq!(names(&[root.join(".ipynb_checkpoints")]), ["1.png"], "as it was asked for");
        let inputs = Inputs::find(&[root]).unwrap();
        assert_eq!(inputs.skipped[&SkipReason::Clutter].count, 4);
        assert!(inputs.is_complete());
    }

    #[cfg(unix)]
    #[test]
    fn links_pipes_and_names_that_are_no_text_take_nothing_with_them() {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("results");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("1.png"), "").unwrap();
        std::fs::write(root.join(OsStr::from_bytes(b"\xce\xed.png")), "").unwrap();
        std::fs::write(root.join(OsStr::from_bytes(b"\xcb\xb5.txt")), "").unwrap();
        symlink("..", root.join("all")).unwrap();
        symlink(".", root.join("here")).unwrap();
        symlink("nowhere", root.join("readme")).unwrap();
        symlink("nowhere", root.join("2.png")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("s.png")).unwrap();
        let inputs = Inputs::find(std::slice::from_ref(&root)).unwrap();
        assert_eq!(inputs.pictures.len(), 3, "a link to nowhere is a picture that is not there: {:?}", inputs.pictures);
        assert_eq!((inputs.skipped[&SkipReason::NotAFile].count, inputs.skipped[&SkipReason::OtherName].count), (4, 1));
        assert!(inputs.is_complete());
        assert_eq!(Inputs::find(&[root.join("*.png")]).unwrap().pictures.len(), 3);
    }
}
