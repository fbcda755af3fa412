//! What removing runs frees, as `runs rm` prints it for a store and for a coordinator.

use dqa_pipelines::count_text::counted;
use dqa_pipelines::run_removal::RunRemoval;
use dqa_service::program::OutputFormat;
use indicatif::HumanBytes;
use serde::Serialize;

use crate::cli::output::{print_rows, print_text};

/// What is freed. The fields are the keys of the JSON form and the columns of CSV.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct RemovalSummary {
    /// Names joined by commas.
    pub(super) runs: String,
    /// False if this only says what would be freed.
    pub(super) removed: bool,
    /// Parts that no other run names.
    pub(super) parts: u64,
    /// The rows of these parts.
    pub(super) rows: u64,
    /// The length of everything that is freed.
    pub(super) bytes: u64,
    /// Tables of reports.
    pub(super) tables: u64,
    /// Parts that stay, because other runs name them.
    pub(super) parts_kept: u64,
}

impl RemovalSummary {
    /// Summarizes a removal that is planned, or that was done.
    pub(super) fn new(removal: &RunRemoval, removed: bool) -> RemovalSummary {
        RemovalSummary {
            runs: removal.runs.iter().map(|run| run.as_str()).collect::<Vec<_>>().join(","),
            removed,
            parts: removal.parts.len() as u64,
            rows: removal.rows(),
            bytes: removal.bytes(),
            tables: removal.tables as u64,
            parts_kept: removal.parts_kept as u64,
        }
    }

    /// Returns the question whether to remove the runs.
    pub(super) fn question(&self) -> String {
        format!("Remove {}, and free {}?", self.subject(), self.extent())
    }

    /// Writes the summary to standard output.
    pub(super) fn print(&self, format: OutputFormat) -> anyhow::Result<()> {
        match format {
            OutputFormat::Table => {
                let (verb, free) = if self.removed { ("removed", "freed") } else { ("would remove", "free") };
                Ok(print_text(&format!("{verb} {}, and {free} {}\n", self.subject(), self.extent()))?)
            }
            OutputFormat::Json | OutputFormat::Csv => print_rows(std::slice::from_ref(self), format),
        }
    }

    fn subject(&self) -> String {
        let noun = if self.runs.contains(',') { "runs" } else { "run" };
        format!("{noun} {}", self.runs.replace(',', ", "))
    }

    fn extent(&self) -> String {
        let (parts, rows) = (counted(self.parts, "part"), counted(self.rows, "row"));
        let tables = counted(self.tables, "report table");
        let kept = match self.parts_kept {
            0 => String::new(),
            1 => "; 1 part stays, because another run names it".to_owned(),
            kept => format!("; {} stay, because other runs name them", counted(kept, "part")),
        };
        format!("{}: {parts} with {rows}, {tables}{kept}", HumanBytes(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_is_freed_and_what_stays() {
        let one =
            RemovalSummary { runs: "a".to_owned(), parts: 1, rows: 1, bytes: 2048, tables: 1, ..Default::default() };
        assert_eq!(one.question(), "Remove run a, and free 2.00 KiB: 1 part with 1 row, 1 report table?");
        let two = RemovalSummary { runs: "a,b".to_owned(), parts: 12, rows: 21_000, parts_kept: 3, tables: 8, ..one };
        let text = "runs a, b, and free 2.00 KiB: 12 parts with 21,000 rows, 8 report tables; 3 parts stay, because other \
                    runs name them";
        assert_eq!(two.question(), format!("Remove {text}?"));
    }
}
