//! The parts of a shard that is being scored: the rows that are known so far.

use std::collections::{HashMap, HashSet};

use dqa_pipelines::plan::{ShardPart, ShardPicture};
use dqa_pipelines::tables::scores::ScoreRow;

use super::metrics::PartMetric;
use crate::inference::Wanted;

/// A part that is being made.
pub(super) struct OpenPart<'s> {
    pub(super) part: &'s ShardPart,
    pub(super) metric: PartMetric,
    /// The rows that are known, by picture.
    pub(super) rows: HashMap<String, ScoreRow>,
    /// The pictures whose rows were scored now, and not reused.
    pub(super) scored: HashSet<String>,
}

/// Returns what is wanted of a picture: the metrics whose parts lack its row.
pub(super) fn wanted(open: &[OpenPart<'_>], picture: &ShardPicture) -> Wanted {
    let mut wanted = Wanted::default();
    for part in open.iter().filter(|part| !part.rows.contains_key(&picture.image)) {
        match part.metric {
            PartMetric::ClipDqa => wanted.clip_dqa = true,
            PartMetric::Classic(metric) => wanted.metrics.push(metric),
        }
    }
    wanted
}

/// Adds the rows of a picture that was scored.
pub(super) fn add_rows(open: &mut [OpenPart<'_>], rows: Vec<(PartMetric, ScoreRow)>) {
    for (metric, row) in rows {
        let part = open.iter_mut().find(|part| part.metric == metric);
        let part = part.expect("only metrics of parts are wanted");
        part.scored.insert(row.image.clone());
        part.rows.insert(row.image.clone(), row);
    }
}
