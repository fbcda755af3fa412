//! Completes a run: counts every part, removes the older parts that they replace, and writes the record as complete.

use std::collections::HashSet;

use dqa_pipelines::run::{RunRecord, RunState};
use dqa_pipelines::run_progress::PartListing;
use dqa_pipelines::store::Store;
use jiff::Timestamp;
use tracing::info;

use super::error::RunError;
use super::plan::RunPlan;

/// Counts all parts and completes the run's record.
///
/// # Errors
/// If a part is not whole, or the store fails. The run then stays as it is and can be submitted again.
pub async fn commit(store: &Store, plan: &mut RunPlan, mut record: RunRecord) -> Result<RunRecord, RunError> {
    // Listed before the parts are counted, so that a part that is replaced meanwhile differs from the listing.
    let listing = PartListing::read(store, std::slice::from_ref(&record)).await?;
    plan.find_parts(store).await?;
    let missing: usize = plan.missing().map(|shard| shard.missing().count()).sum();
    if missing > 0 {
        return Err(RunError::Incomplete { run: record.name.to_string(), missing, parts: plan.parts().count() });
    }
    // Before the record is complete: a complete run is not committed again.
    remove_replaced_parts(store, plan).await?;
    record.state = RunState::Complete;
    record.counts = plan.counts();
    record.counted = listing.digest(&record.parts);
    record.parts_digest = Some(plan.parts_digest());
    record.updated = Timestamp::now();
    record.write(store).await?;
    Ok(record)
}

/// Removes parts of the run's model, data sets and algorithms that no run's record names: they hold older versions of
/// rows that the run's own parts hold, and a reader of the whole table would count those twice.
async fn remove_replaced_parts(store: &Store, plan: &RunPlan) -> Result<(), RunError> {
    if plan.other_parts.is_empty() {
        return Ok(());
    }
    let records = RunRecord::read_all(store).await?;
    let referenced: HashSet<&str> =
        records.iter().flat_map(|record| &record.parts).map(|part| part.key.as_str()).collect();
    for key in plan.other_parts.iter().filter(|key| !referenced.contains(key.as_str())) {
        info!(part = key, "replaced part removed");
        store.delete(key).await?;
    }
    Ok(())
}
