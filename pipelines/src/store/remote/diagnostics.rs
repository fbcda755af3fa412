//! Turns error responses of S3, Google Cloud Storage and Azure, and connections without a response, into faults that say what
//! the user can change. A message shows no value of an environment variable except a region and a server's address.

use std::error::Error;

use object_store::Error as ObjectError;
use object_store::client::{HttpError, HttpErrorKind};

use crate::store::fault::{StoreFault, StoreFaultKind};

/// Characters of a server's message that are shown.
const MESSAGE_CHARS_MAX: usize = 200;

/// The provider of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    S3,
    Google,
    Azure,
}

/// The settings of a store that explain its error responses.
#[derive(Clone, Debug)]
pub(super) struct StoreContext {
    pub(super) provider: Provider,
    /// Bucket or container.
    pub(super) bucket: String,
    /// The server's address, without a path.
    pub(super) server: String,
    /// The variable that holds the server's address, if one is set.
    pub(super) server_variable: Option<String>,
    /// The region that requests are signed for.
    pub(super) region: String,
    /// The variable that holds the region. None for the default region.
    pub(super) region_variable: Option<String>,
}

impl StoreContext {
    /// Turns a store's error into a fault, if the user can do something about its cause. A response about an object (it does
    /// not exist, it exists already) stays as it is.
    pub(super) fn explain(&self, error: ObjectError) -> ObjectError {
        if StoreFault::find(&error).is_some() {
            return error;
        }
        let is_about_object = matches!(
            error,
            ObjectError::AlreadyExists { .. }
                | ObjectError::Precondition { .. }
                | ObjectError::NotModified { .. }
                | ObjectError::InvalidPath { .. }
                | ObjectError::NotImplemented { .. }
        );
        if is_about_object {
            return error;
        }
        let response = ErrorResponse::parse(&error);
        let fault = match (&error, &response) {
            // An empty object does not have one byte to read, which is a response about the object too.
            (_, Some(response)) if response.status == 416 => None,
            (ObjectError::NotFound { .. }, response) => {
                response.as_ref().and_then(|response| self.missing_bucket(response))
            }
            (_, Some(response)) => Some(self.explain_response(response)),
            (_, None) => self.explain_no_response(&error),
        };
        fault.map_or(error, StoreFault::into_object_error)
    }

    fn missing_bucket(&self, response: &ErrorResponse) -> Option<StoreFault> {
        let (what, codes) = match self.provider {
            Provider::S3 | Provider::Google => ("bucket", ["NoSuchBucket", "NoSuchBucketException"]),
            Provider::Azure => ("container", ["ContainerNotFound", "ContainerBeingDeleted"]),
        };
        let is_missing =
            codes.contains(&response.code.as_str()) || response.message.contains("specified bucket does not");
        is_missing.then(|| {
            StoreFault::new(
                StoreFaultKind::Bucket,
                format!("the {what} `{}` does not exist on {}", self.bucket, self.server),
            )
            .with_hint(format!("create the {what}, or correct the address; dqa creates no {what}s"))
            .with_cause(response.text())
        })
    }

    /// Explains an error response.
    fn explain_response(&self, response: &ErrorResponse) -> StoreFault {
        if let Some(fault) = self.missing_bucket(response) {
            return fault;
        }
        if matches!(response.status, 408 | 429 | 500 | 502..=599) {
            let message = format!("{} is temporarily unavailable (status {})", self.server, response.status);
            return StoreFault::new(StoreFaultKind::Unavailable, message).with_cause(response.text());
        }
        let fault = match self.provider {
            Provider::S3 => self.explain_s3(response),
            Provider::Google => self.explain_google(response),
            Provider::Azure => self.explain_azure(response),
        };
        fault.unwrap_or_else(|| self.explain_status(response)).with_cause(response.text())
    }

    fn explain_s3(&self, response: &ErrorResponse) -> Option<StoreFault> {
        let refused = |message: String| StoreFault::new(StoreFaultKind::Refused, message);
        let region = response.region.as_deref().filter(|region| *region != self.region);
        let is_about_region = matches!(
            response.code.as_str(),
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException"
        ) || response.status == 301;
        if is_about_region {
            let own = match &self.region_variable {
                Some(variable) => format!("`{}` ({variable})", self.region),
                None => format!("`{}` (AWS_REGION is not set)", self.region),
            };
            return Some(match region {
                Some(region) => {
                    refused(format!("the bucket `{}` is in the region `{region}`, not in {own}", self.bucket))
                        .with_hint(format!("export AWS_REGION={region}"))
                }
                None => refused(format!("the bucket `{}` is in another region than {own}", self.bucket))
                    .with_hint("set AWS_REGION to the bucket's region"),
            });
        }
        let fault = match response.code.as_str() {
            "InvalidAccessKeyId" => refused(format!("{} does not know the key in AWS_ACCESS_KEY_ID", self.server))
                .with_hint(self.key_hint()),
            "SignatureDoesNotMatch" => {
                refused("AWS_SECRET_ACCESS_KEY is not the secret of the key in AWS_ACCESS_KEY_ID".to_owned())
                    .with_hint(self.key_hint())
            }
            "ExpiredToken" | "TokenRefreshRequired" | "RequestExpired" => {
                refused("the session of the credentials has expired (AWS_SESSION_TOKEN)".to_owned())
                    .with_hint("get new credentials and export them, AWS_SESSION_TOKEN with them")
            }
            "InvalidToken" => refused("AWS_SESSION_TOKEN does not belong to the key in AWS_ACCESS_KEY_ID".to_owned())
                .with_hint("export all three of one session, or unset AWS_SESSION_TOKEN for a lasting key"),
            "RequestTimeTooSkewed" => {
                let server = response.time.as_ref().map(|time| format!(", which is {time}")).unwrap_or_default();
                refused(format!("this machine's clock differs too much from the store's{server}"))
                    .with_hint("set this machine's clock (timedatectl set-ntp true)")
            }
            "InvalidObjectState" => StoreFault::new(
                StoreFaultKind::Denied,
                "the object is archived, and cannot be read as it is".to_owned(),
            )
            .with_hint("restore it from Glacier first, or leave it out of the data set"),
            "NotImplemented" => {
                StoreFault::new(StoreFaultKind::Unsupported, format!("{} does not support this operation", self.server))
            }
            _ => return None,
        };
        Some(fault)
    }

    fn key_hint(&self) -> String {
        match &self.server_variable {
            Some(variable) => format!("the key must be one of the store that {variable} names"),
            None => "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of one key; for a store that is not Amazon's, \
                AWS_ENDPOINT too"
                .to_owned(),
        }
    }

    fn explain_google(&self, response: &ErrorResponse) -> Option<StoreFault> {
        (response.status == 401).then(|| {
            StoreFault::new(StoreFaultKind::Refused, "Google Cloud Storage does not accept the credentials".to_owned())
                .with_hint("GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT names a file with a valid key")
        })
    }

    fn explain_azure(&self, response: &ErrorResponse) -> Option<StoreFault> {
        let refused = |message: &str| StoreFault::new(StoreFaultKind::Refused, message);
        match response.code.as_str() {
            "AuthenticationFailed" | "InvalidAuthenticationInfo" => {
                let message = "Azure does not accept the credentials (AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY, \
                    AZURE_STORAGE_SAS_TOKEN), or this machine's clock is wrong";
                Some(refused(message).with_hint("the key must be one of the account that is named"))
            }
            "NoAuthenticationInformation" | "PublicAccessNotPermitted" => {
                Some(refused("Azure requires credentials").with_hint(
                    "export AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, or a client's id and secret",
                ))
            }
            _ => None,
        }
    }

    fn explain_status(&self, response: &ErrorResponse) -> StoreFault {
        let is_denied = matches!(response.status, 401 | 403);
        if response.status == 501 || response.status == 405 {
            let fault = StoreFault::new(
                StoreFaultKind::Unsupported,
                format!("{} does not support this operation", self.server),
            );
            return match (self.provider, &self.server_variable) {
                (Provider::Google, Some(variable)) => fault
                    .with_hint(format!("the server that {variable} names must speak Google's XML API, as dqa does")),
                _ => fault,
            };
        }
        if !is_denied {
            let message = format!("{} refuses the request (status {})", self.server, response.status);
            return StoreFault::new(StoreFaultKind::Refused, message);
        }
        let (verb, kind) = match self.provider {
            Provider::Azure => ("container", "Storage Blob Data Contributor"),
            Provider::Google => ("bucket", "Storage Object User"),
            Provider::S3 => ("bucket", "s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"),
        };
        StoreFault::new(
            StoreFaultKind::Denied,
            format!("{} does not allow this in the {verb} `{}`", self.server, self.bucket),
        )
        .with_hint(format!("the credentials need {kind} on it (for a data set, listing and reading are enough)"))
    }

    /// Returns the status and message of a failed request for credentials, or the message of the network.
    pub(super) fn response_text(error: &ObjectError) -> (Option<u16>, String) {
        match ErrorResponse::parse(error) {
            Some(response) => (Some(response.status), response.text()),
            None => (None, innermost(error)),
        }
    }

    /// Explains an error without a response: one of the network or of the library.
    fn explain_no_response(&self, error: &ObjectError) -> Option<StoreFault> {
        let http = chain(error).find_map(|cause| cause.downcast_ref::<HttpError>())?;
        if http.kind() == HttpErrorKind::Decode {
            return None;
        }
        let innermost = innermost(error);
        let message = format!("{} does not answer", self.server);
        let is_certificate = innermost.contains("certificate") || innermost.contains("InvalidContentType");
        let hint = if is_certificate {
            let variable = self.server_variable.as_deref().unwrap_or("the address");
            format!(
                "{variable} begins with https://, but the server has no certificate that this machine trusts; \
                 SSL_CERT_FILE names a file of certificates to trust"
            )
        } else if let Some(variable) = &self.server_variable {
            format!("{variable} says where the store is")
        } else {
            "check this machine's network; HTTPS_PROXY names a proxy".to_owned()
        };
        let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
        let proxy = proxies.iter().find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        let hint = match proxy {
            Some(proxy) => format!("{hint}; requests go through the proxy in {proxy} (NO_PROXY lists exceptions)"),
            None => hint,
        };
        Some(StoreFault::new(StoreFaultKind::Unavailable, message).with_hint(hint).with_cause(innermost))
    }
}

fn innermost(error: &ObjectError) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// Iterates over an error and its causes.
fn chain(error: &ObjectError) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

/// An error response of a server.
#[derive(Debug, Default, PartialEq, Eq)]
struct ErrorResponse {
    status: u16,
    code: String,
    message: String,
    region: Option<String>,
    time: Option<String>,
}

impl ErrorResponse {
    /// Parses the response in an error. The library hands it on as text only.
    fn parse(error: &ObjectError) -> Option<ErrorResponse> {
        let text = error.to_string();
        if text.contains("redirect without LOCATION") {
            return Some(ErrorResponse { status: 301, ..ErrorResponse::default() });
        }
        let (_, after) = text.split_once("status code: ")?;
        let status = after.get(..3)?.parse().ok()?;
        let body = after.split_once(": ").map_or("", |(_, body)| body);
        let field = |name| element(body, name).filter(|text| !text.is_empty());
        Some(ErrorResponse {
            status,
            code: field("Code").unwrap_or_default(),
            message: field("Message").unwrap_or_default(),
            region: field("Region"),
            time: field("ServerTime"),
        })
    }

    /// Returns the server's message on one line.
    fn text(&self) -> String {
        let text = match (self.code.as_str(), self.message.as_str()) {
            ("", "") => format!("the server responded with status {}", self.status),
            ("", message) => message.to_owned(),
            (code, message) if message.is_empty() || code == message => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match text.char_indices().nth(MESSAGE_CHARS_MAX) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    }
}

/// Returns the text of the first XML element with this name.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, after) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = after.split_once(&format!("</{name}>"))?;
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&apos;", "'"), ("&amp;", "&")];
    Some(plain.iter().fold(text.trim().to_owned(), |text, (escaped, plain)| text.replace(escaped, plain)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hint, Retryable};

    fn context(provider: Provider) -> StoreContext {
        StoreContext {
            provider,
            bucket: "results".to_owned(),
            server: "https://s3.example.org".to_owned(),
            server_variable: Some("AWS_ENDPOINT".to_owned()),
            region: "us-east-1".to_owned(),
            region_variable: None,
        }
    }

    fn explained(provider: Provider, status: &str, body: &str) -> StoreFault {
        let text = format!(
            "Error performing GET https://s3.example.org/results in 3ms - Server returned non-2xx status code: {status}: {body}"
        );
        let error = ObjectError::Generic { store: "S3", source: text.into() };
        StoreFault::extract(context(provider).explain(error)).unwrap()
    }

    fn xml(code: &str, more: &str) -> String {
        format!("<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>words &amp; more</Message>{more}</Error>")
    }

    #[test]
    fn answers_are_explained_and_what_they_repeat_of_the_credentials_is_not_shown() {
        let secret = "<AWSAccessKeyId>AKIASECRET</AWSAccessKeyId><StringToSign>AKIASECRET</StringToSign>";
        let cases = [
            (
                Provider::S3,
                "400 Bad Request",
                "AuthorizationHeaderMalformed",
                StoreFaultKind::Refused,
                "AWS_REGION is not set",
            ),
            (Provider::S3, "403 Forbidden", "InvalidAccessKeyId", StoreFaultKind::Refused, "AWS_ACCESS_KEY_ID"),
            (Provider::S3, "403 Forbidden", "SignatureDoesNotMatch", StoreFaultKind::Refused, "AWS_SECRET_ACCESS_KEY"),
            (Provider::S3, "400 Bad Request", "ExpiredToken", StoreFaultKind::Refused, "AWS_SESSION_TOKEN"),
            (Provider::S3, "403 Forbidden", "RequestTimeTooSkewed", StoreFaultKind::Refused, "clock"),
            (Provider::S3, "403 Forbidden", "AccessDenied", StoreFaultKind::Denied, "does not allow"),
            (
                Provider::S3,
                "404 Not Found",
                "NoSuchBucket",
                StoreFaultKind::Bucket,
                "the bucket `results` does not exist",
            ),
            (
                Provider::S3,
                "501 Not Implemented",
                "NotImplemented",
                StoreFaultKind::Unsupported,
                "does not support this operation",
            ),
            (
                Provider::S3,
                "503 Service Unavailable",
                "SlowDown",
                StoreFaultKind::Unavailable,
                "temporarily unavailable",
            ),
            (
                Provider::Azure,
                "403 Forbidden",
                "AuthenticationFailed",
                StoreFaultKind::Refused,
                "AZURE_STORAGE_ACCOUNT_KEY",
            ),
            (Provider::Azure, "404 Not Found", "ContainerNotFound", StoreFaultKind::Bucket, "the container `results`"),
            (Provider::Google, "401 Unauthorized", "AuthenticationRequired", StoreFaultKind::Refused, "credentials"),
        ];
        for (provider, status, code, kind, says) in cases {
            let fault = explained(provider, status, &xml(code, secret));
            assert_eq!(fault.kind(), kind, "{fault}");
            assert!(fault.to_string().contains(says), "{fault}");
            assert_eq!(fault.is_retryable(), kind == StoreFaultKind::Unavailable);
            let said = anyhow_like(&fault);
            assert!(said.contains("words & more") && !said.contains("AKIASECRET"), "{said}");
        }
    }

    fn anyhow_like(fault: &StoreFault) -> String {
        format!("{fault}: {} ({})", fault.source().unwrap(), fault.hint().unwrap_or_default())
    }

    #[test]
    fn the_region_that_a_server_wants_is_said() {
        let fault = explained(
            Provider::S3,
            "400 Bad Request",
            &xml("AuthorizationHeaderMalformed", "<Region>eu-central-1</Region>"),
        );
        assert!(fault.to_string().contains("is in the region `eu-central-1`, not in `us-east-1`"), "{fault}");
        assert_eq!(fault.hint().as_deref(), Some("export AWS_REGION=eu-central-1"));
    }

    #[test]
    fn an_answer_that_is_no_xml_is_said_with_its_status() {
        let fault = explained(Provider::S3, "418 I'm a teapot", "<html>\n<body>no</body></html>");
        assert_eq!(fault.kind(), StoreFaultKind::Refused);
        assert!(fault.source().unwrap().to_string().contains("418"));
    }
}
