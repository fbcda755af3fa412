//! A store that fails quickly until it has answered once and waits patiently from then on, and whose errors are explained.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use super::diagnostics::StoreContext;
use super::provider_shared::Clients;
use crate::store::fault::{StoreFault, StoreFaultKind};

/// Time limit of all attempts to get a first answer together. A server that accepts connections and never answers would otherwise
/// take 30 s for each.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(20);

/// A remote store with a quick and a patient client.
#[derive(Clone, Debug)]
pub(super) struct FailFastStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    patient: Arc<dyn ObjectStore>,
    quick: Arc<dyn ObjectStore>,
    context: StoreContext,
    has_answered: AtomicBool,
}

impl FailFastStore {
    pub(super) fn new(clients: Clients) -> FailFastStore {
        let Clients { patient, quick, context } = clients;
        FailFastStore(Arc::new(Inner { patient, quick, context, has_answered: AtomicBool::new(false) }))
    }

    fn explain(&self, error: Error) -> Error {
        self.0.context.explain(error)
    }

    /// Returns the patient client, after the quick one has read one byte at `path`. The object need not exist.
    async fn client(&self, path: &Path) -> Result<&Arc<dyn ObjectStore>> {
        if self.0.has_answered.load(Relaxed) {
            return Ok(&self.0.patient);
        }
        let options = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
        let first_read = self.0.quick.get_opts(path, options);
        let Ok(answer) = tokio::time::timeout(FIRST_ANSWER_MAX, first_read).await else {
            let (server, seconds) = (&self.0.context.server, FIRST_ANSWER_MAX.as_secs());
            let message = format!("{server} accepts connections and does not answer within {seconds} s");
            let mut fault = StoreFault::new(StoreFaultKind::Unavailable, message);
            if let Some(variable) = &self.0.context.server_variable {
                fault = fault.with_hint(format!("{variable} says where the store is"));
            }
            return Err(fault.into_object_error());
        };
        if let Err(error) = answer {
            let error = self.explain(error);
            // An operation that is not allowed on this object may be allowed on others.
            let is_final =
                |fault: &StoreFault| !matches!(fault.kind(), StoreFaultKind::Denied | StoreFaultKind::Unsupported);
            if StoreFault::find(&error).is_some_and(is_final) {
                return Err(error);
            }
        }
        self.0.has_answered.store(true, Relaxed);
        Ok(&self.0.patient)
    }

    /// Returns a stream of the patient client, once the store has answered.
    fn stream<T: Send + 'static>(
        &self,
        prefix: Option<&Path>,
        start: impl FnOnce(&Arc<dyn ObjectStore>) -> BoxStream<'static, Result<T>> + Send + 'static,
    ) -> BoxStream<'static, Result<T>> {
        let (store, explainer) = (self.clone(), self.clone());
        let path = probe_path(prefix);
        async move { store.client(&path).await.map(start) }
            .try_flatten_stream()
            .map_err(move |error| explainer.explain(error))
            .boxed()
    }
}

/// Returns a path inside the folder to read from: servers over a file system fail when the folder itself is read.
fn probe_path(folder: Option<&Path>) -> Path {
    folder.cloned().unwrap_or_default().join("dqa-looks")
}

impl fmt::Display for FailFastStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.patient.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for FailFastStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = self.client(location).await?.put_opts(location, payload, options);
        put.await.map_err(|error| self.explain(error))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.client(location).await?.put_multipart_opts(location, options).await;
        let upload = upload.map_err(|error| self.explain(error))?;
        Ok(Box::new(ExplainedUpload { upload, store: self.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let got = self.client(location).await?.get_opts(location, options).await;
        let mut got = got.map_err(|error| self.explain(error))?;
        if let GetResultPayload::Stream(stream) = got.payload {
            let store = self.clone();
            got.payload = GetResultPayload::Stream(stream.map_err(move |error| store.explain(error)).boxed());
        }
        Ok(got)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let got = self.client(location).await?.get_ranges(location, ranges);
        got.await.map_err(|error| self.explain(error))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.stream(None, move |store| store.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let folder = prefix.cloned();
        self.stream(prefix, move |store| store.list(folder.as_ref()))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let (folder, offset) = (prefix.cloned(), offset.clone());
        self.stream(prefix, move |store| store.list_with_offset(folder.as_ref(), &offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let listed = self.client(&probe_path(prefix)).await?.list_with_delimiter(prefix);
        listed.await.map_err(|error| self.explain(error))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copied = self.client(from).await?.copy_opts(from, to, options);
        copied.await.map_err(|error| self.explain(error))
    }
}

/// A multipart upload whose errors are explained.
#[derive(Debug)]
struct ExplainedUpload {
    upload: Box<dyn MultipartUpload>,
    store: FailFastStore,
}

#[async_trait]
impl MultipartUpload for ExplainedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let store = self.store.clone();
        self.upload.put_part(data).map_err(move |error| store.explain(error)).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.upload.complete().await.map_err(|error| self.store.explain(error))
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await.map_err(|error| self.store.explain(error))
    }
}
