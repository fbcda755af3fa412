//! A comparison of runs as text: runs have letters, and each line is a measure of a pair of them.

use std::fmt::Write;

use serde::Serialize;

use super::{AgreementRow, BoardsRow, Compared, ComparedDataset, LeftOut, pairs};
use crate::report::text::{Side, aligned, interval, number, p_value};

use Side::{Left, Right};

/// One of the tables of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareTable {
    /// Agreement with labels.
    Agreement,
    /// Agreement of the leaderboards.
    Leaderboards,
}

impl Compared {
    /// A table's rows as JSON, one object a line.
    pub fn json(&self, table: CompareTable) -> String {
        fn lines<R: Serialize>(rows: &[R]) -> String {
            rows.iter().map(|row| serde_json::to_string(row).expect("a row has text for keys") + "\n").collect()
        }
        match table {
            CompareTable::Agreement => lines(&self.agreement),
            CompareTable::Leaderboards => lines(&self.boards),
        }
    }

    /// A table's rows as CSV with a header; what is not defined is empty.
    pub fn csv(&self, table: CompareTable) -> String {
        fn lines<R: Serialize>(rows: &[R]) -> String {
            let mut writer = csv::Writer::from_writer(Vec::new());
            rows.iter().for_each(|row| writer.serialize(row).expect("memory takes rows of one form"));
            String::from_utf8(writer.into_inner().expect("memory takes them")).expect("rows are text")
        }
        match table {
            CompareTable::Agreement => lines(&self.agreement),
            CompareTable::Leaderboards => lines(&self.boards),
        }
    }

    /// The tables for reading.
    pub fn text(&self, tables: &[CompareTable]) -> String {
        let mut text = self.head();
        for table in tables {
            text += "\n";
            text += &match table {
                CompareTable::Agreement => self.agreement_text(),
                CompareTable::Leaderboards => self.boards_text(),
            };
        }
        text + &self.foot()
    }

    /// Which letter stands for which run, and with what that was scored.
    fn head(&self) -> String {
        let width = self.records.iter().map(|record| record.name.as_str().len()).max().unwrap_or(0);
        let mut text = String::new();
        for (place, record) in self.records.iter().enumerate() {
            let spec = &record.spec;
            let prompts = spec.prompts.as_deref().unwrap_or("none (handcrafted)");
            let _ = writeln!(
                text,
                "{}  {:width$}  model {}, prompts {prompts}, views {}, {}, fingerprint {}",
                letter(place),
                record.name.as_str(),
                spec.model,
                spec.views,
                spec.dtype,
                record.fingerprint.get(..12).unwrap_or(&record.fingerprint),
            );
        }
        text
    }

    fn letter_of(&self, run: &str) -> String {
        let place = self.records.iter().position(|record| record.name.as_str() == run);
        place.map_or_else(|| run.to_owned(), letter)
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
            for (place, row) in rows.iter().enumerate() {
                lines.push(self.agreement_line(row, place == 0));
            }
        }
        let sides = [Left, Right, Right, Left, Left, Right, Right, Left, Right, Right, Right, Right, Right];
        let corrected = if pairs(self.records.len(), self.options.only_to_first).len() > 1 {
            "\nand corrected for the pairs of runs (Holm), not for groups and measures"
        } else {
            ", not corrected for groups and measures"
        };
        format!(
            "Agreement with labels, on the pictures that all runs scored\n{}n: pictures with a label. difference: of the second less \
             the first, its interval and p by the jackknife over scenes,\nwhich both share, with Student's t{corrected}.\n",
            aligned(&lines, &sides)
        )
    }

    fn agreement_line(&self, row: &AgreementRow, is_first: bool) -> Vec<String> {
        let name = match (row.group_kind, &row.group_name) {
            ("all", _) => row.dataset.clone(),
            (super::super::HELD_OUT, _) => "  held out of training".to_owned(),
            (_, name) => format!("  {}", name.as_deref().unwrap_or_default()),
        };
        let once = |text: String| if is_first { text } else { String::new() };
        let p = match (row.p_corrected, row.interval_missing) {
            (Some(p), _) => p_value(p),
            (None, Some("constant")) => "equal".to_owned(),
            (None, _) => "-".to_owned(),
        };
        vec![
            once(name),
            once(row.n.to_string()),
            once(row.scenes.to_string()),
            row.measure.to_uppercase(),
            self.letter_of(&row.run_a),
            number(row.value_a),
            interval(row.value_a_low, row.value_a_high),
            self.letter_of(&row.run_b),
            number(row.value_b),
            interval(row.value_b_low, row.value_b_high),
            row.difference.map_or("-".to_owned(), |value| format!("{value:+.4}")),
            interval(row.difference_low, row.difference_high),
            p,
        ]
    }

    fn boards_text(&self) -> String {
        if self.boards.is_empty() {
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
        for row in &self.boards {
            let runs = format!("{} and {}", self.letter_of(&row.run_a), self.letter_of(&row.run_b));
            lines.push(vec![
                row.dataset.clone(),
                runs,
                row.algorithms.to_string(),
                number(row.srcc),
                number(row.krcc),
                row.pairs.to_string(),
                row.pairs_reversed.to_string(),
                row.reversed_count().to_string(),
                row.significant_in_a_only.to_string(),
                row.significant_in_b_only.to_string(),
            ]);
        }
        let mut sides = [Right; 10];
        (sides[0], sides[1]) = (Left, Left);
        let mut text = format!("Do the runs rank the algorithms alike?\n{}", aligned(&lines, &sides));
        text += "SRCC, KRCC: of the algorithms' scores. reversed: pairs of algorithms in the other order; of these those that differ\n\
                 significantly in both runs. only first, only second: pairs that differ significantly in one run alone.\n";
        for row in self.boards.iter().filter(|row| !row.reversed_significantly.is_empty()) {
            let (a, b) = (self.letter_of(&row.run_a), self.letter_of(&row.run_b));
            let _ = writeln!(text, "{}: {a} has {}; {b} the reverse", row.dataset, row.reversed_significantly);
        }
        text
    }

    /// What is left out, and what a reader must know of the runs.
    fn foot(&self) -> String {
        let mut text = String::new();
        for dataset in &self.datasets {
            if let Some(line) = dataset.left_out_line() {
                let _ = writeln!(text, "{line}");
            }
        }
        for note in self.notes() {
            let _ = writeln!(text, "NOTE: {note}");
        }
        text
    }

    /// What has to be known to judge the comparison: runs of one fingerprint, scenes that were seen in training, remarks.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (place, record) in self.records.iter().enumerate() {
            let same = self.records[..place].iter().position(|other| other.fingerprint == record.fingerprint);
            if let Some(same) = same {
                notes.push(format!(
                    "runs {} and {} are of one fingerprint: the same model, prompts, views and arithmetic",
                    letter(same),
                    letter(place)
                ));
            }
        }
        for (place, record) in self.records.iter().enumerate() {
            let compared =
                |spec: &&crate::run::DatasetSpec| self.datasets.iter().any(|dataset| dataset.name == spec.name);
            for spec in record.spec.datasets.iter().filter(compared) {
                if let Some(seen) = &spec.seen_in_training {
                    notes.push(format!("run {}: {}", letter(place), seen.sentence(&spec.name)));
                }
            }
        }
        for (place, record) in self.records.iter().enumerate() {
            notes.extend(record.spec.remark.iter().map(|remark| format!("run {}: {remark}", letter(place))));
        }
        notes
    }
}

impl BoardsRow {
    fn reversed_count(&self) -> usize {
        self.reversed_significantly.split("; ").filter(|pair| !pair.is_empty()).count()
    }
}

impl ComparedDataset {
    /// Which pictures are not compared; None: all are.
    pub fn left_out_line(&self) -> Option<String> {
        let LeftOut { not_in_all, other_file, failed, unlabelled } = self.left_out;
        let mut parts = Vec::new();
        for (count, what) in [
            (not_in_all, "that are not in every run"),
            (other_file, "of which some run has another file"),
            (failed, "that have no score in some run"),
            (unlabelled, "without a label (they count for the leaderboards alone)"),
        ] {
            if count > 0 {
                parts.push(format!("{count} pictures {what}"));
            }
        }
        (!parts.is_empty()).then(|| format!("left out of {}: {}", self.name, parts.join("; ")))
    }
}

/// A, B, and so on.
fn letter(place: usize) -> String {
    char::from(b'A' + u8::try_from(place).expect("as many as are compared")).to_string()
}
