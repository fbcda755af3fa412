//! `dqa-coord metrics`: lists the metrics, which of their values are better, what they need, and their fingerprints.

use std::io::{Write, stdout};

use dqa_metrics::{Metric, Parameters};
use dqa_pipelines::metric::{CLIP_DQA, MetricSpec};
use dqa_pipelines::text_table::Alignment::{Left, Right};
use dqa_pipelines::text_table::format_rows;
use dqa_service::metric_args::ParameterArgs;
use dqa_service::program::{ExitStatus, OutputError, OutputFormat};
use serde::Serialize;

use super::output::print_rows;

/// Lists the metrics that pictures can be scored by.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    parameters: ParameterArgs,

    /// Format of the results.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
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
    match args.format {
        OutputFormat::Table => print_table(&rows)?,
        format => print_rows(&rows, format)?,
    }
    Ok(ExitStatus::All)
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

fn print_table(rows: &[MetricRow]) -> Result<(), OutputError> {
    let header = ["metric", "better", "needs", "smallest side", "fingerprint", "what it is"];
    let cells = rows.iter().map(|row| {
        let side = row.smallest_side.map_or("-".to_owned(), |side| side.to_string());
        let fingerprint = row.fingerprint.as_deref().map_or("-", |digits| &digits[..12]);
        [&row.metric, row.better, row.needs, &side, fingerprint, row.title].map(str::to_owned).to_vec()
    });
    let table: Vec<Vec<String>> = std::iter::once(header.map(str::to_owned).to_vec()).chain(cells).collect();
    let text = format_rows(&table, &[Left, Left, Left, Right, Left, Left]);
    let mut out = stdout().lock();
    writeln!(out, "{}", text.trim_end())?;
    Ok(out.flush()?)
}
