//! The list of a data set's scenes.

use dqa_pages::{Route, SCENES_PER_PAGE, SceneEntry, ScenesPage, Segment};
use dqa_pipelines::metric::MetricSpec;

use super::picture::{reference, thumbnails};
use crate::error::SiteError;
use crate::run_rows::{DatasetRows, Row, RowPlace};
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
    let hazy = loaded.hazy_algorithm(&dataset);
    let mut summaries: Vec<Summary> = range.map(|scene| Summary::new(rows, (index, metric), scene, hazy)).collect();
    let references = loaded.references(&dataset, &site.files).await;
    for summary in &mut summaries {
        let input = references.of_scene(&summary.entry.scene)[0];
        if let Some(input) = input {
            summary.entry.thumbnail = reference(site, &loaded, &dataset, "hazy", input).thumbnail;
            summary.shown = None;
        }
    }
    let shown: Vec<RowPlace> = summaries.iter().filter_map(|summary| summary.shown).collect();
    let mut thumbnails = thumbnails(site, &loaded, &dataset, &shown).await?.into_iter();
    for summary in summaries.iter_mut().filter(|summary| summary.shown.is_some()) {
        summary.entry.thumbnail = thumbnails.next().flatten();
    }
    let page = ScenesPage {
        dataset: dataset.clone(),
        metric: metric.name.to_string(),
        page,
        total: rows.scenes.len() as u64,
        scenes: summaries.into_iter().map(|summary| summary.entry).collect(),
    };
    Ok(page.render(&site.context(route, viewer, Some(&loaded))))
}

/// A scene's scores in short.
struct Summary {
    /// Without a picture.
    entry: SceneEntry,
    /// The row whose picture stands for the scene: the hazy input, or else the best output.
    shown: Option<RowPlace>,
}

impl Summary {
    fn new(rows: &DatasetRows, (index, metric): (usize, &MetricSpec), scene: usize, hazy: Option<&str>) -> Summary {
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
        let shown = of_scene.iter().find(|row| is_hazy(row)).or(best).or(of_scene.first());
        Summary { entry, shown: shown.map(|row| row.place) }
    }
}
