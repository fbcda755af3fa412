//! The client for shuffled data and the rows of queries: it connects to the port of the worker that has them, with the
//! workers' token and certificates. Workers and the coordinator use it.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::client::BallistaClient;
use ballista_core::error::BallistaError;
use ballista_core::extension::{BallistaConfigGrpcEndpoint, EndpointOverrideFn, SessionConfigExt};
use ballista_core::serde::protobuf::PartitionLocation;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionConfig;

use crate::net::{MESSAGE_BYTES_MAX, Tls, Token, flight_user_agent};

/// A reachable worker accepts a connection in milliseconds.
const CONNECT_MAX: Duration = Duration::from_secs(3);
const ATTEMPTS_MAX: u8 = 3;
const RETRY_AFTER_MILLIS: u64 = 250;

/// Reads the data that workers keep for other workers and for the coordinator.
#[derive(Clone)]
pub struct ShuffleClient {
    endpoint: EndpointOverrideFn,
}

impl ShuffleClient {
    /// Creates a client with the workers' token.
    pub fn new(tls: Tls, token: Option<&Token>) -> ShuffleClient {
        let agent = flight_user_agent(token);
        ShuffleClient {
            endpoint: Arc::new(move |endpoint| {
                let is_tls = endpoint.uri().scheme_str() == Some("https");
                let endpoint = endpoint.user_agent(agent.clone())?.connect_timeout(CONNECT_MAX);
                Ok(if is_tls { endpoint.tls_config(tls.client_config())? } else { endpoint })
            }),
        }
    }

    /// Configures a session so that its plans use this client. A job's own settings say whether workers' ports are
    /// encrypted.
    pub fn configure(&self, config: SessionConfig) -> SessionConfig {
        config.with_ballista_override_create_grpc_client_endpoint(self.endpoint.clone())
    }

    /// Reads the rows at a location.
    ///
    /// # Errors
    /// Fails if the location's worker is gone or has deleted them.
    pub async fn read(
        &self,
        location: PartitionLocation,
        is_tls: bool,
    ) -> Result<SendableRecordBatchStream, BallistaError> {
        let layout = location.layout();
        let missing = |what: &str| BallistaError::Internal(format!("a partition location lacks {what}"));
        let worker = location.executor_meta.ok_or_else(|| missing("a worker"))?;
        let partition = location.partition_id.ok_or_else(|| missing("a partition"))?;
        let port = u16::try_from(worker.port).map_err(|_| missing("a port"))?;
        let endpoint = Arc::new(BallistaConfigGrpcEndpoint::new(self.endpoint.clone()));
        let client = BallistaClient::try_new(
            &worker.host,
            port,
            MESSAGE_BYTES_MAX,
            is_tls,
            Some(endpoint),
            ATTEMPTS_MAX,
            RETRY_AFTER_MILLIS,
            0,
            0,
        );
        // The file's blocks are sent as they are: a batch may be larger than a message.
        client.await?.fetch_partition(&worker.id, &partition.into(), location.file_id, layout, false).await
    }
}
