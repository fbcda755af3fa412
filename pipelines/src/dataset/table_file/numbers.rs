//! Parses the numbers of a column, and the texts that stand for no number. A comma is a decimal separator only if it cannot mean
//! anything else, or if the definition says so.

use arrow::array::{Array, Float64Array, LargeStringArray};
use serde::{Deserialize, Serialize};

use super::row_position::RowPosition;
use crate::dataset::label_error::LabelError;

/// The decimal separator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decimal {
    /// `3,5`
    #[serde(rename = ",")]
    Comma,
    /// `3.5`
    #[serde(rename = ".")]
    Point,
}

/// Texts that people and programs write for a missing number.
const MISSING: [&str; 16] = [
    "", "na", "n/a", "#n/a", "<na>", "nan", "-", "--", "\u{2013}", "\u{2014}", "null", "none", "nil", "?", ".",
    "missing",
];

/// Returns a cell's text without white space and quotation marks around it.
pub(super) fn plain(cell: &str) -> &str {
    let cell = cell.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '\u{200e}'));
    const QUOTES: [(char, &[char]); 4] = [
        ('\u{201c}', &['\u{201d}', '\u{201c}']),
        ('\u{201e}', &['\u{201c}', '\u{201d}']),
        ('\u{2018}', &['\u{2019}']),
        ('\u{ab}', &['\u{bb}']),
    ];
    let quoted = QUOTES.iter().find_map(|(open, close)| cell.strip_prefix(*open)?.strip_suffix(*close));
    quoted.map_or(cell, str::trim)
}

/// The format of a column's numbers.
#[derive(Clone, Copy)]
pub(super) struct NumberFormat {
    /// The definition's decimal separator.
    pub(super) decimal: Option<Decimal>,
    /// Whether cells are separated by semicolons, as in files with commas as decimal separators.
    pub(super) has_semicolons: bool,
}

/// Parses a column's numbers. NaN in rows without one.
///
/// # Errors
/// If a row is not a number, or is ambiguous, with the first such row.
pub(super) fn numbers(
    texts: &LargeStringArray,
    column: &str,
    row: impl Fn(usize) -> RowPosition,
    format: NumberFormat,
) -> Result<Float64Array, LabelError> {
    let cell = |index: usize| if texts.is_valid(index) { plain(texts.value(index)) } else { "" };
    let cells: Vec<&str> = (0..texts.len()).map(cell).collect();
    let invalid = |index: usize, why: &'static str| LabelError::Value {
        row: row(index),
        column: column.to_owned(),
        value: cells[index].to_owned(),
        why,
    };
    let has_comma = check_commas(&cells, format).map_err(|(index, why)| invalid(index, why))?;
    let numbers =
        cells.iter().enumerate().map(|(index, cell)| number(cell, has_comma).map_err(|why| invalid(index, why)));
    numbers.collect::<Result<Vec<f64>, _>>().map(Float64Array::from)
}

/// Returns whether the column has commas as decimal separators.
///
/// # Errors
/// If the commas may have another meaning, with the index of the first such cell and why.
fn check_commas(cells: &[&str], format: NumberFormat) -> Result<bool, (usize, &'static str)> {
    let first_with = |sign: char| cells.iter().position(|cell| cell.contains(sign) && !is_none(cell));
    let Some(first) = first_with(',') else { return Ok(false) };
    if format.decimal == Some(Decimal::Point) {
        return Err((first, "has a comma, and `decimal = \".\"` says that numbers have points"));
    }
    let has_both = |cell: &&str| cell.contains(',') && (cell.contains('.') || cell.matches(',').count() > 1);
    if let Some(index) = cells.iter().position(has_both) {
        return Err((index, "has separators of thousands: write it without them"));
    }
    if let Some(index) = first_with('.') {
        return Err((index, "has a point, and other rows have commas: write all numbers in one way"));
    }
    let is_plain = |cell: &str| cell.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '-' | '+'));
    let could_be_thousands = |cell: &str| {
        let (whole, rest) = cell.split_once(',').unwrap_or((cell, ""));
        let whole = whole.trim_start_matches(['-', '+']);
        rest.len() == 3 && (1..=3).contains(&whole.len()) && !whole.starts_with('0') && is_plain(cell)
    };
    let is_sure = format.decimal.is_some() || format.has_semicolons;
    if !is_sure && cells.iter().filter(|cell| cell.contains(',')).all(|cell| could_be_thousands(cell)) {
        return Err((
            first,
            "can be a number of thousands or one with decimals: `decimal = \",\"` in [labels] says the latter",
        ));
    }
    Ok(true)
}

/// Parses one cell.
///
/// # Errors
/// Returns why it is not a number.
fn number(cell: &str, has_comma: bool) -> Result<f64, &'static str> {
    if is_none(cell) {
        return Ok(f64::NAN);
    }
    let text = cell.replace('\u{2212}', "-");
    let text = if has_comma { text.replace(',', ".") } else { text };
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err("is not finite"),
        Err(_) if cell.ends_with("(a date)") => {
            Err("is a date that the spreadsheet made of a number: format its cells as numbers")
        }
        Err(_) if cell.ends_with('%') => Err("is a percentage: write the number without the sign"),
        Err(_) if cell.chars().any(char::is_whitespace) && cell.chars().any(|c| c.is_ascii_digit()) => {
            Err("is not one number; ratings by several people take a row each, and `repeated = \"mean\"`")
        }
        Err(_) => Err("is not a number"),
    }
}

pub(super) fn is_none(cell: &str) -> bool {
    cell.len() <= 8 && MISSING.contains(&cell.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cells: &[&str], written: NumberFormat) -> Result<Vec<f64>, String> {
        let texts = LargeStringArray::from(cells.to_vec());
        let row = |at| RowPosition { unit: "line", number: at as u64 + 2 };
        numbers(&texts, "mos", row, written).map(|numbers| numbers.values().to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_are_read_as_they_are_meant_or_refused() {
        let usual = NumberFormat { decimal: None, has_semicolons: false };
        let comma = NumberFormat { decimal: Some(Decimal::Comma), ..usual };
        let semicolons = NumberFormat { has_semicolons: true, ..usual };
        for (cells, written, expected) in [
            (&["3.5", " 4 ", "-1e2", "\u{2212}2", "+.5"][..], usual, Ok(vec![3.5, 4.0, -100.0, -2.0, 0.5])),
            (&["3,5", "4", "2,125"], usual, Ok(vec![3.5, 4.0, 2.125])),
            (&["0,125", "0,250"], usual, Ok(vec![0.125, 0.25])),
            (&["3,125", "4"], semicolons, Ok(vec![3.125, 4.0])),
            (&["3,125"], comma, Ok(vec![3.125])),
            (&["\u{201c}3.5\u{201d}"], usual, Ok(vec![3.5])),
            (&["3,125", "4"], usual, Err("line 2: `3,125` in the column `mos` can be a number of thousands")),
            (&["3,5", "2.25"], usual, Err("line 3: `2.25` in the column `mos` has a point")),
            (&["1.234,5"], semicolons, Err("separators of thousands")),
            (&["1,234,567"], comma, Err("separators of thousands")),
            (&["3,5"], NumberFormat { decimal: Some(Decimal::Point), ..usual }, Err("has a comma")),
            (&["1", "good"], usual, Err("line 3: `good` in the column `mos` is not a number")),
            (&["85%"], usual, Err("percentage")),
            (&["4 5 3"], usual, Err("not one number")),
            (&["inf"], usual, Err("not finite")),
            (&["1e999"], usual, Err("not finite")),
        ] {
            match (read(cells, written), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (got, _) => panic!("{cells:?}: {got:?}"),
            }
        }
        let none = read(&["", "N/A", "NaN", "-", "null", " NA ", "#N/A", "None", "\u{2014}"], usual).unwrap();
        assert!(none.iter().all(|number| number.is_nan()), "{none:?}");
    }
}
