//! The pages: each file gathers from the store what one page shows, and has it rendered.

mod agreement;
mod comparison;
mod failures;
mod home;
mod leaderboard;
mod metrics;
mod picture;
mod progress;
mod provenance;
mod scene;
mod scenes;
mod studies;
mod workers;

use dqa_pages::{Channel, Format, PicturePart, Region, Route, SignInPage};

use picture::find_source;
pub(crate) use scene::address as scene_address;

use futures::future::BoxFuture;

use crate::error::SiteError;
use crate::pictures::{ImageFile, MapKind};
use crate::site::{Content, Site, Viewer};

impl Site {
    /// Returns what is at a route.
    ///
    /// # Errors
    /// There is nothing, or it cannot be read.
    pub fn content<'a>(&'a self, route: &'a Route, viewer: &'a Viewer) -> BoxFuture<'a, Result<Content, SiteError>> {
        // The compiler cannot see that the futures of all pages may move between threads, unless they end here.
        Box::pin(content(self, route, viewer))
    }
}

async fn content(site: &Site, route: &Route, viewer: &Viewer) -> Result<Content, SiteError> {
    let html = match route {
        Route::Home => home::page(site, route, viewer).await?,
        Route::Run(run) => leaderboard::first(site, run, (route, viewer)).await?,
        Route::Leaderboard { format: Format::Html, .. } => leaderboard::page(site, route, viewer).await?,
        Route::Leaderboard { format: Format::Csv, .. } => {
            let text = leaderboard::data(site, route).await?.csv();
            return Ok(Content { media_type: "text/csv; charset=utf-8", bytes: text.into() });
        }
        Route::Leaderboard { format: Format::Json, .. } => {
            let text = leaderboard::data(site, route).await?.json();
            return Ok(Content { media_type: "application/json", bytes: text.into() });
        }
        Route::Comparison { .. } => comparison::page(site, route, viewer).await?,
        Route::Agreement { run, dataset, metric } => {
            agreement::page(site, (run, dataset, metric), (route, viewer)).await?
        }
        Route::Metrics { run, dataset } => metrics::page(site, (run, dataset), (route, viewer)).await?,
        Route::Scenes { run, dataset, page } => scenes::page(site, (run, dataset, *page), (route, viewer)).await?,
        Route::Scene { .. } => scene::page(site, route, viewer).await?,
        Route::Picture { run, dataset, image, part } => {
            let ids = (run, dataset, image);
            let file = match part {
                PicturePart::Page => return picture::page(site, ids, (route, viewer)).await.map(Content::html),
                PicturePart::Thumbnail => site.files.thumbnail(&find_source(site, ids).await?).await?,
                PicturePart::File => site.files.original(&find_source(site, ids).await?).await?,
                PicturePart::WindowMap => picture::map(site, ids, MapKind::Windows).await?,
                PicturePart::AttentionMap => picture::map(site, ids, MapKind::Attention).await?,
            };
            let ImageFile { media_type, bytes } = file;
            return Ok(Content { media_type, bytes });
        }
        Route::Failures(run) => failures::page(site, run, (route, viewer)).await?,
        Route::Progress(run) => progress::page(site, run, (route, viewer)).await?,
        Route::Provenance(run) => provenance::page(site, run, (route, viewer)).await?,
        Route::Studies => studies::list(site, route, viewer).await?,
        Route::Study(study) => studies::study(site, study, (route, viewer)).await?,
        Route::Trial(trial) => studies::trial(site, trial, (route, viewer)).await?.0,
        Route::Workers => workers::page(site, route, viewer).0,
        Route::SignIn => SignInPage::default().render(&site.context(route, viewer, None)),
        Route::Live(region, Channel::Fragment | Channel::Events) => region_html(site, region, viewer).await?,
        Route::SignOut | Route::RunAction(..) | Route::DrainWorker(_) => {
            return Err(SiteError::NotFound("This address takes requests by POST only.".to_owned()));
        }
    };
    Ok(Content::html(html))
}

/// Returns the HTML of a live region, as it stands in its page.
pub(crate) async fn region_html(site: &Site, region: &Region, viewer: &Viewer) -> Result<String, SiteError> {
    match region {
        Region::Runs => home::region(site, viewer).await,
        Region::Workers => Ok(workers::page(site, &Route::Workers, viewer).1),
        Region::Run(run) => progress::region(site, run, viewer).await,
        Region::Trial(trial) => Ok(studies::trial(site, trial, (&Route::Trial(trial.clone()), viewer)).await?.1),
    }
}
