//! Every command's result on one scored demo, as a terminal of 80 columns shows it: a snapshot of each, and no line
//! that is longer. Only a line that holds a path of the user's own may be.

use dqa_model::Isa;
use dqa_tests::{TestDir, wide_lines};

/// Too wide for a table. Addresses, versions and digests differ from one run to the next.
const RECORD: &str = "SELECT run, dataset, algorithm, scene, scene_group, image, width, height, windows, score, mos, metric, \
                      error_code, fingerprint FROM scores ORDER BY metric, algorithm, image LIMIT 1";

/// The commands, each with the name of its snapshot.
const COMMANDS: [(&str, &[&str]); 21] = [
    ("report", &["report", "both"]),
    ("report_correlations", &["report", "both", "--table", "correlations"]),
    ("report_comparisons", &["report", "both", "--table", "comparisons", "--margin", "0.1"]),
    ("report_metrics", &["report", "both", "--table", "metrics"]),
    ("report_metric_differences", &["report", "both", "--table", "metric-differences"]),
    ("report_markdown", &["report", "both", "--table", "correlations", "--format", "markdown"]),
    ("leaderboard", &["leaderboard", "both"]),
    ("leaderboard_latex", &["leaderboard", "both", "--metric", "clip-dqa", "--format", "latex"]),
    ("compare", &["compare", "both", "views", "--metric", "clip-dqa"]),
    ("status", &["status", "both"]),
    (
        "query_table",
        &[
            "query",
            "SELECT algorithm, count(*) AS n FROM scores WHERE metric = 'psnr_rgb' GROUP BY 1 ORDER BY 1",
            "both",
        ],
    ),
    ("query_records", &["query", RECORD, "both"]),
    ("metrics", &["metrics"]),
    ("model_show", &["model", "show", "dqa:small", "--prompts", "dqa:small"]),
    ("dataset_check", &["dataset", "check", "demo/demo.toml"]),
    ("dataset_show", &["dataset", "show", "demo/demo.toml"]),
    ("runs", &["runs"]),
    ("store_check", &["store", "check"]),
    ("dataset_list", &["dataset", "list"]),
    ("explain", &["explain", "demo/dcp/s00000.png", "--model", "dqa:small", "--out", "maps"]),
    ("verify", &["verify", "--run", "both", "--sample", "2", "--seed", "1"]),
];

/// A demo of two scenes, scored by the small model and a cheap metric, and again with other views.
fn setup() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.run(&["demo", "make", "demo", "--scenes", "2", "--width", "224", "--height", "224"]).exits_with(0);
    let submit = |more: &[&str]| {
        let small = ["submit", "--datasets", "demo/demo.toml", "--model", "dqa:small", "--prompts", "dqa:small"];
        dir.run(&[&small, more].concat()).exits_with(0)
    };
    submit(&["--name", "both", "--metrics", "clip-dqa,psnr"]);
    submit(&["--name", "views", "--views", "sees=global"]);
    dir
}

/// Replaces the digits of numbers, times and fingerprints, which depend on the machine, by 0, and the CPU's kernels.
fn masked(text: &str) -> String {
    let text = text.replace(&format!("({} here)", Isa::current()), "(CPU here)");
    let is_fingerprint = |word: &str| word.len() == 12 && word.chars().all(|digit| digit.is_ascii_hexdigit());
    let mask = |word: &str| match word.trim_matches(|edge: char| !edge.is_ascii_alphanumeric()) {
        hex if is_fingerprint(hex) => word.replace(hex, "000000000000"),
        _ => word.replace(|digit: char| digit.is_ascii_digit(), "0"),
    };
    text.split_inclusive([' ', '\n']).map(mask).collect()
}

#[test]
fn no_line_of_a_result_is_longer_than_80_columns() {
    let dir = setup();
    let folder = dir.path("demo").parent().unwrap().display().to_string();
    let mut long = Vec::new();
    for (name, command) in COMMANDS {
        let output = dir.run(command).exits_with(0);
        assert!(!output.stdout.is_empty(), "{command:?}");
        insta::with_settings!({ description => command.join(" "), omit_expression => true }, {
            insta::assert_snapshot!(name, masked(&output.stdout.replace(&folder, "FOLDER")));
        });
        // A table for a document is as wide as its cells.
        let is_markup = command.contains(&"markdown") || command.contains(&"latex");
        let wide = if is_markup { Vec::new() } else { wide_lines(&output.stdout) };
        long.extend(wide.into_iter().map(|line| format!("{name}: {line}")));
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
    let wide = dir.run(&["leaderboard", "both", "--wide"]).exits_with(0).stdout;
    assert!(wide.lines().next().unwrap().starts_with("Leaderboard") && wide.contains("pictures  failed"), "{wide}");
    assert!(!wide_lines(&wide).is_empty() && !wide.contains("Not shown"), "{wide}");
    let narrow = dir.run(&["leaderboard", "both"]).exits_with(0).stdout;
    assert!(narrow.contains("Not shown (--wide shows all columns): "), "{narrow}");
    assert_eq!(narrow.matches("p-value against the algorithm one rank below").count(), 1, "{narrow}");
    // Its text depends on the machine, so that there is no snapshot of it.
    assert_eq!(wide_lines(&dir.run(&["self-check"]).exits_with(0).stdout), Vec::<&str>::new());
    query_reads_files_and_knows_its_formats(&dir);
}

/// Part of the test above, so that the demo is scored once.
fn query_reads_files_and_knows_its_formats(dir: &TestDir) {
    let sql = "-- of each algorithm\nSELECT algorithm, count(*) AS n FROM scores WHERE metric = 'psnr_rgb' GROUP BY 1 ORDER BY 1;\n";
    dir.file("query.sql", sql.as_bytes());
    let from_file = |more: &[&str]| dir.run(&[&["query", "--file", "query.sql", "--run", "both"], more].concat());
    let csv = from_file(&["--output", "rows.csv"]).exits_with(0);
    assert!(csv.stdout.is_empty(), "{}", csv.stdout);
    let rows = std::fs::read_to_string(dir.path("rows.csv")).unwrap();
    assert!(rows.starts_with("algorithm,n\n") && rows.lines().count() == 13, "{rows}");
    from_file(&["--output", "rows.json"]).exits_with(0);
    assert!(std::fs::read_to_string(dir.path("rows.json")).unwrap().starts_with("{\"algorithm\":"));
    from_file(&["--output", "rows.parquet"]).exits_with(0);
    assert!(std::fs::read(dir.path("rows.parquet")).unwrap().starts_with(b"PAR1"));
    let unknown = from_file(&["--output", "rows.xyz"]).exits_with(2);
    assert!(unknown.stderr.contains("hint: use a name that ends in .csv"), "{}", unknown.stderr);
    assert!(!dir.path("rows.xyz").exists());
    let twice = from_file(&["SELECT 1"]).exits_with(2);
    assert!(twice.stderr.contains("a query is given twice"), "{}", twice.stderr);
    let input = std::fs::File::open(dir.path("query.sql")).unwrap();
    let piped = dir.command(&["query", "-", "both", "--format", "csv"]).stdin(input).output().unwrap();
    assert_eq!(String::from_utf8(piped.stdout).unwrap(), rows);
    let empty = dir.run(&["query", "-", "both"]).exits_with(2);
    assert!(empty.stderr.contains("the query is empty (standard input)"), "{}", empty.stderr);
}
