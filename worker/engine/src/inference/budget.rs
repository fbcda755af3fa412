//! The bytes that pictures in flight may take together. One thread takes shares, in the pictures' order: no picture
//! waits for a later one, so the oldest can always proceed. The tests run under loom, which tries the interleavings of
//! the threads and fails on a deadlock.

use std::sync::{Arc, PoisonError};
#[cfg(not(test))]
use std::sync::{Condvar, Mutex, MutexGuard};

#[cfg(test)]
use loom::sync::{Condvar, Mutex, MutexGuard};

/// A number of bytes that are shared out.
pub(super) struct Budget {
    bytes_max: u64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    taken: u64,
    closed: bool,
}

/// A share of the budget, returned when it is dropped.
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(bytes_max: u64) -> Arc<Budget> {
        let state = Mutex::new(State { taken: 0, closed: false });
        Arc::new(Budget { bytes_max, state, changed: Condvar::new() })
    }

    /// Waits until `bytes` are free and takes them. A picture of more bytes than the whole budget takes all of it, so
    /// that it runs alone. Returns None when the budget was closed.
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

    /// Ends every wait, present and future.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Returns whether the run is over.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Locks the state, which is consistent at every unlock, also after a panic.
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
    use std::collections::VecDeque;

    use loom::thread;

    use super::*;

    const BYTES_MAX: u64 = 100;

    /// Runs `test` in all interleavings with up to two preemptions: a deadlock shows in one of them.
    fn in_every_order(test: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(test);
    }

    #[test]
    fn what_does_not_fit_waits_and_what_is_too_large_goes_alone() {
        in_every_order(|| {
            let budget = Budget::new(BYTES_MAX);
            let first = budget.take(60);
            let taker = budget.clone();
            let waiting = thread::spawn(move || taker.take(1000).map(|share| share.bytes));
            drop(first);
            assert_eq!(waiting.join().unwrap(), Some(BYTES_MAX));
            assert_eq!(budget.lock().taken, 0);
        });
    }

    #[test]
    fn closing_ends_a_wait() {
        in_every_order(|| {
            let budget = Budget::new(10);
            let all = budget.take(10);
            let taker = budget.clone();
            let waiting = thread::spawn(move || taker.take(1).is_none());
            budget.close();
            assert!(waiting.join().unwrap());
            drop(all);
        });
    }

    /// A channel, of loom's primitives.
    #[derive(Default)]
    struct Queue {
        /// The queued items, and whether the sender is done.
        state: Mutex<(VecDeque<(usize, Share)>, bool)>,
        changed: Condvar,
    }

    impl Queue {
        fn push(&self, item: (usize, Share)) {
            self.state.lock().unwrap().0.push_back(item);
            self.changed.notify_all();
        }

        fn end(&self) {
            self.state.lock().unwrap().1 = true;
            self.changed.notify_all();
        }

        fn pop(&self) -> Option<(usize, Share)> {
            let mut state = self.state.lock().unwrap();
            while state.0.is_empty() && !state.1 {
                state = self.changed.wait(state).unwrap();
            }
            state.0.pop_front()
        }
    }

    /// The threads of a run, reduced to how they wait: one takes shares in order, one decodes, one uses the results in
    /// order and may end early, as a failing device does.
    fn run(sizes: &'static [u64], used: usize) {
        let budget = Budget::new(BYTES_MAX);
        let (jobs, decoded) = (Arc::new(Queue::default()), Arc::new(Queue::default()));
        let (taker, jobs_in) = (budget.clone(), jobs.clone());
        let fetcher = thread::spawn(move || {
            for (index, bytes) in sizes.iter().enumerate() {
                match taker.take(*bytes) {
                    Some(share) => jobs_in.push((index, share)),
                    None => break,
                }
            }
            jobs_in.end();
        });
        let done = decoded.clone();
        let decoder = thread::spawn(move || {
            while let Some(job) = jobs.pop() {
                done.push(job);
            }
            done.end();
        });
        let mut outcomes = Vec::new();
        while outcomes.len() < used
            && let Some((index, share)) = decoded.pop()
        {
            outcomes.push(index);
            drop(share);
        }
        budget.close();
        fetcher.join().unwrap();
        decoder.join().unwrap();
        assert_eq!(outcomes, (0..used).collect::<Vec<_>>());
    }

    #[test]
    fn the_oldest_picture_can_always_go_on() {
        const SIZES: &[u64] = &[60, 70, 1000];
        in_every_order(|| run(SIZES, SIZES.len()));
        in_every_order(|| run(SIZES, 1));
    }
}
