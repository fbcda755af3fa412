//! Training as it is planned and recorded: which scenes learn and which test ([`Splits`]), everything that determines what
//! is learned ([`Setup`]), and one training of one split ([`Trial`]), named by its content as a part is.
//!
//! ```text
//! DataSet + Splits + Setup + model -plan-> Trial -(trained elsewhere)-> TrialRecord, tables
//! ```
//!
//! Pure: how a model learns, and on what, is not known here.

mod chance;
mod record;
mod scenes;
mod setup;
mod splits;
mod trial;

pub use chance::{crop, order};
pub use record::{Kept, Measures, RecordError, TrialRecord, TrialState};
pub use scenes::SceneTexts;
pub use setup::{Init, Schedule, Select, Setup, SetupError, Tune, WeightsDtype};
pub use splits::{Split, Splits, SplitsError, SplitsOptions};
pub use trial::{ModelRef, PromptsRef, TRIALS, Trial, TrialError, TrialPicture, trial_key};
