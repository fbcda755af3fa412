//! The report of rows that are in no store, such as a table that somebody else keeps. They become the parts of a run in
//! memory, so that all statistics are those of any other run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use object_store::memory::InMemory;
use url::Url;

use super::{Report, ReportError, ReportOptions, compute};
use crate::import_scores::NO_VALUE;
use crate::metric::{Direction, MetricSpec};
use crate::names::{AlgorithmName, DatasetName, MetricName};
use crate::parts;
use crate::run::{DatasetSpec, PartRef, RunCounts, RunRecord, RunSpec, RunState};
use crate::store::Store;
use crate::tables::scores::{PartColumns, ScoreRow, ScoreStatistics, ScoringFailure, part_key};

/// A picture's value by one metric.
#[derive(Clone, Debug)]
pub struct LooseRow {
    /// The data set.
    pub dataset: DatasetName,
    /// The algorithm that made the picture.
    pub algorithm: AlgorithmName,
    /// The metric.
    pub metric: MetricName,
    /// The scene that the picture shows.
    pub scene: String,
    /// The picture's name, of which a data set has one.
    pub image: String,
    /// The value. None if the picture has none.
    pub score: Option<f64>,
    /// The label, higher is better.
    pub mos: Option<f64>,
}

/// The rows of a part: those of a data set, a metric and an algorithm.
type Parts<'r> = BTreeMap<(&'r DatasetName, &'r MetricName, &'r AlgorithmName), Vec<&'r LooseRow>>;

/// Computes the report of some rows. `direction` says whether high or low values of a metric are good.
///
/// # Errors
/// If a picture has two rows of one metric, or the options cannot give an interval.
pub async fn compute_of_rows(
    rows: &[LooseRow],
    direction: impl Fn(&MetricName) -> Direction,
    options: &ReportOptions,
) -> Result<Report, ReportError> {
    let mut known = BTreeSet::new();
    let mut parts = Parts::new();
    for row in rows {
        if !known.insert((&row.dataset, &row.metric, &row.image)) {
            let LooseRow { dataset, metric, image, .. } = row;
            let (dataset, metric) = (dataset.to_string(), metric.to_string());
            return Err(ReportError::Repeated { dataset, metric, image: image.clone() });
        }
        parts.entry((&row.dataset, &row.metric, &row.algorithm)).or_default().push(row);
    }
    let url = Url::parse("memory:///").expect("it is a URL");
    let store = Store::from_object_store(Arc::new(InMemory::new()), url);
    let record = write_run(&store, &parts, direction).await?;
    compute(&store, &record, options).await
}

async fn write_run(
    store: &Store,
    parts: &Parts<'_>,
    direction: impl Fn(&MetricName) -> Direction,
) -> Result<RunRecord, ReportError> {
    let names: BTreeSet<&MetricName> = parts.keys().map(|(_, metric, _)| *metric).collect();
    let spec = |name: &MetricName| MetricSpec {
        name: name.clone(),
        fingerprint: blake3::hash(name.as_str().as_bytes()).to_hex().to_string(),
        direction: direction(name),
    };
    let metrics: Vec<MetricSpec> = names.into_iter().map(spec).collect();
    let mut refs = Vec::with_capacity(parts.len());
    for (number, ((_, name, _), rows)) in parts.iter().enumerate() {
        let metric = metrics.iter().find(|metric| metric.name == **name).expect("it is a row's metric");
        refs.push(write_part(store, number, rows, metric).await?);
    }
    let scored = parts.values().flatten().filter(|row| row.score.is_some()).count() as u64;
    let pictures = refs.iter().map(|part| part.rows).sum();
    let now = Timestamp::now();
    let clip_dqa = metrics.iter().find(|metric| metric.is_clip_dqa());
    Ok(RunRecord {
        name: "table".parse().expect("it is a name"),
        state: RunState::Complete,
        created: now,
        updated: now,
        fingerprint: clip_dqa.map_or(String::new(), |metric| metric.fingerprint.clone()),
        spec: run_spec(parts, metrics),
        counts: RunCounts { pictures, windows: pictures, scored, failed: pictures - scored },
        counted: None,
        training_counts: None,
        parts_digest: None,
        term: None,
        provenance: BTreeMap::new(),
        parts: refs,
        request: None,
        failure: None,
        hint: None,
    })
}

async fn write_part(
    store: &Store,
    number: usize,
    rows: &[&LooseRow],
    metric: &MetricSpec,
) -> Result<PartRef, ReportError> {
    let (dataset, algorithm) = (rows[0].dataset.clone(), rows[0].algorithm.clone());
    let columns = PartColumns {
        dataset: dataset.to_string(),
        algorithm: algorithm.to_string(),
        metric: metric.name.to_string(),
        fingerprint: metric.fingerprint.clone(),
        part: format!("{}-s01-{number:032x}", &metric.fingerprint[..12]),
    };
    let key = part_key(&columns.dataset, &columns.algorithm, &columns.part);
    let score_rows: Vec<ScoreRow> = rows.iter().map(|row| score_row(row)).collect();
    store.put(&key, parts::encode_rows(&columns, &score_rows, &[])).await?;
    let rows = rows.len() as u64;
    let metric = Some(&metric.name).filter(|_| !metric.is_clip_dqa()).cloned();
    Ok(PartRef { key, dataset, algorithm, rows, windows: rows, metric })
}

fn score_row(row: &LooseRow) -> ScoreRow {
    let missing = || ScoringFailure { code: NO_VALUE.to_owned(), message: "its row has no score".to_owned() };
    let score = row.score.map(|score| ScoreStatistics { score, std: 0.0, min: score, max: score });
    ScoreRow {
        scene: row.scene.clone(),
        scene_group: None,
        image: row.image.clone(),
        uri: String::new(),
        version: String::new(),
        digest: None,
        width: None,
        height: None,
        windows: i32::from(score.is_some()),
        score: score.ok_or_else(missing),
        mos: row.mos,
        raters: None,
        flat_share: None,
    }
}

fn run_spec(parts: &Parts<'_>, metrics: Vec<MetricSpec>) -> RunSpec {
    let mut algorithms: BTreeMap<&DatasetName, BTreeSet<AlgorithmName>> = BTreeMap::new();
    for (dataset, _, algorithm) in parts.keys() {
        algorithms.entry(dataset).or_default().insert((*algorithm).clone());
    }
    let dataset = |(name, algorithms): (&DatasetName, BTreeSet<AlgorithmName>)| DatasetSpec {
        name: name.clone(),
        root: String::new(),
        algorithms: algorithms.into_iter().collect(),
        protocol: None,
        definition: String::new(),
        seen_in_training: None,
        hazy: None,
    };
    RunSpec::without_model(algorithms.into_iter().map(dataset).collect(), metrics)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<LooseRow> {
        let row = |number: usize| LooseRow {
            dataset: "d".parse().unwrap(),
            algorithm: ["dcp", "aod"][number % 2].parse().unwrap(),
            metric: "mine".parse().unwrap(),
            scene: format!("s{}", number / 2),
            image: format!("{number}.png"),
            score: (number != 7).then_some(number as f64 / 100.0 + if number.is_multiple_of(2) { 0.3 } else { 0.0 }),
            mos: Some(number as f64),
        };
        (0..20).map(row).collect()
    }

    #[tokio::test]
    async fn rows_are_ranked_as_a_run_is() {
        let options = ReportOptions::default();
        let report = compute_of_rows(&rows(), |_| Direction::Higher, &options).await.unwrap();
        let ranked: Vec<_> = report.leaderboard.iter().map(|row| (row.algorithm.as_str(), row.rank)).collect();
        assert_eq!(ranked[..2], [("dcp", Some(1)), ("aod", Some(2))]);
        assert_eq!((report.leaderboard[1].pictures, report.leaderboard[1].failed), (10, 1));
        assert!(report.correlations[0].srcc.is_some(), "there are labels");
        let lower = compute_of_rows(&rows(), |_| Direction::Lower, &options).await.unwrap();
        assert_eq!(lower.leaderboard[0].algorithm, "aod");
    }

    #[tokio::test]
    async fn a_picture_has_one_row() {
        let mut rows = rows();
        rows.push(rows[3].clone());
        let refused = compute_of_rows(&rows, |_| Direction::Higher, &ReportOptions::default()).await.unwrap_err();
        assert_eq!(refused.to_string(), "picture `3.png` of data set `d` has two rows of the metric `mine`");
    }
}
