//! Detects the kind of a table's file from its first bytes and not from its name: a file called `.csv` may be a workbook, or a
//! web page that says "not found".

use crate::dataset::label_error::LabelError;
use crate::dataset::matlab_file::MatError;

/// Kinds of files that tables are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableFileKind {
    /// Cells with some separator, in some encoding.
    Text,
    Parquet,
    Mat,
    /// `.xlsx`, `.xls`, `.xlsb`, `.ods`.
    Workbook,
}

/// Bytes at the start of a file from which its kind is detected.
pub(super) const HEAD_BYTES: u64 = 64 << 10;

/// First bytes of files that are not tables.
const NOT_TABLES: [(&[u8], &str); 20] = [
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: `git lfs pull` fetches it"),
    (b"\x1f\x8b", "compressed (gzip): unpack it"),
    (b"BZh", "compressed (bzip2): unpack it"),
    (b"\xfd7zXZ", "compressed (xz): unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd): unpack it"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"\x93NUMPY", "a NumPy array: save it as CSV with the pictures' names"),
    (b"\x80\x02", "a Python pickle: save it as CSV (`to_csv`)"),
    (b"\x80\x03", "a Python pickle: save it as CSV (`to_csv`)"),
    (b"\x80\x04", "a Python pickle: save it as CSV (`to_csv`)"),
    (b"\x80\x05", "a Python pickle: save it as CSV (`to_csv`)"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"II*\0", "a picture"),
    (b"MM\0*", "a picture"),
    (b"%PDF", "a PDF: save its table as CSV"),
    (b"{\\rtf", "an RTF document: save its table as CSV"),
    (b"SQLite format 3", "a SQLite database: save its table as CSV"),
];

/// Returns the kind of a file that begins with these bytes.
///
/// # Errors
/// If the file is not a table, with what it is.
pub(super) fn kind(file: &str, head: &[u8]) -> Result<TableFileKind, LabelError> {
    if head.iter().all(u8::is_ascii_whitespace) {
        return Err(LabelError::NotATable { what: "empty" });
    }
    let is_hdf5 = |at| head.get(at..).is_some_and(|rest: &[u8]| rest.starts_with(b"\x89HDF\r\n\x1a\n"));
    if head.starts_with(b"MATLAB 7.3") || is_hdf5(0) || is_hdf5(512) {
        return Err(MatError::Hdf5.into());
    }
    if let Some((_, what)) = NOT_TABLES.iter().find(|(beginning, _)| head.starts_with(beginning)) {
        return Err(LabelError::NotATable { what });
    }
    if head.get(257..262) == Some(b"ustar") {
        return Err(LabelError::NotATable { what: "a tar; labels are read from files beside it" });
    }
    if head.starts_with(b"PK") {
        let is_numpy = head.windows(4).take(100).any(|bytes| bytes == b".npy");
        let what = "a NumPy archive (.npz): save it as CSV with the pictures' names";
        return if is_numpy { Err(LabelError::NotATable { what }) } else { Ok(TableFileKind::Workbook) };
    }
    let name = file.to_ascii_lowercase();
    if head.starts_with(b"\xd0\xcf\x11\xe0") {
        return Ok(TableFileKind::Workbook);
    }
    if head.starts_with(b"PAR1") || name.ends_with(".parquet") {
        return Ok(TableFileKind::Parquet);
    }
    if name.ends_with(".mat") || matches!(head.get(124..128), Some([0, 1, b'I', b'M'] | [1, 0, b'M', b'I'])) {
        return Ok(TableFileKind::Mat);
    }
    let head = String::from_utf8_lossy(head);
    let text = head.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('<') {
        let is_page = text.chars().take(1024).collect::<String>().to_ascii_lowercase().contains("<html");
        let page = "a web page: what was downloaded is not the file (sign in, or use the link to the raw file)";
        return Err(LabelError::NotATable { what: if is_page { page } else { "XML: save its table as CSV" } });
    }
    let is_list = text.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with(['{', '[', '"', ']']));
    if name.ends_with(".json") || name.ends_with(".jsonl") || text.starts_with('{') || is_list {
        return Err(LabelError::NotATable { what: "JSON: save it as CSV (pandas: `read_json`, `to_csv`)" });
    }
    Ok(TableFileKind::Text)
}
