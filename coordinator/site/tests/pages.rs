//! The pages of a synthetic store: every route answers, an exported site links only to its own files, and what is missing
//! is said and takes nothing else with it.

#![allow(clippy::unwrap_used)] // helpers too

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dqa_pages::{ExportedPictures, Format, Mode, PicturePart, Route, Segment};
use dqa_pipelines::report::{self, ReportOptions};
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::store::Store;
use dqa_site::{Export, ExportError, ExportOptions, Site, SiteError, Viewer};
use tempfile::TempDir;

#[path = "../../../pipelines/tests/support/synthetic.rs"]
mod synthetic;

const SHAPE: synthetic::Shape =
    synthetic::Shape { datasets: 2, algorithms: 3, scenes: 12, part_rows_max: 5, labelled: true };

struct Fixture {
    dir: TempDir,
    store: Store,
    record: RunRecord,
}

impl Fixture {
    /// A store with a run of synthetic rows, whose pictures do not exist, and its report.
    async fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path().join("store").to_str().unwrap(), Path::new("")).unwrap();
        let record = synthetic::write(&store, "run", SHAPE).await;
        let report = report::compute(&store, &record, &ReportOptions::default()).await.unwrap();
        report.write(&store).await.unwrap();
        Fixture { dir, store, record }
    }

    fn site(&self) -> Site {
        Site::new(self.store.clone(), Arc::new(|_: &str| true), None)
    }

    fn dataset(&self) -> Segment {
        segment(self.record.spec.datasets[0].name.as_str())
    }
}

fn segment(name: &str) -> Segment {
    Segment::from_name(name)
}

fn viewer() -> Viewer {
    Viewer { mode: Mode::Served { live: false, user: None, may_act: false }, written: None, shows_store: true }
}

async fn html(site: &Site, route: &Route) -> Result<String, SiteError> {
    let content = site.content(route, &viewer()).await?;
    Ok(String::from_utf8(content.bytes.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_made() {
    let fixture = Fixture::new().await;
    let (site, run, dataset, metric) = (fixture.site(), segment("run"), fixture.dataset(), segment("clip-dqa"));
    let leaderboard =
        |dataset, format| Route::Leaderboard { run: run.clone(), dataset, metric: metric.clone(), format };
    let scenes = html(&site, &Route::Scenes { run: run.clone(), dataset: dataset.clone(), page: 1 }).await.unwrap();
    let mut linked = scenes.split("href=\"").filter_map(|rest| rest.split('"').next());
    let scene = linked.find(|link| link.contains("/scenes/") && !link.contains("index")).unwrap();
    let scene = Route::parse(scene.trim_start_matches("../")).unwrap();
    let pictures = html(&site, &scene).await.unwrap();
    let mut linked = pictures.split("href=\"").filter_map(|rest| rest.split('"').next());
    let picture = linked.find(|link| link.contains("/pictures/")).unwrap();
    let picture = Route::parse(picture.trim_start_matches("../")).unwrap();
    let routes = [
        Route::Home,
        Route::Run(run.clone()),
        leaderboard(Some(dataset.clone()), Format::Html),
        leaderboard(None, Format::Html),
        Route::Agreement { run: run.clone(), dataset: dataset.clone(), metric: metric.clone() },
        Route::Metrics { run: run.clone(), dataset: dataset.clone() },
        scene,
        picture,
        Route::Failures(run.clone()),
        Route::Progress(run.clone()),
        Route::Provenance(run.clone()),
        Route::Studies,
        Route::Workers,
    ];
    for route in routes {
        let page = html(&site, &route).await.unwrap_or_else(|error| panic!("{}: {error}", route.path()));
        assert!(page.contains("<h1"), "{} has a heading", route.path());
    }
    let csv = html(&site, &leaderboard(Some(dataset), Format::Csv)).await.unwrap();
    assert_eq!(csv.lines().count(), 1 + SHAPE.algorithms);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said_and_takes_nothing_with_it() {
    let fixture = Fixture::new().await;
    let (site, run, dataset) = (fixture.site(), segment("run"), fixture.dataset());
    let scenes = Route::Scenes { run: run.clone(), dataset: dataset.clone(), page: 1 };
    for route in [
        Route::Run(segment("other")),
        Route::Scenes { run: run.clone(), dataset: dataset.clone(), page: 9 },
        Route::Scene { run: run.clone(), dataset: dataset.clone(), group: None, scene: segment("nowhere") },
        Route::Leaderboard { run: run.clone(), dataset: None, metric: segment("niqe"), format: Format::Html },
        Route::Study(segment("none")),
        Route::Trial(segment("none")),
    ] {
        let error = html(&site, &route).await.unwrap_err();
        assert!(matches!(error, SiteError::NotFound(_)), "{}: {error}", route.path());
    }
    // Rows name pictures that do not exist.
    let part = PicturePart::Thumbnail;
    let image = segment(&first_image(&fixture).await);
    let picture = Route::Picture { run: run.clone(), dataset: dataset.clone(), image: image.clone(), part };
    assert!(html(&site, &picture).await.is_err());
    let closed = Site::new(fixture.store.clone(), Arc::new(|_: &str| false), None);
    let error = html(&closed, &picture).await.unwrap_err();
    assert!(matches!(error, SiteError::NotAllowed(_)), "{error}");

    fixture.store.delete(&fixture.record.parts[0].key).await.unwrap();
    let page = html(&fixture.site(), &scenes).await.unwrap();
    assert!(page.contains("<h1"), "the other parts are shown");
}

async fn first_image(fixture: &Fixture) -> String {
    let bytes = fixture.store.get(&fixture.record.parts[0].key).await.unwrap();
    let batches = dqa_pipelines::tables::parquet_file::read(bytes).unwrap();
    dqa_pipelines::tables::scores::from_batch(&batches[0]).unwrap()[0].image.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_site_links_only_to_its_own_files() {
    let fixture = Fixture::new().await;
    let options = ExportOptions { pictures: ExportedPictures::Thumbnails, scenes_max: Some(3) };
    let export = Export::plan(Arc::new(fixture.site()), "run", &options).await.unwrap();
    assert_eq!(export.summary.scenes, (24, 6), "three scenes of each data set");
    let out = fixture.dir.path().join("out");
    let written = export.write(&out, || {}).await.unwrap();
    assert_eq!(written.pictures, 0, "pictures that cannot be read are left out");
    assert_eq!(written.pages, export.summary.pages);

    let files = files_below(&out);
    let pages: Vec<&PathBuf> = files.iter().filter(|file| file.extension().is_some_and(|end| end == "html")).collect();
    assert!(pages.len() > 20, "{}", pages.len());
    let mut links = 0;
    for page in pages {
        let text = std::fs::read_to_string(page).unwrap();
        let addresses = ["href=\"", "src=\""].into_iter().flat_map(|attribute| text.split(attribute).skip(1));
        for link in addresses.filter_map(|rest| rest.split('"').next()) {
            let link = link.split('#').next().unwrap();
            if link.is_empty() || link.starts_with("data:") {
                continue;
            }
            let target = page.parent().unwrap().join(link);
            assert!(target.exists(), "{} links to {link}", page.display());
            links += 1;
        }
    }
    assert!(links > 200, "{links}");

    let without = ExportOptions { pictures: ExportedPictures::None, ..options.clone() };
    let without = Export::plan(Arc::new(fixture.site()), "run", &without).await.unwrap();
    assert!(export.summary.pictures > 0 && without.summary.pictures == 0);
    assert_eq!(without.summary.pages, export.summary.pages);

    let again = Export::plan(Arc::new(fixture.site()), "run", &options).await.unwrap();
    again.write(&out, || {}).await.unwrap();
    let other = fixture.dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.tex"), "").unwrap();
    assert!(matches!(again.write(&other, || {}).await, Err(ExportError::NotEmpty { .. })));
}

fn files_below(folder: &Path) -> HashSet<PathBuf> {
    let mut files = HashSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.insert(path);
        }
    }
    files
}
