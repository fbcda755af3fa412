//! What programs tell about themselves: logs on standard error, traces to a collector if one is named, and `metrics`.

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

/// What collectors get: runs and shards, not what libraries do.
const EXPORTED: &str = "off,dqa_coordinator=info,dqa_engine=info,dqa_worker=info";

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
