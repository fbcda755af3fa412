//! Google Cloud Storage, from the variables `GOOGLE_*`.

use std::sync::Arc;

use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{CredentialProvider, StaticCredentialProvider};
use url::Url;

use super::credentials::{CredentialSource, FetchedCredentials};
use super::diagnostics::{Provider, StoreContext};
use super::environment::EnvVariables;
use super::http_client::OwnConnector;
use super::provider_shared::{Clients, check_endpoint, credential_retries, invalid_variables, server_address};
use crate::causes;
use crate::store::fault::StoreFault;

/// Variables with the path of a key file.
const FILES: [&str; 3] = ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_APPLICATION_CREDENTIALS"];
const KEY: &str = "GOOGLE_SERVICE_ACCOUNT_KEY";

pub(super) fn clients(url: &Url, variables: &EnvVariables) -> Result<Clients, StoreFault> {
    let known: Vec<(String, GoogleConfigKey, String)> = variables.known()?;
    if let Some(base) = variables.get("GOOGLE_BASE_URL") {
        check_endpoint("GOOGLE_BASE_URL", base, "GOOGLE_ALLOW_HTTP", true)?;
    }
    check_files(variables)?;
    let start = || GoogleCloudStorageBuilder::new().with_url(url.as_str());
    let failed =
        |error| invalid_variables(&known, &error, |key, value| start().with_config(*key, value).build().is_err());
    let builder = known.iter().fold(start(), |builder, (_, key, value)| builder.with_config(*key, value));
    let is_open = variables.is_on("GOOGLE_SKIP_SIGNATURE") && key(variables).is_none();
    let provider: Arc<dyn CredentialProvider<Credential = GcpCredential>> = if is_open {
        // The client needs a token when it writes, even if requests are not signed.
        Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: String::new() }))
    } else {
        let fetching = builder.clone().with_retry(credential_retries()).with_http_connector(OwnConnector);
        let fetching: GoogleCloudStorage = fetching.build().map_err(failed)?;
        FetchedCredentials::new(fetching.credentials().clone(), source(variables))
    };
    let builder = builder.with_credentials(provider);
    let base = variables.get("GOOGLE_BASE_URL");
    let context = StoreContext {
        provider: Provider::Google,
        bucket: url.host_str().unwrap_or_default().to_owned(),
        server: base.map_or_else(|| "https://storage.googleapis.com".to_owned(), server_address),
        server_variable: base.map(|_| "GOOGLE_BASE_URL".to_owned()),
        region: String::new(),
        region_variable: None,
    };
    Clients::build(context, |retry, shared| {
        let client = builder.clone().with_retry(retry).with_http_connector(shared).build();
        Ok(Arc::new(client.map_err(failed)?))
    })
}

/// Checks that the variables for key files name readable files. A value may be the key itself, so no error shows it.
fn check_files(variables: &EnvVariables) -> Result<(), StoreFault> {
    for name in FILES {
        let Some(path) = variables.get(name) else { continue };
        if path.starts_with('{') {
            return Err(StoreFault::setup(format!("{name} takes the path of a file, and holds a key's content"))
                .with_hint(format!("set {KEY} to the content instead")));
        }
        if let Err(error) = std::fs::File::open(path) {
            let fault = StoreFault::setup(format!("{name} names a file that cannot be read"));
            return Err(fault.with_cause(causes(&error).to_string()).with_hint(format!("correct {name}, or unset it")));
        }
    }
    Ok(())
}

fn key(variables: &EnvVariables) -> Option<&'static str> {
    variables.first(&FILES).or_else(|| variables.first(&[KEY]))
}

fn source(variables: &EnvVariables) -> CredentialSource {
    if let Some(name) = key(variables) {
        return CredentialSource {
            missing: format!("Google's token service gives no token for the key of {name}"),
            hint: "is this machine on the network, and is the key still valid?".to_owned(),
            is_instance: false,
        };
    }
    CredentialSource {
        missing: format!(
            "there are no credentials for Google Cloud Storage: none of {}, {KEY} is set, `gcloud auth application-default \
             login` was not run here, and no metadata service gives a token",
            FILES.join(", ")
        ),
        hint: "GOOGLE_APPLICATION_CREDENTIALS names a file with a key; for a public bucket: export \
            GOOGLE_SKIP_SIGNATURE=true"
            .to_owned(),
        is_instance: true,
    }
}
