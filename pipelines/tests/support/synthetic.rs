//! Writes a run of synthetic scores for tests and benchmarks of reports: labels with many ties, scores that correlate
//! with them, some failed and some unlabelled pictures.

use dqa_pipelines::names::{AlgorithmName, DatasetName};
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_pipelines::run::{DatasetSpec, PartRef, RunCounts, RunRecord, RunSpec, RunState};
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::parquet_file;
use dqa_pipelines::tables::scores::{PartColumns, ScoreRow, ScoreStatistics, ScoringFailure, part_key, to_batch};
use futures::{StreamExt, TryStreamExt};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The size of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Number of data sets, named `set0`, `set1`, ...
    pub(crate) datasets: usize,
    /// Number of algorithms, named `algo00`, `algo01`, ... Each has a picture of each scene.
    pub(crate) algorithms: usize,
    /// Number of scenes of each data set.
    pub(crate) scenes: usize,
    /// Maximum rows of a part.
    pub(crate) part_rows_max: usize,
    /// Whether pictures have labels.
    pub(crate) labelled: bool,
}

/// The model's fingerprint in every synthetic run.
pub(crate) const FINGERPRINT: &str = "5e2a5e2a5e2a5e2a5e2a5e2a5e2a5e2a5e2a5e2a5e2a5e2a5e2a5e2a5e2a5e2a";

/// Writes the parts and the record of a run.
pub(crate) async fn write(store: &Store, name: &str, shape: Shape) -> RunRecord {
    let cell = |dataset| (0..shape.algorithms).map(move |algorithm| (dataset, algorithm));
    let cells = (0..shape.datasets).flat_map(cell).flat_map(|(dataset, algorithm)| {
        let starts = (0..shape.scenes).step_by(shape.part_rows_max);
        starts.map(move |start| (dataset, algorithm, start))
    });
    let part = |(dataset, algorithm, start): (usize, usize, usize)| async move {
        let rows = start..(start + shape.part_rows_max).min(shape.scenes);
        let encoded = tokio::task::spawn_blocking(move || {
            let rows: Vec<ScoreRow> = rows.map(|scene| row(dataset, algorithm, scene, shape.labelled)).collect();
            encode(dataset, algorithm, start, &rows)
        });
        let (part, bytes, failed) = encoded.await.unwrap();
        store.put(&part.key, bytes).await.map(|()| (part, failed))
    };
    let parts: Vec<(PartRef, u64)> = futures::stream::iter(cells.map(part)).buffered(4).try_collect().await.unwrap();
    let record = record(name, shape, parts);
    record.write(store).await.unwrap();
    record
}

fn dataset_name(dataset: usize) -> DatasetName {
    format!("set{dataset}").parse().unwrap()
}

fn algorithm_name(algorithm: usize) -> AlgorithmName {
    format!("algo{algorithm:02}").parse().unwrap()
}

fn record(name: &str, shape: Shape, parts: Vec<(PartRef, u64)>) -> RunRecord {
    let failed = parts.iter().map(|(_, failed)| failed).sum();
    let parts: Vec<PartRef> = parts.into_iter().map(|(part, _)| part).collect();
    let pictures = parts.iter().map(|part| part.rows).sum();
    let dataset = |dataset| DatasetSpec {
        name: dataset_name(dataset),
        root: format!("file:///synthetic/set{dataset}/"),
        algorithms: (0..shape.algorithms).map(algorithm_name).collect(),
        protocol: (dataset == 1).then(|| "exbedde".to_owned()),
        definition: String::new(),
        seen_in_training: None,
        hazy: None,
    };
    RunRecord {
        name: name.parse().unwrap(),
        state: RunState::Complete,
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        updated: "2026-01-01T00:00:00Z".parse().unwrap(),
        spec: RunSpec {
            datasets: (0..shape.datasets).map(dataset).collect(),
            model: "synthetic".to_owned(),
            prompts: None,
            views: "sees=both,window=224,stride=64".to_owned(),
            dtype: "f32".to_owned(),
            device: "cpu".to_owned(),
            shard_windows_max: 1000,
            remark: Some("the scores are made by a formula".to_owned()),
            limits: PictureLimits::default(),
            metrics: Vec::new(),
            metric_parameters: None,
        },
        fingerprint: FINGERPRINT.to_owned(),
        counts: RunCounts { pictures, windows: pictures * 15, scored: pictures - failed, failed },
        counted: None,
        training_counts: None,
        parts_digest: None,
        term: None,
        provenance: [].into(),
        parts,
        request: None,
        failure: None,
        hint: None,
    }
}

/// Returns a part, its bytes and its number of failed rows.
pub(crate) fn encode(
    dataset: usize,
    algorithm: usize,
    number: usize,
    rows: &[ScoreRow],
) -> (PartRef, bytes::Bytes, u64) {
    let part = PartColumns {
        dataset: dataset_name(dataset).to_string(),
        algorithm: algorithm_name(algorithm).to_string(),
        metric: "clip-dqa".to_owned(),
        fingerprint: FINGERPRINT.to_owned(),
        part: format!("synthetic-{number}"),
    };
    let batch = to_batch(&part, rows);
    let bytes = parquet_file::write(&batch.schema(), &[batch], &[]).unwrap();
    let reference = PartRef {
        key: part_key(&part.dataset, &part.algorithm, &part.part),
        dataset: dataset_name(dataset),
        algorithm: algorithm_name(algorithm),
        rows: rows.len() as u64,
        windows: rows.len() as u64 * 15,
        metric: None,
    };
    (reference, bytes, rows.iter().filter(|row| row.score.is_err()).count() as u64)
}

/// Returns the row of an algorithm's picture of a scene. Each three consecutive algorithms have the same quality, so
/// their order is noise.
fn row(dataset: usize, algorithm: usize, scene: usize, labelled: bool) -> ScoreRow {
    let mut scene_rng = ChaCha8Rng::seed_from_u64((dataset as u64) << 32 | scene as u64);
    let mut picture_rng = scene_rng.clone();
    picture_rng.set_stream(algorithm as u64 + 1);
    let hardness: f64 = scene_rng.random_range(-1.0..1.0);
    let quality = (algorithm / 3) as f64 * 0.3 + hardness + picture_rng.random_range(-1.0..1.0);
    let score = 1.0 / (1.0 + (-quality + picture_rng.random_range(-0.8..0.8)).exp());
    // Labels are means of a few votes, so they take few values.
    let mos = (picture_rng.random_range(-0.8..0.8) + quality).mul_add(10.0, 50.0).round();
    let failed = picture_rng.random_bool(0.001);
    let unlabelled = picture_rng.random_bool(0.01);
    let spread = ScoreStatistics { score, std: 0.05, min: score - 0.1, max: score + 0.1 };
    ScoreRow {
        scene: format!("scene_{scene:06}"),
        scene_group: Some(format!("city{}", scene % 10)),
        image: format!("algo{algorithm:02}/scene_{scene:06}.png"),
        uri: format!("file:///synthetic/set{dataset}/algo{algorithm:02}/scene_{scene:06}.png"),
        version: format!("{scene:x}-1"),
        digest: (!failed).then(|| blake3::hash(&picture_rng.random::<[u8; 8]>()).to_string()),
        width: (!failed).then_some(640),
        height: (!failed).then_some(480),
        windows: if failed { 0 } else { 15 },
        score: if failed {
            Err(ScoringFailure { code: "truncated".to_owned(), message: "the file ends too early".to_owned() })
        } else {
            Ok(spread)
        },
        mos: (labelled && !unlabelled).then_some(mos),
        raters: None,
        flat_share: None,
    }
}
