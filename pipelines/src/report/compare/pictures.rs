//! The scores of one data set by several runs, picture by picture. A picture is the same in two runs if its algorithm, its
//! name and its file's content are; what is not in all runs, or was not scored by all, is left out and counted.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use futures::StreamExt;
use rayon::slice::ParallelSliceMut;

use super::{CompareError, LeftOut, ReportError};
use crate::dataset::SceneKey;
use crate::names::{AlgorithmName, DatasetName};
use crate::report::load;
use crate::run::{PartRef, RunRecord};
use crate::store::Store;

/// Parts that are fetched and decoded at once.
const PARTS_AT_ONCE: usize = 16;

/// What is read of a part.
const COLUMNS: [&str; 10] =
    ["dataset", "algorithm", "fingerprint", "scene", "scene_group", "image", "version", "digest", "score", "mos"];

/// The number of the group of a scene that has none.
const NO_GROUP: u32 = u32::MAX;

/// The pictures that every run has scored, in the order of scenes, algorithms and names.
pub(super) struct Matched {
    /// By number.
    pub(super) algorithms: Vec<AlgorithmName>,
    /// By number, in their order.
    pub(super) scenes: Vec<SceneKey>,
    /// By number, in their order.
    pub(super) groups: Vec<String>,
    /// Who made each picture.
    pub(super) algorithm: Vec<u32>,
    /// What it shows.
    pub(super) scene: Vec<u32>,
    /// The group of its scene, or [`NO_GROUP`].
    pub(super) group: Vec<u32>,
    /// Its label; NaN: none.
    pub(super) mos: Vec<f64>,
    /// Its score by each run.
    pub(super) scores: Vec<Vec<f64>>,
    pub(super) left_out: LeftOut,
}

/// A picture in one run. In the order of algorithm and name.
struct Picture {
    algorithm: u32,
    image: Box<str>,
    /// In [`Scenes`].
    scene: u32,
    /// Half of the digest of the file, or of its version where it was not read: another one is another file.
    content: u128,
    is_read: bool,
    /// NaN: it failed.
    score: f64,
    /// NaN: there is none.
    mos: f64,
}

impl Picture {
    fn key(&self) -> (u32, &str) {
        (self.algorithm, &self.image)
    }

    fn is_file_of(&self, other: &Picture) -> bool {
        // A failed picture may not have been read: then it is left out as one that failed.
        self.is_read != other.is_read || self.content == other.content
    }
}

/// Scenes of all runs, in the order of their appearance.
#[derive(Default)]
struct Scenes {
    numbers: HashMap<Option<Box<str>>, HashMap<Box<str>, u32>>,
    keys: Vec<SceneKey>,
}

impl Scenes {
    fn number(&mut self, group: Option<&str>, name: &str) -> u32 {
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

/// Reads a data set of each run and matches its pictures.
///
/// # Errors
/// A part that cannot be read or is not the run's; pictures whose labels or scenes differ; none in common.
pub(super) async fn matched(
    store: &Store,
    records: &[RunRecord],
    dataset: &DatasetName,
) -> Result<Matched, CompareError> {
    let parts = records.iter().flat_map(|record| &record.parts).filter(|part| part.dataset == *dataset);
    let algorithms: BTreeSet<AlgorithmName> = parts.map(|part| part.algorithm.clone()).collect();
    let algorithms: Vec<AlgorithmName> = algorithms.into_iter().collect();
    let mut scenes = Scenes::default();
    let mut runs = Vec::new();
    for record in records {
        let mut pictures = read(store, record, dataset, (&algorithms, &mut scenes)).await?;
        pictures.par_sort_unstable_by(|a, b| a.key().cmp(&b.key()));
        runs.push(pictures);
    }
    let names: Vec<RunName<'_>> = records.iter().map(|record| RunName { dataset, record }).collect();
    join(&runs, &names, (algorithms, &scenes.keys))
}

/// Who a column is of, for errors.
struct RunName<'a> {
    dataset: &'a DatasetName,
    record: &'a RunRecord,
}

async fn read(
    store: &Store,
    record: &RunRecord,
    dataset: &DatasetName,
    (algorithms, scenes): (&[AlgorithmName], &mut Scenes),
) -> Result<Vec<Picture>, ReportError> {
    let parts: Vec<&PartRef> = record.parts.iter().filter(|part| part.dataset == *dataset).collect();
    let read = |part: PartRef| {
        let store = store.clone();
        async move { tokio::spawn(load::read(store, part, &COLUMNS)).await.expect("reading does not panic") }
    };
    let mut reads = futures::stream::iter(parts.iter().map(|part| read((*part).clone()))).buffered(PARTS_AT_ONCE);
    let mut pictures = Vec::new();
    let mut unlike = Vec::new();
    for part in &parts {
        let batches = reads.next().await.expect("one for each part")?;
        if let Some(difference) = load::difference(&batches, part, &record.fingerprint) {
            unlike.push(format!("{}: {difference}", part.key));
        }
        let algorithm = algorithms.binary_search(&part.algorithm).expect("they are of all parts") as u32;
        batches.iter().for_each(|batch| append(&mut pictures, batch, algorithm, scenes));
    }
    if unlike.is_empty() {
        Ok(pictures)
    } else {
        Err(ReportError::UnlikeParts { run: record.name.to_string(), unlike })
    }
}

fn append(pictures: &mut Vec<Picture>, batch: &RecordBatch, algorithm: u32, scenes: &mut Scenes) {
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
            scene: scenes.number(group, scene.value(row)),
            content: half_digest(content, is_read),
            is_read,
            score: value(score),
            mos: value(mos),
        });
    }
}

/// 128 bits tell files apart: a digest's own, or those of a version's text.
fn half_digest(text: &str, is_digest: bool) -> u128 {
    let own = is_digest.then(|| text.get(..32)).flatten().and_then(|half| u128::from_str_radix(half, 16).ok());
    own.unwrap_or_else(|| {
        let digest = blake3::hash(text.as_bytes());
        u128::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
    })
}

/// Runs over the sorted pictures of all runs at once.
fn join(
    runs: &[Vec<Picture>],
    names: &[RunName<'_>],
    (algorithms, scenes): (Vec<AlgorithmName>, &[SceneKey]),
) -> Result<Matched, CompareError> {
    let mut next = vec![0_usize; runs.len()];
    let mut left_out = LeftOut::default();
    let mut differences: [Option<Difference<'_>>; 2] = [None, None];
    let mut found: Vec<(u32, u32, &str, f64, Vec<f64>)> = Vec::new();
    while let Some(least) = next.iter().zip(runs).filter_map(|(next, run)| Some(run.get(*next)?.key())).min() {
        let same: Vec<Option<&Picture>> =
            next.iter().zip(runs).map(|(next, run)| run.get(*next).filter(|picture| picture.key() == least)).collect();
        same.iter().zip(&mut next).filter(|(picture, _)| picture.is_some()).for_each(|(_, next)| *next += 1);
        let Some(pictures) = same.into_iter().collect::<Option<Vec<&Picture>>>() else {
            left_out.not_in_all += 1;
            continue;
        };
        let first = pictures[0];
        if let Some(place) = pictures.iter().position(|picture| picture.scene != first.scene) {
            Difference::note(&mut differences[0], ("scene", place), (first, pictures[place]));
        }
        let labelled = pictures.iter().position(|picture| !picture.mos.is_nan());
        let mos = labelled.map_or(f64::NAN, |place| pictures[place].mos);
        if let Some(place) = pictures.iter().position(|picture| !picture.mos.is_nan() && picture.mos != mos) {
            Difference::note(&mut differences[1], ("label", place), (pictures[labelled.unwrap_or(0)], pictures[place]));
        }
        if !pictures.iter().all(|picture| picture.is_file_of(first)) {
            left_out.other_file += 1;
        } else if pictures.iter().any(|picture| picture.score.is_nan()) {
            left_out.failed += 1;
        } else {
            left_out.unlabelled += u64::from(mos.is_nan());
            let scores = pictures.iter().map(|picture| picture.score).collect();
            found.push((first.scene, first.algorithm, &first.image, mos, scores));
        }
    }
    if let Some(difference) = differences.into_iter().flatten().next() {
        return Err(difference.error(names, (&algorithms, scenes)));
    }
    if found.is_empty() && left_out.failed == 0 {
        return Err(nothing_in_common(names, left_out));
    }
    Ok(columns(found, (algorithms, scenes), (runs.len(), left_out)))
}

/// Pictures whose scenes or labels differ between two runs.
struct Difference<'a> {
    what: &'static str,
    place: usize,
    count: usize,
    first: &'a Picture,
    second: &'a Picture,
}

impl<'a> Difference<'a> {
    fn note(
        known: &mut Option<Difference<'a>>,
        (what, place): (&'static str, usize),
        (first, second): (&'a Picture, &'a Picture),
    ) {
        known.get_or_insert(Difference { what, place, count: 0, first, second }).count += 1;
    }

    fn error(&self, names: &[RunName<'_>], (algorithms, scenes): (&[AlgorithmName], &[SceneKey])) -> CompareError {
        let shown = |picture: &Picture| match self.what {
            "scene" => scenes[picture.scene as usize].to_string(),
            _ => picture.mos.to_string(),
        };
        CompareError::Unlike {
            dataset: names[0].dataset.clone(),
            first: names[0].record.name.clone(),
            second: names[self.place].record.name.clone(),
            what: self.what,
            count: self.count,
            algorithm: algorithms[self.first.algorithm as usize].to_string(),
            image: self.first.image.to_string(),
            of_first: shown(self.first),
            of_second: shown(self.second),
        }
    }
}

fn nothing_in_common(names: &[RunName<'_>], left_out: LeftOut) -> CompareError {
    let root = |name: &RunName<'_>| super::spec_of(name.record, name.dataset).map(|spec| spec.root.clone());
    let other = names.iter().position(|name| root(name) != root(&names[0]));
    let place = other.unwrap_or(1);
    let roots = [root(&names[0]), root(&names[place])].map(Option::unwrap_or_default);
    let mut why = match left_out.other_file {
        0 => "no name is in both".to_owned(),
        files => format!("{files} names stand for another file in each"),
    };
    if other.is_some() {
        why += &format!("; their folders are {} and {}", roots[0], roots[1]);
    }
    let run = |place: usize| names[place].record.name.clone();
    CompareError::NoPicture { dataset: names[0].dataset.clone(), first: run(0), second: run(place), why }
}

/// Columns in an order that depends on names alone.
fn columns(
    mut found: Vec<(u32, u32, &str, f64, Vec<f64>)>,
    (algorithms, scenes): (Vec<AlgorithmName>, &[SceneKey]),
    (runs, left_out): (usize, LeftOut),
) -> Matched {
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
        let place =
            scene.group.as_deref().and_then(|group| groups.binary_search_by(|known| known.as_str().cmp(group)).ok());
        place.map_or(NO_GROUP, |place| place as u32)
    };
    let group_of: Vec<u32> = scenes.iter().map(group_of).collect();
    Matched {
        algorithm: found.iter().map(|row| row.1).collect(),
        scene: found.iter().map(|row| row.0).collect(),
        group: found.iter().map(|row| group_of[row.0 as usize]).collect(),
        mos: found.iter().map(|row| row.3).collect(),
        scores: (0..runs).map(|run| found.iter().map(|row| row.4[run]).collect()).collect(),
        algorithms,
        scenes,
        groups,
        left_out,
    }
}
