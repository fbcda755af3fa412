//! The metrics of a run beside each other: agreement with labels, how alike they rank the pictures, where they disagree.

mod agreement_table;
mod disagreements;
mod groups;
mod matrix;

use dqa_pipelines::tables::correlations::CorrelationRow;
use dqa_pipelines::tables::metric_differences::MetricDifferenceRow;
use dqa_pipelines::tables::metric_disagreements::MetricDisagreementRow;
use dqa_pipelines::tables::metric_matrix::MetricMatrixRow;
use dqa_pipelines::tables::metric_ranks::MetricRankRow;
use dqa_pipelines::tables::metrics::MetricRow;
use maud::{Markup, html};

use crate::context::Context;
use crate::layout::{Place, page};
use crate::number::counted;
use crate::run_routes::RunRoutes;
use crate::selection::single_dataset_tabs;

/// The metrics of a run beside each other, on one data set.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsPage {
    /// The data set.
    pub dataset: String,
    /// The pooled correlations of all pictures, one for each metric. Empty without labels.
    pub correlations: Vec<CorrelationRow>,
    /// The table `metrics` of the data set. Empty for a run of one metric, and without labels.
    pub metrics: Vec<MetricRow>,
    /// The table `metric_differences` of the data set.
    pub differences: Vec<MetricDifferenceRow>,
    /// The table `metric_matrix` of the data set.
    pub matrix: Vec<MetricMatrixRow>,
    /// The table `metric_ranks` of the data set.
    pub ranks: Vec<MetricRankRow>,
    /// The table `metric_disagreements` of the data set.
    pub disagreements: Vec<MetricDisagreementRow>,
}

impl MetricsPage {
    /// Renders the page.
    ///
    /// # Panics
    /// If the context has no run.
    pub fn render(&self, context: &Context) -> String {
        let run = context.run.as_ref().expect("metrics belong to a run");
        let routes = RunRoutes::new(&run.name);
        let body = html! {
            h1 { "Metrics on " (self.dataset) }
            p.sub { (self.summary(run.metrics.len() as u64)) }
            (single_dataset_tabs(context, &self.dataset, &|dataset| routes.metrics(dataset)))
            (agreement_table::section(self, context, &routes))
            (agreement_table::differences_section(&self.differences))
            (groups::groups_section(&self.metrics))
            (matrix::matrix_section(&self.matrix))
            (matrix::ranks_section(self, context, &routes))
            (disagreements::section(self, context, &routes))
        };
        page(context, Place::Metrics, &format!("Metrics on {}", self.dataset), &body)
    }

    fn summary(&self, metrics: u64) -> Markup {
        let best = self.metrics.iter().find(|row| row.group_kind == "all" && row.srcc_rank == Some(1));
        html! {
            (counted(metrics, "metric")) "."
            @if let Some(best) = best { " " strong { (best.metric) } " agrees best with the labels by SRCC." }
            @if metrics > 1 && self.matrix.is_empty() { " They are compared when the run is complete." }
        }
    }
}
