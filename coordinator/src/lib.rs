//! Plans runs and studies and has their shards scored: [`run`] takes a run from a submission to its parts, [`study`] a
//! study to its table, [`local_engine`] scores shards in this process, `cluster` has workers score them, and [`cli`] is
//! the program `dqa-coord`. Scoring itself is in dqa-engine; reports and statistics are in dqa-pipelines.

pub mod cli;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod local_engine;
pub mod run;
pub mod study;
