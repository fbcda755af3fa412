//! Who scores what and when: runs from a plan to their reports, studies, the engines that shards go to, and [`cli`],
//! the `dqa-coord` program. How a picture is scored is the worker's, what is computed the pipelines'.

pub mod cli;
pub mod engine;
pub mod run;
pub mod study;
