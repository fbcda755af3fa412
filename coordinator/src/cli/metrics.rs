//! `dqa-coord metrics`: lists the metrics, which of their values are better, what they need, and their fingerprints.

use dqa_metrics::{Metric, Parameters};
use dqa_pipelines::metric::{CLIP_DQA, MetricSpec};
use dqa_pipelines::result_page::{Column, ResultPage, ResultTable, TableStyle};
use dqa_pipelines::text_table::short_fingerprint;
use dqa_service::metric_args::ParameterArgs;
use dqa_service::program::{ExitStatus, OutputError, OutputFormat};
use serde::Serialize;

use super::output::{print_rows, print_text};
use super::result_format::{ResultForm, ResultFormatArgs};

/// Lists the metrics that pictures can be scored by.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    parameters: ParameterArgs,

    #[command(flatten)]
    result: ResultFormatArgs,
}

#[derive(Default, Serialize)]
struct MetricRow {
    metric: String,
    title: &'static str,
    better: &'static str,
    /// The input that the metric needs beside the picture.
    needs: &'static str,
    /// Fewest pixels of the shorter side. For CLIP-DQA the views decide.
    smallest_side: Option<usize>,
    /// None for CLIP-DQA, whose model and views decide.
    fingerprint: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let parameters = args.parameters.read()?.map(|file| file.parameters).unwrap_or_default();
    let rows = rows(&parameters);
    match args.result.form() {
        ResultForm::Tables(style) => print_tables(&rows, style)?,
        ResultForm::Json => print_rows(&rows, OutputFormat::Json)?,
        ResultForm::Csv => print_rows(&rows, OutputFormat::Csv)?,
    }
    Ok(ExitStatus::All)
}

/// Returns what a metric needs in one word.
fn short_needs(needs: &str) -> &str {
    match needs {
        "nothing" => "-",
        _ => needs.trim_start_matches("a ").trim_end_matches(" picture"),
    }
}

fn rows(parameters: &Parameters) -> Vec<MetricRow> {
    let clip_dqa = MetricRow {
        metric: CLIP_DQA.to_owned(),
        title: "CLIP with learned prompts in both towers",
        better: "higher",
        needs: "a model",
        smallest_side: None,
        fingerprint: None,
    };
    let classic = Metric::ALL.into_iter().map(|metric| {
        let spec = MetricSpec::classic(metric, parameters);
        MetricRow {
            metric: metric.to_string(),
            title: metric.title(),
            better: spec.direction.as_str(),
            needs: match metric.reference() {
                None => "nothing",
                Some(dqa_metrics::ReferenceKind::Clear) => "clear picture",
                Some(dqa_metrics::ReferenceKind::Hazy) => "hazy picture",
            },
            smallest_side: Some(metric.smallest_side()),
            fingerprint: Some(spec.fingerprint),
        }
    });
    std::iter::once(clip_dqa).chain(classic).collect()
}

fn print_tables(rows: &[MetricRow], style: TableStyle) -> Result<(), OutputError> {
    let column = |cell: &dyn Fn(&MetricRow) -> String| rows.iter().map(cell).collect::<Vec<String>>();
    let side = |row: &MetricRow| row.smallest_side.map_or("-".to_owned(), |side| side.to_string());
    let fingerprint = |row: &MetricRow| {
        row.fingerprint.as_deref().map_or("-".to_owned(), |digits| short_fingerprint(digits).to_owned())
    };
    let mut page = ResultPage::new(style);
    page.table(&ResultTable::new(
        "",
        vec![
            Column::left("metric", column(&|row| row.metric.clone())),
            Column::left("better", column(&|row| row.better.to_owned())),
            Column::left("needs", column(&|row| short_needs(row.needs).to_owned())),
            Column::right("smallest side", column(&side)).left_out(1).meaning("in pixels"),
            Column::left("fingerprint", column(&fingerprint)).left_out(2),
            Column::left("what it is", column(&|row| row.title.to_owned())),
        ],
    ));
    print_text(&page.finish())
}
