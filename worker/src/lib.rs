//! The worker: [`cluster`] takes shards from a coordinator and scores them on this machine's devices; [`cli`] is the
//! `dqa-worker` program. Scoring itself is dqa-engine's, and what both programs share is dqa-service's.

pub mod cli;
pub mod cluster;
