//! The workers as Ballista's side sees them: their capacities, and the messages that make them poll.

use std::sync::Arc;

use dqa_proto::v1::{Poll, attend_response};
use dqa_service::cluster::task_slots;

use super::scheduler::Worker;
use super::shared_scheduler::SharedScheduler;
use super::worker_streams::WorkerStreams;

pub(super) struct WorkerDirectory {
    scheduler: Arc<SharedScheduler>,
    streams: Arc<WorkerStreams>,
}

/// What a worker can run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkerCapacity {
    pub(super) slots: usize,
    pub(super) query_tasks: usize,
    /// The worker's port for query results is encrypted.
    pub(super) serves_tls: bool,
}

/// What a worker runs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkerLoad {
    /// Ballista tasks that the worker can still accept. Tasks of cancelled queries may take some of the others.
    pub(super) free_tasks: usize,
    pub(super) shards: usize,
    pub(super) query_tasks: usize,
}

impl WorkerDirectory {
    pub(super) fn new(scheduler: Arc<SharedScheduler>, streams: Arc<WorkerStreams>) -> WorkerDirectory {
        WorkerDirectory { scheduler, streams }
    }

    /// Asks a worker to poll, because Ballista has a task for it.
    pub(super) fn wake(&self, worker: &str) {
        self.streams.send(worker, attend_response::Message::Poll(Poll {}));
    }

    /// Records that a response to a worker's poll contains this attempt.
    pub(super) fn mark_fetched(&self, attempt: u64) {
        self.scheduler.update(|scheduler, _| scheduler.mark_fetched(attempt));
    }

    pub(super) fn is_registered(&self, worker: &str) -> bool {
        self.scheduler.read(|scheduler, _| scheduler.worker(worker).is_some())
    }

    /// Returns the capacity of a worker that is connected and does not drain.
    pub(super) fn capacity(&self, worker: &str) -> Option<WorkerCapacity> {
        self.scheduler.read(|scheduler, _| scheduler.worker(worker).and_then(WorkerCapacity::available))
    }

    /// Returns the ids and capacities of all workers that are connected and do not drain.
    pub(super) fn capacities(&self) -> Vec<(String, WorkerCapacity)> {
        let available = |worker: &Worker| Some((worker.registration.id.clone(), WorkerCapacity::available(worker)?));
        self.scheduler.read(|scheduler, _| scheduler.workers().filter_map(available).collect())
    }
}

impl WorkerCapacity {
    fn available(worker: &Worker) -> Option<WorkerCapacity> {
        let registration = &worker.registration;
        let capacity = WorkerCapacity {
            slots: registration.slots as usize,
            query_tasks: registration.query_tasks as usize,
            serves_tls: registration.serves_tls,
        };
        (worker.is_connected() && !worker.is_draining).then_some(capacity)
    }

    /// Returns how many more query tasks a worker with this load can accept without taking what its shards may need.
    pub(super) fn query_tasks_to_bind(self, load: WorkerLoad) -> usize {
        let kept_for_shards = task_slots(self.slots, 0).saturating_sub(load.shards);
        load.free_tasks.saturating_sub(kept_for_shards).min(self.query_tasks.saturating_sub(load.query_tasks))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However busy a worker is, queries leave its shards the tasks that they may need.
        #[test]
        fn queries_leave_room_for_shards(
            slots in 1_usize..9,
            query_tasks in 0_usize..9,
            shards in 0_usize..20,
            queries in 0_usize..9,
            old in 0_usize..9,
        ) {
            let shards = shards.min(2 * slots);
            let queries = queries.min(query_tasks);
            let capacity = WorkerCapacity { slots, query_tasks, serves_tls: false };
            let all = task_slots(slots, query_tasks);
            let free = all.saturating_sub(shards + queries + old);
            let bound = capacity.query_tasks_to_bind(WorkerLoad { free_tasks: free, shards, query_tasks: queries });
            prop_assert!(queries + bound <= query_tasks);
            prop_assert!(bound == 0 || free - bound >= 2 * slots - shards);
            prop_assert!(old > 0 || queries + bound == query_tasks, "the whole capacity is used");
        }
    }
}
