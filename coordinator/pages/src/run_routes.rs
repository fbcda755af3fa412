//! The routes of one run by names instead of segments.

use crate::picture::SceneRef;
use crate::route::{Format, PicturePart, Route};
use crate::segment::Segment;

/// Makes the routes of one run from names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRoutes {
    run: Segment,
}

impl RunRoutes {
    /// Returns the routes of the run of this name.
    pub fn new(run: &str) -> RunRoutes {
        RunRoutes { run: Segment::from_name(run) }
    }

    /// Returns the route of a leaderboard in one of its forms. `dataset` is None for all data sets.
    pub fn leaderboard(&self, dataset: Option<&str>, metric: &str, format: Format) -> Route {
        let (dataset, metric) = (dataset.map(Segment::from_name), Segment::from_name(metric));
        Route::Leaderboard { run: self.run.clone(), dataset, metric, format }
    }

    /// Returns the route of a comparison of the pair `(better, other)`.
    pub fn comparison(&self, dataset: Option<&str>, metric: &str, (better, other): (&str, &str)) -> Route {
        Route::Comparison {
            run: self.run.clone(),
            dataset: dataset.map(Segment::from_name),
            metric: metric.into(),
            better: better.into(),
            other: other.into(),
        }
    }

    /// Returns the route of a metric against labels.
    pub fn agreement(&self, dataset: &str, metric: &str) -> Route {
        Route::Agreement { run: self.run.clone(), dataset: dataset.into(), metric: metric.into() }
    }

    /// Returns the route of the metrics beside each other.
    pub fn metrics(&self, dataset: &str) -> Route {
        Route::Metrics { run: self.run.clone(), dataset: dataset.into() }
    }

    /// Returns the route of a page of the list of scenes.
    pub fn scenes(&self, dataset: &str, page: u32) -> Route {
        Route::Scenes { run: self.run.clone(), dataset: dataset.into(), page }
    }

    /// Returns the route of a scene.
    pub fn scene(&self, dataset: &str, scene: &SceneRef) -> Route {
        Route::Scene {
            run: self.run.clone(),
            dataset: dataset.into(),
            group: scene.group.as_ref().map(Segment::from),
            scene: Segment::from(&scene.name),
        }
    }

    /// Returns the route of a picture's page or of one of its files.
    pub fn picture(&self, dataset: &str, image: &str, part: PicturePart) -> Route {
        Route::Picture { run: self.run.clone(), dataset: dataset.into(), image: image.into(), part }
    }

    /// Returns the run's segment.
    pub fn run(&self) -> Segment {
        self.run.clone()
    }
}
