//! The scheduler must never lose a shard, count one twice, leave a run without an end, give a worker more shards than
//! it has slots, let a shard that kills its workers take other shards with it, or let a sick worker fail a run.

mod cases;
mod laws;
mod sick_workers;
mod trainings;
mod world;
