//! The numbers of leaderboards, of the pages and of the files beside them, are those of the tables, digit by digit.

use std::collections::BTreeMap;

use crate::markup::{Table, attribute, attributes};
use crate::requests::get;
use crate::{Demo, View, demo};

/// The columns of a leaderboard's table by the header of the page. What has an interval has its ends too.
const COLUMNS: [(&str, &str); 10] = [
    ("rank", "rank"),
    ("within", "rank_best"),
    ("algorithm", "algorithm"),
    ("group", "rank_group"),
    ("score", "adjusted_score"),
    ("label", "mean_mos"),
    ("gain", "gain"),
    ("scenes", "scenes"),
    ("failed", "failed"),
    ("p next", "p_next"),
];

/// A row of a leaderboard as text: what is missing is empty.
type Row = BTreeMap<String, String>;

impl Demo {
    /// Returns the rows of a leaderboard as the table has them.
    fn leaderboard(&self, run: &str, metric: &str) -> Vec<Row> {
        let sql = format!(
            "SELECT rank, rank_best, rank_worst, algorithm, rank_group, adjusted_score, adjusted_score_low, adjusted_score_high, \
             gain, mean_mos, scenes, pictures, failed, p_next FROM leaderboard WHERE dataset = 'demo' AND metric = '{metric}'"
        );
        // As CSV: serde_json may read the last digit of a number wrongly.
        let rows = read_csv(&self.dir.run(&["query", &sql, run, "--format", "csv"]).exits_with(0).stdout);
        // The run of metrics scores the hazy inputs too.
        assert_eq!(rows.len(), if run == "metrics" { 13 } else { 12 }, "{run} {metric}");
        rows
    }
}

/// Reads CSV; no cell of the demo has a comma.
fn read_csv(text: &str) -> Vec<Row> {
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned));
    let names: Vec<String> = lines.next().unwrap().collect();
    lines.map(|cells| names.iter().cloned().zip(cells).collect()).collect()
}

/// Reads JSON that has a field on each line.
fn read_json(text: &str) -> Vec<Row> {
    let read = |object: &str| {
        let fields = object.lines().filter_map(|line| line.trim().split_once(": "));
        let plain = |text: &str| text.trim_end_matches(',').trim_matches('"').replace("null", "");
        fields.map(|(name, value)| (plain(name), plain(value))).collect()
    };
    text.split('}').map(read).filter(|row: &Row| !row.is_empty()).collect()
}

/// Asserts that a text of a page or a file is the value of a table, digit by digit.
fn assert_same(text: &str, value: &str, place: &str) {
    let is_same = match (text.parse::<f64>(), value.parse::<f64>()) {
        (Ok(text), Ok(value)) => text.to_bits() == value.to_bits(),
        _ => text == value,
    };
    assert!(is_same, "{place}: the table has {value:?}, the page {text:?}");
}

/// Returns the row of an algorithm.
fn find<'a>(rows: &'a [Row], algorithm: &str) -> &'a Row {
    rows.iter().find(|row| row["algorithm"] == algorithm).unwrap_or_else(|| panic!("no row of {algorithm}"))
}

/// Asserts that each value of the page's table is that of the table in the store, and that none is left out.
fn assert_page(page: &str, rows: &[Row], path: &str) {
    let table = Table::read(page, "board");
    assert_eq!(table.rows.len(), rows.len());
    let column = |header: &str| table.headers.iter().position(|known| known == header);
    for (header, key) in COLUMNS {
        let has_values = rows.iter().any(|row| !row[key].is_empty());
        assert!(column(header).is_some() || !has_values, "no column {header} in {:?}", table.headers);
    }
    for cells in &table.rows {
        let name = attribute(&cells[column("algorithm").unwrap()], "data-value").unwrap();
        let row = find(rows, &name);
        for (header, cell) in table.headers.iter().zip(cells) {
            let place = format!("{header} of {name} in {path}");
            let values = attributes(cell, "data-value");
            match COLUMNS.iter().find(|(known, _)| known == header) {
                Some((_, key)) => {
                    values.iter().for_each(|value| assert_same(value, &row[*key], &place));
                    assert_eq!(row[*key].is_empty(), values.iter().all(String::is_empty), "{place}: {cell}");
                }
                None => assert!(values.is_empty(), "{place} is compared with nothing: {cell}"),
            }
            for (end, key) in [("data-low", "adjusted_score_low"), ("data-high", "adjusted_score_high")] {
                attributes(cell, end).iter().for_each(|value| assert_same(value, &row[key], &place));
            }
        }
    }
}

/// Asserts that a file has the rows with all their columns.
fn assert_file(found: &[Row], rows: &[Row], path: &str) {
    assert_eq!(found.len(), rows.len(), "{path}");
    for row in found {
        let expected = find(rows, &row["algorithm"]);
        assert!(row.keys().eq(expected.keys()), "{path} has {row:?}");
        for (name, value) in row {
            assert_same(value, &expected[name], &format!("{name} of {} in {path}", row["algorithm"]));
        }
    }
}

#[test]
fn each_number_of_a_leaderboard_is_that_of_the_table() {
    let demo = demo();
    let view = View::start(&demo.dir, &[]);
    for (run, metric) in [
        ("metrics", "niqe"),
        ("metrics", "entropy"),
        ("metrics", "psnr_rgb"),
        ("metrics", "psnr_gray"),
        ("model", "clip-dqa"),
    ] {
        let rows = demo.leaderboard(run, metric);
        let path = format!("/runs/{run}/leaderboard/demo/{metric}");
        let read = |ending: &str| get(view.port, &format!("{path}.{ending}"), &[]).body;
        assert_page(&read("html"), &rows, &path);
        assert_file(&read_csv(&read("csv")), &rows, &format!("{path}.csv"));
        assert_file(&read_json(&read("json")), &rows, &format!("{path}.json"));
    }
}
