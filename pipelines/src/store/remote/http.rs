//! The HTTP client of a store's clients: one for all that have the same options, with answers that the library would lose made
//! such that it keeps them.

use std::sync::{Mutex, PoisonError};

use ::http::StatusCode;
use ::http::header::AUTHORIZATION;
use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService};

use crate::store::odd_keys;

/// Makes one client, and gives it to all who ask: for clients with equal options.
#[derive(Debug, Default)]
pub(super) struct Shared(std::sync::Arc<Mutex<Option<HttpClient>>>);

impl Shared {
    pub(super) fn again(&self) -> Shared {
        Shared(self.0.clone())
    }
}

impl HttpConnector for Shared {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*made {
            return Ok(client.clone());
        }
        let client = Answers::connected(options)?;
        *made = Some(client.clone());
        Ok(client)
    }
}

/// Makes a client each time.
#[derive(Debug, Default)]
pub(super) struct Single;

impl HttpConnector for Single {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Answers::connected(options)
    }
}

#[derive(Debug)]
struct Answers(HttpClient);

impl Answers {
    fn connected(options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Answers(odd_keys::Connector.connect(options)?)))
    }
}

#[async_trait]
impl HttpService for Answers {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // The library sends the header of a token that is empty where requests are not to be signed.
        if request.headers().get(AUTHORIZATION).is_some_and(|value| value.as_bytes().trim_ascii() == b"Bearer") {
            request.headers_mut().remove(AUTHORIZATION);
        }
        let mut response = self.0.execute(request).await?;
        let region = response.headers().get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
        match (response.status(), region) {
            // The library keeps nothing of a redirect, whose header says where the bucket is.
            (StatusCode::MOVED_PERMANENTLY, Some(region)) => {
                let plain = region.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect::<String>();
                let body = format!("<Error><Code>PermanentRedirect</Code><Region>{plain}</Region></Error>");
                let mut told = HttpResponse::new(body.into());
                *told.status_mut() = StatusCode::BAD_REQUEST;
                Ok(told)
            }
            // The library takes it for one of the failures that pass, and tries again.
            (StatusCode::NOT_IMPLEMENTED, _) => {
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                Ok(response)
            }
            _ => Ok(response),
        }
    }
}
