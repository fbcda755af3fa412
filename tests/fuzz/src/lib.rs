//! What is fuzzed. Each target takes bytes from outside to a value or an error, and must neither panic nor take much more
//! memory than its limits. `tests/tests/fuzz_corpora.rs` runs all of them over the kept corpora.

use std::path::Path;
use std::sync::Arc;

use dqa_engine::decode::{self, FileParts, Format, Limits, PictureError};
use dqa_model::{ClipConfig, ClipWeights, Prompts};
use dqa_pipelines::dataset::{self, Definition, Layout, LoadPolicy};
use dqa_pipelines::store::Store;
use dqa_query::{Selection, SqlError};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use tokio::runtime::Runtime;

/// A target and its name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 9] = [
    ("definition", definition),
    ("labels", labels),
    ("manifest", manifest),
    ("tar", tar),
    ("picture", picture),
    ("header", header),
    ("prompts", prompts),
    ("weights", weights),
    ("sql", sql),
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

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("it needs no more than a thread")
}

/// Loads a data set of these files as a coordinator does.
fn load(definition: &str, files: &[(&str, &[u8])]) -> Option<dataset::DataSet> {
    let definition = format!("name = \"d\"\nroot = \"memory:///\"\n{definition}");
    let definition = Definition::from_toml(&definition).expect("it is a definition");
    runtime().block_on(async {
        let objects = InMemory::new();
        for (key, bytes) in files {
            let put = objects.put(&(*key).into(), bytes.to_vec().into()).await;
            put.expect("memory takes what it is given");
        }
        let root = Store::from_object_store(Arc::new(objects), "memory:///".parse().expect("it is a URL"));
        let policy = LoadPolicy::restricted(|address| match address.starts_with("memory:///") {
            true => Ok(()),
            false => Err("it is elsewhere".into()),
        });
        dataset::load_from_store(root, &definition, &policy).await.ok()
    })
}
