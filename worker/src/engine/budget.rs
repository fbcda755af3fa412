//! Bytes that pictures in flight may take together. First come, first served, by one taker: no picture waits for a
//! later one, so the oldest can always go on.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A number of bytes to share out.
pub(super) struct Budget {
    bytes_max: u64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    taken: u64,
    closed: bool,
}

/// A share, given back when dropped.
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(bytes_max: u64) -> Arc<Budget> {
        let state = Mutex::new(State { taken: 0, closed: false });
        Arc::new(Budget { bytes_max, state, changed: Condvar::new() })
    }

    /// Waits until `bytes` are free. More than there is in all means all of it: such a picture goes alone. None when
    /// the budget was closed.
    pub(super) fn take(self: &Arc<Budget>, bytes: u64) -> Option<Share> {
        let bytes = bytes.min(self.bytes_max);
        let mut state = self.lock();
        while !state.closed && state.taken + bytes > self.bytes_max {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return None;
        }
        state.taken += bytes;
        Some(Share { budget: self.clone(), bytes })
    }

    /// Ends every wait, now and later.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Whether there is nobody left to take for.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    // The numbers are whole at every unlock, also where a thread panicked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.lock().taken -= self.bytes;
        self.budget.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_waits_and_what_is_too_large_goes_alone() {
        let budget = Budget::new(100);
        let first = budget.take(60).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.take(1000).map(|share| share.bytes));
            assert!(!waiting.is_finished());
            drop(first);
            assert_eq!(waiting.join().unwrap(), Some(100));
        });
        assert_eq!(budget.lock().taken, 0);
    }

    #[test]
    fn closing_ends_a_wait() {
        let budget = Budget::new(10);
        let _all = budget.take(10).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.take(1).is_none());
            budget.close();
            assert!(waiting.join().unwrap());
        });
    }
}
