//! Decides who scores what, and when: runs from a plan to their reports, studies, the engine that scores shards in this
//! process, the `cluster` whose workers score them, and [`cli`], the program `dqa-coord`. Scoring itself is the
//! worker's, and what is computed from scores is the pipelines'.

pub mod cli;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod engine;
pub mod run;
pub mod study;
