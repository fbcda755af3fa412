//! Planning and recording of training: which scenes are for training and which for testing ([`Splits`]), the settings
//! that determine what is learned ([`Setup`]), and a single training on one split ([`Trial`]), whose name is a digest
//! of its inputs, like a part's.
//!
//! ```text
//! DataSet + Splits + Setup + model -plan-> Trial -(trained elsewhere)-> TrialRecord, tables
//! ```
//!
//! Pure. How a model is trained, and on which hardware, is in other crates.

mod random;
mod scene_names;
mod setup;
mod splits;
mod trial;
mod trial_record;

pub use random::{crop_offset, fragment_offsets, shuffled_order};
pub use scene_names::SceneNames;
pub use setup::{Init, Schedule, Select, Setup, SetupError, Tune, WeightsDtype};
pub use splits::{Split, Splits, SplitsError, SplitsOptions};
pub use trial::{ModelRef, PromptsRef, TRIALS, Trial, TrialError, TrialPicture, trial_key};
pub use trial_record::{KeptEpoch, Measures, TrialRecord, TrialRecordError, TrialState};
