//! Which variables reach a store, and what is said of those with which none can be reached.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStringExt;
use std::sync::mpsc;

use futures::StreamExt;

use super::super::Store;
use super::super::fault::{StoreFault, StoreFaultKind};
use super::*;
use crate::{Hint, Retryable};

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn opened(address: &str, variables: Pairs) -> Result<Remote, StoreError> {
    open_with(address, variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
}

fn fault(address: &str, variables: Pairs) -> StoreFault {
    match opened(address, variables).map(|_| ()) {
        Err(StoreError::Store { source, .. }) => source,
        other => panic!("{address} with {variables:?}: {other:?}"),
    }
}

async fn listed(address: &str, variables: Pairs<'_>) -> Result<usize, StoreError> {
    let Remote { objects, prefix, url } = opened(address, variables)?;
    let store = Store { objects, prefix, url };
    store.check().await?;
    Ok(store.list("").count().await)
}

/// Starts a server that sends the same response to every request, and forwards the heads of requests.
fn server(status: &'static str, head: &'static str, body: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (heads, received) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = Vec::new();
            let mut piece = [0; 1024];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => request.extend_from_slice(&piece[..length]),
                }
            }
            let _ = heads.send(String::from_utf8_lossy(&request).to_ascii_lowercase());
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    (address, received)
}

const NOTHING: &str = "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>\
    <Name>b</Name><Prefix></Prefix><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>";

#[tokio::test]
async fn variables_of_other_programs_are_neither_sent_nor_able_to_break_anything() {
    let (endpoint, heads) = server("200 OK", "", NOTHING);
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let mut variables: Vec<(OsString, OsString)> = vec![
        ("AWS_ACCESS_KEY_ID".into(), "key".into()),
        ("AWS_SECRET_ACCESS_KEY".into(), "secret\n".into()),
        ("AWS_ALLOW_HTTP".into(), "true".into()),
        ("AWS_ENDPOINT".into(), endpoint.into()),
        ("AWS_SESSION_TOKEN".into(), "".into()),
    ];
    for name in [
        "TOKEN",
        "SESSION_TOKEN",
        "REGION",
        "ENDPOINT",
        "BUCKET",
        "PROXY_URL",
        "TIMEOUT",
        "AZURE_STORAGE_TOKEN",
        "token",
    ] {
        variables.push((name.into(), "elsewhere".into()));
    }
    variables.push(("AWS_PAGER".into(), bytes(b"\xff")));
    variables.push(("OTHER".into(), bytes(b"\xff\xfe")));
    variables.push((bytes(b"AWS_\xff"), bytes(b"\xff")));
    let Remote { objects, prefix, url } = open_with("s3://b/x", variables.into_iter()).unwrap();
    let store = Store { objects, prefix, url };
    store.check().await.unwrap();
    let head = heads.recv().unwrap();
    assert!(head.contains("credential=key/") && head.contains("/us-east-1/"), "{head}");
    assert!(!head.contains("elsewhere") && !head.contains("security-token"), "{head}");
}

#[test]
fn what_a_variable_cannot_be_is_said_with_its_name_and_without_its_value() {
    let keys = [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "hidden-value")];
    let cases: [(&str, Pairs, &str); 14] = [
        ("s3://b", &[("AWS_ACCESS_KEY_ID", "hidden-value")], "AWS_SECRET_ACCESS_KEY is not"),
        ("s3://b", &[("AWS_SECRET_ACCESS_KEY", "hidden-value")], "AWS_ACCESS_KEY_ID is not"),
        ("s3://b", &[("AWS_PROFILE", "hidden-value")], "AWS_PROFILE is set, and dqa does not read ~/.aws"),
        ("s3://b", &[("AWS_ENDPOINT", "http://hidden-value")], "AWS_ALLOW_HTTP is not set"),
        ("s3://b", &[("AWS_ENDPOINT_URL", "hidden-value:9000")], "AWS_ENDPOINT_URL is not a valid URL"),
        ("s3://b", &[("AWS_SKIP_SIGNATURE", "hidden-value")], "AWS_SKIP_SIGNATURE has an invalid value"),
        ("s3://b", &[("AWS_TIMEOUT", "hidden-value"), keys[0], keys[1]], "AWS_TIMEOUT has an invalid value"),
        ("s3://b", &[("AWS_EC2_METADATA_DISABLED", "true")], "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"),
        (
            "s3://b",
            &[("AWS_ROLE_ARN", "r"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/hidden-value")],
            "AWS_WEB_IDENTITY_TOKEN_FILE names",
        ),
        ("s3://b", &[keys[0], ("AWS_SECRET_ACCESS_KEY", "hidden-\nvalue")], "AWS_SECRET_ACCESS_KEY has a line break"),
        (
            "gs://b",
            &[("GOOGLE_APPLICATION_CREDENTIALS", "/hidden-value")],
            "GOOGLE_APPLICATION_CREDENTIALS names a file",
        ),
        ("gs://b", &[("GOOGLE_SERVICE_ACCOUNT", "{\"hidden-value\": 1}")], "GOOGLE_SERVICE_ACCOUNT takes the path"),
        ("gs://b", &[("GOOGLE_SERVICE_ACCOUNT_KEY", "{\"hidden-value\": 1}")], "GOOGLE_SERVICE_ACCOUNT_KEY"),
        ("az://b", &[("AZURE_STORAGE_ACCOUNT_KEY", "hidden-value")], "AZURE_STORAGE_ACCOUNT_NAME is not set"),
    ];
    for (address, variables, says) in cases {
        let fault = fault(address, variables);
        let source = std::error::Error::source(&fault).map(ToString::to_string).unwrap_or_default();
        let said = format!("{fault}: {source}; {}", fault.hint().unwrap_or_default());
        assert!(said.contains(says), "{said}");
        assert!(!said.contains("hidden-value"), "{said}");
        assert_eq!(fault.kind(), StoreFaultKind::Setup);
    }
    let not_text = [("AWS_REGION".into(), OsString::from_vec(vec![0xff]))];
    let error = open_with("s3://b", not_text.into_iter()).map(|_| ()).unwrap_err();
    assert!(format!("{error:?}").contains("AWS_REGION is not UTF-8"), "{error:?}");
}

#[test]
fn a_store_reads_the_variables_of_its_own_scheme() {
    // Each of these would break the others' clients.
    let broken = [("AWS_TIMEOUT", "x"), ("GOOGLE_SKIP_SIGNATURE", "x"), ("AZURE_SKIP_SIGNATURE", "x")];
    let s3 = [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s"), broken[1], broken[2]];
    opened("s3://b", &s3).map(|_| ()).unwrap();
    opened("gs://b", &[("GOOGLE_BASE_URL", "http://127.0.0.1:1"), broken[0], broken[2]]).map(|_| ()).unwrap();
    let account = ("AZURE_STORAGE_ACCOUNT", "a");
    opened("az://b", &[account, ("AZURE_STORAGE_KEY", "a2V5"), broken[0], broken[1]]).map(|_| ()).unwrap();
    opened("abfss://b@a.dfs.core.windows.net/x", &[("AZURE_STORAGE_SAS_TOKEN", "sig=x")]).map(|_| ()).unwrap();
    let connection =
        ("AZURE_STORAGE_CONNECTION_STRING", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a2V5");
    opened("az://b", &[connection]).map(|_| ()).unwrap();
    assert!(fault("s3://b", &[s3[0], s3[1], broken[0]]).to_string().contains("AWS_TIMEOUT"));
}

#[test]
fn invalid_addresses_are_refused_and_their_passwords_not_shown() {
    for address in [
        "s3://",
        "s3://key:hidden@bucket/x",
        "s3://bucket:9000/x",
        "s3://bucket/x?region=y",
        "s3://bucket/x#y",
        "memory:///x",
        "https://s3.us-east-1.amazonaws.com/bucket",
    ] {
        let error = opened(address, &[]).map(|_| ()).unwrap_err();
        assert!(matches!(error, StoreError::Address { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hidden"), "{error:?}");
    }
}

#[tokio::test]
async fn what_a_server_refuses_is_said_at_its_first_answer() {
    let malformed =
        "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-central-1</Region></Error>";
    let cases = [
        ("400 Bad Request", "", malformed, "is in the region `eu-central-1`, not in `us-east-1`"),
        ("301 Moved Permanently", "x-amz-bucket-region: eu-west-3\r\n", "", "is in the region `eu-west-3`"),
        ("301 Moved Permanently", "", "", "is in another region"),
        ("403 Forbidden", "", "<Error><Code>InvalidAccessKeyId</Code></Error>", "AWS_ACCESS_KEY_ID"),
        ("404 Not Found", "", "<Error><Code>NoSuchBucket</Code></Error>", "the bucket `b` does not exist"),
    ];
    for (status, head, body, says) in cases {
        let (endpoint, heads) = server(status, head, body);
        let variables = [
            ("AWS_ACCESS_KEY_ID", "k"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_ALLOW_HTTP", "1"),
            ("AWS_ENDPOINT", endpoint.as_str()),
        ];
        let error = listed("s3://b/x", &variables).await.unwrap_err();
        assert!(format!("{error:?}").contains(says), "{status}: {error:?}");
        assert!(!error.is_retryable() && !error.is_not_found() && error.is_store_wide());
        assert_eq!(error.depends_on_machine(), !says.ends_with("does not exist"), "{error:?}");
        assert_eq!(heads.try_iter().count(), 1, "it is not asked again");
    }
}

#[tokio::test]
async fn what_is_denied_to_this_machine_may_be_allowed_to_another() {
    let (endpoint, _heads) = server("403 Forbidden", "", "<Error><Code>AccessDenied</Code></Error>");
    let variables = [
        ("AWS_ACCESS_KEY_ID", "k"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_ALLOW_HTTP", "1"),
        ("AWS_ENDPOINT", endpoint.as_str()),
    ];
    let error = listed("s3://b/x", &variables).await.unwrap_err();
    assert!(error.depends_on_machine() && !error.is_store_wide() && !error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_and_credentials_that_are_nowhere_are_said_soon() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{closed}");
    let keys = [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let variables = [keys[0], keys[1], ("AWS_ALLOW_HTTP", "true"), ("AWS_ENDPOINT", endpoint.as_str())];
    let error = listed("s3://b", &variables).await.unwrap_err();
    assert!(error.is_retryable() && format!("{error:?}").contains("refused"), "{error:?}");
    assert!(error.hint().unwrap().contains("AWS_ENDPOINT says where the store is"));

    let (server, _heads) = server("200 OK", "", NOTHING);
    let variables =
        [("AWS_ALLOW_HTTP", "true"), ("AWS_ENDPOINT", server.as_str()), ("AWS_METADATA_ENDPOINT", endpoint.as_str())];
    let error = listed("s3://b", &variables).await.unwrap_err();
    assert!(format!("{error:?}").contains("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"), "{error:?}");
    assert!(error.hint().unwrap().contains("AWS_SKIP_SIGNATURE=true") && !error.is_retryable());
    let open = [("AWS_SKIP_SIGNATURE", "true"), variables[0], variables[1]];
    assert_eq!(listed("s3://b", &open).await.unwrap(), 0);
}

#[tokio::test]
async fn the_credentials_of_a_role_are_fetched_and_used() {
    let given = "{\"AccessKeyId\":\"rolekey\",\"SecretAccessKey\":\"s\",\"Token\":\"roletoken\",\
        \"Expiration\":\"2100-01-01T00:00:00Z\"}";
    let (service, asked) = server("200 OK", "content-type: application/json\r\n", given);
    let (endpoint, heads) = server("200 OK", "", NOTHING);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "own-token").unwrap();
    let variables = [
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap()),
    ];
    assert_eq!(listed("s3://b/x", &variables).await.unwrap(), 0);
    assert!(asked.recv().unwrap().contains("authorization: own-token"));
    let head = heads.recv().unwrap();
    assert!(head.contains("credential=rolekey/") && head.contains("x-amz-security-token: roletoken"), "{head}");

    let (service, _asked) = server("403 Forbidden", "", "no");
    let variables =
        [variables[0], variables[1], ("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.as_str()), variables[3]];
    let error = listed("s3://b/x", &variables).await.unwrap_err();
    assert!(format!("{error:?}").contains("gives no credentials") && !error.is_retryable(), "{error:?}");
}
