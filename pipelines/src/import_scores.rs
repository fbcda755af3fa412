//! Imports scores that others made as a run: a table's rows become the rows of parts, as if a metric of dqa had scored the
//! pictures. The metric has its own fingerprint, so that these scores never mix with those of other code. No picture is
//! read: a score is what the table says.

mod error;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use dqa_metrics::Metric;
use jiff::Timestamp;

use crate::dataset::{DataSet, Definition, ScoreColumns, TableScore, read_scores};
use crate::digest;
use crate::metric::{CLIP_DQA, Direction, MetricSelection, MetricSpec};
use crate::names::{AlgorithmName, DatasetName, MetricName, RunName};
use crate::part_removal;
use crate::parts::{self, PartState};
use crate::picture_limits::PictureLimits;
use crate::plan::{self, SHARD_WINDOWS_MAX, Shard, ShardCut, ShardPart};
use crate::registry::{self, RequestedDataset};
use crate::run::{DatasetSpec, PartRef, RunCounts, RunRecord, RunSpec, RunState};
use crate::run_progress::PartListing;
use crate::store::{Store, StoreError};
use crate::tables::scores::{PartColumns, ScoreRow, ScoreStatistics, ScoringFailure};

pub use error::ImportError;

/// The error code of a picture that the table has no row for.
pub const NOT_IN_TABLE: &str = "not_in_table";

/// The error code of a picture whose row in the table has no score.
pub const NO_VALUE: &str = "no_value";

/// What is imported, and as which metric.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The table: a path relative to `base`, or a URL.
    pub file: String,
    /// The folder that a relative path starts from.
    pub base: PathBuf,
    /// The table's columns.
    pub columns: ScoreColumns,
    /// The metric's name.
    pub metric: MetricName,
    /// Whether high or low scores are good.
    pub direction: Direction,
    /// The code that made the scores, in the user's words. The name of a metric that dqa computes too requires it.
    pub implementation: Option<String>,
    /// The run's name.
    pub run: RunName,
    /// Data sets whose names may come to stand for other sources.
    pub redefine: Vec<DatasetName>,
    /// The programs and machines that import, for the run's record.
    pub provenance: BTreeMap<String, String>,
}

/// Imports a table of scores of a data set's pictures: writes the parts and the record of a complete run. A picture
/// without a score is a row with an error, [`NOT_IN_TABLE`] or [`NO_VALUE`]. Importing the same table again writes what is
/// missing.
///
/// # Errors
/// If the metric's name is taken; if the table cannot be read, or a row does not belong to exactly one picture; if the run
/// or the data set's name exists for something else; if the store fails.
pub async fn import_scores(store: &Store, data: &DataSet, options: &ImportOptions) -> Result<RunRecord, ImportError> {
    check_metric_name(&options.metric, options.implementation.as_deref())?;
    let (folder, file) = open_folder(options)?;
    let address = folder.address(&file);
    let table = read_scores(&folder, &file, &options.columns, data).await;
    let table = table.map_err(|source| ImportError::Table { file: address.clone(), source })?;
    let metric = imported_metric(options, &table.digest);
    let earlier = RunRecord::find(store, &options.run).await?;
    if earlier.as_ref().is_some_and(|earlier| !is_same_import(earlier, data, &metric)) {
        return Err(ImportError::RunExists { run: options.run.clone() });
    }
    let definition = Definition::from_toml(&data.definition)?;
    let requested = [RequestedDataset::new(&definition).with_loaded(data)];
    registry::register(store, &requested, &options.redefine, &format!("run {}", options.run)).await?;
    let mut provenance = options.provenance.clone();
    provenance.extend(table_provenance(options, &address, &table.digest));
    let import = Import { store, data, metric, scores: &table.scores, run: &options.run, provenance };
    let parts = import.write_parts().await?;
    let mut record = import.record(parts, earlier.as_ref());
    record.write(store).await?;
    // A removal by another process may have taken parts before the record named them.
    import.write_parts().await?;
    count_parts(store, &mut record).await?;
    record.write(store).await?;
    remove_replaced_parts(store, earlier.as_ref(), &record).await?;
    Ok(record)
}

/// Checks that a name does not hide that the scores are by other code than dqa's.
fn check_metric_name(name: &MetricName, implementation: Option<&str>) -> Result<(), ImportError> {
    let is_computed = name.as_str() == CLIP_DQA || name.as_str().parse::<Metric>().is_ok();
    let has_text = implementation.is_some_and(|text| !text.trim().is_empty());
    if is_computed && !has_text {
        return Err(ImportError::ComputedMetric { name: name.clone() });
    }
    if !is_computed && MetricSelection::parse([name.as_str()]).is_ok() {
        return Err(ImportError::GroupOfMetrics { name: name.clone() });
    }
    Ok(())
}

/// Opens the folder of the table, and returns it with the file's name.
fn open_folder(options: &ImportOptions) -> Result<(Store, String), StoreError> {
    let (folder, file) = options.file.rsplit_once('/').unwrap_or((".", &options.file));
    let folder = if folder.is_empty() { "/" } else { folder };
    Ok((Store::open(folder, &options.base)?, file.to_owned()))
}

/// Returns the metric of imported scores. Its fingerprint is a digest of all that is known of the scores.
fn imported_metric(options: &ImportOptions, file_digest: &str) -> MetricSpec {
    let mut hasher = blake3::Hasher::new_derive_key("dqa 2026 fingerprint of imported scores");
    let implementation = options.implementation.as_deref().unwrap_or_default();
    for field in [options.metric.as_str(), options.direction.as_str(), implementation, file_digest] {
        digest::update_field(&mut hasher, field.as_bytes());
    }
    MetricSpec {
        name: options.metric.clone(),
        fingerprint: hasher.finalize().to_hex().to_string(),
        direction: options.direction,
    }
}

/// Returns where the scores come from, for the run's record and the footers of parts.
fn table_provenance(options: &ImportOptions, address: &str, digest: &str) -> Vec<(String, String)> {
    let facts = [
        ("scores_file", Some(address.to_owned())),
        ("scores_digest", Some(digest.to_owned())),
        ("scores_implementation", options.implementation.clone()),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Returns whether an earlier run has the same scores of the same data set.
fn is_same_import(earlier: &RunRecord, data: &DataSet, metric: &MetricSpec) -> bool {
    earlier.spec.metrics == [metric.clone()] && earlier.spec.dataset_names() == [data.name.as_str()]
}

/// A table of scores that is being imported.
struct Import<'i> {
    store: &'i Store,
    data: &'i DataSet,
    metric: MetricSpec,
    /// What the table says about each picture of the data set.
    scores: &'i [TableScore],
    run: &'i RunName,
    provenance: BTreeMap<String, String>,
}

impl Import<'_> {
    /// Writes the parts that the store lacks, and returns all of them.
    async fn write_parts(&self) -> Result<Vec<PartRef>, StoreError> {
        let mut parts = Vec::new();
        for (algorithm, range) in plan::algorithm_ranges(self.data) {
            // A score needs no window: each picture counts as one.
            let windows = vec![1; range.len()];
            for cut in plan::cut_shards(self.data, range, &windows, SHARD_WINDOWS_MAX) {
                parts.push(self.write_part(&algorithm, &cut).await?);
            }
        }
        Ok(parts)
    }

    async fn write_part(&self, algorithm: &AlgorithmName, cut: &ShardCut) -> Result<PartRef, StoreError> {
        let columns = PartColumns {
            dataset: self.data.name.to_string(),
            algorithm: algorithm.to_string(),
            metric: self.metric.name.to_string(),
            fingerprint: self.metric.fingerprint.clone(),
            part: plan::part_name(self.data, cut, &self.metric, PictureLimits::default()),
        };
        let part = ShardPart { columns, reuse: Vec::new() };
        let shard = Shard {
            store: self.store.url().to_string(),
            parts: Vec::new(),
            retry_failed: false,
            pictures: plan::shard_pictures(self.data, &cut.pictures, &[&self.metric]),
            windows: cut.windows,
            facts: vec![("dqa.run".to_owned(), self.run.to_string())],
            limits: PictureLimits::default(),
            parameters: None,
        };
        let (key, rows) = (part.key(), cut.pictures.len() as u64);
        if !matches!(parts::inspect(self.store, &key, rows).await?, PartState::Complete(_)) {
            let provenance: Vec<(String, String)> =
                self.provenance.iter().map(|(name, value)| (format!("dqa.{name}"), value.clone())).collect();
            let rows: Vec<ScoreRow> = cut.pictures.iter().map(|number| self.row(*number)).collect();
            self.store.put(&key, parts::encode(&shard, &part, &rows, &provenance)).await?;
        }
        let metric = Some(&self.metric.name).filter(|_| !self.metric.is_clip_dqa()).cloned();
        let (dataset, algorithm) = (self.data.name.clone(), algorithm.clone());
        Ok(PartRef { key, dataset, algorithm, rows, windows: rows, metric })
    }

    /// Returns the row of the picture with this number.
    fn row(&self, number: u32) -> ScoreRow {
        let picture = &self.data.pictures[number as usize];
        let failure =
            |code: &str, message: &str| Err(ScoringFailure { code: code.to_owned(), message: message.to_owned() });
        let score = match self.scores[number as usize] {
            TableScore::Value(score) => Ok(ScoreStatistics { score, std: 0.0, min: score, max: score }),
            TableScore::Empty => failure(NO_VALUE, "its row in the imported table has no score"),
            TableScore::Absent => failure(NOT_IN_TABLE, "the imported table has no row for it"),
        };
        ScoreRow {
            scene: picture.scene.to_string(),
            scene_group: picture.scene_group.as_deref().map(str::to_owned),
            image: picture.image.to_string(),
            uri: self.data.uri(picture),
            version: picture.version.to_string(),
            digest: None,
            width: None,
            height: None,
            windows: i32::from(score.is_ok()),
            score,
            mos: picture.mos,
            raters: picture.raters,
            flat_share: None,
        }
    }

    /// Returns the record of the complete run.
    fn record(&self, parts: Vec<PartRef>, earlier: Option<&RunRecord>) -> RunRecord {
        let scored = self.scores.iter().filter(|score| matches!(score, TableScore::Value(_))).count() as u64;
        let pictures = self.scores.len() as u64;
        let now = Timestamp::now();
        RunRecord {
            name: self.run.clone(),
            state: RunState::Complete,
            created: earlier.map_or(now, |earlier| earlier.created),
            updated: now,
            spec: self.spec(),
            fingerprint: if self.metric.is_clip_dqa() { self.metric.fingerprint.clone() } else { String::new() },
            counts: RunCounts { pictures, windows: pictures, scored, failed: pictures - scored },
            counted: None,
            training_counts: None,
            parts_digest: None,
            term: None,
            provenance: self.provenance.clone(),
            parts,
            request: None,
            failure: None,
            hint: None,
        }
    }

    /// Returns the settings of a run without a model.
    fn spec(&self) -> RunSpec {
        let dataset = DatasetSpec {
            name: self.data.name.clone(),
            root: self.data.root.url().to_string(),
            algorithms: self.data.algorithms(),
            protocol: self.data.protocol.map(|protocol| protocol.to_string()),
            definition: self.data.definition.clone(),
            seen_in_training: None,
            hazy: self.data.hazy_rows.clone(),
        };
        RunSpec::without_model(vec![dataset], vec![self.metric.clone()])
    }
}

/// Records which versions of the parts the record's counts are of, and the digest of their content.
async fn count_parts(store: &Store, record: &mut RunRecord) -> Result<(), StoreError> {
    let listing = PartListing::read(store, std::slice::from_ref(record)).await?;
    record.counted = listing.digest(&record.parts);
    record.parts_digest = parts::find_digest_of_all(store, &record.parts).await?;
    Ok(())
}

/// Removes the parts that only the earlier record of a run names: they hold older versions of its rows.
async fn remove_replaced_parts(
    store: &Store,
    earlier: Option<&RunRecord>,
    record: &RunRecord,
) -> Result<(), ImportError> {
    let kept: HashSet<&str> = record.parts.iter().map(|part| part.key.as_str()).collect();
    let replaced = earlier.into_iter().flat_map(|earlier| &earlier.parts);
    let replaced: Vec<String> =
        replaced.map(|part| part.key.clone()).filter(|key| !kept.contains(key.as_str())).collect();
    part_removal::remove_unnamed(store, replaced).await?;
    Ok(())
}
