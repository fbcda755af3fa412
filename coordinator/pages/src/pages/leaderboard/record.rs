//! What the files beside a leaderboard have: the columns that the page shows, with exact values, under the table's names.

use dqa_pipelines::tables::leaderboard::LeaderboardRow;
use serde::Serialize;
use serde_json::Value;

/// A row of the files. The order of the fields is that of the columns.
#[derive(Serialize)]
struct Record<'a> {
    rank: Option<u32>,
    rank_best: Option<u32>,
    rank_worst: Option<u32>,
    algorithm: &'a str,
    rank_group: Option<&'a str>,
    adjusted_score: Option<f64>,
    adjusted_score_low: Option<f64>,
    adjusted_score_high: Option<f64>,
    gain: Option<f64>,
    mean_mos: Option<f64>,
    scenes: u64,
    pictures: u64,
    failed: u64,
    p_next: Option<f64>,
}

/// The names of [`Record`]'s fields.
const COLUMNS: [&str; 14] = [
    "rank",
    "rank_best",
    "rank_worst",
    "algorithm",
    "rank_group",
    "adjusted_score",
    "adjusted_score_low",
    "adjusted_score_high",
    "gain",
    "mean_mos",
    "scenes",
    "pictures",
    "failed",
    "p_next",
];

impl Record<'_> {
    fn new(row: &LeaderboardRow) -> Record<'_> {
        Record {
            rank: row.rank,
            rank_best: row.rank_best,
            rank_worst: row.rank_worst,
            algorithm: &row.algorithm,
            rank_group: row.rank_group.as_deref(),
            adjusted_score: row.adjusted_score,
            adjusted_score_low: row.adjusted_score_low,
            adjusted_score_high: row.adjusted_score_high,
            gain: row.gain,
            mean_mos: row.mean_mos,
            scenes: row.scenes,
            pictures: row.pictures,
            failed: row.failed,
            p_next: row.p_next,
        }
    }
}

/// Returns one row as JSON, for the script.
pub(super) fn row_json(row: &LeaderboardRow) -> String {
    serde_json::to_string(&Record::new(row)).expect("a row is text and numbers")
}

/// Returns all rows as JSON.
pub(super) fn json(rows: &[LeaderboardRow]) -> String {
    let records: Vec<Record<'_>> = rows.iter().map(Record::new).collect();
    serde_json::to_string_pretty(&records).expect("a row is text and numbers") + "\n"
}

/// Returns all rows as CSV.
pub(super) fn csv(rows: &[LeaderboardRow]) -> String {
    let mut text = COLUMNS.join(",") + "\n";
    for row in rows {
        let record = serde_json::to_value(Record::new(row)).expect("a row is text and numbers");
        let cells: Vec<String> = COLUMNS.iter().map(|column| csv_cell(&record[column])).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

fn csv_cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains(['"', ',', '\n', '\r']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), crate::number::exact),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_same_columns_and_exact_values() {
        let row = LeaderboardRow {
            algorithm: "a,\"b\"".to_owned(),
            adjusted_score: Some(0.1 + 0.2),
            scenes: 40,
            ..LeaderboardRow::default()
        };
        let rows = [row];
        let text = csv(&rows);
        assert_eq!(text.lines().nth(1), Some(",,,\"a,\"\"b\"\"\",,0.30000000000000004,,,,,40,0,0,"));
        let read: Vec<serde_json::Map<String, Value>> = serde_json::from_str(&json(&rows)).unwrap();
        let names: std::collections::BTreeSet<&str> = read[0].keys().map(String::as_str).collect();
        assert_eq!(names, COLUMNS.into_iter().collect());
    }
}
