//! Generates a synthetic data set of dehazed pictures with ground truth, of any size, for trials and for training small
//! models where no rated data are available: procedural scenes with depth, haze by the scattering model, the outputs of
//! twelve dehazing algorithms, and pseudo-labels from the comparison with the clear picture. The crate does not depend
//! on models, stores or the benchmark.
//!
//! The bytes of a picture depend only on the seed, the number of the scene and the size of the picture: not on the
//! number of scenes or threads, nor on the machine (functions such as exp come from the `libm` crate).

mod dataset;
mod dehaze;
mod filters;
mod haze;
mod noise;
mod options;
mod pixels;
mod quality;
mod rng;
mod scene;
mod scene_pictures;

pub use dataset::{DemoError, GeneratedDataset, generate_dataset};
pub use dehaze::Algorithm;
pub use options::DatasetOptions;
