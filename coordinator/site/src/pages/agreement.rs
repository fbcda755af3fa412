//! A metric against the labels of a data set.

use std::sync::Arc;

use dqa_pages::{AgreementPage, LabelGap, POINTS_MAX, Route, Scatter, ScorePoint, Segment};
use dqa_pipelines::metric::MetricSpec;
use dqa_pipelines::tables::correlations::CorrelationRow;
use dqa_stats::midranks;

use crate::error::SiteError;
use crate::loaded_run::{LoadedRun, metric_name};
use crate::run_rows::{DatasetRows, Row};
use crate::scatter_data::ScatterData;
use crate::site::{Site, Viewer};

/// Pictures that a page lists as ranked differently.
const GAPS_MAX: usize = 10;

pub(super) async fn page(
    site: &Site,
    (run, dataset, metric): (&Segment, &Segment, &Segment),
    (route, viewer): (&Route, &Viewer),
) -> Result<String, SiteError> {
    let loaded = site.run(run).await?;
    let dataset = loaded.dataset(dataset)?.name.to_string();
    let metric = loaded.metric(metric)?.1;
    let name = metric.name.as_str();
    let is_wanted =
        |row: &&CorrelationRow| row.dataset.as_deref() == Some(dataset.as_str()) && metric_name(&row.metric) == name;
    let correlations: Vec<_> = loaded.tables.correlations.iter().filter(is_wanted).cloned().collect();
    let data = if correlations.is_empty() { None } else { Some(scatter(site, &loaded, (&dataset, metric)).await?) };
    let page = AgreementPage {
        dataset: dataset.clone(),
        metric: name.to_owned(),
        correlations,
        scatter: data.as_ref().and_then(|data| data.scatter.clone()),
        gaps: data.map(|data| data.gaps.clone()).unwrap_or_default(),
    };
    Ok(page.render(&site.context(route, viewer, Some(&loaded))))
}

/// Returns the scatter of a metric and the labels. It is made once for a run.
pub(super) async fn scatter(
    site: &Site,
    run: &LoadedRun,
    (dataset, metric): (&str, &MetricSpec),
) -> Result<Arc<ScatterData>, SiteError> {
    let mut known = run.scatters.lock().await;
    let key = (dataset.to_owned(), metric.name.to_string());
    if let Some(data) = known.get(&key) {
        return Ok(data.clone());
    }
    let data = Arc::new(prepare(site, run, (dataset, metric)).await?);
    known.insert(key, data.clone());
    Ok(data)
}

async fn prepare(
    site: &Site,
    run: &LoadedRun,
    (dataset, metric): (&str, &MetricSpec),
) -> Result<ScatterData, SiteError> {
    let index = run.metrics.iter().position(|known| known.name == metric.name).expect("it is a metric of the run");
    let all = run.dataset_rows(&site.store, dataset).await?;
    let rows: Vec<Row> =
        all.metrics[index].iter().copied().filter(|row| !row.score.is_nan() && !row.mos.is_nan()).collect();
    let scores: Vec<f64> = rows.iter().map(|row| row.score).collect();
    let labels: Vec<f64> = rows.iter().map(|row| row.mos).collect();
    let ranked: Vec<f64> = scores.iter().map(|score| metric.direction.orient(*score)).collect();
    let gaps = label_gaps(&ranked, &labels);
    let mut points = Vec::new();
    let scatter = if rows.len() > POINTS_MAX {
        let fitting = move || Scatter::from_columns(&scores, &labels);
        tokio::task::spawn_blocking(fitting).await.expect("fitting does not panic")
    } else {
        for row in &rows {
            points.push(point(site, run, all, row).await?);
        }
        Scatter::from_points(points.clone())
    };
    let mut listed = Vec::new();
    for (row, rank, mos_rank) in gaps {
        let point = match points.get(row) {
            Some(point) => point.clone(),
            None => point(site, run, all, &rows[row]).await?,
        };
        listed.push(LabelGap { point, rank, mos_rank, n: rows.len() as u64 });
    }
    Ok(ScatterData { scatter, gaps: listed })
}

async fn point(site: &Site, run: &LoadedRun, all: &DatasetRows, row: &Row) -> Result<ScorePoint, SiteError> {
    Ok(ScorePoint {
        algorithm: all.algorithms[row.algorithm as usize].clone(),
        scene: all.scenes[row.scene as usize].clone(),
        image: site.row(&run.status.record, row.place).await?.image,
        score: row.score,
        mos: row.mos,
    })
}

/// Returns the indices of the rows whose ranks by score and label differ most, with both ranks; 1 is best.
fn label_gaps(scores: &[f64], labels: &[f64]) -> Vec<(usize, f64, f64)> {
    let best_first = |values: &[f64]| -> Vec<f64> {
        midranks(values).into_iter().map(|rank| values.len() as f64 + 1.0 - rank).collect()
    };
    let (by_score, by_label) = (best_first(scores), best_first(labels));
    let gap = |row: usize| (by_score[row] - by_label[row]).abs();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| gap(*b).total_cmp(&gap(*a)).then(a.cmp(b)));
    order.truncate(GAPS_MAX);
    order.into_iter().map(|row| (row, by_score[row], by_label[row])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_gap_between_ranks_is_first() {
        let gaps = label_gaps(&[0.9, 0.8, 0.7, 0.1], &[10.0, 40.0, 30.0, 20.0]);
        assert_eq!(gaps[0], (0, 1.0, 4.0));
        assert_eq!(gaps.len(), 4);
        assert_eq!(label_gaps(&[0.5, 0.5], &[1.0, 2.0])[0], (0, 1.5, 2.0), "equal scores share their rank");
    }
}
