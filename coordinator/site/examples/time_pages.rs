//! Times the pages of a run, whose report it makes first if there is none: the first visit, and the median of later ones, with
//! the peak of memory:
//! `cargo run --release -p dqa-site --example time_pages -- STORE RUN`

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dqa_pages::{Mode, Route};
use dqa_pipelines::report::{self, ReportOptions};
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::leaderboard::LEADERBOARD;
use dqa_pipelines::tables::report_key;
use dqa_site::{Site, Viewer};

/// Later visits to a page.
const VISITS: usize = 5;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, run] = arguments.as_slice() else {
        eprintln!("usage: time_pages STORE RUN");
        std::process::exit(2);
    };
    let store = Store::open(store, Path::new("")).unwrap();
    write_report(&store, run).await;
    let site = Site::new(store, Arc::new(|_: &str| true), None);
    println!("| page | first visit, s | later, ms | KB |\n|---|---|---|---|");
    let run = format!("runs/{run}");
    for (name, path) in [("runs", "index.html".to_owned()), ("leaderboard", format!("{run}/index.html"))] {
        time(&site, name, &path).await;
    }
    for (name, path) in linked(&site, &run).await {
        time(&site, name, &path).await;
    }
    for (name, page) in [("failures", "failures"), ("progress", "run"), ("provenance", "provenance")] {
        time(&site, name, &format!("{run}/{page}.html")).await;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!(
        "\n{}",
        status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("the peak of memory is not known")
    );
}

/// Writes the run's report if it has none.
async fn write_report(store: &Store, run: &str) {
    let record = RunRecord::find(store, &run.parse().unwrap()).await.unwrap().unwrap();
    if store.head(&report_key(LEADERBOARD, &record.name)).await.is_ok() {
        return;
    }
    let start = Instant::now();
    let report = report::compute(store, &record, &ReportOptions::default()).await.unwrap();
    report.write(store).await.unwrap();
    println!("report of {} rows: {:.1} s", record.counts.pictures, start.elapsed().as_secs_f64());
}

/// Returns a page of each kind that the leaderboard leads to.
async fn linked(site: &Site, run: &str) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let kinds = [("a metric and the labels", "/metrics/"), ("two algorithms", "/compare/"), ("scenes", "/scenes/")];
    for (name, folder) in kinds {
        found.extend(first_link(site, &format!("{run}/index.html"), folder).await.map(|path| (name, path)));
    }
    let Some((_, scenes)) = found.last().cloned() else { return found };
    let scene = first_link(site, &scenes, "/~none/").await;
    let scene = if scene.is_none() { first_link(site, &scenes, "/city").await } else { scene };
    let Some(scene) = scene else { return found };
    let picture = first_link(site, &scene, "/pictures/").await;
    found.push(("a scene", scene));
    found.extend(picture.map(|path| ("a picture", path)));
    found
}

/// Returns the first link of a page to a page in a folder.
async fn first_link(site: &Site, page: &str, folder: &str) -> Option<String> {
    let content = site.content(&Route::parse(page)?, &viewer()).await.unwrap();
    let text = String::from_utf8(content.bytes.to_vec()).unwrap();
    let mut links = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    links.find(|link| link.contains(folder)).map(|link| link.trim_start_matches("../").to_owned())
}

fn viewer() -> Viewer {
    Viewer { mode: Mode::Served { live: false, user: None, may_act: false }, written: None, shows_store: true }
}

async fn time(site: &Site, name: &str, path: &str) {
    let route = Route::parse(path).unwrap();
    let mut seconds = Vec::new();
    let mut bytes = 0;
    for _ in 0..=VISITS {
        let start = Instant::now();
        bytes = site.content(&route, &viewer()).await.unwrap().bytes.len();
        seconds.push(start.elapsed().as_secs_f64());
    }
    let first = seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    println!("| {name} | {first:.2} | {:.0} | {} |", 1e3 * seconds[VISITS / 2], bytes / 1000);
}
