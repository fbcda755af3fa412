//! Channels to other programs. They connect when they are first used, again whenever they must, and notice a peer that
//! is gone without a word.

use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::{NetError, Tls, Token};

/// A peer that does not answer for this long is gone: well within the time after which a coordinator gives a worker up.
const SILENT_MAX: Duration = Duration::from_secs(5);
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Calls with a token.
#[derive(Clone)]
pub struct Caller(Option<MetadataValue<Ascii>>);

impl Caller {
    /// With this token, where there is one.
    pub fn new(token: Option<&Token>) -> Caller {
        Caller(token.and_then(|token| {
            let mut value: MetadataValue<Ascii> = token.header().parse().ok()?;
            value.set_sensitive(true);
            Some(value)
        }))
    }

    /// The header's value.
    pub fn header(&self) -> Option<&MetadataValue<Ascii>> {
        self.0.as_ref()
    }
}

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request.metadata_mut().insert("authorization", header.clone());
        }
        Ok(request)
    }
}

/// To the program at `url`. A token goes over an unencrypted channel only within this machine, or where `insecure` says
/// that it may.
///
/// # Errors
/// What is no address; a token that would be sent in the clear; certificates that are none.
pub fn channel(url: &str, tls: &Tls, token: Option<&Token>, insecure: bool) -> Result<Channel, NetError> {
    let wrong = || NetError::Url { url: url.to_owned() };
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| wrong())?;
    let (scheme, host) = (endpoint.uri().scheme_str(), endpoint.uri().host().ok_or_else(wrong)?);
    let endpoint = match scheme {
        Some("https") => endpoint.tls_config(tls.client())?,
        Some("http") if token.is_none() || insecure || is_loopback(host) => endpoint,
        Some("http") => return Err(NetError::ClearToken { url: url.to_owned() }),
        _ => return Err(wrong()),
    };
    Ok(endpoint
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(SILENT_MAX)
        .keep_alive_timeout(SILENT_MAX)
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
