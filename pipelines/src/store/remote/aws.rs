//! S3 and compatible stores, from the variables `AWS_*`.

use std::sync::Arc;

use object_store::CredentialProvider;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use url::Url;

use super::credentials::{CredentialSource, FetchedCredentials};
use super::diagnostics::{Provider, StoreContext};
use super::environment::EnvVariables;
use super::http_client::OwnConnector;
use super::provider_shared::{Clients, check_endpoint, credential_retries, invalid_variables, server_address};
use crate::causes;
use crate::store::fault::StoreFault;

const KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
const EXPORT: &str = "`eval $(aws configure export-credentials --format env)`";
type Known = Vec<(String, AmazonS3ConfigKey, String)>;

pub(super) fn clients(url: &Url, variables: &EnvVariables) -> Result<Clients, StoreFault> {
    let mut known: Known = variables.known()?;
    // Amazon's own programs use this name.
    let metadata = variables.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if let Some(endpoint) = metadata.filter(|_| !variables.has("AWS_METADATA_ENDPOINT")) {
        let name = "AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned();
        known.push((name, AmazonS3ConfigKey::MetadataEndpoint, endpoint.to_owned()));
    }
    let context = context(url, variables);
    if let Some(name) = endpoint_variable(variables) {
        check_endpoint(
            name,
            variables.get(name).unwrap_or_default(),
            "AWS_ALLOW_HTTP",
            variables.is_on("AWS_ALLOW_HTTP"),
        )?;
    }
    let start = |known: &Known| {
        let new = AmazonS3Builder::new().with_url(url.as_str());
        known.iter().fold(new, |builder, (_, key, value)| builder.with_config(*key, value))
    };
    let failed = |error| {
        let fails_alone = |key: &AmazonS3ConfigKey, value: &str| {
            let is_one_of_two = matches!(key, AmazonS3ConfigKey::AccessKeyId | AmazonS3ConfigKey::SecretAccessKey);
            let builder = AmazonS3Builder::new().with_url(url.as_str()).with_config(*key, value);
            !is_one_of_two && builder.build().is_err()
        };
        invalid_variables(&known, &error, fails_alone)
    };
    let mut builder = start(&known);
    if let Some(source) = source(variables, &context)? {
        let fetching = builder.clone().with_retry(credential_retries()).with_http_connector(OwnConnector);
        let fetching: AmazonS3 = fetching.build().map_err(failed)?;
        let provider: Arc<dyn CredentialProvider<Credential = AwsCredential>> = fetching.credentials().clone();
        builder = builder.with_credentials(FetchedCredentials::new(provider, source));
    }
    Clients::build(context, |retry, shared| {
        let client = builder.clone().with_retry(retry).with_http_connector(shared).build();
        Ok(Arc::new(client.map_err(failed)?))
    })
}

fn endpoint_variable(variables: &EnvVariables) -> Option<&'static str> {
    // If several are set, the client uses the last.
    variables.first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"])
}

fn context(url: &Url, variables: &EnvVariables) -> StoreContext {
    let region_variable = variables.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]);
    let region = region_variable.and_then(|name| variables.get(name)).unwrap_or("us-east-1").to_owned();
    let endpoint = endpoint_variable(variables);
    let server = match endpoint.and_then(|name| variables.get(name)) {
        Some(endpoint) => server_address(endpoint),
        None => format!("https://s3.{region}.amazonaws.com"),
    };
    StoreContext {
        provider: Provider::S3,
        bucket: url.host_str().unwrap_or_default().to_owned(),
        server,
        server_variable: endpoint.map(str::to_owned),
        region,
        region_variable: region_variable.map(str::to_owned),
    }
}

/// Returns the source of credentials. None if there are keys, or if none are needed.
///
/// # Errors
/// If the variables show that there are no credentials.
fn source(variables: &EnvVariables, context: &StoreContext) -> Result<Option<CredentialSource>, StoreFault> {
    if variables.is_on("AWS_SKIP_SIGNATURE") {
        return Ok(None);
    }
    if let (Some(set), Some(unset)) = (variables.first(&KEYS), KEYS.iter().find(|name| !variables.has(name))) {
        return Err(StoreFault::setup(format!("{set} is set, and {unset} is not")).with_hint("export both"));
    }
    if variables.first(&KEYS).is_some() {
        return Ok(None);
    }
    let has = |names: [&str; 2]| names.iter().all(|name| variables.has(name));
    let fetched = |from: &str, variables: &str| {
        Ok(Some(CredentialSource {
            missing: format!("{from} gives no credentials"),
            hint: format!("it is used because {variables} is set and AWS_ACCESS_KEY_ID is not"),
            is_instance: false,
        }))
    };
    if has(["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"]) {
        let file = variables.get("AWS_WEB_IDENTITY_TOKEN_FILE").unwrap_or_default();
        if let Err(error) = std::fs::metadata(file) {
            return Err(StoreFault::setup("AWS_WEB_IDENTITY_TOKEN_FILE names a file that cannot be read")
                .with_cause(causes(&error).to_string()));
        }
        return fetched("the token service (STS)", "AWS_WEB_IDENTITY_TOKEN_FILE");
    }
    if variables.has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        return fetched("the container's credentials service", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    }
    if has(["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]) {
        return fetched("the container's credentials service", "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    }
    if let Some(profile) = variables.first(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]) {
        return Err(StoreFault::setup(format!("{profile} is set, and dqa does not read ~/.aws"))
            .with_hint(format!("export the keys: {EXPORT}")));
    }
    let missing = format!(
        "there are no credentials for the bucket `{}`: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, nor a role's \
         AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN or AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        context.bucket
    );
    let hint = format!("export the keys, or {EXPORT}; for a public bucket: export AWS_SKIP_SIGNATURE=true");
    if variables.is_on("AWS_EC2_METADATA_DISABLED") {
        return Err(StoreFault::setup(format!("{missing}; AWS_EC2_METADATA_DISABLED is set")).with_hint(hint));
    }
    let missing = format!("{missing}; and no instance metadata service gives any");
    Ok(Some(CredentialSource { missing, hint, is_instance: true }))
}
