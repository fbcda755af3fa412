//! Which files a command line means: files as named, folders with the pictures below them, globs; and their bytes.
//!
//! Nothing that lies beside pictures ends the command: what cannot be scored is counted and told, and the rest goes on. A file
//! that is named outright is taken whatever it is called.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use dqa_pipelines::file_names::{clutter, is_picture};
use glob::Pattern;
use walkdir::WalkDir;

/// Named of each kind of what is not scored.
const NAMED_MAX: usize = 5;

/// The pictures to score, in the order of the arguments and by name within one; and what is not scored.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    pub(super) pictures: Vec<PathBuf>,
    left: BTreeMap<Left, LeftOut>,
}

/// Kinds of what is not scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    /// What it holds is not known.
    Unreadable,
    /// Links that lead nowhere or in a circle; pipes, sockets, devices.
    NoFile,
    /// Hidden files and folders, and what systems and tools keep for themselves.
    Clutter,
    /// Files that are not named as pictures.
    Other,
}

#[derive(Debug, Default)]
struct LeftOut {
    count: usize,
    /// The first few.
    named: Vec<String>,
}

impl Inputs {
    /// A file that is not there is taken as it is named: it becomes a row with an error. An argument that names no
    /// picture at all ends the command.
    pub(super) fn of(arguments: &[PathBuf]) -> anyhow::Result<Inputs> {
        let mut inputs = Inputs::default();
        for argument in arguments {
            let before = inputs.pictures.len();
            if argument.is_dir() {
                inputs.add_folder(argument);
            } else if argument.exists() || argument.is_symlink() || !is_glob(argument) {
                inputs.pictures.push(argument.clone());
            } else {
                inputs.add_glob(argument)?;
            }
            if inputs.pictures.len() == before {
                let left: Vec<String> = inputs.lines().collect();
                let left = if left.is_empty() { String::new() } else { format!(" ({})", left.join("; ")) };
                bail!("no picture in {}{left}", argument.display());
            }
        }
        Ok(inputs)
    }

    /// What is said of what is not scored.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let line = |(kind, LeftOut { count, named }): (&Left, &LeftOut)| {
            let more = if *count > named.len() { ", ..." } else { "" };
            let named = named.join(", ");
            match kind {
                Left::Unreadable => format!("{count} folders or files cannot be looked into: {named}{more}"),
                Left::NoFile => format!("{count} entries are no files: {named}{more}"),
                Left::Clutter => {
                    format!("passed over {count} hidden files and folders, or of systems and tools: {named}{more}")
                }
                Left::Other => format!("passed over {count} files that are not named as pictures"),
            }
        };
        self.left.iter().map(line)
    }

    /// Whether there may be pictures that are not among these.
    pub(super) fn are_all(&self) -> bool {
        !self.left.contains_key(&Left::Unreadable)
    }

    fn leave(&mut self, kind: Left, name: impl fmt::Display) {
        let left = self.left.entry(kind).or_default();
        left.count += 1;
        if left.named.len() < NAMED_MAX {
            left.named.push(name.to_string());
        }
    }

    /// Everything below a folder that is named as a picture, by name. Clutter is not looked into; the folder itself is named
    /// outright.
    fn add_folder(&mut self, folder: &Path) {
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let mut entries = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.fail(&error);
                    continue;
                }
            };
            let (path, is_folder) = (entry.path(), entry.file_type().is_dir());
            if entry.depth() == 0 {
                continue;
            }
            if is_clutter(entry.file_name()) {
                self.leave(Left::Clutter, path.display());
                if is_folder {
                    entries.skip_current_dir();
                }
            } else if is_folder {
                // The link's own circle is found by the walk; a link to a folder above it would take in the whole disk.
                if entry.path_is_symlink() && path.canonicalize().is_ok_and(|target| whole.starts_with(target)) {
                    self.leave(Left::NoFile, format_args!("{} ({CIRCLE})", path.display()));
                    entries.skip_current_dir();
                }
            } else if !entry.file_type().is_file() {
                self.leave(Left::NoFile, format_args!("{} ({SPECIAL})", path.display()));
            } else if is_picture(&path.to_string_lossy()) {
                self.pictures.push(entry.into_path());
            } else {
                self.leave(Left::Other, path.display());
            }
        }
    }

    /// An entry that cannot be looked at. A link that is named as a picture and leads nowhere is a picture that is not there.
    fn fail(&mut self, error: &walkdir::Error) {
        let path = error.path().unwrap_or(Path::new(""));
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        let cause = || error.io_error().map(ToString::to_string).unwrap_or_default();
        if error.depth() > 0 && is_clutter(path.file_name().unwrap_or_default()) {
            self.leave(Left::Clutter, path.display());
        } else if error.loop_ancestor().is_some() {
            self.leave(Left::NoFile, format_args!("{} ({CIRCLE})", path.display()));
        } else if is_link && is_picture(&path.to_string_lossy()) {
            self.pictures.push(path.to_owned());
        } else {
            let kind = if is_link { Left::NoFile } else { Left::Unreadable };
            self.leave(kind, format_args!("{} ({})", path.display(), cause()));
        }
    }

    fn add_glob(&mut self, pattern: &Path) -> anyhow::Result<()> {
        let text = pattern.to_str().with_context(|| format!("the glob {} is no UTF-8", pattern.display()))?;
        let paths = glob::glob(text).with_context(|| format!("`{text}` is no glob"))?;
        let means = |part: &OsStr| {
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
                    self.leave(Left::Unreadable, format_args!("{} ({})", error.path().display(), error.error()));
                    continue;
                }
            };
            if path.iter().any(|part| is_clutter(part) && !means(part)) {
                self.leave(Left::Clutter, path.display());
            } else if path.is_dir() {
                self.add_folder(&path);
            } else if path.exists() && !path.is_file() {
                self.leave(Left::NoFile, format_args!("{} ({SPECIAL})", path.display()));
            } else {
                self.pictures.push(path);
            }
        }
        self.add_names_that_are_no_text(pattern);
        Ok(())
    }

    /// A glob passes over names that are not UTF-8, without a word.
    fn add_names_that_are_no_text(&mut self, pattern: &Path) {
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

const CIRCLE: &str = "it leads to a folder that it is in";
const SPECIAL: &str = "a pipe, a socket or a device";

fn is_glob(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.contains(['*', '?', '[']))
}

fn is_clutter(name: &OsStr) -> bool {
    clutter(&name.to_string_lossy()).is_some()
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
        let lines: Vec<String> = Inputs::of(&[dir.path().into()]).unwrap().lines().collect();
        assert_eq!(lines, ["passed over 1 files that are not named as pictures"]);
        assert_eq!(names(&[dir.path().join("*.jpg"), dir.path().join("labels.csv")]), ["a.jpg", "labels.csv"]);
        assert_eq!(names(&[dir.path().join("odd[1].png")]), ["odd[1].png"], "a file's name before a glob");
        assert_eq!(names(&[dir.path().join("none.png")]), ["none.png"], "a row with an error");
        let none = Inputs::of(&[dir.path().join("*.gif")]).err().unwrap();
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
        let inputs = Inputs::of(&[root]).unwrap();
        assert_eq!(inputs.left[&Left::Clutter].count, 4);
        assert!(inputs.are_all());
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
        let inputs = Inputs::of(std::slice::from_ref(&root)).unwrap();
        assert_eq!(inputs.pictures.len(), 3, "a link to nowhere is a picture that is not there: {:?}", inputs.pictures);
        assert_eq!((inputs.left[&Left::NoFile].count, inputs.left[&Left::Other].count), (4, 1));
        assert!(inputs.are_all());
        assert_eq!(Inputs::of(&[root.join("*.png")]).unwrap().pictures.len(), 3);
    }
}
