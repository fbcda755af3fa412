//! A test of a model on some pictures. Like a trial, it is a unit of work whose name is a digest of its inputs. It is
//! computed once and read by every line that needs it, with any pooling.

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

/// Version of scoring and pooling. Raising it invalidates evaluations of older versions.
const VERSION: u32 = 1;

/// How the scores of a picture's windows are combined into its score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The mean, as in the paper.
    #[default]
    Mean,
    /// The median.
    Median,
    /// The mean of the lowest quarter, at least one window.
    LowestQuarter,
    /// The mean weighted by the standard deviation of each window's luma, so that windows with content count more than
    /// sky.
    Contrast,
    /// The mean weighted by each score's distance from the median, so that outliers count more.
    Spread,
    /// The mean weighted by the share of the class token's attention, rolled out through all layers, that is on the
    /// window itself and not on the whole picture or the prompts.
    Attention,
}

impl Pooling {
    /// All variants.
    pub const ALL: [Pooling; 6] = [
        Pooling::Mean,
        Pooling::Median,
        Pooling::LowestQuarter,
        Pooling::Contrast,
        Pooling::Spread,
        Pooling::Attention,
    ];
}

impl fmt::Display for Pooling {
    /// Writes the variant as in TOML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Pooling::Mean => "mean",
            Pooling::Median => "median",
            Pooling::LowestQuarter => "lowest-quarter",
            Pooling::Contrast => "contrast",
            Pooling::Spread => "spread",
            Pooling::Attention => "attention",
        })
    }
}

/// A picture's score by each [`Pooling`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PooledScores {
    /// [`Pooling::Mean`]
    pub mean: f64,
    /// [`Pooling::Median`]
    pub median: f64,
    /// [`Pooling::LowestQuarter`]
    pub lowest_quarter: f64,
    /// [`Pooling::Contrast`]
    pub contrast: f64,
    /// [`Pooling::Spread`]
    pub spread: f64,
    /// [`Pooling::Attention`], if attention was computed.
    pub attention: Option<f64>,
}

impl PooledScores {
    /// Computes the scores from the windows' scores, standard deviations of luma and, if computed, attention.
    ///
    /// # Panics
    /// There is no window, or the numbers of windows and deviations differ.
    pub fn compute(scores: &[f32], deviations: &[f64], attention: Option<&[f64]>) -> PooledScores {
        assert!(!scores.is_empty() && scores.len() == deviations.len(), "a picture has windows, each with a deviation");
        let scores: Vec<f64> = scores.iter().map(|score| f64::from(*score)).collect();
        let n = scores.len();
        let mean = scores.iter().sum::<f64>() / n as f64;
        let mut sorted = scores.clone();
        sorted.sort_by(f64::total_cmp);
        let median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0;
        let lowest = n.div_ceil(4);
        let from_middle: Vec<f64> = scores.iter().map(|score| (score - median).abs()).collect();
        PooledScores {
            mean,
            median,
            lowest_quarter: sorted[..lowest].iter().sum::<f64>() / lowest as f64,
            contrast: weighted(&scores, deviations).unwrap_or(mean),
            spread: weighted(&scores, &from_middle).unwrap_or(mean),
            attention: attention.map(|attention| weighted(&scores, attention).unwrap_or(mean)),
        }
    }
}

/// Returns the weighted mean, or None if no weight is positive.
fn weighted(scores: &[f64], weights: &[f64]) -> Option<f64> {
    let sum: f64 = weights.iter().sum();
    (sum > 0.0).then(|| scores.iter().zip(weights).map(|(score, weight)| score * weight).sum::<f64>() / sum)
}

/// A test to compute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// What computes the scores: a trial's name, or `handcrafted-` and the model's digest.
    pub evaluator: String,
    /// The data set's name.
    pub dataset: DatasetName,
    /// The views of a picture.
    pub views: String,
    /// Whether attention is computed too. The model then runs in plain tensor operations, which take longer.
    pub with_attention: bool,
    /// The pictures to score.
    pub pictures: Vec<TrialPicture>,
}

impl Evaluation {
    /// What a picture costs in scored windows, by estimate: those of 640 x 480 pixels, and the whole.
    pub const WINDOWS_PER_PICTURE: u64 = 36;

    /// Estimates what the test costs in scored windows. For deadlines and progress.
    pub fn windows(&self) -> u64 {
        self.pictures.len() as u64 * Evaluation::WINDOWS_PER_PICTURE
    }

    /// Returns `<data set>-<digest>`. Equal tests have equal names.
    pub fn name(&self) -> String {
        let mut hasher = Hasher::new_derive_key("dqa 2026 name of an evaluation");
        let mut field = |bytes: &[u8]| digest::update_field(&mut hasher, bytes);
        field(&VERSION.to_le_bytes());
        [self.evaluator.as_str(), self.dataset.as_str(), &self.views].iter().for_each(|text| field(text.as_bytes()));
        field(&[u8::from(self.with_attention)]);
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

/// Returns the key of an evaluation's object in a store.
pub fn evaluation_key(name: &str) -> String {
    format!("{EVALUATIONS}/{name}.parquet")
}

/// A picture with its score and label.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredPicture {
    /// The algorithm that produced the picture.
    pub algorithm: String,
    /// The scene's name.
    pub scene: String,
    /// The label, 0 to 1.
    pub target: f64,
    /// The predicted score, 0 to 1.
    pub score: f64,
    /// Number of windows.
    pub windows: u64,
    /// Time on the device in seconds, or None if it was not measured.
    pub seconds: Option<f64>,
}

impl ScoredPicture {
    /// Computes the agreement of scores with labels.
    pub fn measures(pictures: &[ScoredPicture]) -> Measures {
        let column = |value: fn(&ScoredPicture) -> f64| pictures.iter().map(value).collect::<Vec<_>>();
        Measures::compute(&column(|picture| picture.score), &column(|picture| picture.target))
    }
}

/// Why a file of scored pictures could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScoredFileError {
    /// The file is not valid Parquet.
    #[error("{key} cannot be read")]
    Parquet {
        /// The object's key.
        key: String,
        /// The reader's error.
        #[source]
        source: ParquetError,
    },
    /// A column is missing or has the wrong type.
    #[error("column `{column}` of {key} is missing or has another type")]
    Column {
        /// The object's key.
        key: String,
        /// The column's name.
        column: &'static str,
    },
}

/// Reads the scored pictures from a file of the table `predictions` or `evaluations`. `key` is the object's key, for
/// errors. A file of predictions has only mean scores and no times.
///
/// # Errors
/// The file is not of one of these tables.
pub fn read_scored_pictures(key: &str, bytes: Bytes, pool: Pooling) -> Result<Vec<ScoredPicture>, ScoredFileError> {
    let batches =
        parquet_file::read(bytes).map_err(|source| ScoredFileError::Parquet { key: key.to_owned(), source })?;
    let mut pictures = Vec::new();
    for batch in &batches {
        let invalid = |column| move || ScoredFileError::Column { key: key.to_owned(), column };
        let is_prediction = batch.column_by_name("score").is_some();
        let score = match pool {
            Pooling::Mean if is_prediction => "score",
            Pooling::Mean => "mean",
            Pooling::Median => "median",
            Pooling::LowestQuarter => "lowest_quarter",
            Pooling::Contrast => "contrast",
            Pooling::Spread => "spread",
            Pooling::Attention => "attention",
        };
        let text = |column| strings(batch, column).ok_or_else(invalid(column));
        let number = |column| floats(batch, column).ok_or_else(invalid(column));
        let (algorithms, scenes) = (text("algorithm")?, text("scene")?);
        let (targets, scores) = (number("target")?, number(score)?);
        let windows = batch.column_by_name("windows").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let windows = windows.ok_or_else(invalid("windows"))?;
        let seconds = if is_prediction { None } else { Some(number("seconds")?) };
        pictures.extend((0..batch.num_rows()).map(|index| ScoredPicture {
            algorithm: algorithms[index].clone(),
            scene: scenes[index].clone(),
            target: targets[index],
            score: scores[index],
            windows: windows.value(index).unsigned_abs(),
            seconds: seconds.as_ref().map(|seconds| seconds[index]),
        }));
    }
    Ok(pictures)
}

fn strings(batch: &RecordBatch, column: &str) -> Option<Vec<String>> {
    let column = batch.column_by_name(column)?.as_string_opt::<i32>()?;
    Some((0..column.len()).map(|index| column.value(index).to_owned()).collect())
}

fn floats(batch: &RecordBatch, column: &str) -> Option<Vec<f64>> {
    let column = batch.column_by_name(column)?.as_primitive_opt::<Float64Type>().filter(|c| c.null_count() == 0)?;
    Some((0..column.len()).map(|index| column.value(index)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tables::evaluations::{self, EvaluationRow};

    #[test]
    fn pools_are_what_they_say() {
        let pooled = PooledScores::compute(&[0.5, 0.25, 1.0, 0.25], &[0.0, 1.0, 3.0, 0.0], Some(&[1.0, 0.0, 1.0, 0.0]));
        assert_eq!((pooled.mean, pooled.median, pooled.lowest_quarter), (0.5, 0.375, 0.25));
        assert_eq!(pooled.contrast, (0.25 + 3.0) / 4.0);
        // Distances from 0.375: 0.125, 0.125, 0.625, 0.125.
        assert_eq!(pooled.spread, (0.125 * 0.5 + 0.125 * 0.25 * 2.0 + 0.625) / 1.0);
        assert_eq!(pooled.attention, Some(0.75));
        assert_eq!(PooledScores::compute(&[0.5; 5], &[0.0; 5], None).contrast, 0.5, "nothing has weight: the mean");
    }

    proptest! {
        #[test]
        fn a_pool_lies_between_the_windows(windows in proptest::collection::vec((0.0..1.0f32, 0.0..80.0f64), 1..40)) {
            let (scores, deviations): (Vec<f32>, Vec<f64>) = windows.into_iter().unzip();
            let pooled = PooledScores::compute(&scores, &deviations, Some(&deviations));
            let low = f64::from(scores.iter().copied().fold(f32::INFINITY, f32::min)) - 1e-9;
            let high = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max)) + 1e-9;
            let PooledScores { mean, median, lowest_quarter, contrast, spread, attention } = pooled;
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
            evaluator: "d-1-ab".to_owned(),
            dataset: "d".parse().unwrap(),
            views: "stride=64".to_owned(),
            with_attention: false,
            pictures: vec![picture.clone()],
        };
        let other = |change: &dyn Fn(&mut Evaluation)| {
            let mut evaluation = base.clone();
            change(&mut evaluation);
            evaluation.name()
        };
        let names = [
            base.name(),
            other(&|e| e.evaluator = "d-2-ab".to_owned()),
            other(&|e| e.views = "stride=32".to_owned()),
            other(&|e| e.with_attention = true),
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
        for (pool, score) in Pooling::ALL.into_iter().zip([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) {
            let read = read_scored_pictures("k", bytes.clone(), pool).unwrap();
            let algorithm = "dcp".to_owned();
            let want =
                ScoredPicture { algorithm, scene: "s".to_owned(), target: 0.75, score, windows: 4, seconds: Some(2.0) };
            assert_eq!(read, [want]);
        }
        let unlooked = file(EvaluationRow { attention: None, ..row });
        assert!(
            read_scored_pictures("k", unlooked, Pooling::Attention).is_err(),
            "what was not looked at is no weight"
        );
        assert!(read_scored_pictures("k", Bytes::from_static(b"no"), Pooling::Mean).is_err());
    }
}
