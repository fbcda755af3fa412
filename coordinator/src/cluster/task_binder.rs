//! Binds Ballista's tasks to workers. A shard's task goes to the worker that our scheduler chose. A query's task goes
//! to any worker with capacity: queries take turns, and leave a worker's shards the tasks that they may need.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::execution_plans::{RangeShuffleReaderExec, ShuffleReaderExec};
use ballista_core::serde::protobuf::AvailableVcores;
use ballista_core::serde::scheduler::TaskKey;
use ballista_scheduler::cluster::{BoundTask, DistributionPolicy};
use ballista_scheduler::state::execution_graph::{TaskDescription, create_task_info};
use ballista_scheduler::state::task_manager::JobInfoCache;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use parking_lot::Mutex;

use super::worker_directory::{WorkerDirectory, WorkerLoad};

pub(super) struct TaskBinder {
    jobs: Mutex<Jobs>,
    workers: Arc<WorkerDirectory>,
}

#[derive(Default)]
struct Jobs {
    /// The job and the worker of each attempt that has not ended.
    attempts: HashMap<u64, (JobId, String)>,
    /// By worker: attempts that the worker has not fetched.
    unfetched: HashMap<String, Vec<(u64, JobId)>>,
    /// The worker of each shard's job.
    workers: HashMap<JobId, String>,
    /// Jobs that Ballista planned before they were placed here.
    planned: HashSet<JobId>,
    /// Attempts that were cancelled before they had a job.
    cancelled: HashSet<u64>,
    /// Jobs of queries, the next in turn first.
    queries: VecDeque<JobId>,
}

impl TaskBinder {
    pub(super) fn new(workers: Arc<WorkerDirectory>) -> TaskBinder {
        TaskBinder { jobs: Mutex::default(), workers }
    }

    /// Places the job of an attempt with a worker. Returns false if the attempt was cancelled meanwhile.
    pub(super) fn place_attempt(&self, attempt: u64, worker: String, job: JobId) -> bool {
        let is_planned = {
            let mut jobs = self.jobs.lock();
            let is_planned = jobs.planned.remove(&job);
            if jobs.cancelled.remove(&attempt) {
                return false;
            }
            jobs.attempts.insert(attempt, (job.clone(), worker.clone()));
            jobs.unfetched.entry(worker.clone()).or_default().push((attempt, job.clone()));
            jobs.workers.insert(job, worker.clone());
            is_planned
        };
        if is_planned {
            self.workers.wake(&worker);
        }
        true
    }

    /// Opens a query: all workers may get its tasks.
    pub(super) fn open_query(&self, job: JobId) {
        let is_planned = {
            let mut jobs = self.jobs.lock();
            let is_planned = jobs.planned.remove(&job);
            jobs.queries.push_back(job);
            is_planned
        };
        if is_planned {
            self.wake_query_workers();
        }
    }

    /// Closes a query: no worker gets more of its tasks.
    pub(super) fn close_query(&self, job: &JobId) {
        let mut jobs = self.jobs.lock();
        jobs.queries.retain(|other| other != job);
        jobs.planned.remove(job);
    }

    pub(super) fn open_queries(&self) -> usize {
        self.jobs.lock().queries.len()
    }

    /// Wakes the workers of a job that Ballista has planned.
    pub(super) fn job_planned(&self, job: JobId) {
        let mut jobs = self.jobs.lock();
        if jobs.queries.contains(&job) {
            drop(jobs);
            return self.wake_query_workers();
        }
        let Some(worker) = jobs.workers.get(&job).cloned() else {
            jobs.planned.insert(job);
            return;
        };
        drop(jobs);
        self.workers.wake(&worker);
    }

    /// Wakes workers for the next stage of a query.
    pub(super) fn stages_runnable(&self, job: &JobId) {
        let is_query = self.jobs.lock().queries.contains(job);
        if is_query {
            self.wake_query_workers();
        }
    }

    fn wake_query_workers(&self) {
        let capacities = self.workers.capacities();
        let takes_queries = capacities.iter().filter(|(_, capacity)| capacity.query_tasks > 0);
        takes_queries.for_each(|(worker, _)| self.workers.wake(worker));
    }

    /// Removes an attempt that is cancelled and returns its job. An attempt without a job will get none.
    pub(super) fn cancel_attempt(&self, attempt: u64) -> Option<JobId> {
        let job = self.remove_attempt(attempt);
        if job.is_none() {
            self.jobs.lock().cancelled.insert(attempt);
        }
        job
    }

    /// Removes an attempt that has ended and returns its job.
    pub(super) fn remove_attempt(&self, attempt: u64) -> Option<JobId> {
        let mut jobs = self.jobs.lock();
        let (job, worker) = jobs.attempts.remove(&attempt)?;
        jobs.workers.remove(&job);
        jobs.planned.remove(&job);
        if let Some(unfetched) = jobs.unfetched.get_mut(&worker) {
            unfetched.retain(|(_, other)| *other != job);
            if unfetched.is_empty() {
                jobs.unfetched.remove(&worker);
            }
        }
        Some(job)
    }

    /// Binds the next shard of a worker. A response holds only one, because its size is limited; the worker polls again
    /// at once.
    async fn bind_shard(
        &self,
        budget: &mut AvailableVcores,
        running: &HashMap<JobId, JobInfoCache>,
    ) -> Option<TaskDescription> {
        let worker = budget.executor_id.clone();
        let unfetched = self.jobs.lock().unfetched.get(&worker).cloned().unwrap_or_default();
        let is_running = |(_, job): &(u64, JobId)| running.contains_key(job);
        let (attempt, job) = unfetched.into_iter().find(is_running).filter(|_| budget.vcores > 0)?;
        let task = bind_task(&job, &running[&job], budget).await;
        if task.is_some() {
            // Before the response is sent: the worker may die as soon as it has it.
            self.workers.mark_fetched(attempt);
        }
        if let Some(unfetched) = self.jobs.lock().unfetched.get_mut(&worker) {
            unfetched.retain(|(_, other)| *other != job);
        }
        task
    }

    /// Binds query tasks to a worker whose shard is bound.
    async fn bind_queries(
        &self,
        budget: &mut AvailableVcores,
        running: &HashMap<JobId, JobInfoCache>,
    ) -> Vec<TaskDescription> {
        let mut bound = Vec::new();
        let (queries, shards) = {
            let jobs = self.jobs.lock();
            if jobs.queries.is_empty() {
                return bound;
            }
            let shards = jobs.attempts.values().filter(|(_, worker)| *worker == budget.executor_id).count();
            (jobs.queries.clone(), shards)
        };
        let Some(capacity) = self.workers.capacity(&budget.executor_id) else {
            return bound;
        };
        let mut query_tasks = 0;
        for job in queries.iter().filter_map(|job| running.get(job)) {
            let tasks = job.execution_graph.read().await.running_tasks();
            query_tasks += tasks.iter().filter(|task| task.executor_id == budget.executor_id).count();
        }
        let load = WorkerLoad { free_tasks: budget.vcores as usize, shards, query_tasks };
        let tasks_max = capacity.query_tasks_to_bind(load);
        let mut turns: VecDeque<&JobId> = queries.iter().filter(|job| running.contains_key(*job)).collect();
        while bound.len() < tasks_max
            && let Some(job) = turns.pop_front()
        {
            if let Some(task) = bind_task(job, &running[job], budget).await {
                bound.push(task);
                turns.push_back(job);
                self.jobs.lock().end_turn(job);
            }
        }
        bound
    }
}

impl Jobs {
    /// Moves a query to the end of the turns.
    fn end_turn(&mut self, job: &JobId) {
        if let Some(position) = self.queries.iter().position(|other| other == job) {
            self.queries.remove(position);
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
    async fn bind_tasks(
        &self,
        budgets: Vec<&mut AvailableVcores>,
        running: Arc<HashMap<JobId, JobInfoCache>>,
    ) -> datafusion::error::Result<Vec<BoundTask>> {
        let mut bound = Vec::new();
        for budget in budgets {
            let shard = self.bind_shard(budget, &running).await;
            let queries = self.bind_queries(budget, &running).await;
            bound.extend(shard.into_iter().chain(queries).map(|task| (budget.executor_id.clone(), task)));
        }
        Ok(bound)
    }

    fn name(&self) -> &'static str {
        "dqa"
    }
}

/// Binds the next task of a job to the worker with this budget: one partition, or all partitions of a stage that must
/// run as one task.
async fn bind_task(job: &JobId, info: &JobInfoCache, budget: &mut AvailableVcores) -> Option<TaskDescription> {
    let mut graph = info.execution_graph.write().await;
    let session_id = graph.session_id().to_owned();
    let stage = graph.fetch_running_stage(&[])?;
    let partitions_max = if needs_all_input(&stage.plan) { usize::MAX } else { 1 };
    let partitions = stage.pending.next_slice(partitions_max);
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

/// Returns whether a stage has a step that needs all of its input, so that each of two tasks would return a part as the
/// whole. This is Ballista's own rule (`stage_has_input_collapse`), which it applies only in its own policies.
fn needs_all_input(stage: &Arc<dyn ExecutionPlan>) -> bool {
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
