//! What is fuzzed. Each target takes bytes from outside to a value or an error, and must neither panic nor take much more
//! memory than its limits. `tests/tests/fuzz_corpora.rs` runs all of them over the kept corpora.

use std::path::Path;
use std::sync::Arc;

use dqa_coordinator::run::Roots;
use dqa_engine::decode::{self, FileParts, Format, Limits, PictureError};
use dqa_model::{ClipConfig, ClipWeights, Prompts};
use dqa_pipelines::dataset::{self, Definition, Layout, LoadPolicy};
use dqa_pipelines::plan::Shard;
use dqa_pipelines::run::{RunRecord, StoredRuns};
use dqa_pipelines::store::Store;
use dqa_pipelines::{parts, store_check};
use dqa_query::{Selection, SqlError};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use tokio::runtime::Runtime;

/// A target and its name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 13] = [
    ("definition", definition),
    ("labels", labels),
    ("manifest", manifest),
    ("tar", tar),
    ("picture", picture),
    ("header", header),
    ("prompts", prompts),
    ("weights", weights),
    ("sql", sql),
    ("part", part),
    ("record", record),
    ("shard", shard),
    ("root", root),
];

/// Limits of pictures: a fuzzer finds nothing more in large ones.
const LIMITS: Limits = Limits { pixels_max: 1 << 20, side_max: 1 << 12, bytes_max: 1 << 20, side_min: 1 };

/// Known bytes at the beginning of a file whose header is read in pieces, and the length of a piece.
const PIECE_BYTES: usize = 256;

/// The configuration that prompts are checked against.
const CONFIG: &str = include_str!("../../../configs/models/small/config.json");

/// The definition of a data set, and a layout with a key that it reads.
pub fn definition(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(definition) = Definition::from_toml(text) {
        let written = definition.to_toml();
        assert_eq!(Definition::from_toml(&written).expect("what is written can be read").to_toml(), written);
    }
    if let Some((layout, key)) = text.split_once('\n')
        && let Ok(layout) = Layout::new(layout, "d")
    {
        layout.read(key);
    }
}

/// A table of labels beside a picture: the first byte says which extension it has.
pub fn labels(bytes: &[u8]) {
    let Some((kind, table)) = bytes.split_first() else { return };
    let file = ["mos.csv", "mos.tsv", "mos.xlsx", "mos.parquet", "mos.mat"][usize::from(*kind) % 5];
    let definition = format!("layout = \"{{algorithm}}/{{scene}}.png\"\n[labels]\nfile = \"{file}\"\n");
    load(&definition, &[("a/1.png", b"x"), ("a/2.png", b"x"), (file, table)]);
}

/// A manifest: the first byte says which extension it has.
pub fn manifest(bytes: &[u8]) {
    let Some((kind, table)) = bytes.split_first() else { return };
    let file = ["all.csv", "all.parquet", "all.mat"][usize::from(*kind) % 3];
    load(&format!("manifest = \"{file}\"\n"), &[("a/1.png", b"x"), (file, table)]);
}

/// A tar of pictures. Each member lies within it, and no two share a byte.
pub fn tar(bytes: &[u8]) {
    let layout = "layout = \"{algorithm}.tar/{scene}.png\"\n";
    let Some(dataset) = load(layout, &[("a.tar", bytes)]) else { return };
    let mut ranges: Vec<(u64, u64)> = dataset.pictures.iter().map(|picture| range(picture.uri.as_deref())).collect();
    ranges.sort_unstable();
    assert!(ranges.iter().all(|(offset, length)| offset + length <= bytes.len() as u64), "{ranges:?}");
    assert!(ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{ranges:?}");
}

/// Returns offset and length in the address of a tar's member.
fn range(uri: Option<&str>) -> (u64, u64) {
    let (_, fragment) = uri.and_then(|uri| uri.split_once('#')).expect("a member has an address");
    let value = |name: &str| {
        let pair = fragment.split('&').find_map(|pair| pair.strip_prefix(name)).expect("a member has a range");
        pair.parse().expect("it is a number")
    };
    (value("offset="), value("bytes="))
}

/// A picture. What is decoded has the size that its header promised, and no decoder panics.
pub fn picture(bytes: &[u8]) {
    let header = decode::probe(bytes, &LIMITS);
    match decode::decode(bytes, &LIMITS) {
        Ok(picture) => {
            let header = header.expect("what is decoded has a header");
            assert_eq!((picture.width(), picture.height()), (header.width, header.height));
        }
        Err(PictureError::Internal { message, .. }) => panic!("{message}"),
        Err(_) => {}
    }
}

/// A picture's header, which is the same when it is read in pieces.
pub fn header(bytes: &[u8]) {
    let Ok(whole) = decode::probe(bytes, &LIMITS) else { return };
    // The header of a PNM is in its first bytes, and comments can make it long.
    if whole.format == Format::Pnm {
        return;
    }
    let mut file = FileParts::beginning(bytes[..bytes.len().min(PIECE_BYTES)].to_vec(), bytes.len() as u64);
    for _ in 0..=bytes.len() {
        match decode::probe_parts(&file, &LIMITS) {
            Ok(header) => {
                assert_eq!(header, whole);
                return;
            }
            Err(error) => {
                let missing =
                    file.take_missing().unwrap_or_else(|| panic!("{error} in pieces, and {whole:?} as a whole"));
                let start = missing.start as usize;
                let end = (missing.end as usize).max(start + PIECE_BYTES).min(bytes.len());
                file.add(missing.start, bytes[start..end].to_vec());
            }
        }
    }
    panic!("a header needs more pieces than the file has bytes");
}

/// A file of learned prompts: safetensors, or a checkpoint of PyTorch.
pub fn prompts(bytes: &[u8]) {
    let config = ClipConfig::parse(CONFIG, Path::new("config.json")).expect("it is the small model's");
    let file = tempfile::NamedTempFile::new().expect("there is a folder for temporary files");
    std::fs::write(file.path(), bytes).expect("it can be written");
    let _ = Prompts::open(file.path(), &config);
}

/// A model's weights: its configuration up to the first zero byte, and the file of its tensors.
pub fn weights(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (config, file) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if let Ok(config) = std::str::from_utf8(config) {
        let _ = ClipWeights::parse(config, file, Path::new("model"));
    }
}

/// A query, to its plan over a store without runs. A panic of the planner would end no coordinator, but is a fault.
pub fn sql(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    runtime().block_on(async {
        let store = Store::from_object_store(Arc::new(InMemory::new()), "memory:///".parse().expect("it is a URL"));
        let session = dqa_query::open_session(&store, &Selection::All).await.expect("an empty store can be queried");
        let planned = dqa_query::plan_bounded(&session, text, false).await;
        assert!(!matches!(planned, Err(SqlError::PlanningPanic)), "{text}");
    });
}

/// A part: its key up to the first line's end, and its file. If it passes for whole, it has the rows that its footer counts.
pub fn part(bytes: &[u8]) {
    let mut pieces = bytes.splitn(2, |byte| *byte == b'\n');
    let (key, file) = (pieces.next().unwrap_or_default(), pieces.next().unwrap_or_default());
    let Ok(key) = std::str::from_utf8(key) else { return };
    let Some(store) = store_of(&[(key, file)]) else { return };
    runtime().block_on(async {
        let _ = parts::read_rows(&store, key).await;
        if let Ok(part) = parts::read_part(&store, key).await {
            assert_eq!(part.rows.len() as u64, part.counts.rows);
        }
    });
}

/// A run's record. Whatever it says, the store can be listed and checked; what can be read is written as it was.
pub fn record(bytes: &[u8]) {
    let store = store_of(&[("runs/r/run.json", bytes)]).expect("the key is valid");
    runtime().block_on(async {
        let runs = StoredRuns::read(&store).await.expect("a damaged record is no error of the store");
        store_check::check(&store).await.expect("a damaged record is no error of the store");
        for record in runs.records {
            record.write(&store).await.expect("memory takes what it is given");
            let again = RunRecord::find(&store, &record.name).await.expect("what is written can be read");
            assert_eq!(again.as_ref(), Some(&record));
        }
    });
}

/// A shard as a coordinator sends it to a worker.
pub fn shard(bytes: &[u8]) {
    if let Ok(shard) = serde_json::from_slice::<Shard>(bytes) {
        let written = serde_json::to_vec(&shard).expect("a shard has text for keys");
        assert_eq!(serde_json::from_slice::<Shard>(&written).expect("what is written can be read"), shard);
    }
}

/// An address below these roots resolves to something below them.
pub fn root(bytes: &[u8]) {
    const ROOTS: [&str; 3] = ["s3://bucket/data", "/data", "abfss://data@acct.dfs.core.windows.net/sets"];
    let Ok(address) = std::str::from_utf8(bytes) else { return };
    let roots = Roots::new(&ROOTS.map(str::to_owned), false).expect("they are addresses");
    if roots.check(address).is_err() {
        return;
    }
    let Ok(url) = url::Url::parse(address) else {
        let path = Path::new(address);
        assert!(path.starts_with("/data") && !path.components().any(|part| part.as_os_str() == ".."), "{address}");
        return;
    };
    let origin = (url.scheme(), url.username(), url.host_str().unwrap_or_default());
    let folder = match origin {
        ("s3", "", "bucket") | ("file", "", "") => "data",
        ("abfss", "data", "acct.dfs.core.windows.net") => "sets",
        _ => panic!("{address} is allowed, and is in {origin:?}"),
    };
    // What stores make of the path, unless they refuse it.
    let Ok(path) = object_store::path::Path::from_url_path(url.path()) else { return };
    assert_eq!(path.parts().next().expect("it has folders").as_ref(), folder, "{address}");
    assert!(path.parts().all(|part| part.as_ref() != ".."), "{address}");
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("it needs no more than a thread")
}

/// Loads a data set of these files as a coordinator does.
fn load(definition: &str, files: &[(&str, &[u8])]) -> Option<dataset::DataSet> {
    let definition = format!("name = \"d\"\nroot = \"memory:///\"\n{definition}");
    let definition = Definition::from_toml(&definition).expect("it is a definition");
    let root = store_of(files).expect("the keys are valid");
    runtime().block_on(async {
        let policy = LoadPolicy::restricted(|address| match address.starts_with("memory:///") {
            true => Ok(()),
            false => Err("it is elsewhere".into()),
        });
        dataset::load_from_store(root, &definition, &policy).await.ok()
    })
}

/// Returns a store with these objects. None: a key is invalid.
fn store_of(files: &[(&str, &[u8])]) -> Option<Store> {
    let objects = InMemory::new();
    runtime().block_on(async {
        for (key, bytes) in files {
            let put = objects.put(&object_store::path::Path::parse(key).ok()?, bytes.to_vec().into()).await;
            put.expect("memory takes what it is given");
        }
        Some(())
    })?;
    Some(Store::from_object_store(Arc::new(objects), "memory:///".parse().expect("it is a URL")))
}
