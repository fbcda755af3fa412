//! All that commands do with a coordinator: run one, manage its workers and runs, and send it what a command asks for.
//! Compiled with the feature `cluster`; without it `no_cluster.rs` takes its place.

mod client;
mod command;
mod control;
mod model_upload;
mod overview;
mod query_rows;
mod run_lookup;
mod serve;
mod watch;
mod wire;
mod workers;

pub(super) use client::{Client, connect, get_report, list_runs, require_run, status_error};
pub(super) use command::ClusterCommand;
pub(super) use model_upload::upload_model;
pub(super) use overview::watch_overview;
pub(super) use query_rows::{StreamFailure, read_rows};
pub(super) use run_lookup::{find_run, find_runs};
pub(super) use watch::{has_ended, run_line, wait_until_ended, wait_until_planned};
pub(super) use wire::{device_class, group_agreement, limits_message, model_message, report_request, run_summary};
