//! What the answers and silences of S3, Google Cloud Storage and Azure mean for who uses them. No value of an environment's
//! variable is in a sentence, but a region's and a server's address.

use std::error::Error;

use object_store::Error as ObjectError;
use object_store::client::{HttpError, HttpErrorKind};

use super::super::fault::{StoreFault, StoreFaultKind};

/// Of a server's own words that are shown.
const WORDS_MAX: usize = 200;

/// Whose store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    S3,
    Google,
    Azure,
}

/// What is known of a store when one of its answers is explained.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) provider: Provider,
    /// Bucket or container.
    pub(super) bucket: String,
    /// The server's address, without a path.
    pub(super) server: String,
    /// The variable that says the server's address, where one does.
    pub(super) server_variable: Option<String>,
    /// That requests are signed for.
    pub(super) region: String,
    /// The variable that the region is from; None: it is the usual one.
    pub(super) region_variable: Option<String>,
}

impl Facts {
    /// A store's error as a fault, where its cause is one that the user can do something about. What is an answer about an
    /// object (there is none, there is one already) stays as it is.
    pub(super) fn explain(&self, error: ObjectError) -> ObjectError {
        if StoreFault::of(&error).is_some() {
            return error;
        }
        let is_answer = matches!(
            error,
            ObjectError::AlreadyExists { .. }
                | ObjectError::Precondition { .. }
                | ObjectError::NotModified { .. }
                | ObjectError::InvalidPath { .. }
                | ObjectError::NotImplemented { .. }
        );
        if is_answer {
            return error;
        }
        let answer = Answer::of(&error);
        let fault = match (&error, &answer) {
            // One byte of an empty object cannot be had: an answer too.
            (_, Some(answer)) if answer.status == 416 => None,
            (ObjectError::NotFound { .. }, answer) => answer.as_ref().and_then(|answer| self.missing_bucket(answer)),
            (_, Some(answer)) => Some(self.answered(answer)),
            (_, None) => self.unanswered(&error),
        };
        fault.map_or(error, StoreFault::into_store_error)
    }

    fn missing_bucket(&self, answer: &Answer) -> Option<StoreFault> {
        let (what, codes) = match self.provider {
            Provider::S3 | Provider::Google => ("bucket", ["NoSuchBucket", "NoSuchBucketException"]),
            Provider::Azure => ("container", ["ContainerNotFound", "ContainerBeingDeleted"]),
        };
        let is_missing = codes.contains(&answer.code.as_str()) || answer.message.contains("specified bucket does not");
        is_missing.then(|| {
            StoreFault::new(
                StoreFaultKind::Bucket,
                format!("the {what} `{}` does not exist on {}", self.bucket, self.server),
            )
            .hint_at(format!("make the {what}, or correct the address; dqa makes no {what}s"))
            .caused_by(answer.words())
        })
    }

    /// A server's answer that is an error.
    fn answered(&self, answer: &Answer) -> StoreFault {
        if let Some(fault) = self.missing_bucket(answer) {
            return fault;
        }
        if matches!(answer.status, 408 | 429 | 500 | 502..=599) {
            let message = format!("{} cannot answer at the moment (status {})", self.server, answer.status);
            return StoreFault::new(StoreFaultKind::Unanswered, message).caused_by(answer.words());
        }
        let fault = match self.provider {
            Provider::S3 => self.answered_by_s3(answer),
            Provider::Google => self.answered_by_google(answer),
            Provider::Azure => self.answered_by_azure(answer),
        };
        fault.unwrap_or_else(|| self.answered_otherwise(answer)).caused_by(answer.words())
    }

    fn answered_by_s3(&self, answer: &Answer) -> Option<StoreFault> {
        let refused = |message: String| StoreFault::new(StoreFaultKind::Refused, message);
        let region = answer.region.as_deref().filter(|region| *region != self.region);
        let is_about_region = matches!(
            answer.code.as_str(),
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException"
        ) || answer.status == 301;
        if is_about_region {
            let own = match &self.region_variable {
                Some(variable) => format!("`{}` ({variable})", self.region),
                None => format!("`{}` (AWS_REGION is not set)", self.region),
            };
            return Some(match region {
                Some(region) => {
                    refused(format!("the bucket `{}` is in the region `{region}`, not in {own}", self.bucket))
                        .hint_at(format!("export AWS_REGION={region}"))
                }
                None => refused(format!("the bucket `{}` is in another region than {own}", self.bucket))
                    .hint_at("set AWS_REGION to the bucket's region"),
            });
        }
        let fault = match answer.code.as_str() {
            "InvalidAccessKeyId" => {
                refused(format!("{} does not know the key in AWS_ACCESS_KEY_ID", self.server)).hint_at(self.key_hint())
            }
            "SignatureDoesNotMatch" => {
                refused("AWS_SECRET_ACCESS_KEY is not the secret of the key in AWS_ACCESS_KEY_ID".to_owned())
                    .hint_at(self.key_hint())
            }
            "ExpiredToken" | "TokenRefreshRequired" | "RequestExpired" => {
                refused("the session of the credentials is over (AWS_SESSION_TOKEN)".to_owned())
                    .hint_at("get new credentials and export them, AWS_SESSION_TOKEN with them")
            }
            "InvalidToken" => refused("AWS_SESSION_TOKEN does not belong to the key in AWS_ACCESS_KEY_ID".to_owned())
                .hint_at("export all three of one session, or unset AWS_SESSION_TOKEN for a lasting key"),
            "RequestTimeTooSkewed" => {
                let server = answer.time.as_ref().map(|time| format!(", which is {time}")).unwrap_or_default();
                refused(format!("this machine's clock is too far from the store's{server}"))
                    .hint_at("set this machine's clock (timedatectl set-ntp true)")
            }
            "InvalidObjectState" => StoreFault::new(
                StoreFaultKind::Denied,
                "the object is archived, and cannot be read as it is".to_owned(),
            )
            .hint_at("restore it from Glacier first, or leave it out of the data set"),
            "NotImplemented" => {
                StoreFault::new(StoreFaultKind::Unsupported, format!("{} does not do this", self.server))
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

    fn answered_by_google(&self, answer: &Answer) -> Option<StoreFault> {
        (answer.status == 401).then(|| {
            StoreFault::new(StoreFaultKind::Refused, "Google Cloud Storage does not accept the credentials".to_owned())
                .hint_at("GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT names a file with a valid key")
        })
    }

    fn answered_by_azure(&self, answer: &Answer) -> Option<StoreFault> {
        let refused = |message: &str| StoreFault::new(StoreFaultKind::Refused, message);
        match answer.code.as_str() {
            "AuthenticationFailed" | "InvalidAuthenticationInfo" => {
                let message = "Azure does not accept the credentials (AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY, \
                    AZURE_STORAGE_SAS_TOKEN), or this machine's clock is wrong";
                Some(refused(message).hint_at("the key must be one of the account that is named"))
            }
            "NoAuthenticationInformation" | "PublicAccessNotPermitted" => Some(
                refused("Azure wants credentials")
                    .hint_at("export AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, or a client's id and secret"),
            ),
            _ => None,
        }
    }

    fn answered_otherwise(&self, answer: &Answer) -> StoreFault {
        let is_denied = matches!(answer.status, 401 | 403);
        if answer.status == 501 || answer.status == 405 {
            let fault = StoreFault::new(StoreFaultKind::Unsupported, format!("{} does not do this", self.server));
            return match (self.provider, &self.server_variable) {
                (Provider::Google, Some(variable)) => {
                    fault.hint_at(format!("the server that {variable} names must speak Google's XML API, as dqa does"))
                }
                _ => fault,
            };
        }
        if !is_denied {
            let message = format!("{} refuses the request (status {})", self.server, answer.status);
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
        .hint_at(format!("the credentials need {kind} on it (a data set needs to be listed and read alone)"))
    }

    /// What a failed request for credentials was answered with, or what the network said.
    pub(super) fn words(error: &ObjectError) -> (Option<u16>, String) {
        match Answer::of(error) {
            Some(answer) => (Some(answer.status), answer.words()),
            None => (None, innermost(error)),
        }
    }

    /// An error without an answer: the network's, or a library's that cannot go on.
    fn unanswered(&self, error: &ObjectError) -> Option<StoreFault> {
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
                "{variable} begins with https://, and what is there has no certificate that this machine trusts; \
                 SSL_CERT_FILE names a file of certificates to trust"
            )
        } else if let Some(variable) = &self.server_variable {
            format!("{variable} says where the store is")
        } else {
            "is this machine on the network? HTTPS_PROXY names a proxy".to_owned()
        };
        let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
        let proxy = proxies.iter().find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        let hint = match proxy {
            Some(proxy) => format!("{hint}; requests go through the proxy in {proxy} (NO_PROXY lists exceptions)"),
            None => hint,
        };
        Some(StoreFault::new(StoreFaultKind::Unanswered, message).hint_at(hint).caused_by(innermost))
    }
}

fn innermost(error: &ObjectError) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// An error and its causes.
fn chain(error: &ObjectError) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

/// A server's answer that is an error.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    status: u16,
    code: String,
    message: String,
    region: Option<String>,
    time: Option<String>,
}

impl Answer {
    /// The answer in an error: the library gives it as text alone.
    fn of(error: &ObjectError) -> Option<Answer> {
        let text = error.to_string();
        if text.contains("redirect without LOCATION") {
            return Some(Answer { status: 301, ..Answer::default() });
        }
        let (_, after) = text.split_once("status code: ")?;
        let status = after.get(..3)?.parse().ok()?;
        let body = after.split_once(": ").map_or("", |(_, body)| body);
        let of = |name| element(body, name).filter(|text| !text.is_empty());
        Some(Answer {
            status,
            code: of("Code").unwrap_or_default(),
            message: of("Message").unwrap_or_default(),
            region: of("Region"),
            time: of("ServerTime"),
        })
    }

    /// What the server said, in one line.
    fn words(&self) -> String {
        let words = match (self.code.as_str(), self.message.as_str()) {
            ("", "") => format!("the server answered with status {}", self.status),
            ("", message) => message.to_owned(),
            (code, message) if message.is_empty() || code == message => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        match words.char_indices().nth(WORDS_MAX) {
            Some((end, _)) => format!("{}...", &words[..end]),
            None => words,
        }
    }
}

/// The text of the first XML element of this name.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, after) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = after.split_once(&format!("</{name}>"))?;
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&apos;", "'"), ("&amp;", "&")];
    Some(plain.iter().fold(text.trim().to_owned(), |text, (escaped, plain)| text.replace(escaped, plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(provider: Provider) -> Facts {
        Facts {
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
        StoreFault::take(facts(provider).explain(error)).unwrap()
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
            (Provider::S3, "501 Not Implemented", "NotImplemented", StoreFaultKind::Unsupported, "does not do this"),
            (Provider::S3, "503 Service Unavailable", "SlowDown", StoreFaultKind::Unanswered, "at the moment"),
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
            assert_eq!(fault.may_pass(), kind == StoreFaultKind::Unanswered);
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
        assert_eq!(fault.hint(), Some("export AWS_REGION=eu-central-1"));
    }

    #[test]
    fn an_answer_that_is_no_xml_is_said_with_its_status() {
        let fault = explained(Provider::S3, "418 I'm a teapot", "<html>\n<body>no</body></html>");
        assert_eq!(fault.kind(), StoreFaultKind::Refused);
        assert!(fault.source().unwrap().to_string().contains("418"));
    }
}
