//! Google Cloud Storage, from the variables `GOOGLE_*`.

use std::sync::Arc;

use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{CredentialProvider, StaticCredentialProvider};
use url::Url;

use super::super::fault::StoreFault;
use super::credentials::{Fetched, Source};
use super::explain::{Facts, Provider};
use super::http::Single;
use super::variables::Variables;
use super::{Clients, check_endpoint, for_credentials, server_of, unusable};
use crate::causes;

/// Variables that name a file with a key.
const FILES: [&str; 3] = ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_APPLICATION_CREDENTIALS"];
const KEY: &str = "GOOGLE_SERVICE_ACCOUNT_KEY";

pub(super) fn clients(url: &Url, variables: &Variables) -> Result<Clients, StoreFault> {
    let known: Vec<(String, GoogleConfigKey, String)> = variables.known()?;
    if let Some(base) = variables.get("GOOGLE_BASE_URL") {
        check_endpoint("GOOGLE_BASE_URL", base, "GOOGLE_ALLOW_HTTP", true)?;
    }
    check_files(variables)?;
    let start = || GoogleCloudStorageBuilder::new().with_url(url.as_str());
    let failed = |error| unusable(&known, &error, |key, value| start().with_config(*key, value).build().is_err());
    let builder = known.iter().fold(start(), |builder, (_, key, value)| builder.with_config(*key, value));
    let is_open = variables.is_on("GOOGLE_SKIP_SIGNATURE") && key(variables).is_none();
    let provider: Arc<dyn CredentialProvider<Credential = GcpCredential>> = if is_open {
        // The client asks for a token when it writes, whether or not requests are to be signed.
        Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: String::new() }))
    } else {
        let fetching = builder.clone().with_retry(for_credentials()).with_http_connector(Single);
        let fetching: GoogleCloudStorage = fetching.build().map_err(failed)?;
        Fetched::new(fetching.credentials().clone(), source(variables))
    };
    let builder = builder.with_credentials(provider);
    let base = variables.get("GOOGLE_BASE_URL");
    let facts = Facts {
        provider: Provider::Google,
        bucket: url.host_str().unwrap_or_default().to_owned(),
        server: base.map_or_else(|| "https://storage.googleapis.com".to_owned(), server_of),
        server_variable: base.map(|_| "GOOGLE_BASE_URL".to_owned()),
        region: String::new(),
        region_variable: None,
    };
    Clients::build(facts, |retry, shared| {
        let client = builder.clone().with_retry(retry).with_http_connector(shared).build();
        Ok(Arc::new(client.map_err(failed)?))
    })
}

/// A variable that is to name a file, and does not. What it has may be the key itself: it is not shown.
fn check_files(variables: &Variables) -> Result<(), StoreFault> {
    for name in FILES {
        let Some(path) = variables.get(name) else { continue };
        if path.starts_with('{') {
            return Err(StoreFault::setup(format!("{name} takes the path of a file, and has a key's content"))
                .hint_at(format!("{KEY} takes the content")));
        }
        if let Err(error) = std::fs::File::open(path) {
            let fault = StoreFault::setup(format!("{name} names a file that cannot be read"));
            return Err(fault.caused_by(causes(&error).to_string()).hint_at(format!("correct {name}, or unset it")));
        }
    }
    Ok(())
}

fn key(variables: &Variables) -> Option<&'static str> {
    variables.first(&FILES).or_else(|| variables.first(&[KEY]))
}

fn source(variables: &Variables) -> Source {
    if let Some(name) = key(variables) {
        return Source {
            missing: format!("Google's token service gives no token for the key of {name}"),
            hint: "is this machine on the network, and is the key still valid?".to_owned(),
            is_instance: false,
        };
    }
    Source {
        missing: format!(
            "there are no credentials for Google Cloud Storage: none of {}, {KEY} is set, `gcloud auth application-default \
             login` was not run here, and no metadata service gives a token",
            FILES.join(", ")
        ),
        hint: "GOOGLE_APPLICATION_CREDENTIALS names a file with a key; for a bucket that is open to all: export \
            GOOGLE_SKIP_SIGNATURE=true"
            .to_owned(),
        is_instance: true,
    }
}
