//! The result of a study of metrics: its rows, and its table as text.

use super::metric_study::MetricStudy;
use super::study_rows;
use crate::names::StudyName;
use crate::result_page::{Column, ResultPage, ResultTable, TableStyle};
use crate::store::{Store, StoreError};
use crate::tables::studies::StudyRow;
use crate::text_table::{format_interval, format_number, format_p_value};

/// A study of metrics with its result.
#[derive(Clone, Debug)]
pub struct MetricStudyOutcome {
    /// The study's name in the store.
    pub name: StudyName,
    /// The study's definition.
    pub definition: MetricStudy,
    /// The program, the run and the machine, by setting.
    pub provenance: Vec<(String, String)>,
    /// The rows of the table `studies` ([`MetricStudy::rows`]).
    pub rows: Vec<StudyRow>,
}

impl MetricStudyOutcome {
    /// Returns the rows as JSON, one object per line.
    pub fn json(&self) -> String {
        study_rows::json(&self.rows)
    }

    /// Returns the rows as CSV with a header. An undefined value is an empty field.
    pub fn csv(&self) -> String {
        study_rows::csv(&self.rows)
    }

    /// Writes the table, replacing that of an earlier study of this name.
    ///
    /// # Errors
    /// The store fails.
    pub async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let definition = toml::to_string(&self.definition).expect("a definition has text for keys");
        study_rows::write(store, (&self.name, definition), &self.provenance, (&self.rows, &[])).await
    }

    /// Returns the study as text: a table for each data set and protocol.
    pub fn text(&self, style: TableStyle) -> String {
        let mut page = ResultPage::new(style);
        page.line("", &self.definition.title);
        self.definition.about.trim_end().lines().for_each(|line| page.line("", line));
        for group in self.rows.chunk_by(|a, b| a.group == b.group) {
            page.table(&ResultTable::new(&group[0].group, self.columns(group)));
        }
        page.note("95% intervals are by the jackknife over scenes.");
        page.note(&format!("study {}", self.name));
        for (key, value) in &self.provenance {
            page.note(&format!("{}: {value}", key.trim_start_matches("dqa.")));
        }
        page.finish()
    }

    fn columns(&self, rows: &[StudyRow]) -> Vec<Column> {
        let cells = |cell: &dyn Fn(&StudyRow) -> String| rows.iter().map(cell).collect::<Vec<String>>();
        let mut columns = vec![
            Column::left("metric", cells(&|row| row.variant.clone())),
            Column::right("n", cells(&|row| row.pictures.map_or("-".to_owned(), |n| format!("{n:.0}"))))
                .meaning("labelled pictures"),
            Column::right("SRCC", cells(&|row| format_number(row.srcc))),
            Column::right("95% interval", cells(&|row| format_interval(row.srcc_low, row.srcc_high))),
            Column::right("less best", cells(&|row| format_number(row.srcc_more)))
                .meaning("SRCC less that of the best metric on the pictures that both have scored, paired over scenes"),
            Column::right("its interval", cells(&|row| format_interval(row.srcc_more_low, row.srcc_more_high)))
                .left_out(3),
            Column::right("p", cells(&|row| row.srcc_more_p.map_or("-".to_owned(), format_p_value)))
                .meaning("of no difference to the best, two-sided, corrected for all pairs of metrics (Holm)"),
            Column::right("KRCC", cells(&|row| format_number(row.krcc))).left_out(2),
            Column::right("PLCC", cells(&|row| format_number(row.plcc))).left_out(1),
        ];
        if self.rows.iter().any(|row| row.paper.is_some()) {
            let paper = self.definition.paper.clone().unwrap_or_default();
            columns.push(Column::right("paper", cells(&|row| format_number(row.paper))).meaning(paper.trim()));
        }
        columns
    }
}
