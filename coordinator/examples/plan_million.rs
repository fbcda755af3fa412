//! Times the planning of a million pictures: 20 algorithms, 50,000 scenes, a synthetic listing, sizes from the index.
//! `cargo run --release -p dqa-coordinator --example plan_million [PICTURES]`; docs/reference/benchmarks.md has the figures.

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use dqa_coordinator::run::{PlanSettings, RunPlan, measure};
use dqa_model::Views;
use dqa_pipelines::dataset::{Definition, LoadPolicy, load_from_store};
use dqa_pipelines::metric::MetricSpec;
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_pipelines::plan::SHARD_WINDOWS_MAX;
use dqa_pipelines::store::Store;
use dqa_pipelines::{dataset::PictureHeader, header_index::HeaderIndex};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

const ALGORITHMS: u64 = 20;

/// A store that lists pictures that do not exist.
#[derive(Debug)]
struct Listing {
    pictures: u64,
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} made-up pictures", self.pictures)
    }
}

fn only_listed<T>() -> Result<T> {
    Err(Error::NotImplemented { operation: "anything but list".to_owned(), implementer: "Listing".to_owned() })
}

#[async_trait]
impl ObjectStore for Listing {
    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let objects = (0..self.pictures).map(|i| {
            let (algorithm, scene) = (i % ALGORITHMS, i / ALGORITHMS);
            Ok(ObjectMeta {
                location: Path::from(format!("algorithm-{algorithm:02}/scene_{scene:06}.png")),
                last_modified: Default::default(),
                size: 400_000 + scene % 1000,
                e_tag: Some(format!("\"{:032x}\"", u128::from(i) * 0x9e37_79b9_7f4a_7c15)),
                version: None,
            })
        });
        futures::stream::iter(objects).boxed()
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        only_listed()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        only_listed()
    }

    async fn get_opts(&self, _: &Path, _: GetOptions) -> Result<GetResult> {
        only_listed()
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        futures::stream::iter([only_listed()]).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        only_listed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        only_listed()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pictures = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let folder = std::env::temp_dir().join(format!("dqa-plan-{}", std::process::id()));
    let store = Store::create(&folder.display().to_string(), FilePath::new(""))?;
    let root = Store::from_object_store(Arc::new(Listing { pictures }), "s3://bucket/million/".parse()?);
    let mut definition = Definition::new("million".parse()?, root.url().to_string());
    definition.layout = vec!["{algorithm}/{scene}.png".to_owned()];

    // The index of headers that an earlier plan wrote.
    let dataset = load_from_store(root.clone(), &definition, &LoadPolicy::default()).await?;
    let mut index = HeaderIndex::default();
    for (number, picture) in (0u32..).zip(&dataset.pictures) {
        let side = |range: u32| 480 + number % range;
        index.insert(picture, PictureHeader::Size { width: side(700), height: side(500) });
    }
    index.write(&store, &dataset.name).await?;
    drop((dataset, index));

    let start = Instant::now();
    let step = |what: &str, since: Instant| println!("{what:28} {:>7.2} s", since.elapsed().as_secs_f64());
    let since = Instant::now();
    let dataset = load_from_store(root, &definition, &LoadPolicy::default()).await?;
    step("list and match names", since);
    let since = Instant::now();
    let index = HeaderIndex::read(&store, &dataset.name).await?;
    step("read the index of headers", since);
    let since = Instant::now();
    let measured = measure(dataset, &index, &Views::default(), PictureLimits::default());
    step("count windows", since);
    let since = Instant::now();
    let settings = PlanSettings {
        metrics: vec![MetricSpec::clip_dqa(&"ab".repeat(32))],
        limits: PictureLimits::default(),
        parameters: None,
        shard_windows_max: SHARD_WINDOWS_MAX,
    };
    let plan = RunPlan::new(vec![measured], settings);
    step("cut and name shards", since);
    step("all", start);
    let counts = plan.counts();
    println!("{} pictures, {} windows, {} shards", counts.pictures, counts.windows, plan.shards.len());
    println!("peak memory {} MB", peak_bytes().unwrap_or(0) >> 20);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// Returns the process's largest resident set size, which only Linux reports.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}
