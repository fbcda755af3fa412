//! The rows of a run without a score.

use dqa_pages::{FailureGroup, FailureRow, FailuresPage, Route, SceneRef, Segment};

use crate::error::SiteError;
use crate::run_rows::RowPlace;
use crate::site::{Site, Viewer};

pub(super) async fn page(site: &Site, run: &Segment, (route, viewer): (&Route, &Viewer)) -> Result<String, SiteError> {
    let loaded = site.run(run).await?;
    let record = &loaded.status.record;
    let mut groups = Vec::new();
    for (code, failures) in &loaded.rows(&site.store).await?.failures {
        let mut rows = Vec::new();
        let places: Vec<RowPlace> = failures.first.iter().map(|(.., place)| *place).collect();
        let whole = site.rows(record, &places).await?;
        for ((dataset, metric, place), row) in failures.first.iter().zip(whole) {
            rows.push(FailureRow {
                dataset: dataset.clone(),
                algorithm: record.parts[place.part as usize].algorithm.to_string(),
                scene: SceneRef { group: row.scene_group, name: row.scene },
                image: row.image,
                metric: loaded.metrics[*metric].name.to_string(),
                message: row.score.err().map(|failure| failure.message).unwrap_or_default(),
            });
        }
        groups.push(FailureGroup { code: code.clone(), count: failures.count, rows });
    }
    let page = FailuresPage { groups, pictures: record.counts.pictures };
    Ok(page.render(&site.context(route, viewer, Some(&loaded))))
}
