//! Scores rows of a run again, from the pictures, and compares them: for somebody who checks a result that others made.

use std::collections::{HashMap, HashSet};

use dqa_model::{Arithmetic, Views};
use dqa_pipelines::dataset::Definition;
use dqa_pipelines::metric::{CLIP_DQA, MetricSpec};
use dqa_pipelines::parts;
use dqa_pipelines::plan::Shard;
use dqa_pipelines::run::{PartRef, RunRecord};
use dqa_pipelines::run_sample::SampledRow;
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::scores::ScoreRow;

use super::allowed_roots::Roots;
use super::error::RescoreError;
use super::plan::RunPlan;
use super::request::PlanRequest;
use crate::local_engine::LocalEngine;

/// How far the scores of one picture by two machines may differ. Kernels sum in different orders.
const DIFFERENCE_MAX_F32: f64 = 1e-4;
/// The same for 16 bits, which machines also round at different places.
const DIFFERENCE_MAX_HALF: f64 = 1e-2;

/// A row that was scored again.
#[derive(Clone, Debug, PartialEq)]
pub struct RescoredRow {
    /// The row.
    pub sampled: SampledRow,
    /// How the new row differs. None if it is the same within the tolerance.
    pub difference: Option<String>,
}

/// The name of a row in a run: its data set, algorithm, metric and picture.
type RowName = (String, String, String, String);

fn row_name(part: &PartRef, image: &str) -> RowName {
    let metric = part.metric.as_ref().map_or(CLIP_DQA, |metric| metric.as_str());
    (part.dataset.to_string(), part.algorithm.to_string(), metric.to_owned(), image.to_owned())
}

/// Returns whether dqa computed a run's scores. Imported ones cannot be computed again.
pub fn is_computed(record: &RunRecord) -> bool {
    !record.provenance.contains_key("scores_file")
}

/// Returns the request for a plan of all pictures of a run, as its record describes it.
///
/// # Errors
/// If a definition in the record is invalid, or the views are.
pub fn replan_request(record: &RunRecord) -> Result<PlanRequest, RescoreError> {
    let definition = |text: &str| Definition::from_toml(text).map_err(RescoreError::Definition);
    let datasets = &record.spec.datasets;
    let mut algorithms: Vec<String> = datasets
        .iter()
        .flat_map(|dataset| dataset.algorithms.iter().filter(|name| dataset.hazy.as_ref() != Some(name)))
        .map(ToString::to_string)
        .collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    let views: Views = match record.spec.views.as_str() {
        "" => Views::default(),
        views => views.parse().map_err(|_| RescoreError::Views { views: views.to_owned() })?,
    };
    Ok(PlanRequest {
        definitions: datasets.iter().map(|dataset| definition(&dataset.definition)).collect::<Result<_, _>>()?,
        algorithms,
        with_hazy: datasets.iter().any(|dataset| dataset.hazy.is_some()),
        allow_missing: true,
        retry_failed: false,
        shard_windows: record.spec.shard_windows_max,
        views,
        limits: record.spec.limits,
        metrics: record.metrics(),
        leaves_out_metrics: true,
        metric_parameters: record.spec.metric_parameters.clone(),
        roots: Roots::unrestricted(),
    })
}

/// Scores sampled rows again. `plan` has the pictures as they are now; the new parts are written to `scratch`, which has
/// nothing else. Calls `on_shard` with the number of its rows after each shard.
///
/// # Errors
/// If the store or the device fails.
pub async fn rescore(
    plan: &mut RunPlan,
    sample: Vec<SampledRow>,
    (engine, scratch): (&LocalEngine, &Store),
    arithmetic: Arithmetic,
    mut on_shard: impl FnMut(u64),
) -> Result<Vec<RescoredRow>, RescoreError> {
    plan.forget_parts();
    let wanted: HashSet<RowName> = sample.iter().map(|sampled| row_name(&sampled.part, &sampled.row.image)).collect();
    let mut again: HashMap<RowName, ScoreRow> = HashMap::new();
    for shard in plan.shards(scratch, false) {
        let Some(shard) = restrict(shard, &wanted) else { continue };
        engine.score(&shard).await.map_err(RescoreError::Score)?;
        let mut rows_done = 0;
        for part in &shard.parts {
            let columns = &part.columns;
            let rows = parts::read_rows(scratch, &part.key()).await?;
            rows_done += rows.len() as u64;
            for row in rows {
                let (dataset, algorithm) = (columns.dataset.clone(), columns.algorithm.clone());
                again.insert((dataset, algorithm, columns.metric.clone(), row.image.clone()), row);
            }
        }
        on_shard(rows_done);
    }
    let metrics: Vec<MetricSpec> = plan.metrics.clone();
    let compare = |sampled: SampledRow| {
        let found = again.get(&row_name(&sampled.part, &sampled.row.image));
        let is_clip_dqa = metrics.iter().any(|metric| metric.is_clip_dqa() && sampled.part.is_of(metric));
        let tolerance = if is_clip_dqa { tolerance(arithmetic) } else { 0.0 };
        let difference = match found {
            None => Some("the data set does not have the picture any more".to_owned()),
            Some(again) => difference(&sampled.row, again, tolerance),
        };
        RescoredRow { sampled, difference }
    };
    Ok(sample.into_iter().map(compare).collect())
}

fn tolerance(arithmetic: Arithmetic) -> f64 {
    if arithmetic == Arithmetic::F32 { DIFFERENCE_MAX_F32 } else { DIFFERENCE_MAX_HALF }
}

/// Returns the shard with the wanted pictures, and the parts of their metrics. None if it has none of them.
fn restrict(mut shard: Shard, wanted: &HashSet<RowName>) -> Option<Shard> {
    let is_wanted = |shard: &Shard, part: usize, image: &str| {
        let columns = &shard.parts[part].columns;
        let name = (columns.dataset.clone(), columns.algorithm.clone(), columns.metric.clone(), image.to_owned());
        wanted.contains(&name)
    };
    let all = 0..shard.parts.len();
    let parts: Vec<bool> =
        all.clone().map(|part| shard.pictures.iter().any(|picture| is_wanted(&shard, part, &picture.image))).collect();
    let pictures: Vec<bool> =
        shard.pictures.iter().map(|picture| all.clone().any(|part| is_wanted(&shard, part, &picture.image))).collect();
    let (mut parts, mut pictures) = (parts.into_iter(), pictures.into_iter());
    shard.parts.retain(|_| parts.next() == Some(true));
    shard.pictures.retain(|_| pictures.next() == Some(true));
    (!shard.parts.is_empty()).then_some(shard)
}

/// Returns how a row that was computed again differs from the stored one.
fn difference(stored: &ScoreRow, again: &ScoreRow, tolerance: f64) -> Option<String> {
    if stored.digest != again.digest && stored.digest.is_some() {
        return Some("the picture's file is another one now".to_owned());
    }
    if stored.mos != again.mos {
        let label = |mos: Option<f64>| mos.map_or("none".to_owned(), |mos| mos.to_string());
        return Some(format!("its label is {}, and the data set has {}", label(stored.mos), label(again.mos)));
    }
    match (&stored.score, &again.score) {
        (Ok(stored), Ok(again)) => {
            let is_same = (stored.score - again.score).abs() <= tolerance * stored.score.abs().max(1.0);
            (!is_same).then(|| format!("its score is {}, and {} was computed", stored.score, again.score))
        }
        (Err(stored), Err(again)) if stored.code == again.code => None,
        (Err(stored), Err(again)) => Some(format!("it failed with `{}`, and now with `{}`", stored.code, again.code)),
        (Ok(stored), Err(again)) => {
            Some(format!("its score is {}, and now it fails with `{}`", stored.score, again.code))
        }
        (Err(stored), Ok(again)) => Some(format!("it failed with `{}`, and {} was computed", stored.code, again.score)),
    }
}

#[cfg(test)]
mod tests {
    use dqa_pipelines::tables::scores::{ScoreStatistics, ScoringFailure};

    use super::*;

    fn row(score: Result<f64, &str>) -> ScoreRow {
        ScoreRow {
            scene: "s".to_owned(),
            scene_group: None,
            image: "a/s.png".to_owned(),
            uri: "file:///a/s.png".to_owned(),
            version: "1".to_owned(),
            digest: Some("d".to_owned()),
            width: Some(1),
            height: Some(1),
            windows: 1,
            score: score
                .map(|score| ScoreStatistics { score, std: 0.0, min: score, max: score })
                .map_err(|code| ScoringFailure { code: code.to_owned(), message: String::new() }),
            mos: Some(3.0),
            raters: None,
            flat_share: None,
        }
    }

    #[test]
    fn an_altered_row_differs_and_rounding_does_not() {
        let stored = row(Ok(0.5));
        let is_same = |again: &ScoreRow| difference(&stored, again, DIFFERENCE_MAX_F32).is_none();
        assert!(is_same(&stored) && is_same(&row(Ok(0.500_05))));
        let other_file = ScoreRow { digest: Some("e".to_owned()), ..stored.clone() };
        let other_label = ScoreRow { mos: Some(4.0), ..stored.clone() };
        for again in [row(Ok(0.501)), row(Err("truncated")), other_file, other_label] {
            assert!(!is_same(&again), "{again:?}");
        }
        let failed = row(Err("truncated"));
        assert_eq!(difference(&failed, &failed, 0.0), None);
        assert!(difference(&failed, &row(Err("io")), 0.0).is_some());
        assert!(difference(&failed, &stored, 0.0).is_some());
        // Metrics have the same bits on every CPU.
        assert!(difference(&stored, &row(Ok(0.500_000_1)), 0.0).is_some());
    }
}
