//! Rows of a query as records, a line for each column: for rows that are too wide for a line of a terminal.

use std::fmt::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use dqa_pipelines::result_page::{TEXT_WIDTH, hanging};

/// A value keeps this width, however long the columns' names are.
const VALUE_WIDTH_MIN: usize = 20;

/// Returns the rows as records. `first` is the number of the first row.
///
/// # Errors
/// If a column's type cannot be shown.
pub(super) fn format_records(batches: &[RecordBatch], first: usize) -> Result<String, ArrowError> {
    let mut text = String::new();
    let mut number = first;
    for batch in batches {
        let options = FormatOptions::default();
        let schema = batch.schema();
        let formatters: Vec<ArrayFormatter> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options)).collect::<Result<_, _>>()?;
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let value_width = TEXT_WIDTH.saturating_sub(width + 4).max(VALUE_WIDTH_MIN);
        for row in 0..batch.num_rows() {
            if number > 1 {
                text.push('\n');
            }
            let _ = writeln!(text, "row {number}");
            for (name, formatter) in names.iter().zip(&formatters) {
                let value = shortened(&formatter.value(row).try_to_string()?, value_width);
                let _ = writeln!(text, "{}", format!("  {name:width$}  {value}").trim_end());
            }
            number += 1;
        }
    }
    Ok(text)
}

/// Returns what is shown instead of records if there are none: the names of the columns.
pub(super) fn format_no_records(schema: &Schema) -> String {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    hanging("no rows with the columns ", &names.join(", "))
}

/// Returns a value as one line, with `…` where it is cut. JSON and CSV have the whole value.
fn shortened(value: &str, width: usize) -> String {
    let line = value.replace(['\n', '\r'], " ");
    if line.chars().count() <= width {
        return line;
    }
    line.chars().take(width - 1).chain(['…']).collect()
}
