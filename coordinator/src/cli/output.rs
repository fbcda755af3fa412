//! Writes the results of commands: text or rows to standard output, or a file that appears when it is complete.

use std::fs::File;
use std::io::{self, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::Context;
use dqa_service::program::{OutputError, OutputFormat};
use serde::Serialize;

/// Writes text to standard output.
pub(super) fn print_text(text: &str) -> Result<(), OutputError> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes rows to standard output as JSON, one object a line, or as CSV with a header.
pub(super) fn print_rows<T: Serialize + Default>(rows: &[T], format: OutputFormat) -> anyhow::Result<()> {
    let bytes = match format {
        OutputFormat::Csv => encode_csv(rows)?,
        OutputFormat::Json | OutputFormat::Table => {
            rows.iter().map(|row| json_text(row) + "\n").collect::<String>().into_bytes()
        }
    };
    let mut out = stdout().lock();
    out.write_all(&bytes).and_then(|()| out.flush()).map_err(OutputError::from)?;
    Ok(())
}

/// Writes a value as one line of JSON.
pub(super) fn write_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    writeln!(out, "{}", json_text(value))
}

/// Returns a value as JSON.
pub(super) fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("results have strings for keys")
}

/// Encodes rows as CSV. A missing value is an empty field. The header is written even when there are no rows.
fn encode_csv<T: Serialize + Default>(rows: &[T]) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    if !rows.is_empty() {
        return Ok(writer.into_inner()?);
    }
    writer.serialize(T::default())?;
    let mut bytes = writer.into_inner()?;
    bytes.truncate(bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    Ok(bytes)
}

/// A file that is written under another name and gets its own when it is complete.
pub(super) struct PartialFile<'a> {
    path: &'a Path,
    partial: PathBuf,
}

impl<'a> PartialFile<'a> {
    /// Creates the file, which is written to the returned [`File`].
    pub(super) fn create(path: &'a Path) -> anyhow::Result<(PartialFile<'a>, File)> {
        let partial = path.with_added_extension("partial");
        let file = File::create(&partial).with_context(|| format!("cannot write {}", path.display()))?;
        Ok((PartialFile { path, partial }, file))
    }

    /// Renames the file when it was written, and removes it when it was not.
    pub(super) fn finish(self, written: anyhow::Result<()>) -> anyhow::Result<()> {
        written
            .and_then(|()| Ok(std::fs::rename(&self.partial, self.path)?))
            .inspect_err(|_| drop(std::fs::remove_file(&self.partial)))
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}
