//! A store that is asked by an impatient client until it has answered once, and by a patient one from then on; and that says
//! what its errors mean.

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

use super::super::fault::{StoreFault, StoreFaultKind};
use super::Clients;
use super::explain::Facts;

/// All tries of the first contact together: connections that are taken and never answered would otherwise take 30 s each.
const CONTACT_MAX: Duration = Duration::from_secs(20);

/// The store.
#[derive(Clone, Debug)]
pub(super) struct Contact(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    patient: Arc<dyn ObjectStore>,
    quick: Arc<dyn ObjectStore>,
    facts: Facts,
    has_answered: AtomicBool,
}

impl Contact {
    pub(super) fn new(clients: Clients) -> Contact {
        let Clients { patient, quick, facts } = clients;
        Contact(Arc::new(Inner { patient, quick, facts, has_answered: AtomicBool::new(false) }))
    }

    fn explain(&self, error: Error) -> Error {
        self.0.facts.explain(error)
    }

    /// The patient client, once the store is known to answer: a read of one byte shows it, whether or not there is one.
    async fn client(&self, path: &Path) -> Result<&Arc<dyn ObjectStore>> {
        if self.0.has_answered.load(Relaxed) {
            return Ok(&self.0.patient);
        }
        let options = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
        let asked = self.0.quick.get_opts(path, options);
        let Ok(answer) = tokio::time::timeout(CONTACT_MAX, asked).await else {
            let (server, seconds) = (&self.0.facts.server, CONTACT_MAX.as_secs());
            let message = format!("{server} takes connections and does not answer within {seconds} s");
            let mut fault = StoreFault::new(StoreFaultKind::Unanswered, message);
            if let Some(variable) = &self.0.facts.server_variable {
                fault = fault.hint_at(format!("{variable} says where the store is"));
            }
            return Err(fault.into_store_error());
        };
        if let Err(error) = answer {
            let error = self.explain(error);
            // What is not allowed of this object may be of others.
            let stays =
                |fault: &StoreFault| !matches!(fault.kind(), StoreFaultKind::Denied | StoreFaultKind::Unsupported);
            if StoreFault::of(&error).is_some_and(stays) {
                return Err(error);
            }
        }
        self.0.has_answered.store(true, Relaxed);
        Ok(&self.0.patient)
    }

    /// The patient client's stream, once the store is known to answer.
    fn stream<T: Send + 'static>(
        &self,
        prefix: Option<&Path>,
        start: impl FnOnce(&Arc<dyn ObjectStore>) -> BoxStream<'static, Result<T>> + Send + 'static,
    ) -> BoxStream<'static, Result<T>> {
        let (store, explaining) = (self.clone(), self.clone());
        let prefix = within(prefix);
        async move { store.client(&prefix).await.map(start) }
            .try_flatten_stream()
            .map_err(move |error| explaining.explain(error))
            .boxed()
    }
}

/// A name in a folder: servers over a file system fail when the folder itself is read.
fn within(folder: Option<&Path>) -> Path {
    folder.cloned().unwrap_or_default().join("dqa-looks")
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.patient.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Contact {
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
        Ok(Box::new(Upload { upload, store: self.clone() }))
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
        let listed = self.client(&within(prefix)).await?.list_with_delimiter(prefix);
        listed.await.map_err(|error| self.explain(error))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copied = self.client(from).await?.copy_opts(from, to, options);
        copied.await.map_err(|error| self.explain(error))
    }
}

/// An object on its way, whose errors are explained.
#[derive(Debug)]
struct Upload {
    upload: Box<dyn MultipartUpload>,
    store: Contact,
}

#[async_trait]
impl MultipartUpload for Upload {
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
