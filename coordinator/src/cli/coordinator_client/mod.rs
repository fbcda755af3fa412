//! Sends commands to a coordinator. Compiled with the feature `cluster`; without it `without_cluster_feature.rs` takes its place.

mod client;
mod model_upload;
mod query_rows;
mod run_lookup;
mod run_watch;
mod status_watch;
mod wire;
mod worker_table;

pub(super) use client::{Client, connect, get_report, list_runs, require_run, status_error};
pub(super) use model_upload::upload_model;
pub(super) use query_rows::{StreamFailure, read_rows};
pub(super) use run_lookup::{find_named_run, find_run, find_runs};
pub(super) use run_watch::{has_ended, paused_line, run_line, wait_until_ended, wait_until_planned};
pub(super) use status_watch::watch_overview;
pub(super) use wire::{device_class, group_agreement, report_request, run_summary, table_format, table_to_wire};
pub(super) use worker_table::print_workers;
