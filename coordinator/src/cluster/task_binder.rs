//! Which worker gets which of Ballista's tasks. A shard's is for the worker that the scheduler chose. A query's is for any
//! that has time for one: queries take turns, and never take what a worker's shards may need.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::execution_plans::{RangeShuffleReaderExec, ShuffleReaderExec};
use ballista_core::serde::protobuf::AvailableVcores;
use ballista_core::serde::scheduler::TaskKey;
use ballista_scheduler::cluster::{BoundTask, DistributionPolicy};
use ballista_scheduler::state::execution_graph::{TaskDescription, create_task_info};
use ballista_scheduler::state::task_manager::JobInfoCache;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use dqa_worker::cluster::tasks;

/// Who is told that Ballista has a task for a worker, that the worker has fetched it, and who it knows.
pub(super) trait Workers: Send + Sync + 'static {
    /// Ballista has a task for this worker.
    fn wake(&self, worker: &str);

    /// This attempt is in the answer to its worker's poll.
    fn fetched(&self, attempt: u64);

    /// Whether this worker has said hello.
    fn knows(&self, worker: &str) -> bool;

    /// What a worker takes, if it is here and not about to leave.
    fn offer(&self, worker: &str) -> Option<Offer>;

    /// Of all that are.
    fn offers(&self) -> Vec<(String, Offer)>;
}

/// What a worker takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) slots: usize,
    pub(super) query_tasks: usize,
    /// Its port is encrypted.
    pub(super) serves_tls: bool,
}

impl Offer {
    /// Tasks of queries that it takes now: so many of its tasks are free, `shards` it has, `queries` it has.
    fn takes(self, free: usize, shards: usize, queries: usize) -> usize {
        // What still runs of queries that nobody waits for is neither; it is in what is not free.
        let of_shards = tasks(self.slots, 0).saturating_sub(shards);
        free.saturating_sub(of_shards).min(self.query_tasks.saturating_sub(queries))
    }
}

/// Where jobs go.
pub(super) struct TaskBinder {
    jobs: Mutex<Jobs>,
    workers: Arc<dyn Workers>,
}

#[derive(Default)]
struct Jobs {
    /// The job of each attempt that was not forgotten, with its worker.
    of_attempt: HashMap<u64, (JobId, String)>,
    /// Those that are still to be fetched, by worker.
    of_worker: HashMap<String, Vec<(u64, JobId)>>,
    /// Ready before it was known whose they are.
    ready: HashSet<JobId>,
    worker_of: HashMap<JobId, String>,
    /// Attempts that were given up before they had a job.
    forgotten: HashSet<u64>,
    /// Those of queries, by whose turn it is.
    queries: VecDeque<JobId>,
}

impl TaskBinder {
    pub(super) fn new(workers: Arc<dyn Workers>) -> TaskBinder {
        TaskBinder { jobs: Mutex::default(), workers }
    }

    pub(super) fn workers(&self) -> &Arc<dyn Workers> {
        &self.workers
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt's job is for this worker. False: nobody waits for it any more.
    pub(super) fn place(&self, attempt: u64, worker: String, job: JobId) -> bool {
        let mut jobs = self.jobs();
        if jobs.forgotten.remove(&attempt) {
            jobs.ready.remove(&job);
            return false;
        }
        jobs.of_attempt.insert(attempt, (job.clone(), worker.clone()));
        jobs.of_worker.entry(worker.clone()).or_default().push((attempt, job.clone()));
        let is_ready = jobs.ready.remove(&job);
        jobs.worker_of.insert(job, worker.clone());
        drop(jobs);
        if is_ready {
            self.workers.wake(&worker);
        }
        true
    }

    /// A query's job is for all workers.
    pub(super) fn open(&self, job: JobId) {
        let mut jobs = self.jobs();
        let is_ready = jobs.ready.remove(&job);
        jobs.queries.push_back(job);
        drop(jobs);
        if is_ready {
            self.wake_all();
        }
    }

    /// A query's job is for nobody any more.
    pub(super) fn close(&self, job: &JobId) {
        let mut jobs = self.jobs();
        jobs.queries.retain(|other| other != job);
        jobs.ready.remove(job);
    }

    /// Of queries.
    pub(super) fn queries(&self) -> usize {
        self.jobs().queries.len()
    }

    /// Ballista has planned a job.
    pub(super) fn ready(&self, job: JobId) {
        let mut jobs = self.jobs();
        if jobs.queries.contains(&job) {
            drop(jobs);
            return self.wake_all();
        }
        let Some(worker) = jobs.worker_of.get(&job).cloned() else {
            jobs.ready.insert(job);
            return;
        };
        drop(jobs);
        self.workers.wake(&worker);
    }

    /// A query's next stage can begin.
    pub(super) fn goes_on(&self, job: &JobId) {
        let is_query = self.jobs().queries.contains(job);
        if is_query {
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        let offers = self.workers.offers();
        offers.iter().filter(|(_, offer)| offer.query_tasks > 0).for_each(|(worker, _)| self.workers.wake(worker));
    }

    /// An attempt's job, for which nobody waits; one that has none yet will get none.
    pub(super) fn forget(&self, attempt: u64) -> Option<JobId> {
        let job = self.take(attempt);
        if job.is_none() {
            self.jobs().forgotten.insert(attempt);
        }
        job
    }

    /// An attempt's job, whose outcome is known.
    pub(super) fn take(&self, attempt: u64) -> Option<JobId> {
        let mut jobs = self.jobs();
        let (job, worker) = jobs.of_attempt.remove(&attempt)?;
        jobs.worker_of.remove(&job);
        jobs.ready.remove(&job);
        if let Some(of_worker) = jobs.of_worker.get_mut(&worker) {
            of_worker.retain(|(_, other)| *other != job);
            if of_worker.is_empty() {
                jobs.of_worker.remove(&worker);
            }
        }
        Some(job)
    }

    /// Tasks of queries for a worker that has got its shards.
    async fn bind_queries(
        &self,
        budget: &mut AvailableVcores,
        running: &HashMap<JobId, JobInfoCache>,
    ) -> Vec<TaskDescription> {
        let mut bound = Vec::new();
        let (queries, shards) = {
            let jobs = self.jobs();
            if jobs.queries.is_empty() {
                return bound;
            }
            let shards = jobs.of_attempt.values().filter(|(_, worker)| *worker == budget.executor_id).count();
            (jobs.queries.clone(), shards)
        };
        let Some(offer) = self.workers.offer(&budget.executor_id) else {
            return bound;
        };
        let mut has = 0;
        for job in queries.iter().filter_map(|job| running.get(job)) {
            let tasks = job.execution_graph.read().await.running_tasks();
            has += tasks.iter().filter(|task| task.executor_id == budget.executor_id).count();
        }
        let takes = offer.takes(budget.vcores as usize, shards, has);
        let mut turns: VecDeque<&JobId> = queries.iter().filter(|job| running.contains_key(*job)).collect();
        while bound.len() < takes
            && let Some(job) = turns.pop_front()
        {
            if let Some(task) = bind(job, &running[job], budget).await {
                bound.push(task);
                turns.push_back(job);
                self.jobs().has_had_turn(job);
            }
        }
        bound
    }
}

impl Jobs {
    fn has_had_turn(&mut self, job: &JobId) {
        if let Some(at) = self.queries.iter().position(|other| other == job) {
            self.queries.remove(at);
            self.queries.push_back(job.clone());
        }
    }
}

impl fmt::Debug for TaskBinder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskBinder")
    }
}

#[async_trait]
impl DistributionPolicy for TaskBinder {
    /// A worker gets a job that is placed with it, one a poll, since an answer has a most size and it polls again at once;
    /// then tasks of queries.
    async fn bind_tasks(
        &self,
        budgets: Vec<&mut AvailableVcores>,
        running: Arc<HashMap<JobId, JobInfoCache>>,
    ) -> datafusion::error::Result<Vec<BoundTask>> {
        let mut bound = Vec::new();
        for budget in budgets {
            let placed = self.jobs().of_worker.get(&budget.executor_id).cloned().unwrap_or_default();
            for (attempt, job) in placed {
                let Some(info) = running.get(&job).filter(|_| budget.vcores > 0) else {
                    continue;
                };
                if let Some(task) = bind(&job, info, budget).await {
                    // Before the answer leaves: the worker may be gone as soon as it has it.
                    self.workers.fetched(attempt);
                    bound.push((budget.executor_id.clone(), task));
                }
                if let Some(of_worker) = self.jobs().of_worker.get_mut(&budget.executor_id) {
                    of_worker.retain(|(_, other)| *other != job);
                }
                break;
            }
            let of_queries = self.bind_queries(budget, &running).await;
            bound.extend(of_queries.into_iter().map(|task| (budget.executor_id.clone(), task)));
        }
        Ok(bound)
    }

    fn name(&self) -> &'static str {
        "dqa"
    }
}

/// The next task of a job, for the worker whose budget this is: one partition, or all of a stage that brings them together.
async fn bind(job: &JobId, info: &JobInfoCache, budget: &mut AvailableVcores) -> Option<TaskDescription> {
    let mut graph = info.execution_graph.write().await;
    let session_id = graph.session_id().to_owned();
    let stage = graph.fetch_running_stage(&[])?;
    let partitions = stage.pending.next_slice(if brings_together(&stage.plan) { usize::MAX } else { 1 });
    let task_attempt = partitions.iter().map(|partition| stage.task_failure_numbers[*partition]).max()?;
    let task_id = stage.task_infos.len();
    let mut info = create_task_info(budget.executor_id.clone(), task_id);
    info.global_input_partition_ids.clone_from(&partitions);
    info.vcores_consumed = 1;
    stage.task_infos.push(info);
    budget.vcores -= 1;
    Some(TaskDescription {
        session_id,
        key: TaskKey { job_id: job.clone(), stage_id: stage.stage_id, task_id },
        stage_attempt_num: stage.stage_attempt_num,
        task_attempt,
        global_input_partition_ids: partitions,
        vcores_consumed: 1,
        plan: stage.plan.clone(),
        session_config: stage.session_config.clone(),
    })
}

/// Whether a stage has a step that wants all of its input. Two tasks of it would each give a part for the whole. It is
/// Ballista's own rule (`stage_has_input_collapse`), which it applies in its own policies alone.
fn brings_together(stage: &Arc<dyn ExecutionPlan>) -> bool {
    let [mut step] = stage.children()[..] else {
        return false;
    };
    loop {
        if step.is::<ShuffleReaderExec>() || step.is::<RangeShuffleReaderExec>() {
            return false;
        }
        if step.output_partitioning().partition_count() == 1 {
            return true;
        }
        match step.children()[..] {
            [input] => step = input,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However busy a worker is, a query leaves its shards what they may need.
        #[test]
        fn queries_leave_room_for_shards(
            slots in 1_usize..9, query_tasks in 0_usize..9, shards in 0_usize..20, queries in 0_usize..9, old in 0_usize..9,
        ) {
            let shards = shards.min(2 * slots);
            let queries = queries.min(query_tasks);
            let offer = Offer { slots, query_tasks, serves_tls: false };
            let all = tasks(slots, query_tasks);
            let free = all.saturating_sub(shards + queries + old);
            let takes = offer.takes(free, shards, queries);
            prop_assert!(queries + takes <= query_tasks);
            prop_assert!(takes == 0 || free - takes >= 2 * slots - shards);
            prop_assert!(old > 0 || queries + takes == query_tasks, "what it offers is used");
        }
    }
}
