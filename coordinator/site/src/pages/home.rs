//! The runs of the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// All viewers of the list share a reading of the store for this time: less than the interval at which a page asks.
const FRESH_FOR: Duration = Duration::from_millis(1500);

pub(super) async fn page(site: &Site, route: &Route, viewer: &Viewer) -> Result<String, SiteError> {
    let mut page = HomePage::clone(&*data(site).await?);
    if let Some(written) = &viewer.written {
        page.runs.retain(|run| written.contains(&Route::Run(Segment::from_name(&run.row.run)).path()));
    }
    Ok(page.render(&site.context(route, viewer, None)))
}

pub(super) async fn region(site: &Site, viewer: &Viewer) -> Result<String, SiteError> {
    Ok(data(site).await?.render_region(&site.context(&Route::Home, viewer, None)))
}

/// Returns the runs, read at most [`FRESH_FOR`] ago.
async fn data(site: &Site) -> Result<Arc<HomePage>, SiteError> {
    let mut kept = site.home.lock().await;
    if let Some((time, page)) = kept.as_ref()
        && time.elapsed() < FRESH_FOR
    {
        return Ok(page.clone());
    }
    let page = Arc::new(read_runs(site).await?);
    *kept = Some((Instant::now(), page.clone()));
    Ok(page)
}

async fn read_runs(site: &Site) -> Result<HomePage, SiteError> {
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
