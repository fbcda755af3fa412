//! A scene with all its pictures.

use dqa_pages::{PictureScore, Route, ScenePage, Segment};

use super::picture::{picture_of_row, reference};
use crate::error::SiteError;
use crate::loaded_run::{LoadedRun, find_scene};
use crate::run_rows::{DatasetRows, Row};
use crate::site::{Site, Viewer};

pub(super) async fn page(site: &Site, route: &Route, viewer: &Viewer) -> Result<String, SiteError> {
    let Route::Scene { run, dataset, group, scene } = route else { unreachable!("the caller has matched the route") };
    let loaded = site.run(run).await?;
    let dataset = loaded.dataset(dataset)?.name.to_string();
    let rows = loaded.dataset_rows(&site.store, &dataset).await?;
    let missing = || SiteError::NotFound(format!("Data set {dataset} has no scored scene {scene}."));
    let scene = find_scene(rows, group.as_ref(), scene).ok_or_else(missing)?;
    let index = rows.scene(scene).ok_or_else(missing)?;
    let mut pictures = Vec::new();
    let mut hazy = None;
    for (row, scores) in pictures_of_scene(site, &loaded, rows, index).await? {
        let picture = picture_of_row(site, &loaded, (&dataset, rows), &row, scores).await?;
        if loaded.hazy_algorithm(&dataset) == Some(picture.algorithm.as_str()) {
            hazy = Some(picture);
        } else {
            pictures.push(picture);
        }
    }
    let [input, clear] = loaded.references(&dataset, &site.files).await.of_scene(scene);
    let page = ScenePage {
        scene: scene.clone(),
        metrics: loaded.header().metrics,
        hazy: hazy.or_else(|| Some(reference(site, &loaded, &dataset, "hazy", input?))),
        clear: clear.map(|clear| reference(site, &loaded, &dataset, "clear", clear)),
        pictures,
        mos_range: mos_range(rows),
        previous: index.checked_sub(1).map(|before| rows.scenes[before].clone()),
        next: rows.scenes.get(index + 1).cloned(),
        dataset: dataset.clone(),
    };
    Ok(page.render(&site.context(route, viewer, Some(&loaded))))
}

/// Returns a row of each picture of a scene, with what each metric of the run says of the picture.
async fn pictures_of_scene(
    site: &Site,
    run: &LoadedRun,
    rows: &DatasetRows,
    scene: usize,
) -> Result<Vec<(Row, Vec<PictureScore>)>, SiteError> {
    // An algorithm mostly has one picture of a scene; if it has several, their names tell them apart.
    let mut pictures: Vec<(String, Row, Vec<PictureScore>)> = Vec::new();
    for metric in 0..rows.metrics.len() {
        for row in rows.of_scene(metric, scene) {
            let whole = site.row(&run.status.record, row.place).await?;
            let score = match &whole.score {
                Ok(statistics) => PictureScore::Value(statistics.score),
                Err(failure) => PictureScore::Failed(failure.code.clone()),
            };
            let index = match pictures.iter().position(|(image, ..)| *image == whole.image) {
                Some(index) => index,
                None => {
                    pictures.push((whole.image, *row, vec![PictureScore::Missing; rows.metrics.len()]));
                    pictures.len() - 1
                }
            };
            pictures[index].2[metric] = score;
        }
    }
    Ok(pictures.into_iter().map(|(_, row, scores)| (row, scores)).collect())
}

/// Returns the lowest and highest label of the data set.
fn mos_range(rows: &DatasetRows) -> Option<(f64, f64)> {
    let labels = rows.metrics.first()?.iter().map(|row| row.mos).filter(|mos| !mos.is_nan());
    labels.fold(None, |range: Option<(f64, f64)>, mos| {
        Some(range.map_or((mos, mos), |(low, high)| (low.min(mos), high.max(mos))))
    })
}

/// Returns the address of a scene's page.
pub(crate) fn address(run: &str, dataset: &str, scene: &dqa_pages::SceneRef) -> Route {
    Route::Scene {
        run: Segment::from_name(run),
        dataset: Segment::from_name(dataset),
        group: scene.group.as_deref().map(Segment::from_name),
        scene: Segment::from_name(&scene.name),
    }
}
