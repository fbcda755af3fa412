//! A synthetic data set of dehazed pictures with truth, of any size, for trying things out and for training small models
//! where no rated data can be had: procedural scenes with distances, haze by the scattering model, the pictures of twelve
//! dehazers, and pseudo-labels from comparing with the clear picture. It knows nothing of models, stores or the benchmark.
//!
//! A picture's bytes depend on the seed, the scene's number and the size, and on nothing else: not on the number of scenes or
//! threads, nor on the machine (functions like exp are the `libm` crate's).

mod dataset;
mod dehaze;
mod filters;
mod haze;
mod plane;
mod quality;
mod random;
mod scene;
mod scene_set;

pub use dataset::{DemoError, Made, make};
pub use dehaze::Algorithm;

/// What data set is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demo {
    /// What it is called: letters, digits and `. _ + -`.
    pub name: String,
    /// How many scenes; each in 14 pictures.
    pub scenes: u64,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Another seed, other scenes.
    pub seed: u64,
}
