//! What happened in a simulation, for people who look for the cause of a violation.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::time::Duration;

/// Events with their times.
#[derive(Debug, Default)]
pub(super) struct History {
    events: RefCell<Vec<(Duration, String)>>,
    now: Cell<Duration>,
}

impl History {
    /// Sets the time at which a step of all machines begins.
    pub(super) fn set_time(&self, now: Duration) {
        self.now.set(now);
    }

    pub(super) fn add(&self, event: String) {
        let now = turmoil::sim_elapsed().unwrap_or(self.now.get());
        self.events.borrow_mut().push((now, event));
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (time, event) in &*self.events.borrow() {
            let _ = writeln!(text, "{:9.2} {event}", time.as_secs_f64());
        }
        text
    }
}
