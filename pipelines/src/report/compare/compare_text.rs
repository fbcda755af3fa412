//! A comparison of runs as text, JSON and CSV. In the text, runs have letters, and each line is a measure of a pair of
//! runs.

use std::fmt::Write;

use serde::Serialize;

use super::rows::{AgreementRow, ComparedDataset, ExcludedCounts, RankAgreementRow};
use super::{RunComparison, pairs};
use crate::count_text::counted;
use crate::report::held_out::HELD_OUT;
use crate::report::metric_choice;
use crate::text_table::{Alignment, format_interval, format_number, format_p_value, format_rows};

use Alignment::{Left, Right};

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

    /// Returns the tables as aligned text.
    pub fn text(&self, tables: &[CompareTable]) -> String {
        let mut text = self.header();
        for table in tables {
            text += "\n";
            text += &match table {
                CompareTable::Agreement => self.agreement_text(),
                CompareTable::Leaderboards => self.rank_agreement_text(),
            };
        }
        text + &self.footnotes()
    }

    /// Returns the run of each letter with its model and settings.
    fn header(&self) -> String {
        let width = self.records.iter().map(|record| record.name.as_str().len()).max().unwrap_or(0);
        let mut text = String::new();
        for (index, record) in self.records.iter().enumerate() {
            let spec = &record.spec;
            let name = record.name.as_str();
            let fingerprint = record.fingerprint.get(..12).unwrap_or(&record.fingerprint);
            if metric_choice::are_named(record) {
                let metric = metric_choice::title(&metric_choice::only_metric(record));
                let _ = writeln!(text, "{}  {name:width$}  metric {metric}, fingerprint {fingerprint}", letter(index));
                continue;
            }
            let prompts = spec.prompts.as_deref().unwrap_or("none (handcrafted)");
            let _ = writeln!(
                text,
                "{}  {name:width$}  model {}, prompts {prompts}, views {}, {}, fingerprint {fingerprint}",
                letter(index),
                spec.model,
                spec.views,
                spec.dtype,
            );
        }
        text
    }

    fn letter_of(&self, run: &str) -> String {
        let index = self.records.iter().position(|record| record.name.as_str() == run);
        index.map_or_else(|| run.to_owned(), letter)
    }

    fn agreement_text(&self) -> String {
        if self.agreement.is_empty() {
            return "Agreement with labels: none, as no picture that all runs scored has a label\n".to_owned();
        }
        let heads = ["pictures of", "n", "scenes", "measure", "", "value", "95% interval", "", "value", "95% interval"];
        let heads = heads.into_iter().chain(["difference", "95% interval", "p"]);
        let mut lines = vec![heads.map(str::to_owned).collect::<Vec<String>>()];
        let group = |row: &AgreementRow| (row.dataset.clone(), row.group_kind, row.group_name.clone());
        for rows in self.agreement.chunk_by(|a, b| group(a) == group(b)) {
            for (index, row) in rows.iter().enumerate() {
                lines.push(self.agreement_line(row, index == 0));
            }
        }
        let alignments = [Left, Right, Right, Left, Left, Right, Right, Left, Right, Right, Right, Right, Right];
        let corrected = if pairs(self.records.len(), self.options.only_to_first).len() > 1 {
            "\nand corrected for the pairs of runs (Holm), not for groups and measures"
        } else {
            ", not corrected for groups and measures"
        };
        format!(
            "Agreement with labels, on the pictures that all runs scored\n{}n: pictures with a label. difference: of the second less \
             the first, its interval and p by the jackknife over scenes,\nwhich both share, with Student's t{corrected}.\n",
            format_rows(&lines, &alignments)
        )
    }

    fn agreement_line(&self, row: &AgreementRow, is_first: bool) -> Vec<String> {
        let name = match (row.group_kind, &row.group_name) {
            ("all", _) => row.dataset.clone(),
            (HELD_OUT, _) => "  held out of training".to_owned(),
            (_, name) => format!("  {}", name.as_deref().unwrap_or_default()),
        };
        let once = |text: String| if is_first { text } else { String::new() };
        let p = match (row.p_corrected, row.interval_missing) {
            (Some(p), _) => format_p_value(p),
            (None, Some("constant")) => "equal".to_owned(),
            (None, _) => "-".to_owned(),
        };
        vec![
            once(name),
            once(row.n.to_string()),
            once(row.scenes.to_string()),
            row.measure.to_uppercase(),
            self.letter_of(&row.run_a),
            format_number(row.value_a),
            format_interval(row.value_a_low, row.value_a_high),
            self.letter_of(&row.run_b),
            format_number(row.value_b),
            format_interval(row.value_b_low, row.value_b_high),
            row.difference.map_or("-".to_owned(), |value| format!("{value:+.4}")),
            format_interval(row.difference_low, row.difference_high),
            p,
        ]
    }

    fn rank_agreement_text(&self) -> String {
        if self.rank_agreement.is_empty() {
            return "Leaderboards: there are no two algorithms to rank\n".to_owned();
        }
        let heads = [
            "data set",
            "runs",
            "algorithms",
            "SRCC",
            "KRCC",
            "pairs",
            "reversed",
            "significantly",
            "only first",
            "only second",
        ];
        let mut lines = vec![heads.map(str::to_owned).to_vec()];
        for row in &self.rank_agreement {
            let runs = format!("{} and {}", self.letter_of(&row.run_a), self.letter_of(&row.run_b));
            lines.push(vec![
                row.dataset.clone(),
                runs,
                row.algorithms.to_string(),
                format_number(row.srcc),
                format_number(row.krcc),
                row.pairs.to_string(),
                row.pairs_reversed.to_string(),
                row.reversed_count().to_string(),
                row.significant_in_a_only.to_string(),
                row.significant_in_b_only.to_string(),
            ]);
        }
        let mut alignments = [Right; 10];
        (alignments[0], alignments[1]) = (Left, Left);
        let mut text = format!("Do the runs rank the algorithms alike?\n{}", format_rows(&lines, &alignments));
        text += "SRCC, KRCC: of the algorithms' scores. reversed: pairs of algorithms in the other order; of these those that differ\n\
                 significantly in both runs. only first, only second: pairs that differ significantly in one run alone.\n";
        for row in &self.rank_agreement {
            let Some(reversed) = &row.reversed_significantly else { continue };
            let (a, b) = (self.letter_of(&row.run_a), self.letter_of(&row.run_b));
            let _ = writeln!(text, "{}: {a} has {reversed}; {b} the reverse", row.dataset);
        }
        text
    }

    /// Returns the excluded pictures and the notes on the runs.
    fn footnotes(&self) -> String {
        let mut text = String::new();
        for dataset in &self.datasets {
            if let Some(line) = dataset.excluded_line() {
                let _ = writeln!(text, "{line}");
            }
        }
        for note in self.notes() {
            let _ = writeln!(text, "NOTE: {note}");
        }
        text
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
