//! The table `runs`: what the runs' records say. It is made for SQL when it is asked for; no file holds it.

use jiff::Timestamp;

use crate::run::RunRecord;

/// The table's name.
pub const RUNS: &str = "runs";

table! {
    /// A run.
    RunRow {
        /// Its name.
        run: String,
        /// `running` or `complete`.
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
        /// Rows with a score, when last counted.
        scored: u64,
        /// Rows with an error, when last counted.
        failed: u64,
        /// Windows planned.
        windows: u64,
        /// Files of scores.
        parts: u64,
    }
}

impl From<&RunRecord> for RunRow {
    fn from(record: &RunRecord) -> RunRow {
        let (spec, counts) = (&record.spec, &record.counts);
        let datasets: Vec<&str> = spec.datasets.iter().map(|dataset| dataset.name.as_str()).collect();
        RunRow {
            run: record.name.to_string(),
            state: record.state.to_string(),
            created: record.created,
            updated: record.updated,
            fingerprint: record.fingerprint.clone(),
            model: spec.model.clone(),
            prompts: spec.prompts.clone(),
            views: spec.views.clone(),
            dtype: spec.dtype.clone(),
            device: spec.device.clone(),
            remark: spec.remark.clone(),
            datasets: datasets.join(","),
            pictures: counts.pictures,
            scored: counts.scored,
            failed: counts.failed,
            windows: counts.windows,
            parts: record.parts.len() as u64,
        }
    }
}
