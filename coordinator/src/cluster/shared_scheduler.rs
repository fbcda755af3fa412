//! The scheduler behind a lock, with the coordinator's clock.

use parking_lot::Mutex;
use tokio::time::Instant;

use super::scheduler::{Scheduler, Time};

pub(super) struct SharedScheduler {
    scheduler: Mutex<Scheduler>,
    started: Instant,
}

impl SharedScheduler {
    pub(super) fn new(scheduler: Scheduler) -> SharedScheduler {
        SharedScheduler { scheduler: Mutex::new(scheduler), started: Instant::now() }
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Scheduler, Time) -> T) -> T {
        let scheduler = self.scheduler.lock();
        read(&scheduler, self.started.elapsed())
    }

    /// Changes the scheduler. Effects that `change` returns are the caller's to carry out.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut Scheduler, Time) -> T) -> T {
        let mut scheduler = self.scheduler.lock();
        change(&mut scheduler, self.started.elapsed())
    }
}
