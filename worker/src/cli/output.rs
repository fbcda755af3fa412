//! Results on standard output, one line per picture as soon as it is known.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, StdoutLock, Write, stdout};
use std::path::Path;

use dqa_engine::decode::{ErrorCode, PictureError};
use dqa_engine::inference::{MeasuredPicture, MetricValue};
use dqa_metrics::Metric;
use dqa_service::program::{OutputError, OutputFormat};
use serde::Serialize;

/// Writes results in one format.
pub(super) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    format: OutputFormat,
    with_windows: bool,
    /// The metrics beside CLIP-DQA: a column each.
    metrics: Vec<Metric>,
}

#[derive(Serialize)]
struct Row<'a> {
    image: &'a str,
    score: Option<f64>,
    windows: usize,
    width: Option<u32>,
    height: Option<u32>,
    error: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<BTreeMap<&'static str, Option<f64>>>,
    /// Why metrics have no value, if the picture itself was read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metric_errors: BTreeMap<&'static str, Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_scores: Option<Option<&'a [f32]>>,
}

#[derive(Serialize)]
struct Failure {
    code: ErrorCode,
    message: String,
}

impl Failure {
    fn new(error: &PictureError) -> Failure {
        Failure { code: error.code(), message: error.line() }
    }
}

impl Output {
    pub(super) fn new(format: OutputFormat, with_windows: bool, metrics: &[Metric]) -> Result<Output, OutputError> {
        let out = BufWriter::new(stdout().lock());
        let mut output = Output { out, format, with_windows, metrics: metrics.to_vec() };
        match format {
            OutputFormat::Table => {
                let columns: String = metrics.iter().map(|metric| format!(" {:>10}", metric.name())).collect();
                writeln!(output.out, "{:>8} {:>7} {:>11}{columns}  image", "score", "windows", "size")
            }
            OutputFormat::Csv => {
                let mut columns: String = metrics.iter().map(|metric| format!(",{metric}")).collect();
                columns += if metrics.is_empty() { "" } else { ",metric_errors" };
                columns += if with_windows { ",window_scores" } else { "" };
                writeln!(output.out, "image,score,windows,width,height,error_code,error_message{columns}")
            }
            OutputFormat::Json => Ok(()),
        }?;
        Ok(output)
    }

    /// Writes one picture's result and flushes it.
    pub(super) fn write(&mut self, image: &Path, outcome: &MeasuredPicture) -> Result<(), OutputError> {
        let measured = outcome.measured.as_ref();
        let score = measured.ok().and_then(|measured| measured.clip_dqa.as_ref());
        let scored = score.and_then(|score| score.as_ref().ok());
        let error = measured.err().or(score.and_then(|score| score.as_ref().err()));
        let values: &[MetricValue] = measured.map_or(&[], |measured| &measured.metrics);
        let value = |metric: &Metric| values.iter().find(|value| value.metric == *metric);
        let failure = |value: &MetricValue| Some((value.metric.name(), Failure::new(value.value.as_ref().err()?)));
        let row = Row {
            image: &image.to_string_lossy(),
            score: scored.map(|s| s.score),
            windows: scored.map_or(0, |s| s.windows.len()),
            width: outcome.size.map(|(width, _)| width),
            height: outcome.size.map(|(_, height)| height),
            error: error.map(Failure::new),
            metrics: (!self.metrics.is_empty()).then(|| {
                let named = |metric: &Metric| {
                    (metric.name(), value(metric).and_then(|value| value.value.as_ref().ok()).copied())
                };
                self.metrics.iter().map(named).collect()
            }),
            metric_errors: values.iter().filter_map(failure).collect(),
            window_scores: self.with_windows.then(|| scored.map(|s| &s.windows[..])),
        };
        match self.format {
            OutputFormat::Json => self.json(&row),
            OutputFormat::Csv => self.csv(&row),
            OutputFormat::Table => self.table(&row),
        }?;
        Ok(self.out.flush()?)
    }

    fn json(&mut self, row: &Row<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, row)?;
        self.out.write_all(b"\n")
    }

    fn csv(&mut self, row: &Row<'_>) -> io::Result<()> {
        let optional = |n: Option<u32>| n.map_or(String::new(), |n| n.to_string());
        let (code, message) = row.error.as_ref().map_or(("", ""), |e| (e.code.as_str(), e.message.as_str()));
        let mut fields = vec![
            row.image.to_owned(),
            row.score.map_or(String::new(), |s| s.to_string()),
            row.windows.to_string(),
            optional(row.width),
            optional(row.height),
            code.to_owned(),
            message.to_owned(),
        ];
        if let Some(metrics) = &row.metrics {
            let value = |metric: &Metric| metrics[metric.name()].map_or(String::new(), |value| value.to_string());
            fields.extend(self.metrics.iter().map(value));
            fields.push(metric_errors(row));
        }
        if let Some(windows) = row.window_scores {
            fields.push(joined(windows.unwrap_or_default(), " "));
        }
        let mut line = csv::Writer::from_writer(Vec::new());
        line.write_record(&fields)?;
        self.out.write_all(&line.into_inner().map_err(csv::IntoInnerError::into_error)?)
    }

    fn table(&mut self, row: &Row<'_>) -> io::Result<()> {
        let score = row.score.map_or("-".to_owned(), |s| format!("{s:.4}"));
        let size = row.width.zip(row.height).map_or("-".to_owned(), |(w, h)| format!("{w}x{h}"));
        write!(self.out, "{score:>8} {:>7} {size:>11}", row.windows)?;
        if let Some(metrics) = &row.metrics {
            for metric in &self.metrics {
                let value = metrics[metric.name()].map_or("-".to_owned(), |value| format!("{value:.4}"));
                write!(self.out, " {value:>10}")?;
            }
        }
        write!(self.out, "  {}", row.image)?;
        if !row.metric_errors.is_empty() {
            write!(self.out, "  {}", metric_errors(row))?;
        }
        if let Some(error) = &row.error {
            write!(self.out, "  {}: {}", error.code, error.message)?;
        }
        writeln!(self.out)?;
        if let Some(Some(windows)) = row.window_scores {
            let windows: Vec<String> = windows.iter().map(|s| format!("{s:.4}")).collect();
            for line in windows.chunks(12) {
                writeln!(self.out, "{:29}{}", "", line.join(" "))?;
            }
        }
        Ok(())
    }
}

/// Returns the metrics without a value, with the reason of each: `psnr_gray: reference_missing; ...`.
fn metric_errors(row: &Row<'_>) -> String {
    let errors: Vec<String> =
        row.metric_errors.iter().map(|(metric, failure)| format!("{metric}: {}", failure.code)).collect();
    errors.join("; ")
}

fn joined(values: &[f32], separator: &str) -> String {
    values.iter().map(f32::to_string).collect::<Vec<_>>().join(separator)
}
