//! What a page knows besides its own data: where it is, for whom it is made, and the run that it belongs to.

use dqa_pipelines::metric::Direction;
use dqa_pipelines::run::RunState;
use jiff::Timestamp;

use crate::links::Links;

/// What a page knows besides its own data.
#[derive(Clone, Debug)]
pub struct Context {
    /// The current page, and which others exist.
    pub links: Links,
    /// For whom the page is made.
    pub mode: Mode,
    /// The run that the page belongs to. None for the pages of the store.
    pub run: Option<RunHeader>,
    /// The version of dqa, for the footer.
    pub version: String,
    /// The store's address, for the footer. None if readers should not see it.
    pub store: Option<String>,
}

/// For whom a page is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A program serves it.
    Served {
        /// Whether a coordinator serves it, which knows the workers and the runs that are under way.
        live: bool,
        /// The user who has signed in. None if nobody has to.
        user: Option<String>,
        /// Whether the user may act on runs and workers. Actions are not shown otherwise.
        may_act: bool,
    },
    /// It is a file of an exported site.
    Exported {
        /// Which pictures the site has.
        pictures: ExportedPictures,
    },
}

/// The pictures of an exported site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportedPictures {
    /// None at all.
    None,
    /// Small JPEGs.
    Thumbnails,
    /// The files themselves, beside the small ones.
    Full,
}

/// A run, as all of its pages name it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunHeader {
    /// Its name.
    pub name: String,
    /// Its current state.
    pub state: RunState,
    /// When it was first planned.
    pub created: Timestamp,
    /// Its data sets, in its order.
    pub datasets: Vec<String>,
    /// Whether it has a leaderboard over all data sets.
    pub has_overall: bool,
    /// Its metrics, in its order.
    pub metrics: Vec<MetricRef>,
    /// Number of pictures without a score.
    pub failed: u64,
    /// A remark that is shown with the results.
    pub remark: Option<String>,
}

/// A metric, as pages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricRef {
    /// Its name, as in the tables.
    pub name: String,
    /// Whether high or low values are good.
    pub direction: Direction,
    /// Its full name in a few words.
    pub title: Option<String>,
}

impl Context {
    /// Returns whether the user may act on runs and workers.
    pub fn may_act(&self) -> bool {
        matches!(self.mode, Mode::Served { may_act: true, .. })
    }

    /// Returns whether a coordinator serves the page.
    pub fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Served { live: true, .. })
    }

    /// Returns whether the page is a file of an exported site.
    pub fn is_exported(&self) -> bool {
        matches!(self.mode, Mode::Exported { .. })
    }
}

impl RunHeader {
    /// Returns the metric of this name.
    pub fn metric(&self, name: &str) -> Option<&MetricRef> {
        self.metrics.iter().find(|metric| metric.name == name)
    }
}
