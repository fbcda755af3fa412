//! Object stores by their addresses, for plans that run where nobody has registered them: on a cluster's workers.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use url::Url;

use crate::store::StoreResolver;

/// Opens a store when a plan first reads from it.
#[derive(Debug, Default)]
pub struct Stores(StoreResolver);

impl ObjectStoreRegistry for Stores {
    /// Addresses say all that there is to know; nothing is registered.
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let origin = format!("{}://{}/", url.scheme(), url.authority());
        let place = self.0.open(&origin).map_err(|error| DataFusionError::External(error.into()))?;
        Ok(place.object_store().clone())
    }
}
