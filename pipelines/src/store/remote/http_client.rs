//! The HTTP client of a store's clients. It rewrites responses that `object_store` would drop, so that their content reaches
//! the error.

use std::sync::{Arc, Mutex, PoisonError};

use ::http::StatusCode;
use ::http::header::AUTHORIZATION;
use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService};

use crate::store::invalid_keys;

/// Creates one HTTP client and returns it on every call, for stores with equal options.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedConnector(Arc<Mutex<Option<HttpClient>>>);

impl HttpConnector for SharedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*shared {
            return Ok(client.clone());
        }
        let client = ResponseFixer::connect(options)?;
        *shared = Some(client.clone());
        Ok(client)
    }
}

/// Creates a new HTTP client on each call.
#[derive(Debug, Default)]
pub(super) struct OwnConnector;

impl HttpConnector for OwnConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        ResponseFixer::connect(options)
    }
}

/// Rewrites the requests and responses that `object_store` handles badly.
#[derive(Debug)]
struct ResponseFixer(HttpClient);

impl ResponseFixer {
    fn connect(options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(ResponseFixer(invalid_keys::Connector.connect(options)?)))
    }
}

#[async_trait]
impl HttpService for ResponseFixer {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // For requests that are not signed, the library sends a header with an empty token.
        if request.headers().get(AUTHORIZATION).is_some_and(|value| value.as_bytes().trim_ascii() == b"Bearer") {
            request.headers_mut().remove(AUTHORIZATION);
        }
        let mut response = self.0.execute(request).await?;
        let region = response.headers().get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
        match (response.status(), region) {
            // The library drops the headers of a redirect, one of which names the bucket's region.
            (StatusCode::MOVED_PERMANENTLY, Some(region)) => {
                let plain = region.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect::<String>();
                let body = format!("<Error><Code>PermanentRedirect</Code><Region>{plain}</Region></Error>");
                let mut rewritten = HttpResponse::new(body.into());
                *rewritten.status_mut() = StatusCode::BAD_REQUEST;
                Ok(rewritten)
            }
            // The library retries this status as if it were transient.
            (StatusCode::NOT_IMPLEMENTED, _) => {
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                Ok(response)
            }
            _ => Ok(response),
        }
    }
}
