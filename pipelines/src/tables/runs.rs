//! The table `runs`: what the runs' records say. It is made for SQL when it is asked for; no file holds it.

use jiff::Timestamp;

use crate::status::RunStatus;

/// The table's name.
pub const RUNS: &str = "runs";

table! {
    /// A run.
    RunRow {
        /// Its name.
        run: String,
        /// `planning`, `running`, `paused`, `complete`, `cancelled`, `failed` or `interrupted`.
        state: String,
        /// When it was first planned.
        created: Timestamp,
        /// When its record was last written.
        updated: Timestamp,
        /// Of the model that scored: 64 digits.
        fingerprint: String,
        /// CLIP's weights.
        model: String,
        /// The learned prompts; None: the handcrafted sentences.
        prompts: Option<String>,
        /// Which parts of a picture are looked at.
        views: String,
        /// The class of arithmetic.
        dtype: String,
        /// Where the model ran.
        device: String,
        /// What the results are to say of the model.
        remark: Option<String>,
        /// Names, joined by commas.
        datasets: String,
        /// Rows in.
        pictures: u64,
        /// Rows with a score, in the parts that are in the store.
        scored: u64,
        /// Rows with an error, in the parts that are in the store.
        failed: u64,
        /// Windows planned.
        windows: u64,
        /// Files of scores that were planned.
        parts: u64,
        /// Of them, those that are in the store.
        parts_done: u64,
        /// Windows that were planned for those.
        windows_done: u64,
    }
}

impl From<&RunStatus> for RunRow {
    fn from(status: &RunStatus) -> RunRow {
        let (record, progress) = (&status.record, &status.progress);
        let spec = &record.spec;
        RunRow {
            run: record.name.to_string(),
            state: status.state.to_string(),
            created: record.created,
            updated: record.updated,
            fingerprint: record.fingerprint.clone(),
            model: spec.model.clone(),
            prompts: spec.prompts.clone(),
            views: spec.views.clone(),
            dtype: spec.dtype.clone(),
            device: spec.device.clone(),
            remark: spec.remark.clone(),
            datasets: spec.dataset_names().join(","),
            pictures: progress.pictures,
            scored: progress.scored,
            failed: progress.failed,
            windows: progress.windows,
            parts: progress.parts,
            parts_done: progress.parts_done,
            windows_done: progress.windows_done,
        }
    }
}
