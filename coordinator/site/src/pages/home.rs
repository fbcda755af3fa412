//! The runs of the store.

use dqa_pages::{HomePage, Route, RunSummary, Segment};
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::status::RunStatus;
use dqa_pipelines::tables::leaderboard::{self, LEADERBOARD};
use dqa_pipelines::tables::report_key;
use dqa_pipelines::tables::runs::RunRow;
use futures::future::join_all;

use crate::error::SiteError;
use crate::site::{Site, Viewer};
use crate::table_files::read;

/// Leaderboards that are read at once.
const READS_MAX: usize = 16;

pub(super) async fn page(site: &Site, route: &Route, viewer: &Viewer) -> Result<String, SiteError> {
    let mut page = data(site).await?;
    if let Some(written) = &viewer.written {
        page.runs.retain(|run| written.contains(&Route::Run(Segment::from_name(&run.row.run)).path()));
    }
    Ok(page.render(&site.context(route, viewer, None)))
}

pub(super) async fn region(site: &Site, viewer: &Viewer) -> Result<String, SiteError> {
    Ok(data(site).await?.render_region(&site.context(&Route::Home, viewer, None)))
}

async fn data(site: &Site) -> Result<HomePage, SiteError> {
    let statuses = site.statuses(RunRecord::read_all(&site.store).await?).await?;
    let mut runs = Vec::new();
    for statuses in statuses.chunks(READS_MAX) {
        let summaries: Vec<_> = statuses.iter().map(|status| summary(site, status)).collect();
        runs.extend(join_all(summaries).await);
    }
    Ok(HomePage { runs })
}

async fn summary(site: &Site, status: &RunStatus) -> RunSummary {
    let record = &status.record;
    let rows = read(&site.store, &report_key(LEADERBOARD, &record.name), leaderboard::from_batch).await;
    // A table of an older version is no reason to hide the list; the run's own page says what is wrong with it.
    let best = rows.unwrap_or_default().into_iter().find(|row| row.rank == Some(1)).map(|row| row.algorithm);
    let metrics = record.metrics().iter().map(|metric| metric.name.to_string()).collect();
    RunSummary { row: RunRow::from(status), metrics, best: best.filter(|_| status.progress.is_complete()) }
}
