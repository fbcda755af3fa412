//! Data sets: which pictures exist of which algorithms and scenes, with which labels.
//!
//! A [`Definition`] (a TOML file, or only a folder) becomes a [`DataSet`] by [`load()`]: its pictures are found by layouts
//! (`picture_scan`), in a table (`manifest_reader`) or by an importer (`mos_mat_importer`), and get their labels. [`check()`]
//! reports what the data set lacks. This module never reads a picture: sizes come from the index of headers
//! (`crate::header_index`).

mod check;
mod data_set;
mod definition;
mod definition_file;
mod error;
mod excluded_folders;
mod fault;
mod found_pictures;
mod hazy_rows;
mod header;
mod label_error;
mod label_range;
mod labels;
mod layout;
mod layout_detection;
mod listing_with_tars;
mod load;
mod load_policy;
mod manifest_reader;
mod matlab_file;
mod mos_mat_importer;
mod new_definition;
mod path_index;
mod picture;
mod picture_scan;
mod ready_definitions;
mod reference_index;
mod scene;
mod score_table_error;
mod skipped;
mod source;
mod table_file;
mod tar_error;
mod tar_members;

pub use check::{CheckCell, CheckCounts, CheckReport, check};
pub use data_set::{ALL, AlgorithmSelection, DataSet, ExcludedFolder, Scene};
pub use definition::{Definition, Ignore, Importer, LabelsDefinition, Protocol, ReferencesDefinition, Repeated};
pub use definition_file::{definition_names, find_definition, split_given_name};
pub use dqa_metrics::ReferenceKind;
pub use error::DatasetError;
pub use fault::{Fault, FaultKind};
pub use hazy_rows::HazyRows;
pub use header::PictureHeader;
pub use label_error::LabelError;
pub use label_range::SeenLabels;
pub(crate) use labels::read_scores;
pub use labels::{ScoreColumns, TableScore, unused_labels};
pub use layout::{Captures, Layout, LayoutError};
pub use load::{load, load_from_store, load_within};
pub use load_policy::LoadPolicy;
pub use matlab_file::MatError;
pub use new_definition::{NewDefinition, WrittenRoots};
pub use picture::{Picture, Raters};
pub use scene::SceneKey;
pub use score_table_error::{NamedRows, ScoreTableError};
pub use skipped::{SkipReason, SkippedFiles};
pub use source::{DatasetSource, SourceDifference, canonical_address};
pub use table_file::numbers::Decimal;
pub use table_file::row_position::RowPosition;
pub use tar_error::TarError;

#[cfg(test)]
mod tests;
