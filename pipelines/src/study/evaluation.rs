//! One test of a model on some pictures: a unit of work beside the trial, named by its content as a part is. It is made
//! once and read by every line that asks for it, with whatever pooling.

use std::fmt;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use blake3::Hasher;
use bytes::Bytes;
use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};

use crate::digest;
use crate::names::DatasetName;
use crate::tables::evaluations::EVALUATIONS;
use crate::tables::parquet_file;
use crate::train::{Measures, TrialPicture};

/// Another one is another way to score or pool: evaluations of an older one are not taken for done.
const VERSION: u32 = 1;

/// How a picture's score is made of its windows'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// Their mean: the paper's.
    #[default]
    Mean,
    /// Their median.
    Median,
    /// The mean of the lowest quarter of them, at least one.
    LowestQuarter,
    /// Their mean, weighted by the standard deviation of each window's luma: what has content counts more than sky.
    Contrast,
    /// Their mean, weighted by how far each is from the middle of all: what stands out counts more.
    Spread,
    /// Their mean, weighted by how much of what the class token sees through all layers is the window itself, and not the
    /// whole picture or the prompts.
    Attention,
}

impl Pool {
    /// All of them.
    pub const ALL: [Pool; 6] =
        [Pool::Mean, Pool::Median, Pool::LowestQuarter, Pool::Contrast, Pool::Spread, Pool::Attention];
}

impl fmt::Display for Pool {
    /// As it is written in TOML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Pool::Mean => "mean",
            Pool::Median => "median",
            Pool::LowestQuarter => "lowest-quarter",
            Pool::Contrast => "contrast",
            Pool::Spread => "spread",
            Pool::Attention => "attention",
        })
    }
}

/// A picture's score by each [`Pool`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pooled {
    /// [`Pool::Mean`]
    pub mean: f64,
    /// [`Pool::Median`]
    pub median: f64,
    /// [`Pool::LowestQuarter`]
    pub lowest_quarter: f64,
    /// [`Pool::Contrast`]
    pub contrast: f64,
    /// [`Pool::Spread`]
    pub spread: f64,
    /// [`Pool::Attention`], where it was looked at.
    pub attention: Option<f64>,
}

impl Pooled {
    /// Of windows with these scores, deviations of luma and, where it was looked at, attention.
    ///
    /// # Panics
    /// Where there is no window, or not one deviation for each.
    pub fn of(scores: &[f32], deviations: &[f64], attention: Option<&[f64]>) -> Pooled {
        assert!(!scores.is_empty() && scores.len() == deviations.len(), "a picture has windows, each with a deviation");
        let scores: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
        let n = scores.len();
        let mean = scores.iter().sum::<f64>() / n as f64;
        let mut sorted = scores.clone();
        sorted.sort_by(f64::total_cmp);
        let median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0;
        let lowest = n.div_ceil(4);
        let from_middle: Vec<f64> = scores.iter().map(|score| (score - median).abs()).collect();
        Pooled {
            mean,
            median,
            lowest_quarter: sorted[..lowest].iter().sum::<f64>() / lowest as f64,
            contrast: weighted(&scores, deviations).unwrap_or(mean),
            spread: weighted(&scores, &from_middle).unwrap_or(mean),
            attention: attention.map(|attention| weighted(&scores, attention).unwrap_or(mean)),
        }
    }
}

/// None where no weight is above 0.
fn weighted(scores: &[f64], weights: &[f64]) -> Option<f64> {
    let sum: f64 = weights.iter().sum();
    (sum > 0.0).then(|| scores.iter().zip(weights).map(|(score, weight)| score * weight).sum::<f64>() / sum)
}

/// A test to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Whose scores: a trial's name, or `handcrafted-` and the model's digest.
    pub judge: String,
    /// Whose pictures.
    pub dataset: DatasetName,
    /// What the model looks at.
    pub views: String,
    /// Whether its attention is looked at too: it then runs in plain operations, which take longer.
    pub looks: bool,
    /// They.
    pub pictures: Vec<TrialPicture>,
}

impl Evaluation {
    /// `<data set>-<digest>`: the same for the same test.
    pub fn name(&self) -> String {
        let mut hasher = Hasher::new_derive_key("dqa 2026 name of an evaluation");
        let mut field = |bytes: &[u8]| digest::update_field(&mut hasher, bytes);
        field(&VERSION.to_le_bytes());
        [self.judge.as_str(), self.dataset.as_str(), &self.views].iter().for_each(|text| field(text.as_bytes()));
        field(&[u8::from(self.looks)]);
        for picture in &self.pictures {
            for text in [picture.algorithm.as_str(), &picture.scene, &picture.image, &picture.uri, &picture.version] {
                field(text.as_bytes());
            }
            field(&picture.mos.to_bits().to_le_bytes());
            field(&picture.target.to_bits().to_le_bytes());
        }
        let dataset = &self.dataset.as_str()[..self.dataset.as_str().len().min(60)];
        format!("{dataset}-{}", &hasher.finalize().to_hex()[..32])
    }
}

/// An evaluation's object in a store.
pub fn evaluation_key(name: &str) -> String {
    format!("{EVALUATIONS}/{name}.parquet")
}

/// A picture that was tested.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Who made it.
    pub algorithm: String,
    /// What it shows.
    pub scene: String,
    /// Its label, 0 to 1.
    pub target: f64,
    /// What the model says, 0 to 1.
    pub score: f64,
    /// Windows.
    pub windows: u64,
    /// Of the device; None where it was not measured.
    pub seconds: Option<f64>,
}

impl Scored {
    /// How scores agree with labels.
    pub fn measures(pictures: &[Scored]) -> Measures {
        let column = |of: fn(&Scored) -> f64| pictures.iter().map(of).collect::<Vec<_>>();
        Measures::of(&column(|picture| picture.score), &column(|picture| picture.target))
    }
}

/// A file of the store that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// No Parquet.
    #[error("{key} cannot be read")]
    Parquet {
        /// The object.
        key: String,
        /// Why.
        #[source]
        source: ParquetError,
    },
    /// Another table.
    #[error("{key} has no column `{column}` of its type")]
    Column {
        /// The object.
        key: String,
        /// Which.
        column: &'static str,
    },
}

/// The pictures of a file of the table `predictions` or `evaluations`, which is the object `key`. Of a table of
/// predictions the pool is the mean, and nothing is known of time.
///
/// # Errors
/// Where it is another file.
pub fn scored(key: &str, bytes: Bytes, pool: Pool) -> Result<Vec<Scored>, StoredError> {
    let batches = parquet_file::read(bytes).map_err(|source| StoredError::Parquet { key: key.to_owned(), source })?;
    let mut pictures = Vec::new();
    for batch in &batches {
        let wrong = |column| move || StoredError::Column { key: key.to_owned(), column };
        let is_prediction = batch.column_by_name("score").is_some();
        let score = match pool {
            Pool::Mean if is_prediction => "score",
            Pool::Mean => "mean",
            Pool::Median => "median",
            Pool::LowestQuarter => "lowest_quarter",
            Pool::Contrast => "contrast",
            Pool::Spread => "spread",
            Pool::Attention => "attention",
        };
        let text = |column| strings(batch, column).ok_or_else(wrong(column));
        let number = |column| floats(batch, column).ok_or_else(wrong(column));
        let (algorithms, scenes) = (text("algorithm")?, text("scene")?);
        let (targets, scores) = (number("target")?, number(score)?);
        let windows = batch.column_by_name("windows").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let windows = windows.ok_or_else(wrong("windows"))?;
        let seconds = if is_prediction { None } else { Some(number("seconds")?) };
        pictures.extend((0..batch.num_rows()).map(|at| Scored {
            algorithm: algorithms[at].clone(),
            scene: scenes[at].clone(),
            target: targets[at],
            score: scores[at],
            windows: windows.value(at).unsigned_abs(),
            seconds: seconds.as_ref().map(|seconds| seconds[at]),
        }));
    }
    Ok(pictures)
}

fn strings(batch: &RecordBatch, column: &str) -> Option<Vec<String>> {
    let column = batch.column_by_name(column)?.as_string_opt::<i32>()?;
    Some((0..column.len()).map(|at| column.value(at).to_owned()).collect())
}

fn floats(batch: &RecordBatch, column: &str) -> Option<Vec<f64>> {
    let column = batch.column_by_name(column)?.as_primitive_opt::<Float64Type>().filter(|c| c.null_count() == 0)?;
    Some((0..column.len()).map(|at| column.value(at)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tables::evaluations::{self, EvaluationRow};

    #[test]
    fn pools_are_what_they_say() {
        let pooled = Pooled::of(&[0.5, 0.25, 1.0, 0.25], &[0.0, 1.0, 3.0, 0.0], Some(&[1.0, 0.0, 1.0, 0.0]));
        assert_eq!((pooled.mean, pooled.median, pooled.lowest_quarter), (0.5, 0.375, 0.25));
        assert_eq!(pooled.contrast, (0.25 + 3.0) / 4.0);
        // Distances from 0.375: 0.125, 0.125, 0.625, 0.125.
        assert_eq!(pooled.spread, (0.125 * 0.5 + 0.125 * 0.25 * 2.0 + 0.625) / 1.0);
        assert_eq!(pooled.attention, Some(0.75));
        assert_eq!(Pooled::of(&[0.5; 5], &[0.0; 5], None).contrast, 0.5, "nothing has weight: the mean");
    }

    proptest! {
        #[test]
        fn a_pool_lies_between_the_windows(windows in proptest::collection::vec((0.0..1.0f32, 0.0..80.0f64), 1..40)) {
            let (scores, deviations): (Vec<f32>, Vec<f64>) = windows.into_iter().unzip();
            let pooled = Pooled::of(&scores, &deviations, Some(&deviations));
            let low = f64::from(scores.iter().copied().fold(f32::INFINITY, f32::min)) - 1e-9;
            let high = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max)) + 1e-9;
            let Pooled { mean, median, lowest_quarter, contrast, spread, attention } = pooled;
            for score in [mean, median, lowest_quarter, contrast, spread, attention.unwrap()] {
                prop_assert!((low..=high).contains(&score), "{pooled:?}");
            }
            prop_assert!(pooled.lowest_quarter <= pooled.mean + 1e-9);
        }
    }

    #[test]
    fn all_that_determines_a_test_is_in_its_name() {
        let picture = TrialPicture {
            algorithm: "dcp".parse().unwrap(),
            scene: "s".to_owned(),
            image: "dcp/s.png".to_owned(),
            uri: "/d/dcp/s.png".to_owned(),
            bytes: 1,
            version: "v1".to_owned(),
            mos: 50.0,
            target: 0.5,
        };
        let base = Evaluation {
            judge: "d-1-ab".to_owned(),
            dataset: "d".parse().unwrap(),
            views: "stride=64".to_owned(),
            looks: false,
            pictures: vec![picture.clone()],
        };
        let other = |change: &dyn Fn(&mut Evaluation)| {
            let mut evaluation = base.clone();
            change(&mut evaluation);
            evaluation.name()
        };
        let names = [
            base.name(),
            other(&|e| e.judge = "d-2-ab".to_owned()),
            other(&|e| e.views = "stride=32".to_owned()),
            other(&|e| e.looks = true),
            other(&|e| e.pictures.push(picture.clone())),
            other(&|e| e.pictures[0].version = "v2".to_owned()),
            other(&|e| e.pictures[0].target = 0.25),
        ];
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
        assert!(names[0].starts_with("d-") && evaluation_key(&names[0]).ends_with(".parquet"));
    }

    #[test]
    fn what_is_written_is_read_by_each_pool() {
        let row = EvaluationRow {
            algorithm: "dcp".to_owned(),
            scene: "s".to_owned(),
            target: 0.75,
            windows: 4,
            mean: 0.1,
            median: 0.2,
            lowest_quarter: 0.3,
            contrast: 0.4,
            spread: 0.5,
            attention: Some(0.6),
            seconds: 2.0,
            ..EvaluationRow::default()
        };
        let file = |row| parquet_file::write(&evaluations::SCHEMA, &[evaluations::to_batch(&[row])], &[]).unwrap();
        let bytes = file(row.clone());
        for (pool, score) in Pool::ALL.into_iter().zip([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) {
            let read = scored("k", bytes.clone(), pool).unwrap();
            let algorithm = "dcp".to_owned();
            let want = Scored { algorithm, scene: "s".to_owned(), target: 0.75, score, windows: 4, seconds: Some(2.0) };
            assert_eq!(read, [want]);
        }
        let unlooked = file(EvaluationRow { attention: None, ..row });
        assert!(scored("k", unlooked, Pool::Attention).is_err(), "what was not looked at is no weight");
        assert!(scored("k", Bytes::from_static(b"no"), Pool::Mean).is_err());
    }
}
