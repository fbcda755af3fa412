//! Changes the scheduler, one event at a time, and carries out the effects that it decides on.

use std::sync::Arc;
use std::time::Duration;

use dqa_engine::shard;
use dqa_pipelines::causes;
use dqa_pipelines::plan::Shard;
use dqa_proto::v1::{Acknowledge, Drain, Stop, attend_response};
use dqa_service::net::MESSAGE_BYTES_MAX;
use dqa_service::telemetry::metrics;
use tracing::{error, info, warn};

use super::active_run::{ActiveRun, AttemptOrder, RunEvent};
use super::control_plane::ControlPlane;
use super::scheduler::{AttemptFailure, Effect, NewRun, RunId, Scheduler, ShardId, Time};

/// The largest task that is sent to a worker.
const TASK_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 4;

/// A shard on its way to a worker.
struct Dispatch {
    attempt: u64,
    shard: ShardId,
    worker: String,
    is_exclusive: bool,
    deadline: Duration,
    accepts_unreadable: bool,
}

impl ControlPlane {
    /// Changes the scheduler and carries out the effects.
    pub(super) fn update_scheduler(self: &Arc<Self>, change: impl FnOnce(&mut Scheduler, Time) -> Vec<Effect>) {
        let effects = self.scheduler.update(change);
        effects.into_iter().for_each(|effect| self.apply(effect));
    }

    /// Adds a run to the scheduler.
    pub(super) fn schedule_run(self: &Arc<Self>, run: &Arc<ActiveRun>, new: NewRun) {
        self.update_scheduler(|scheduler, now| {
            let (id, effects) = scheduler.add_run(new, now);
            // While the scheduler is locked: no effect may name the run before it is registered under its id.
            self.runs.insert_scheduled(id, run.clone());
            run.set_scheduler_id(id);
            effects
        });
    }

    /// Removes a run from the scheduler and stops its attempts.
    pub(super) fn unschedule_run(self: &Arc<Self>, id: RunId) {
        self.update_scheduler(|scheduler, now| scheduler.remove_run(id, now));
        self.runs.remove_scheduled(id);
    }

    /// Ends the recovery after a start: every active run of the store is scheduled.
    pub(super) fn finish_recovery(&self) {
        info!("all active runs of the store are scheduled");
        self.scheduler.update(|scheduler, _| scheduler.finish_recovery());
    }

    /// Handles the end of a worker's stream, if the worker has opened no other.
    pub(super) fn disconnect_worker(self: &Arc<Self>, worker: &str) {
        self.update_scheduler(|scheduler, now| scheduler.disconnect_worker(worker, now));
        if !self.has_worker(worker) {
            self.remove_executor(worker.to_owned());
        }
    }

    /// Asks a worker to finish what it runs and to accept nothing more. Returns false if the worker is unknown.
    pub(super) fn drain_worker(&self, worker: &str) -> bool {
        let is_known = self.has_worker(worker);
        if is_known {
            self.streams.send(worker, attend_response::Message::Drain(Drain {}));
        }
        is_known
    }

    fn has_worker(&self, worker: &str) -> bool {
        self.scheduler.read(|scheduler, _| scheduler.worker(worker).is_some())
    }

    fn apply(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::Dispatch { attempt, shard, worker, is_exclusive, deadline, accepts_unreadable } => {
                self.dispatch(Dispatch { attempt, shard, worker, is_exclusive, deadline, accepts_unreadable });
            }
            Effect::Stop { worker, attempts } => {
                self.streams.send(&worker, attend_response::Message::Stop(Stop { attempts }));
            }
            Effect::Acknowledge { worker, attempts } => self.acknowledge(&worker, attempts),
            Effect::CancelJob { attempt } => {
                let transport = self.transport.clone();
                tokio::spawn(async move { transport.cancel_attempt(attempt).await });
            }
            Effect::ShardDone { shard, rows_failed, duration } => {
                metrics::SHARDS_DONE.inc();
                if let Some(duration) = duration {
                    metrics::ATTEMPT_SECONDS.observe(duration.as_secs_f64());
                }
                if let Some(run) = self.runs.get_scheduled(shard.run) {
                    run.record_shard_done(shard.index, rows_failed);
                }
            }
            Effect::Quarantine { shard, code, message } => self.quarantine(shard, code.to_string(), message),
            Effect::AttemptFailed { shard, worker, kind, message } => {
                metrics::ATTEMPTS_FAILED.with_label_values(&[kind]).inc();
                if let Some(run) = self.runs.get_scheduled(shard.run) {
                    let (run, shard) = (&run.name, run.shard_name(shard.index));
                    warn!(%run, shard, worker, kind, why = message, "attempt failed");
                }
            }
            Effect::RunDone { run } => self.signal_run(run, RunEvent::Done),
            Effect::RunFailed { run, message } => self.signal_run(run, RunEvent::Failed(message)),
            Effect::WorkerLost { worker, reason } => {
                metrics::WORKERS_LOST.inc();
                self.streams.cut_off(&worker);
                warn!(worker, why = reason, "worker lost");
                self.remove_executor(worker);
            }
        }
    }

    fn signal_run(&self, id: RunId, event: RunEvent) {
        if let Some(run) = self.runs.get_scheduled(id) {
            run.signal(id, event);
        }
    }

    /// Tells the transport that a worker will not come back, so that its query tasks run elsewhere.
    fn remove_executor(&self, worker: String) {
        let transport = self.transport.clone();
        tokio::spawn(async move { transport.remove_executor(&worker).await });
    }

    fn acknowledge(&self, worker: &str, attempts: Vec<u64>) {
        let transport = self.transport.clone();
        let finished = attempts.clone();
        tokio::spawn(async move {
            futures::future::join_all(finished.into_iter().map(|attempt| transport.finish_attempt(attempt))).await;
        });
        self.streams.send(worker, attend_response::Message::Acknowledge(Acknowledge { attempts }));
    }

    /// Returns a shard with its run, or `None` if the run was unscheduled.
    fn scheduled_shard(&self, id: ShardId) -> Option<(Arc<ActiveRun>, Shard)> {
        let run = self.runs.get_scheduled(id.run)?;
        let shard = run.shard(&self.store, id.index)?;
        Some((run, shard))
    }

    /// Hands a shard to the transport for its worker.
    fn dispatch(self: &Arc<Self>, dispatch: Dispatch) {
        let plane = self.clone();
        tokio::spawn(async move {
            let Dispatch { attempt, shard, worker, is_exclusive, deadline, accepts_unreadable } = dispatch;
            let Some(run) = plane.runs.get_scheduled(shard.run) else { return };
            let order = AttemptOrder { attempt, deadline, is_exclusive, accepts_unreadable };
            let Some(task) = run.task(&plane.store, shard.index, order) else { return };
            let text = task.to_text();
            let (failure, message) = if text.len() > TASK_BYTES_MAX {
                let mebibytes = text.len() >> 20;
                let message = format!(
                    "a task of {mebibytes} MiB is too large to send: use smaller --shard-windows, or train on fewer pictures"
                );
                (AttemptFailure::Undeliverable, message)
            } else if let Err(error) = plane.transport.submit_shard(attempt, worker, text).await {
                (AttemptFailure::Undelivered, causes(error.as_ref()).to_string())
            } else {
                return;
            };
            plane.update_scheduler(|scheduler, now| scheduler.dispatch_failed(attempt, failure, message, now));
        });
    }

    /// Writes the rows of a quarantined shard: each has an error code instead of a score. A training that is given up has no
    /// rows: its run fails when everything else is done.
    fn quarantine(self: &Arc<Self>, id: ShardId, code: String, message: String) {
        metrics::SHARDS_QUARANTINED.inc();
        let plane = self.clone();
        if let Some(run) = self.runs.get_scheduled(id.run)
            && run.give_up_training(id.index, &message)
        {
            error!(run = %run.name, training = run.shard_name(id.index), why = message, "training given up");
            // Not within the change of the scheduler that decided it.
            tokio::spawn(async move {
                plane.update_scheduler(|scheduler, now| scheduler.finish_quarantine(id, Ok(0), now));
            });
            return;
        }
        tokio::spawn(async move {
            let Some((run, shard)) = plane.scheduled_shard(id) else { return };
            error!(run = %run.name, shard = shard.name(), code, why = message, "shard quarantined");
            let store = plane.store.clone();
            // A task of its own: if it panics, the shard is retried too.
            let written = tokio::spawn(async move { shard::write_failed(&store, &shard, &code, &message).await });
            let written = written.await.map_err(anyhow::Error::from).and_then(|written| Ok(written?));
            let rows = written.map(|written| written.failed).map_err(|error| {
                warn!(error = %causes(error.as_ref()), "a quarantined shard's rows were not written; it is retried");
            });
            plane.update_scheduler(|scheduler, now| scheduler.finish_quarantine(id, rows, now));
        });
    }
}
