//! Parts with invented scores, for executors that score nothing.

use std::time::Duration;

use dqa_engine::shard::ShardOutcome;
use dqa_pipelines::parts;
use dqa_pipelines::plan::{Shard, ShardPart, ShardPicture};
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::tables::scores::{ScoreRow, ScoreStatistics};

/// Writes all parts of a shard with the scores that `score` gives.
///
/// # Errors
/// The store fails.
pub async fn write_parts(
    store: &Store,
    shard: &Shard,
    score: impl Fn(&ShardPicture, &ShardPart) -> f64,
) -> Result<ShardOutcome, StoreError> {
    for part in &shard.parts {
        let rows: Vec<ScoreRow> = shard.pictures.iter().map(|picture| row(picture, score(picture, part))).collect();
        store.put(&part.key(), parts::encode(shard, part, &rows, &[])).await?;
    }
    let (key, rows) = (shard.name(), shard.rows());
    Ok(ShardOutcome { key, rows, failed: 0, reused: 0, windows: shard.windows, wall: Duration::ZERO })
}

fn row(picture: &ShardPicture, score: f64) -> ScoreRow {
    ScoreRow {
        scene: picture.scene.clone(),
        scene_group: picture.scene_group.clone(),
        image: picture.image.clone(),
        uri: picture.uri.clone(),
        version: picture.version.clone(),
        digest: None,
        width: None,
        height: None,
        windows: 1,
        score: Ok(ScoreStatistics { score, std: 0.0, min: score, max: score }),
        mos: picture.mos,
        raters: picture.raters,
        flat_share: None,
    }
}
