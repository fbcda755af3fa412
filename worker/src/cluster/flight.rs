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
pub struct Flight {
    endpoint: EndpointOverrideFn,
    is_tls: bool,
}

impl Flight {
    /// With the workers' token.
    pub fn new(tls: Tls, token: Option<&Token>) -> Flight {
        let (is_tls, agent) = (tls.serves(), flight_name(token));
        let endpoint: EndpointOverrideFn = Arc::new(move |endpoint| {
            let endpoint = endpoint.user_agent(agent.clone())?.connect_timeout(CONNECT_MAX);
            Ok(if tls.serves() { endpoint.tls_config(tls.client())? } else { endpoint })
        });
        Flight { endpoint, is_tls }
    }

    /// For plans that read it. A job's settings win over a worker's own: both must have this.
    pub fn configure(&self, config: SessionConfig) -> SessionConfig {
        config
            .with_ballista_use_tls(self.is_tls)
            .with_ballista_override_create_grpc_client_endpoint(self.endpoint.clone())
    }

    /// The rows at a location.
    ///
    /// # Errors
    /// Where its worker is gone, or has them no more.
    pub async fn read(&self, location: PartitionLocation) -> Result<SendableRecordBatchStream, BallistaError> {
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
            self.is_tls,
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
