//! Logs on standard error, traces to a collector if one is given, and `metrics`.

#[cfg(feature = "network")]
pub mod metrics;
#[cfg(feature = "network")]
mod traces;

use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

#[cfg(feature = "network")]
pub use traces::{Exporter, export};

type Export = Option<Box<dyn Layer<Registry> + Send + Sync>>;

/// The filter of exported spans: runs and shards, nothing of libraries.
const EXPORTED: &str = "off,dqa_coordinator=info,dqa_engine=info,dqa_worker=info";

/// Handle for the layer that exports spans, which is set once the collector is known.
static EXPORT: OnceLock<reload::Handle<Export, Registry>> = OnceLock::new();

/// Starts the log on standard error, with the filter `level` unless RUST_LOG is set. A second call in the same process
/// has no effect.
pub fn log(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(stderr)
        .log_internal_errors(false) // it would report a closed pipe to that pipe, and panic
        .with_ansi(stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let (export, handle) = reload::Layer::new(None::<Box<dyn Layer<Registry> + Send + Sync>>);
    // The filter encloses the layer that is set later: a reloaded layer cannot bring a filter of its own.
    let export = export.with_filter(EnvFilter::new(EXPORTED));
    if tracing_subscriber::registry().with(export).with(lines.with_filter(filter)).try_init().is_ok() {
        let _ = EXPORT.set(handle);
    }
}
