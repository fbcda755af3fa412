//! Decides on which thread the lifecycle of a run executes.

use std::io;
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use tokio::runtime::Handle;

/// The lifecycle of a run, as a future that stays on one thread.
pub type RunLifecycle = Box<dyn FnOnce() -> LocalBoxFuture<'static, ()> + Send>;

/// A function that starts the lifecycle of a run.
///
/// # Errors
/// When no thread can be started.
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
