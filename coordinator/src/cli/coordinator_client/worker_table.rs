//! A coordinator's workers as a table, JSON or CSV.

use dqa_pipelines::result_page::{Column, ResultPage, ResultTable, TableStyle};
use dqa_proto::v1;
use dqa_service::program::OutputFormat;
use dqa_service::wire::device_class_name;
use serde::Serialize;
use serde_json::json;

use crate::cli::output::{print_rows, print_text};

/// Writes workers to standard output.
pub(in crate::cli) fn print_workers(workers: &[v1::Worker], format: OutputFormat) -> anyhow::Result<()> {
    match format {
        OutputFormat::Table => Ok(print_text(&table_text(workers))?),
        OutputFormat::Json => {
            let lines: String = workers.iter().map(|worker| format!("{}\n", worker_json(worker))).collect();
            Ok(print_text(&lines)?)
        }
        OutputFormat::Csv => print_rows(&workers.iter().map(WorkerRow::new).collect::<Vec<_>>(), format),
    }
}

/// The table fits 80 columns unless a worker has a long name: names are never cut, because `--drain` takes them.
fn table_text(workers: &[v1::Worker]) -> String {
    let column = |cell: &dyn Fn(&v1::Worker) -> String| workers.iter().map(cell).collect::<Vec<String>>();
    let total = |count: fn(&v1::Totals) -> u64| column(&|worker| count(&worker.totals.unwrap_or_default()).to_string());
    let state = |worker: &v1::Worker| if worker.draining { "drains" } else { "" }.to_owned();
    let mut columns = vec![
        Column::left("worker", column(&|worker| worker.id.clone())),
        Column::left("device", column(&|worker| device_class_name(worker.device()).to_owned())),
        Column::right("shards", column(&|worker| format!("{} of {}", worker.running.len(), worker.slots)))
            .meaning("shards that it scores now, of those that it takes at once"),
        Column::right("windows", total(|totals| totals.windows)).left_out(2),
        Column::right("pictures", total(|totals| totals.pictures)).left_out(1),
        Column::right("heard", column(&|worker| format!("{:.1} s ago", worker.silent_millis as f64 / 1000.0)))
            .left_out(3),
    ];
    if workers.iter().any(|worker| worker.draining) {
        columns.push(Column::left("state", column(&state)));
    }
    let mut page = ResultPage::new(TableStyle::default());
    page.table(&ResultTable::new("", columns));
    for worker in workers {
        for running in worker.running.iter().filter(|running| !running.activity.is_empty()) {
            page.note(&format!("{}: {}: {}", worker.id, running.part, running.activity));
        }
    }
    page.finish()
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
    let running = |running: &v1::Running| json!({ "part": running.part, "windows_done": running.windows_done, "activity": running.activity });
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

#[cfg(test)]
mod tests {
    use dqa_pipelines::result_page::TEXT_WIDTH;

    use super::*;

    #[test]
    fn the_table_fits_a_terminal() {
        let worker = |id: &str, draining| v1::Worker {
            id: id.to_owned(),
            slots: 2,
            draining,
            silent_millis: 12_345,
            totals: Some(v1::Totals { windows: 123_456_789, pictures: 1_234_567, ..v1::Totals::default() }),
            ..v1::Worker::default()
        };
        let one = table_text(&[worker("gpu-node-07-4a0e6c3b", false)]);
        assert!(one.contains("1234567") && one.contains("12.3 s ago") && !one.contains("drains"), "{one}");
        let two = table_text(&[worker("gpu-node-07-4a0e6c3b", false), worker("gpu-node-08.cluster-4a0e6c3b", true)]);
        assert!(two.contains("drains") && two.contains("Not shown"), "{two}");
        for text in [&one, &two] {
            assert!(text.lines().all(|line| line.chars().count() <= TEXT_WIDTH), "{text}");
        }
    }
}
