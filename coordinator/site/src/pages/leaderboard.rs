//! A leaderboard.

use dqa_pages::{Format, LeaderboardPage, Pairs, Route, Segment};
use dqa_pipelines::metric::MetricSpec;

use super::agreement;
use crate::error::SiteError;
use crate::loaded_run::{LoadedRun, metric_name};
use crate::site::{Site, Viewer};

/// The leaderboard of the run's first data set and metric.
pub(super) async fn first(site: &Site, run: &Segment, (route, viewer): (&Route, &Viewer)) -> Result<String, SiteError> {
    let loaded = site.run(run).await?;
    let missing = || SiteError::NotFound("The run has no data set.".to_owned());
    let dataset = loaded.status.record.spec.datasets.first().ok_or_else(missing)?;
    let metric = loaded.metrics.first().ok_or_else(missing)?.clone();
    let page = gather(site, &loaded, (Some(dataset.name.as_str()), &metric)).await?;
    Ok(page.render(&site.context(route, viewer, Some(&loaded))))
}

pub(super) async fn page(site: &Site, route: &Route, viewer: &Viewer) -> Result<String, SiteError> {
    let run = route.run().expect("a leaderboard is of a run");
    let loaded = site.run(run).await?;
    Ok(data(site, route).await?.render(&site.context(route, viewer, Some(&loaded))))
}

pub(super) async fn data(site: &Site, route: &Route) -> Result<LeaderboardPage, SiteError> {
    let Route::Leaderboard { run, dataset, metric, format: Format::Html | Format::Csv | Format::Json } = route else {
        unreachable!("the caller has matched the route")
    };
    let loaded = site.run(run).await?;
    let dataset = dataset.as_ref().map(|dataset| loaded.dataset(dataset)).transpose()?;
    let metric = loaded.metric(metric)?.1.clone();
    gather(site, &loaded, (dataset.map(|dataset| dataset.name.as_str()), &metric)).await
}

async fn gather(
    site: &Site,
    run: &LoadedRun,
    (dataset, metric): (Option<&str>, &MetricSpec),
) -> Result<LeaderboardPage, SiteError> {
    let name = metric.name.as_str();
    let tables = &run.tables;
    let is_wanted =
        |row_dataset: &Option<String>, row_metric| row_dataset.as_deref() == dataset && metric_name(row_metric) == name;
    let rows = tables.leaderboard.iter().filter(|row| is_wanted(&row.dataset, &row.metric)).cloned().collect();
    let mut pairs = Pairs::default();
    for row in tables.comparisons.iter().filter(|row| is_wanted(&row.dataset, &row.metric)) {
        pairs.all += 1;
        pairs.testable += u64::from(row.testable);
        pairs.significant += u64::from(row.significant);
    }
    let agreement = tables.correlations.iter().find(|row| {
        dataset.is_some() && is_wanted(&row.dataset, &row.metric) && row.protocol == "pooled" && row.group_kind == "all"
    });
    let scatter = match (dataset, agreement) {
        (Some(dataset), Some(_)) => Some(agreement::scatter(site, run, (dataset, metric)).await?),
        _ => None,
    };
    let record = &run.status.record;
    let mut facts = vec![format!("fingerprint {}", metric.fingerprint)];
    if metric.is_clip_dqa() {
        let spec = &record.spec;
        let prompts = spec.prompts.as_deref().unwrap_or("handcrafted sentences");
        facts.push(format!("{} with {prompts}", spec.model));
        facts.extend([spec.views.clone(), spec.dtype.clone()]);
    }
    Ok(LeaderboardPage {
        dataset: dataset.map(str::to_owned),
        metric: name.to_owned(),
        rows,
        pairs,
        agreement: agreement.cloned(),
        scatter: scatter.as_ref().and_then(|data| data.scatter.clone()),
        gaps: scatter.map(|data| data.gaps.clone()).unwrap_or_default(),
        progress: (!run.status.progress.is_complete()).then_some(run.status.progress),
        command: record.provenance.get("command").cloned(),
        facts,
    })
}
