//! Trainings as the work of a cluster: what a user asks a coordinator for, and the units that it hands to workers.
//!
//! A [`TrainingRequest`] is kept in the record of its run, so that a coordinator can plan it again after a restart: the
//! trials and evaluations that it needs are named by their content, and those that the store has are not made again. A
//! [`TrainingUnit`] is one of them, with everything that a worker needs beside the [`TrainingModel`].

mod request;
mod unit;

pub use request::{TrainedSplits, TrainingModel, TrainingRequest, TrainingWork};
pub use unit::TrainingUnit;
