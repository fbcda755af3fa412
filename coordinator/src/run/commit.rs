//! The end of a run: every part is counted, what they replaced is removed, and the record says that the run is complete.

use std::collections::HashSet;

use dqa_pipelines::progress::PartListing;
use dqa_pipelines::run::{RunRecord, RunState};
use dqa_pipelines::store::Store;
use jiff::Timestamp;
use tracing::info;

use super::{RunError, Work};

/// Counts all parts and completes the run's record.
///
/// # Errors
/// Where a part is not whole; where the store fails. The run then stays as it is and can be submitted again.
pub async fn commit(store: &Store, work: &mut Work, mut record: RunRecord) -> Result<RunRecord, RunError> {
    // Before they are counted: a part that is replaced meanwhile is another than was listed.
    let listing = PartListing::read(store, std::slice::from_ref(&record)).await?;
    work.look(store).await?;
    let missing = work.missing().count();
    if missing > 0 {
        return Err(RunError::Incomplete { run: record.name.to_string(), missing, parts: work.parts.len() });
    }
    // Before it is complete: after that nobody would do it.
    remove_replaced(store, work).await?;
    record.state = RunState::Complete;
    record.counts = work.counts();
    record.counted = listing.digest(&record.parts);
    record.updated = Timestamp::now();
    record.write(store).await?;
    Ok(record)
}

/// Removes parts of the run's model, data sets and algorithms that no run's record names: they hold older versions of rows
/// that the run's own parts hold, and whoever reads the whole table would count those twice.
async fn remove_replaced(store: &Store, work: &Work) -> Result<(), RunError> {
    if work.others.is_empty() {
        return Ok(());
    }
    let records = RunRecord::all(store).await?;
    let named: HashSet<&str> = records.iter().flat_map(|record| &record.parts).map(|part| part.key.as_str()).collect();
    for key in work.others.iter().filter(|key| !named.contains(key.as_str())) {
        info!(part = key, "replaced part removed");
        store.delete(key).await?;
    }
    Ok(())
}
