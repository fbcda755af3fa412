//! A training: its settings, and loss and held-out agreement by epoch.

use dqa_pipelines::tables::epochs::EpochRow;
use dqa_pipelines::train::TrialRecord;
use maud::{Markup, html};
use serde_json::Value;

use crate::anchor::link;
use crate::chart::lines::{LineChart, Series};
use crate::context::Context;
use crate::layout::{Place, live_region, page};
use crate::number::{Digits, counted, exact, show_time};
use crate::route::{Region, Route};
use crate::segment::Segment;
use crate::table::{Header, behind_chart, header_row};

/// A training.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialPage {
    /// Its record.
    pub record: TrialRecord,
    /// The epochs so far.
    pub epochs: Vec<EpochRow>,
}

impl TrialPage {
    /// Renders the page.
    pub fn render(&self, context: &Context) -> String {
        let region = Region::Trial(Segment::from_name(&self.record.name));
        let body = html! {
            nav.pager aria-label="Back" {
                span { "\u{2190} " (link(context, &Route::Studies, "Studies and trainings")) }
            }
            h1 { (self.record.name) }
            (live_region(context, &region, !self.record.is_complete(), &self.region()))
            (self.settings())
        };
        page(context, Place::Studies, &format!("Training {}", self.record.name), &body)
    }

    /// Renders the region [`Region::Trial`].
    pub fn render_region(&self, _context: &Context) -> String {
        self.region().into_string()
    }

    fn region(&self) -> Markup {
        let record = &self.record;
        let held_out = self.epochs.iter().find_map(|row| row.held_out.as_deref()).unwrap_or("held-out");
        html! {
            p.sub {
                @if record.is_complete() { strong.good { "complete" } } @else { strong.active { "running" } }
                ", epoch " (self.epochs.len()) " of " (record.setup.epochs)
                "; data set " (record.dataset) ", split " (record.split)
                "; started " (show_time(record.created)) "."
            }
            (self.figures())
            @if self.epochs.is_empty() { p.empty { "No epoch has ended yet." } } @else {
                div.cols {
                    section { h2 { "Loss" } @if let Some(chart) = self.loss_chart() { (chart) } }
                    section {
                        h2 { "Agreement of " (held_out) " pictures" }
                        @match self.agreement_chart() {
                            Some(chart) => (chart),
                            None => p.note { "No epoch was tested." }
                        }
                    }
                }
                (behind_chart("Table of the epochs", &self.table()))
            }
        }
    }

    fn figures(&self) -> Markup {
        let Some(kept) = &self.record.kept else { return html! {} };
        let measure =
            |name: &str, value: Option<f64>| html! { div { dt { (name) } dd { (Digits::THREE.show(value)) } } };
        html! {
            dl.figures {
                div { dt { "epoch kept" } dd { (kept.epoch) } }
                @if let Some(test) = &kept.test {
                    (measure("SRCC of the test", test.srcc))
                    (measure("PLCC", test.plcc))
                    (measure("KRCC", test.krcc))
                    (measure("RMSE", test.rmse))
                    div { dt { "pictures of the test" } dd { (test.n) } }
                }
                @if let Some(validation) = &kept.validation { (measure("SRCC of the validation", validation.srcc)) }
            }
        }
    }

    fn loss_chart(&self) -> Option<Markup> {
        let points = self.epochs.iter().map(|row| (f64::from(row.epoch), Some(row.loss))).collect();
        let series = [Series { name: "loss", class: "c5", points }];
        let chart = LineChart {
            series: &series,
            x_name: "epoch",
            y_name: "mean squared error",
            label: "loss by epoch",
            shape: "wide",
            from_zero: true,
        };
        chart.draw()
    }

    fn agreement_chart(&self) -> Option<Markup> {
        let series = |name, class, value: &dyn Fn(&EpochRow) -> Option<f64>| Series {
            name,
            class,
            points: self.epochs.iter().map(|row| (f64::from(row.epoch), value(row))).collect(),
        };
        if self.epochs.iter().all(|row| row.held_out_srcc.is_none()) {
            return None;
        }
        // An epoch that was not tested is left out, so that the line is not interrupted.
        let mut held_out = series("SRCC, held out", "c1", &|row| row.held_out_srcc);
        held_out.points.retain(|(_, value)| value.is_some());
        let series = [held_out, series("SRCC, training windows", "c5", &|row| row.train_srcc)];
        let chart = LineChart {
            series: &series,
            x_name: "epoch",
            y_name: "SRCC",
            label: "SRCC by epoch",
            shape: "wide",
            from_zero: false,
        };
        chart.draw()
    }

    fn table(&self) -> Markup {
        let headers = [
            Header::number("epoch"),
            Header::number("loss"),
            Header::number("SRCC, training"),
            Header::number("SRCC, held out"),
            Header::number("PLCC"),
            Header::number("RMSE"),
            Header::number("learning rate"),
            Header::number("gradient norm"),
            Header::number("windows/s"),
        ];
        let digits = Digits::for_values(self.epochs.iter().map(|row| row.loss));
        html! {
            table {
                (header_row(&headers))
                tbody {
                    @for row in &self.epochs {
                        tr {
                            th scope="row" data-value=(row.epoch) { (row.epoch) }
                            td { (digits.show(Some(row.loss))) }
                            td { (Digits::THREE.show(row.train_srcc)) }
                            td { (Digits::THREE.show(row.held_out_srcc)) }
                            td { (Digits::THREE.show(row.held_out_plcc)) }
                            td { (Digits::THREE.show(row.held_out_rmse)) }
                            td data-value=(exact(row.lr)) { (format!("{:.3e}", row.lr)) }
                            td { (Digits::THREE.show(Some(row.gradient_norm))) }
                            td { (Digits::for_values([row.windows_per_second]).show(Some(row.windows_per_second))) }
                        }
                    }
                }
            }
        }
    }

    fn settings(&self) -> Markup {
        let record = &self.record;
        let setup = serde_json::to_value(&record.setup).unwrap_or(Value::Null);
        let [train, validation, test] = record.pictures;
        html! {
            h2 { "Settings" }
            dl.facts {
                dt { "model" } dd.mono { (record.model.name) }
                dt { "pictures" }
                dd { (train) " to learn from, " (validation) " to choose the epoch, " (test) " to test" }
                dt { "learnable" } dd { (counted(record.learnable, "parameter")) }
                dt { "labels" }
                dd { (exact(record.label_range[0])) " to " (exact(record.label_range[1])) ", mapped to 0 to 1" }
                @if let Value::Object(settings) = setup {
                    @for (name, value) in &settings { dt { (name.replace('_', " ")) } dd { (setting(value)) } }
                }
                @for (name, value) in &record.provenance { dt { (name.replace('_', " ")) } dd.mono { (value) } }
            }
        }
    }
}

/// Returns a setting as text: words without their quotes.
fn setting(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "not set".to_owned(),
        Value::Array(values) => values.iter().map(setting).collect::<Vec<String>>().join(", "),
        other => other.to_string(),
    }
}
