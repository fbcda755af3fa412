//! The scheduler decides which worker scores which shard. It is pure: it knows no network, no store and no clock.
//! Events come in with their time, and what is to be done comes out as [`Effect`]s.
//!
//! A shard is in exactly one state: it waits, waits for a time, is run by one attempt, or is done. An attempt ends by
//! the outcome that its worker reports, or because the worker is lost; reports of an attempt that has ended change
//! nothing. So a shard that two workers score is counted once, and no shard is forgotten.
//!
//! `state` holds runs and attempts; `dispatch` chooses shards for workers; `worker_events` handles messages of
//! workers, `liveness` their absence; `outcome` and `retry` decide what follows from a finished attempt.
//!
//! A failure may be the worker's fault. `tried_workers` remembers where a shard failed: another worker tries it next,
//! and nothing is held against the shard or its run before every worker had its turn. `worker_health` keeps shards away
//! from a worker that fails while others succeed.

mod attempt;
mod dispatch;
mod effect;
mod ids;
mod liveness;
mod outcome;
mod policy;
mod retry;
mod run;
mod state;
#[cfg(test)]
mod tests;
mod tried_workers;
mod worker;
mod worker_events;
mod worker_health;

pub(crate) use effect::Effect;
pub(crate) use ids::{RunId, ShardId, Time};
pub(crate) use policy::Policy;
pub(crate) use retry::AttemptFailure;
pub(crate) use run::{NewRun, ShardSummary, Tally};
pub(crate) use state::Scheduler;
pub(crate) use worker::Worker;
