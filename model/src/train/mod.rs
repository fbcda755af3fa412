//! Training on people's scores: prompts, or all of CLIP, with Adam on the squared error of windows' scores.
//!
//! [`Trainer`] holds the parameters and makes steps; the caller chooses pictures, crops and epochs.

mod attention;
mod candle_engine;
mod cpu_engine;
mod error;
mod layer;
mod linear;
mod loss;
mod options;
mod parameters;
mod pass_types;
mod prompt_projection;
mod step_types;
mod text_tower;
mod trainer;
mod visual_tower;

pub use error::TrainerError;
pub use options::{Trainable, TrainerOptions};
pub use step_types::{Example, Step};
pub use trainer::Trainer;
