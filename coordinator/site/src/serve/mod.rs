//! The site over HTTP: pages, files, live regions as server-sent events, and requests to runs and workers.

mod events;
mod headers;
mod sign_in;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use dqa_pages::{Channel, ErrorKind, ErrorPage, Mode, Route};
use tokio::net::TcpListener;
use tracing::warn;

pub use sign_in::SignIn;

use crate::error::SiteError;
use crate::site::{Content, Site, Viewer};
use headers::{is_local_name, is_same_origin, respond, see_other};

/// Who may see the pages.
pub struct Access {
    /// The token that a browser must sign in with. None: whoever reaches the port.
    pub sign_in: Option<SignIn>,
    /// Whether only this machine's own names are answered to, because the port is on loopback: a page of another site could
    /// have its name resolve to this machine.
    pub local_names_only: bool,
}

/// What requests are answered from.
#[derive(Clone)]
struct Server {
    site: Arc<Site>,
    access: Arc<Access>,
}

/// Returns the routes of a site, for the requests that no other route takes. If a browser must sign in, nothing of the store
/// is shown to one without a session.
pub fn router(site: Arc<Site>, access: Access) -> Router {
    Router::new().fallback(answer).with_state(Server { site, access: Arc::new(access) })
}

/// Serves a site until `stop` completes.
///
/// # Errors
/// The port is lost.
pub async fn serve(
    listener: TcpListener,
    site: Arc<Site>,
    access: Access,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(site, access)).with_graceful_shutdown(stop).await
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    if server.access.local_names_only && !is_local_name(&request) {
        return (StatusCode::FORBIDDEN, "this port answers to localhost only\n").into_response();
    }
    let user = server.access.sign_in.as_ref().and_then(|sign_in| sign_in.user(request.headers()));
    let mode =
        Mode::Served { live: server.site.live.is_some(), may_act: server.site.live.is_some(), user: user.clone() };
    let is_open = server.access.sign_in.is_none() || user.is_some();
    let viewer = Viewer { mode, written: None, shows_store: is_open };
    let Some(route) = Route::parse(request.uri().path()) else {
        let page = server.site.unknown_path_page(request.uri().path(), &viewer);
        return respond(StatusCode::NOT_FOUND, &Route::Home, page);
    };
    match *request.method() {
        Method::GET | Method::HEAD if route == Route::SignIn && server.access.sign_in.is_some() => {
            sign_in::show(&server.site, &viewer, request.uri())
        }
        Method::GET | Method::HEAD if route == Route::SignIn => see_other("/"),
        Method::GET | Method::HEAD if is_open => get(&server, route, viewer).await,
        Method::GET | Method::HEAD => sign_in::require(&route, request.uri()),
        Method::POST if !is_same_origin(request.headers()) => {
            let error = SiteError::NotAllowed("The request comes from another site.".to_owned());
            failure(&server.site, &route, &viewer, &error)
        }
        Method::POST if route == Route::SignIn => match &server.access.sign_in {
            Some(sign_in) => sign_in.submit(&server.site, &viewer, request).await,
            None => see_other("/"),
        },
        Method::POST if route == Route::SignOut => match &server.access.sign_in {
            Some(sign_in) => sign_in.sign_out(),
            None => see_other("/"),
        },
        Method::POST if is_open => act(&server, route, viewer).await,
        Method::POST => StatusCode::UNAUTHORIZED.into_response(),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn get(server: &Server, route: Route, viewer: Viewer) -> Response {
    if let Route::Live(region, Channel::Events) = &route {
        return events::stream(server.site.clone(), region.clone(), viewer);
    }
    match server.site.content(&route, &viewer).await {
        Ok(content) => respond(StatusCode::OK, &route, content),
        Err(error) => failure(&server.site, &route, &viewer, &error),
    }
}

/// Does what a form asks for, and goes back to the page with the form.
async fn act(server: &Server, route: Route, viewer: Viewer) -> Response {
    let missing = || SiteError::NotFound("Only a coordinator takes requests.".to_owned());
    let Some(live) = &server.site.live else { return failure(&server.site, &route, &viewer, &missing()) };
    let (done, back) = match &route {
        Route::RunAction(run, action) => {
            let name = run.name().unwrap_or_default();
            (live.act(&name, *action).await, Route::Progress(run.clone()))
        }
        Route::DrainWorker(worker) => (live.drain(&worker.name().unwrap_or_default()).await, Route::Workers),
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    match done {
        Ok(()) => see_other(&format!("/{}", back.path())),
        Err(message) => {
            let page = ErrorPage { kind: ErrorKind::NotAllowed, message, hint: None };
            let html = page.render(&server.site.context(&route, &viewer, None));
            respond(StatusCode::CONFLICT, &route, Content::html(html))
        }
    }
}

fn failure(site: &Site, route: &Route, viewer: &Viewer, error: &SiteError) -> Response {
    let page = error.page();
    if matches!(page.kind, ErrorKind::Internal | ErrorKind::Unavailable) {
        warn!(path = route.path(), error = page.message, "page failed");
    }
    let status = StatusCode::from_u16(page.kind.status()).expect("the kinds have statuses of HTTP");
    respond(status, route, site.error_page(route, viewer, error))
}
