//! Links from one page to others: relative, so that a page works from a server, a folder of one and a disk. It knows the
//! current page and which pages exist.

use std::collections::HashSet;
use std::sync::Arc;

use crate::route::Route;

/// The links of one page.
#[derive(Clone, Debug)]
pub struct Links {
    route: Route,
    prefix: String,
    written: Option<Arc<HashSet<String>>>,
}

impl Links {
    /// Returns the links of the page at `route`, where every route exists.
    pub fn new(route: Route) -> Links {
        let depth = route.path().matches('/').count();
        Links { route, prefix: "../".repeat(depth), written: None }
    }

    /// Returns the links of a page at a path that no route has, for its error page.
    pub fn at_unknown_path(path: &str) -> Links {
        let depth = path.strip_prefix('/').unwrap_or(path).matches('/').count();
        Links { route: Route::Home, prefix: "../".repeat(depth), written: None }
    }

    /// Restricts links to the paths of an exported site ([`Route::path`]), pages and pictures: what would link to another page is
    /// shown as text, and what would show another picture says that it is not there.
    #[must_use]
    pub fn only_to(self, written: Arc<HashSet<String>>) -> Links {
        Links { written: Some(written), ..self }
    }

    /// Returns the current page.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Returns the relative link to a route. None if the site has no such page.
    pub fn to(&self, route: &Route) -> Option<String> {
        let path = route.path();
        let exists = self.written.as_ref().is_none_or(|written| written.contains(&path));
        exists.then(|| self.to_path(&path))
    }

    /// Returns the relative link to a path below the site's root.
    pub fn to_path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}
