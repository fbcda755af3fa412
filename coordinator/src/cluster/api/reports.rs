//! Reports of runs as text, made from what is in the store.

use dqa_pipelines::names::NameError;
use dqa_pipelines::report::{self, Report, ReportOptions};
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::store::Store;
use dqa_proto::v1;
use tokio::runtime::Handle;
use tonic::Status;

use super::run_lookup::{self, RUNS_MAX};
use super::training_reports;
use super::validation::REPLICATES_MAX;
use crate::cluster::control_plane::ControlPlane;
use crate::cluster::grpc_status::{from_report_error, internal, invalid, invalid_argument};
use crate::cluster::wire;

pub(super) async fn get_report(plane: &ControlPlane, request: v1::GetReportRequest) -> Result<String, Status> {
    if request.more_runs.len() >= RUNS_MAX {
        return Err(invalid_argument("too_much", format!("at most {RUNS_MAX} runs are ranked together")));
    }
    let mut records = vec![run_lookup::read_record(plane, &request.name).await?];
    if records[0].is_training() {
        return training_reports::get_report(plane, records.remove(0), request).await;
    }
    for name in &request.more_runs {
        records.push(run_lookup::read_record(plane, name).await?);
    }
    let (store, runtime) = (plane.store.clone(), Handle::current());
    // A report computes for seconds.
    let written = tokio::task::spawn_blocking(move || {
        let report = runtime.block_on(make_report(&store, &records, &request))?;
        format_report(report, &request)
    });
    written.await.map_err(|panic| internal(&panic))?
}

async fn make_report(store: &Store, records: &[RunRecord], request: &v1::GetReportRequest) -> Result<Report, Status> {
    report::require_complete(store, records).await.map_err(from_report_error)?;
    let options = if request.options.is_empty() {
        ReportOptions::from_run(&records[0])
    } else {
        serde_json::from_str(&request.options).map_err(|error| invalid("bad_options", &error))?
    };
    if options.replicates > REPLICATES_MAX {
        return Err(invalid_argument("too_much", format!("at most {REPLICATES_MAX} replicates")));
    }
    let is_leaderboard = request.tables().eq([v1::Table::Leaderboard]) && !request.write;
    let mut report = if is_leaderboard {
        let record = report::combine_runs(&records[0], &records[1..]).map_err(from_report_error)?;
        report::compute_leaderboards(store, &record, &options).await.map_err(from_report_error)?
    } else {
        report::compute_with_others(store, &records[0], &records[1..], &options).await.map_err(from_report_error)?
    };
    if request.write {
        report.write(store).await.map_err(from_report_error)?;
    }
    if !request.dataset.is_empty() {
        let dataset = request.dataset.parse().map_err(|error: NameError| invalid("bad_name", &error))?;
        report.retain_dataset(&dataset).map_err(from_report_error)?;
    }
    if !request.metric.is_empty() {
        let metric = request.metric.parse().map_err(|error: NameError| invalid("bad_name", &error))?;
        report.retain_metric(&metric).map_err(from_report_error)?;
    }
    Ok(report)
}

/// Formats the requested tables of a report, or a summary if none is requested.
fn format_report(mut report: Report, request: &v1::GetReportRequest) -> Result<String, Status> {
    let unknown_table = || invalid_argument("bad_table", "unknown table of a report");
    let table = |table| wire::table_from_wire(table).ok_or_else(unknown_table);
    let mut tables: Vec<report::ReportTable> = request.tables().map(table).collect::<Result<_, _>>()?;
    if tables.is_empty() {
        report.correlations.retain(report::is_in_summary);
        tables = vec![report::ReportTable::Correlations, report::ReportTable::Leaderboard];
    }
    let last = tables[tables.len() - 1];
    Ok(match wire::table_style(request) {
        Some(style) => report.render(&tables, style),
        None if request.format() == v1::TableFormat::Json => report.json(last),
        None => report.csv(last),
    })
}
