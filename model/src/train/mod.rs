//! Training on people's scores: prompts, or all of CLIP, with Adam on the squared error of windows' scores.
//!
//! [`Trainer`] holds the parameters and makes steps; the caller chooses pictures, crops and epochs.

mod attention;
mod candle_engine;
mod cpu_engine;
mod layer;
mod linear;
mod loss;
mod options;
mod parameters;
mod pass;
mod prompt_projection;
mod step;
mod text_tower;
mod trainer;
mod visual_tower;

pub use options::{Trainable, TrainerOptions};
pub use step::{Example, Step, TrainerError};
pub use trainer::Trainer;
