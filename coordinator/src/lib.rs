//! Who scores what and when: runs from a plan to their reports, studies, the engine that scores shards in this process,
//! the [`cluster`] that has workers score them, and [`cli`], the `dqa-coord` program. How a picture is scored is the worker's, what is computed the pipelines'.

pub mod cli;
pub mod cluster;
pub mod engine;
pub mod run;
pub mod study;
