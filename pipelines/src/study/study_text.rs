//! A study's table as text, JSON and CSV. The text lists every setting that produced the numbers.

use std::fmt::Write;

use super::definition::Baseline;
use super::study_rows;
use super::{Line, Pooling, StudyOutcome};
use crate::result_page::{Column, ResultPage, ResultTable, TableStyle};
use crate::tables::studies::StudyRow;
use crate::text_table::{format_interval, format_number, format_p_value};
use crate::train::{Select, Setup};

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
    pub fn text(&self, style: TableStyle) -> String {
        let rows = self.rows();
        let mut page = ResultPage::new(style);
        page.line("", &self.definition.title);
        self.definition.about.trim_end().lines().for_each(|line| page.line("", line));
        let (made, all) = self.made();
        if made < all {
            page.line(
                "",
                &format!("So far: {made} of {all} results are made. Numbers of a row with fewer splits change."),
            );
        }
        for tested in rows.chunk_by(|a, b| a.tested_on == b.tested_on) {
            let title = format!("Tested on {}, {} splits", tested[0].tested_on, self.definition.splits);
            page.table(&ResultTable::new(title, self.columns(&rows, tested)));
        }
        if self.definition.across {
            self.add_matrix(&mut page, &rows);
        }
        self.add_notes(&mut page);
        page.finish()
    }

    /// Adds the SRCC of training on one data set and testing on another, for the first trained variant.
    fn add_matrix(&self, page: &mut ResultPage, rows: &[StudyRow]) {
        let Some(first) = rows.iter().find(|row| row.trained_on.is_some()) else { return };
        let cell = |trained_on: &String, tested_on: &String| {
            let is = |row: &&StudyRow| {
                row.variant == first.variant
                    && row.model == first.model
                    && row.trained_on.as_ref() == Some(trained_on)
                    && row.tested_on == *tested_on
            };
            format_number(rows.iter().find(is).and_then(|row| row.srcc))
        };
        let mut columns = vec![Column::left("trained on \\ tested on", self.datasets.clone())];
        columns.extend(self.datasets.iter().map(|tested_on| {
            Column::right(tested_on, self.datasets.iter().map(|trained_on| cell(trained_on, tested_on)).collect())
        }));
        page.table(&ResultTable::new(format!("SRCC of `{}`", first.variant), columns).broken_after(1));
    }

    /// Says how the numbers were computed, and from what.
    fn add_notes(&self, page: &mut ResultPage) {
        page.note(
            "Numbers are means over splits. 95% intervals of the mean, and p, are by Student's t, corrected for splits that share \
             scenes (Nadeau and Bengio 2003).",
        );
        let mut rules: Vec<Select> = Vec::new();
        for setup in self.lines.iter().filter_map(|outcome| outcome.line.setup.as_ref()) {
            if !rules.contains(&setup.select) {
                rules.push(setup.select);
            }
        }
        for rule in rules {
            page.note(&format!("kept: {}.", rule.described()));
        }
        page.note(&format!("study {}, models {}", self.name, self.definition.models.join(", ")));
        for (key, value) in &self.provenance {
            page.note(&format!("{}: {value}", key.trim_start_matches("dqa.")));
        }
        self.settings().lines().for_each(|line| page.note(line));
    }

    /// Returns the columns that have content in some table of the study, for the rows of one.
    fn columns(&self, all: &[StudyRow], rows: &[StudyRow]) -> Vec<Column> {
        let cells = |cell: &dyn Fn(&StudyRow) -> String| rows.iter().map(cell).collect::<Vec<String>>();
        let text = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "-".to_owned());
        let mean = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        let any = |is: &dyn Fn(&StudyRow) -> bool| all.iter().any(is);
        let mut columns = Vec::new();
        if self.definition.across {
            columns.push(Column::left("trained on", cells(&|row| text(&row.trained_on))));
        }
        if any(&|row| row.algorithms.is_some()) {
            columns.push(Column::left("pictures of", cells(&|row| row.algorithms.clone().unwrap_or_default())));
        }
        columns.push(Column::left("variant", cells(&|row| row.variant.clone())));
        if any(&|row| row.model != all[0].model) {
            columns.push(Column::left("model", cells(&|row| text(&row.model))));
        }
        let against = match self.definition.against {
            Baseline::First => "the first row",
            Baseline::Previous => "the row before",
        };
        let (made, results) = self.made();
        if made < results {
            let splits = self.definition.splits;
            let cell = |row: &StudyRow| format!("{} of {splits}", row.splits.unwrap_or(0));
            columns.push(Column::right("splits", cells(&cell)).meaning("splits whose results are made"));
        }
        columns.extend([
            Column::right("n", cells(&|row| mean(row.pictures))).meaning("pictures of a test").left_out(3),
            Column::right("SRCC", cells(&|row| format_number(row.srcc))),
            Column::right("+-", cells(&|row| format_number(row.srcc_std)))
                .meaning("deviation of SRCC over splits")
                .left_out(5),
            Column::right("95% interval", cells(&|row| format_interval(row.srcc_low, row.srcc_high))),
            Column::right("PLCC", cells(&|row| format_number(row.plcc))).left_out(4),
            Column::right("KRCC", cells(&|row| format_number(row.krcc))).left_out(6),
            Column::right("RMSE", cells(&|row| format_number(row.rmse))).left_out(7),
            Column::right("more", cells(&|row| row.srcc_more.map_or("-".to_owned(), |more| format!("{more:+.4}"))))
                .meaning(format!("SRCC less that of {against} on the same pictures, paired over splits")),
            Column::right("p", cells(&|row| row.srcc_more_p.map_or("-".to_owned(), format_p_value)))
                .meaning("of no difference, not corrected for the number of rows")
                .left_out(1),
        ]);
        if any(&|row| row.paper.is_some()) {
            let paper = self.definition.paper.clone().unwrap_or_default();
            columns.push(Column::right("paper", cells(&|row| format_number(row.paper))).meaning(paper.trim()));
        }
        if any(&|row| row.seconds.is_some()) {
            columns.push(Column::right("windows", cells(&|row| mean(row.windows))).meaning("of a picture"));
            let milliseconds = cells(&|row| mean(row.seconds.map(|seconds| seconds * 1e3)));
            columns.push(Column::right("ms", milliseconds).meaning("milliseconds a picture"));
        }
        columns
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

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::outcome;
    use super::TableStyle;

    #[test]
    fn the_table_says_what_made_it() {
        let outcome = outcome(false, |line, split| Some(0.5 + 0.01 * (split * split + line) as f64));
        insta::assert_snapshot!(outcome.text(TableStyle::default()));
        assert_eq!(outcome.json().lines().count(), 4);
        assert_eq!(outcome.csv().lines().next().unwrap().split(',').next(), Some("study"));
    }

    #[test]
    fn across_data_sets_there_is_a_matrix() {
        insta::assert_snapshot!(outcome(true, |line, _| Some(0.1 * line as f64)).text(TableStyle::default()));
    }
}
