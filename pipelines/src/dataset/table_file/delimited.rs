//! Reads text whose cells are separated by commas, semicolons, tabs or bars, as spreadsheets and programs of all countries write
//! it.

use csv::{Position, ReaderBuilder, StringRecord};

use super::encoding::decode;
use super::grid::{CellGrid, Rows, is_number};
use crate::causes;
use crate::dataset::label_error::LabelError;

/// Possible separators. If two fit equally, the first is used.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Lines from which the separator is detected.
const SAMPLE_LINES: usize = 50;

/// The cells of a file, and their separator.
#[derive(Debug)]
pub(super) struct Delimited {
    pub(super) grid: CellGrid,
    pub(super) separator: u8,
    /// The number of lines below the header that begin with `#`.
    pub(super) comments: u64,
}

/// Reads the cells of a file. Lines that begin with `#` are comments; the last one before the first row may be the header.
///
/// # Errors
/// If the text has another encoding, or a row has more cells than the header.
pub(super) fn read(file: &str, bytes: &[u8], encoding: Option<&str>) -> Result<Delimited, LabelError> {
    let text = decode(bytes, encoding)?;
    let head = Head::parse(text.trim_start_matches('\u{feff}'));
    let separator = head.separator.unwrap_or_else(|| separator(file, head.rest));
    let mut rows = Rows::new("line");
    if let Some((line, header)) = head.header_in_comment(separator) {
        rows.push(line, header.iter())?;
    }
    let mut reader = reader(separator).from_reader(head.rest.as_bytes());
    let mut record = StringRecord::new();
    loop {
        let is_more =
            reader.read_record(&mut record).map_err(|error| LabelError::Content(causes(&error).to_string()))?;
        if !is_more {
            break;
        }
        let line = record.position().map_or(0, |position| line_of_row(head.rest, position));
        rows.push(head.lines + line, record.iter()).map_err(|error| explained(error, separator))?;
    }
    let comments = head.rest.lines().filter(|line| line.starts_with('#')).count() as u64;
    Ok(Delimited { grid: rows.finish(), separator, comments })
}

/// Returns the line where a row begins. The reader counts blank lines and comments before a row as part of it.
fn line_of_row(text: &str, position: &Position) -> u64 {
    let mut line = position.line();
    let mut rest = text.get(position.byte() as usize..).unwrap_or_default();
    while let Some((first, more)) = rest.split_once('\n') {
        if !first.starts_with('#') && !first.trim_end_matches('\r').is_empty() {
            break;
        }
        (line, rest) = (line + 1, more);
    }
    line
}

fn explained(error: LabelError, separator: u8) -> LabelError {
    match error {
        LabelError::Ragged { row, cells, header } if separator == b',' => {
            let why =
                "a cell with a comma (a number as `4,5`, a name) needs quotes, or all cells semicolons between them";
            LabelError::Content(format!("{row} has {cells} cells, and the header {header}: {why}"))
        }
        other => other,
    }
}

fn reader(separator: u8) -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(separator).comment(Some(b'#'));
    builder
}

/// The lines before a file's first row.
struct Head<'t> {
    /// The number of these lines.
    lines: u64,
    /// The separator in Excel's `sep=;`.
    separator: Option<u8>,
    /// The last comment, without its `#`.
    comment: Option<&'t str>,
    rest: &'t str,
}

impl<'t> Head<'t> {
    fn parse(text: &'t str) -> Head<'t> {
        let mut head = Head { lines: 0, separator: None, comment: None, rest: text };
        while !head.rest.is_empty() {
            let (line, rest) = head.rest.split_once('\n').unwrap_or((head.rest, ""));
            let line = line.trim();
            let first = line.trim_matches('"').to_ascii_lowercase();
            let separator = first.strip_prefix("sep=").map(|separator| separator.bytes().next().unwrap_or(b'\t'));
            match (separator, line.strip_prefix('#')) {
                (Some(separator), _) if head.lines == 0 && first.len() <= 5 => head.separator = Some(separator),
                (_, Some(comment)) => head.comment = Some(comment),
                _ if line.is_empty() => {}
                _ => break,
            }
            (head.lines, head.rest) = (head.lines + 1, rest);
        }
        head
    }

    /// Returns the header if it is a comment, as NumPy's `savetxt` and others write it: it has as many cells as the first row,
    /// and only the first row has numbers.
    fn header_in_comment(&self, separator: u8) -> Option<(u64, StringRecord)> {
        let record = |text: &str| reader(separator).comment(None).from_reader(text.as_bytes()).records().next()?.ok();
        let (header, first) = (record(self.comment?.trim_start())?, record(self.rest)?);
        let has_number = |record: &StringRecord| record.iter().any(|cell| is_number(cell.trim()));
        let is_header = header.len() == first.len() && header.len() > 1 && has_number(&first) && !has_number(&header);
        is_header.then_some((self.lines, header))
    }
}

/// Detects the separator: the one that splits most lines into the same number of cells as the header, and into most cells.
fn separator(file: &str, text: &str) -> u8 {
    let cut = text.char_indices().nth(64 << 10).map_or(text.len(), |(at, _)| at);
    let fit = |separator: u8| {
        let records = reader(separator).from_reader(&text.as_bytes()[..cut]).into_records();
        let widths: Vec<usize> = records.map_while(Result::ok).take(SAMPLE_LINES).map(|record| record.len()).collect();
        let width = widths.first().copied().unwrap_or(0);
        let alike = widths.iter().filter(|other| **other == width).count();
        let is_named = separator == b'\t' && file.to_ascii_lowercase().ends_with(".tsv");
        (width > 1, is_named, alike, width)
    };
    let best = SEPARATORS.into_iter().rev().max_by_key(|separator| fit(*separator));
    best.filter(|separator| fit(*separator).0).unwrap_or(b',')
}
