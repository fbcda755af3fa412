//! Live regions as server-sent events: the region's HTML whenever it changes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use dqa_pages::Region;
use futures::stream;

use crate::pages::region_html;
use crate::site::{Site, Viewer};

/// Twice a coordinator's tick: a person sees a run move, and a store is not asked more often than a page needs.
const INTERVAL: Duration = Duration::from_secs(2);

/// Proxies close connections that are silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Returns the stream of a region. It ends when the region cannot be read any more; the browser then polls.
pub(super) fn stream(site: Arc<Site>, region: Region, viewer: Viewer) -> Response {
    let first: Option<String> = None;
    let events = stream::unfold(first, move |shown| {
        let (site, region, viewer) = (site.clone(), region.clone(), viewer.clone());
        async move {
            let mut wait = shown.is_some();
            loop {
                if wait {
                    tokio::time::sleep(INTERVAL).await;
                }
                wait = true;
                let html = region_html(&site, &region, &viewer).await.ok()?;
                if shown.as_ref() != Some(&html) {
                    let event = Ok::<Event, Infallible>(Event::default().data(&html));
                    return Some((event, Some(html)));
                }
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}
