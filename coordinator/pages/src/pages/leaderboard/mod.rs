//! The leaderboard of a data set by a metric.

mod board;
mod record;

use dqa_pipelines::run_progress::Progress;
use dqa_pipelines::tables::correlations::CorrelationRow;
use dqa_pipelines::tables::leaderboard::LeaderboardRow;
use maud::{Markup, html};

use crate::anchor::link;
use crate::chart::scatter::{Subject, labels_chart};
use crate::context::Context;
use crate::layout::{Place, page};
use crate::measures::{Measure, sentence};
use crate::number::{count_text, counted};
use crate::pages::label_gap::{LabelGap, gap_table};
use crate::route::{Format, Route};
use crate::run_routes::RunRoutes;
use crate::scatter::Scatter;
use crate::selection::{dataset_tabs, metric_tabs};

/// The leaderboard of a data set by a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaderboardPage {
    /// The data set. None for all of the run.
    pub dataset: Option<String>,
    /// The metric.
    pub metric: String,
    /// The rows of both, in the table's order. Empty while the run is under way.
    pub rows: Vec<LeaderboardRow>,
    /// Numbers of pairs of algorithms.
    pub pairs: Pairs,
    /// The agreement with labels: the pooled row of all pictures. None without labels, and over all data sets.
    pub agreement: Option<CorrelationRow>,
    /// Scores and labels. None without labels.
    pub scatter: Option<Scatter>,
    /// The pictures that score and label rank most differently, the largest gap first.
    pub gaps: Vec<LabelGap>,
    /// How far the run is, if it has not been completed.
    pub progress: Option<Progress>,
    /// The command that made the run.
    pub command: Option<String>,
    /// Facts for the end of the page: fingerprint, views, precision.
    pub facts: Vec<String>,
}

/// Numbers of pairs of algorithms of a leaderboard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// All pairs that common scenes connect.
    pub all: u64,
    /// Those that the scenes can show a difference of.
    pub testable: u64,
    /// Those that differ significantly.
    pub significant: u64,
}

impl LeaderboardPage {
    /// Renders the page.
    ///
    /// # Panics
    /// If the context has no run.
    pub fn render(&self, context: &Context) -> String {
        let run = context.run.as_ref().expect("a leaderboard belongs to a run");
        let routes = RunRoutes::new(&run.name);
        let dataset = self.dataset_label();
        let body = html! {
            h1 { (dataset) }
            p.sub { (self.summary()) }
            @if let Some(remark) = &run.remark { p.notice { (remark) } }
            (dataset_tabs(context, self.dataset.as_deref(), &|dataset| {
                routes.leaderboard(dataset, &self.metric, Format::Html)
            }))
            (metric_tabs(context, &self.metric, &|metric| {
                routes.leaderboard(self.dataset.as_deref(), metric, Format::Html)
            }))
            @if self.rows.is_empty() { (self.empty(context, &routes)) } @else {
                (self.tools(context, &routes))
                (board::board(self, context, &routes))
                (self.notes())
            }
            (self.labels_section(context, &routes))
            (self.origin())
        };
        page(context, Place::Leaderboard, &format!("{dataset}: leaderboard by {}", self.metric), &body)
    }

    /// Returns the rows as CSV, with exact values under the names of the table `leaderboard`.
    pub fn csv(&self) -> String {
        record::csv(&self.rows)
    }

    /// Returns the rows as JSON: an array of objects with exact values under the names of the table `leaderboard`.
    pub fn json(&self) -> String {
        record::json(&self.rows)
    }

    fn dataset_label(&self) -> &str {
        self.dataset.as_deref().unwrap_or("All data sets")
    }

    /// Returns what the leaderboard says, in a few sentences.
    fn summary(&self) -> String {
        let ranked = || self.rows.iter().filter(|row| row.rank.is_some());
        if self.rows.is_empty() {
            return "There is no leaderboard yet.".to_owned();
        }
        let scenes = || ranked().map(|row| row.scenes);
        let scenes = match (scenes().min().unwrap_or(0), scenes().max().unwrap_or(0)) {
            (fewest, most) if fewest == most => counted(most, "scene"),
            (fewest, most) => format!("{} to {} each", count_text(fewest), counted(most, "scene")),
        };
        let pictures = self.rows.iter().map(|row| row.pictures).sum();
        let failed: u64 = self.rows.iter().map(|row| row.failed).sum();
        let failed = if failed == 0 { "none failed".to_owned() } else { format!("{} failed", count_text(failed)) };
        let algorithms = counted(ranked().count() as u64, "algorithm");
        let mut text = format!("{algorithms}, {scenes}, {}, {failed}.", counted(pictures, "picture"));
        let first = || ranked().filter(|row| row.rank_best == Some(1) && row.component.is_none_or(|of| of == 1));
        let names: Vec<&str> = first().take(3).map(|row| row.algorithm.as_str()).collect();
        let level = self.rows.first().map_or(0.95, |row| row.level) * 100.0;
        match (names.as_slice(), first().count(), ranked().count()) {
            (_, _, 0 | 1) | ([], ..) => {}
            ([only], ..) => text.push_str(&format!(" {only} is first at {level:.0}%.")),
            (_, all, count) if all == count => text.push_str(&format!(" At {level:.0}%, any of them may be first.")),
            (names, 2 | 3, _) => {
                let (last, others) = names.split_last().expect("there are two");
                text.push_str(&format!(" At {level:.0}%, {} or {last} may be first.", others.join(", ")));
            }
            (_, all, _) => text.push_str(&format!(" At {level:.0}%, any of {all} algorithms may be first.")),
        }
        text
    }

    fn empty(&self, context: &Context, routes: &RunRoutes) -> Markup {
        let status = Route::Progress(routes.run());
        html! {
            div.empty {
                @match &self.progress {
                    Some(progress) => {
                        p {
                            strong { "The run is under way." }
                            " The leaderboard is made when all of its parts are there: " (progress.text()) "."
                        }
                        p { (link(context, &status, "See its progress")) }
                    }
                    None => {
                        p { strong { "No algorithm has a score here." } " "
                            (link(context, &Route::Failures(routes.run()), "The failures")) " say why." }
                    }
                }
            }
        }
    }

    /// Returns the search field, the link to the comparison of two chosen rows, and the files.
    fn tools(&self, context: &Context, routes: &RunRoutes) -> Markup {
        let file =
            |format: Format| context.links.to(&routes.leaderboard(self.dataset.as_deref(), &self.metric, format));
        html! {
            div.tools {
                (crate::table::search_field("Search algorithms", "board"))
                p.compare.js data-compare="board" data-base=(self.comparison_base(context, routes)) aria-live="polite" {
                    "Choose two rows to compare them."
                }
                p.files {
                    @for (format, name) in [(Format::Csv, "CSV"), (Format::Json, "JSON")] {
                        @if let Some(href) = file(format) {
                            a href=(href) download data-export=(name) data-of="board" { (name) }
                        }
                    }
                }
            }
        }
    }

    /// Returns the folder of the comparisons, for the script, which adds the two algorithms.
    fn comparison_base(&self, context: &Context, routes: &RunRoutes) -> String {
        let path = routes.comparison(self.dataset.as_deref(), &self.metric, ("a", "b")).path();
        context.links.to_path(path.trim_end_matches("a/b.html"))
    }

    fn notes(&self) -> Markup {
        let Pairs { all, testable, .. } = self.pairs;
        let is_lower = self.is_lower_better();
        let components = self.rows.iter().filter_map(|row| row.component).max().unwrap_or(1);
        let missing = self.rows.iter().find_map(|row| row.interval_missing.as_deref());
        let has_hazy = self.rows.iter().any(|row| row.rank.is_none() && row.adjusted_score.is_some());
        html! {
            p.note {
                "Dot: mean over scenes. Band: 95% interval over scenes. "
                @if has_hazy { "Dashed line: the hazy input. " }
                "Within: the ranks that are not ruled out. Algorithms that share a letter do not differ significantly "
                "(paired over common scenes"
                @if testable > 0 { ", corrected for " (counted(testable, "pair")) } "). "
                "p next: of the difference to the next rank. "
                @if is_lower { strong { "Low values of " (self.metric) " are good." } }
                @if all > testable { " " (counted(all - testable, "pair")) " share too few scenes to be told apart." }
            }
            @if let Some(reason) = missing {
                p.note { "Some rows have no interval: " (crate::measures::no_interval(reason)) "." }
            }
            @if components > 1 {
                p.note {
                    "The algorithms fall into " (components) " sets that no common scenes connect, each with its own ranks."
                }
            }
        }
    }

    fn is_lower_better(&self) -> bool {
        self.rows.iter().any(|row| row.direction.as_deref() == Some("lower"))
    }

    fn labels_section(&self, context: &Context, routes: &RunRoutes) -> Markup {
        let Some(dataset) = &self.dataset else { return html! {} };
        let subject = Subject { context, routes, dataset, metric: &self.metric };
        let whole = routes.agreement(dataset, &self.metric);
        html! {
            @if let Some(row) = &self.agreement {
                div.cols {
                    section {
                        h2 { (link(context, &whole, "Agreement with labels")) }
                        p.sub { (sentence(&Measure::srcc(row), row.n)) }
                        @if let Some(scatter) = &self.scatter {
                            (labels_chart(subject, scatter))
                            p.note { (link(context, &whole, "All measures, residuals and the table of the pictures")) }
                        }
                    }
                    section {
                        h2 { "Largest disagreements" }
                        @if self.gaps.is_empty() { p.note { "There are none." } }
                        @else { (gap_table(context, routes, dataset, &self.gaps)) }
                    }
                }
            } @else if !self.rows.is_empty() {
                section {
                    h2 { "Agreement with labels" }
                    p.note { "The data set has no labels, so this ranking cannot be compared with what people see." }
                }
            }
        }
    }

    fn origin(&self) -> Markup {
        html! {
            @if self.command.is_some() || !self.facts.is_empty() {
                section {
                    h2 { "How this was made" }
                    @if let Some(command) = &self.command { pre tabindex="0" { code { (command) } } }
                    @if !self.facts.is_empty() { p.mono { (self.facts.join(" \u{b7} ")) } }
                }
            }
        }
    }
}
