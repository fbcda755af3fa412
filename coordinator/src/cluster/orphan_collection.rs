//! Removes parts that no run names, from time to time. An attempt leaves such a part if it ends after its run was planned
//! anew, and so does a run that is never completed and whose record somebody deleted. Files that a killed process had not
//! finished are removed with them.

use std::time::Duration;

use dqa_pipelines::causes;
use dqa_pipelines::part_removal::{GRACE, collect_orphans};
use dqa_pipelines::store::Store;
use tracing::warn;

/// An orphan is in the store for the grace time and at most this long after it.
const COLLECT_EVERY: Duration = Duration::from_secs(1800);

/// Collects until the future is dropped.
pub(super) async fn collect_forever(store: &Store) {
    loop {
        tokio::time::sleep(COLLECT_EVERY).await;
        if let Err(error) = collect_orphans(store, GRACE).await {
            warn!(error = %causes(&error), "parts that no run names are not removed");
        }
    }
}
