//! The metrics of a run beside each other.

use dqa_pages::{MetricsPage, Route, Segment};
use dqa_pipelines::tables::metric_disagreements::MetricDisagreementRow;

use crate::error::SiteError;
use crate::site::{Site, Viewer};

/// Pictures that a page lists as ranked differently by two metrics: 19 metrics have 171 pairs, each with its own in the table.
const DISAGREEMENTS_MAX: usize = 60;

pub(super) async fn page(
    site: &Site,
    (run, dataset): (&Segment, &Segment),
    (route, viewer): (&Route, &Viewer),
) -> Result<String, SiteError> {
    let loaded = site.run(run).await?;
    let dataset = loaded.dataset(dataset)?.name.to_string();
    let tables = &loaded.tables;
    macro_rules! of_dataset {
        ($rows:expr) => {
            $rows.iter().filter(|row| row.dataset == dataset).cloned().collect()
        };
    }
    let pooled = tables.correlations.iter().filter(|row| {
        row.dataset.as_deref() == Some(dataset.as_str()) && row.protocol == "pooled" && row.group_kind == "all"
    });
    let mut disagreements: Vec<MetricDisagreementRow> = of_dataset!(tables.disagreements);
    disagreements.sort_by(|a, b| b.gap.total_cmp(&a.gap));
    disagreements.truncate(DISAGREEMENTS_MAX);
    let page = MetricsPage {
        correlations: pooled.cloned().collect(),
        metrics: of_dataset!(tables.metrics),
        differences: of_dataset!(tables.differences),
        matrix: of_dataset!(tables.matrix),
        ranks: of_dataset!(tables.ranks),
        disagreements,
        dataset: dataset.clone(),
    };
    Ok(page.render(&site.context(route, viewer, Some(&loaded))))
}
