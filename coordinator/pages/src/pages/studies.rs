//! The studies and trainings of a store.

use dqa_pipelines::train::TrialRecord;
use maud::{Markup, html};

use crate::anchor::link;
use crate::context::Context;
use crate::layout::{Place, page};
use crate::number::{Digits, counted, missing, show_count, show_time};
use crate::route::Route;
use crate::segment::Segment;
use crate::table::{Header, Sorted, framed, header_row};

/// The studies and trainings of a store.
#[derive(Clone, Debug, PartialEq)]
pub struct StudiesPage {
    /// The studies.
    pub studies: Vec<StudySummary>,
    /// The trainings.
    pub trials: Vec<TrialRecord>,
}

/// A study in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudySummary {
    /// Its name.
    pub study: String,
    /// Its title.
    pub title: Option<String>,
    /// Lines of its table.
    pub lines: u64,
    /// Number of splits of a line.
    pub splits: u32,
}

impl StudiesPage {
    /// Renders the page.
    pub fn render(&self, context: &Context) -> String {
        let body = html! {
            h1 { "Studies" }
            p.sub {
                (counted(self.studies.len() as u64, "study")) " and "
                (counted(self.trials.len() as u64, "training")) "."
            }
            @if self.studies.is_empty() {
                div.empty {
                    p { strong { "The store has no studies." } " Run one: " code { "dqa-coord study ablation" } }
                }
            } @else { (self.study_table(context)) }
            @if !self.trials.is_empty() {
                h2 { "Trainings" }
                (self.trial_table(context))
            }
        };
        page(context, Place::Studies, "Studies", &body)
    }

    fn study_table(&self, context: &Context) -> Markup {
        let headers = [Header::text("study"), Header::text("title"), Header::number("rows"), Header::number("splits")];
        let table = html! {
            table {
                (header_row(&headers))
                tbody {
                    @for study in &self.studies {
                        tr {
                            th.l.name scope="row" {
                                (link(context, &Route::Study(Segment::from_name(&study.study)), &study.study))
                            }
                            td.l.wrap { @if let Some(title) = &study.title { (title) } @else { (missing()) } }
                            td { (show_count(study.lines)) }
                            td { (show_count(study.splits.into())) }
                        }
                    }
                }
            }
        };
        framed("Studies", &table)
    }

    fn trial_table(&self, context: &Context) -> Markup {
        let mut trials: Vec<&TrialRecord> = self.trials.iter().collect();
        trials.sort_by_key(|trial| std::cmp::Reverse(trial.created));
        let headers = [
            Header::text("training"),
            Header::text("state"),
            Header::text("data set"),
            Header::number("split"),
            Header::number("epoch kept"),
            Header::number("SRCC of the test"),
            Header::number("started").sorted(Sorted::Descending).class("opt"),
        ];
        let table = html! {
            table {
                (header_row(&headers))
                tbody {
                    @for trial in trials {
                        @let kept = trial.kept.as_ref();
                        tr {
                            th.l.name scope="row" { span.long title=(trial.name) {
                                (link(context, &Route::Trial(Segment::from_name(&trial.name)), &trial.name)) } }
                            td.l {
                                @if trial.is_complete() {
                                    span.good { (trial.state) }
                                } @else {
                                    span.active { (trial.state) }
                                }
                            }
                            td.l { (trial.dataset) }
                            td { (trial.split) }
                            td data-value=[kept.map(|kept| kept.epoch)] {
                                @if let Some(kept) = kept { (kept.epoch) } @else { (missing()) }
                            }
                            td { (Digits::THREE.show(kept.and_then(|kept| kept.test.as_ref()?.srcc))) }
                            td.dim.opt { (show_time(trial.created)) }
                        }
                    }
                }
            }
        };
        framed("Trainings", &table)
    }
}
