//! A study: its table with intervals drawn, and the paper's figures beside.

use dqa_pipelines::tables::studies::StudyRow;
use dqa_pipelines::tables::study_splits::StudySplitRow;
use maud::{Markup, html};

use crate::anchor::link;
use crate::chart::axis::Axis;
use crate::chart::intervals::{Interval, Marks, bar, tick_labels};
use crate::context::Context;
use crate::layout::{Place, page};
use crate::number::{Digits, counted, missing, show_count, show_p};
use crate::route::Route;
use crate::segment::Segment;
use crate::table::{Header, behind_chart, framed, header_row};

/// Rows of the table of splits that are shown.
const SPLIT_ROWS: usize = 500;

/// A study.
#[derive(Clone, Debug, PartialEq)]
pub struct StudyPage {
    /// Its name.
    pub study: String,
    /// Its title.
    pub title: Option<String>,
    /// What it asks, as text.
    pub about: Option<String>,
    /// The paper whose figures are beside.
    pub paper: Option<String>,
    /// The rows, in the table's order.
    pub rows: Vec<StudyRow>,
    /// What they are means of.
    pub splits: Vec<StudySplitRow>,
}

impl StudyPage {
    /// Renders the page.
    pub fn render(&self, context: &Context) -> String {
        let body = html! {
            nav.pager aria-label="Back" { span { "\u{2190} " (link(context, &Route::Studies, "Studies")) } }
            h1 { (self.title.as_deref().unwrap_or(&self.study)) }
            @if let Some(about) = &self.about { p.sub { (about) } }
            @if self.rows.is_empty() { p.empty { "The study has no rows yet." } } @else {
                (self.table())
                p.note {
                    "Dot: SRCC, mean over splits. Band: 95% interval of the mean. "
                    @if self.rows.iter().any(|row| row.paper.is_some()) {
                        "Ring: the figure of " (self.paper.as_deref().unwrap_or("the paper")) ". "
                    }
                    "Difference: to the first row of its group, paired over splits; p is not corrected for the number of rows."
                }
                @if self.rows.iter().any(|row| row.select.as_deref() == Some("best-on-test")) {
                    p.notice { "Rows whose epoch was kept by " code { "best-on-test" } " are optimistic." }
                }
                (self.splits(context))
            }
        };
        page(context, Place::Studies, &format!("Study {}", self.study), &body)
    }

    fn table(&self) -> Markup {
        let interval = |row: &StudyRow| Interval::new(row.srcc, row.srcc_low, row.srcc_high);
        let values = self.rows.iter().filter_map(interval).flat_map(|interval| interval.values().collect::<Vec<f64>>());
        let axis = Axis::over(values.chain(self.rows.iter().filter_map(|row| row.paper)), 6);
        let has_paper = self.rows.iter().any(|row| row.paper.is_some());
        let is_new_group = |index: usize| index > 0 && self.rows[index - 1].group != self.rows[index].group;
        let table = html! {
            table.board {
                thead { tr {
                    (Header { is_sortable: false, ..Header::text("variant").class("l name") }.cell())
                    (Header { is_sortable: false, ..Header::text("tested on").class("l opt") }.cell())
                    th.bar scope="col" { span.sr { "interval" } (tick_labels(&axis)) }
                    (Header { is_sortable: false, ..Header::number("SRCC") }.cell())
                    (Header { is_sortable: false, ..Header::number("95% interval").class("l opt") }.cell())
                    @if has_paper { th scope="col" { "paper" } }
                    (Header { is_sortable: false, ..Header::number("difference").class("opt") }.cell())
                    (Header { is_sortable: false, ..Header::number("p").class("opt") }.cell())
                    (Header { is_sortable: false, ..Header::number("PLCC").class("opt mid") }.cell())
                    (Header { is_sortable: false, ..Header::number("splits").class("opt mid") }.cell())
                    (Header { is_sortable: false, ..Header::number("s/picture").class("opt mid") }.cell())
                } }
                tbody {
                    @for (index, row) in self.rows.iter().enumerate() {
                        (study_row(row, &axis, has_paper, is_new_group(index)))
                    }
                }
            }
        };
        framed("The study's table", &table)
    }

    fn splits(&self, context: &Context) -> Markup {
        let name = |line: u32| self.rows.iter().find(|row| row.line == line).map_or("", |row| row.variant.as_str());
        let headers = [
            Header::text("variant"),
            Header::number("split"),
            Header::text("training"),
            Header::number("epoch"),
            Header::number("n"),
            Header::number("SRCC"),
            Header::number("PLCC"),
            Header::number("KRCC"),
            Header::number("RMSE"),
        ];
        let table = html! {
            table {
                (header_row(&headers))
                tbody {
                    @for row in self.splits.iter().take(SPLIT_ROWS) {
                        tr {
                            th.l scope="row" { (row.line) ". " (name(row.line)) }
                            td { (row.split) }
                            td.l { @match &row.trial {
                                Some(trial) => span.long title=(trial) {
                                    (link(context, &Route::Trial(Segment::from_name(trial)), trial))
                                },
                                None => (missing()),
                            } }
                            td data-value=[row.epoch] {
                                @if let Some(epoch) = row.epoch { (epoch) } @else { (missing()) }
                            }
                            td { (show_count(row.n)) }
                            td { (Digits::THREE.show(row.srcc)) }
                            td { (Digits::THREE.show(row.plcc)) }
                            td { (Digits::THREE.show(row.krcc)) }
                            td { (Digits::THREE.show(row.rmse)) }
                        }
                    }
                }
            }
        };
        let tests = counted(self.splits.len() as u64, "test");
        let summary = if self.splits.len() > SPLIT_ROWS {
            format!("What the rows are means of: the first {SPLIT_ROWS} of {tests}")
        } else {
            format!("What the rows are means of: {tests}")
        };
        html! {
            @if !self.splits.is_empty() {
                h2 { "Splits" }
                (behind_chart(&summary, &table))
            }
        }
    }
}

fn study_row(row: &StudyRow, axis: &Axis, has_paper: bool, is_new_group: bool) -> Markup {
    let digits = Digits::THREE;
    let marks = Marks { ring: row.paper, line: None };
    html! {
        tr.apart[is_new_group] {
            th.l.name.wrap scope="row" {
                (row.variant)
                @if row.select.as_deref() == Some("best-on-test") { span.held { " (best on test)" } }
            }
            td.l.dim.opt.wrap {
                (row.tested_on)
                @if let Some(algorithms) = &row.algorithms { ", " (algorithms) }
                @if let Some(trained) = &row.trained_on { @if *trained != row.tested_on { ", trained on " (trained) } }
            }
            td.bar { (bar(axis, Interval::new(row.srcc, row.srcc_low, row.srcc_high), marks, digits)) }
            td { (digits.show(row.srcc)) }
            td.l.dim.opt { (digits.show_interval(row.srcc_low, row.srcc_high)) }
            @if has_paper { td.ring-note { (digits.show(row.paper)) } }
            td.dim.opt {
                @if let Some(more) = row.srcc_more {
                    data data-value=(crate::number::exact(more)) { (digits.signed(more)) }
                } @else {
                    (missing())
                }
            }
            td.dim.opt { (show_p(row.srcc_more_p)) }
            td.dim.opt.mid { (digits.show(row.plcc)) }
            td.dim.opt.mid { @if let Some(splits) = row.splits { (show_count(splits.into())) } }
            td.dim.opt.mid { (digits.show(row.seconds)) }
        }
    }
}
