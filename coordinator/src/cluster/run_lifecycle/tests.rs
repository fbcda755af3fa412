//! A run ends for its watchers whatever happens to its thread.

use std::fmt;
use std::time::Duration;

use dqa_pipelines::store::Store;
use dqa_service::cluster::ShuffleClient;
use dqa_service::net::Tls;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use serde_json::json;

use super::super::control_plane::ControlPlaneSettings;
use super::super::run_spawner::thread_per_run;
use super::super::scheduler::Policy;
use super::super::shard_transport::Transport;
use super::*;

/// Far longer than a run takes to fail.
const END_MAX: Duration = Duration::from_secs(60);

/// A store in memory that panics when the index of a data set is read.
#[derive(Debug, Default)]
struct PanickingStore(InMemory);

impl fmt::Display for PanickingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store that panics")
    }
}

#[tonic::async_trait]
impl ObjectStore for PanickingStore {
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        assert!(!path.as_ref().starts_with("index/"), "an injected panic");
        self.0.get_opts(path, options).await
    }

    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, folder: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(folder)
    }

    async fn list_with_delimiter(&self, folder: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(folder).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

/// Returns the record of a run of one data set that was just submitted.
fn submitted(root: &str) -> RunRecord {
    let definition = format!("name = \"d\"\nroot = \"{root}\"\nlayout = \"{{algorithm}}/{{scene}}.png\"\n");
    let record = json!({
        "name": "r",
        "state": "planning",
        "created": "2026-01-01T00:00:00Z",
        "updated": "2026-01-01T00:00:00Z",
        "spec": {
            "datasets": [{
                "name": "d", "root": root, "algorithms": [], "protocol": null, "definition": definition,
            }],
            "model": "dqa:small", "prompts": null, "views": "", "dtype": "f32", "device": "cpu",
            "shard_windows_max": 2048, "remark": null,
        },
        "fingerprint": "0".repeat(64),
        "counts": { "pictures": 0, "windows": 0, "scored": 0, "failed": 0 },
        "provenance": {},
        "parts": [],
        "request": {
            "algorithms": [], "device": "cpu", "priority": 0, "allow_missing": false, "retry_failed": false,
            "replicates": 100, "seed": 1,
        },
    });
    serde_json::from_value(record).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_its_run_and_the_watchers_are_told() {
    let pictures = tempfile::tempdir().unwrap();
    std::fs::create_dir(pictures.path().join("dcp")).unwrap();
    std::fs::write(pictures.path().join("dcp/1.png"), "no picture").unwrap();
    let store = Store::from_object_store(Arc::new(PanickingStore::default()), "memory:///".parse().unwrap());
    let plane = ControlPlane::open(ControlPlaneSettings {
        coordinator_id: "c".to_owned(),
        store: store.clone(),
        roots: Roots::new(&[], true).unwrap(),
        policy: Policy::default(),
        term: 1,
        transport: Transport::Ballista(ShuffleClient::new(Tls::default(), None)),
        run_spawner: thread_per_run(),
    });
    let plane = plane.await.unwrap();
    let run = ActiveRun::new(submitted(pictures.path().to_str().unwrap()), 1);
    let mut changes = run.changes();
    start(&plane, run.clone());
    let ended = async {
        while run.state().is_active() {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(END_MAX, ended).await.expect("whoever watches the run sees its end");
    drop(run.lock_events().await);
    assert!(plane.runs.get(&run.name).is_none(), "no thread works on it any more");
    let record = RunRecord::find(&store, &run.name).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Failed);
    assert!(record.failure.unwrap().contains("an injected panic"));
}
