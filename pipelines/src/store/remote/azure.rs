//! Azure Blob Storage, from the variables `AZURE_*`.

use std::sync::Arc;

use object_store::CredentialProvider;
use object_store::azure::{AzureConfigKey, AzureCredential, MicrosoftAzure, MicrosoftAzureBuilder};
use url::Url;

use super::credentials::{CredentialSource, FetchedCredentials};
use super::diagnostics::{Provider, StoreContext};
use super::environment::EnvVariables;
use super::http_client::OwnConnector;
use super::provider_shared::{Clients, check_endpoint, credential_retries, invalid_variables, server_address};
use crate::store::fault::StoreFault;

const EMULATOR: &str = "AZURE_STORAGE_USE_EMULATOR";
const CONNECTION: &str = "AZURE_STORAGE_CONNECTION_STRING";
type Known = Vec<(String, AzureConfigKey, String)>;

pub(super) fn clients(url: &Url, variables: &EnvVariables) -> Result<Clients, StoreFault> {
    let mut known: Known = variables.known()?;
    add_aliases(variables, &mut known);
    let value = |wanted: AzureConfigKey| known.iter().find(|(_, key, _)| *key == wanted);
    let is_emulator = variables.is_on(EMULATOR);
    let in_address = url.host_str().and_then(|host| host.split_once('.')).map(|(account, _)| account.to_owned());
    let account = in_address.or_else(|| value(AzureConfigKey::AccountName).map(|(.., name)| name.clone()));
    if account.is_none() && !is_emulator {
        return Err(StoreFault::setup(
            "AZURE_STORAGE_ACCOUNT_NAME is not set: the account of the container is unknown",
        )
        .with_hint("export AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"));
    }
    let endpoint = value(AzureConfigKey::Endpoint).filter(|_| !is_emulator);
    if let Some((name, _, endpoint)) = endpoint {
        check_endpoint(name, endpoint, "AZURE_ALLOW_HTTP", variables.is_on("AZURE_ALLOW_HTTP"))?;
    }
    let (server, server_variable) = match endpoint {
        Some((name, _, endpoint)) => (server_address(endpoint), Some(name.clone())),
        None if is_emulator => {
            // The client itself reads this variable from the environment.
            let named =
                std::env::var("AZURITE_BLOB_STORAGE_URL").unwrap_or_else(|_| "http://127.0.0.1:10000".to_owned());
            (server_address(&named), Some("AZURITE_BLOB_STORAGE_URL".to_owned()))
        }
        None => (format!("https://{}.blob.core.windows.net", account.as_deref().unwrap_or_default()), None),
    };
    let container = if url.username().is_empty() { url.host_str().unwrap_or_default() } else { url.username() };
    let context = StoreContext {
        provider: Provider::Azure,
        bucket: container.to_owned(),
        server,
        server_variable,
        region: String::new(),
        region_variable: None,
    };
    let failed = |error| {
        let fails_alone = |key: &AzureConfigKey, value: &str| {
            let builder = MicrosoftAzureBuilder::new().with_url(url.as_str()).with_account("account");
            builder.with_config(*key, value).build().is_err()
        };
        invalid_variables(&known, &error, fails_alone)
    };
    let start = MicrosoftAzureBuilder::new().with_url(url.as_str());
    let mut builder = known.iter().fold(start, |builder, (_, key, value)| builder.with_config(*key, value));
    if let Some(source) = source(variables, &known, &context) {
        let fetching = builder.clone().with_retry(credential_retries()).with_http_connector(OwnConnector);
        let fetching: MicrosoftAzure = fetching.build().map_err(failed)?;
        let provider: Arc<dyn CredentialProvider<Credential = AzureCredential>> = fetching.credentials().clone();
        builder = builder.with_credentials(FetchedCredentials::new(provider, source));
    }
    Clients::build(context, |retry, shared| {
        let client = builder.clone().with_retry(retry).with_http_connector(shared).build();
        Ok(Arc::new(client.map_err(failed)?))
    })
}

/// Adds the settings that are given only by the names of Azure's own programs.
fn add_aliases(variables: &EnvVariables, known: &mut Known) {
    let mut add = |name: &str, key: AzureConfigKey, value: &str| {
        if !known.iter().any(|(_, other, _)| *other == key) && !value.is_empty() {
            known.push((name.to_owned(), key, value.to_owned()));
        }
    };
    for (name, key) in
        [("AZURE_STORAGE_ACCOUNT", AzureConfigKey::AccountName), ("AZURE_STORAGE_KEY", AzureConfigKey::AccessKey)]
    {
        add(name, key, variables.get(name).unwrap_or_default());
    }
    let pairs = || variables.get(CONNECTION).into_iter().flat_map(|text| text.split(';'));
    for (name, value) in pairs().filter_map(|pair| pair.split_once('=')) {
        let key = match name.trim() {
            "AccountName" => AzureConfigKey::AccountName,
            "AccountKey" => AzureConfigKey::AccessKey,
            "SharedAccessSignature" => AzureConfigKey::SasKey,
            "BlobEndpoint" => AzureConfigKey::Endpoint,
            _ => continue,
        };
        add(CONNECTION, key, value.trim());
    }
}

/// Returns the source of credentials. None if there are keys, or if none are needed.
fn source(variables: &EnvVariables, known: &Known, context: &StoreContext) -> Option<CredentialSource> {
    let has_key = |wanted: AzureConfigKey| known.iter().any(|(_, key, _)| *key == wanted);
    let has_one = [AzureConfigKey::AccessKey, AzureConfigKey::SasKey, AzureConfigKey::Token].into_iter().any(has_key);
    if has_one || variables.is_on(EMULATOR) || variables.is_on("AZURE_SKIP_SIGNATURE") {
        return None;
    }
    let service = |from: &str, variable: &str| {
        Some(CredentialSource {
            missing: format!("{from} gives no credentials"),
            hint: format!("it is used because {variable} is set and AZURE_STORAGE_ACCOUNT_KEY is not"),
            is_instance: false,
        })
    };
    if has_key(AzureConfigKey::ClientId) && has_key(AzureConfigKey::FederatedTokenFile) {
        return service("Azure's token service", "AZURE_FEDERATED_TOKEN_FILE");
    }
    if has_key(AzureConfigKey::ClientId) && has_key(AzureConfigKey::ClientSecret) {
        return service("Azure's token service", "AZURE_CLIENT_SECRET");
    }
    if variables.is_on("AZURE_USE_AZURE_CLI") {
        return service("the program `az`", "AZURE_USE_AZURE_CLI");
    }
    Some(CredentialSource {
        missing: format!(
            "there are no credentials for the container `{}`: neither AZURE_STORAGE_ACCOUNT_KEY nor \
             AZURE_STORAGE_SAS_TOKEN is set, nor AZURE_CLIENT_ID with AZURE_CLIENT_SECRET \
             and AZURE_TENANT_ID, and no managed identity gives any",
            context.bucket
        ),
        hint: "export AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN; AZURE_USE_AZURE_CLI=true uses the login of `az`; for a \
            public container: export AZURE_SKIP_SIGNATURE=true"
            .to_owned(),
        is_instance: true,
    })
}
