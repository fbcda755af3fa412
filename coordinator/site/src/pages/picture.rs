//! A picture: its page, its files, and what other pages show of it.

use dqa_pages::{Map, MetricScore, Picture, PicturePage, PicturePart, PictureScore, Route, Segment};
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::tables::scores::ScoreRow;

use crate::error::SiteError;
use crate::loaded_run::LoadedRun;
use crate::pictures::{ImageFile, MapKind, PictureSource, RunModel};
use crate::references::ReferencePicture;
use crate::run_rows::{DatasetRows, Row, RowPlace};
use crate::site::{Site, Viewer};

/// A run, a data set and a picture, as an address names them.
type Ids<'a> = (&'a Segment, &'a Segment, &'a Segment);

/// A picture's rows by the metrics of its run, each None if there is no row.
struct FoundPicture {
    rows: Vec<Option<(Row, ScoreRow)>>,
    scene: usize,
}

impl FoundPicture {
    fn any(&self) -> (&Row, &ScoreRow) {
        let found = self.rows.iter().flatten().next();
        let (row, whole) = found.expect("a picture is found by a row");
        (row, whole)
    }
}

pub(super) async fn page(site: &Site, ids: Ids<'_>, (route, viewer): (&Route, &Viewer)) -> Result<String, SiteError> {
    let loaded = site.run(ids.0).await?;
    let dataset = loaded.dataset(ids.1)?.name.to_string();
    let rows = loaded.dataset_rows(&site.store, &dataset).await?;
    let found = find(site, &loaded, rows, ids.2).await?.ok_or_else(|| missing(&dataset, ids.2))?;
    let record = &loaded.status.record;
    let (row, whole) = found.any();
    let algorithm = rows.algorithms[row.algorithm as usize].clone();
    let picture = show(site, record, (&dataset, algorithm), whole, Vec::new());
    let scores = loaded.metrics.iter().zip(&found.rows).filter_map(|(metric, row)| {
        Some(MetricScore {
            metric: metric.name.to_string(),
            direction: metric.direction,
            fingerprint: metric.fingerprint.clone(),
            row: row.as_ref()?.1.clone(),
        })
    });
    let map = |part: PicturePart| match RunModel::find(record) {
        _ if picture.thumbnail.is_none() => Map::Missing("The picture cannot be read.".to_owned()),
        _ if matches!(viewer.mode, dqa_pages::Mode::Exported { .. }) => {
            Map::Missing("Exported sites have none: `dqa-coord view` makes it.".to_owned())
        }
        Ok(_) => Map::At(address(record, &dataset, &whole.image, part).path()),
        Err(reason) => Map::Missing(reason),
    };
    let page = PicturePage {
        rows: scores.collect(),
        bytes: None,
        window_map: map(PicturePart::WindowMap),
        attention_map: map(PicturePart::AttentionMap),
        siblings: siblings(site, &loaded, (&dataset, rows), &found).await?,
        picture,
        dataset: dataset.clone(),
    };
    Ok(page.render(&site.context(route, viewer, Some(&loaded))))
}

fn missing(dataset: &str, image: &Segment) -> SiteError {
    SiteError::NotFound(format!("The run has no picture {image} of data set {dataset}."))
}

/// Finds a picture's rows. A cut segment names no picture, so that all rows are compared with it.
async fn find(
    site: &Site,
    run: &LoadedRun,
    rows: &DatasetRows,
    image: &Segment,
) -> Result<Option<FoundPicture>, SiteError> {
    let places: Vec<(u32, u32)> = match image.name() {
        Some(name) => rows.of_image(&name).iter().map(|(_, scene, algorithm)| (*scene, *algorithm)).collect(),
        None => all_places(rows),
    };
    for (scene, algorithm) in places {
        let mut found = vec![None; rows.metrics.len()];
        for (metric, found) in found.iter_mut().enumerate() {
            for row in rows.of_scene(metric, scene as usize) {
                if row.algorithm != algorithm {
                    continue;
                }
                let whole = site.row(&run.status.record, row.place).await?;
                if image.is_of(&whole.image) {
                    *found = Some((*row, whole));
                    break;
                }
            }
        }
        if found.iter().any(Option::is_some) {
            return Ok(Some(FoundPicture { rows: found, scene: scene as usize }));
        }
    }
    Ok(None)
}

fn all_places(rows: &DatasetRows) -> Vec<(u32, u32)> {
    let mut places: Vec<(u32, u32)> = rows.metrics.iter().flatten().map(|row| (row.scene, row.algorithm)).collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// Returns the other pictures of the scene.
async fn siblings(
    site: &Site,
    run: &LoadedRun,
    (dataset, rows): (&str, &DatasetRows),
    found: &FoundPicture,
) -> Result<Vec<Picture>, SiteError> {
    let metric = found.rows.iter().position(Option::is_some).expect("a picture is found by a row");
    let own = found.any().0.place;
    let mut siblings = Vec::new();
    for row in rows.of_scene(metric, found.scene) {
        if row.place != own {
            siblings.push(picture_of_row(site, run, (dataset, rows), row, Vec::new()).await?);
        }
    }
    Ok(siblings)
}

/// Returns a row's picture with these scores.
pub(crate) async fn picture_of_row(
    site: &Site,
    run: &LoadedRun,
    (dataset, rows): (&str, &DatasetRows),
    row: &Row,
    scores: Vec<PictureScore>,
) -> Result<Picture, SiteError> {
    let record = &run.status.record;
    let whole = site.row(record, row.place).await?;
    Ok(show(site, record, (dataset, rows.algorithms[row.algorithm as usize].clone()), &whole, scores))
}

/// Returns the addresses of rows' small pictures. None: the picture cannot be shown.
pub(super) async fn thumbnails(
    site: &Site,
    run: &LoadedRun,
    dataset: &str,
    places: &[RowPlace],
) -> Result<Vec<Option<String>>, SiteError> {
    let record = &run.status.record;
    let rows = site.rows(record, places).await?;
    Ok(rows.iter().map(|row| show(site, record, (dataset, String::new()), row, Vec::new()).thumbnail).collect())
}

fn show(
    site: &Site,
    record: &RunRecord,
    (dataset, algorithm): (&str, String),
    row: &ScoreRow,
    scores: Vec<PictureScore>,
) -> Picture {
    // A picture that was read and has a size was decoded, whatever a metric said of it afterwards.
    let size = row.width.zip(row.height).map(|(width, height)| (width.unsigned_abs(), height.unsigned_abs()));
    let is_shown = row.digest.is_some() && size.is_some() && site.files.allows(&row.uri);
    let file = |part| is_shown.then(|| address(record, dataset, &row.image, part).path());
    Picture {
        algorithm,
        image: row.image.clone(),
        size,
        thumbnail: file(PicturePart::Thumbnail),
        full: file(PicturePart::File),
        scores,
        mos: row.mos,
    }
}

/// Returns a reference of a scene as a picture.
pub(super) fn reference(
    site: &Site,
    run: &LoadedRun,
    dataset: &str,
    kind: &str,
    picture: &ReferencePicture,
) -> Picture {
    let is_shown = site.files.allows(&picture.uri);
    let record = &run.status.record;
    let file = |part| is_shown.then(|| address(record, dataset, &picture.image, part).path());
    Picture {
        algorithm: kind.to_owned(),
        image: picture.image.clone(),
        size: None,
        thumbnail: file(PicturePart::Thumbnail),
        full: file(PicturePart::File),
        scores: Vec::new(),
        mos: None,
    }
}

fn address(record: &RunRecord, dataset: &str, image: &str, part: PicturePart) -> Route {
    Route::Picture {
        run: Segment::from_name(record.name.as_str()),
        dataset: Segment::from_name(dataset),
        image: Segment::from_name(image),
        part,
    }
}

/// Returns where a picture is: only a picture that a row of the run names, or that is a reference of one of its scenes.
pub(crate) async fn find_source(site: &Site, ids: Ids<'_>) -> Result<PictureSource, SiteError> {
    let loaded = site.run(ids.0).await?;
    let dataset = loaded.dataset(ids.1)?.name.to_string();
    if let Some(rows) = loaded.find_dataset_rows(&site.store, &dataset).await?
        && let Some(found) = find(site, &loaded, rows, ids.2).await?
    {
        let row = found.any().1;
        return Ok(PictureSource { uri: row.uri.clone(), version: row.version.clone() });
    }
    let uri = loaded.references(&dataset, &site.files).await.uri(ids.2).ok_or_else(|| missing(&dataset, ids.2))?;
    Ok(PictureSource { uri: uri.to_owned(), version: String::new() })
}

/// Draws a map over a picture.
pub(super) async fn map(site: &Site, ids: Ids<'_>, kind: MapKind) -> Result<ImageFile, SiteError> {
    let loaded = site.run(ids.0).await?;
    let model = RunModel::find(&loaded.status.record).map_err(SiteError::NotFound)?;
    let source = find_source(site, ids).await?;
    let maker = site.maps.clone();
    let name = model.cache_name(kind);
    let _turn = site.maps.turn().await;
    site.files.make(&name, &source, move |picture| maker.draw(&model, kind, &picture)).await
}
