//! Threads that compute. Python's processes may be forked, and threads do not live on in the child: a child whose parent had
//! started them is told so, instead of waiting for them for ever.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use pyo3::prelude::*;

use crate::errors::exception;

/// The process that has started threads. 0: none has.
static STARTED_IN: AtomicU32 = AtomicU32::new(0);

/// Says that this process starts threads.
///
/// # Errors
/// If this process was forked from one that had started threads.
pub(crate) fn claim() -> PyResult<()> {
    let own = std::process::id();
    match STARTED_IN.compare_exchange(0, own, Relaxed, Relaxed) {
        Err(other) if other != own => Err(exception(
            format!("process {own} was forked from {other}, which had started the threads of dqa: they are not here"),
            Some(
                "start processes by multiprocessing.get_context(\"spawn\"), or use dqa in the children only".to_owned(),
            ),
        )),
        _ => Ok(()),
    }
}

/// Runs asynchronous work in this thread, while other threads of Python go on.
///
/// # Errors
/// Those of the work.
pub(crate) fn block_on<T: Send, F: Future<Output = PyResult<T>>>(
    py: Python<'_>,
    work: impl FnOnce() -> F + Send,
) -> PyResult<T> {
    claim()?;
    py.detach(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| exception(format!("cannot start threads: {error}"), None))?;
        runtime.block_on(work())
    })
}
