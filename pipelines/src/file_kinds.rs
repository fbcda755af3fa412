//! Classifies files by their names: pictures, and the clutter of systems and tools. Data sets and the scoring of files use the
//! same lists. This module reads no files, only names.

/// Extensions of pictures, including formats that cannot be decoded: the row of such a picture has an error, so that it is
/// not silently left out.
const PICTURES: [&str; 81] = [
    // Read.
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "pjpeg", "pjp", "bmp", "dib", "tif", "tiff", "webp",
    "gif", "ppm", "pgm", "pbm", "pnm", // Not read.
    "pam", "pfm", "avif", "avifs", "heic", "heics", "heif", "heifs", "hif", "jp2", "j2k", "jpx", "jpf", "jpm", "jpc",
    "j2c", "jph", "jxl", "jxr", "wdp", "hdp", "psd", "psb", "ico", "icns", "tga", "exr", "hdr", "qoi", "pcx", "dds",
    "xcf", "sgi", "ras", "bpg", "flif", // Cameras' raw files.
    "dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "sr2", "srf", "rw2", "orf", "raf", "pef", "srw", "x3f", "3fr",
    "fff", "iiq", "kdc", "dcr", "mrw", "erf", "mef", "rwl", "gpr",
];

/// Names of files and folders that operating systems create for themselves, in lower case.
const SYSTEM: [&str; 33] = [
    "__macosx",
    "icon\r",
    "desktop db",
    "desktop df",
    "network trash folder",
    "temporary items",
    "thevolumesettingsfolder",
    "thumbs.db",
    "thumbs.db:encryptable",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "$recycle.bin",
    "recycler",
    "recycled",
    "system volume information",
    "found.000",
    "indexervolumeguid",
    "wpsettings.dat",
    "@eadir",
    "#recycle",
    "#snapshot",
    "@tmp",
    "@recycle",
    "@recently-snapshot",
    "@__thumb",
    "@sharebin",
    "~snapshot",
    "lost+found",
    "picasa.ini",
    "zbthumbnail.info",
    "__pycache__",
    "aquota.user",
];

/// Suffixes of incomplete files, in lower case.
const PARTIAL: [&str; 14] = [
    ".part",
    ".partial",
    ".crdownload",
    ".opdownload",
    ".download",
    ".unconfirmed",
    ".filepart",
    ".aria2",
    ".!ut",
    ".!qb",
    ".!bt",
    ".bc!",
    ".xltd",
    ".rsync-partial",
];

/// Kinds of files and folders that are not the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClutterKind {
    /// The name has a leading dot: `._0001.png`, `.ipynb_checkpoints`, `.DS_Store`.
    Hidden,
    /// An operating system or a tool created it for itself: `Thumbs.db`, `@eaDir`, `__MACOSX`.
    System,
    /// The file is incomplete: `0001.png.part`.
    Partial,
}

/// Returns whether a file's name is a picture's.
pub fn is_picture(name: &str) -> bool {
    // Windows ignores blanks at the end of a name; other systems keep them.
    name.trim_end().rsplit_once('.').is_some_and(|(_, extension)| {
        !extension.contains('/') && PICTURES.iter().any(|known| known.eq_ignore_ascii_case(extension))
    })
}

/// Returns the kind of clutter that one segment of a path is. None if it is the user's.
pub fn clutter_kind(part: &str) -> Option<ClutterKind> {
    if part.starts_with('.') && part != "." && part != ".." {
        return Some(ClutterKind::Hidden);
    }
    let is_system = SYSTEM.iter().any(|known| known.eq_ignore_ascii_case(part))
        || part.starts_with("~$") // Office's, of a file that is open
        || part.ends_with("_$folder$"); // Hadoop's, for a folder in a bucket
    if is_system {
        return Some(ClutterKind::System);
    }
    let ends_with = |end: &&str| {
        part.len()
            .checked_sub(end.len())
            .and_then(|start| part.get(start..))
            .is_some_and(|last| last.eq_ignore_ascii_case(end))
    };
    PARTIAL.iter().any(ends_with).then_some(ClutterKind::Partial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_known_by_their_extensions() {
        for name in ["a.png", "a/b.JPG", "x.jfif", "x.JPE", "x.gif", "x.PnM", "x.heic", "x.CR2", "é.dng", "x.png "] {
            assert!(is_picture(name), "{name}");
        }
        for name in ["png", "x.txt", "x.png.part", "x.png/y", "x.", "", "x.npy", "x.png~"] {
            assert!(!is_picture(name), "{name}");
        }
    }

    #[test]
    fn clutter_is_known_by_its_name() {
        for name in ["._0001.png", ".DS_Store", ".ipynb_checkpoints", ".nfs0000012", "..png"] {
            assert_eq!(clutter_kind(name), Some(ClutterKind::Hidden), "{name}");
        }
        for name in ["Thumbs.db", "THUMBS.DB", "@eaDir", "lost+found", "~$mos.xlsx", "Icon\r", "dcp_$folder$"] {
            assert_eq!(clutter_kind(name), Some(ClutterKind::System), "{name}");
        }
        for name in ["0001.png.part", "0001.PNG.crdownload", "x.png.3f2a.partial"] {
            assert_eq!(clutter_kind(name), Some(ClutterKind::Partial), "{name}");
        }
        for name in ["dcp", "0001.png", ".", "..", "", "a.b", "~x.png", "雾t", "日.!本"] {
            assert_eq!(clutter_kind(name), None, "{name}");
        }
    }
}
