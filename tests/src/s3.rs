//! An S3 server over a folder: `s3s-fs` in this process, which can be stopped and started again on its port. It adds what
//! dqa needs of S3 and `s3s-fs` does not guarantee: conditional puts are decided one at a time, an object's ETag belongs to
//! the content that is read with it, and a listing has ETags. Authentication is SigV4 with one fixed pair of keys.
//!
//! A bucket is a folder in the server's folder; it is created when a request first names it. `s3s-fs` keeps its own files
//! next to the buckets.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::path::S3Path;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, oneshot};

/// The access key that the server accepts.
pub const ACCESS_KEY: &str = "dqa-test";
/// The secret of [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "dqa-test-secret";

// `s3s-fs` keeps the metadata of an object in a file `.bucket-{base64}.object-{base64}.metadata.json`, and the name of a file
// has at most 255 bytes. During a multipart upload the name also contains `.upload-{uuid}`.
const NAMES_BYTES_MAX: usize = 166;
const NAMES_BYTES_MAX_IN_PARTS: usize = 134;

/// How the server handles a put with a condition: that the object does not exist (`If-None-Match: *`), or that it is the one
/// that was read (`If-Match`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConditionalPuts {
    /// A put fails if its condition does not hold: the second of two puts, because the object exists.
    #[default]
    Supported,
    /// The second put overwrites the object, as older MinIO, Ceph and SeaweedFS do.
    Ignored,
    /// Every conditional put fails with `NotImplemented`, as at AWS before 2024.
    Refused,
}

/// The server. It stops when it is dropped.
pub struct S3Server {
    folder: PathBuf,
    address: SocketAddr,
    conditional: ConditionalPuts,
    is_open: bool,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl S3Server {
    /// Starts a server of `folder` on a free port of 127.0.0.1.
    pub fn start(folder: &Path) -> S3Server {
        S3Server::listen(folder, SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port of 127.0.0.1")
    }

    /// Starts a server of `folder` that handles conditional puts as given.
    pub fn start_with(folder: &Path, conditional: ConditionalPuts) -> S3Server {
        S3Server::start_configured(folder, conditional, false)
    }

    /// Starts a server of `folder` that accepts unsigned requests.
    pub fn start_unsigned(folder: &Path) -> S3Server {
        S3Server::start_configured(folder, ConditionalPuts::Supported, true)
    }

    fn start_configured(folder: &Path, conditional: ConditionalPuts, is_open: bool) -> S3Server {
        std::fs::create_dir_all(folder).expect("the folder can be made");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = S3Server { folder: folder.to_owned(), address, conditional, is_open, running: None };
        server.restart().expect("a free port of 127.0.0.1");
        server
    }

    /// Starts a server of `folder` on `address`. The folder is created if it is missing.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be created or the address is in use.
    pub fn listen(folder: &Path, address: SocketAddr) -> io::Result<S3Server> {
        std::fs::create_dir_all(folder)?;
        let conditional = ConditionalPuts::Supported;
        let mut server = S3Server { folder: folder.to_owned(), address, conditional, is_open: false, running: None };
        server.restart()?;
        Ok(server)
    }

    /// Starts the server again on its previous port. Does nothing if it runs.
    ///
    /// # Errors
    /// Returns an error if another program uses the port.
    pub fn restart(&mut self) -> io::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let listener = std::net::TcpListener::bind(self.address)?;
        self.address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let lock = Lock::default();
        let service = service(&self.folder, lock.clone(), self.conditional, self.is_open)?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("s3".into()).spawn(move || {
            // Changes that have begun end before the connections are closed; no change begins afterwards.
            let changes = runtime.block_on(serve(listener, service, stopped, lock));
            drop(runtime);
            drop(changes);
        })?;
        self.running = Some(Running { stop, thread });
        Ok(())
    }

    /// Closes the listener and all connections, so that clients are refused. Changes in progress are completed without an
    /// answer, as when a server dies between the change and its answer.
    pub fn stop(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            drop(stop);
            thread.join().expect("the server does not panic");
        }
    }

    /// Returns the address on which the server listens, or listened before it was stopped.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the environment variables that point clients to the server and sign their requests.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_ENDPOINT", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn service(folder: &Path, lock: Lock, conditional: ConditionalPuts, is_open: bool) -> io::Result<S3Service> {
    let files = FileSystem::new(folder).map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut builder = S3ServiceBuilder::new(Objects { files: Arc::new(files), lock, conditional });
    if !is_open {
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    }
    builder.set_access(Access { folder: folder.to_owned(), is_open });
    Ok(builder.build())
}

/// Serves until the sender of `stopped` is dropped. The returned guard blocks changes.
async fn serve(
    listener: std::net::TcpListener,
    service: S3Service,
    mut stopped: oneshot::Receiver<()>,
    lock: Lock,
) -> OwnedRwLockWriteGuard<()> {
    let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(_) => continue, // the client disconnected before its connection was accepted
            },
            _ = &mut stopped => break,
        };
        let service = service.clone();
        tokio::spawn(async move {
            // The client notices a broken connection.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
        });
    }
    drop(listener);
    lock.write_owned().await
}

/// Checks that requests are signed, and creates the bucket that a request names.
struct Access {
    folder: PathBuf,
    is_open: bool,
}

#[async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() && !self.is_open {
            return Err(s3_error!(AccessDenied, "the request is not signed"));
        }
        let (bucket, key) = match context.s3_path() {
            S3Path::Root => return Ok(()),
            S3Path::Bucket { bucket } => (bucket, ""),
            S3Path::Object { bucket, key } => (bucket, key.as_ref()),
        };
        let in_parts = context.s3_op().name() == "CreateMultipartUpload";
        let max = if in_parts { NAMES_BYTES_MAX_IN_PARTS } else { NAMES_BYTES_MAX };
        if bucket.len() + key.len() > max {
            return Err(s3_error!(KeyTooLongError, "this server takes {max} bytes of bucket and key"));
        }
        // s3s has checked that the name of a bucket has no slash and no leading dot.
        std::fs::create_dir_all(self.folder.join(bucket.as_ref()))
            .map_err(|error| s3_error!(InternalError, "cannot make the bucket: {error}"))
    }
}

/// Held exclusively to change an object, shared to read one.
type Lock = Arc<RwLock<()>>;

/// `s3s-fs` under a lock. It needs one because it writes an object and its ETag as two files, and checks whether an object
/// exists before it has read the new body.
struct Objects {
    files: Arc<FileSystem>,
    lock: Lock,
    conditional: ConditionalPuts,
}

impl Objects {
    /// Completes a change even if the client disconnects.
    async fn change<T, F>(&self, change: impl FnOnce(Arc<FileSystem>) -> F) -> S3Result<T>
    where
        T: Send + 'static,
        F: Future<Output = S3Result<T>> + Send + 'static,
    {
        let changes = self.lock.clone().write_owned().await;
        let change = change(self.files.clone());
        let made = tokio::spawn(async move {
            let _changes = changes;
            change.await
        });
        made.await.map_err(|error| s3_error!(InternalError, "{error}"))?
    }
}

/// Reads the whole body before the lock is taken, so that a slow client does not block others.
async fn buffered(body: Option<StreamingBlob>) -> S3Result<Option<StreamingBlob>> {
    let Some(body) = body else { return Ok(None) };
    let mut body = Body::from(body);
    let bytes = body.store_all_limited(usize::MAX).await.map_err(|error| s3_error!(IncompleteBody, "{error}"))?;
    Ok(Some(StreamingBlob::from(Body::from(bytes))))
}

#[async_trait]
impl S3 for Objects {
    async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        request.input.body = buffered(request.input.body.take()).await?;
        if request.input.if_none_match.is_some() || request.input.if_match.is_some() {
            match self.conditional {
                ConditionalPuts::Supported => {}
                ConditionalPuts::Ignored => (request.input.if_none_match, request.input.if_match) = (None, None),
                ConditionalPuts::Refused => return Err(s3_error!(NotImplemented, "no conditional puts here")),
            }
        }
        self.change(|files| async move { files.put_object(request).await }).await
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        self.change(|files| async move { files.copy_object(request).await }).await
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.change(|files| async move { files.delete_object(request).await }).await
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.change(|files| async move { files.delete_objects(request).await }).await
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let _reads = self.lock.read().await;
        self.files.get_object(request).await
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let _reads = self.lock.read().await;
        self.files.head_object(request).await
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let _reads = self.lock.read().await;
        let bucket = request.input.bucket.clone();
        let mut found = self.files.list_objects_v2(request).await?;
        for object in found.output.contents.iter_mut().flatten() {
            let head = HeadObjectInput {
                bucket: bucket.clone(),
                key: object.key.clone().unwrap_or_default(),
                ..HeadObjectInput::default()
            };
            object.e_tag = self.files.head_object(without_client(head)).await?.output.e_tag;
        }
        Ok(found)
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.files.create_multipart_upload(request).await
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.files.upload_part(request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.change(|files| async move { files.complete_multipart_upload(request).await }).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.files.abort_multipart_upload(request).await
    }
}

/// Wraps the input of a request that the server makes to itself.
fn without_client<T>(input: T) -> S3Request<T> {
    S3Request {
        input,
        method: http::Method::GET,
        uri: http::Uri::default(),
        headers: http::HeaderMap::new(),
        extensions: http::Extensions::new(),
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures::TryStreamExt;
    use object_store::aws::{AmazonS3, AmazonS3Builder};
    use object_store::path::Path;
    use object_store::{
        Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig, UpdateVersion,
        WriteMultipart,
    };

    use super::*;

    fn started() -> (tempfile::TempDir, S3Server) {
        let folder = tempfile::tempdir().unwrap();
        let server = S3Server::start(folder.path());
        (folder, server)
    }

    fn builder(server: &S3Server) -> AmazonS3Builder {
        let builder = AmazonS3Builder::new().with_bucket_name("bucket");
        let env = server.env();
        env.iter().fold(builder, |builder, (name, value)| {
            builder.with_config(name.to_ascii_lowercase().parse().unwrap(), value)
        })
    }

    fn client(server: &S3Server) -> Arc<AmazonS3> {
        Arc::new(builder(server).build().unwrap())
    }

    fn text(text: &'static str) -> PutPayload {
        PutPayload::from_static(text.as_bytes())
    }

    async fn read(client: &AmazonS3, key: &Path) -> Bytes {
        client.get(key).await.unwrap().bytes().await.unwrap()
    }

    #[tokio::test]
    async fn s3_objects_are_written_read_listed_and_removed() {
        let (folder, server) = started();
        let client = client(&server);
        let key = Path::from("scores/by_dataset=haze/a b+c%.parquet");
        client.put(&key, text("0123456789")).await.unwrap();
        assert_eq!(read(&client, &key).await, "0123456789");
        assert_eq!(client.get_range(&key, 3..7).await.unwrap(), "3456");
        assert!(folder.path().join("bucket/scores/by_dataset=haze").is_dir());

        client.put(&Path::from("runs/one/run.json"), text("{}")).await.unwrap();
        let listed: Vec<_> = client.list(Some(&Path::from("scores"))).try_collect().await.unwrap();
        let head = client.head(&key).await.unwrap();
        assert_eq!((listed.len(), &listed[0].location, listed[0].size), (1, &key, 10));
        assert!(head.e_tag.is_some());
        assert_eq!(listed[0].e_tag, head.e_tag);
        let top = client.list_with_delimiter(None).await.unwrap();
        assert_eq!(top.common_prefixes, [Path::from("runs"), Path::from("scores")]);

        client.delete(&key).await.unwrap();
        assert!(matches!(client.get(&key).await, Err(Error::NotFound { .. })));
        assert!(matches!(client.head(&key).await, Err(Error::NotFound { .. })));
        let left: Vec<_> = client.list(None).try_collect().await.unwrap();
        assert_eq!(left.len(), 1);
    }

    #[tokio::test]
    async fn s3_pages_of_a_listing_are_joined() {
        let (folder, server) = started();
        std::fs::create_dir_all(folder.path().join("bucket/many")).unwrap();
        for number in 0..1_050 {
            std::fs::write(folder.path().join(format!("bucket/many/{number}")), "a file that no client has put")
                .unwrap();
        }
        let listed: Vec<_> = client(&server).list(Some(&Path::from("many"))).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1_050, "a page has at most 1,000");
        assert!(listed.iter().all(|object| object.e_tag.is_some()));
    }

    #[tokio::test]
    async fn s3_parts_of_an_upload_are_joined() {
        let (_folder, server) = started();
        let client = client(&server);
        let key = Path::from("large");
        let content: Vec<u8> = (0..11_u32 << 20).map(|byte| (byte % 251) as u8).collect();
        let upload = client.put_multipart(&key).await.unwrap();
        let mut writer = WriteMultipart::new(upload); // parts of 5 MiB, the least that S3 takes
        writer.write(&content);
        writer.finish().await.unwrap();
        assert_eq!(read(&client, &key).await, content);
    }

    #[tokio::test]
    async fn s3_an_existing_object_is_not_created_again() {
        let (_folder, server) = started();
        let client = client(&server);
        let key = Path::from("lease");
        client.put_opts(&key, text("first"), PutMode::Create.into()).await.unwrap();
        let again = client.put_opts(&key, text("second"), PutMode::Create.into()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        assert_eq!(read(&client, &key).await, "first");
    }

    #[tokio::test]
    async fn s3_a_changed_object_is_not_updated() {
        let (_folder, server) = started();
        let client = client(&server);
        let key = Path::from("lease");
        let first = UpdateVersion::from(client.put(&key, text("first")).await.unwrap());
        client.put_opts(&key, text("second"), PutMode::Update(first.clone()).into()).await.unwrap();
        let late = client.put_opts(&key, text("third"), PutMode::Update(first).into()).await;
        assert!(matches!(late, Err(Error::Precondition { .. })), "{late:?}");
        assert_eq!(read(&client, &key).await, "second");
    }

    #[tokio::test]
    async fn s3_one_of_concurrent_creates_wins() {
        let (_folder, server) = started();
        let client = client(&server);
        for round in 0..20 {
            let key = Path::from(format!("lease-{round}"));
            let racers = (0..16).map(|_| {
                let (client, key) = (client.clone(), key.clone());
                tokio::spawn(async move { client.put_opts(&key, text("mine"), PutMode::Create.into()).await })
            });
            let mut won = 0;
            for racer in racers.collect::<Vec<_>>() {
                match racer.await.unwrap() {
                    Ok(_) => won += 1,
                    Err(Error::AlreadyExists { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(won, 1);
        }
    }

    #[tokio::test]
    async fn s3_no_concurrent_update_is_lost() {
        let (_folder, server) = started();
        let key = Path::from("count");
        client(&server).put(&key, text("0")).await.unwrap();
        let adders = (0..8).map(|_| {
            let (client, key) = (client(&server), key.clone());
            tokio::spawn(async move {
                loop {
                    let got = client.get(&key).await.unwrap();
                    let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: None };
                    let count: u32 = std::str::from_utf8(&got.bytes().await.unwrap()).unwrap().parse().unwrap();
                    let next = PutPayload::from((count + 1).to_string());
                    match client.put_opts(&key, next, PutMode::Update(version).into()).await {
                        Ok(_) => return,
                        Err(Error::Precondition { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        });
        for adder in adders.collect::<Vec<_>>() {
            adder.await.unwrap();
        }
        assert_eq!(read(&client(&server), &key).await, "8");
    }

    #[tokio::test]
    async fn s3_wrong_keys_are_refused() {
        let (_folder, server) = started();
        let other = builder(&server).with_secret_access_key("another").build().unwrap();
        let refused = other.put(&Path::from("object"), text("")).await;
        assert!(matches!(refused, Err(Error::PermissionDenied { .. })), "{refused:?}");
        let anonymous = builder(&server).with_skip_signature(true).build().unwrap();
        let refused = anonymous.put(&Path::from("object"), text("")).await;
        assert!(matches!(refused, Err(Error::PermissionDenied { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn s3_a_name_that_is_too_long_is_refused() {
        let (_folder, server) = started();
        let client = client(&server);
        let name = |bytes: usize| Path::from("k".repeat(bytes - "bucket".len()));
        client.put(&name(NAMES_BYTES_MAX), text("")).await.unwrap();
        let refused = client.put(&name(NAMES_BYTES_MAX + 1), text("")).await.unwrap_err();
        assert!(refused.to_string().contains("KeyTooLong"), "{refused}");

        let mut upload = client.put_multipart(&name(NAMES_BYTES_MAX_IN_PARTS)).await.unwrap();
        upload.put_part(text("part")).await.unwrap();
        upload.complete().await.unwrap();
        let refused = client.put_multipart(&name(NAMES_BYTES_MAX_IN_PARTS + 1)).await.unwrap_err();
        assert!(refused.to_string().contains("KeyTooLong"), "{refused}");
    }

    #[tokio::test]
    async fn s3_clients_recover_after_a_restart() {
        let (_folder, mut server) = started();
        let client = client(&server);
        let key = Path::from("object");
        client.put(&key, text("kept")).await.unwrap();
        server.stop();

        let never = RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() };
        let impatient = builder(&server).with_retry(never).build().unwrap();
        impatient.get(&key).await.expect_err("nothing listens");

        // Its connection is closed and its first attempts are refused. It signals `started` before the server is started.
        let (started, going) = oneshot::channel();
        let patient = tokio::spawn({
            let key = key.clone();
            async move {
                started.send(()).unwrap();
                read(&client, &key).await
            }
        });
        going.await.unwrap();
        server.restart().unwrap();
        assert_eq!(patient.await.unwrap(), "kept");
        impatient.get(&key).await.expect("its port is the same");
    }
}
