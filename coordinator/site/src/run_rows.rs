//! All rows of a run in memory, about 50 bytes each, so that a page of a scene or a picture needs no scan: for each data set
//! its scenes in order, and for each metric the place of every row. The rest of a row is read from its part.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use dqa_pages::SceneRef;
use dqa_pipelines::metric::MetricSpec;
use dqa_pipelines::report::{ReportError, read_part};
use dqa_pipelines::run::{PartRef, RunRecord};
use dqa_pipelines::store::Store;
use futures::StreamExt;

/// Parts that are read at once: 16 hide the latency of a remote store.
const PARTS_AT_ONCE: usize = 16;

/// Rows that a group of failures lists.
const FAILURES_LISTED_MAX: usize = 200;

const COLUMNS: [&str; 6] = ["scene", "scene_group", "image", "score", "mos", "error_code"];

/// The rows of a run.
#[derive(Debug, Default)]
pub(crate) struct RunRows {
    /// By the data set's name.
    pub(crate) datasets: BTreeMap<String, DatasetRows>,
    /// The rows without a score, by code.
    pub(crate) failures: BTreeMap<String, Failures>,
}

/// Rows without a score that have one code.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    pub(crate) count: u64,
    /// The first of them: data set, metric (index in the run), and place.
    pub(crate) first: Vec<(String, usize, RowPlace)>,
}

/// The rows of a data set.
#[derive(Debug, Default)]
pub(crate) struct DatasetRows {
    /// In order of their groups and names, those without a group first.
    pub(crate) scenes: Vec<SceneRef>,
    pub(crate) algorithms: Vec<String>,
    /// Rows of each metric of the run, in its order.
    pub(crate) metrics: Vec<Vec<Row>>,
    /// Hashes of the pictures' names with the scene and algorithm of each, sorted.
    images: Vec<(u64, u32, u32)>,
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Index of the scene.
    pub(crate) scene: u32,
    /// Index of the algorithm.
    pub(crate) algorithm: u32,
    pub(crate) place: RowPlace,
    /// As the metric gives it. NaN: failed.
    pub(crate) score: f64,
    /// NaN: no label.
    pub(crate) mos: f64,
}

/// Where a row is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowPlace {
    /// Index of the part in the run's record.
    pub(crate) part: u32,
    /// Index of the row in the part.
    pub(crate) row: u32,
}

impl RunRows {
    /// Reads the rows of all parts that are in the store.
    ///
    /// # Errors
    /// A part cannot be read. A missing one is no error: the run may be under way.
    pub(crate) async fn read(store: &Store, record: &RunRecord) -> Result<RunRows, ReportError> {
        let metrics = record.metrics();
        let read = |(index, part): (usize, PartRef)| {
            let store = store.clone();
            async move {
                let batches = tokio::spawn(read_part(store, part.clone(), &COLUMNS)).await;
                (index, part, batches.expect("reading does not panic"))
            }
        };
        let parts: Vec<(usize, PartRef)> = record.parts.iter().cloned().enumerate().collect();
        let mut reads = futures::stream::iter(parts.into_iter().map(read)).buffered(PARTS_AT_ONCE);
        let mut builder = Builder { rows: RunRows::default(), names: HashMap::new(), metrics: metrics.len() };
        while let Some((index, part, batches)) = reads.next().await {
            match batches {
                Ok(batches) => builder.add(index, &part, &metrics, &batches),
                Err(ReportError::MissingPart { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(tokio::task::spawn_blocking(|| builder.finish()).await.expect("sorting does not panic"))
    }
}

impl DatasetRows {
    /// Returns the index of a scene.
    pub(crate) fn scene(&self, scene: &SceneRef) -> Option<usize> {
        self.scenes.binary_search(scene).ok()
    }

    /// Returns a metric's rows of a scene.
    pub(crate) fn of_scene(&self, metric: usize, scene: usize) -> &[Row] {
        let rows = &self.metrics[metric];
        let scene = scene as u32;
        let start = rows.partition_point(|row| row.scene < scene);
        let length = rows[start..].partition_point(|row| row.scene == scene);
        &rows[start..start + length]
    }

    /// Returns the scenes and algorithms of the pictures that may have this name: more than one only if hashes collide.
    pub(crate) fn of_image(&self, image: &str) -> &[(u64, u32, u32)] {
        let hash = image_hash(image);
        let start = self.images.partition_point(|(other, ..)| *other < hash);
        let length = self.images[start..].partition_point(|(other, ..)| *other == hash);
        &self.images[start..start + length]
    }

    /// Returns the range of a page of scenes.
    pub(crate) fn page(&self, page: u32, per_page: usize) -> Option<Range<usize>> {
        let start = (page as usize).checked_sub(1)? * per_page;
        let end = (start + per_page).min(self.scenes.len());
        (start < end || page == 1).then_some(start..end)
    }
}

fn image_hash(image: &str) -> u64 {
    let digest = blake3::hash(image.as_bytes());
    u64::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
}

/// Names with their numbers while rows are read.
#[derive(Default)]
struct Names {
    scenes: HashMap<Option<String>, HashMap<String, u32>>,
    scene_count: u32,
    algorithms: HashMap<String, u32>,
}

impl Names {
    fn scene(&mut self, group: Option<&str>, name: &str) -> u32 {
        let in_group = match self.scenes.get_mut(&group.map(str::to_owned)) {
            Some(in_group) => in_group,
            None => self.scenes.entry(group.map(str::to_owned)).or_default(),
        };
        if let Some(number) = in_group.get(name) {
            return *number;
        }
        let number = self.scene_count;
        in_group.insert(name.to_owned(), number);
        self.scene_count += 1;
        number
    }

    fn algorithm(&mut self, name: &str) -> u32 {
        let next = self.algorithms.len() as u32;
        *self.algorithms.entry(name.to_owned()).or_insert(next)
    }
}

struct Builder {
    rows: RunRows,
    names: HashMap<String, Names>,
    metrics: usize,
}

impl Builder {
    fn add(&mut self, index: usize, part: &PartRef, metrics: &[MetricSpec], batches: &[RecordBatch]) {
        let Some(metric) = metrics.iter().position(|metric| part.is_of(metric)) else { return };
        let dataset = part.dataset.to_string();
        let names = self.names.entry(dataset.clone()).or_default();
        let algorithm = names.algorithm(part.algorithm.as_str());
        let rows = self.rows.datasets.entry(dataset.clone()).or_default();
        rows.metrics.resize_with(self.metrics, Vec::new);
        let mut number = 0;
        for batch in batches {
            let text = |name: &str| batch[name].as_string::<i32>();
            let real = |name: &str| batch[name].as_primitive::<Float64Type>();
            let (scenes, groups, images, codes) =
                (text("scene"), text("scene_group"), text("image"), text("error_code"));
            let (scores, labels) = (real("score"), real("mos"));
            for row in 0..batch.num_rows() {
                let scene = names.scene(groups.is_valid(row).then(|| groups.value(row)), scenes.value(row));
                let place = RowPlace { part: index as u32, row: number };
                let value = |column: &arrow::array::Float64Array| {
                    if column.is_valid(row) { column.value(row) } else { f64::NAN }
                };
                let (score, mos) = (value(scores), value(labels));
                rows.metrics[metric].push(Row { scene, algorithm, place, score, mos });
                // Other metrics' rows are of the same pictures; they add only those that the first does not have.
                rows.images.push((image_hash(images.value(row)), scene, algorithm));
                if codes.is_valid(row) {
                    let failures = self.rows.failures.entry(codes.value(row).to_owned()).or_default();
                    failures.count += 1;
                    if failures.first.len() < FAILURES_LISTED_MAX {
                        failures.first.push((dataset.clone(), metric, place));
                    }
                }
                number += 1;
            }
        }
    }

    fn finish(mut self) -> RunRows {
        for (dataset, names) in self.names {
            let rows = self.rows.datasets.get_mut(&dataset).expect("its names are from its rows");
            let (scenes, scene_numbers) = sorted_scenes(names.scenes, names.scene_count);
            let (algorithms, algorithm_numbers) = sorted_names(names.algorithms);
            (rows.scenes, rows.algorithms) = (scenes, algorithms);
            for row in rows.metrics.iter_mut().flatten() {
                row.scene = scene_numbers[row.scene as usize];
                row.algorithm = algorithm_numbers[row.algorithm as usize];
            }
            for (_, scene, algorithm) in &mut rows.images {
                *scene = scene_numbers[*scene as usize];
                *algorithm = algorithm_numbers[*algorithm as usize];
            }
            let place = |row: &Row| (row.scene, row.algorithm, row.place.part, row.place.row);
            rows.metrics.iter_mut().for_each(|metric| metric.sort_unstable_by_key(place));
            rows.images.sort_unstable();
            rows.images.dedup();
        }
        self.rows
    }
}

/// Returns the scenes in order, and the new number of each old number.
fn sorted_scenes(scenes: HashMap<Option<String>, HashMap<String, u32>>, count: u32) -> (Vec<SceneRef>, Vec<u32>) {
    let mut sorted: Vec<(SceneRef, u32)> = Vec::with_capacity(count as usize);
    for (group, names) in scenes {
        sorted.extend(names.into_iter().map(|(name, number)| (SceneRef { group: group.clone(), name }, number)));
    }
    sorted.sort_unstable();
    renumber(sorted)
}

fn sorted_names(names: HashMap<String, u32>) -> (Vec<String>, Vec<u32>) {
    let mut sorted: Vec<(String, u32)> = names.into_iter().collect();
    sorted.sort_unstable();
    renumber(sorted)
}

fn renumber<T>(sorted: Vec<(T, u32)>) -> (Vec<T>, Vec<u32>) {
    let mut numbers = vec![0; sorted.len()];
    for (new, (_, old)) in sorted.iter().enumerate() {
        numbers[*old as usize] = new as u32;
    }
    (sorted.into_iter().map(|(name, _)| name).collect(), numbers)
}
