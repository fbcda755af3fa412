//! The text of a gRPC status. A status from the peer has its causes in its message; one that this side created for a
//! failed connection has them as its sources.

use std::error::Error;

use dqa_pipelines::causes;
use tonic::Status;

/// Returns a status as one line with its causes and without its code: `transport error: connection refused`.
pub fn status_text(status: &Status) -> String {
    let message = status.message();
    match status.source() {
        Some(cause) => causes(cause).with_prefix(message).to_string(),
        None if message.is_empty() => status.code().description().to_owned(),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_why() {
        assert_eq!(status_text(&Status::unavailable("it stands by")), "it stands by");
        assert_eq!(status_text(&Status::unavailable("")), "The service is currently unavailable");
        let lost = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let status = Status::from_error(Box::new(lost));
        assert!(status_text(&status).ends_with("connection refused"), "{}", status_text(&status));
    }

    #[tokio::test]
    async fn a_port_that_nobody_has_is_named_as_such() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let to = crate::net::channel(&format!("http://127.0.0.1:{port}"), &Default::default(), None, false).unwrap();
        let mut client = dqa_proto::v1::coordinator_service_client::CoordinatorServiceClient::new(to);
        let status = client.list_runs(dqa_proto::v1::ListRunsRequest {}).await.unwrap_err();
        assert!(status_text(&status).to_lowercase().contains("connection refused"), "{}", status_text(&status));
    }
}
