//! The list of a data set's scenes.

use dqa_pages::{Route, SCENES_PER_PAGE, SceneEntry, ScenesPage, Segment};
use dqa_pipelines::metric::MetricSpec;

use super::picture::{reference, thumbnail_of_row};
use crate::error::SiteError;
use crate::loaded_run::LoadedRun;
use crate::run_rows::{DatasetRows, Row};
use crate::site::{Site, Viewer};

pub(super) async fn page(
    site: &Site,
    (run, dataset, page): (&Segment, &Segment, u32),
    (route, viewer): (&Route, &Viewer),
) -> Result<String, SiteError> {
    let loaded = site.run(run).await?;
    let dataset = loaded.dataset(dataset)?.name.to_string();
    let rows = loaded.dataset_rows(&site.store, &dataset).await?;
    let missing = || SiteError::NotFound(format!("The list of scenes has no page {page}."));
    let range = rows.page(page, SCENES_PER_PAGE).ok_or_else(missing)?;
    // The first metric that has rows of the data set: a metric may be left out where it has no references.
    let (index, metric) =
        loaded.metrics.iter().enumerate().find(|(index, _)| !rows.metrics[*index].is_empty()).ok_or_else(missing)?;
    let mut scenes = Vec::new();
    for scene in range {
        scenes.push(entry(site, &loaded, (&dataset, rows), (index, metric), scene).await?);
    }
    let page = ScenesPage {
        dataset: dataset.clone(),
        metric: metric.name.to_string(),
        page,
        total: rows.scenes.len() as u64,
        scenes,
    };
    Ok(page.render(&site.context(route, viewer, Some(&loaded))))
}

async fn entry(
    site: &Site,
    run: &LoadedRun,
    (dataset, rows): (&str, &DatasetRows),
    (index, metric): (usize, &MetricSpec),
    scene: usize,
) -> Result<SceneEntry, SiteError> {
    let input = run.references(dataset).await.of_scene(&rows.scenes[scene])[0];
    let summary = Summary::of(rows, (index, metric), scene, run.hazy_algorithm(dataset));
    let thumbnail = match (input, summary.shown) {
        (Some(input), _) => reference(site, run, dataset, "hazy", input).thumbnail,
        (None, Some(row)) => thumbnail_of_row(site, run, dataset, &row).await?,
        (None, None) => None,
    };
    Ok(SceneEntry { thumbnail, ..summary.entry })
}

/// A scene's scores in short.
struct Summary {
    /// Without a picture.
    entry: SceneEntry,
    /// The row whose picture stands for the scene: the hazy input, or else the best output.
    shown: Option<Row>,
}

impl Summary {
    fn of(rows: &DatasetRows, (index, metric): (usize, &MetricSpec), scene: usize, hazy: Option<&str>) -> Summary {
        let of_scene = rows.of_scene(index, scene);
        let is_hazy = |row: &Row| hazy == Some(rows.algorithms[row.algorithm as usize].as_str());
        let scored: Vec<&Row> = of_scene.iter().filter(|row| !row.score.is_nan()).collect();
        let oriented = |row: &Row| metric.direction.orient(row.score);
        let outputs = scored.iter().filter(|row| !is_hazy(row));
        let best = outputs.max_by(|a, b| oriented(a).total_cmp(&oriented(b))).copied();
        let values = || scored.iter().map(|row| row.score);
        let entry = SceneEntry {
            scene: rows.scenes[scene].clone(),
            thumbnail: None,
            pictures: of_scene.len() as u64,
            failed: (of_scene.len() - scored.len()) as u64,
            best: best.map(|row| rows.algorithms[row.algorithm as usize].clone()),
            score_low: values().min_by(f64::total_cmp),
            score_high: values().max_by(f64::total_cmp),
        };
        Summary { entry, shown: of_scene.iter().find(|row| is_hazy(row)).or(best).or(of_scene.first()).copied() }
    }
}
