//! Two algorithms of a leaderboard.

use std::collections::BTreeMap;

use dqa_pages::{ComparisonPage, Route, SceneDifference, Segment};
use dqa_pipelines::tables::comparisons::ComparisonRow;

use super::picture::thumbnails;
use crate::error::SiteError;
use crate::loaded_run::{LoadedRun, metric_name};
use crate::run_rows::{DatasetRows, Row, RowPlace};
use crate::site::{Site, Viewer};

/// Scenes that a page lists: the largest differences in both directions. The chart has all of them.
const THUMBNAILS_MAX: usize = 12;

pub(super) async fn page(site: &Site, route: &Route, viewer: &Viewer) -> Result<String, SiteError> {
    let Route::Comparison { run, dataset, metric, better, other } = route else {
        unreachable!("the caller has matched the route")
    };
    let loaded = site.run(run).await?;
    let dataset = match dataset {
        Some(dataset) => Some(loaded.dataset(dataset)?.name.to_string()),
        None => None,
    };
    let (metric_index, metric) = loaded.metric(metric)?;
    let name = metric.name.as_str();
    let is_pair = |row: &&ComparisonRow| {
        let is = |a: &Segment, b: &Segment| a.is_of(&row.algorithm_a) && b.is_of(&row.algorithm_b);
        row.dataset == dataset && metric_name(&row.metric) == name && (is(better, other) || is(other, better))
    };
    let missing = || SiteError::NotFound(format!("The leaderboard does not compare {better} with {other}."));
    let row = loaded.tables.comparisons.iter().find(is_pair).ok_or_else(missing)?.clone();
    let wanted = loaded.tables.leaderboard.iter();
    let wanted = wanted.filter(|row| row.dataset == dataset && metric_name(&row.metric) == name);
    let datasets: Vec<String> = match &dataset {
        Some(dataset) => vec![dataset.clone()],
        None => loaded.header().datasets,
    };
    let mut scenes = Vec::new();
    for dataset in datasets {
        scenes.extend(differences(site, &loaded, (&dataset, metric_index), &row).await?);
    }
    let page = ComparisonPage { leaderboard: wanted.cloned().collect(), metric: name.to_owned(), dataset, row, scenes };
    Ok(page.render(&site.context(route, viewer, Some(&loaded))))
}

async fn differences(
    site: &Site,
    run: &LoadedRun,
    (dataset, metric): (&str, usize),
    pair: &ComparisonRow,
) -> Result<Vec<SceneDifference>, SiteError> {
    let rows = run.dataset_rows(&site.store, dataset).await?;
    let algorithm = |name: &str| rows.algorithms.iter().position(|known| known == name);
    let Some((a, b)) = algorithm(&pair.algorithm_a).zip(algorithm(&pair.algorithm_b)) else { return Ok(Vec::new()) };
    let (a, b) = (scene_means(rows, metric, a), scene_means(rows, metric, b));
    let mut scenes: Vec<(SceneDifference, Row, Row)> = Vec::new();
    for (scene, (score_a, row_a)) in a {
        let Some((score_b, row_b)) = b.get(&scene) else { continue };
        let difference = SceneDifference {
            dataset: dataset.to_owned(),
            scene: rows.scenes[scene as usize].clone(),
            score_a,
            score_b: *score_b,
            thumbnail_a: None,
            thumbnail_b: None,
        };
        scenes.push((difference, row_a, *row_b));
    }
    scenes.sort_by(|(a, ..), (b, ..)| (a.score_a - a.score_b).total_cmp(&(b.score_a - b.score_b)));
    let count = scenes.len();
    let outer = scenes.iter_mut().enumerate().filter(|(index, _)| (*index).min(count - 1 - index) < THUMBNAILS_MAX / 2);
    let mut outer: Vec<_> = outer.map(|(_, scene)| scene).collect();
    let places: Vec<RowPlace> = outer.iter().flat_map(|(_, row_a, row_b)| [row_a.place, row_b.place]).collect();
    let shown = thumbnails(site, run, dataset, &places).await?;
    for ((difference, ..), shown) in outer.iter_mut().zip(shown.chunks_exact(2)) {
        difference.thumbnail_a.clone_from(&shown[0]);
        difference.thumbnail_b.clone_from(&shown[1]);
    }
    Ok(scenes.into_iter().map(|(difference, ..)| difference).collect())
}

/// Returns the mean score of an algorithm's pictures of each scene, with one of the rows.
fn scene_means(rows: &DatasetRows, metric: usize, algorithm: usize) -> BTreeMap<u32, (f64, Row)> {
    let mut sums: BTreeMap<u32, (f64, u32, Row)> = BTreeMap::new();
    let of_algorithm = rows.metrics[metric].iter().filter(|row| row.algorithm as usize == algorithm);
    for row in of_algorithm.filter(|row| !row.score.is_nan()) {
        let sum = sums.entry(row.scene).or_insert((0.0, 0, *row));
        (sum.0, sum.1) = (sum.0 + row.score, sum.1 + 1);
    }
    sums.into_iter().map(|(scene, (sum, count, row))| (scene, (sum / f64::from(count), row))).collect()
}
