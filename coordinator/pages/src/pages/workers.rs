//! The workers of a coordinator.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use crate::anchor::{action, clipped, link};
use crate::context::Context;
use crate::layout::{Place, live_region, page};
use crate::number::{count_text, counted, duration_text, show_count, show_time};
use crate::route::{Region, Route};
use crate::run_routes::RunRoutes;
use crate::segment::Segment;
use crate::table::{Header, framed, header_row};

/// A worker is shown as silent after this time without a report.
const SILENT: Duration = Duration::from_secs(15);

/// Failures of a worker that are shown.
const FAILURES_MAX: usize = 5;

/// The workers of a coordinator.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkersPage {
    /// The workers, in any order.
    pub workers: Vec<Worker>,
    /// The time of this page.
    pub now: Timestamp,
}

/// A worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    /// Its identifier.
    pub id: String,
    /// Its host.
    pub host: String,
    /// The version of its program.
    pub version: String,
    /// Its devices.
    pub devices: Vec<String>,
    /// Shards that it can hold at once.
    pub slots: u32,
    /// Whether it takes no more shards.
    pub draining: bool,
    /// When it registered.
    pub since: Timestamp,
    /// Time since it was last heard.
    pub silent: Duration,
    /// What it does.
    pub shards: Vec<RunningShard>,
    /// Windows that it has scored.
    pub windows: u64,
    /// Pictures that it has scored or failed.
    pub pictures: u64,
    /// Of them those without a score.
    pub pictures_failed: u64,
    /// Its last failures of whole shards, the newest first, as sentences.
    pub failures: Vec<WorkerFailure>,
}

/// A shard that a worker has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningShard {
    /// The run, if it is known.
    pub run: Option<String>,
    /// The name of the part that it makes.
    pub part: String,
    /// Windows that are scored.
    pub windows_done: u64,
    /// All of its windows, if they are known.
    pub windows: Option<u64>,
    /// Whether it is on the device. Before that, its model is fetched and loaded.
    pub is_scoring: bool,
}

/// A failure of a shard on a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerFailure {
    /// The time.
    pub time: Timestamp,
    /// The message.
    pub message: String,
}

impl WorkersPage {
    /// Renders the page.
    pub fn render(&self, context: &Context) -> String {
        let body = html! {
            h1 { "Workers" }
            (live_region(context, &Region::Workers, true, &self.region(context)))
            @if context.may_act() && self.workers.iter().any(|worker| !worker.draining) {
                section {
                    h2 { "Drain a worker" }
                    @for worker in self.sorted().into_iter().filter(|worker| !worker.draining) {
                        @let route = Route::DrainWorker(Segment::from_name(&worker.id));
                        @let consequence = format!("{} finishes what it has, and ends.", worker.id);
                        (action(context, &route, &format!("Drain {}", worker.id), &consequence))
                    }
                }
            }
        };
        page(context, Place::Workers, "Workers", &body)
    }

    /// Renders the region [`Region::Workers`].
    pub fn render_region(&self, context: &Context) -> String {
        self.region(context).into_string()
    }

    fn sorted(&self) -> Vec<&Worker> {
        let mut workers: Vec<&Worker> = self.workers.iter().collect();
        workers.sort_by(|a, b| a.id.cmp(&b.id));
        workers
    }

    fn region(&self, context: &Context) -> Markup {
        let busy = self.workers.iter().filter(|worker| !worker.shards.is_empty()).count();
        let devices = self.workers.iter().map(|worker| worker.devices.len() as u64).sum();
        html! {
            p.sub {
                (counted(self.workers.len() as u64, "worker")) " with " (counted(devices, "device")) ", " (busy)
                " at work; " (show_time(self.now)) "."
            }
            (worker_table(context, &self.workers, None))
        }
    }
}

/// Returns the table of workers, with what each does. Shards of `own` are not named by their run.
pub(crate) fn worker_table(context: &Context, workers: &[Worker], own: Option<&str>) -> Markup {
    let mut sorted: Vec<&Worker> = workers.iter().collect();
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    let headers = [
        Header::text("worker"),
        Header::text("devices").class("l opt"),
        Header { is_sortable: false, ..Header::text("does") },
        Header::number("last heard"),
        Header::number("windows").class("opt"),
        Header::number("pictures").class("opt"),
        Header::number("failed").class("opt"),
    ];
    let table = html! {
        table { (header_row(&headers)) tbody { @for worker in sorted { (row(context, worker, own)) } } }
    };
    html! {
        @if workers.is_empty() {
            div.empty {
                p { strong { "No worker is connected." } " Start one: " code { "dqa-worker run --coordinator URL" } }
            }
        } @else { (framed("Workers", &table)) }
    }
}

fn row(context: &Context, worker: &Worker, own: Option<&str>) -> Markup {
    let is_silent = worker.silent > SILENT;
    html! {
        tr {
            th.l scope="row" data-value=(worker.id) {
                (clipped(&worker.id))
                small title=(format!("version {}", worker.version)) {
                    (worker.host) ", since " (show_time(worker.since))
                }
            }
            td.l.wrap.opt { (worker.devices.join(", ")) span.dim { " (" (counted(worker.slots.into(), "slot")) ")" } }
            td.l.wrap { (does(context, worker, own)) }
            td.bad[is_silent] data-value=(worker.silent.as_millis()) { (duration_text(worker.silent)) " ago" }
            td.dim.opt { (show_count(worker.windows)) }
            td.dim.opt { (show_count(worker.pictures)) }
            td.dim.opt.bad[worker.pictures_failed > 0] { (show_count(worker.pictures_failed)) }
        }
    }
}

fn does(context: &Context, worker: &Worker, own: Option<&str>) -> Markup {
    html! {
        @if worker.draining { div.held { "draining" } }
        @if worker.shards.is_empty() && !worker.draining { span.dim { "waits for a shard" } }
        @for shard in &worker.shards {
            div {
                @match (&shard.run, own) {
                    (Some(run), own) if own != Some(run.as_str()) => {
                        (link(context, &Route::Progress(RunRoutes::new(run).run()), run)) ": "
                    }
                    _ => {}
                }
                span.mono title=(shard.part) { (shortened(&shard.part)) }
                @if shard.is_scoring { (windows(shard)) } @else { span.dim { ", loading the model" } }
            }
        }
        @for failure in worker.failures.iter().take(FAILURES_MAX) {
            div.wrapped { span.bad { "failed" } " " span.dim { (show_time(failure.time)) } " " (failure.message) }
        }
    }
}

/// Returns how far a shard is, as a number and a small bar.
fn windows(shard: &RunningShard) -> Markup {
    let percent = |all: u64| if all == 0 { 0.0 } else { shard.windows_done as f64 / all as f64 * 100.0 };
    html! {
        ", " (count_text(shard.windows_done))
        @if let Some(all) = shard.windows {
            " of " (count_text(all)) " windows"
            svg.mini aria-hidden="true" {
                rect.rest width="100%" height="100%" {}
                rect.running width=(format!("{:.1}%", percent(all).min(100.0))) height="100%" {}
            }
        } @else { " windows" }
    }
}

/// Returns the beginning of a part's name; the whole of it is in the title.
fn shortened(part: &str) -> String {
    match part.char_indices().nth(28) {
        Some((end, _)) => format!("{}\u{2026}", &part[..end]),
        None => part.to_owned(),
    }
}
