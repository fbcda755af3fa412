//! A run while it is under way, and after: progress, speed, workers, actions.

use std::time::Duration;

use dqa_pipelines::run::RunState;
use dqa_pipelines::run_progress::Progress;
use jiff::Timestamp;
use maud::{Markup, html};

use crate::anchor::{action, link};
use crate::chart::lines::{LineChart, Series};
use crate::chart::progress::{Share, progress_bar};
use crate::context::Context;
use crate::layout::{Place, live_region, page, state_class};
use crate::number::{Digits, count_text, counted, duration_text, show_count, show_time};
use crate::pages::workers::{Worker, worker_table};
use crate::route::{Region, Route, RunAction};
use crate::run_routes::RunRoutes;
use crate::table::framed;

/// Rows of the table of speeds.
const SPEED_ROWS: usize = 60;

/// A run's progress.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPage {
    /// The run's name.
    pub run: String,
    /// Its current state.
    pub state: RunState,
    /// When it was first planned.
    pub created: Timestamp,
    /// When its record was last written.
    pub updated: Timestamp,
    /// How much of it is in the store.
    pub progress: Progress,
    /// Pictures of the shards that are under way now. 0 if nobody knows.
    pub pictures_running: u64,
    /// Shards that wait for another attempt.
    pub shards_retrying: u64,
    /// Shards that were given up.
    pub shards_quarantined: u64,
    /// Windows per second, the average over the last minute.
    pub windows_per_second: Option<f64>,
    /// The remaining time at this speed.
    pub remaining: Option<Duration>,
    /// The speed over time, oldest first.
    pub speeds: Vec<Speed>,
    /// The process or coordinator that works on it.
    pub owner: Option<String>,
    /// The workers that score its shards, or may. None if no coordinator serves the page.
    pub workers: Option<Vec<Worker>>,
    /// Why the run failed.
    pub failure: Option<String>,
    /// What the user can do.
    pub hint: Option<String>,
    /// What may be asked of the run in its state. They are shown only if the user may act.
    pub actions: Vec<RunAction>,
    /// The time of this page.
    pub now: Timestamp,
}

/// A point of the speed over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// The time.
    pub time: Timestamp,
    /// Windows per second.
    pub windows_per_second: f64,
}

impl RunPage {
    /// Renders the page.
    pub fn render(&self, context: &Context) -> String {
        let region = Region::Run(RunRoutes::new(&self.run).run());
        // An ended run may be resumed by those who may act.
        let is_live = self.state.is_active() || self.state == RunState::Interrupted || context.may_act();
        let body = html! {
            h1 { (self.run) }
            // The actions are not in the region, so that a confirmation is not folded while it is read.
            (live_region(context, &region, is_live, &self.region(context)))
            (self.actions(context))
        };
        page(context, Place::Progress, &format!("{}: progress", self.run), &body)
    }

    /// Renders the region [`Region::Run`].
    pub fn render_region(&self, context: &Context) -> String {
        self.region(context).into_string()
    }

    fn region(&self, context: &Context) -> Markup {
        html! {
            p.sub {
                strong.(state_class(self.state)) { (self.state) }
                ", planned " (show_time(self.created)) ", last written "
                (show_time(self.updated))
                @if let Some(owner) = &self.owner { "; " (owner) } "."
            }
            @if let Some(failure) = &self.failure { p.notice.bad { (failure) } }
            @if let Some(hint) = &self.hint { p.notice { (hint) } }
            @if self.state == RunState::Complete {
                p { (link(context, &Route::Run(RunRoutes::new(&self.run).run()), "Its leaderboard")) }
            }
            @if self.progress.parts == 0 {
                p.empty { "Its shards are being planned: pictures are listed, and their headers read." }
            } @else {
                (progress_bar(&self.shares(), "Pictures"))
                (self.figures())
                (self.speed_chart())
            }
            @if let Some(workers) = &self.workers {
                h2 { "Workers" }
                (worker_table(context, workers, Some(&self.run)))
            }
        }
    }

    /// Returns the pictures by their state. What is running is not done yet, so it is part of the rest.
    fn shares(&self) -> [Share; 4] {
        let Progress { pictures, scored, failed, .. } = self.progress;
        let rest = pictures.saturating_sub(scored + failed);
        let running = self.pictures_running.min(rest);
        let share = |name, class, count| Share { name, class, count };
        [
            share("scored", "scored", scored),
            share("failed", "failed", failed),
            share("running", "running", running),
            share("waiting", "waiting", rest - running),
        ]
    }

    fn figures(&self) -> Markup {
        let progress = &self.progress;
        html! {
            dl.figures {
                @if let Some(remaining) = self.remaining {
                    div { dt { "remaining" } dd { "about " (duration_text(remaining)) } }
                }
                @if let Some(speed) = self.windows_per_second {
                    div {
                        dt { "speed" } dd { (Digits::for_values([speed]).show(Some(speed))) " " small { "windows/s" } }
                    }
                }
                div {
                    dt { "windows" }
                    dd { (show_count(progress.windows_done)) " " small { "of " (count_text(progress.windows)) } }
                }
                div {
                    dt { "shards" }
                    dd { (show_count(progress.parts_done)) " " small { "of " (count_text(progress.parts)) } }
                }
                @if self.shards_retrying > 0 {
                    div { dt { "waiting for a retry" } dd { (show_count(self.shards_retrying)) } }
                }
                @if self.shards_quarantined > 0 {
                    div { dt { "given up" } dd.bad { (show_count(self.shards_quarantined)) } }
                }
            }
        }
    }

    fn speed_chart(&self) -> Markup {
        let ago = |speed: &Speed| (self.now.as_second() - speed.time.as_second()) as f64;
        let is_short = self.speeds.first().is_none_or(|first| ago(first) < 180.0);
        let (unit, seconds) = if is_short { ("seconds", 1.0) } else { ("minutes", 60.0) };
        let point = |speed: &Speed| (-ago(speed) / seconds, Some(speed.windows_per_second));
        let points = self.speeds.iter().map(point).collect();
        let chart = LineChart {
            series: &[Series { name: "windows per second", class: "c5", points }],
            x_name: unit,
            y_name: "windows per second",
            label: "windows per second over time",
            shape: "speed",
            from_zero: true,
        };
        html! {
            @if self.speeds.len() > 1 {
                @if let Some(chart) = chart.draw() { (chart) (self.speed_table()) }
            }
        }
    }

    /// Returns the last speeds as a table. It has an id, so that it stays open when the region is replaced.
    fn speed_table(&self) -> Markup {
        let digits = Digits::for_values(self.speeds.iter().map(|speed| speed.windows_per_second));
        let table = html! {
            table {
                thead { tr { th.l scope="col" { "time" } th scope="col" { "windows per second" } } }
                tbody {
                    @for speed in self.speeds.iter().rev().take(SPEED_ROWS) {
                        tr {
                            th.l scope="row" { (show_time(speed.time)) }
                            td { (digits.show(Some(speed.windows_per_second))) }
                        }
                    }
                }
            }
        };
        html! { details.behind #speeds { summary { "Table" } (framed("Windows per second", &table)) } }
    }

    fn actions(&self, context: &Context) -> Markup {
        let segment = RunRoutes::new(&self.run).run();
        html! {
            @if context.may_act() && !self.actions.is_empty() {
                section {
                    h2 { "Actions" }
                    @for act in &self.actions {
                        @let (name, consequence) = self.consequence(*act);
                        (action(context, &Route::RunAction(segment.clone(), *act), name, &consequence))
                    }
                }
            }
        }
    }

    /// Returns the name of an action, and what happens if it is asked for.
    fn consequence(&self, action: RunAction) -> (&'static str, String) {
        let missing = self.progress.parts.saturating_sub(self.progress.parts_done);
        match action {
            RunAction::Pause => (
                "Pause",
                "No more shards are handed out. Those under way are finished, and their results kept.".to_owned(),
            ),
            RunAction::Resume => {
                ("Resume", format!("The run goes on with the {} that it lacks.", counted(missing, "shard")))
            }
            RunAction::Retry => {
                let failed = counted(self.progress.failed, "picture");
                ("Retry failures", format!("The {failed} without a score are scored again."))
            }
            RunAction::Cancel => (
                "Cancel",
                "The run stops, also what is under way. What was scored is kept: resuming the run goes on from there."
                    .to_owned(),
            ),
        }
    }
}
