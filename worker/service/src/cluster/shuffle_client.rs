//! The way to shuffled data and to the rows of queries: to the port of the worker that has them, with the workers' token
//! and certificates. Workers go it, and the coordinator.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::client::BallistaClient;
use ballista_core::error::BallistaError;
use ballista_core::extension::{BallistaConfigGrpcEndpoint, EndpointOverrideFn, SessionConfigExt};
use ballista_core::serde::protobuf::PartitionLocation;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionConfig;

use crate::net::{MESSAGE_BYTES_MAX, Tls, Token, flight_name};

/// Another worker on this network answers, or is gone.
const CONNECT_MAX: Duration = Duration::from_secs(3);
const TRIES_MAX: u8 = 3;
const AGAIN_MILLIS: u64 = 250;

/// Reads what workers have written for others.
#[derive(Clone)]
pub struct ShuffleClient {
    endpoint: EndpointOverrideFn,
}

impl ShuffleClient {
    /// With the workers' token.
    pub fn new(tls: Tls, token: Option<&Token>) -> ShuffleClient {
        let agent = flight_name(token);
        ShuffleClient {
            endpoint: Arc::new(move |endpoint| {
                let is_tls = endpoint.uri().scheme_str() == Some("https");
                let endpoint = endpoint.user_agent(agent.clone())?.connect_timeout(CONNECT_MAX);
                Ok(if is_tls { endpoint.tls_config(tls.client())? } else { endpoint })
            }),
        }
    }

    /// For plans that read it. Whether workers' ports are encrypted is not said here, but by a job's own settings.
    pub fn configure(&self, config: SessionConfig) -> SessionConfig {
        config.with_ballista_override_create_grpc_client_endpoint(self.endpoint.clone())
    }

    /// The rows at a location.
    ///
    /// # Errors
    /// Where its worker is gone, or has them no more.
    pub async fn read(
        &self,
        location: PartitionLocation,
        is_tls: bool,
    ) -> Result<SendableRecordBatchStream, BallistaError> {
        let layout = location.layout();
        let missing = |what: &str| BallistaError::Internal(format!("a location without {what}"));
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
            TRIES_MAX,
            AGAIN_MILLIS,
            0,
            0,
        );
        // The file's blocks as they are: a batch may be larger than a message.
        client.await?.fetch_partition(&worker.id, &partition.into(), location.file_id, layout, false).await
    }
}
