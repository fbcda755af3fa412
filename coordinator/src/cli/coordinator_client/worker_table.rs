//! A coordinator's workers as a table, JSON or CSV.

use std::io::{BufWriter, Write, stdout};

use dqa_proto::v1;
use dqa_service::program::{OutputError, OutputFormat};
use dqa_service::wire::device_class_name;
use serde::Serialize;
use serde_json::json;

use crate::cli::output::{print_rows, print_text};

/// Writes workers to standard output.
pub(in crate::cli) fn print_workers(workers: &[v1::Worker], format: OutputFormat) -> anyhow::Result<()> {
    match format {
        OutputFormat::Table => Ok(print_table(workers)?),
        OutputFormat::Json => {
            let lines: String = workers.iter().map(|worker| format!("{}\n", worker_json(worker))).collect();
            Ok(print_text(&lines)?)
        }
        OutputFormat::Csv => print_rows(&workers.iter().map(WorkerRow::new).collect::<Vec<_>>(), format),
    }
}

fn print_table(workers: &[v1::Worker]) -> Result<(), OutputError> {
    let mut out = BufWriter::new(stdout().lock());
    writeln!(
        out,
        "{:40} {:6} {:>5} {:>7} {:>12} {:>10}  heard",
        "worker", "device", "slots", "shards", "windows", "pictures"
    )?;
    for worker in workers {
        let totals = worker.totals.unwrap_or_default();
        writeln!(
            out,
            "{:40} {:6} {:>5} {:>7} {:>12} {:>10}  {:.1} s ago{}",
            worker.id,
            device_class_name(worker.device()),
            worker.slots,
            worker.running.len(),
            totals.windows,
            totals.pictures,
            worker.silent_millis as f64 / 1000.0,
            if worker.draining { ", draining" } else { "" }
        )?;
    }
    Ok(out.flush()?)
}

/// A worker as a row of CSV: the lists of the JSON form are numbers or texts here.
#[derive(Default, Serialize)]
struct WorkerRow {
    id: String,
    host: String,
    version: String,
    device: &'static str,
    devices: String,
    slots: u32,
    draining: bool,
    since: String,
    silent_seconds: f64,
    running: usize,
    windows: u64,
    pictures: u64,
    pictures_failed: u64,
}

impl WorkerRow {
    fn new(worker: &v1::Worker) -> WorkerRow {
        let totals = worker.totals.unwrap_or_default();
        WorkerRow {
            id: worker.id.clone(),
            host: worker.host.clone(),
            version: worker.program_version.clone(),
            device: device_class_name(worker.device()),
            devices: worker.devices.join("; "),
            slots: worker.slots,
            draining: worker.draining,
            since: worker.since.clone(),
            silent_seconds: worker.silent_millis as f64 / 1000.0,
            running: worker.running.len(),
            windows: totals.windows,
            pictures: totals.pictures,
            pictures_failed: totals.pictures_failed,
        }
    }
}

fn worker_json(worker: &v1::Worker) -> serde_json::Value {
    let totals = worker.totals.unwrap_or_default();
    let running = |running: &v1::Running| json!({ "part": running.part, "windows_done": running.windows_done });
    json!({
        "id": worker.id,
        "host": worker.host,
        "version": worker.program_version,
        "device": device_class_name(worker.device()),
        "devices": worker.devices,
        "slots": worker.slots,
        "draining": worker.draining,
        "since": worker.since,
        "silent_seconds": worker.silent_millis as f64 / 1000.0,
        "running": worker.running.iter().map(running).collect::<Vec<_>>(),
        "windows": totals.windows,
        "pictures": totals.pictures,
        "pictures_failed": totals.pictures_failed,
    })
}
