//! Traces: spans sent to an OpenTelemetry collector.

use dqa_pipelines::causes;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::Layer;

use super::EXPORT;

/// Exports spans to a collector. Pending spans are sent when it is dropped.
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
/// Fails if `url` is not an address.
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
