//! Writes a store with a run of the given number of synthetic rows, of 20 algorithms on 5 data sets, for
//! `tools/bench-reports`:
//! `cargo run --release -p dqa-pipelines --example synthetic_scores -- FOLDER ROWS`

#![allow(clippy::unwrap_used)]

use std::path::Path;

use dqa_pipelines::store::Store;

#[path = "../tests/support/synthetic.rs"]
mod synthetic;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, rows] = arguments.as_slice() else {
        eprintln!("usage: synthetic_scores FOLDER ROWS");
        std::process::exit(2);
    };
    let (datasets, algorithms) = (5, 20);
    let scenes = rows.parse::<usize>().unwrap() / datasets / algorithms;
    let shape = synthetic::Shape { datasets, algorithms, scenes, part_rows_max: 10_000, labelled: true };
    let store = Store::create(folder, Path::new("")).unwrap();
    let record = synthetic::write(&store, "synthetic", shape).await;
    println!("{} rows in {} parts", record.counts.pictures, record.parts.len());
}
