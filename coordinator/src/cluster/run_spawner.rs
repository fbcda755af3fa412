//! Where the lifecycles of runs execute.

use std::io;
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use tokio::runtime::Handle;

/// The lifecycle of a run, as a future that stays on one thread.
pub type RunLifecycle = Box<dyn FnOnce() -> LocalBoxFuture<'static, ()> + Send>;

/// Starts lifecycles of runs.
///
/// # Errors
/// When there is no thread for it.
pub type RunSpawner = Arc<dyn Fn(RunLifecycle) -> io::Result<()> + Send + Sync>;

/// Returns a spawner that gives each run a thread: planning, counting and reporting compute for seconds.
#[must_use]
pub fn thread_per_run() -> RunSpawner {
    Arc::new(|lifecycle| {
        let runtime = Handle::current();
        let thread = std::thread::Builder::new().name("run".to_owned());
        thread.spawn(move || runtime.block_on(lifecycle())).map(drop)
    })
}
