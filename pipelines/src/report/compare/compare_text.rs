//! A comparison of runs as tables for people, JSON and CSV. There, runs have letters, and each line is a measure of a pair of
//! runs.

use serde::Serialize;

use super::rows::{AgreementRow, ComparedDataset, ExcludedCounts, RankAgreementRow};
use super::{RunComparison, pairs};
use crate::count_text::counted;
use crate::report::held_out::HELD_OUT;
use crate::report::metric_choice;
use crate::result_page::{Column, ResultPage, ResultTable, TableStyle};
use crate::text_table::{format_interval, format_number, format_p_value, short_fingerprint};

/// One of the tables of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareTable {
    /// Agreement of the scores with labels.
    Agreement,
    /// Agreement of the leaderboards with each other.
    Leaderboards,
}

impl RunComparison {
    /// Returns the rows of a table as JSON, one object per line.
    pub fn json(&self, table: CompareTable) -> String {
        fn lines<R: Serialize>(rows: &[R]) -> String {
            rows.iter().map(|row| serde_json::to_string(row).expect("a row has text for keys") + "\n").collect()
        }
        match table {
            CompareTable::Agreement => lines(&self.agreement),
            CompareTable::Leaderboards => lines(&self.rank_agreement),
        }
    }

    /// Returns the rows of a table as CSV with a header. An undefined value is an empty field.
    pub fn csv(&self, table: CompareTable) -> String {
        fn lines<R: Serialize>(rows: &[R]) -> String {
            let mut writer = csv::Writer::from_writer(Vec::new());
            rows.iter().for_each(|row| writer.serialize(row).expect("memory takes rows of one form"));
            String::from_utf8(writer.into_inner().expect("memory takes them")).expect("rows are text")
        }
        match table {
            CompareTable::Agreement => lines(&self.agreement),
            CompareTable::Leaderboards => lines(&self.rank_agreement),
        }
    }

    /// Returns the tables as text for a terminal.
    pub fn text(&self, tables: &[CompareTable]) -> String {
        self.render(tables, TableStyle::default())
    }

    /// Returns the tables for people to read, followed by the meaning of their columns and by notes.
    pub fn render(&self, tables: &[CompareTable], style: TableStyle) -> String {
        let mut page = ResultPage::new(style);
        self.add_header(&mut page);
        for table in tables {
            match table {
                CompareTable::Agreement => self.add_agreement(&mut page),
                CompareTable::Leaderboards => self.add_rank_agreement(&mut page),
            }
        }
        self.add_footnotes(&mut page);
        page.finish()
    }

    /// Adds the run of each letter with its model and settings.
    fn add_header(&self, page: &mut ResultPage) {
        let width = self.records.iter().map(|record| record.name.as_str().len()).max().unwrap_or(0);
        for (index, record) in self.records.iter().enumerate() {
            let spec = &record.spec;
            let name = record.name.as_str();
            let fingerprint = short_fingerprint(&record.fingerprint);
            let settings = if metric_choice::are_named(record) {
                format!("metric {}", metric_choice::title(&metric_choice::only_metric(record)))
            } else {
                let prompts = spec.prompts.as_deref().unwrap_or("none (handcrafted)");
                format!("model {}, prompts {prompts}, views {}, {}", spec.model, spec.views, spec.dtype)
            };
            page.line(
                &format!("{}  {name:width$}  ", letter(index)),
                &format!("{settings}, fingerprint {fingerprint}"),
            );
        }
    }

    fn letter_of(&self, run: &str) -> String {
        let index = self.records.iter().position(|record| record.name.as_str() == run);
        index.map_or_else(|| run.to_owned(), letter)
    }

    fn add_agreement(&self, page: &mut ResultPage) {
        if self.agreement.is_empty() {
            page.line("", "Agreement with labels: none, as no picture that all runs scored has a label");
            return;
        }
        let group = |row: &AgreementRow| (row.dataset.clone(), row.group_kind, row.group_name.clone());
        let rows = self.agreement.chunk_by(|a, b| group(a) == group(b));
        let rows: Vec<(bool, &AgreementRow)> =
            rows.flat_map(|rows| rows.iter().enumerate().map(|(index, row)| (index == 0, row))).collect();
        page.table(&ResultTable::new(
            "Agreement with labels, on the pictures that all runs scored",
            self.agreement_columns(&rows),
        ));
    }

    /// Returns the columns of rows, each with whether it is the first of its group.
    fn agreement_columns(&self, rows: &[(bool, &AgreementRow)]) -> Vec<Column> {
        let column =
            |cell: &dyn Fn(&AgreementRow) -> String| rows.iter().map(|(_, row)| cell(row)).collect::<Vec<String>>();
        let once = |cell: &dyn Fn(&AgreementRow) -> String| {
            let cell = |(is_first, row): &(bool, &AgreementRow)| if *is_first { cell(row) } else { String::new() };
            rows.iter().map(cell).collect::<Vec<String>>()
        };
        let corrected = if pairs(self.records.len(), self.options.only_to_first).len() > 1 {
            "corrected for the pairs of runs (Holm), not for groups and measures"
        } else {
            "not corrected for groups and measures"
        };
        let difference = "of the second run less the first; its interval and p by the jackknife over scenes, which both \
                          share, with Student's t";
        let signed = |value: f64| format!("{value:+.4}");
        // With two runs, their letters are the same in each row.
        let letters_left_out = if self.records.len() == 2 { 2 } else { 0 };
        vec![
            Column::left("pictures of", once(&group_label)),
            Column::right("n", once(&|row| row.n.to_string())).left_out(3).meaning("pictures with a label"),
            Column::right("scenes", once(&|row| row.scenes.to_string())).left_out(4),
            Column::left("measure", column(&|row| row.measure.to_uppercase())),
            Column::left("first", column(&|row| self.letter_of(&row.run_a))).left_out(letters_left_out),
            Column::right("value", column(&|row| format_number(row.value_a))),
            Column::right("95% interval", column(&|row| format_interval(row.value_a_low, row.value_a_high)))
                .left_out(5),
            Column::left("second", column(&|row| self.letter_of(&row.run_b))).left_out(letters_left_out),
            Column::right("value", column(&|row| format_number(row.value_b))),
            Column::right("95% interval", column(&|row| format_interval(row.value_b_low, row.value_b_high)))
                .left_out(5),
            Column::right("difference", column(&|row| row.difference.map_or("-".to_owned(), signed)))
                .meaning(difference),
            Column::right("95% interval", column(&|row| format_interval(row.difference_low, row.difference_high))),
            Column::right("p", column(&agreement_p)).left_out(1).meaning(corrected),
        ]
    }

    fn add_rank_agreement(&self, page: &mut ResultPage) {
        if self.rank_agreement.is_empty() {
            page.line("", "Leaderboards: there are no two algorithms to rank");
            return;
        }
        let column =
            |cell: &dyn Fn(&RankAgreementRow) -> String| self.rank_agreement.iter().map(cell).collect::<Vec<String>>();
        let runs =
            |row: &RankAgreementRow| format!("{} and {}", self.letter_of(&row.run_a), self.letter_of(&row.run_b));
        let scores = "of the algorithms' scores";
        let one = "pairs that differ significantly in one run alone";
        page.table(&ResultTable::new(
            "Do the runs rank the algorithms alike?",
            vec![
                Column::left("data set", column(&|row| row.dataset.clone())),
                Column::left("runs", column(&runs)),
                Column::right("algorithms", column(&|row| row.algorithms.to_string())).left_out(1),
                Column::right("SRCC", column(&|row| format_number(row.srcc))).meaning(scores),
                Column::right("KRCC", column(&|row| format_number(row.krcc))).meaning(scores),
                Column::right("pairs", column(&|row| row.pairs.to_string())),
                Column::right("reversed", column(&|row| row.pairs_reversed.to_string()))
                    .meaning("pairs of algorithms in the other order"),
                Column::right("significantly", column(&|row| row.reversed_count().to_string()))
                    .meaning("of the reversed pairs, those that differ significantly in both runs"),
                Column::right("only first", column(&|row| row.significant_in_a_only.to_string()))
                    .left_out(2)
                    .meaning(one),
                Column::right("only second", column(&|row| row.significant_in_b_only.to_string()))
                    .left_out(2)
                    .meaning(one),
            ],
        ));
        for row in &self.rank_agreement {
            let Some(reversed) = &row.reversed_significantly else { continue };
            let (a, b) = (self.letter_of(&row.run_a), self.letter_of(&row.run_b));
            page.line("", &format!("{}: {a} has {reversed}; {b} the reverse", row.dataset));
        }
    }

    /// Adds the excluded pictures and the notes on the runs.
    fn add_footnotes(&self, page: &mut ResultPage) {
        self.datasets.iter().filter_map(ComparedDataset::excluded_line).for_each(|line| page.note(&line));
        self.notes().iter().for_each(|note| page.note(&format!("NOTE: {note}")));
    }

    /// Returns what is needed to judge the comparison: runs of equal fingerprints, scenes seen in training, remarks.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (index, record) in self.records.iter().enumerate() {
            let same = self.records[..index].iter().position(|other| other.fingerprint == record.fingerprint);
            if let Some(same) = same {
                let what = if metric_choice::are_named(record) {
                    "the same metric with the same parameters"
                } else {
                    "the same model, prompts, views and arithmetic"
                };
                notes.push(format!("runs {} and {} are of one fingerprint: {what}", letter(same), letter(index)));
            }
        }
        for (index, record) in self.records.iter().enumerate() {
            let compared =
                |spec: &&crate::run::DatasetSpec| self.datasets.iter().any(|dataset| dataset.name == spec.name);
            for spec in record.spec.datasets.iter().filter(compared) {
                if let Some(seen) = &spec.seen_in_training {
                    notes.push(format!("run {}: {}", letter(index), seen.sentence(&spec.name)));
                }
            }
        }
        for (index, record) in self.records.iter().enumerate() {
            notes.extend(record.spec.remark.iter().map(|remark| format!("run {}: {remark}", letter(index))));
        }
        notes
    }
}

fn group_label(row: &AgreementRow) -> String {
    match (row.group_kind, &row.group_name) {
        ("all", _) => row.dataset.clone(),
        (HELD_OUT, _) => "  held out of training".to_owned(),
        (_, name) => format!("  {}", name.as_deref().unwrap_or_default()),
    }
}

fn agreement_p(row: &AgreementRow) -> String {
    match (row.p_corrected, row.interval_missing) {
        (Some(p), _) => format_p_value(p),
        (None, Some("constant")) => "equal".to_owned(),
        (None, _) => "-".to_owned(),
    }
}

impl RankAgreementRow {
    fn reversed_count(&self) -> usize {
        self.reversed_significantly.as_ref().map_or(0, |pairs| pairs.split("; ").count())
    }
}

impl ComparedDataset {
    /// Returns which pictures are not compared, or None if all are.
    pub fn excluded_line(&self) -> Option<String> {
        let ExcludedCounts { not_in_all, other_file, failed, unlabelled } = self.excluded;
        let mut parts = Vec::new();
        for (count, what) in [
            (not_in_all, "not in every run"),
            (other_file, "of which some run has another file"),
            (failed, "without a score in some run"),
            (unlabelled, "without a label (they count for the leaderboards alone)"),
        ] {
            if count > 0 {
                parts.push(format!("{} {what}", counted(count, "picture")));
            }
        }
        (!parts.is_empty()).then(|| format!("left out of {}: {}", self.name, parts.join("; ")))
    }
}

/// Returns A for the first run, B for the second, and so on.
fn letter(index: usize) -> String {
    char::from(b'A' + u8::try_from(index).expect("as many as are compared")).to_string()
}
