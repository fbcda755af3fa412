//! The table `runs`: the records of the runs. It is built in memory for SQL queries and not stored in a file.

use jiff::Timestamp;

use crate::status::RunStatus;

/// The table's name.
pub const RUNS: &str = "runs";

table! {
    /// A row of the table.
    RunRow {
        /// The run's name.
        run: String,
        /// The run's state: `planning`, `running`, `paused`, `complete`, `cancelled`, `failed` or `interrupted`.
        state: String,
        /// When the run was first planned.
        created: Timestamp,
        /// When the record was last written.
        updated: Timestamp,
        /// Fingerprint of the model that scored: 64 digits.
        fingerprint: String,
        /// The CLIP weights.
        model: String,
        /// The learned prompts, or None for the handcrafted sentences.
        prompts: Option<String>,
        /// The views of a picture.
        views: String,
        /// The class of arithmetic.
        dtype: String,
        /// The device that the model ran on.
        device: String,
        /// A remark that is shown with the results.
        remark: Option<String>,
        /// Names of the data sets, joined by commas.
        datasets: String,
        /// Number of planned rows.
        pictures: u64,
        /// Number of rows with a score in the parts that are in the store.
        scored: u64,
        /// Number of rows with an error in the parts that are in the store.
        failed: u64,
        /// Number of planned windows.
        windows: u64,
        /// Number of planned parts.
        parts: u64,
        /// Number of parts that are in the store.
        parts_done: u64,
        /// Number of windows that were planned for these parts.
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
