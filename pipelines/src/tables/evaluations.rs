//! The table `evaluations`: scores of a model in a test of a study. One row for each picture.

/// The table's name and its folder in a store.
pub const EVALUATIONS: &str = "evaluations";

table! {
    /// A row of the table.
    EvaluationRow {
        /// The evaluation's name, which is also the file's name.
        evaluation: String,
        /// What computed the scores: a trial's name, or `handcrafted-` and the digest of a model.
        judge: String,
        /// The picture's data set.
        dataset: String,
        /// The views of the picture.
        views: String,
        /// The algorithm that produced the picture.
        algorithm: String,
        /// The scene's name.
        scene: String,
        /// The picture's name within the data set.
        image: String,
        /// The label on its own scale, higher is better.
        mos: f64,
        /// The label mapped to 0 to 1.
        target: f64,
        /// Number of windows.
        windows: u64,
        /// Mean of the windows' scores.
        mean: f64,
        /// Median of the windows' scores.
        median: f64,
        /// Mean of the lowest quarter of the windows' scores.
        lowest_quarter: f64,
        /// Mean of the windows' scores weighted by the standard deviation of each window's luma.
        contrast: f64,
        /// Mean of the windows' scores weighted by each score's distance from the median.
        spread: f64,
        /// Mean of the windows' scores weighted by the share of the class token's rolled-out attention that is on the
        /// window itself. None if attention was not computed.
        attention: Option<f64>,
        /// The picture's share, by windows, of the time on the device in seconds, on the machine that ran the test.
        seconds: f64,
    }
}
