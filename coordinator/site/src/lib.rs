//! The pages of a store: reads what a page shows from the store, has `dqa-pages` render it, serves it, and writes it as a
//! folder that needs no server.
//!
//! ```text
//! Route -pages-> LoadedRun, rows, pictures -dqa_pages-> Content -serve-> HTTP
//!                                                              |-export-> files
//! ```
//!
//! A page is made from the tables of a report and from keys, never by a scan: [`Site`] keeps the places of a run's rows.
//! Pictures are shown only if a row of the store, or a reference of its scene, names them.

mod error;
mod export;
mod live;
mod loaded_run;
mod pages;
mod part_rows;
mod pictures;
mod references;
mod run_rows;
mod scatter_data;
mod serve;
mod site;
mod speeds;
mod table_files;

pub use error::SiteError;
pub use export::{Export, ExportError, ExportOptions, ExportSummary};
pub use live::{LiveRun, LiveSource};
pub use serve::{Access, SignIn, router, serve};
pub use site::{Content, Site, Viewer};
