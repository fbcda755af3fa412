//! The table `evaluations`: what a model says of pictures in a test that a study made. One row for each picture.

/// The table's name and its folder in a store.
pub const EVALUATIONS: &str = "evaluations";

table! {
    /// A row of the table.
    EvaluationRow {
        /// The test: the file's name.
        evaluation: String,
        /// Whose scores: a trial's name, or `handcrafted-` and the digest of a model.
        judge: String,
        /// Whose picture it is among the data sets.
        dataset: String,
        /// What the model looked at.
        views: String,
        /// Who made the picture.
        algorithm: String,
        /// What it shows.
        scene: String,
        /// Its name within the data set.
        image: String,
        /// The label on its own scale, higher is better.
        mos: f64,
        /// The label from 0 to 1.
        target: f64,
        /// Windows.
        windows: u64,
        /// Mean of the windows' scores.
        mean: f64,
        /// Their median.
        median: f64,
        /// Mean of the lowest quarter of them.
        lowest_quarter: f64,
        /// Their mean, weighted by the standard deviation of each window's luma.
        contrast: f64,
        /// Their mean, weighted by each one's distance from the median.
        spread: f64,
        /// Their mean, weighted by how much of the class token's rolled-out attention is on the window itself; None: not looked
        /// at.
        attention: Option<f64>,
        /// The picture's share of the time that the device took, by windows, on the machine that made the test.
        seconds: f64,
    }
}
