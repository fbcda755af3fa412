//! Object stores of this process that are opened by an address, as remote ones are: a simulated cluster keeps its data sets and
//! results in one.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

use super::Store;

type Objects = HashMap<String, Arc<dyn ObjectStore>>;

static REGISTERED: LazyLock<RwLock<Objects>> = LazyLock::new(RwLock::default);

impl Store {
    /// Makes `scheme://authority/` the address of an object store, until [`Store::unregister`]. Another one at this address is
    /// replaced; stores that were opened before keep it.
    pub fn register(origin: &str, objects: Arc<dyn ObjectStore>) {
        REGISTERED.write().unwrap_or_else(PoisonError::into_inner).insert(origin.to_owned(), objects);
    }

    /// Undoes [`Store::register`].
    pub fn unregister(origin: &str) {
        REGISTERED.write().unwrap_or_else(PoisonError::into_inner).remove(origin);
    }

    /// Opens a folder of a registered object store. None if the address is of another kind.
    pub(super) fn registered(address: &str) -> Option<Store> {
        let mut url = Url::parse(address).ok()?;
        let origin = format!("{}://{}/", url.scheme(), url.authority());
        let objects = REGISTERED.read().unwrap_or_else(PoisonError::into_inner).get(&origin)?.clone();
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Some(Store { objects, prefix: Path::from_url_path(url.path()).ok()?, url })
    }
}
