//! Rows of parts: those that older parts hold, and those of pictures that were just measured.

use std::collections::HashMap;

use dqa_model::PictureScore;
use dqa_pipelines::causes;
use dqa_pipelines::parts::{self, PartError};
use dqa_pipelines::plan::{Shard, ShardPart, ShardPicture};
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::tables::scores::{ScoreRow, ScoreStatistics, ScoringFailure};
use tracing::warn;

use super::metrics::PartMetric;
use crate::decode::{ErrorCode, Limits, PictureError};
use crate::inference::{Measured, MeasuredPicture, Wanted};

/// Returns a part's rows that older parts hold, of the same picture in the same version. Labels and addresses are the
/// shard's. A part that cannot be read is skipped, and its rows are scored again; if the store does not answer, the call
/// fails, since the rows may be there.
pub(super) async fn reusable(
    store: &Store,
    shard: &Shard,
    part: &ShardPart,
) -> Result<HashMap<String, ScoreRow>, StoreError> {
    let pictures: HashMap<&str, &ShardPicture> =
        shard.pictures.iter().map(|picture| (picture.image.as_str(), picture)).collect();
    let mut known = HashMap::new();
    for key in &part.reuse {
        let rows = match parts::read_rows(store, key).await {
            Ok(rows) => rows,
            Err(PartError::Store(error)) if error.is_store_wide() => return Err(error),
            Err(error) => {
                warn!(error = %causes(&error), "an older part is not used");
                continue;
            }
        };
        for row in rows {
            let Some(picture) = pictures.get(row.image.as_str()).filter(|picture| picture.version == row.version)
            else {
                continue;
            };
            if is_reusable(&row, picture, shard) {
                known.insert(row.image.clone(), with_labels_of(row, picture));
            }
        }
    }
    Ok(known)
}

/// Returns whether scoring the picture again would give this row, which may have been made with other limits.
fn is_reusable(row: &ScoreRow, picture: &ShardPicture, shard: &Shard) -> bool {
    match &row.score {
        // What could not be read may be readable by now, or on this machine.
        Err(failure) => {
            let may_change = [ErrorCode::TooLarge, ErrorCode::Io, ErrorCode::ReferenceUnreadable];
            !shard.retry_failed && may_change.iter().all(|code| failure.code != code.as_str())
        }
        Ok(_) => {
            let side = |pixels: Option<i32>| pixels.and_then(|pixels| u64::try_from(pixels).ok()).unwrap_or(0);
            let limits = Limits::new(shard.limits, 0);
            let is_taken = limits.check_size(side(row.width), side(row.height)).is_ok();
            is_taken && limits.check_bytes(picture.bytes).is_ok()
        }
    }
}

/// Returns a measured row with the plan's labels and addresses.
fn with_labels_of(measured: ScoreRow, picture: &ShardPicture) -> ScoreRow {
    let ShardPicture { scene, scene_group, image, uri, version, mos, raters, .. } = picture.clone();
    ScoreRow { scene, scene_group, image, uri, version, mos, raters, ..measured }
}

/// Returns the row of a picture without a score.
pub(super) fn failed(picture: &ShardPicture, failure: ScoringFailure) -> ScoreRow {
    let ShardPicture { scene, scene_group, image, uri, version, mos, raters, .. } = picture.clone();
    ScoreRow {
        scene,
        scene_group,
        image,
        uri,
        version,
        digest: None,
        width: None,
        height: None,
        windows: 0,
        score: Err(failure),
        mos,
        raters,
        flat_share: None,
    }
}

/// Counts the rows without a score.
pub(super) fn count_failed(rows: &[ScoreRow]) -> u64 {
    rows.iter().filter(|row| row.score.is_err()).count() as u64
}

/// Returns the rows of a measured picture, one for each metric that was wanted.
pub(super) fn rows(
    picture: &ShardPicture,
    digest: Option<String>,
    MeasuredPicture { size, measured }: MeasuredPicture,
    wanted: &Wanted,
) -> Vec<(PartMetric, ScoreRow)> {
    let side = |pixels: u32| i32::try_from(pixels).ok();
    let row = |windows: usize, score: Result<ScoreStatistics, ScoringFailure>, flat_share| ScoreRow {
        digest: digest.clone(),
        width: size.and_then(|(width, _)| side(width)),
        height: size.and_then(|(_, height)| side(height)),
        windows: i32::try_from(windows).unwrap_or(i32::MAX),
        score,
        flat_share,
        ..failed(picture, ScoringFailure { code: String::new(), message: String::new() })
    };
    match measured {
        Err(error) => {
            let all = wanted.clip_dqa.then_some(PartMetric::ClipDqa).into_iter();
            let all = all.chain(wanted.metrics.iter().map(|metric| PartMetric::Classic(*metric)));
            all.map(|metric| (metric, row(0, Err(failure(&error)), None))).collect()
        }
        Ok(Measured { clip_dqa, metrics }) => {
            let model = clip_dqa.map(|score| {
                let windows = score.as_ref().map_or(0, |score| score.windows.len());
                (PartMetric::ClipDqa, row(windows, score.as_ref().map(spread).map_err(failure), None))
            });
            let metrics = metrics.into_iter().map(|value| {
                let windows = usize::from(value.value.is_ok());
                let score = value.value.as_ref().map(|score| single(*score)).map_err(failure);
                (PartMetric::Classic(value.metric), row(windows, score, value.flat_share))
            });
            model.into_iter().chain(metrics).collect()
        }
    }
}

/// Returns the number of windows of all metrics but CLIP-DQA: each looks at a picture as one window.
pub(super) fn metric_windows(wanted: &[(&ShardPicture, Wanted)]) -> u64 {
    wanted.iter().map(|(_, wanted)| wanted.metrics.len() as u64).sum()
}

fn failure(error: &PictureError) -> ScoringFailure {
    ScoringFailure { code: error.code().to_string(), message: error.line() }
}

/// Returns the statistics of a value of the whole picture.
fn single(score: f64) -> ScoreStatistics {
    ScoreStatistics { score, std: 0.0, min: score, max: score }
}

fn spread(score: &PictureScore) -> ScoreStatistics {
    let windows = || score.windows.iter().map(|window| f64::from(*window));
    let variance = windows().map(|window| (window - score.score).powi(2)).sum::<f64>() / score.windows.len() as f64;
    ScoreStatistics {
        score: score.score,
        std: variance.sqrt(),
        min: windows().fold(f64::INFINITY, f64::min),
        max: windows().fold(f64::NEG_INFINITY, f64::max),
    }
}
