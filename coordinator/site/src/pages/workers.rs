//! The workers of a coordinator.

use dqa_pages::{Route, WorkersPage};
use jiff::Timestamp;

use crate::site::{Site, Viewer};

/// Returns the page and its live region. Without a coordinator there are no workers.
pub(super) fn page(site: &Site, route: &Route, viewer: &Viewer) -> (String, String) {
    let workers = site.live.as_ref().map(|live| live.workers()).unwrap_or_default();
    let page = WorkersPage { workers, now: Timestamp::now() };
    let context = site.context(route, viewer, None);
    (page.render(&context), page.render_region(&context))
}
