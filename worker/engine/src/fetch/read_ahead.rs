//! Starts work ahead of who uses its results, in order, with a bound on what lies ready. Knows neither what the work is nor
//! which executor runs it, so that its test can try the order of every step.
//!
//! Invariant: a share of the room is taken in the results' order, and before the work is started. So every share that is out
//! belongs to an earlier result than the one that waits for room, and using those results gives the room back. Work that
//! took its own share could leave none to the result that is used next.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Work that was started, with the share of the room that its result takes until it is used.
pub(super) type Started<H> = (H, OwnedSemaphorePermit);

/// Calls `start` for each of `wanted`, which are handed to it with the room that they take, as soon as there is room. Ends
/// early if nobody receives what is started.
pub(super) async fn start_in_order<W, H>(
    wanted: impl IntoIterator<Item = (W, u32)>,
    room: Arc<Semaphore>,
    started: mpsc::Sender<Started<H>>,
    start: impl Fn(W) -> H,
) {
    for (work, size) in wanted {
        // The place first: nothing is started that could not be handed on.
        let Ok(place) = started.reserve().await else {
            return;
        };
        let share = room.clone().acquire_many_owned(size).await.expect("the room is never closed");
        if started.is_closed() {
            return;
        }
        place.send((start(work), share));
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
    const ROOM: usize = 3;
    /// Orders of steps that each test tries.
    const ORDERS: usize = 3000;

    /// An executor of one thread that asks `choose` which of the tasks that can go on does so. That is all there is to the
    /// order of steps: between two awaits a task shares nothing.
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
        /// Whether all tasks end; otherwise they wait for each other.
        fn run(mut self) -> bool {
            loop {
                for task in self.new.take() {
                    self.tasks.push(Some(task));
                    self.woken.push(Arc::new(Woken(AtomicBool::new(true))));
                }
                let can_go_on: Vec<usize> = (0..self.tasks.len())
                    .filter(|task| self.tasks[*task].is_some() && self.woken[*task].0.load(SeqCst))
                    .collect();
                if can_go_on.is_empty() {
                    return self.tasks.iter().all(Option::is_none);
                }
                let chosen = can_go_on[(self.choose)(can_go_on.len())];
                self.woken[chosen].0.store(false, SeqCst);
                let waker = Waker::from(self.woken[chosen].clone());
                let task = self.tasks[chosen].as_mut().expect("it has not ended");
                if task.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(()) {
                    self.tasks[chosen] = None;
                }
            }
        }
    }

    /// Runs what `make` starts in many orders of steps; how many ended and how many deadlocked.
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

    /// A task's result, when it has one.
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

    /// Reads, and uses the first results in order.
    fn read(new: &NewTasks, used: usize) {
        let room = Arc::new(Semaphore::new(ROOM));
        let (started, mut next) = mpsc::channel(2);
        let tasks = new.clone();
        let start = move |place: usize| {
            spawn(&tasks, async move {
                tokio::task::yield_now().await;
                place
            })
        };
        let dispatcher = spawn(new, start_in_order(SIZES.into_iter().enumerate(), room.clone(), started, start));
        new.borrow_mut().push_back(Box::pin(async move {
            for place in 0..used {
                let (task, share) = next.recv().await.expect("it was started");
                assert_eq!(task.await, place);
                drop(share);
            }
            drop(next);
            dispatcher.await;
            assert_eq!(room.available_permits(), ROOM, "every share was given back");
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

    /// The fault that this module mends: tasks that take their own shares may leave none to the one that is awaited.
    #[test]
    fn shares_that_tasks_take_themselves_deadlock() {
        let (ended, deadlocked) = in_many_orders(|new| {
            let room = Arc::new(Semaphore::new(ROOM));
            let take = |size: u32| {
                let room = room.clone();
                spawn(new, async move { room.acquire_many_owned(size).await.expect("it is never closed") })
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
