//! Starts tasks ahead of the consumer of their results, in order, with a bound on the size of the results that are
//! ready. It knows neither what the tasks do nor which executor runs them, so that its test can try the order of every
//! step.
//!
//! Invariant: permits are acquired in the results' order, and before the task is started. So every permit in use
//! belongs to an earlier result than the one that waits for permits, and consuming those results releases them. Tasks
//! that acquired their own permits could leave none for the result that is consumed next.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// A started task, with the permits that its result holds until it is consumed.
pub(super) type Started<H> = (H, OwnedSemaphorePermit);

/// Calls `start` for each of `inputs`, which come with the permits that they take, as soon as there are permits. Ends
/// early if the receiver is gone.
pub(super) async fn start_in_order<W, H>(
    inputs: impl IntoIterator<Item = (W, u32)>,
    permits: Arc<Semaphore>,
    started: mpsc::Sender<Started<H>>,
    start: impl Fn(W) -> H,
) {
    for (input, size) in inputs {
        // The place in the channel comes first: nothing is started that could not be handed on.
        let Ok(slot) = started.reserve().await else {
            return;
        };
        let share = permits.clone().acquire_many_owned(size).await.expect("the semaphore is never closed");
        if started.is_closed() {
            return;
        }
        slot.send((start(input), share));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::task::{Context, Poll, Wake, Waker};

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Sizes that do not fit together.
    const SIZES: [u32; 5] = [2, 3, 3, 1, 2];
    const PERMITS: usize = 3;
    /// Orders of steps that each test tries.
    const ORDERS: usize = 3000;

    /// An executor of one thread that asks `choose` which of the runnable tasks runs next. This covers every order of
    /// steps: between two awaits a task shares nothing.
    struct Orders<'a> {
        choose: &'a mut dyn FnMut(usize) -> usize,
        tasks: Vec<Option<Pin<Box<dyn Future<Output = ()>>>>>,
        woken: Vec<Arc<Woken>>,
        new: NewTasks,
    }

    type NewTasks = Rc<RefCell<VecDeque<Pin<Box<dyn Future<Output = ()>>>>>>;

    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
        }
    }

    impl Orders<'_> {
        /// Returns whether all tasks end; otherwise they are deadlocked.
        fn run(mut self) -> bool {
            loop {
                for task in self.new.take() {
                    self.tasks.push(Some(task));
                    self.woken.push(Arc::new(Woken(AtomicBool::new(true))));
                }
                let runnable: Vec<usize> = (0..self.tasks.len())
                    .filter(|task| self.tasks[*task].is_some() && self.woken[*task].0.load(SeqCst))
                    .collect();
                if runnable.is_empty() {
                    return self.tasks.iter().all(Option::is_none);
                }
                let chosen = runnable[(self.choose)(runnable.len())];
                self.woken[chosen].0.store(false, SeqCst);
                let waker = Waker::from(self.woken[chosen].clone());
                let task = self.tasks[chosen].as_mut().expect("it has not ended");
                if task.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(()) {
                    self.tasks[chosen] = None;
                }
            }
        }
    }

    /// Runs the tasks that `make` starts in many orders of steps; returns how many orders ended and how many
    /// deadlocked.
    fn in_many_orders(make: impl Fn(&NewTasks)) -> (usize, usize) {
        let mut ended = 0;
        for seed in 0..ORDERS {
            let mut chance = StdRng::seed_from_u64(seed as u64);
            let mut choose = |options: usize| chance.random_range(0..options);
            let new = NewTasks::default();
            make(&new);
            let orders = Orders { choose: &mut choose, tasks: Vec::new(), woken: Vec::new(), new };
            ended += usize::from(orders.run());
        }
        (ended, ORDERS - ended)
    }

    /// Starts a task, and returns a future of its result.
    fn spawn<T: 'static, W: Future<Output = T> + 'static>(
        new: &NewTasks,
        work: W,
    ) -> impl Future<Output = T> + use<T, W> {
        let (done, result) = tokio::sync::oneshot::channel();
        new.borrow_mut().push_back(Box::pin(async move {
            let _ = done.send(work.await);
        }));
        async move { result.await.expect("it ends") }
    }

    /// Reads ahead, and consumes the first `used` results in order.
    fn read(new: &NewTasks, used: usize) {
        let permits = Arc::new(Semaphore::new(PERMITS));
        let (started, mut next) = mpsc::channel(2);
        let tasks = new.clone();
        let start = move |index: usize| {
            spawn(&tasks, async move {
                tokio::task::yield_now().await;
                index
            })
        };
        let dispatcher = spawn(new, start_in_order(SIZES.into_iter().enumerate(), permits.clone(), started, start));
        new.borrow_mut().push_back(Box::pin(async move {
            for index in 0..used {
                let (task, share) = next.recv().await.expect("it was started");
                assert_eq!(task.await, index);
                drop(share);
            }
            drop(next);
            dispatcher.await;
            assert_eq!(permits.available_permits(), PERMITS, "every share was given back");
        }));
    }

    #[test]
    fn results_leave_in_order_whatever_the_order_of_steps() {
        let (ended, deadlocked) = in_many_orders(|new| read(new, SIZES.len()));
        assert_eq!((ended, deadlocked), (ORDERS, 0));
    }

    #[test]
    fn who_stops_early_leaves_nothing_behind() {
        for used in 0..SIZES.len() {
            let (ended, deadlocked) = in_many_orders(|new| read(new, used));
            assert_eq!((ended, deadlocked), (ORDERS, 0), "{used} are used");
        }
    }

    /// The deadlock that this module prevents: tasks that acquire their own permits may leave none for the one that is
    /// awaited.
    #[test]
    fn shares_that_tasks_take_themselves_deadlock() {
        let (ended, deadlocked) = in_many_orders(|new| {
            let permits = Arc::new(Semaphore::new(PERMITS));
            let take = |size: u32| {
                let permits = permits.clone();
                spawn(new, async move { permits.acquire_many_owned(size).await.expect("it is never closed") })
            };
            let tasks: Vec<_> = SIZES.into_iter().map(take).collect();
            new.borrow_mut().push_back(Box::pin(async move {
                for task in tasks {
                    drop(task.await);
                }
            }));
        });
        assert!(ended > 0 && deadlocked > 0, "{ended} orders end and {deadlocked} do not");
    }
}
