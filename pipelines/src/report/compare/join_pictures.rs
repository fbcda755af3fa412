//! Joins the scores of one data set by several runs, picture by picture. A picture is the same in two runs if its
//! algorithm, its name and the content of its file are equal. Pictures that are not in all runs, or that a run failed
//! to score, are excluded and counted, or else have no score of that run ([`Join`]).

use std::collections::{BTreeSet, HashMap};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use futures::StreamExt;
use rayon::slice::ParallelSliceMut;

use super::error::CompareError;
use super::rows::ExcludedCounts;
use crate::dataset::SceneKey;
use crate::metric::Direction;
use crate::names::{AlgorithmName, DatasetName};
use crate::report::dataset_scores;
use crate::report::error::ReportError;
use crate::report::metric_choice::only_metric;
use crate::run::{PartRef, RunRecord};
use crate::store::Store;
use crate::tables::scores::METRIC;

/// Parts that are fetched and decoded at once.
const PARTS_AT_ONCE: usize = 16;

/// The columns that are read.
const COLUMNS: [&str; 11] = [
    "dataset",
    "algorithm",
    METRIC,
    "fingerprint",
    "scene",
    "scene_group",
    "image",
    "version",
    "digest",
    "score",
    "mos",
];

/// The group number of a scene without a group.
const NO_GROUP: u32 = u32::MAX;

/// Which pictures are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Join {
    /// Those that every run has scored.
    Inner,
    /// Those that any run has scored. The score of a run that did not score a picture, or another file of its name, is NaN.
    Outer,
}

/// The joined pictures, sorted by scene, algorithm and name.
pub(in crate::report) struct JoinedPictures {
    /// Algorithms by number.
    pub(in crate::report) algorithms: Vec<AlgorithmName>,
    /// Scenes by number, sorted.
    pub(in crate::report) scenes: Vec<SceneKey>,
    /// Scene groups by number, sorted.
    pub(in crate::report) groups: Vec<String>,
    /// The algorithm of each picture.
    pub(in crate::report) algorithm: Vec<u32>,
    /// The scene of each picture.
    pub(in crate::report) scene: Vec<u32>,
    /// The group of each picture's scene, or [`NO_GROUP`].
    pub(in crate::report) group: Vec<u32>,
    /// The name of each picture.
    pub(in crate::report) image: Vec<Box<str>>,
    /// The label of each picture, or NaN.
    pub(in crate::report) mos: Vec<f64>,
    /// For each run, the oriented score of each picture.
    pub(in crate::report) scores: Vec<Vec<f64>>,
    pub(in crate::report) excluded: ExcludedCounts,
}

/// A picture in one run.
struct Picture {
    algorithm: u32,
    image: Box<str>,
    /// A number from [`SceneIndex`].
    scene: u32,
    /// The first half of the file's digest, or of the version's digest if the file was not read. Different values mean
    /// different files.
    content: u128,
    is_read: bool,
    /// Oriented: higher is better. NaN if the picture failed.
    score: f64,
    /// NaN if the picture has no label.
    mos: f64,
}

impl Picture {
    fn key(&self) -> (u32, &str) {
        (self.algorithm, &self.image)
    }

    fn is_file_of(&self, other: &Picture) -> bool {
        // A failed picture may not have been read. It is then excluded as failed, not as a different file.
        self.is_read != other.is_read || self.content == other.content
    }
}

/// The scenes of all runs, in the order of their first appearance.
#[derive(Default)]
struct SceneIndex {
    numbers: HashMap<Option<Box<str>>, HashMap<Box<str>, u32>>,
    keys: Vec<SceneKey>,
}

impl SceneIndex {
    fn get_or_insert(&mut self, group: Option<&str>, name: &str) -> u32 {
        let names = match self.numbers.get_mut(&group.map(Box::from)) {
            Some(names) => names,
            None => self.numbers.entry(group.map(Box::from)).or_default(),
        };
        if let Some(number) = names.get(name) {
            return *number;
        }
        let number = self.keys.len() as u32;
        names.insert(name.into(), number);
        self.keys.push(SceneKey { name: name.into(), group: group.map(Into::into) });
        number
    }
}

/// Reads a data set of each run and joins the pictures. Each record is restricted to one metric.
///
/// # Errors
/// A part cannot be read or is not the run's; labels or scenes of a picture differ; of an inner join, no picture is in
/// all runs.
pub(in crate::report) async fn read_and_join(
    store: &Store,
    records: &[RunRecord],
    dataset: &DatasetName,
    join: Join,
) -> Result<JoinedPictures, CompareError> {
    let parts = records.iter().flat_map(|record| &record.parts).filter(|part| part.dataset == *dataset);
    let algorithms: BTreeSet<AlgorithmName> = parts.map(|part| part.algorithm.clone()).collect();
    let algorithms: Vec<AlgorithmName> = algorithms.into_iter().collect();
    let mut scenes = SceneIndex::default();
    let mut runs = Vec::new();
    for record in records {
        let mut pictures = read(store, record, dataset, (&algorithms, &mut scenes)).await?;
        pictures.par_sort_unstable_by(|a, b| a.key().cmp(&b.key()));
        runs.push(pictures);
    }
    let run_datasets: Vec<RunDataset<'_>> = records.iter().map(|record| RunDataset { dataset, record }).collect();
    merge_join(&runs, &run_datasets, (algorithms, &scenes.keys), join)
}

/// A run with the data set that is joined, for error messages.
struct RunDataset<'a> {
    dataset: &'a DatasetName,
    record: &'a RunRecord,
}

async fn read(
    store: &Store,
    record: &RunRecord,
    dataset: &DatasetName,
    (algorithms, scenes): (&[AlgorithmName], &mut SceneIndex),
) -> Result<Vec<Picture>, ReportError> {
    let metric = only_metric(record);
    let parts: Vec<&PartRef> = record.parts.iter().filter(|part| part.dataset == *dataset).collect();
    let read = |part: PartRef| {
        let store = store.clone();
        async move { tokio::spawn(dataset_scores::read_part(store, part, &COLUMNS)).await.expect("reading does not panic") }
    };
    let mut reads = futures::stream::iter(parts.iter().map(|part| read((*part).clone()))).buffered(PARTS_AT_ONCE);
    let mut pictures = Vec::new();
    let mut mismatched = Vec::new();
    for part in &parts {
        let batches = reads.next().await.expect("one for each part")?;
        if let Some(difference) = dataset_scores::find_mismatch(&batches, part, &metric) {
            mismatched.push(format!("{}: {difference}", part.key));
        }
        let algorithm = algorithms.binary_search(&part.algorithm).expect("they are of all parts") as u32;
        batches.iter().for_each(|batch| append((&mut pictures, scenes), batch, algorithm, metric.direction));
    }
    if mismatched.is_empty() {
        Ok(pictures)
    } else {
        Err(ReportError::MismatchedParts { run: record.name.to_string(), mismatched })
    }
}

fn append(
    (pictures, scenes): (&mut Vec<Picture>, &mut SceneIndex),
    batch: &RecordBatch,
    algorithm: u32,
    direction: Direction,
) {
    let text = |name| batch[name].as_string::<i32>();
    let real = |name| batch[name].as_primitive::<Float64Type>();
    let (scene, group, image) = (text("scene"), text("scene_group"), text("image"));
    let (version, digest, score, mos) = (text("version"), text("digest"), real("score"), real("mos"));
    for row in 0..batch.num_rows() {
        let is_read = digest.is_valid(row);
        let content = if is_read { digest.value(row) } else { version.value(row) };
        let group = group.is_valid(row).then(|| group.value(row));
        let value =
            |column: &arrow::array::Float64Array| if column.is_valid(row) { column.value(row) } else { f64::NAN };
        pictures.push(Picture {
            algorithm,
            image: image.value(row).into(),
            scene: scenes.get_or_insert(group, scene.value(row)),
            content: half_digest(content, is_read),
            is_read,
            score: direction.orient(value(score)),
            mos: value(mos),
        });
    }
}

/// Returns 128 bits that identify a file: half of its content digest, or of the digest of its version.
fn half_digest(text: &str, is_digest: bool) -> u128 {
    let own = is_digest.then(|| text.get(..32)).flatten().and_then(|half| u128::from_str_radix(half, 16).ok());
    own.unwrap_or_else(|| {
        let digest = blake3::hash(text.as_bytes());
        u128::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
    })
}

/// Merges the pictures of all runs, each of which is sorted by algorithm and name.
fn merge_join(
    pictures_by_run: &[Vec<Picture>],
    runs: &[RunDataset<'_>],
    (algorithms, scenes): (Vec<AlgorithmName>, &[SceneKey]),
    join: Join,
) -> Result<JoinedPictures, CompareError> {
    let mut next = vec![0_usize; pictures_by_run.len()];
    let mut excluded = ExcludedCounts::default();
    let mut conflicts: [Option<Conflict<'_>>; 2] = [None, None];
    let mut found: Vec<(u32, u32, &str, f64, Vec<f64>)> = Vec::new();
    while let Some(least) = next.iter().zip(pictures_by_run).filter_map(|(next, run)| Some(run.get(*next)?.key())).min()
    {
        let same: Vec<Option<&Picture>> = next
            .iter()
            .zip(pictures_by_run)
            .map(|(next, run)| run.get(*next).filter(|picture| picture.key() == least))
            .collect();
        same.iter().zip(&mut next).filter(|(picture, _)| picture.is_some()).for_each(|(_, next)| *next += 1);
        let pictures: Vec<IndexedPicture<'_>> =
            same.iter().enumerate().filter_map(|(run, picture)| Some((run, (*picture)?))).collect();
        if join == Join::Inner && pictures.len() < same.len() {
            excluded.not_in_all += 1;
            continue;
        }
        let (_, first) = pictures[0];
        let mos = check_scene_and_label(&pictures, &mut conflicts);
        let has_other_file = pictures.iter().any(|(_, picture)| !picture.is_file_of(first));
        excluded.other_file += u64::from(has_other_file);
        if has_other_file && join == Join::Inner {
            continue;
        }
        let score_of = |picture: &Option<&Picture>| {
            picture.filter(|picture| picture.is_file_of(first)).map_or(f64::NAN, |picture| picture.score)
        };
        let scores: Vec<f64> = same.iter().map(score_of).collect();
        let has_failed = match join {
            Join::Inner => scores.iter().any(|score| score.is_nan()),
            Join::Outer => scores.iter().all(|score| score.is_nan()),
        };
        if has_failed {
            excluded.failed += 1;
        } else {
            excluded.unlabelled += u64::from(mos.is_nan());
            found.push((first.scene, first.algorithm, &first.image, mos, scores));
        }
    }
    if let Some(difference) = conflicts.into_iter().flatten().next() {
        return Err(difference.error(runs, (&algorithms, scenes)));
    }
    if join == Join::Inner && found.is_empty() && excluded.failed == 0 {
        return Err(nothing_in_common(runs, excluded));
    }
    Ok(into_columns(found, (algorithms, scenes), (runs.len(), excluded)))
}

/// A picture with the number of its run.
type IndexedPicture<'a> = (usize, &'a Picture);

/// Records a picture that has another scene or label in some run. Returns its label, or NaN.
fn check_scene_and_label<'a>(pictures: &[IndexedPicture<'a>], conflicts: &mut [Option<Conflict<'a>>; 2]) -> f64 {
    let first = pictures[0];
    if let Some(other) = pictures.iter().find(|(_, picture)| picture.scene != first.1.scene) {
        Conflict::record(&mut conflicts[0], "scene", (first, *other));
    }
    let Some(labelled) = pictures.iter().find(|(_, picture)| !picture.mos.is_nan()) else { return f64::NAN };
    let mos = labelled.1.mos;
    if let Some(other) = pictures.iter().find(|(_, picture)| !picture.mos.is_nan() && picture.mos != mos) {
        Conflict::record(&mut conflicts[1], "label", (*labelled, *other));
    }
    mos
}

/// Pictures whose scene or label differs between two runs.
struct Conflict<'a> {
    field: &'static str,
    /// The numbers of the runs.
    runs: (usize, usize),
    count: usize,
    first: &'a Picture,
    second: &'a Picture,
}

impl<'a> Conflict<'a> {
    fn record(
        known: &mut Option<Conflict<'a>>,
        field: &'static str,
        (first, second): (IndexedPicture<'a>, IndexedPicture<'a>),
    ) {
        let new = Conflict { field, runs: (first.0, second.0), count: 0, first: first.1, second: second.1 };
        known.get_or_insert(new).count += 1;
    }

    fn error(&self, runs: &[RunDataset<'_>], (algorithms, scenes): (&[AlgorithmName], &[SceneKey])) -> CompareError {
        let value = |picture: &Picture| match self.field {
            "scene" => scenes[picture.scene as usize].to_string(),
            _ => picture.mos.to_string(),
        };
        CompareError::ConflictingPictures {
            dataset: runs[0].dataset.clone(),
            first: runs[self.runs.0].record.name.clone(),
            second: runs[self.runs.1].record.name.clone(),
            what: self.field,
            count: self.count,
            algorithm: algorithms[self.first.algorithm as usize].to_string(),
            image: self.first.image.to_string(),
            first_value: value(self.first),
            second_value: value(self.second),
        }
    }
}

fn nothing_in_common(runs: &[RunDataset<'_>], excluded: ExcludedCounts) -> CompareError {
    let root = |run: &RunDataset<'_>| super::spec_of(run.record, run.dataset).map(|spec| spec.root.clone());
    let other = runs.iter().position(|run| root(run) != root(&runs[0]));
    let index = other.unwrap_or(1);
    let roots = [root(&runs[0]), root(&runs[index])].map(Option::unwrap_or_default);
    let mut why = match excluded.other_file {
        0 => "they have no name of a picture in common".to_owned(),
        files => format!("{files} names are in both, but belong to different files"),
    };
    if other.is_some() {
        why += &format!("; their folders are {} and {}", roots[0], roots[1]);
    }
    let name = |index: usize| runs[index].record.name.clone();
    CompareError::NoCommonPicture { dataset: runs[0].dataset.clone(), first: name(0), second: name(index), why }
}

/// Sorts the joined pictures into columns, in an order that depends only on names.
fn into_columns(
    mut found: Vec<(u32, u32, &str, f64, Vec<f64>)>,
    (algorithms, scenes): (Vec<AlgorithmName>, &[SceneKey]),
    (runs, excluded): (usize, ExcludedCounts),
) -> JoinedPictures {
    let mut order: Vec<usize> = (0..scenes.len()).collect();
    order.sort_unstable_by(|&a, &b| (&scenes[a].group, &scenes[a].name).cmp(&(&scenes[b].group, &scenes[b].name)));
    let mut number = vec![0; scenes.len()];
    order.iter().enumerate().for_each(|(new, &old)| number[old] = new as u32);
    found.iter_mut().for_each(|row| row.0 = number[row.0 as usize]);
    found.par_sort_unstable_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
    let scenes: Vec<SceneKey> = order.iter().map(|&old| scenes[old].clone()).collect();
    let groups: BTreeSet<&str> = scenes.iter().filter_map(|scene| scene.group.as_deref()).collect();
    let groups: Vec<String> = groups.into_iter().map(str::to_owned).collect();
    let group_of = |scene: &SceneKey| {
        let index =
            scene.group.as_deref().and_then(|group| groups.binary_search_by(|known| known.as_str().cmp(group)).ok());
        index.map_or(NO_GROUP, |index| index as u32)
    };
    let group_of: Vec<u32> = scenes.iter().map(group_of).collect();
    JoinedPictures {
        algorithm: found.iter().map(|row| row.1).collect(),
        scene: found.iter().map(|row| row.0).collect(),
        group: found.iter().map(|row| group_of[row.0 as usize]).collect(),
        image: found.iter().map(|row| row.2.into()).collect(),
        mos: found.iter().map(|row| row.3).collect(),
        scores: (0..runs).map(|run| found.iter().map(|row| row.4[run]).collect()).collect(),
        algorithms,
        scenes,
        groups,
        excluded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::causes;

    fn picture(image: &str, score: f64, mos: f64) -> Picture {
        Picture { algorithm: 0, image: image.into(), scene: 0, content: 1, is_read: true, score, mos }
    }

    fn record(name: &str) -> RunRecord {
        let spec = serde_json::json!({
            "datasets": [], "model": "m", "prompts": null, "views": "v", "dtype": "f32", "device": "cpu",
            "shard_windows_max": 1, "remark": null
        });
        serde_json::from_value(serde_json::json!({
            "name": name, "state": "complete", "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
            "spec": spec, "fingerprint": "f", "counts": { "pictures": 0, "windows": 0, "scored": 0, "failed": 0 },
            "provenance": {}, "parts": []
        }))
        .unwrap()
    }

    /// Joins pictures of two scenes that two runs have.
    fn merge(first: Vec<Picture>, second: Vec<Picture>, join: Join) -> Result<JoinedPictures, CompareError> {
        let (dataset, records) = ("d".parse().unwrap(), [record("first"), record("second")]);
        let runs = records.each_ref().map(|record| RunDataset { dataset: &dataset, record });
        let scenes = ["a", "b"].map(|name| SceneKey { name: name.into(), group: None });
        merge_join(&[first, second], &runs, (vec!["dcp".parse().unwrap()], &scenes), join)
    }

    /// Returns pictures that both have, that one run lacks, failed, or has another file of, and that both failed.
    fn pictures() -> [Vec<Picture>; 2] {
        let first = [("1", 0.1), ("2", 0.2), ("3", 0.3), ("4", 0.4), ("5", f64::NAN)];
        let mut second = [("1", 1.0), ("3", f64::NAN), ("4", 4.0), ("5", f64::NAN)].map(|(n, s)| picture(n, s, 9.0));
        second[2].content = 2;
        [first.map(|(image, score)| picture(image, score, f64::NAN)).into(), second.into()]
    }

    #[test]
    fn an_inner_join_has_the_pictures_that_every_run_scored() {
        let [first, second] = pictures();
        let joined = merge(first, second, Join::Inner).unwrap();
        assert_eq!((&*joined.image, &*joined.mos), (&["1".into()][..], &[9.0][..]), "the label may be in either run");
        assert_eq!(joined.scores, [[0.1], [1.0]]);
        let expected = ExcludedCounts { not_in_all: 1, other_file: 1, failed: 2, unlabelled: 0 };
        assert_eq!(joined.excluded, expected);
    }

    #[test]
    fn an_outer_join_has_the_pictures_that_any_run_scored() {
        let [first, second] = pictures();
        let joined = merge(first, second, Join::Outer).unwrap();
        assert_eq!(joined.image, ["1", "2", "3", "4"].map(Box::from));
        assert_eq!(joined.scores[0], [0.1, 0.2, 0.3, 0.4]);
        let second: Vec<Option<f64>> =
            joined.scores[1].iter().map(|score| (!score.is_nan()).then_some(*score)).collect();
        assert_eq!(second, [Some(1.0), None, None, None], "the score of another file is not that of the picture");
        let expected = ExcludedCounts { not_in_all: 0, other_file: 1, failed: 1, unlabelled: 1 };
        assert_eq!(joined.excluded, expected);
        assert!(merge(Vec::new(), Vec::new(), Join::Outer).unwrap().image.is_empty());
        assert!(matches!(merge(Vec::new(), Vec::new(), Join::Inner), Err(CompareError::NoCommonPicture { .. })));
    }

    #[test]
    fn other_labels_and_scenes_are_errors() {
        for join in [Join::Inner, Join::Outer] {
            let error = |first: Picture, second: Picture| {
                let error = merge(vec![first], vec![second], join).err().unwrap();
                causes(&error).to_string()
            };
            let labels = error(picture("1", 0.1, 5.0), picture("1", 0.1, 6.0));
            assert!(labels.contains("another label in run `second` than in run `first`"), "{labels}");
            assert!(labels.ends_with("1 of dcp has 6 instead of 5"), "{labels}");
            let scenes = error(picture("1", 0.1, 5.0), Picture { scene: 1, ..picture("1", 0.1, 5.0) });
            assert!(scenes.ends_with("1 of dcp has b instead of a"), "{scenes}");
        }
    }
}
