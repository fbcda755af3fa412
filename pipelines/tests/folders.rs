//! Tests data sets in untidy folders, as they are on real disks: unrelated files do not hide any picture, and are
//! reported. The files here only have picture names; no test decodes one.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::path::{Path, PathBuf};

use dqa_pipelines::causes;
use dqa_pipelines::dataset::{CheckReport, DataSet, DatasetError, check, find_definition, load};

struct Dir(tempfile::TempDir);

impl Dir {
    /// Creates a folder with `results/{dcp,aod}/000N.png` and a definition `d.toml` for them.
    fn new() -> Dir {
        let dir = Dir(tempfile::tempdir().unwrap());
        for algorithm in ["dcp", "aod"] {
            (1..=3).for_each(|number| dir.file(format!("results/{algorithm}/{number:04}.png")));
        }
        dir.text("d.toml", "name = \"junk\"\nroot = \"results\"\nlayout = \"{algorithm}/{scene}.png\"\n");
        dir
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn file(&self, name: impl AsRef<Path>) {
        self.text(name, "not looked at");
    }

    /// Writes a tar in which each member's content is its own name.
    fn tar(&self, name: &str, members: &[&str]) {
        let mut tar = tar::Builder::new(Vec::new());
        for member in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(member.len() as u64);
            tar.append_data(&mut header, member, member.as_bytes()).unwrap();
        }
        self.text(name, tar.into_inner().unwrap());
    }

    async fn load(&self, text: &str) -> Result<DataSet, DatasetError> {
        load(&find_definition(text, self.0.path())?).await
    }

    async fn define(&self, toml: &str) -> Result<DataSet, DatasetError> {
        self.text("d.toml", format!("name = \"junk\"\nroot = \"results\"\n{toml}"));
        self.load("d.toml").await
    }
}

fn check_without_decoding(data: &DataSet) -> CheckReport {
    check(data, &|_| None)
}

fn algorithms(data: &DataSet) -> Vec<String> {
    data.algorithms().iter().map(ToString::to_string).collect()
}

/// Asserts that loading the folder and loading its definition both find the six pictures without a fault, and report
/// `lines` about skipped files.
async fn assert_finds_six_pictures(dir: &Dir, lines: &[&str]) {
    for source in ["results", "d.toml"] {
        let data = dir.load(source).await.map_err(|error| panic!("{source}: {}", causes(&error))).unwrap();
        let check = check_without_decoding(&data);
        assert_eq!((check.counts.present, check.counts.expected), (6, 6), "{source}: {check}");
        assert!(check.is_clean(), "{source}: {check}");
        assert_eq!(data.skipped_lines(), lines, "{source}");
    }
}

#[tokio::test]
async fn unrelated_files_are_skipped_and_counted() {
    let cases: [(&[&str], &str); 12] = [
        (&["dcp/._0001.png", "dcp/._0002.png"], "skipped: 2 hidden (dcp/._0001.png, ...)"),
        (&["dcp/.ipynb_checkpoints/0001-checkpoint.png"], "skipped: 1 hidden (dcp/.ipynb_checkpoints/)"),
        (&[".ipynb_checkpoints/a.png", ".ipynb_checkpoints/b.png"], "skipped: 1 hidden (.ipynb_checkpoints/)"),
        (&["dcp/.nfs00000001", ".DS_Store", ".~lock.mos.xlsx#"], "skipped: 3 hidden (.DS_Store, ...)"),
        (
            &["@eaDir/x.png", "dcp/@eaDir/0001.png/SYNOPHOTO_THUMB_XL.jpg"],
            "skipped: 2 of systems and tools (@eaDir/, ...)",
        ),
        (&["__MACOSX/dcp/._0001.png"], "skipped: 1 of systems and tools (__MACOSX/)"),
        (&["#recycle/dcp/0001.png"], "skipped: 1 of systems and tools (#recycle/)"),
        (&["System Volume Information/x.png"], "skipped: 1 of systems and tools (System Volume Information/)"),
        (&["dcp/Thumbs.db", "~$mos.xlsx"], "skipped: 2 of systems and tools (dcp/Thumbs.db, ...)"),
        (&["dcp/Icon\r"], "skipped: 1 of systems and tools (dcp/Icon\r)"),
        (&["dcp/0004.png.crdownload", "aod/0004.png.part"], "skipped: 2 incomplete (aod/0004.png.part, ...)"),
        (&["notes.txt", "logs/train.log"], "skipped: 2 not named as pictures (logs/train.log, ...)"),
    ];
    for (files, line) in cases {
        let dir = Dir::new();
        files.iter().for_each(|file| dir.file(format!("results/{file}")));
        assert_finds_six_pictures(&dir, &[line]).await;
    }
}

#[tokio::test]
async fn pictures_outside_algorithm_folders_are_named() {
    let dir = Dir::new();
    dir.file("results/teaser.png");
    assert_finds_six_pictures(&dir, &["1 picture is outside the algorithms' folders and is left out: teaser.png"])
        .await;
    dir.file("results/graphical_abstract.jpg"); // `abstract` could be taken for an algorithm
    dir.file("results/ICON.PNG");
    let line =
        "3 pictures are outside the algorithms' folders and are left out: ICON.PNG, graphical_abstract.jpg, teaser.png";
    assert_finds_six_pictures(&dir, &[line]).await;

    ["graphical_abstract.jpg", "ICON.PNG"].iter().for_each(|name| {
        std::fs::remove_file(dir.path(format!("results/{name}"))).unwrap();
    });
    // In an algorithm's folder, a picture that no layout matches is still a fault.
    dir.file("results/dcp/attention/0001.png");
    for source in ["results", "d.toml"] {
        let check = check_without_decoding(&dir.load(source).await.unwrap());
        assert_eq!(check.counts.present, 6, "{source}");
        assert_eq!(check.faults[0].to_string(), "1 picture files match no layout: dcp/attention/0001.png");
    }
    // With as many stray pictures as others, the layout is ambiguous.
    (0..9).for_each(|number| dir.file(format!("results/{number}.png")));
    let message = causes(&dir.load("results").await.unwrap_err()).to_string();
    assert!(message.contains("write a definition with a layout"), "{message}");
}

#[tokio::test]
async fn hidden_and_system_folders_named_in_a_layout_are_read() {
    let dir = Dir::new();
    dir.file("results/.thumbs/dcp/0001.png");
    dir.file("results/dcp/.small/0001.png");
    dir.file("results/dcp/.other/0001.png");
    let names = async |layout: &str| {
        let data = dir.define(&format!("layout = \"{layout}\"")).await.unwrap();
        data.pictures.iter().map(|picture| picture.image.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(".thumbs/{algorithm}/{scene}.png").await, [".thumbs/dcp/0001.png"]);
    assert_eq!(names("{algorithm}/.small/{scene}.png").await, ["dcp/.small/0001.png"]);
    dir.file("results/@eaDir/dcp/0001.png");
    assert_eq!(names("@eaDir/{algorithm}/{scene}.{ext}").await, ["@eaDir/dcp/0001.png"]);
    dir.file("results/.cache/results/dcp/1.png");
    assert_eq!(
        dir.load("results/.cache/results").await.unwrap().pictures.len(),
        1,
        "a hidden folder that is named explicitly"
    );
}

#[tokio::test]
async fn every_picture_extension_is_recognized() {
    let dir = Dir::new();
    for (number, extension) in
        ["jfif", "JPE", "gif", "ppm", "pgm", "pbm", "pnm", "heic", "avif", "jp2", "nef"].iter().enumerate()
    {
        ["dcp", "aod"].iter().for_each(|algorithm| dir.file(format!("results/{algorithm}/x{number}.{extension}")));
    }
    let check = check_without_decoding(&dir.load("results").await.unwrap());
    assert_eq!((check.counts.present, check.counts.expected, check.skipped.len()), (28, 28, 0), "{check}");
    // The definition only matches `.png`.
    let check = check_without_decoding(&dir.load("d.toml").await.unwrap());
    assert_eq!((check.counts.present, check.faults[0].count), (6, 22), "{check}");
    assert!(check.faults[0].to_string().contains("(`.{ext}` matches the extension of any picture): aod/x"), "{check}");
}

#[tokio::test]
async fn an_algorithm_may_use_another_extension_than_the_layout() {
    let dir = Dir::new();
    for number in 1..=3 {
        let old = dir.path(format!("results/aod/{number:04}.png"));
        std::fs::rename(&old, old.with_extension("jfif")).unwrap();
    }
    dir.file("results/dcp/preview.jpg");
    let check = check_without_decoding(&dir.load("d.toml").await.unwrap());
    assert_eq!((check.counts.present, check.counts.expected), (6, 6), "{check}");
    let note = "3 pictures are taken though the layout names another extension: aod/0001.jfif, ...";
    assert_eq!(check.notes, [note], "{check}");
    // A file with another extension is a fault if its folder has files with the layout's extension.
    assert_eq!((check.faults.len(), check.faults[0].count), (1, 1), "{check}");
    assert!(check.faults[0].to_string().contains("dcp/preview.jpg"), "{check}");
}

#[tokio::test]
async fn two_files_of_one_picture_are_reported_as_duplicates() {
    let dir = Dir::new();
    dir.file("results/dcp/0001.PNG");
    dir.file("results/dcp/0002.jpg");
    let check = check_without_decoding(&dir.load("results").await.unwrap());
    assert_eq!((check.counts.present, check.counts.duplicate), (6, 2), "{check}");
    assert!(check.to_string().contains("dcp/0001.PNG, dcp/0001.png are one picture"), "{check}");
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn file_names_that_are_not_utf8_are_reported() {
        let dir = Dir::new();
        dir.file(OsStr::from_bytes(b"results/\xcb\xb5\xc3\xf7.txt"));
        dir.file(OsStr::from_bytes(b"results/dcp/\xce\xed.png"));
        let reason = "its name is not UTF-8 (`convmv` renames it, `unzip -O` unpacks it rightly)";
        // The first two bytes happen to be valid UTF-8.
        let line = format!(
            "2 files are left out for their names: dcp/\\xce\\xed.png: {reason}, \u{2f5}\\xc3\\xf7.txt: {reason}"
        );
        assert_finds_six_pictures(&dir, &[&line]).await;
        dir.file("results/dcp/a\nb.png");
        dir.file("results/dcp/trailing .png");
        dir.file("results/aod/trailing .png");
        dir.file(format!("results/dcp/{}.png", "n".repeat(251)));
        dir.file(format!("results/aod/{}.png", "n".repeat(251)));
        let data = dir.load("results").await.unwrap();
        assert_eq!(data.pictures.len(), 10);
        assert!(data.skipped_lines()[0].starts_with("3 files are left out for their names"), "{:?}", data.skipped);
        // The contents of a folder whose name is not UTF-8 are unknown.
        dir.file(OsStr::from_bytes(b"results/\xb0\xb5/0001.png"));
        let check = check_without_decoding(&dir.load("results").await.unwrap());
        assert!(!check.is_clean() && check.counts.present == 10);
        assert!(check.faults[0].to_string().starts_with("1 folders or files cannot be read: \\xb0\\xb5: "), "{check}");
    }

    #[tokio::test]
    async fn links_are_followed_except_cycles_and_broken_ones() {
        let dir = Dir::new();
        symlink("..", dir.path("results/dcp/all")).unwrap();
        assert_finds_six_pictures(
            &dir,
            &["1 link is not followed: dcp/all: it is a link to a folder that contains it"],
        )
        .await;
        symlink("../../gone", dir.path("results/dcp/old.png")).unwrap();
        symlink("/", dir.path("results/disk")).unwrap();
        symlink("self", dir.path("results/self")).unwrap();
        let data = dir.load("results").await.unwrap();
        assert_eq!((data.pictures.len(), data.skipped[0].count), (6, 4), "{:?}", data.skipped);
        // Other links count as the files and folders that they point to.
        std::fs::rename(dir.path("results/aod"), dir.path("elsewhere")).unwrap();
        symlink("../elsewhere", dir.path("results/aod")).unwrap();
        std::fs::rename(dir.path("results/dcp/0001.png"), dir.path("one.png")).unwrap();
        symlink("../../one.png", dir.path("results/dcp/0001.png")).unwrap();
        let data = dir.load("results").await.unwrap();
        assert_eq!((data.pictures.len(), data.skipped[0].count), (6, 4), "{:?}", data.skipped);
    }

    #[tokio::test]
    async fn sockets_are_skipped_without_blocking() {
        let dir = Dir::new();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path("results/dcp/s.png")).unwrap();
        assert_finds_six_pictures(&dir, &["1 entry is not a file: dcp/s.png: it is a socket"]).await;
    }

    #[tokio::test]
    async fn a_folder_without_pictures_is_refused_with_the_skipped_files() {
        let dir = Dir::new();
        std::fs::create_dir_all(dir.path("links/dcp")).unwrap();
        symlink("../.git/annex/x", dir.path("links/dcp/0001.png")).unwrap();
        let message = causes(&dir.load("links").await.unwrap_err()).to_string();
        assert!(message.contains("no pictures") && message.contains("dcp/0001.png (it is a broken link)"), "{message}");
        std::fs::create_dir_all(dir.path("hidden/.git")).unwrap();
        dir.file("hidden/.git/x.png");
        let message = causes(&dir.load("hidden").await.unwrap_err()).to_string();
        assert!(message.contains("no pictures"), "{message}");
    }

    #[tokio::test]
    async fn versions_depend_only_on_length_and_modification_time() {
        let dir = Dir::new();
        let data = dir.load("results").await.unwrap();
        for picture in &data.pictures {
            let metadata = dir.path("results").join(&*picture.image).metadata().unwrap();
            let micros = metadata.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
            assert_eq!(&*picture.version, format!("{:x}-{micros:x}", metadata.len()));
            assert_eq!(&*picture.version, data.root.head(&picture.image).await.unwrap().version);
        }
    }
}

/// The name `café` in composed form (NFC) and in decomposed form (NFD), which macOS writes.
const UNICODE_FORMS: [&str; 2] = ["caf\u{e9}", "cafe\u{301}"];

#[tokio::test]
async fn names_in_both_unicode_forms_are_equal() {
    let dir = Dir::new();
    let [composed, decomposed] = UNICODE_FORMS;
    dir.file(format!("results/dcp/{composed}.png"));
    dir.file(format!("results/aod/{decomposed}.png"));
    dir.file(format!("hazy/{decomposed}.jpg"));
    let hazy = "layout = \"{algorithm}/{scene}.png\"\n[hazy]\nroot = \"hazy\"\nlayout = \"{scene}.jpg\"";
    let data = dir.define(hazy).await.unwrap();
    let check = check_without_decoding(&data);
    assert_eq!((check.scenes, check.counts.present, check.counts.missing), (4, 8, 0), "{check}");
    let pictures: Vec<_> = data.pictures.iter().filter(|picture| &*picture.scene == composed).collect();
    assert_eq!(pictures.iter().map(|picture| picture.hazy).collect::<Vec<_>>(), [Some(0), Some(0)]);
    for picture in pictures {
        assert_eq!(data.root.get(&picture.image).await.unwrap(), "not looked at", "URIs keep the original form");
    }
    // The same holds for a folder's name in a layout and for an alias.
    dir.file(format!("results/{decomposed}/my nét/1.png"));
    let toml =
        format!("layout = \"{composed}/{{algorithm}}/{{scene}}.png\"\n[algorithms]\n\"my ne\u{301}t\" = \"net\"");
    assert_eq!(dir.define(&toml).await.unwrap().pictures[0].algorithm.as_str(), "net");

    dir.file(format!("results/dcp/{decomposed}.png"));
    let check = check_without_decoding(&dir.define("layout = \"{algorithm}/{scene}.png\"").await.unwrap());
    assert_eq!((check.counts.duplicate, check.counts.missing), (1, 0), "{check}");
}

#[tokio::test]
async fn a_broken_tar_does_not_affect_others() {
    let dir = Dir(tempfile::tempdir().unwrap());
    dir.tar("results/aod.tar", &["1.png", "2.png", "._1.png", "__MACOSX/._2.png", "read.me"]);
    dir.tar("results/dcp.tar", &["1.png", "2.png"]);
    dir.text("results/old.tar", "no tar");
    dir.file("results/ffa.tar.gz");
    let whole = std::fs::read(dir.path("results/dcp.tar")).unwrap();
    dir.text("results/dcp.tar", &whole[..1024 + 256]);
    let layout = "layout = \"{algorithm}.tar/{scene}.png\"";
    for data in [dir.define(layout).await.unwrap(), dir.load("results").await.unwrap()] {
        let check = check_without_decoding(&data);
        assert_eq!((algorithms(&data), check.counts.present), (vec!["aod".to_owned()], 2), "{check}");
        assert!(!check.is_complete());
        let fault = check.faults[0].to_string();
        assert!(
            fault.starts_with("3 tars cannot be read, and none of their members is used: file://")
                && fault.contains("results/dcp.tar: it ends at offset 1280"),
            "{fault}"
        );
        assert!(fault.contains("ffa.tar.gz: it is compressed with gzip") && fault.contains("old.tar: "), "{fault}");
        assert_eq!(
            data.skipped_lines(),
            ["skipped: 1 hidden (aod.tar/._1.png), 1 of systems and tools (aod.tar/__MACOSX/), \
              1 not named as pictures (aod.tar/read.me)"]
        );
    }
}

#[tokio::test]
async fn invalid_tar_members_are_reported_and_the_others_are_read() {
    let dir = Dir(tempfile::tempdir().unwrap());
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind) in [
        (&b"1.png"[..], tar::EntryType::Regular),
        (b"\xce\xed.png", tar::EntryType::Regular),
        (b"/2.png", tar::EntryType::Regular),
        (b"3.png", tar::EntryType::Symlink),
        (b"4.png", tar::EntryType::Regular),
    ] {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_cksum();
        tar.append(&header, &[][..]).unwrap();
    }
    dir.text("results/dcp.tar", tar.into_inner().unwrap());
    let data = dir.load("results").await.unwrap();
    assert_eq!(data.pictures.iter().map(|picture| &*picture.scene).collect::<Vec<_>>(), ["1", "4"]);
    let lines = data.skipped_lines();
    assert!(lines[0].starts_with("3 members of tars are left out: dcp.tar: "), "{lines:?}");
    assert!(
        lines[0].contains("is absolute") && lines[0].contains("is not UTF-8") && lines[0].contains("symbolic link")
    );
    assert!(check_without_decoding(&data).is_clean());
}

#[tokio::test]
async fn a_bad_manifest_row_does_not_affect_others() {
    let dir = Dir::new();
    let long = "n".repeat(300);
    dir.text(
        "m.csv",
        format!("algorithm,uri\ndcp,results/dcp/0001.png\ndcp,results/dcp/{long}.png\ndcp,results/dcp/0001.png/x.png\ndcp,\"results/dcp/a\nb.png\"\ndcp,results//dcp/0002.png\ndcp,gone.png\n"),
    );
    let data = dir.load("m.csv").await.unwrap();
    let check = check_without_decoding(&data);
    assert_eq!((check.counts.present, check.faults[0].count), (2, 4), "{check}");
    assert!(!check.is_complete());
}
