//! The pages: each file has one page, its data and its HTML.

pub(crate) mod agreement;
pub(crate) mod comparison;
pub(crate) mod error;
pub(crate) mod failures;
pub(crate) mod home;
mod label_gap;
pub(crate) mod leaderboard;
pub(crate) mod metrics;
pub(crate) mod picture;
pub(crate) mod provenance;
pub(crate) mod run;
pub(crate) mod scene;
pub(crate) mod scenes;
pub(crate) mod sign_in;
pub(crate) mod studies;
pub(crate) mod study;
pub(crate) mod trial;
pub(crate) mod workers;

pub use label_gap::LabelGap;
