//! Where a run's numbers are from: model, metrics, data sets, programs, and what to cite.

use dqa_pipelines::run::{DatasetSpec, RunRecord};
use maud::{Markup, html};

use crate::context::Context;
use crate::layout::{Place, page};
use crate::number::{count_text, counted, show_time};
use crate::table::framed;

/// The paper of CLIP-DQA.
const PAPER: &str = "Y. Zeng et al. CLIP-DQA: Blindly Evaluating Dehazed Images from Global and Local Perspectives Using \
                     CLIP. 2025. arXiv:2502.01707.";

/// Where a run's numbers are from.
#[derive(Clone, Debug, PartialEq)]
pub struct ProvenancePage {
    /// The run's record. Its `parts` are not used and may be left out.
    pub record: RunRecord,
    /// The command that makes the run again.
    pub command: Option<String>,
    /// The command that makes this site again.
    pub site_command: Option<String>,
    /// What to cite besides CLIP-DQA: data sets, metrics.
    pub citations: Vec<String>,
}

impl ProvenancePage {
    /// Renders the page.
    pub fn render(&self, context: &Context) -> String {
        let record = &self.record;
        let has_model = record.metrics().iter().any(|metric| metric.is_clip_dqa());
        let body = html! {
            h1 { "Where these numbers are from" }
            p.sub {
                "Run " strong { (record.name) } ", planned " (show_time(record.created)) ", last written "
                (show_time(record.updated)) ". " (counted(record.counts.pictures, "row")) " planned, "
                (count_text(record.counts.scored)) " with a score, " (count_text(record.counts.failed)) " with an error."
            }
            @for sentence in record.spec.training_leaks() {
                p.notice {
                    strong { "Seen in training. " }
                    (sentence) ". Agreement of all pictures is then too good: use the held-out scenes."
                }
            }
            @if has_model { (self.model()) }
            (self.metrics())
            h2 { "Data sets" }
            @for dataset in &record.spec.datasets { (data_set(dataset)) }
            (self.programs())
            (self.commands())
            h2 { "What to cite" }
            ul.plain {
                @if has_model { li { (PAPER) } }
                @for citation in &self.citations { li { (citation) } }
            }
        };
        page(context, Place::Provenance, &format!("Provenance of {}", record.name), &body)
    }

    fn model(&self) -> Markup {
        let spec = &self.record.spec;
        html! {
            h2 { "Model" }
            dl.facts {
                dt { "fingerprint" } dd.mono { (self.record.fingerprint) }
                dt { "weights" } dd.mono { (spec.model) }
                dt { "prompts" }
                dd.mono { @match &spec.prompts { Some(prompts) => (prompts), None => "handcrafted sentences" } }
                dt { "views" } dd.mono { (spec.views) }
                dt { "precision" } dd { (spec.dtype) }
                dt { "device" } dd { (spec.device) }
                @if let Some(remark) = &spec.remark { dt { "remark" } dd { (remark) } }
            }
            p.note { "Scores with two fingerprints are on two scales and are never compared." }
        }
    }

    fn metrics(&self) -> Markup {
        let table = html! {
            table {
                thead {
                    tr {
                        th.l scope="col" { "metric" }
                        th.l scope="col" { "good values" }
                        th.l scope="col" { "fingerprint" }
                    }
                }
                tbody {
                    @for metric in self.record.metrics() {
                        tr {
                            th.l scope="row" { (metric.name) }
                            td.l { @if metric.direction.as_str() == "lower" { "low" } @else { "high" } }
                            td.l.mono { (metric.fingerprint) }
                        }
                    }
                }
            }
        };
        html! {
            h2 { "Metrics" }
            (framed("Metrics", &table))
            @if let Some(digest) = &self.record.spec.metric_parameters {
                p.note { "Parameters of its own, digest " span.mono { (digest) } "." }
            }
        }
    }

    fn programs(&self) -> Markup {
        let request = self.record.request.as_ref();
        html! {
            h2 { "Programs and settings" }
            dl.facts {
                @for (name, value) in &self.record.provenance { dt { (name.replace('_', " ")) } dd.mono { (value) } }
                dt { "largest shard" } dd { (counted(self.record.spec.shard_windows_max, "window")) }
                @if let Some(request) = request {
                    dt { "intervals" }
                    dd {
                        @match request.intervals {
                            dqa_pipelines::run::ReportIntervals::Jackknife => "jackknife over scenes",
                            dqa_pipelines::run::ReportIntervals::Bootstrap => {
                                "bootstrap over scenes, " (counted(request.replicates.into(), "draw"))
                                ", seed " (request.seed)
                            }
                        }
                    }
                    dt { "priority" } dd { (request.priority) }
                }
            }
        }
    }

    fn commands(&self) -> Markup {
        html! {
            @if self.command.is_some() || self.site_command.is_some() {
                h2 { "How to make it again" }
                @if let Some(command) = &self.command { p.note { "The run" } pre tabindex="0" { code { (command) } } }
                @if let Some(command) = &self.site_command {
                    p.note { "This page" } pre tabindex="0" { code { (command) } }
                }
            }
        }
    }
}

fn data_set(dataset: &DatasetSpec) -> Markup {
    let algorithms: Vec<&str> = dataset.algorithms.iter().map(|name| name.as_str()).collect();
    html! {
        section {
            h3 { (dataset.name) }
            dl.facts {
                dt { "folder" } dd.mono { (dataset.root) }
                dt { "algorithms" } dd { (algorithms.len()) ": " (algorithms.join(", ")) }
                @if let Some(hazy) = &dataset.hazy { dt { "hazy inputs" } dd { "scored as " (hazy) } }
                @if let Some(protocol) = &dataset.protocol { dt { "protocol" } dd { (protocol) } }
                @if let Some(seen) = &dataset.seen_in_training {
                    dt { "seen in training" } dd { (seen.train.len()) " of " (seen.scenes) " scenes" }
                }
            }
            details.behind { summary { "Definition" } pre tabindex="0" { code { (dataset.definition) } } }
        }
    }
}
