//! gRPC channels to other programs. They connect on first use, reconnect when necessary, and detect a peer that
//! disappeared silently.

use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::{NetError, Tls, Token};

/// Keep-alive timeout: well below the time after which a coordinator gives a worker up.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The program at an address cannot be reached, or does not answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {url}")]
pub struct Unreachable {
    /// The address as given.
    pub url: Arc<str>,
    /// Why the call failed.
    #[source]
    source: tonic::transport::Error,
}

impl Unreachable {
    /// Returns the innermost cause: `connection refused`.
    pub fn reason(&self) -> String {
        let mut last: &(dyn Error + 'static) = &self.source;
        while let Some(cause) = last.source() {
            last = cause;
        }
        match last.downcast_ref::<std::io::Error>() {
            // The system's text has its number too.
            Some(error) if error.raw_os_error().is_some() => error.kind().to_string(),
            _ => last.to_string(),
        }
    }
}

/// A channel whose errors name the address: their statuses have an [`Unreachable`] as source.
#[derive(Clone)]
pub struct NamedChannel {
    url: Arc<str>,
    channel: Channel,
}

impl NamedChannel {
    /// Adds the address that a channel was opened with.
    pub fn new(url: &str, channel: Channel) -> NamedChannel {
        NamedChannel { url: url.into(), channel }
    }
}

impl Service<http::Request<Body>> for NamedChannel {
    type Response = http::Response<Body>;
    type Error = Unreachable;
    type Future = BoxFuture<'static, Result<Self::Response, Unreachable>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        self.channel.poll_ready(context).map_err(|source| Unreachable { url: self.url.clone(), source })
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (url, answer) = (self.url.clone(), self.channel.call(request));
        Box::pin(async { answer.await.map_err(|source| Unreachable { url, source }) })
    }
}

/// Adds the token to each call.
#[derive(Clone)]
pub struct AuthInterceptor(Option<MetadataValue<Ascii>>);

impl AuthInterceptor {
    /// Creates an interceptor that adds the token, if there is one.
    pub fn new(token: Option<&Token>) -> AuthInterceptor {
        AuthInterceptor(token.and_then(|token| {
            let mut value: MetadataValue<Ascii> = token.header().parse().ok()?;
            value.set_sensitive(true);
            Some(value)
        }))
    }

    /// Returns the value of the `authorization` header.
    pub fn header(&self) -> Option<&MetadataValue<Ascii>> {
        self.0.as_ref()
    }
}

impl Interceptor for AuthInterceptor {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request.metadata_mut().insert("authorization", header.clone());
        }
        Ok(request)
    }
}

/// Opens a channel to the program at `url`. A token is sent over an unencrypted channel only within this machine, or if
/// `insecure` permits it.
///
/// # Errors
/// Fails if `url` is not an address, if the token would be sent unencrypted, or if the certificates are invalid.
pub fn channel(url: &str, tls: &Tls, token: Option<&Token>, insecure: bool) -> Result<Channel, NetError> {
    let invalid = || NetError::Url { url: url.to_owned() };
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| invalid())?;
    let (scheme, host) = (endpoint.uri().scheme_str(), endpoint.uri().host().ok_or_else(invalid)?);
    let endpoint = match scheme {
        Some("https") => endpoint.tls_config(tls.client_config())?,
        Some("http") if token.is_none() || insecure || is_loopback(host) => endpoint,
        Some("http") => return Err(NetError::ClearToken { url: url.to_owned() }),
        _ => return Err(invalid()),
    };
    Ok(endpoint
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_lazy())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse();
    host == "localhost" || address.is_ok_and(super::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_not_sent_in_the_clear() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a-secret-of-users-1").unwrap();
        let token = Token::read(file.path()).unwrap();
        let open = |url, token, insecure| channel(url, &Tls::default(), token, insecure);
        assert!(matches!(open("http://10.0.0.1:7070", Some(&token), false), Err(NetError::ClearToken { .. })));
        for (url, token, insecure) in [
            ("http://10.0.0.1:7070", None, false),
            ("http://10.0.0.1:7070", Some(&token), true),
            ("http://127.0.0.1:7070", Some(&token), false),
            ("http://[::1]:7070", Some(&token), false),
            ("http://localhost:7070", Some(&token), false),
        ] {
            assert!(open(url, token, insecure).is_ok(), "{url}");
        }
        for url in ["ftp://x:1", "host:7070", "http://::1:7070", ""] {
            assert!(matches!(open(url, None, false), Err(NetError::Url { .. })), "{url}");
        }
    }
}
