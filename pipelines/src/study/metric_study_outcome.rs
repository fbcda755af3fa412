//! The result of a study of metrics: its rows, and its table as text.

use std::fmt::Write;

use super::metric_study::MetricStudy;
use super::study_rows;
use crate::names::StudyName;
use crate::store::{Store, StoreError};
use crate::tables::studies::StudyRow;
use crate::text_table::Alignment::{Left, Right};
use crate::text_table::{format_interval, format_number, format_p_value, format_rows};

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
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}\n\n", self.definition.title, self.definition.about.trim_end());
        for group in self.rows.chunk_by(|a, b| a.group == b.group) {
            let _ = writeln!(text, "{}\n{}", group[0].group, table(group));
        }
        text += "n: labelled pictures. less best: SRCC less that of the best metric on the pictures that both have scored, paired over\n\
                 scenes; p: two-sided, corrected for all pairs of metrics (Holm). 95% intervals: jackknife over scenes.\n";
        if let Some(paper) = &self.definition.paper {
            let _ = writeln!(text, "paper: {}.", paper.trim());
        }
        let _ = writeln!(text, "\nstudy {}", self.name);
        for (key, value) in &self.provenance {
            let _ = writeln!(text, "{}: {value}", key.trim_start_matches("dqa."));
        }
        text
    }
}

fn table(rows: &[StudyRow]) -> String {
    let has_paper = rows.iter().any(|row| row.paper.is_some());
    let heads = ["metric", "n", "SRCC", "95% interval", "less best", "95% interval", "p", "KRCC", "PLCC"];
    let paper = has_paper.then_some("paper");
    let mut lines = vec![heads.into_iter().chain(paper).map(str::to_owned).collect::<Vec<String>>()];
    for row in rows {
        let mut cells = vec![
            row.variant.clone(),
            row.pictures.map_or("-".to_owned(), |n| format!("{n:.0}")),
            format_number(row.srcc),
            format_interval(row.srcc_low, row.srcc_high),
            format_number(row.srcc_more),
            format_interval(row.srcc_more_low, row.srcc_more_high),
            row.srcc_more_p.map_or("-".to_owned(), format_p_value),
            format_number(row.krcc),
            format_number(row.plcc),
        ];
        cells.extend(has_paper.then(|| format_number(row.paper)));
        lines.push(cells);
    }
    let mut alignments = vec![Right; lines[0].len()];
    alignments[0] = Left;
    format_rows(&lines, &alignments)
}
