//! Tables of plain text for a terminal: aligned columns, and how numbers, intervals and p-values are printed in them.

use std::fmt::Write;

/// The alignment of a column's cells.
#[derive(Clone, Copy, PartialEq)]
pub enum Alignment {
    /// For text.
    Left,
    /// For numbers.
    Right,
}

/// Returns the rows as lines with columns of equal width, two spaces apart. Every row has as many cells as there are `alignments`.
pub fn format_rows(rows: &[Vec<String>], alignments: &[Alignment]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..alignments.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, alignment), width) in row.iter().zip(alignments).zip(&widths) {
            let _ = match alignment {
                Alignment::Left => write!(line, "  {cell:width$}"),
                Alignment::Right => write!(line, "  {cell:>width$}"),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Returns the number with four decimals, or `-` if it is undefined. Four decimals resolve the usual intervals.
pub fn format_number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.4}"))
}

/// Returns `low to high`, or `-` if a bound is undefined.
pub fn format_interval(low: Option<f64>, high: Option<f64>) -> String {
    low.zip(high).map_or("-".to_owned(), |(low, high)| format!("{low:.4} to {high:.4}"))
}

/// Returns the first digits of a fingerprint: enough to tell those of a store apart. JSON and CSV have all digits.
pub fn short_fingerprint(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}

/// Returns the p-value with four decimals, or `<0.0001`.
pub fn format_p_value(p: f64) -> String {
    if p < 0.0001 { "<0.0001".to_owned() } else { format!("{p:.4}") }
}
