//! Keeps the rows of a shard that is being scored, so that a process that is stopped or killed loses seconds and not the
//! shard. From time to time the rows that are new are written as parts of their own, next to where the shard's parts will
//! be. Whoever plans the shard again finds them like other older parts with some of its rows, and reuses the rows. Once the
//! shard's own parts are written, they are deleted.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dqa_pipelines::parts;
use dqa_pipelines::plan::{Shard, ShardPart, kept_part_name};
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::tables::scores::{PartColumns, ScoreRow};
use tokio::runtime::Handle;
use tracing::{debug, warn};

use super::open_part::OpenPart;

/// The rows of a shard that were kept before its parts are written.
pub(super) struct KeptRows<'s> {
    shard: &'s Shard,
    store: &'s Store,
    runtime: &'s Handle,
    facts: Vec<(String, String)>,
    /// Time between two writes. None keeps nothing.
    interval: Option<Duration>,
    last_write: Instant,
    /// Pictures with rows that are not kept yet.
    pictures: BTreeSet<String>,
    /// Keys of the parts with kept rows.
    keys: Vec<String>,
}

impl<'s> KeptRows<'s> {
    pub(super) fn new(
        shard: &'s Shard,
        (store, runtime): (&'s Store, &'s Handle),
        interval: Option<Duration>,
        facts: Vec<(String, String)>,
    ) -> KeptRows<'s> {
        let (last_write, pictures, keys) = (Instant::now(), BTreeSet::new(), Vec::new());
        KeptRows { shard, store, runtime, facts, interval, last_write, pictures, keys }
    }

    /// Notes that a picture's rows are in the open parts, and writes those that are not kept yet if it is time. Returns the
    /// number of rows that were written.
    pub(super) fn add(&mut self, image: &str, open: &[OpenPart<'_>]) -> Result<u64, StoreError> {
        let Some(interval) = self.interval else { return Ok(0) };
        self.pictures.insert(image.to_owned());
        if self.last_write.elapsed() < interval {
            return Ok(0);
        }
        let pictures = std::mem::take(&mut self.pictures);
        let mut rows = 0;
        for part in open {
            rows += self.write(part, &pictures)?;
        }
        self.last_write = Instant::now();
        Ok(rows)
    }

    fn write(&mut self, open: &OpenPart<'_>, pictures: &BTreeSet<String>) -> Result<u64, StoreError> {
        let is_new = |image: &String| pictures.contains(image) && open.scored.contains(image);
        let mut shard = self.shard.clone();
        shard.pictures.retain(|picture| is_new(&picture.image));
        let rows: Vec<ScoreRow> =
            shard.pictures.iter().filter_map(|picture| open.rows.get(&picture.image).cloned()).collect();
        if rows.is_empty() {
            return Ok(0);
        }
        let columns = PartColumns {
            part: kept_part_name(&open.part.columns.part, shard.pictures.iter().map(|picture| &*picture.image)),
            ..open.part.columns.clone()
        };
        let part = ShardPart { columns, reuse: Vec::new() };
        self.runtime.block_on(self.store.put(&part.key(), parts::encode(&shard, &part, &rows, &self.facts)))?;
        debug!(part = part.columns.part, rows = rows.len(), "rows kept");
        self.keys.push(part.key());
        Ok(rows.len() as u64)
    }

    /// Deletes the parts with kept rows: the shard's own parts have them now. One that remains is an older part, which is
    /// removed when its run is complete.
    pub(super) fn discard(self) {
        for key in self.keys {
            if let Err(error) = self.runtime.block_on(self.store.delete(&key)) {
                warn!(part = key, error = %dqa_pipelines::causes(&error), "a part that was replaced is still there");
            }
        }
    }
}
