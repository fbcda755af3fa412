//! The table `predictions`: what a trained model says of pictures of scenes that it has not learned from. One row for each
//! picture of a trial's test.

/// The table's name, and its file's in a trial's folder.
pub const PREDICTIONS: &str = "predictions";

table! {
    /// A row of the table.
    PredictionRow {
        /// Of which trial.
        trial: String,
        /// Whose picture.
        algorithm: String,
        /// What it shows.
        scene: String,
        /// Its name within the data set.
        image: String,
        /// The label on its own scale, higher is better.
        mos: f64,
        /// The label as it is learned, 0 to 1.
        target: f64,
        /// Mean over all windows, 0 to 1.
        score: f64,
        /// Windows.
        windows: u64,
        /// The epoch whose state gave the score.
        epoch: u32,
        /// By which rule it was kept: `last`, `best-on-validation`, or `best-on-test`, which is optimistic.
        select: String,
    }
}
