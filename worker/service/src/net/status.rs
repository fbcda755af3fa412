//! What a refused or failed call says. A status that was sent has its causes in its message; one that was made on this
//! side, by a connection that failed, has them as its sources.

use std::error::Error;

use dqa_pipelines::causes;
use tonic::Status;

/// A status as one line, with its causes and without its code: `transport error: connection refused`.
pub fn said(status: &Status) -> String {
    let message = status.message();
    match status.source() {
        Some(cause) => causes(cause).after(message).to_string(),
        None if message.is_empty() => status.code().description().to_owned(),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_why() {
        assert_eq!(said(&Status::unavailable("it stands by")), "it stands by");
        assert_eq!(said(&Status::unavailable("")), "The service is currently unavailable");
        let lost = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let status = Status::from_error(Box::new(lost));
        assert!(said(&status).ends_with("connection refused"), "{}", said(&status));
    }

    #[tokio::test]
    async fn a_port_that_nobody_has_is_named_as_such() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let to = crate::net::channel(&format!("http://127.0.0.1:{port}"), &Default::default(), None, false).unwrap();
        let mut client = dqa_proto::v1::coordinator_service_client::CoordinatorServiceClient::new(to);
        let status = client.list_runs(dqa_proto::v1::ListRunsRequest {}).await.unwrap_err();
        assert!(said(&status).to_lowercase().contains("connection refused"), "{}", said(&status));
    }
}
