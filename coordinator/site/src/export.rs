//! The pages of a run as a folder: the same pages as served ones, with links between them alone, so that it opens from a disk
//! and from any web server. What it will take is known before anything is written.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dqa_pages::{ExportedPictures, Format, Mode, PicturePart, Route, SCENES_PER_PAGE, SceneRef, Segment};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::error::SiteError;
use crate::loaded_run::{LoadedRun, metric_name};
use crate::pages::scene_address;
use crate::site::{Content, Site, Viewer};

/// Pages of two algorithms: all are exported if there are not more, else those of the run's first metric.
const COMPARISONS_MAX: usize = 2000;

/// Files that are made at once.
const FILES_AT_ONCE: usize = 4;

/// Files of a kind whose size is measured before the export.
const SAMPLES: usize = 16;

/// A file that shows that the folder is an exported site, which may be written again.
const MARK: &str = ".dqa-site";

/// What is exported of a run.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The pictures beside the pages.
    pub pictures: ExportedPictures,
    /// Scenes with pages of their own: that many, spread evenly. None for all.
    pub scenes_max: Option<usize>,
}

/// An export that can be written.
pub struct Export {
    site: Arc<Site>,
    routes: Vec<Route>,
    viewer: Viewer,
    /// How many files there are, and about how many bytes they will take.
    pub summary: ExportSummary,
}

/// How large an export is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportSummary {
    /// Number of pages and tables.
    pub pages: usize,
    /// Number of files of pictures.
    pub pictures: usize,
    /// Bytes of all files: estimated before, and counted after they are written.
    pub bytes: u64,
    /// Scenes of the run, and those that have pages.
    pub scenes: (usize, usize),
}

/// Why an export ended.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A page or a picture cannot be made.
    #[error("cannot make {path}")]
    Make {
        /// Its path in the site.
        path: String,
        /// Why.
        #[source]
        source: SiteError,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The folder has other files.
    #[error("{} is not empty and is not an exported site", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
}

impl Export {
    /// Plans the export of a run, and measures a few of its files.
    ///
    /// # Errors
    /// The run or a page cannot be read.
    pub async fn plan(site: Arc<Site>, run: &str, options: &ExportOptions) -> Result<Export, SiteError> {
        let segment = Segment::from_name(run);
        let loaded = site.run(&segment).await?;
        let mut plan = RoutePlan { site: &site, run: &loaded, segment, routes: Vec::new(), scenes: (0, 0) };
        plan.add_run_pages();
        plan.add_scenes(options).await?;
        let RoutePlan { routes, scenes, .. } = plan;
        let written: HashSet<String> = routes.iter().map(Route::path).collect();
        let viewer = Viewer {
            mode: Mode::Exported { pictures: options.pictures },
            written: Some(Arc::new(written)),
            shows_store: false,
        };
        let is_picture = |route: &&Route| is_picture(route);
        let pictures = routes.iter().filter(is_picture).count();
        let summary = ExportSummary { pages: routes.len() - pictures, pictures, bytes: 0, scenes };
        let mut export = Export { site, routes, viewer, summary };
        export.summary.bytes = export.estimate().await?;
        Ok(export)
    }

    /// Returns about how many bytes the files will take, from a few of each kind.
    async fn estimate(&self) -> Result<u64, SiteError> {
        let mut bytes = 0;
        let mut kinds: Vec<(std::mem::Discriminant<Route>, bool, Vec<&Route>)> = Vec::new();
        for route in &self.routes {
            let kind = (std::mem::discriminant(route), is_picture(route));
            match kinds.iter_mut().find(|(discriminant, pictures, _)| (*discriminant, *pictures) == kind) {
                Some((.., routes)) => routes.push(route),
                None => kinds.push((kind.0, kind.1, vec![route])),
            }
        }
        for (.., routes) in kinds {
            let samples = spread(&routes);
            let mut sampled = 0;
            for route in &samples {
                // A picture that cannot be read is left out of the site too.
                sampled += self.site.content(route, &self.viewer).await.map_or(0, |content| content.bytes.len() as u64);
            }
            bytes += sampled * routes.len() as u64 / samples.len() as u64;
        }
        Ok(bytes)
    }

    /// Writes the files into a folder, and calls `on_file` after each. Pictures that cannot be read are left out, and the pages
    /// say that they are not there.
    ///
    /// # Errors
    /// The folder has other files, a file cannot be written, or a page cannot be made.
    pub async fn write(&self, folder: &Path, mut on_file: impl FnMut()) -> Result<ExportSummary, ExportError> {
        prepare(folder)?;
        let (pictures, pages): (Vec<&Route>, Vec<&Route>) = self.routes.iter().partition(|route| is_picture(route));
        let mut summary = ExportSummary { bytes: 0, pictures: 0, ..self.summary };
        let mut written: HashSet<String> = pages.iter().map(|page| page.path()).collect();
        let mut files = self.contents(&pictures, &self.viewer);
        while let Some((route, content)) = files.next().await {
            on_file();
            let Ok(content) = content else { continue };
            write_file(&folder.join(route.path()), &content.bytes)?;
            summary.bytes += content.bytes.len() as u64;
            summary.pictures += 1;
            written.insert(route.path());
        }
        let viewer = Viewer { written: Some(Arc::new(written)), ..self.viewer.clone() };
        let mut files = self.contents(&pages, &viewer);
        while let Some((route, content)) = files.next().await {
            on_file();
            let content = content.map_err(|source| ExportError::Make { path: route.path(), source })?;
            write_file(&folder.join(route.path()), &content.bytes)?;
            summary.bytes += content.bytes.len() as u64;
        }
        Ok(summary)
    }

    /// Makes files, some at once, in their order.
    fn contents(&self, routes: &[&Route], viewer: &Viewer) -> BoxStream<'_, (Route, Result<Content, SiteError>)> {
        let make = |route: &&Route| {
            let (site, viewer, route) = (self.site.clone(), viewer.clone(), Route::clone(route));
            async move {
                let content = site.content(&route, &viewer).await;
                (route, content)
            }
        };
        let making: Vec<_> = routes.iter().map(make).collect();
        futures::stream::iter(making).buffered(FILES_AT_ONCE).boxed()
    }

    /// Returns the number of files.
    pub fn files(&self) -> usize {
        self.routes.len()
    }
}

/// Returns some of the routes. They are not at equal distances, which might hit the same algorithm each time.
fn spread<'r>(routes: &[&'r Route]) -> Vec<&'r Route> {
    let step = routes.len().div_ceil(SAMPLES);
    let within = |sample: usize| sample * 7919 % step;
    let indices = (0..SAMPLES).map(|sample| sample * step + within(sample)).filter(|index| *index < routes.len());
    indices.map(|index| routes[index]).collect()
}

fn is_picture(route: &Route) -> bool {
    matches!(route, Route::Picture { part, .. } if *part != PicturePart::Page)
}

/// Creates the folder, or checks that it is empty or an earlier export.
fn prepare(folder: &Path) -> Result<(), ExportError> {
    let failed = |source| ExportError::Write { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let is_empty = std::fs::read_dir(folder).map_err(failed)?.next().is_none();
    if !is_empty && !folder.join(MARK).exists() {
        return Err(ExportError::NotEmpty { path: folder.to_owned() });
    }
    std::fs::write(folder.join(MARK), "Written by `dqa-coord site`, which may write here again.\n").map_err(failed)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let failed = |source| ExportError::Write { path: path.to_owned(), source };
    std::fs::create_dir_all(path.parent().expect("a route is in the folder")).map_err(failed)?;
    std::fs::write(path, bytes).map_err(failed)
}

/// Gathers the routes of an export.
struct RoutePlan<'a> {
    site: &'a Site,
    run: &'a LoadedRun,
    segment: Segment,
    routes: Vec<Route>,
    scenes: (usize, usize),
}

impl RoutePlan<'_> {
    fn add_run_pages(&mut self) {
        let run = self.segment.clone();
        self.routes.extend([
            Route::Home,
            Route::Run(run.clone()),
            Route::Failures(run.clone()),
            Route::Progress(run.clone()),
            Route::Provenance(run.clone()),
        ]);
        let header = self.run.header();
        let named = |name: &str| Segment::from_name(name);
        let overall = header.has_overall.then_some(None);
        let datasets = header.datasets.iter().map(|dataset| Some(named(dataset))).chain(overall);
        for dataset in datasets {
            for metric in header.metrics.iter().map(|metric| named(&metric.name)) {
                for format in [Format::Html, Format::Csv, Format::Json] {
                    let (run, dataset, metric) = (run.clone(), dataset.clone(), metric.clone());
                    self.routes.push(Route::Leaderboard { run, dataset, metric, format });
                }
                if let Some(dataset) = dataset.clone() {
                    self.routes.push(Route::Agreement { run: run.clone(), dataset, metric });
                }
            }
            self.routes.extend(dataset.map(|dataset| Route::Metrics { run: run.clone(), dataset }));
        }
        self.add_comparisons();
    }

    fn add_comparisons(&mut self) {
        let rows = &self.run.tables.comparisons;
        let first = rows.first().map(|row| row.metric.clone());
        let wanted = rows.iter().filter(|row| rows.len() <= COMPARISONS_MAX || Some(&row.metric) == first.as_ref());
        self.routes.extend(wanted.map(|row| Route::Comparison {
            run: self.segment.clone(),
            dataset: row.dataset.as_deref().map(Segment::from_name),
            metric: Segment::from_name(metric_name(&row.metric)),
            better: Segment::from_name(&row.algorithm_a),
            other: Segment::from_name(&row.algorithm_b),
        }));
    }

    async fn add_scenes(&mut self, options: &ExportOptions) -> Result<(), SiteError> {
        for dataset in self.run.header().datasets {
            let Some(rows) = self.run.find_dataset_rows(&self.site.store, &dataset).await? else { continue };
            let count = rows.scenes.len();
            for page in 1..=count.div_ceil(SCENES_PER_PAGE) as u32 {
                let (run, dataset) = (self.segment.clone(), Segment::from_name(&dataset));
                self.routes.push(Route::Scenes { run, dataset, page });
            }
            let kept = options.scenes_max.unwrap_or(count).min(count);
            self.scenes.0 += count;
            self.scenes.1 += kept;
            for index in (0..kept).map(|index| index * count / kept) {
                let scene = &rows.scenes[index];
                self.routes.push(scene_address(&self.segment.name().unwrap_or_default(), &dataset, scene));
                self.add_pictures(&dataset, (scene, index), options.pictures).await?;
            }
        }
        Ok(())
    }

    async fn add_pictures(
        &mut self,
        dataset: &str,
        (scene, index): (&SceneRef, usize),
        pictures: ExportedPictures,
    ) -> Result<(), SiteError> {
        let rows = self.run.dataset_rows(&self.site.store, dataset).await?;
        let mut images: Vec<(String, bool)> = Vec::new();
        for row in (0..rows.metrics.len()).flat_map(|metric| rows.of_scene(metric, index)) {
            let image = self.site.row(&self.run.status.record, row.place).await?.image;
            if !images.iter().any(|(known, _)| *known == image) {
                images.push((image, true));
            }
        }
        for picture in self.run.references(dataset, &self.site.files).await.of_scene(scene).into_iter().flatten() {
            if !images.iter().any(|(known, _)| *known == picture.image) {
                images.push((picture.image.clone(), false));
            }
        }
        let files: &[PicturePart] = match pictures {
            ExportedPictures::None => &[],
            ExportedPictures::Thumbnails => &[PicturePart::Thumbnail],
            ExportedPictures::Full => &[PicturePart::Thumbnail, PicturePart::File],
        };
        for (image, is_row) in images {
            let page = is_row.then_some(&PicturePart::Page);
            for part in page.into_iter().chain(files) {
                self.routes.push(Route::Picture {
                    run: self.segment.clone(),
                    dataset: Segment::from_name(dataset),
                    image: Segment::from_name(&image),
                    part: *part,
                });
            }
        }
        Ok(())
    }
}
