//! Opens object stores by address, for plans that run in processes where no store was registered, such as a cluster's
//! workers.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use url::Url;

use dqa_pipelines::store::StoreResolver;

/// An object store registry that opens a store when a plan first reads from it.
#[derive(Debug, Default)]
pub(crate) struct StoreRegistry(StoreResolver);

impl ObjectStoreRegistry for StoreRegistry {
    /// Ignores the store: an address is sufficient to open it.
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let origin = format!("{}://{}/", url.scheme(), url.authority());
        let store = self.0.open(&origin).map_err(|error| DataFusionError::External(error.into()))?;
        Ok(store.object_store().clone())
    }
}
