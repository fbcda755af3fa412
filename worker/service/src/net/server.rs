//! A program's port: its gRPC services, each behind a guard, and over HTTP/1.1 `/metrics`, `/healthz`, `/readyz` and, of a
//! coordinator, its pages.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tower::ServiceExt;

use super::connections::{self, ConnectionLimits};
use super::{Guard, NetError, Tls};
use crate::telemetry;

/// Streams of one connection. A worker uses two, a user a few.
const STREAMS_MAX: u32 = 256;
/// Interval of keep-alive pings, and the time that each may take: an unanswered connection is closed after 10 s.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// A service behind its guard.
pub type Guarded<S> = InterceptedService<S, Guard>;

/// Puts a service behind a guard.
pub fn guarded<S>(service: S, guard: Guard) -> Guarded<S> {
    InterceptedService::new(service, guard)
}

/// A port that is bound but not served yet.
pub struct Server {
    listener: TcpListener,
    tls: Tls,
    metrics: Guard,
    ready: Arc<AtomicBool>,
    pages: Option<Router>,
}

impl Server {
    /// Binds a port. An address beyond loopback requires TLS and tokens unless `insecure` is set.
    ///
    /// # Errors
    /// Fails if the port would be open without TLS or tokens, or if the address cannot be bound.
    pub async fn bind(
        address: SocketAddr,
        tls: Tls,
        has_tokens: bool,
        insecure: bool,
        metrics: Guard,
    ) -> Result<Server, NetError> {
        if !super::is_loopback(address.ip()) && !insecure {
            let lacks = match (tls.has_identity(), has_tokens) {
                (false, false) => "it has neither TLS nor tokens",
                (false, true) => "it has no TLS",
                (true, false) => "it has no tokens",
                (true, true) => "",
            };
            if !lacks.is_empty() {
                return Err(NetError::Open { address, lacks });
            }
        }
        let listener = TcpListener::bind(address).await.map_err(|source| NetError::Listen { address, source })?;
        Ok(Server { listener, tls, metrics, ready: Arc::default(), pages: None })
    }

    /// Returns the address, with the port that the system chose for port 0.
    ///
    /// # Panics
    /// Never panics: the port is bound.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    /// Returns the flag that `/readyz` reports.
    pub fn ready(&self) -> Arc<AtomicBool> {
        self.ready.clone()
    }

    /// Answers all requests that are neither gRPC nor for metrics and health checks with these pages. If the port requires
    /// certificates, so do the pages.
    #[must_use]
    pub fn with_pages(self, pages: Router) -> Server {
        Server { pages: Some(pages), ..self }
    }

    /// Serves until `stop` completes; calls in progress may end.
    ///
    /// # Errors
    /// Fails if the certificates are invalid, or if the port is lost.
    pub async fn serve(self, services: Routes, stop: impl Future<Output = ()>) -> Result<(), NetError> {
        let guard = Guard::new([]).with_tls(&self.tls);
        let http = Http { metrics: self.metrics.with_tls(&self.tls), ready: self.ready };
        let status = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(|| async { "alive\n" }))
            .route("/readyz", get(readiness))
            .with_state(http);
        let mut builder = tonic::transport::Server::builder()
            .accept_http1(true)
            .max_concurrent_streams(STREAMS_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE));
        if let Some(tls) = self.tls.server_config() {
            builder = builder.tls_config(tls)?;
        }
        let mut router = services.prepare().into_axum_router().merge(status);
        if let Some(pages) = self.pages {
            router = router.fallback(move |request| page_or_unknown_method(pages, guard, request));
        }
        let routes = Routes::from(router);
        let incoming = connections::accept(self.listener, ConnectionLimits::default());
        Ok(builder.add_routes(routes).serve_with_incoming_shutdown(incoming, stop).await?)
    }
}

#[derive(Clone)]
struct Http {
    metrics: Guard,
    ready: Arc<AtomicBool>,
}

/// Answers a request that no service takes: a method of gRPC that does not exist, or a page.
async fn page_or_unknown_method(pages: Router, guard: Guard, request: Request) -> Response {
    let is_grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
    if request.headers().get(header::CONTENT_TYPE).is_some_and(is_grpc) {
        return tonic::Status::unimplemented("this program has no such method").into_http();
    }
    if !guard.admits(is_certified(&request), None, None) {
        return (StatusCode::UNAUTHORIZED, "the certificate is missing\n").into_response();
    }
    match pages.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn is_certified(request: &Request) -> bool {
    let connection = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
    connection.and_then(TlsConnectInfo::peer_certs).is_some_and(|certificates| !certificates.is_empty())
}

async fn metrics(State(http): State<Http>, request: Request) -> Result<String, StatusCode> {
    let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if http.metrics.admits(is_certified(&request), authorization, None) {
        Ok(telemetry::metrics::text())
    } else {
        Err(StatusCode::UNAUTHORIZED)
    }
}

async fn readiness(State(http): State<Http>) -> (StatusCode, &'static str) {
    if http.ready.load(Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}
