//! The table `predictions`: scores of a trained model for pictures of scenes that it was not trained on. One row for
//! each picture of a trial's test.

/// The name of the table, and of its file in a trial's folder.
pub const PREDICTIONS: &str = "predictions";

table! {
    /// A row of the table.
    PredictionRow {
        /// The trial's name.
        trial: String,
        /// The algorithm that produced the picture.
        algorithm: String,
        /// The scene's name.
        scene: String,
        /// The picture's name within the data set.
        image: String,
        /// The label on its own scale, higher is better.
        mos: f64,
        /// The label mapped to 0 to 1, which the model is trained on.
        target: f64,
        /// Mean score over all windows, 0 to 1.
        score: f64,
        /// Number of windows.
        windows: u64,
        /// The epoch whose state computed the score.
        epoch: u32,
        /// The rule by which the epoch was chosen: `last`, `best-on-validation`, or `best-on-test`, which is
        /// optimistic.
        select: String,
    }
}
