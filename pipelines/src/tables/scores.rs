//! The table `scores`: one row for each picture of a run, scored or failed. Each file is a part: the rows of one shard,
//! which have one data set, one algorithm and one fingerprint.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};

use crate::dataset::Raters;
#[cfg(doc)]
use crate::metric::CLIP_DQA;

/// Version of the columns and their meaning. It is part of every part's name: raise it with each change of either. A
/// column that only some parts have, such as [`RATERS`], is not a change, because the name of a part already determines
/// whether it has the column.
pub const SCORES_VERSION: u32 = 1;

/// The folder of the table in a store.
pub const SCORES: &str = "scores";

/// Returns the folder of one algorithm's parts. The keys in the path have other names than the columns: pyarrow refuses
/// a column that is in both the path and the file, and the file has all columns, so that a part can be read by itself.
pub fn part_folder(dataset: &str, algorithm: &str) -> String {
    format!("{}/by_algorithm={algorithm}", dataset_folder(dataset))
}

/// Returns the folder of a data set's parts.
pub fn dataset_folder(dataset: &str) -> String {
    format!("{SCORES}/by_dataset={dataset}")
}

/// Returns the key of a part's object in the store.
pub fn part_key(dataset: &str, algorithm: &str, part: &str) -> String {
    format!("{}/{part}.parquet", part_folder(dataset, algorithm))
}

/// A row of the table. The columns with one value for the whole part are in [`PartColumns`].
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreRow {
    /// The scene that the picture shows.
    pub scene: String,
    /// The group that the scene is reported in.
    pub scene_group: Option<String>,
    /// The picture's key below the data set's root.
    pub image: String,
    /// The picture's address.
    pub uri: String,
    /// The store's version of the file when the picture was planned.
    pub version: String,
    /// BLAKE3 digest of the file, 64 digits. None if the file could not be read.
    pub digest: Option<String>,
    /// Width in pixels. None if the header could not be read.
    pub width: Option<i32>,
    /// Height in pixels. None if the header could not be read.
    pub height: Option<i32>,
    /// Number of scored windows. 0 for a failed picture.
    pub windows: i32,
    /// The score, or why there is none.
    pub score: Result<ScoreStatistics, ScoringFailure>,
    /// The label, higher is better.
    pub mos: Option<f64>,
    /// The raters whose mean the label is, if it is a mean.
    pub raters: Option<Raters>,
    /// Share of the picture's windows in which all gray levels are equal, 0 to 1. None for metrics that do not depend on it.
    pub flat_share: Option<f64>,
}

/// A picture's score and the distribution of its windows' scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreStatistics {
    /// The metric's value. For CLIP-DQA the mean over the windows, 0 to 1, higher is better.
    pub score: f64,
    /// Population standard deviation over the windows.
    pub std: f64,
    /// The lowest score of a window.
    pub min: f64,
    /// The highest score of a window.
    pub max: f64,
}

/// Why a picture has no score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoringFailure {
    /// A stable code for programs.
    pub code: String,
    /// A message for readers.
    pub message: String,
}

/// The columns with one value for the whole part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartColumns {
    /// The data set's name.
    pub dataset: String,
    /// The algorithm's name.
    pub algorithm: String,
    /// The metric's name.
    pub metric: String,
    /// Fingerprint of the metric: 64 digits.
    pub fingerprint: String,
    /// The part's name: the file's name without `.parquet`.
    pub part: String,
}

/// The columns of [`ScoreRow::raters`]. A part has them if any of its labels is a mean. In the other parts readers see
/// NULL, so earlier parts of a store stay unchanged.
pub const RATERS: [&str; 2] = ["mos_raters", "mos_std"];

/// The column of [`ScoreRow::flat_share`]. Only parts of metrics that depend on flat windows have it.
pub const FLAT_SHARE: &str = "flat_share";

/// The column of the metric's name. Parts of versions that had one metric lack it: their metric is [`CLIP_DQA`].
pub const METRIC: &str = "metric";

/// The table's columns.
pub static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = DataType::Utf8;
    let word = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Arc::new(Schema::new(vec![
        Field::new("dataset", word(), false),
        Field::new("algorithm", word(), false),
        Field::new("scene", text.clone(), false),
        Field::new("scene_group", text.clone(), true),
        Field::new("image", text.clone(), false),
        Field::new("uri", text.clone(), false),
        Field::new("version", text.clone(), false),
        Field::new("digest", text.clone(), true),
        Field::new("width", DataType::Int32, true),
        Field::new("height", DataType::Int32, true),
        Field::new("windows", DataType::Int32, false),
        Field::new("score", DataType::Float64, true),
        Field::new("score_std", DataType::Float64, true),
        Field::new("score_min", DataType::Float64, true),
        Field::new("score_max", DataType::Float64, true),
        Field::new("mos", DataType::Float64, true),
        Field::new(RATERS[0], DataType::Int64, true),
        Field::new(RATERS[1], DataType::Float64, true),
        Field::new("error_code", text.clone(), true),
        Field::new("error_message", text, true),
        Field::new(METRIC, word(), true),
        Field::new(FLAT_SHARE, DataType::Float64, true),
        Field::new("fingerprint", word(), false),
        Field::new("part", word(), false),
    ]))
});

/// Returns the rows as a batch of [`SCHEMA`], without [`RATERS`] or [`FLAT_SHARE`] if no row has them.
pub fn to_batch(part: &PartColumns, rows: &[ScoreRow]) -> RecordBatch {
    let constant = |value: &str| -> ArrayRef {
        let keys = Int32Array::from(vec![0; rows.len()]);
        Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(StringArray::from(vec![value]))))
    };
    let text = |cell: &dyn Fn(&ScoreRow) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(cell).collect::<StringArray>())
    };
    let whole = |cell: &dyn Fn(&ScoreRow) -> Option<i32>| -> ArrayRef {
        Arc::new(rows.iter().map(cell).collect::<Int32Array>())
    };
    let real = |cell: &dyn Fn(&ScoreRow) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(cell).collect::<Float64Array>())
    };
    let statistic = |value: fn(&ScoreStatistics) -> f64| real(&move |row| row.score.as_ref().ok().map(value));
    let columns = vec![
        constant(&part.dataset),
        constant(&part.algorithm),
        text(&|row| Some(row.scene.clone())),
        text(&|row| row.scene_group.clone()),
        text(&|row| Some(row.image.clone())),
        text(&|row| Some(row.uri.clone())),
        text(&|row| Some(row.version.clone())),
        text(&|row| row.digest.clone()),
        whole(&|row| row.width),
        whole(&|row| row.height),
        whole(&|row| Some(row.windows)),
        statistic(|s| s.score),
        statistic(|s| s.std),
        statistic(|s| s.min),
        statistic(|s| s.max),
        real(&|row| row.mos),
        Arc::new(rows.iter().map(|row| row.raters.map(|raters| i64::from(raters.count))).collect::<Int64Array>()),
        real(&|row| row.raters.and_then(|raters| raters.std)),
        text(&|row| row.score.as_ref().err().map(|f| f.code.clone())),
        text(&|row| row.score.as_ref().err().map(|f| f.message.clone())),
        constant(&part.metric),
        real(&|row| row.flat_share),
        constant(&part.fingerprint),
        constant(&part.part),
    ];
    let has_raters = rows.iter().any(|row| row.raters.is_some());
    let has_flat_share = rows.iter().any(|row| row.flat_share.is_some());
    let is_present = |name: &str| (has_raters || !RATERS.contains(&name)) && (has_flat_share || name != FLAT_SHARE);
    let present: Vec<usize> = (0..columns.len()).filter(|index| is_present(SCHEMA.field(*index).name())).collect();
    let batch = RecordBatch::try_new(SCHEMA.clone(), columns).expect("the columns are made to the schema");
    batch.project(&present).expect("the columns are there")
}

/// Returns the rows of a batch of [`SCHEMA`], with or without [`RATERS`], [`FLAT_SHARE`] and [`METRIC`].
///
/// # Errors
/// Another column is missing, or a column has another type.
pub fn from_batch(batch: &RecordBatch) -> Result<Vec<ScoreRow>, ArrowError> {
    let column = |name: &str| {
        batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("column `{name}` is missing")))
    };
    let wrong_type = |name: &str| ArrowError::SchemaError(format!("column `{name}` has another type"));
    let text = |name: &'static str| column(name)?.as_string_opt::<i32>().ok_or_else(|| wrong_type(name));
    let whole = |name: &'static str| column(name)?.as_primitive_opt::<Int32Type>().ok_or_else(|| wrong_type(name));
    let real = |name: &'static str| column(name)?.as_primitive_opt::<Float64Type>().ok_or_else(|| wrong_type(name));
    let texts = |array: &StringArray, i| array.is_valid(i).then(|| array.value(i).to_owned());
    let reals = |array: &Float64Array, i| array.is_valid(i).then(|| array.value(i));
    let wholes = |array: &Int32Array, i| array.is_valid(i).then(|| array.value(i));
    let (scene, group, image, uri) = (text("scene")?, text("scene_group")?, text("image")?, text("uri")?);
    let (version, digest) = (text("version")?, text("digest")?);
    let (width, height, windows) = (whole("width")?, whole("height")?, whole("windows")?);
    let (score, std, min, max) = (real("score")?, real("score_std")?, real("score_min")?, real("score_max")?);
    let raters = batch.column_by_name(RATERS[0]).map(|column| column.as_primitive_opt::<Int64Type>());
    let raters = raters.map(|column| column.ok_or_else(|| wrong_type(RATERS[0]))).transpose()?;
    let deviation = raters.map(|_| real(RATERS[1])).transpose()?;
    let raters = |i| {
        let raters = raters.filter(|raters| raters.is_valid(i))?;
        let std = deviation.and_then(|deviation| reals(deviation, i));
        Some(Raters { count: u32::try_from(raters.value(i)).unwrap_or(u32::MAX), std })
    };
    let flat_share = batch.column_by_name(FLAT_SHARE).map(|_| real(FLAT_SHARE)).transpose()?;
    let (mos, code, message) = (real("mos")?, text("error_code")?, text("error_message")?);
    let row = |i| ScoreRow {
        scene: scene.value(i).to_owned(),
        scene_group: texts(group, i),
        image: image.value(i).to_owned(),
        uri: uri.value(i).to_owned(),
        version: version.value(i).to_owned(),
        digest: texts(digest, i),
        width: wholes(width, i),
        height: wholes(height, i),
        windows: windows.value(i),
        score: if score.is_valid(i) {
            Ok(ScoreStatistics { score: score.value(i), std: std.value(i), min: min.value(i), max: max.value(i) })
        } else {
            Err(ScoringFailure {
                code: texts(code, i).unwrap_or_default(),
                message: texts(message, i).unwrap_or_default(),
            })
        },
        mos: reals(mos, i),
        raters: raters(i),
        flat_share: flat_share.and_then(|share| reals(share, i)),
    };
    Ok((0..batch.num_rows()).map(row).collect())
}
