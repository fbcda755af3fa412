//! Completes a run: counts every part, removes the older parts that they replace, and writes the record as complete.

use dqa_pipelines::part_removal::remove_unnamed;
use dqa_pipelines::run::{RecordWriter, RunRecord, RunState};
use dqa_pipelines::run_progress::PartListing;
use dqa_pipelines::store::Store;
use jiff::Timestamp;

use super::error::RunError;
use super::plan::RunPlan;

/// Counts all parts and completes the run's record.
///
/// # Errors
/// If a part is not whole, a later leader has the run, or the store fails. The run then stays as it is and can be submitted
/// again.
pub async fn commit(
    store: &Store,
    plan: &mut RunPlan,
    mut record: RunRecord,
    writer: RecordWriter,
) -> Result<RunRecord, RunError> {
    // Listed before the parts are counted, so that a part that is replaced meanwhile differs from the listing.
    let listing = PartListing::read(store, std::slice::from_ref(&record)).await?;
    plan.find_parts(store).await?;
    let missing: usize = plan.missing().map(|shard| shard.missing().count()).sum();
    if missing > 0 {
        return Err(RunError::Incomplete { run: record.name.to_string(), missing, parts: plan.parts().count() });
    }
    // Parts of the run's metrics, data sets and algorithms that no run names hold older versions of its rows, and a reader of
    // the whole table would count those twice. They are removed before the record is complete, because a complete run is
    // not committed again.
    remove_unnamed(store, plan.other_parts.clone()).await?;
    record.state = RunState::Complete;
    record.counts = plan.counts();
    record.counted = listing.digest(&record.parts);
    record.parts_digest = Some(plan.parts_digest());
    record.updated = Timestamp::now();
    record.write_by(store, writer).await?;
    Ok(record)
}
