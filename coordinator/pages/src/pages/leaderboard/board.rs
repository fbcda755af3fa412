//! The table of a leaderboard: a row an algorithm, with its interval drawn on the common axis.

use dqa_pipelines::tables::leaderboard::LeaderboardRow;
use maud::{Markup, html};

use crate::anchor::{clipped, link};
use crate::chart::axis::Axis;
use crate::chart::intervals::{Interval, Marks, bar, tick_labels};
use crate::context::Context;
use crate::number::{Digits, missing, show_count, show_p};
use crate::pages::leaderboard::{LeaderboardPage, record};
use crate::run_routes::RunRoutes;
use crate::segment::Segment;
use crate::table::{Header, Sorted, framed};

/// What all rows share.
struct Board<'a> {
    page: &'a LeaderboardPage,
    context: &'a Context,
    routes: &'a RunRoutes,
    axis: Axis,
    digits: Digits,
    mos_digits: Digits,
    /// The score of the hazy input.
    hazy: Option<f64>,
}

/// Returns the table.
pub(super) fn board(page: &LeaderboardPage, context: &Context, routes: &RunRoutes) -> Markup {
    let intervals = || page.rows.iter().filter_map(interval);
    let board = Board {
        page,
        context,
        routes,
        axis: Axis::over(intervals().flat_map(|interval| interval.values().collect::<Vec<f64>>()), 8),
        digits: Digits::for_values(intervals().map(|interval| interval.value)),
        mos_digits: Digits::for_values(page.rows.iter().filter_map(|row| row.mean_mos)),
        hazy: page.rows.iter().find(|row| row.rank.is_none()).and_then(|row| row.adjusted_score),
    };
    let next = |index: usize| page.rows.get(index + 1).filter(|row| row.rank.is_some());
    let table = html! {
        table.board #board {
            caption.sr { "Leaderboard by " (page.metric) }
            (board.head())
            tbody { @for (index, row) in page.rows.iter().enumerate() { (board.row(index, row, next(index))) } }
        }
    };
    framed("Leaderboard", &table)
}

fn interval(row: &LeaderboardRow) -> Option<Interval> {
    Interval::new(row.adjusted_score, row.adjusted_score_low, row.adjusted_score_high)
}

impl Board<'_> {
    fn head(&self) -> Markup {
        let is_lower = self.page.is_lower_better();
        let best = if is_lower { Sorted::Ascending } else { Sorted::Descending };
        let label = if self.page.rows.iter().any(|row| row.mean_mos.is_some()) { "label" } else { "" };
        html! {
            thead {
                tr {
                    th.pick.js scope="col" { span.sr { "compare" } }
                    (Header::number("rank").class("rank").cell())
                    (Header::text("within").class("l within").explained("The ranks that are not ruled out").cell())
                    (Header::text("algorithm").class("l name").cell())
                    (Header::text("group").class("l letters")
                        .explained("Algorithms that share a letter do not differ significantly").cell())
                    th.bar scope="col" {
                        span.sr { "interval" }
                        span.better.left[is_lower] aria-hidden="true" {
                            (if is_lower { "\u{2190} better" } else { "better \u{2192}" })
                        }
                        (tick_labels(&self.axis))
                    }
                    (Header::number("score").class("score").sorted(best)
                        .explained("Mean over all scenes; missing scenes are filled in").cell())
                    (Header { is_sortable: false, ..Header::number("95% interval").class("l opt") }.cell())
                    @if !label.is_empty() {
                        (Header::number(label).class("opt").explained("Mean label; high is good").cell())
                    }
                    @if self.has_gains() {
                        (Header::number("gain").class("opt").explained("Score minus that of the hazy input").cell())
                    }
                    (Header::number("scenes").class("opt").cell())
                    (Header::number("failed").class("opt").cell())
                    (Header::number("p next").class("opt").explained("p of the difference to the next").cell())
                }
            }
        }
    }

    fn has_gains(&self) -> bool {
        self.page.rows.iter().any(|row| row.gain.is_some())
    }

    fn row(&self, index: usize, row: &LeaderboardRow, next: Option<&LeaderboardRow>) -> Markup {
        let has_labels = self.page.rows.iter().any(|row| row.mean_mos.is_some());
        let marks = Marks { line: self.hazy.filter(|_| row.rank.is_some()), ring: None };
        html! {
            tr data-row=(record::row_json(row)) data-search=(row.algorithm.to_lowercase()) data-index=(index)
                .unranked[row.rank.is_none()] {
                td.pick.js {
                    @if row.rank.is_some() {
                        input type="checkbox" aria-label=(format!("Choose {}", row.algorithm)) value=(row.algorithm)
                            data-segment=(Segment::from_name(&row.algorithm));
                    }
                }
                td.rank data-value=[row.rank] { @if let Some(rank) = row.rank { (rank) } @else { (missing()) } }
                td.within.l data-value=[row.rank_best] { (within(row)) }
                th.name.l scope="row" data-value=(row.algorithm) {
                    (clipped(&row.algorithm))
                    @if row.rank.is_none() { small { "not ranked" } }
                }
                td.letters.l data-value=(row.rank_group.as_deref().unwrap_or_default()) { (group(row)) }
                td.bar { (bar(&self.axis, interval(row), marks, self.digits)) }
                td.score { (self.digits.show(row.adjusted_score)) }
                td.dim.l.opt { (self.digits.show_interval(row.adjusted_score_low, row.adjusted_score_high)) }
                @if has_labels { td.dim.opt { (self.mos_digits.show(row.mean_mos)) } }
                @if self.has_gains() { td.dim.opt { (self.digits.show(row.gain)) } }
                td.dim.opt { (show_count(row.scenes)) }
                td.dim.opt.bad[row.failed > 0] { (show_count(row.failed)) }
                td.dim.opt data-value=[row.p_next.map(crate::number::exact)] { (self.p_next(row, next)) }
            }
        }
    }

    /// Returns the p value of the difference to the next rank, as a link to the comparison of the two.
    fn p_next(&self, row: &LeaderboardRow, next: Option<&LeaderboardRow>) -> Markup {
        let Some(next) = next.filter(|_| row.rank.is_some()) else { return missing() };
        let (dataset, metric) = (self.page.dataset.as_deref(), &self.page.metric);
        let route = self.routes.comparison(dataset, metric, (&row.algorithm, &next.algorithm));
        html! { @if row.p_next.is_some() { (link(self.context, &route, show_p(row.p_next))) } @else { (missing()) } }
    }
}

/// Returns the range of ranks that are not ruled out.
fn within(row: &LeaderboardRow) -> Markup {
    match (row.rank_best, row.rank_worst) {
        (Some(best), Some(worst)) if best == worst => html! { (best) },
        (Some(best), Some(worst)) => html! { (best) "\u{2013}" (worst) },
        _ => missing(),
    }
}

fn group(row: &LeaderboardRow) -> Markup {
    match row.rank_group.as_deref() {
        // It is longer than any letters, and the note below the table says how many pairs it concerns.
        Some("not testable") => html! {
            span.missing title="not testable: too few common scenes" aria-hidden="true" { "\u{2013}" }
            span.sr { "not testable" }
        },
        Some(letters) => html! { (letters) },
        None => missing(),
    }
}
