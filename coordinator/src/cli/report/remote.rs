//! `report --coordinator`: the coordinator makes the report, or with `--engine cluster` its workers do.

use anyhow::anyhow;
use dqa_proto::v1;
use dqa_query::distributed::agreement_text;
use dqa_service::program::{ExitStatus, with_hint};

use super::args::{Args, TableArg};
use crate::cli::args::Engine;
use crate::cli::coordinator_client::{
    Client, find_run, get_report, group_agreement, report_request, status_error, table_to_wire,
};
use crate::cli::output::print_text;
use crate::cli::result_format::ResultForm;

/// Fetches the report and shows it.
pub(super) async fn run(args: &Args, mut client: Client) -> anyhow::Result<ExitStatus> {
    let text = match args.engine {
        Engine::Cluster => correlate(args, &mut client).await?,
        Engine::Local => report(args, &mut client).await?,
    };
    print_text(&text)?;
    Ok(ExitStatus::All)
}

/// Has the workers compute the correlations.
async fn correlate(args: &Args, client: &mut Client) -> anyhow::Result<String> {
    if args.table.is_some_and(|table| table != TableArg::Correlations) {
        let error = anyhow!("--engine cluster computes correlations, and no other table");
        return Err(with_hint(error, "--engine local has all tables"));
    }
    let request = v1::CorrelateRequest {
        name: find_run(client, &args.run).await?.name,
        metric: args.metric.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    let answer = client.correlate(request).await.map_err(|status| status_error(&status))?.into_inner();
    let groups = answer.groups.into_iter().map(group_agreement).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(match args.report.result.form() {
        ResultForm::Tables(style) => agreement_text::table(&groups, style),
        ResultForm::Json => agreement_text::json(&groups),
        ResultForm::Csv => agreement_text::csv(&groups),
    })
}

/// Has the coordinator make the report, and write its tables to its store.
async fn report(args: &Args, client: &mut Client) -> anyhow::Result<String> {
    let run = find_run(client, &args.run).await?;
    super::note_few_datasets(args.table, run.spec.as_ref().map_or(0, |spec| spec.datasets.len()));
    let run = run.name;
    let tables = match args.table {
        Some(table) => vec![table_to_wire(table.into())],
        // JSON and CSV have one table.
        None if !matches!(args.report.result.form(), ResultForm::Tables(_)) => vec![v1::Table::Correlations],
        None => vec![v1::Table::Correlations, v1::Table::CrossDataset, v1::Table::Leaderboard],
    };
    let request = report_request(run, &tables, &args.report);
    let request = v1::GetReportRequest {
        write: true,
        metric: args.metric.as_ref().map(ToString::to_string).unwrap_or_default(),
        more_runs: args.with_runs.iter().map(ToString::to_string).collect(),
        ..request
    };
    get_report(client, request).await
}
