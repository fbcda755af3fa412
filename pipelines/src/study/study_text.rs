//! A study's table as text, JSON and CSV. The text lists every setting that produced the numbers.

use std::fmt::Write;

use super::definition::Baseline;
use super::study_rows;
use super::{Line, Pooling, StudyOutcome};
use crate::tables::studies::StudyRow;
use crate::text_table::Alignment::{self, Left, Right};
use crate::text_table::{format_interval, format_number, format_p_value, format_rows};
use crate::train::{Select, Setup};

/// A column: heading, alignment and the cell of a row.
type Column = (&'static str, Alignment, fn(&StudyRow) -> String);

impl StudyOutcome {
    /// Returns the rows as JSON, one object per line.
    pub fn json(&self) -> String {
        study_rows::json(&self.rows())
    }

    /// Returns the rows as CSV with a header. An undefined value is an empty field.
    pub fn csv(&self) -> String {
        study_rows::csv(&self.rows())
    }

    /// Returns the study as text: a table for each group, the matrix of a study across data sets, and the settings.
    pub fn text(&self) -> String {
        let rows = self.rows();
        let mut text = format!("{}\n{}\n\n", self.definition.title, self.definition.about.trim_end());
        let columns = columns(&rows, self.definition.across);
        for tested in rows.chunk_by(|a, b| a.tested_on == b.tested_on) {
            let _ = writeln!(text, "tested on {}, {} splits", tested[0].tested_on, tested[0].splits.unwrap_or(0));
            let mut lines = vec![columns.iter().map(|(head, _, _)| (*head).to_owned()).collect::<Vec<_>>()];
            lines.extend(tested.iter().map(|row| columns.iter().map(|(_, _, cell)| cell(row)).collect()));
            let alignments: Vec<Alignment> = columns.iter().map(|(_, alignment, _)| *alignment).collect();
            let _ = writeln!(text, "{}", format_rows(&lines, &alignments));
        }
        if self.definition.across {
            text += &self.matrix(&rows);
        }
        text + &self.footnotes()
    }

    /// Returns the SRCC of training on one data set and testing on another, for the first trained variant.
    fn matrix(&self, rows: &[StudyRow]) -> String {
        let Some(first) = rows.iter().find(|row| row.trained_on.is_some()) else { return String::new() };
        let cell = |trained_on: &String, tested_on: &String| {
            let is = |row: &&StudyRow| {
                row.variant == first.variant
                    && row.model == first.model
                    && row.trained_on.as_ref() == Some(trained_on)
                    && row.tested_on == *tested_on
            };
            format_number(rows.iter().find(is).and_then(|row| row.srcc))
        };
        let mut lines = vec![[vec!["trained on \\ tested on".to_owned()], self.datasets.clone()].concat()];
        for trained_on in &self.datasets {
            let cells = self.datasets.iter().map(|tested_on| cell(trained_on, tested_on));
            lines.push(std::iter::once(trained_on.clone()).chain(cells).collect());
        }
        let mut alignments = vec![Right; lines[0].len()];
        alignments[0] = Left;
        format!("SRCC of `{}`\n{}\n", first.variant, format_rows(&lines, &alignments))
    }

    /// Explains how the numbers were computed.
    fn footnotes(&self) -> String {
        let mut text = String::from(
            "n: pictures of a test. Means over splits, +- their deviation. 95% intervals of the mean and p: t corrected for \
             splits that share\nscenes (Nadeau and Bengio 2003). more: SRCC less that of ",
        );
        text += match self.definition.against {
            Baseline::First => "the first row",
            Baseline::Previous => "the row before",
        };
        text += " on the same pictures, paired over splits; p is not\ncorrected for the number of rows.\n";
        if let Some(paper) = &self.definition.paper {
            let _ = writeln!(text, "paper: {paper}.");
        }
        let mut rules: Vec<Select> = Vec::new();
        for setup in self.lines.iter().filter_map(|outcome| outcome.line.setup.as_ref()) {
            if !rules.contains(&setup.select) {
                rules.push(setup.select);
            }
        }
        for rule in rules {
            let _ = writeln!(text, "kept: {}.", rule.described());
        }
        let _ = writeln!(text, "\nstudy {}, models {}", self.name, self.definition.models.join(", "));
        for (key, value) in &self.provenance {
            let _ = writeln!(text, "{}: {value}", key.trim_start_matches("dqa."));
        }
        text += &self.settings();
        text
    }

    /// Lists the first trained variant's settings, and for the other variants those that differ.
    fn settings(&self) -> String {
        let mut seen: Vec<&str> = Vec::new();
        let mut base: Option<Vec<String>> = None;
        let mut text = String::new();
        for line in self.lines.iter().map(|outcome| &outcome.line) {
            if seen.contains(&line.variant.as_str()) {
                continue;
            }
            seen.push(&line.variant);
            let settings = settings(line);
            let _ = match &base {
                Some(base) if line.setup.is_some() => {
                    let others: Vec<String> = settings.into_iter().filter(|setting| !base.contains(setting)).collect();
                    // Lines with the same settings, tested on other data sets, are not listed again.
                    if others.is_empty() { Ok(()) } else { writeln!(text, "of {}: {}", line.variant, others.join(" ")) }
                }
                _ => writeln!(text, "setup of {}: {}", line.variant, settings.join(" ")),
            };
            if line.setup.is_some() {
                base.get_or_insert_with(|| self::settings(line));
            }
        }
        text
    }
}

/// Returns the settings of a line's training and test, key by key.
fn settings(line: &Line) -> Vec<String> {
    let mut settings: Vec<String> = match &line.setup {
        None => vec!["nothing learns;".to_owned()],
        // The excluded algorithms are shown in each line.
        Some(setup) => {
            let toml = Setup { without: Vec::new(), ..setup.clone() }.to_toml();
            let mut settings: Vec<String> = toml.lines().map(|line| line.replace(" = ", "=")).collect();
            // Settings that depend on the model or data set are listed too, because another variant may set them.
            let left = [
                ("text_depth", setup.text_depth.is_none()),
                ("visual_depth", setup.visual_depth.is_none()),
                ("label_range", setup.label_range.is_none()),
            ];
            settings.extend(left.iter().filter(|(_, left)| *left).map(|(key, _)| format!("{key}=default")));
            settings
        }
    };
    let has_training_views = line.setup.as_ref().is_some_and(|setup| setup.views == line.views);
    if !has_training_views {
        settings.push(format!("test views=\"{}\"", line.views));
    }
    if line.pool != Pooling::Mean {
        settings.push(format!("pool=\"{}\"", line.pool));
    }
    if line.setup.as_ref().is_some_and(|setup| !setup.without.is_empty()) {
        settings.push("trained without the algorithms that it is tested on".to_owned());
    }
    settings
}

/// Returns the columns that have content.
fn columns(rows: &[StudyRow], across: bool) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    if across {
        columns.push(("trained on", Left, |row| row.trained_on.clone().unwrap_or_else(|| "-".to_owned())));
    }
    if rows.iter().any(|row| row.algorithms.is_some()) {
        columns.push(("pictures of", Left, |row| row.algorithms.clone().unwrap_or_default()));
    }
    columns.push(("variant", Left, |row| row.variant.clone()));
    if rows.iter().any(|row| row.model != rows[0].model) {
        columns.push(("model", Left, |row| row.model.clone().unwrap_or_default()));
    }
    let numbers: [Column; 9] = [
        ("n", Right, |row| row.pictures.map_or("-".to_owned(), |n| format!("{n:.1}"))),
        ("SRCC", Right, |row| format_number(row.srcc)),
        ("+-", Right, |row| format_number(row.srcc_std)),
        ("95% interval", Right, |row| format_interval(row.srcc_low, row.srcc_high)),
        ("PLCC", Right, |row| format_number(row.plcc)),
        ("KRCC", Right, |row| format_number(row.krcc)),
        ("RMSE", Right, |row| format_number(row.rmse)),
        ("more", Right, |row| row.srcc_more.map_or("-".to_owned(), |more| format!("{more:+.4}"))),
        ("p", Right, |row| row.srcc_more_p.map_or("-".to_owned(), format_p_value)),
    ];
    columns.extend(numbers);
    if rows.iter().any(|row| row.paper.is_some()) {
        columns.push(("paper", Right, |row| format_number(row.paper)));
    }
    if rows.iter().any(|row| row.seconds.is_some()) {
        columns.push(("windows", Right, |row| row.windows.map_or("-".to_owned(), |n| format!("{n:.1}"))));
        let milliseconds = |row: &StudyRow| row.seconds.map_or("-".to_owned(), |s| format!("{:.1}", s * 1e3));
        columns.push(("ms a picture", Right, milliseconds));
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::outcome;

    #[test]
    fn the_table_says_what_made_it() {
        let outcome = outcome(false, |line, split| Some(0.5 + 0.01 * (split * split + line) as f64));
        insta::assert_snapshot!(outcome.text());
        assert_eq!(outcome.json().lines().count(), 4);
        assert_eq!(outcome.csv().lines().next().unwrap().split(',').next(), Some("study"));
    }

    #[test]
    fn across_data_sets_there_is_a_matrix() {
        insta::assert_snapshot!(outcome(true, |line, _| Some(0.1 * line as f64)).text());
    }
}
