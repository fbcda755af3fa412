//! What programs tell about themselves: logs on standard error, traces to a collector if one is named, and [`metrics`].

pub mod metrics;

use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

use dqa_pipelines::causes;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

type Export = Option<Box<dyn Layer<Registry> + Send + Sync>>;

/// What collectors get: runs and shards, not what libraries do.
const EXPORTED: &str = "off,dqa_coordinator=info,dqa_worker=info";

/// Where spans go beside the log, once it is known.
static EXPORT: OnceLock<reload::Handle<Export, Registry>> = OnceLock::new();

/// Starts the log on standard error, at `level` where RUST_LOG says nothing. Of several commands in one process the
/// first has done it.
pub fn log(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(stderr)
        .log_internal_errors(false) // it would report a closed pipe to that pipe, and panic
        .with_ansi(stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let (export, handle) = reload::Layer::new(None::<Box<dyn Layer<Registry> + Send + Sync>>);
    // The filter is around what is put in later: a filter cannot be put in itself.
    let export = export.with_filter(EnvFilter::new(EXPORTED));
    if tracing_subscriber::registry().with(export).with(lines.with_filter(filter)).try_init().is_ok() {
        let _ = EXPORT.set(handle);
    }
}

/// Spans on their way to a collector. What is under way is sent when it is dropped.
pub struct Exporter(SdkTracerProvider);

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(error = %causes(&error), "the last spans were not sent");
        }
    }
}

/// Sends spans of `service` to the collector at `url` (OTLP over gRPC).
///
/// # Errors
/// An address that is none.
pub fn export(service: &'static str, url: &str) -> anyhow::Result<Exporter> {
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(url).build()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name(service).build())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(service));
    if let Some(handle) = EXPORT.get() {
        handle.reload(Some(layer.boxed()))?;
    }
    Ok(Exporter(provider))
}
